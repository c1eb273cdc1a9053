"""`lookright pack`, and what is done with the shards then."""

import json
from pathlib import Path

import pytest
from commands_typed import SMALL, Type, is_one_line

pytest.importorskip("webdataset")


@pytest.fixture
def shards(digits: Path, tmp_path: Path, typed: Type) -> Path:
    told = typed("pack", digits, "--out", tmp_path / "shards", "--images-per-shard", 20)
    assert (told.code, told.err) == (0, "")
    assert told.out == f"{tmp_path / 'shards'}: 100 images, 100 of them annotated, in 5 shards\n"
    return tmp_path / "shards"


def test_pack_train_evaluate_report(shards: Path, tmp_path: Path, typed: Type) -> None:
    run = tmp_path / "run"
    told = typed("train", shards, "--out", run, *SMALL)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"{run}: 1 epoch in")
    told = typed("evaluate", run, "--device", "cpu")
    assert told.code == 0
    assert "accuracy" in told.out
    assert "(20 images)" in told.out
    about = json.loads((run / "evaluation" / "metrics.json").read_text())["about"]
    assert (about["data"], about["images"], about["annotated"]) == (str(shards), 20, 20)
    assert typed("report", run, "--out", tmp_path / "report.html").code == 0
    assert "holds shards" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train-per-class", 2], "train_per_class: images cannot be chosen from shards"),
        (["--format", "voc"], "format: given for shards, which hold what was packed"),
        (["--devices", 3], "3 processes need a shard each, and split 'train'"),
    ],
)
def test_refused_in_one_line(
    options: list[object], message: str, shards: Path, tmp_path: Path, typed: Type
) -> None:
    told = typed("train", shards, "--out", tmp_path / "run", *SMALL, *options)
    assert told.code == 2
    assert is_one_line(told.err)
    assert message in told.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("damage", ["missing", "cut short", "index"])
def test_damaged_shards_in_one_line(damage: str, shards: Path, tmp_path: Path, typed: Type) -> None:
    shard = shards / "train-0001.tar"
    if damage == "missing":
        shard.unlink()
    elif damage == "index":
        (shards / "shards.json").write_text("{")
    else:
        shard.write_bytes(shard.read_bytes()[:9000])
    told = typed("train", shards, "--out", tmp_path / "run", *SMALL, "--workers", 1)
    assert told.code == 2
    assert is_one_line(told.err.splitlines(keepends=True)[-1])
    assert str(shards) in told.err or "train-0001.tar" in told.err
    assert "Traceback" not in told.err


def test_what_else_reads_data_says_so(shards: Path, typed: Type) -> None:
    told = typed("check", shards)
    assert told.code == 2
    assert is_one_line(told.err)
    assert "holds shards" in told.err
