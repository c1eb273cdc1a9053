import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from annotate_made import SIZES, Page, random_marks
from PIL import Image

from lookright.annotate.open_project import open_project
from lookright.annotate.pixels import unmarked
from lookright.annotate.refused import RefusedError
from lookright.annotate.store import Layer, mask_names
from lookright.data.layout import find_photos
from lookright.data.masks import load_signed_mask
from lookright.errors import ConfigError, DataError, LookrightWarning

A, B = "images/cat/a.jpg", "images/cat/b.png"
ROUNDS = 50

KILLED_WRITER = Path(__file__).with_name("annotate_killed_writer.py")


def open_layer(folder: Path, annotator: str = "anna") -> Layer:
    return Layer(folder, annotator, find_photos(folder))


def test_nothing_is_left_behind_by_looking(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    open_layer(folder).close()
    assert sorted(folder.rglob("*")) == before


def test_masks_and_state_are_where_readers_look(folder: Path) -> None:
    layer = open_layer(folder)
    layer.put_marks(A, random_marks(SIZES[A]), 0)
    assert layer.path(A) == folder / "annotators/anna/signed/cat/a.png"
    assert Image.open(layer.path(A)).mode == "L"
    assert sorted(file.name for file in layer.folder.iterdir()) == [".lock", ".state.json", "signed"]
    layer.close()


def test_a_second_server_is_refused_until_the_first_ends(folder: Path) -> None:
    first = open_layer(folder)
    with pytest.raises(ConfigError, match=r"another 'lookright annotate'.*--annotator"):
        open_layer(folder)
    other = open_layer(folder, "bert")
    other.close()
    first.put_status(A, "nothing", 0, is_marked=False)
    first.close()
    again = open_layer(folder)
    assert again.status(A) == "nothing"
    again.close()


def test_a_mask_that_the_state_does_not_know_counts_as_marked(folder: Path) -> None:
    layer = open_layer(folder)
    layer.put_marks(A, random_marks(SIZES[A]), 0)
    (layer.folder / ".state.json").unlink()
    layer.close()
    again = open_layer(folder)
    assert (again.status(A), again.version(A)) == ("marked", 0)
    assert again.put_marks(A, random_marks(SIZES[A], 1), 0).version == 1
    again.close()


def test_what_a_kill_left_half_written_is_cleared_away(folder: Path) -> None:
    layer = open_layer(folder)
    layer.put_marks(A, random_marks(SIZES[A]), 0)
    half = layer.path(A).with_name(".a.png.123.tmp")
    half.write_bytes(b"half")
    layer.close()
    again = open_layer(folder)
    assert not half.exists()
    assert again.status(A) == "marked"
    again.close()


def test_a_damaged_state_is_set_aside_and_said(folder: Path) -> None:
    layer = open_layer(folder)
    layer.put_marks(A, random_marks(SIZES[A]), 0)
    layer.close()
    damaged = ("", "{", "[]", '{"images": {"a": {}}}', '{"images": {"a": {"version": 1, "status": "x"}}}')
    for number, text in enumerate(damaged, start=1):
        (layer.folder / ".state.json").write_text(text, encoding="utf-8")
        with pytest.warns(
            LookrightWarning, match=rf"\.state\.json: is damaged .*\.state\.damaged-{number}\.json"
        ):
            again = open_layer(folder)
        assert (layer.folder / f".state.damaged-{number}.json").read_text(encoding="utf-8") == text
        assert (again.status(A), again.version(A), again.status(B)) == ("marked", 0, "open")
        again.put_status(B, "skipped", 0, is_marked=False)
        again.close()


def test_a_state_that_cannot_be_read_is_left_as_it_is(folder: Path) -> None:
    state = folder / "annotators/anna/.state.json"
    state.mkdir(parents=True)
    with pytest.raises(DataError, match=r"\.state\.json: cannot be read"):
        open_layer(folder)
    assert state.is_dir()


def test_marks_and_state_are_on_the_disk_when_they_are_told_as_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, synced = open_layer(folder), []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(os.fstat(file).st_size))
    layer.put_marks(A, random_marks(SIZES[A]), 0)
    assert synced == [layer.path(A).stat().st_size, (layer.folder / ".state.json").stat().st_size]
    layer.close()


def test_if_the_disk_is_full_the_old_marks_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = open_layer(folder)
    marks = random_marks(SIZES[A])
    layer.put_marks(A, marks, 0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match="No space left"):
        layer.put_marks(A, random_marks(SIZES[A], 1), 1)
    monkeypatch.undo()
    assert layer.version(A) == 1
    assert np.array_equal(load_signed_mask(layer.path(A)) * 127 + 128, np.maximum(marks, 1))
    layer.close()


def test_a_full_disk_is_told_to_the_page(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    answer = page.put_marks(0, random_marks(SIZES[A]))
    assert answer.status_code == 507
    assert "No space left" in answer.json()["error"]


@pytest.mark.parametrize("kind", ["masks", "negatives"])
def test_a_layer_of_another_form_is_refused(folder: Path, kind: str) -> None:
    (folder / "annotators/anna" / kind).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"holds {kind}/.*choose another --annotator"):
        open_layer(folder)


@pytest.mark.parametrize("name", ["cat/a.jpg.png", "cat/a.npy", "cat/a.tif"])
def test_a_mask_of_another_name_is_refused_before_there_are_two(folder: Path, name: str) -> None:
    file = folder / "annotators/anna/signed" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"rename it to cat/a\.png"):
        open_layer(folder)


def test_photos_of_one_name_have_masks_of_two(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "images/cat/a.png")
    names, unnamed = mask_names(find_photos(folder))
    assert (names[A], names["images/cat/a.png"]) == ("cat/a.jpg", "cat/a.png")
    assert unnamed == []


def test_photos_that_no_name_tells_apart_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for name in ("a.png", "cat/a.png", "cat/b.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    _, unnamed = mask_names(find_photos(tmp_path))
    assert [photo.id for photo in unnamed] == ["a.png"]


def test_all_128_on_an_untouched_image_writes_no_mask(folder: Path) -> None:
    layer = open_layer(folder)
    assert layer.put_marks(A, unmarked(SIZES[A]), 0) == (1, "open")
    assert not layer.path(A).exists()
    layer.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_kill_at_any_moment_loses_one_stroke_at_most(folder: Path) -> None:
    ids = (A, B)
    command = [sys.executable, str(KILLED_WRITER), str(folder), *ids]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        random = np.random.default_rng(0)
        known = dict.fromkeys(ids, 0)
        for _ in range(ROUNDS):
            writer.stdin.write(f"{random.integers(4)} {random.uniform(0, 0.005):.4f}\n")
            writer.stdin.flush()
            acknowledged: dict[str, int] = json.loads(writer.stdout.readline())
            project = open_project(folder, annotator="anna")
            for index, photo_id in enumerate(ids):
                # What was told as written is there; the next one may be, as its mask alone or with its state.
                told = max(acknowledged[photo_id], known[photo_id])
                known[photo_id] = project.layer.version(photo_id)
                assert known[photo_id] in (told, told + 1)
                fine = [
                    random_marks(SIZES[photo_id], seed) for seed in (known[photo_id], known[photo_id] + 1)
                ]
                if known[photo_id] == 0:
                    fine[0] = unmarked(SIZES[photo_id])
                assert any(np.array_equal(project.marks(index), marks) for marks in fine)
            project.close()
        assert not list((folder / "annotators").rglob("*.tmp"))
        assert sum(known.values()) > ROUNDS
        writer.stdin.close()


def test_of_writes_at_the_same_time_one_is_taken(folder: Path) -> None:
    layer = open_layer(folder)
    drawn = [random_marks(SIZES[A], seed) for seed in range(8)]
    taken: list[int] = []
    statuses: list[int] = []

    def write(number: int) -> None:
        try:
            layer.put_marks(A, drawn[number], 0)
            taken.append(number)
        except RefusedError as refused:
            statuses.append(refused.status)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(drawn))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert statuses == [409] * 7
    assert layer.version(A) == 1
    assert np.array_equal(np.asarray(Image.open(layer.path(A))), drawn[taken[0]])
    layer.close()
