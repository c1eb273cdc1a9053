"""Annotations made rough: in training alone, streamed or not, and told by the run folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import assert_close_logs

from lookright.config import DataConfig, TrainConfig
from lookright.data import read_annotations
from lookright.data.corrupt import parse_corruption
from lookright.data.shards import read_shard_index, write_shards
from lookright.engine.run_data import choose, make_dataset, read_data
from lookright.engine.run_folder import RunFolder
from lookright.engine.run_images import images_of
from lookright.engine.setup import set_up
from lookright.engine.streaming import make_stream
from lookright.engine.train import train
from lookright.engine.trained_run import open_run
from lookright.errors import ConfigError

SPEC = "erode(0.1) + drop(0.5)"
Options = Callable[..., TrainConfig]


def test_the_training_split_alone_is_rough(options: Options) -> None:
    clean, rough = set_up(options()), set_up(options(corrupt=SPEC, seed=0))
    corruption = parse_corruption(SPEC)
    for i, item in enumerate(rough.train.items):
        before, after = (setup.train.marks(i)[0][1][0].float().numpy() for setup in (clean, rough))
        assert (after == corruption(before, seed=0, item_id=item.id)).all()
        assert 0 < after.sum() < 0.6 * before.sum()
    for i in range(len(clean.val)):
        assert torch.equal(clean.val.marks(i)[0][1], rough.val.marks(i)[0][1])


def test_a_run_tells_it_and_is_evaluated_on_what_is_true(options: Options, tmp_path: Path) -> None:
    config = options(corrupt=SPEC, out=tmp_path / "run")
    folder = train(config)
    assert folder.config().corrupt == SPEC
    run = open_run(folder.path)
    for split in ("train", "test"):
        annotation_set, images = images_of(run, split, config, negatives=True)
        clean = make_dataset(annotation_set, run.classifier, options())
        for i in range(len(clean)):
            assert torch.equal(images.marks(i)[0][1], clean.marks(i)[0][1])


def test_features_in_memory_or_not_and_a_resumed_run(options: Options, tmp_path: Path) -> None:
    def run(name: str, **changes: object) -> RunFolder:
        given = {"corrupt": SPEC, "train": "last-stage", "out": tmp_path / name, **changes}
        return train(options(**given))

    cached = run("cached")
    assert_close_logs(cached, run("photos", cache_features=False))
    with pytest.raises(ConfigError, match="corrupt"):
        run("cached", resume=True, corrupt="box")


def test_a_stream_gives_the_same(options: Options, digits: Path, tmp_path: Path) -> None:
    config = options(corrupt=SPEC, flip=False)
    setup = set_up(config)
    index = write_shards(read_annotations(DataConfig(data=digits)), tmp_path / "shards")
    stream = make_stream(read_shard_index(index.root), "train", setup.classifier, config, augment=True)
    found = {sample.id: sample.annotation for sample in stream}
    assert len(found) == len(setup.train)
    for sample in (setup.train.sample(i, mirrored=False) for i in range(len(setup.train))):
        assert torch.equal(found[sample.id], sample.annotation)
    plain = make_stream(index, "train", setup.classifier, config, negatives=True)
    clean = make_dataset(choose(read_data(config), config).split("train"), setup.classifier, config)
    expected = {sample.id: sample.annotation for sample in clean}
    assert all(torch.equal(sample.annotation, expected[sample.id]) for sample in plain)


def test_what_is_no_kind_is_refused_before_data_is_read(options: Options, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="corrupt: got 'blurr', choose one of dilate, erode, jitter"):
        set_up(options(corrupt="blurr", data=tmp_path / "missing"))
