"""The command: one whole quick run, and a user's mistakes."""

import json
import re
from pathlib import Path

import pytest
import torch

from lookright.bench.__main__ import main
from lookright.bench.memory import can_measure
from lookright.bench.settings import QUICK
from lookright.bench.suite import SECTIONS, measure

SAID = {
    "step": {"supervised step / plain step, time", "supervised step / plain step, speed"},
    "recommended": {"step of auto / plain step, time"},
    "memory": {"supervised step / plain step, peak memory"},
    "published": {"published structure / supervised step, time"},
    "captum": {"step with captum's LayerGradCam / supervised step, time"},
    "input-gradients": {
        "input-gradient step / plain step, time",
        "input-gradient step / plain step, operations",
    },
    "compile": set(),  # a compiler takes longer than a test may
    "maps": {
        "maps of 8 images: pytorch-grad-cam / ours, time",
        "maps of 8 images: captum / ours, time",
    },
    "evaluation": {"evaluation / plain inference, speed"},
    "correction": {
        "correction on 8 images, 2 epochs",
        "its rate / that of a large matrix product",
        "epoch, whole network / cached, time",
    },
    "annotate": {
        "lookright annotate, from its start to its address",
        "*Correct* pressed, 8 marked photos, to the first new map",
        "*Correct* pressed, 8 marked photos, to the first new map, features already there",
    },
    "many": {"5 methods x 2 seeds at once / one method's, time"},
    "loading": {"loading, from memory / plain step, speed", "loading, decoding / plain step, speed"},
    "threshold": {"adaptive threshold", "loop over candidates / adaptive threshold, time"},
    "start-up": {"start-up"},
}
"""section -> its figures, where there is no GPU"""


def test_a_quick_run_measures_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Their processes take seconds to start; test_memory.py and tests/annotate do that.
    monkeypatch.setattr("lookright.bench.suite.peak_bytes", lambda *_, **__: 1.0)
    monkeypatch.setattr("lookright.bench.corrected.seconds_to_first_map", lambda *_: 1.0)
    monkeypatch.setattr("lookright.bench.served.seconds_to_address", lambda *_: 1.0)
    main(["--quick", "--out", str(tmp_path / "bench"), "--device", "cpu"])
    whole = json.loads((tmp_path / "bench" / "bench.json").read_text(encoding="utf-8"))
    figures = whole["figures"]
    assert {figure["what"] for figure in figures} == {what for said in SAID.values() for what in said}
    for figure in figures:
        if "on a GPU" in figure["of"]:
            assert figure["figure"] is None
            assert figure["otherwise"].startswith("not measured")
        elif "memory" in figure["what"] and not can_measure(torch.device("cpu")):
            assert figure["figure"] is None
        else:
            assert 0 < figure["figure"]["median"] < 1e6
    shown = capsys.readouterr()
    assert shown.out == (tmp_path / "bench" / "bench.md").read_text(encoding="utf-8")
    assert "a trial" in shown.out.lower()


def test_sections_and_lists_are_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--only", "step", "gpu", "--batch-size", "2", "3", "--precision", "bf16", "--rounds", "1"]
    main(["--quick", *chosen, "--backbones", "small_cnn", "--device", "cpu", "--out", str(tmp_path)])
    figures = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["figures"]
    measured = [figure["of"] for figure in figures if figure["figure"]]
    assert measured == 2 * ["small_cnn, bf16, 2 images"] + 2 * ["small_cnn, bf16, 3 images"]
    assert "Batches of 2 or 3 images of 32 x 32 pixels, training in bf16." in capsys.readouterr().out


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookright.bench.suite.find_spec", lambda name: None)
    figures = list(measure(QUICK, torch.device("cpu"), ["captum", "maps"]))
    assert [figure.text for figure in figures] == 2 * [
        "not measured: captum is not installed (extra 'bench')"
    ]


def test_every_section_is_tested() -> None:
    assert list(SECTIONS) == [*SAID, "gpu"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbones", "resnet81"], "resnet81.*close: .*resnet18"),
        (["--batch-size", "0"], "batch_size: got 0, need 1 or more"),
        (["--rounds", "-1"], "rounds: got -1"),
        (["--only", "everything"], "argument --only: invalid choice: 'everything'"),
        (["--batch-size", "4", "0"], "batch_size: got 0, need 1 or more"),
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
