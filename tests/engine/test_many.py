"""Runs that learn together are the runs that `train` gives, up to rounding."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_runs import assert_close_logs, log, plain, tensors
from torch import nn

from lookright.config import TrainConfig
from lookright.engine.evaluate import evaluate
from lookright.engine.features import FeatureStore
from lookright.engine.many import loop, train_many
from lookright.engine.many.choose import choose
from lookright.engine.run_folder import RunFolder
from lookright.engine.train import train
from lookright.errors import ConfigError, NonFiniteError
from shapes_data import write_numbers

METHODS = ("baseline", "res-g", "gradia", "energy", "evidence", "haics", "cyborg + 0.3*res-l")
Options = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of all but the head: those of the frozen part do not depend on the seed."""
    torch.manual_seed(1)
    file = tmp_path_factory.mktemp("weights") / "plain.safetensors"
    save_file({k: v for k, v in plain(10).state_dict().items() if not k.startswith("6.")}, file)
    return file


@pytest.fixture
def head(options: Options, tmp_path: Path, weights: Path) -> Options:
    """Options of a run that trains a head, in a folder named after method and seed."""

    def make(method: str = "res-g", seed: int = 0, folder: str = "many", **changes: object) -> TrainConfig:
        usual = {
            "backbone": "small_runs:plain",
            "weights": str(weights),
            "train": "head",
            "epochs": 3,
            "batch_size": 8,
            "lr": 0.05,
            "cache_gb": 0.0,
            "out": tmp_path / folder / f"{method}-{seed}",
        }
        return options(method=method, seed=seed, **(usual | changes))

    return make


def both(configs: Sequence[TrainConfig]) -> list[tuple[RunFolder, RunFolder]]:
    """Each run as `train_many` and as `train` gives it."""
    together = train_many(configs)
    store = FeatureStore()
    alone = []
    for config in configs:
        out = Path(str(config.out))
        alone.append(train(replace(config, out=out.parent / "alone" / out.name), store=store))
    return list(zip(together, alone, strict=True))


def assert_same(one: RunFolder, other: RunFolder) -> None:
    """Equal logs, facts and checkpoints, up to rounding."""
    assert_close_logs(one, other)
    for name in (
        "best_epoch",
        "unsupervised_epochs",
        "epochs_done",
        "status",
        "classes",
        "target_layer",
        "trained_weights",
        "images",
    ):
        assert one.facts()[name] == other.facts()[name], name
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        # Min-max cancels an imputer's bias: its gradient is rounding alone, which Adam makes steps of.
        if name.endswith("imputer.layers.0.bias") or name.startswith("optimizer/3/"):
            continue
        scale = max(1.0, float(theirs[name].abs().max()) if tensor.numel() else 1.0)
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=2e-4 * scale, msg=name)


def test_runs_are_those_that_train_gives(head: Options, caplog: pytest.LogCaptureFixture) -> None:
    configs = [head(method, seed) for method in METHODS for seed in (0, 1, 2)]
    with caplog.at_level(logging.INFO, logger="lookright"):
        pairs = both(configs)
    assert "21 runs are trained together" in caplog.text
    for one, other in pairs:
        assert_same(one, other)
    # The scale of the explanation loss is measured at the start, run by run.
    scales = {float(tensors(one)["objective/scale"][0]) for one, _ in pairs[3:]}
    assert len(scales) > 10


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "weighting": "fixed", "schedule": "constant"},
        {"explain": "predicted", "score": "log-probability", "explanation_warmup": 0.5, "weighting": "fixed"},
        {"score": "runner-up", "explainer": "cam", "annotated_per_class": 2},
        {"corrupt": "drop(0.5) + graded"},
        {
            "explainer": "hires-cam",
            "flip": False,
            "best": "both",
            "patience": 1,
            "epochs": 6,
            "validate_every": 2,
            "per_image": True,
        },
    ],
    ids=["sgd", "log-probability", "runner-up", "corrupt", "patience"],
)
def test_options_count(head: Options, changes: dict[str, object], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lookright"):
        pairs = both([head("res-g", seed, **changes) for seed in (3, 4)])
    assert "2 runs are trained together" in caplog.text
    for one, other in pairs:
        assert_same(one, other)


def test_a_method_may_miss_seeds_and_a_loss_need_not_be_vectorised(
    head: Options, caplog: pytest.LogCaptureFixture
) -> None:
    mine = "small_runs.Stubborn"
    with caplog.at_level(logging.INFO, logger="lookright"):
        pairs = both([head("gradia", 0), head("gradia", 2), head(mine, 2), head("haics", 1), head(mine, 0)])
    assert "5 runs are trained together" in caplog.text
    for one, other in pairs:
        assert_same(one, other)


def test_numbers_are_predicted_by_many_runs(
    head: Options, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_numbers(tmp_path / "numbers")
    usual = {"data": tmp_path / "numbers", "epochs": 2, "weighting": "fixed"}
    with caplog.at_level(logging.INFO, logger="lookright"):
        pairs = both([head("gradia", seed, **usual) for seed in (0, 1)])
    assert "2 runs are trained together" in caplog.text
    for one, other in pairs:
        assert_same(one, other)


def test_other_runs_train_alone_and_the_log_says_why(head: Options, caplog: pytest.LogCaptureFixture) -> None:
    configs = [
        head("gradia", 0, epochs=1),
        head("gradia", 1, epochs=1),
        head("rrr", 0, epochs=1),
        head("res-l", 0, epochs=1, imputer="s2"),
        head("ce", 0, epochs=1),
        head("exchange", 0, epochs=1),
        head("hint", 0, epochs=1, train="all"),
        head("hint", 1, epochs=1, explainer="layer-cam", folder="layercam"),
        head("hint", 2, epochs=1, explainer="layer-cam", folder="layercam"),
    ]
    with caplog.at_level(logging.INFO, logger="lookright"):
        folders = train_many(configs)
    said = [record.getMessage() for record in caplog.records if "alone" in record.getMessage()]
    assert ["2 runs are trained together" in caplog.text, len(said)] == [True, 7]
    for why in (
        "explainer of its own",
        "looks at the image",
        "counterexamples",
        "exchanged",
        "train: all",
        "LayerCAM",
    ):
        assert any(why in line for line in said), why
    assert [folder.path for folder in folders] == [config.out for config in configs]
    assert {folder.facts()["status"] for folder in folders} == {"finished"}


def test_options_that_change_no_result_part_no_runs() -> None:
    plain = TrainConfig(train="head")
    others = {"seed": 1, "out": Path("b"), "guard": False, "cache_dir": Path("c"), "cache_gb": 1.0}
    assert choose([plain, replace(plain, **others, workers=2)]).groups == [[0, 1]]


def test_frozen_weights_that_differ_are_not_shared(head: Options, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lookright"):
        train_many([head("gradia", seed, weights="none", epochs=1) for seed in (0, 1)])
    assert "its frozen weights are not those of the first seed" in caplog.text


def test_a_run_can_be_evaluated_and_resumed(head: Options) -> None:
    configs = [head("res-l", seed, epochs=2) for seed in (0, 1)]
    folder, _ = train_many(configs)
    assert evaluate(folder.path, device="cpu", progress=False)
    assert len(log(folder)) == 2
    train(replace(folder.config(), resume=True))  # nothing is left to do, and all that is needed is there
    assert len(log(folder)) == 2


def test_a_run_that_fails_leaves_the_others_alone(head: Options) -> None:
    fragile = "small_runs.Fragile"
    configs = [head("gradia", 0, weighting="fixed"), head(fragile, 0, weighting="fixed"), head("haics", 0)]
    with pytest.raises(NonFiniteError, match=r"Fragile.*not finite"):
        train_many(configs)
    status = [RunFolder(str(config.out)).facts()["status"] for config in configs]
    assert status == ["finished", "failed", "finished"]
    other = train(replace(configs[0], out=configs[0].out.parent / "alone"))
    assert_same(RunFolder(str(configs[0].out)), other)


def test_runs_that_fail_alone_leave_the_others_alone(head: Options) -> None:
    fragile = "small_runs.Fragile"
    configs = [
        head(fragile, seed, weighting="fixed", train="all", folder=f"fragile-{seed}") for seed in (0, 1)
    ] + [head("haics", 0, train="all")]
    with pytest.raises(NonFiniteError, match=r"^2 runs failed: .*Fragile-0: .*; .*Fragile-1: "):
        train_many(configs)
    status = [RunFolder(str(config.out)).facts()["status"] for config in configs]
    assert status == ["failed", "failed", "finished"]


def test_a_bug_in_a_run_that_is_trained_alone_leaves_the_others_alone(
    head: Options, caplog: pytest.LogCaptureFixture
) -> None:
    def config(method: str, seed: int) -> TrainConfig:
        return head(method, seed, weighting="fixed", train="all", folder=f"{method[-7:]}-{seed}")

    broken, well = config("small_runs.Broken", 0), config("haics", 0)
    with pytest.raises(ZeroDivisionError) as one:
        train_many([broken, well])
    assert one.value.__notes__ == [f"in the run {broken.out}"]
    assert "Traceback" in caplog.text
    last = config("haics", 1)
    with pytest.raises(RuntimeError, match=r"^2 runs failed: .*Fragile-1: .*; ZeroDivisionError: .* in "):
        train_many([config("small_runs.Fragile", 1), config("small_runs.Broken", 1), last])
    status = [RunFolder(str(run.out)).facts()["status"] for run in (broken, well, last)]
    assert status == ["failed", "finished", "finished"]


def test_interrupted_runs_keep_what_they_learned(head: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    own = loop.Loop._epoch

    def stop_later(self: loop.Loop, epoch: int, living: object) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        own(self, epoch, living)

    monkeypatch.setattr(loop.Loop, "_epoch", stop_later)
    configs = [head("gradia", seed) for seed in (0, 1)]
    with pytest.raises(KeyboardInterrupt):
        train_many(configs)
    monkeypatch.undo()
    for config in configs:
        folder = RunFolder(str(config.out))
        assert (folder.facts()["status"], len(log(folder))) == ("interrupted", 2)
        resumed = train(replace(config, resume=True))
        whole = train(replace(config, out=folder.path.parent / f"whole-{config.seed}"))
        assert_same(resumed, whole)


def test_mistakes_leave_no_folder_behind(head: Options, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two runs would write"):
        train_many([head("gradia"), head("gradia")])
    with pytest.raises(ConfigError, match="out: missing"):
        train_many([head("gradia", out=None)])
    with pytest.raises(ConfigError, match="gradai"):
        train_many([head("gradia"), head("gradai")])
    (tmp_path / "many" / "gradia-1").mkdir(parents=True)
    (tmp_path / "many" / "gradia-1" / "notes.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        train_many([head("gradia", 0), head("gradia", 1)])
    assert not (tmp_path / "many" / "gradia-0").exists()


def test_features_are_arranged_in_each_step_where_they_do_not_fit(
    head: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookright.engine.many import cells

    own = cells.Cells.__init__

    def without_table(self: cells.Cells, *given: object) -> None:
        own(self, *given)
        self._table = None

    monkeypatch.setattr(cells.Cells, "__init__", without_table)
    for one, other in both([head("gradia", seed, epochs=2) for seed in (0, 1)]):
        assert_same(one, other)


def test_a_head_that_is_no_single_linear_layer_is_none() -> None:
    from lookright.engine.many.heads import find_head

    frozen = nn.Conv2d(3, 4, 3).requires_grad_(False)
    assert find_head(nn.Sequential(frozen, nn.Linear(4, 3), nn.Linear(3, 2))) is None
    assert find_head(nn.Sequential(frozen, nn.BatchNorm2d(4))) is None
    assert find_head(nn.Sequential(frozen, nn.Conv2d(4, 2, 3))) is None
    assert find_head(nn.Sequential(frozen, nn.Conv2d(4, 2, 1, bias=False))) is not None
