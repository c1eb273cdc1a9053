"""Options become a run, or a message that says everything that is wrong with them."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lookright.config import TrainConfig
from lookright.data import AnnotationSet, read_annotations, write_decoy_digits
from lookright.engine.checkpoint import load_checkpoint, stripped
from lookright.engine.export import export_run
from lookright.engine.option_check import check_options
from lookright.engine.run_data import read_data
from lookright.engine.run_folder import RunFolder
from lookright.engine.setup import set_up
from lookright.engine.train import train
from lookright.engine.trained_run import open_run, start_from
from lookright.errors import CheckpointError, ConfigError, DataError, LookrightWarning
from lookright.losses import METHODS
from lookright.models import create
from lookright.types import Task


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": None}, "data: missing; give the folder of your images"),
        ({"out": None}, "out: missing; give the run folder to write"),
        ({"epochs": 0}, "epochs: got 0, need 1 or more"),
        ({"slack": -0.1}, "slack: got -0.1, need 0 or more"),
        ({"slack": float("nan")}, "slack: got nan, need 0 or more"),
        ({"weighting": "gradients"}, "weighting: got 'gradients', choose one of gradient, fixed"),
        ({"optimizer": "AdamW"}, "optimizer: got 'AdamW', choose one of adamw, adam, sgd"),
        ({"epochs": 2.5, "best": "iou"}, "epochs: got 2.5, need a whole number; best: got 'iou', choose one"),
        ({"patience": "never"}, "patience: got 'never', need a whole number or None"),
        ({"flip": "no"}, "flip: got 'no', need True or False"),
        ({"lr": "3e-4"}, "lr: got '3e-4', need a number"),
        ({"combine": "max"}, "combine: got 'max', choose one of mean, majority, agreement"),
        ({"positive_categories": "dog"}, "positive_categories: got 'dog', need a list of texts"),
        ({"data": 3}, "data: got 3, need a path or None"),
        ({"batch_size": -1}, "batch_size: got -1, need 1 or more"),
        ({"accumulate": 0}, "accumulate: got 0, need 1 or more"),
        ({"devices": 0}, "devices: got 0, need 1 or more"),
        ({"image_size": 0}, "image_size: got 0, need 1 or more"),
        ({"train_per_class": 0}, "train_per_class: got 0, need a positive number"),
        ({"annotated_per_class": -1}, "annotated_per_class: got -1, need a positive number"),
        ({"patience": 0}, "patience: got 0, need a positive number"),
        ({"lr": 0.0}, "lr: got 0.0, need more than 0"),
        ({"lr": float("nan")}, "lr: got nan, need more than 0"),
        ({"lr": float("inf")}, "lr: got inf, need more than 0"),
        ({"warmup": 1.5}, "warmup: got 1.5, need a share in [0, 1]"),
        ({"explanation_weight": -0.1}, "explanation_weight: got -0.1, need 0 or more"),
        ({"explanation_weight": float("nan")}, "explanation_weight: got nan, need 0 or more"),
        ({"seed": -1}, "seed: got -1, need 0 or more"),
        ({"workers": -1}, "workers: got -1, need 0 or more"),
        ({"regularizer": -1.0}, "regularizer: got -1.0"),
        ({"threshold": 2.0}, "threshold: got 2.0"),
        ({"devices": 41}, "40 images cannot be shared out among 41 processes"),
        ({"method": "exchange + evidence", "compile": True}, "compile: the method exchange changes features"),
        ({"method": "res-l", "image_size": 30, "target_layer": "features.0"}, "stride"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_an_option_out_of_its_range(
    changes: dict[str, object], told: str, options: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(ConfigError) as error:
        set_up(replace(options(), **changes))
    assert told in str(error.value)


def test_a_text_is_a_path(options: Callable[..., TrainConfig]) -> None:
    config = options()
    texts = replace(config, data=str(config.data), out=str(config.out), cache_dir="cache")
    assert texts == replace(config, cache_dir=Path("cache"))
    check_options(texts)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        check_options(TrainConfig(epochs=0, lr=-1.0, warmup=7.0))
    assert [part.split(":")[0] for part in str(error.value).split("; ") if ":" in part] == [
        *("data", "out", "epochs", "lr", "warmup")
    ]


@pytest.mark.parametrize("where", [{"devices": 2}, {"nodes": 2}])
@pytest.mark.parametrize(
    ("method", "flag", "refused"),
    [
        ("res-l", True, True),
        ("0.5*res-l", True, True),
        ("res-l + evidence", True, True),
        ("res-l(stop_gradient=true)", False, True),
        ("res-l", False, False),
        ("res-l(stop_gradient=false)", True, False),
        ("res-l(regularizer=0.1)", True, False),
        ("res-l(impute=false)", True, False),
        ("res-g + evidence", True, False),
    ],
)
def test_an_imputer_that_learns_nothing_is_not_for_several_processes(
    where: dict[str, int], method: str, flag: bool, refused: bool, tmp_path: Path
) -> None:
    config = TrainConfig(data=tmp_path, out=tmp_path, method=method, stop_gradient=flag)
    check_options(config)
    with pytest.raises(ConfigError, match="stop_gradient: needs") if refused else nullcontext():
        check_options(replace(config, **where))


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("robust-vit", "complete")])
def test_the_parts_of_a_run(method: str, options: Callable[..., TrainConfig]) -> None:
    setup = set_up(options(method=method, annotated_per_class=2, train_per_class=3, train="head"))
    assert len(setup.train) == 30
    assert sum(setup.train.annotated) == 20
    assert setup.val is not None
    assert not setup.val.flip
    assert len(setup.val) == 20
    assert setup.scope.trained == ("head.weight", "head.bias")
    assert bool(setup.objective.terms) is (METHODS[method].loss is not None or bool(METHODS[method].sum))
    assert bool(setup.completion) is ("complete" in METHODS[method].sum)
    assert setup.annotated_images == 20
    assert bool(setup.counterexamples) is (method == "ce")
    assert bool(setup.exchange) is (method == "exchange")


def test_a_method_that_does_not_fit_the_network(options: Callable[..., TrainConfig]) -> None:
    with pytest.raises(ConfigError, match="no attention"):
        set_up(options(method="robust-vit"))


def test_same_seed_same_network_and_images(options: Callable[..., TrainConfig]) -> None:
    one, two, other = (
        set_up(options(seed=seed, train_per_class=2, annotated_per_class=1, method="res-l"))
        for seed in (0, 0, 1)
    )
    assert one.train.items == two.train.items != other.train.items
    for name, value in one.classifier.network.state_dict().items():
        assert torch.equal(value, two.classifier.network.state_dict()[name])
    assert not torch.equal(one.classifier.network.head.weight, other.classifier.network.head.weight)


def test_a_method_without_annotations_to_learn_from(
    digits: Path, tmp_path: Path, options: Callable[..., TrainConfig]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "images").symlink_to(digits / "images")
    (data / "split.csv").write_text((digits / "split.csv").read_text())
    with pytest.raises(
        ConfigError, match="method: gradia needs annotations, and none of the 40 training images"
    ):
        set_up(options(data=data, method="gradia"))
    set_up(options(data=data, method="baseline"))
    with pytest.raises(ConfigError, match="best: both needs annotated validation images"):
        set_up(options(data=data, method="baseline", best="both"))


@pytest.mark.parametrize(
    ("method", "folder", "told"),
    [
        ("rrr", "masks", r"method: rrr uses negative marks alone \(RRR\), and none of the 40 annotated"),
        (
            "ce",
            "masks",
            r"negative marks alone \(Counterexamples\).*no evidence may be, give --negatives-outside",
        ),
        ("gradia + rrr", "masks", r"gradia \+ rrr uses negative marks alone \(RRR\).* res-g, "),
        (
            "gals-match",
            "negatives",
            r"gals-match uses positive marks alone \(GALSMatch\).*where the evidence is",
        ),
    ],
)
def test_a_method_whose_marks_are_missing(
    method: str, folder: str, told: str, digits: Path, tmp_path: Path, options: Callable[..., TrainConfig]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for part in ("images", folder):
        (data / part).symlink_to(digits / part)
    (data / "split.csv").write_text((digits / "split.csv").read_text())
    with pytest.raises(ConfigError, match=told):
        set_up(options(data=data, method=method))
    for other in ("haics", "evidence"):  # either sign will do
        set_up(options(data=data, method=other))


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("0.5*ce", "ce is no loss: it stands once and without a weight"),
        ("ce + ce", "ce is no loss"),
        ("0.5*exchange", "exchange is no loss: it stands once and without a weight"),
        ("0.5*complete + evidence", "complete is no loss: it stands once and without a weight"),
        ("auto + complete", "; auto + complete means complete + isolate + evidence + "),
        ("auto + lookright", "is no loss: it stands once"),
        (
            "auto(slack=0)",
            "auto has no options; it stands for 'complete + isolate + evidence + ",
        ),
        ("complete(threshold=1) + evidence", "threshold: got 1, need a number in (0, 1)"),
        ("complete(reliable=0.4) + evidence", "reliable: got 0.4, need a number in [0.5, 1]"),
        ("complete(folds=1) + evidence", "folds: got 1, need 2 or more"),
        ("evidence + soft-iou(score=probability)", "score: got 'probability', choose one of contrast, logit"),
        ("exchange(share=0)", "share: got 0, need a share in (0, 1]"),
        ("exchange(fill=mean)", "method: exchange has no option 'fill'; it has share"),
        ("ce(copies=0)", "copies: got 0, need 1 or more"),
        ("ce(fill=black)", "fill: got 'black', choose one of uniform, constant, shuffle, exchange"),
        ("ce(size=3)", "method: ce has no option 'size'; it has copies, fill"),
    ],
)
def test_changes_of_batches_that_cannot_be(
    method: str, told: str, options: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(ConfigError) as error:
        set_up(options(method=method))
    assert told in str(error.value)


def test_one_class_is_no_classification(tmp_path: Path, digits: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "0").symlink_to(digits / "images" / "0")
    with pytest.raises(DataError, match="class"):
        read_data(TrainConfig(data=tmp_path / "data"))


def test_problems_that_can_be_lived_with_are_warned_of(tmp_path: Path) -> None:
    data = write_decoy_digits(tmp_path / "data", per_class_train=2, per_class_val=1, per_class_test=1)
    (data / "masks" / "0" / "nobody.png").write_bytes(
        (next((data / "masks" / "0").glob("*.png"))).read_bytes()
    )
    with pytest.warns(LookrightWarning, match="lookright check lists all"):
        read_data(TrainConfig(data=data))


class TestStart:
    """`--from RUN` and `--from FILE`: weights of the whole network, head included."""

    def test_a_run(self, finished: Path, options: Callable[..., TrainConfig]) -> None:
        network = set_up(options(start=finished, weights="bundled")).classifier.network
        kept = stripped("network", load_checkpoint(RunFolder(finished).best)[0])
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    def test_a_file(self, suffix: str, tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
        state = create("small_cnn", num_classes=10, image_size=32).network.state_dict()
        file = tmp_path / f"mine{suffix}"
        save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
        network = set_up(options(start=file)).classifier.network
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())

    def test_what_was_exported(
        self, finished: Path, tmp_path: Path, options: Callable[..., TrainConfig]
    ) -> None:
        weights = export_run(finished, tmp_path / "export", onnx=False)[0]
        network = set_up(options(start=weights)).classifier.network
        kept = stripped("network", load_checkpoint(RunFolder(finished).best)[0])
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())

    def test_goes_on_learning(self, finished: Path, options: Callable[..., TrainConfig]) -> None:
        folder = train(options(start=finished, epochs=1, method="evidence"))
        assert str(finished) in folder.facts()["weights"]

    def test_another_number_of_classes(self, tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
        file = tmp_path / "mine.safetensors"
        save_file(create("small_cnn", num_classes=3, image_size=32).network.state_dict(), file)
        with pytest.raises(
            CheckpointError, match=r"mine\.safetensors.*head\.weight \(3, 64\) instead of \(10, 64\)"
        ):
            set_up(options(start=file))

    def test_another_network(self, finished: Path, options: Callable[..., TrainConfig]) -> None:
        with pytest.raises(CheckpointError, match="these weights are of another network"):
            set_up(options(start=finished, backbone="small_runs:plain"))

    def test_other_class_names(self, finished: Path) -> None:
        classifier = create("small_cnn", num_classes=10, image_size=32)
        data = AnnotationSet(Path(), tuple("abcdefghij"), ())
        with pytest.raises(CheckpointError, match=r"knows the classes 0, 1, .*; the data has a, b"):
            start_from(classifier, finished, data)

    def test_another_task(self, finished: Path) -> None:
        classifier = create("small_cnn", num_classes=10, image_size=32)
        data = AnnotationSet(Path(), tuple(map(str, range(10))), (), task=Task.MULTI_LABEL)
        with pytest.raises(
            CheckpointError, match="for a single-label task, the data is for a multi-label one"
        ):
            start_from(classifier, finished, data)

    def test_class_names_in_another_order(self, finished: Path) -> None:
        classifier = create("small_cnn", num_classes=10, image_size=32)
        with pytest.raises(CheckpointError, match="the data has 9, 8"):
            start_from(
                classifier, finished, AnnotationSet(Path(), tuple(str(i) for i in range(9, -1, -1)), ())
            )

    def test_no_run(self, tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            set_up(options(start=tmp_path))


class TestOpenRun:
    def test_network_and_classes(self, finished: Path) -> None:
        run = open_run(finished)
        assert run.classes == tuple(str(digit) for digit in range(10))
        assert not any(module.training for module in run.classifier.network.modules())
        kept = stripped("network", load_checkpoint(RunFolder(finished).best)[0])
        assert all(torch.equal(v, kept[n]) for n, v in run.classifier.network.state_dict().items())

    def test_no_data_is_needed(self, tmp_path: Path, options: Callable[..., TrainConfig]) -> None:
        """A run that was handed on, without the photos that it was trained on."""
        data = write_decoy_digits(tmp_path / "data", per_class_train=2, per_class_val=1, per_class_test=1)
        train(options(data=data, epochs=1))
        data.rename(tmp_path / "gone")
        assert (
            open_run(tmp_path / "run").classes
            == read_annotations(TrainConfig(data=tmp_path / "gone")).classes
        )

    @pytest.mark.parametrize("kept", [0, 100, -1])
    def test_a_damaged_checkpoint(self, kept: int, options: Callable[..., TrainConfig]) -> None:
        folder = train(options(epochs=1))
        folder.best.write_bytes(folder.best.read_bytes()[:kept])
        with pytest.raises(CheckpointError, match=r"best\.safetensors: damaged"):
            open_run(folder.path)

    def test_the_checkpoint_of_another_model(
        self, finished: Path, tmp_path: Path, options: Callable[..., TrainConfig]
    ) -> None:
        folder = train(options(epochs=1, backbone="small_runs:plain"))
        folder.best.write_bytes(RunFolder(finished).best.read_bytes())
        with pytest.raises(CheckpointError, match=r"best\.safetensors: these weights are of another network"):
            open_run(folder.path)
