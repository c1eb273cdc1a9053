"""The table is whole after every row, and says so when it is not."""

import math
from pathlib import Path

import pytest

from lookright.errors import DataError
from lookright.evidence.table import Table, number


def row(fingerprint: str, status: str = "finished", **more: str) -> dict[str, str]:
    return {"fingerprint": fingerprint, "status": status} | more


def test_rows_come_back_and_a_later_one_takes_the_place_of_an_earlier(tmp_path: Path) -> None:
    table = Table(tmp_path / "results.csv")
    table.add(row("a", "failed", error='said "no", then\nleft'))
    assert not table.finished("a")
    table.add(row("b", accuracy="0.25"))
    table.add(row("a", accuracy="0.5"))
    again = Table(tmp_path / "results.csv")
    assert list(again.rows) == ["a", "b"]
    assert again.finished("a")
    assert [number(again.rows[name], "accuracy") for name in "ab"] == [0.5, 0.25]
    assert again.rows["b"].get("error", "") == ""


def test_what_is_not_there_is_nan(tmp_path: Path) -> None:
    assert math.isnan(number(None, "iou"))
    assert math.isnan(number({"iou": ""}, "iou"))
    assert Table(tmp_path / "nowhere.csv").rows == {}


@pytest.mark.parametrize("text", ["fingerprint,status\na\n", "fingerprint\na,b\n", "status\nfinished\n"])
def test_a_damaged_table_is_not_written_over(text: str, tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=r"results\.csv: cannot be read .*; put it back, or move it away"):
        Table(file)
    assert file.read_text() == text
