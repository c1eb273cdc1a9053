"""`lookright cache`: what is there, and what is deleted."""

from pathlib import Path

import pytest
from commands_typed import Type, is_one_line


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOKRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_empty_cache(cache: Path, typed: Type) -> None:
    for arguments in ((), ("--clear",)):
        told = typed("cache", *arguments)
        assert (told.code, told.err) == (0, "")
        assert told.out.startswith(f"{cache / 'features'}: ")
        assert "0.0 MB" in told.out
        assert told.out.count("\n") == 1
    assert not cache.exists()


def test_a_run_fills_it_and_clear_empties_it(cache: Path, digits: Path, tmp_path: Path, typed: Type) -> None:
    options = ("--backbone", "small_cnn", "--weights", "none", "--image-size", 32, "--epochs", 1)
    run = typed(
        "train", digits, "--out", tmp_path / "run", *options, "--train", "head", "--accelerator", "cpu"
    )
    assert run.code == 0
    total, head, rule, row, how = typed("cache").out.splitlines()
    assert total.startswith(f"{cache / 'features'}: features of 1 frozen network(s), ")
    assert head.split("  ")[0] == "network"
    assert set(rule) == {"-", " "}
    network, layer, size, images, megabytes, *used = row.split()
    assert (network, size, images, len(used)) == ("small_cnn", "32", "60", 2)
    assert layer.startswith("features")
    assert float(megabytes) > 0
    assert how == "Delete them with: lookright cache --clear"
    assert f"{megabytes} MB deleted" in typed("cache", "--clear").out
    assert list((cache / "features").glob("*/index")) == []


def test_another_folder(tmp_path: Path, typed: Type) -> None:
    told = typed("cache", "--cache-dir", tmp_path / "other")
    assert told.out.startswith(str(tmp_path / "other"))
    (tmp_path / "file").write_text("")
    told = typed("cache", "--clear", "--cache-dir", tmp_path / "file")
    assert told.code == 0
    assert (tmp_path / "file").exists()


def test_a_damaged_file_is_told_and_cleared(cache: Path, typed: Type) -> None:
    folder = cache / "features" / ("ab" * 16)
    folder.mkdir(parents=True)
    (folder / "index").write_text("broken")
    told = typed("cache")
    assert f"not usable: {folder} is damaged" in told.out
    assert typed("cache", "--clear").code == 0
    assert not folder.exists()


def test_a_size_out_of_range(digits: Path, tmp_path: Path, typed: Type) -> None:
    told = typed("train", digits, "--out", tmp_path / "run", "--cache-gb", -1)
    assert told.code == 2
    assert is_one_line(told.err)
    assert "cache_gb: got -1.0, need 0 or more" in told.err
