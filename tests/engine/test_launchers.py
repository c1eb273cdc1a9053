"""Runs that torchrun or SLURM's srun starts: every process calls the command line by itself."""

import multiprocessing
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import launched
import pytest
from small_runs import assert_close_logs, assert_same_run, tensors
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.testing import assert_close

from lookright import cli
from lookright.config import DataConfig, TrainConfig
from lookright.data import read_annotations
from lookright.data.shards import write_shards
from lookright.engine.processes import as_launched, find_launcher, make_fabric
from lookright.engine.run_folder import RunFolder
from lookright.engine.train import after_restart
from lookright.errors import ConfigError, ToldElsewhereError

RUN = shlex.split(
    "--method res-g --backbone small_runs:plain --weights none --image-size 32 --epochs 2 --lr 0.01 "
    "--accelerator cpu --train last-stage"
)
PRELOADED = ["lookright.cli", "lookright.engine.train", "lookright.data.stream", "timm", "pytest"]
NO_FEATURES = "features: 0 of 100 images from the cache\n"
FROZEN = ["--backbone", "small_cnn"]
SRUN = {
    "SLURM_NTASKS": "8",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_JOB_ID": "123456",
    "SLURM_NODELIST": "host[3-4]",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "WORLD_SIZE": "6",
    "LOCAL_WORLD_SIZE": "2",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
}


@pytest.fixture(autouse=True)
def nowhere_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fabric writes where processes meet into the environment: what it was comes back after each test."""
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], str]]:
    """`torchrun --nproc_per_node 2 -m lookright.cli ...` by its own machinery, but without a second import.

    Processes are forked off one that has imported everything and done nothing: autograd refuses to work in a
    copy of a process that has threads for it, as this one has once it has trained on a machine with a GPU.

    Gives the exit codes and what was written to standard error.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="test",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="forkserver",
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(str(tmp_path / "logs"), redirects=Std.ALL),
    )

    def run(
        *arguments: object, restarts: int = 0, entry: Callable[..., None] = launched.command_line
    ) -> tuple[list[str], str]:
        launch = elastic_launch(replace(config, max_restarts=restarts), entry)
        launch([str(argument) for argument in arguments], tmp_path)
        logs = sorted((tmp_path / "logs").rglob("stderr.log"))
        codes = [(tmp_path / rank).read_text() for rank in ("0", "1")]
        return codes, "".join(log.read_text() for log in logs)

    return run


def test_two_processes_of_torchrun_are_one_with_twice_the_batch(
    digits: Path, tmp_path: Path, torchrun: Callable[..., tuple[list[str], str]]
) -> None:
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    cli.main(["train", str(digits), *RUN, "--batch-size", "20", "--out", str(one.path)])
    codes, told = torchrun("train", digits, *RUN, "--batch-size", 10, "--out", two.path)
    assert (codes, told) == (["0", "0"], "")
    assert_close_logs(one, two)
    ours, theirs = tensors(one), tensors(two)
    for name in ours:
        assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)
    assert (two.config().devices, two.config().nodes) == (2, 1)


def test_two_processes_of_torchrun_read_each_image_of_the_shards_once(
    digits: Path, tmp_path: Path, torchrun: Callable[..., tuple[list[str], str]]
) -> None:
    """All images in one step: with any one left out or read twice the weights would differ."""
    pytest.importorskip("webdataset")
    write_shards(read_annotations(DataConfig(data=digits)), tmp_path / "shards", images_per_shard=5)
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    options = [*RUN, "--no-flip"]
    cli.main(["train", str(digits), *options, "--batch-size", "40", "--out", str(one.path)])
    arguments = ["--batch-size", 20, "--workers", 2, "--out", two.path]
    assert torchrun("train", tmp_path / "shards", *options, *arguments) == (["0", "0"], "")
    assert_close_logs(one, two)
    ours, theirs = tensors(one), tensors(two)
    for name in ours:
        assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_damaged_shards_end_all_processes_with_one_message(
    digits: Path, tmp_path: Path, torchrun: Callable[..., tuple[list[str], str]]
) -> None:
    """Each process finds one."""
    pytest.importorskip("webdataset")
    write_shards(read_annotations(DataConfig(data=digits)), tmp_path / "shards", images_per_shard=20)
    for shard in (tmp_path / "shards").glob("train-*.tar"):
        whole = shard.read_bytes()
        shard.write_bytes(whole[:700])  # in the middle of the first file
    run = RunFolder(tmp_path / "run")
    codes, told = torchrun("train", tmp_path / "shards", *RUN, "--batch-size", 4, "--out", run.path)
    assert codes == ["2", "2"]
    assert re.fullmatch(r"lookright: .*(a shard cannot be read|fewer images than|needs KEY).*\n", told), told
    assert run.facts()["status"] == "failed"


def test_a_run_that_torchrun_starts_again_goes_on(
    digits: Path,
    tmp_path: Path,
    torchrun: Callable[..., tuple[list[str], str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second process is lost in the second epoch; the first epoch is not trained again."""
    straight, lost = RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "lost")
    options = [*RUN, "--batch-size", 10]
    assert torchrun("train", digits, *options, "--out", straight.path) == (["0", "0"], "")
    # Or else processes may meet where those before them did (pytorch issue 135712).
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    arguments = ["train", digits, *options, "--out", lost.path]
    codes, _ = torchrun(*arguments, restarts=1, entry=launched.lost_once)
    assert codes == ["0", "0"]
    assert (tmp_path / "steps").read_text() == "00011", "two steps an epoch"
    assert_same_run(straight, lost)
    assert lost.facts()["status"] == "finished"


@pytest.mark.parametrize(
    ("variables", "is_there", "goes_on"),
    [
        (TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "1"}, True, True),
        (TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "1"}, False, False),
        (TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "0"}, True, False),
        (TORCHRUN, True, False),
        ({"TORCHELASTIC_RESTART_COUNT": "1"}, True, False),
    ],
    ids=["restarted", "before there was a run", "first start", "older torchrun", "alone"],
)
def test_a_restart_goes_on_with_the_run_that_there_is(
    variables: dict[str, str],
    is_there: bool,
    goes_on: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = TrainConfig(out=tmp_path / "run")
    if is_there:
        RunFolder(tmp_path / "run").create(config)
    assert after_restart(config) == replace(config, resume=goes_on)


def test_one_process_of_a_machine_computes_the_features_on_disk(
    digits: Path, tmp_path: Path, torchrun: Callable[..., tuple[list[str], str]]
) -> None:
    """The other one computes no more than those few on which it tries them out."""
    options = [*FROZEN, "--cache-dir", tmp_path / "cache", "--out", tmp_path / "run"]
    assert torchrun("train", digits, *RUN, *options, entry=launched.counting) == (["0", "0"], NO_FEATURES)
    first, second = (len((tmp_path / f"images {rank}").read_text()) for rank in (0, 1))
    assert first == 2 * 40 + 20, "training images, mirrored ones too, and those of val"
    assert 0 < second <= 4


def test_a_damaged_photo_ends_all_processes_with_one_message(
    digits: Path, tmp_path: Path, torchrun: Callable[..., tuple[list[str], str]]
) -> None:
    """The first process finds it while the second one waits for features."""
    shutil.copytree(digits, tmp_path / "data")
    photo = sorted((tmp_path / "data" / "images").rglob("*.png"))[-1]
    photos = [p for p in (tmp_path / "data" / "images").rglob("*.png") if p.parent == photo.parent]
    for photo in photos:  # of whatever split
        photo.write_bytes(photo.read_bytes()[:40])
    options = [*FROZEN, "--cache-dir", tmp_path / "cache", "--out", tmp_path / "run"]
    codes, told = torchrun("train", tmp_path / "data", *RUN, *options)
    assert codes == ["2", "2"]
    assert re.fullmatch(rf"{NO_FEATURES}lookright: .*\.png: cannot be read as an image .*\n", told), told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], r"out: .* exists and is not empty"),
        (["--devices", 3], r"devices: got 3, but torchrun started 2"),
        (["--epochs", 0], r"epochs: got 0"),
        (["--epcohs", 1], r"unknown option --epcohs; did you mean --epochs\?"),
        (["--out", "new", "--lr", 1e30], r"epoch \d: the (loss is|weights are) "),
    ],
    ids=["run folder in use", "other devices", "option", "mistyped", "while it trains"],
)
def test_a_refusal_ends_all_processes_with_one_message(
    options: list[object],
    message: str,
    digits: Path,
    tmp_path: Path,
    torchrun: Callable[..., tuple[list[str], str]],
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").touch()
    options = [tmp_path / "new" if option == "new" else option for option in options]
    codes, told = torchrun("train", digits, *RUN, "--out", tmp_path / "used", *options)
    assert codes == ["2", "2"]
    assert re.fullmatch(rf"lookright: {message}.*\n", told), told


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, None),
        (TORCHRUN, ("torchrun", 2, 3, 3)),
        (SRUN, ("srun", 4, 2, 5)),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None),
        (SRUN | {"SLURM_JOB_NAME": "interactive"}, None),
    ],
    ids=["alone", "torchrun", "srun", "one task", "interactive"],
)
def test_what_started_the_process(
    variables: dict[str, str], found: tuple[str, int, int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    launcher = find_launcher()
    if found is None:
        assert launcher is None
        return
    name, devices, nodes, rank = found
    assert launcher is not None
    assert (launcher.name, launcher.devices, launcher.nodes) == (name, devices, nodes)
    assert launcher.environment.global_rank() == rank
    config = as_launched(TrainConfig(accelerator="cpu", devices=devices))
    assert (config.devices, config.nodes) == (devices, nodes)
    fabric = make_fabric(config)
    assert type(fabric.strategy).__name__ == "DDPStrategy"
    assert (fabric.world_size, fabric.global_rank) == (devices * nodes, rank)


def test_srun_meets_on_the_first_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    launcher = find_launcher()
    assert launcher is not None
    assert (launcher.environment.main_address, launcher.environment.main_port) == ("host3", 15000 + 3456)


@pytest.mark.parametrize(
    ("variables", "config", "error", "message"),
    [
        ({}, TrainConfig(nodes=2), ConfigError, "nodes: got 2, but nothing started this process on several"),
        (
            SRUN | {"SLURM_LOCALID": "0"},
            TrainConfig(nodes=3),
            ConfigError,
            "got 3, but srun started 2",
        ),
        (SRUN, TrainConfig(nodes=3), ToldElsewhereError, "nodes: got 3"),
        ({"SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}, TrainConfig(), ConfigError, "--ntasks-per-node"),
    ],
    ids=["nobody", "first of its machine", "second of its machine", "no tasks per node"],
)
def test_options_that_do_not_fit_the_launcher(
    variables: dict[str, str],
    config: TrainConfig,
    error: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error, match=message):
        as_launched(config)
