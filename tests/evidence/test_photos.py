"""Other photos under the same name are noticed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lookright.evidence.grid import read_grid
from lookright.evidence.photos import note_photos

Write = Callable[..., Path]


@pytest.mark.parametrize("change", ["another folder", "another file"])
def test_other_photos_under_the_same_name_are_told(
    change: str,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "images" / "a.png").write_bytes(b"." * len(name) if name == "one" else b"....")
    monkeypatch.setenv("PHOTOS", str(tmp_path / "one"))
    grid = read_grid(write(base={"data": "$PHOTOS", "backbone": "small_cnn"}, prepare={}))
    out = tmp_path / "out"
    for _ in range(2):
        note_photos(grid, out)
    assert not caplog.messages
    if change == "another folder":
        monkeypatch.setenv("PHOTOS", str(tmp_path / "two"))
    else:
        (tmp_path / "one" / "images" / "b.png").touch()
    for told in (1, 2):
        note_photos(grid, out)
        assert len(caplog.messages) == told, "until another folder is chosen"
    assert "$PHOTOS: holds other files" in caplog.text


def test_what_a_set_is_made_of_counts(write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "photos").mkdir()
    recipe = {"set": "decoy", "from": str(tmp_path / "photos")}
    grid = read_grid(write(base={"data": "marked", "backbone": "small_cnn"}, prepare={"marked": recipe}))
    note_photos(grid, tmp_path / "out")
    (tmp_path / "photos" / "new.png").touch()
    note_photos(grid, tmp_path / "out")
    assert "holds other files" in caplog.text
