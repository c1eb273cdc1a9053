"""Rows on disk: what was written is read back, whoever is killed, whatever is damaged."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lookright.engine import feature_file
from lookright.engine.feature_file import FeatureFile, Row, UnusableFileError

FORK = multiprocessing.get_context("fork") if "fork" in multiprocessing.get_all_start_methods() else None


def name(i: int) -> Row:
    return f"{i:032x}", i % 2 == 1


def value(i: int) -> Tensor:
    """The row that belongs to a name: (2, 3)."""
    return torch.arange(6.0).view(2, 3) + 10 * i


def values(numbers: list[int]) -> Tensor:
    return torch.stack([value(i) for i in numbers])


def assert_holds(file: FeatureFile, numbers: list[int]) -> None:
    found = [file.find(name(i)) for i in numbers]
    assert None not in found
    assert torch.equal(file.take(found), values(numbers))


def written(folder: Path, count: int) -> FeatureFile:
    file = FeatureFile(folder)
    file.add([name(i) for i in range(count)], values(list(range(count))))
    return file


def test_what_was_written_is_read_in_any_order(tmp_path: Path) -> None:
    written(tmp_path, 5)
    file = FeatureFile(tmp_path)
    assert len(file) == 5
    assert_holds(file, [4, 0, 2, 2])
    assert file.find(name(5)) is None
    assert file.find((name(4)[0], True)) is None, "mirrored is another row"
    file.add([name(5), name(1), name(5)], values([5, 99, 5]))
    assert_holds(FeatureFile(tmp_path), list(range(6)))
    assert (tmp_path / "rows").stat().st_size == 6 * 24, "no row twice"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_types_survive(dtype: torch.dtype, tmp_path: Path) -> None:
    features = torch.randn(3, 4, 2, 2).to(dtype)
    FeatureFile(tmp_path).add([name(i) for i in range(3)], features)
    file = FeatureFile(tmp_path)
    stored = file.take([file.find(name(i)) for i in range(3)])
    assert stored.dtype == dtype
    assert torch.equal(stored, features)


def test_a_tail_cut_anywhere_is_left_out_and_overwritten(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    written(whole, 4)
    index, rows = (whole / "index").read_bytes(), (whole / "rows").read_bytes()
    record = (len(index) - index.index(b"\n") - 1) // 4
    for cut in range(2 * record + 1):
        for row_cut in (0, 1, 24):
            folder = tmp_path / f"{cut}-{row_cut}"
            folder.mkdir()
            (folder / "index").write_bytes(index[: len(index) - cut])
            (folder / "rows").write_bytes(rows[: len(rows) - row_cut])
            file = FeatureFile(folder)
            whole_records, whole_rows = 4 - -(-cut // record), 4 - -(-row_cut // 24)
            assert len(file) == min(whole_records, whole_rows)
            assert_holds(file, list(range(len(file))))
            file.add([name(i) for i in (7, 8)], values([7, 8]))
            assert_holds(FeatureFile(folder), [*range(min(whole_records, whole_rows)), 7, 8])
            shutil.rmtree(folder)


def _write_on(folder: Path, start: int) -> None:
    file = FeatureFile(folder)
    for i in range(start, start + 100_000, 3):
        file.add([name(i + j) for j in range(3)], values([i + j for j in range(3)]))


@pytest.mark.skipif(FORK is None, reason="no fork here")
def test_a_process_killed_while_it_writes_leaves_a_usable_file(tmp_path: Path) -> None:
    draw = random.Random(0)
    counts = []
    for attempt in range(12):
        process = FORK.Process(target=_write_on, args=(tmp_path, 1_000_000 * (attempt % 2)))
        process.start()
        deadline = time.monotonic() + 20
        while len(FeatureFile(tmp_path)) <= sum(counts[-1:]) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        file = FeatureFile(tmp_path)
        assert_holds(file, [int(digest, 16) for digest, _ in file.rows])
        counts.append(len(file))
        assert file.damaged == 0
    assert counts == sorted(set(counts)), "every process wrote on where the one before was killed"


def _write_some(folder: Path, numbers: list[int]) -> None:
    file = FeatureFile(folder)
    for i in numbers:
        file.add([name(i)], values([i]))


@pytest.mark.skipif(FORK is None, reason="no fork here")
def test_two_processes_write_at_once(tmp_path: Path) -> None:
    orders = (list(range(150)), list(range(199, 49, -1)))
    both = [FORK.Process(target=_write_some, args=(tmp_path, order)) for order in orders]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    file = FeatureFile(tmp_path)
    assert_holds(file, list(range(200)))
    assert (tmp_path / "rows").stat().st_size == 200 * 24, "no row twice"


def test_an_open_file_sees_what_another_added_when_it_writes(tmp_path: Path) -> None:
    first, second = FeatureFile(tmp_path), FeatureFile(tmp_path)
    first.add([name(0)], values([0]))
    second.add([name(1)], values([1]))
    first.add([name(1), name(2)], values([98, 2]))
    for file in (first, FeatureFile(tmp_path)):
        assert_holds(file, [0, 1, 2])


def test_a_damaged_row_is_not_there_until_it_is_written_again(tmp_path: Path) -> None:
    written(tmp_path, 3)
    rows = bytearray((tmp_path / "rows").read_bytes())
    rows[24 + 5] ^= 1
    (tmp_path / "rows").write_bytes(rows)
    file = FeatureFile(tmp_path)
    assert file.find(name(1)) is None
    assert file.damaged == 1
    assert_holds(file, [0, 2])
    file.add([name(1)], values([1]))
    for reader in (file, FeatureFile(tmp_path)):
        assert_holds(reader, [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda index: index.replace(b'"lookright features": 1', b'"lookright features": 2'), "damaged"),
        (lambda index: b"", "damaged"),
        (lambda index: index[:30], "damaged"),
        (lambda index: b"\xff" + index[1:], "damaged"),
    ],
)
def test_a_damaged_header_is_refused(change: object, told: str, tmp_path: Path) -> None:
    written(tmp_path, 2)
    (tmp_path / "index").write_bytes(change((tmp_path / "index").read_bytes()))
    with pytest.raises(UnusableFileError, match=told):
        FeatureFile(tmp_path)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(feature_file, "VERSION", 99)
        written(tmp_path, 2)
    with pytest.raises(UnusableFileError, match=r"another version of lookright \(format 99, not 1\)"):
        FeatureFile(tmp_path)


@pytest.mark.parametrize("again", [True, False])
def test_a_file_that_was_exchanged_is_not_added_to(again: bool, tmp_path: Path) -> None:
    file = written(tmp_path, 2)
    assert_holds(file, [0, 1])
    other = FeatureFile(tmp_path)
    other.replace()
    if again:
        other.add([name(5)], values([5]))
    with pytest.raises(UnusableFileError, match="by another process"):
        file.add([name(2)], values([2]))
    assert torch.equal(file.take([0, 1]), values([0, 1])), "what was mapped can still be read"


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    written(tmp_path, 2)
    with pytest.raises(UnusableFileError, match="holds"):
        FeatureFile(tmp_path).add([name(2)], torch.zeros(1, 5))
