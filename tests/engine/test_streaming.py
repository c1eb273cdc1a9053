"""Runs on shards: equal to runs on the folder that was packed, resumed to the bit, refused in one line."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import Killed, assert_same_run, kill_in_step, log

from lookright.config import DataConfig, TrainConfig
from lookright.data import AnnotatedBatchSampler, read_annotations
from lookright.data.shards import read_shard_index, write_shards
from lookright.data.stream import ShardedDataset, StreamLoader
from lookright.engine import journal
from lookright.engine.evaluate import evaluate
from lookright.engine.many import train_many
from lookright.engine.measure import measure
from lookright.engine.run_folder import RunFolder
from lookright.engine.setup import set_up
from lookright.engine.train import train
from lookright.errors import ConfigError, DataError, LookrightWarning

pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def shards(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decoy digits, 7 images to a shard. Not to be changed."""
    folder = tmp_path_factory.mktemp("shards") / "shards"
    write_shards(read_annotations(DataConfig(data=digits)), folder, images_per_shard=7)
    return folder


@pytest.fixture
def copied(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copied"))


def edit_index(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    index = json.loads((folder / "shards.json").read_text())
    for shard in index["shards"]:
        change(shard)
    (folder / "shards.json").write_text(json.dumps(index))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_trains_as_a_folder_does_on_the_same_batches(
    workers: int,
    digits: Path,
    shards: Path,
    options: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the bit. Which images are mirrored differs: that goes by their number."""
    common = {"method": "res-l", "flip": False, "cache_features": False, "batch_size": 12}
    streamed = train(options(data=shards, out=tmp_path / "streamed", workers=workers, **common))

    def as_streamed(sampler: AnnotatedBatchSampler) -> Iterator[list[int]]:
        stream = ShardedDataset(
            read_shard_index(shards), "train", image_size=32, mean=[0.0] * 3, std=[1.0] * 3
        )
        stream.set_epoch(sampler._epoch)
        number = {item.id: i for i, item in enumerate(items)}
        yield from ([number[id] for id in batch.id] for batch in StreamLoader(stream, 12, workers=workers))

    items = read_annotations(DataConfig(data=digits)).split("train").items
    monkeypatch.setattr(AnnotatedBatchSampler, "__iter__", as_streamed)
    at_hand = train(options(data=digits, out=tmp_path / "folder", **common))
    ours, theirs = log(streamed), log(at_hand)
    validated = ("val_accuracy", "val_balanced_accuracy", "val_iou")  # in other batches: up to rounding
    for left, right in zip(ours, theirs, strict=True):
        for name in validated:
            assert float(left.pop(name)) == pytest.approx(float(right.pop(name)), abs=1e-5)
    streamed.write_log(ours)
    at_hand.write_log(theirs)
    assert_same_run(streamed, at_hand)
    told = [{k: run.facts()[k] for k in ("images", "classes", "output")} for run in (streamed, at_hand)]
    assert told[0] == told[1] == told[0] | {"images": {"train": 40, "annotated": 40, "val": 20}}
    assert streamed.facts()["photos_from_memory"] is None


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_equals_uninterrupted(
    workers: int,
    shards: Path,
    options: Callable[..., TrainConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    common = {"data": shards, "method": "res-l", "workers": workers, "epochs": 3, "accumulate": 2}
    straight = train(options(out=tmp_path / "straight", **common))
    config = options(out=tmp_path / "killed", **common)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "WRITE_SECONDS", 0.0)
        kill_in_step(patch, step=3)  # in the second epoch
        with pytest.raises(Killed):
            train(config)
    with pytest.raises(ConfigError, match=rf"resume: the options differ .*\(workers {workers} -> 1\)"):
        train(replace(config, workers=1, resume=True))
    train(replace(config, resume=True))
    assert_same_run(straight, config.out or Path())


def test_without_validation_images(copied: Path, options: Callable[..., TrainConfig]) -> None:
    index = json.loads((copied / "shards.json").read_text())
    index["shards"] = [shard for shard in index["shards"] if shard["split"] != "val"]
    (copied / "shards.json").write_text(json.dumps(index))
    with pytest.warns(LookrightWarning, match="no image is in the split val"):
        assert train(options(data=copied, epochs=1)).facts()["images"]["val"] == 0


def test_features_are_not_kept(shards: Path, options: Callable[..., TrainConfig], tmp_path: Path) -> None:
    config = options(data=shards, epochs=1, train="head", cache_dir=tmp_path / "cache")
    with pytest.warns(LookrightWarning, match="cache_dir: of images that are streamed no features are kept"):
        run = train(config)
    assert not (tmp_path / "cache").exists()
    evaluate(run.path, device="cpu", progress=False)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_per_class": 2}, "train_per_class: images cannot be chosen from shards"),
        ({"annotated_per_class": 0}, "annotated_per_class: images cannot be chosen from shards"),
        (
            {"format": "coco", "combine": "mean"},
            "format, combine: given for shards, which hold what was packed; pack the data so",
        ),
        ({"annotations": Path("marks.json")}, "annotations: given for shards"),
        ({"devices": 9}, r"9 processes need a shard each, and split 'train' .* has 6; pack it with fewer"),
        ({"devices": 4, "batch_size": 1}, "too uneven: one process has 7 images for 14 steps"),
        ({"data": Path("nowhere"), "format": "webdataset"}, r"nowhere.shards\.json: missing or damaged"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_work_on_shards(
    changes: dict[str, object], message: str, shards: Path, options: Callable[..., TrainConfig]
) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        set_up(options(**{"data": shards, **changes}))


def test_named_by_its_format_or_not(shards: Path, options: Callable[..., TrainConfig]) -> None:
    for changes in ({}, {"format": "webdataset"}):
        setup = set_up(options(data=shards, **changes))
        assert isinstance(setup.train, ShardedDataset)
        assert isinstance(setup.val, ShardedDataset)


@pytest.mark.parametrize(
    ("counts", "method", "outside", "message"),
    [
        ({"annotated": 0, "positive": 0, "negative": 0}, "res-g", None, "none of the 40 training images has"),
        (
            {"negative": 0},
            "rrr",
            None,
            r"rrr uses negative marks alone \(RRR\), and none of the 40 annotated",
        ),
        ({"negative": 0}, "rrr", 0.05, None),
        ({"positive": 0}, "gals-match", None, "gals-match uses positive marks alone"),
        ({"positive": 0}, "rrr", None, None),
        ({"annotated": 0, "positive": 0, "negative": 0}, "baseline", None, None),
    ],
)
def test_marks_that_a_method_needs_were_counted(
    counts: dict[str, int],
    method: str,
    outside: float | None,
    message: str | None,
    copied: Path,
    options: Callable[..., TrainConfig],
) -> None:
    whole = read_shard_index(copied)
    assert sum(shard.positive for shard in whole.split("train")) == 40
    edit_index(copied, lambda shard: shard.update(counts))
    config = options(data=copied, method=method, negatives_outside=outside)
    if message is None:
        set_up(config)
        return
    with pytest.raises(ConfigError, match=message):
        set_up(config)


def test_best_by_reasonability_needs_annotated_validation_images(
    copied: Path, options: Callable[..., TrainConfig]
) -> None:
    set_up(options(data=copied, best="both"))
    edit_index(copied, lambda shard: shard.update(annotated=0) if shard["split"] == "val" else None)
    with pytest.raises(ConfigError, match="best: both needs annotated validation images, and none of the 20"):
        set_up(options(data=copied, best="both"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_is_named(workers: int, copied: Path, options: Callable[..., TrainConfig]) -> None:
    shard = copied / "train-0002.tar"
    whole = shard.read_bytes()
    start = whole.index(b"\x89PNG")
    shard.write_bytes(whole[: start + 8] + bytes(60) + whole[start + 68 :])
    with pytest.raises(
        DataError, match=r"^train-0002\.tar: 000000\d\d \(images/.*\): file\.(mask\.)?png: cannot be read"
    ):
        train(options(data=copied, workers=workers))
    assert RunFolder(options().out or "").facts()["status"] == "failed"


def test_an_index_that_tells_of_too_few_images(copied: Path, options: Callable[..., TrainConfig]) -> None:
    edit_index(copied, lambda shard: shard.update(images=shard["images"] - 1))
    with pytest.raises(DataError, match=r"more images than shards\.json says; pack it again"):
        train(options(data=copied))


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "per_image.csv").open() as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_of_shards_equals_that_of_the_folder(
    workers: int, finished: Path, shards: Path, tmp_path: Path
) -> None:
    data = DataConfig(data=shards)
    folder = evaluate(
        finished, data=data, out=tmp_path / "new", device="cpu", progress=False, workers=workers
    )
    ours, theirs = rows(folder), rows(finished / "evaluation")
    assert ours.keys() == theirs.keys()
    for id, row in ours.items():
        assert row.pop("file").startswith(f"{shards}/test-000")
        theirs[id].pop("file")
        for name, text in row.items():
            if name in ("probability", "iou", "precision", "recall", "f1", "epg", "pointing_game"):
                assert float(text) == pytest.approx(float(theirs[id][name]), abs=1e-5)
            else:
                assert text == theirs[id][name]
    figures = [json.loads((at / "metrics.json").read_text()) for at in (folder, finished / "evaluation")]
    about = [figure.pop("about") for figure in figures]
    assert figures[0].keys() == figures[1].keys()
    for name in ("accuracy", "balanced_accuracy", "auroc", "iou", "worst_group_accuracy"):
        assert figures[0][name]["value"] == pytest.approx(figures[1][name]["value"], abs=1e-5)
    assert about[0] == about[1] | {"data": str(shards)}


def test_labels_go_by_the_names_of_the_classes(finished: Path, digits: Path, tmp_path: Path) -> None:
    """Two classes of the ten that the run knows; and one that it does not."""
    found = read_annotations(DataConfig(data=digits))
    items = tuple(replace(item, label=int(item.label == 7)) for item in found.items if item.label in (4, 7))
    some = replace(found, classes=("4", "7"), items=items)
    for name, classes in (("some", ("4", "7")), ("other", ("4", "x"))):
        write_shards(replace(some, classes=classes), tmp_path / name)
    out = evaluate(
        finished, data=DataConfig(data=tmp_path / "some"), out=tmp_path / "out", device="cpu", progress=False
    )
    expected = {item.id: found.classes[item.label] for item in found.split("test").items}
    told = rows(out)
    assert len(told) == 4
    assert all(row["label"] == expected[id] for id, row in told.items())
    with pytest.raises(DataError, match="not x; name the class folders alike"):
        evaluate(finished, data=DataConfig(data=tmp_path / "other"), out=tmp_path / "x", device="cpu")


def test_a_method_measured_on_shards(digits: Path, shards: Path, options: Callable[..., TrainConfig]) -> None:
    run = train(options(data=shards, epochs=1))
    streamed = measure(run.path, "haics", batch_size=20)
    config = run.config_file.read_text()
    run.config_file.write_text(config.replace(str(shards), str(digits)))
    assert measure(run.path, "haics", batch_size=20) == pytest.approx(streamed, rel=1e-4)


def test_runs_on_shards_train_alone(
    shards: Path, options: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    configs = [
        options(data=shards, out=tmp_path / str(seed), seed=seed, train="head", epochs=1) for seed in (0, 1)
    ]
    for folder in train_many(configs):
        assert folder.facts()["status"] == "finished"


def test_only_training_and_evaluation_know_shards(shards: Path) -> None:
    with pytest.raises(DataError, match="holds shards, which can be trained on and evaluated, nothing else"):
        read_annotations(DataConfig(data=shards))
