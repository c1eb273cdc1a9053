"""The command: one whole quick run, and a user's mistakes."""

import json
import re
from pathlib import Path

import pytest
import torch

from lookright.bench.__main__ import main
from lookright.bench.memory import can_measure


def test_a_quick_run_measures_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--out", str(tmp_path / "bench"), "--device", "cpu"])
    whole = json.loads((tmp_path / "bench" / "bench.json").read_text(encoding="utf-8"))
    measured = {figure["what"]: figure for figure in whole["figures"]}
    assert list(measured) == [
        "supervised step / plain step, time",
        "supervised step / plain step, peak memory",
        "published structure / supervised step, time",
        "evaluation / plain inference, speed",
        "adaptive threshold",
        "loop over candidates / adaptive threshold, time",
    ]
    for what, figure in measured.items():
        if "memory" in what and not can_measure(torch.device("cpu")):
            assert figure["figure"] is None
        else:
            assert 0 < figure["figure"]["median"] < 1000
    shown = capsys.readouterr()
    assert shown.out == (tmp_path / "bench" / "bench.md").read_text(encoding="utf-8")
    assert "a trial" in shown.out.lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbones", "resnet81"], "resnet81.*close: .*resnet18"),
        (["--batch-size", "0"], "batch_size: got 0, need 1 or more"),
        (["--rounds", "-1"], "rounds: got -1"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--batch", "4"], "unrecognized arguments"),
        (["--quick", "--out", "file/bench"], "file/bench: cannot be written .*--out"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("lookright.bench: ")
    assert shown.count("\n") == 1
    assert re.search(message, shown)
