"""Marks to start with are accepted as they are: of one photo, and of all at once in the background."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotate_made import SIZES, Grey, Page, random_marks
from PIL import Image
from pycocotools import mask as coco_mask

from lookright.annotate.open_project import open_project
from lookright.annotate.project import Project
from lookright.annotate.store import Layer
from lookright.config import DataConfig
from lookright.errors import DataError

IDS = list(SIZES)
DRAWN = {name: random_marks(size, seed) for seed, (name, size) in enumerate(SIZES.items())}


def write_coco(file: Path, drawn: dict[str, Grey], wrong: tuple[str, ...] = ()) -> Path:
    """Marks of photos; those of the wrong ones are of another shape than the photo."""
    content: dict[str, list[Any]] = {"images": [], "annotations": []}
    content["categories"] = [{"id": 1, "name": "bird"}, {"id": 2, "name": "sky"}]
    for number, (name, marks) in enumerate(drawn.items()):
        marks = np.pad(marks, ((0, 0), (0, 50))) if name in wrong else marks
        height, width = marks.shape
        content["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        for category, value in ((1, 255), (2, 0)):
            runs = coco_mask.encode(np.asfortranarray(marks == value, dtype=np.uint8))
            runs["counts"] = runs["counts"].decode()
            content["annotations"].append({"image_id": number, "category_id": category, "segmentation": runs})
    file.write_text(json.dumps(content))
    return file


def start_of(folder: Path, wrong: tuple[str, ...] = ()) -> Project:
    file = write_coco(folder.parent / "birds.json", DRAWN, wrong)
    config = DataConfig(annotations=file, format="coco", negative_categories=["sky"])
    return open_project(folder, annotator="anna", start=config)


@pytest.fixture
def started(folder: Path) -> Iterator[Page]:
    """Six photos, all with marks to start with."""
    project = start_of(folder)
    yield Page(project)
    project.close()


def ask(page: Page, method: str) -> Any:
    return page.http.request(method, "/api/accept", headers={"X-Token": page.access.write_token})


def told(page: Page) -> Any:
    """What is said at the end."""
    end = time.monotonic() + 30
    while (answer := page.get("accept"))["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.01)
    return answer


def on_disk(page: Page, index: int) -> Grey:
    return np.asarray(Image.open(page.project.layer.path(IDS[index])))


def test_what_is_shown_is_what_is_written(started: Page) -> None:
    for index, name in enumerate(IDS):
        assert started.get(f"images/{index}")["start"]
        marks, version = started.marks(index)
        np.testing.assert_array_equal(marks, DRAWN[name])
        assert started.put_marks(index, marks, version).json() == {"version": 1, "status": "marked"}
        np.testing.assert_array_equal(on_disk(started, index), DRAWN[name])
        assert not started.get(f"images/{index}")["start"]


def test_a_window_that_does_not_know_of_it_is_refused(started: Page) -> None:
    marks, version = started.marks(0)
    assert started.put_status(0, "skipped", version).status_code == 200
    answer = started.put_marks(0, marks, version)
    assert (answer.status_code, answer.json()["version"]) == (409, 1)
    assert started.get("images/0")["status"] == "skipped"


def test_all_are_written_exactly(started: Page) -> None:
    assert (started.get("session")["source"], started.get("session")["to_accept"]) == ("birds.json", 6)
    answer = ask(started, "POST")
    assert (answer.status_code, answer.json()["photos"]) == (202, 6)
    assert told(started) == {
        "state": "done", "photos": 6, "accepted": 6, "changed": 0, "failures": 0, "failed": [],
    }  # fmt: skip
    for index, name in enumerate(IDS):
        np.testing.assert_array_equal(on_disk(started, index), DRAWN[name])
        assert started.marks(index)[1] == 1
    assert started.get("session")["counts"]["marked"] == 6
    assert started.get("session")["to_accept"] == 0
    assert started.put_marks(0, DRAWN[IDS[0]]).status_code == 409  # of a window opened before


def test_what_somebody_said_something_of_is_left_alone(started: Page) -> None:
    mine = random_marks(SIZES[IDS[0]], seed=99)
    started.put_marks(0, mine)
    started.put_marks(1, np.full_like(DRAWN[IDS[1]], 128))
    started.put_status(2, "skipped")
    assert started.get("session")["to_accept"] == 3
    assert [image["index"] for image in started.get("images", status="to-accept")["images"]] == [3, 4, 5]
    ask(started, "POST")
    assert (told(started)["photos"], told(started)["accepted"]) == (3, 3)
    np.testing.assert_array_equal(on_disk(started, 0), mine)
    assert [started.get(f"images/{index}")["status"] for index in (1, 2)] == ["open", "skipped"]
    assert [started.get(f"images/{index}")["start"] for index in (1, 2)] == [False, True]
    assert not started.project.layer.path(IDS[1]).exists()
    assert not started.project.layer.path(IDS[2]).exists()


def test_photos_that_fail_are_named_and_the_others_written(folder: Path) -> None:
    project = start_of(folder, wrong=(IDS[1],))
    page = Page(project)
    (folder / IDS[4]).unlink()
    ask(page, "POST")
    answer = told(page)
    assert (answer["accepted"], answer["failures"]) == (4, 2)
    assert [(one["index"], one["name"]) for one in answer["failed"]] == [(1, "b.png"), (4, "clear.png")]
    assert answer["failed"][0]["why"].startswith("its annotation is 83 x 21, the image is 33 x 21")
    assert not page.get("images", limit=2)["images"][1]["start"]  # known not to fit by now
    project.close()


def test_a_full_disk_is_said(started: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DataError("the disk is full")

    monkeypatch.setattr(Layer, "put_marks", fail)
    ask(started, "POST")
    assert (told(started)["failures"], told(started)["failed"][5]["why"]) == (6, "the disk is full")
    assert started.get("session")["to_accept"] == 6


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The marks of a photo are read only once the second event is set; the first one says that it waits."""
    waits, go_on, read = threading.Event(), threading.Event(), Project.start_marks

    def slow(self: Project, index: int) -> Grey:
        marks = read(self, index)
        if threading.current_thread().name == "accept":
            waits.set()
            assert go_on.wait(30)
        return marks

    monkeypatch.setattr(Project, "start_marks", slow)
    yield waits, go_on
    go_on.set()


def test_others_write_meanwhile_and_win(started: Page, held: tuple[threading.Event, threading.Event]) -> None:
    waits, go_on = held
    ask(started, "POST")
    assert waits.wait(30)
    mine = random_marks(SIZES[IDS[0]], seed=99)
    assert started.put_marks(0, mine).status_code == 200  # the photo that is being accepted
    assert started.put_status(5, "skipped").status_code == 200
    assert ask(started, "POST").status_code == 409
    assert started.get("accept")["state"] == "running"
    go_on.set()
    answer = told(started)
    assert (answer["accepted"], answer["changed"], answer["failures"]) == (4, 2, 0)
    np.testing.assert_array_equal(on_disk(started, 0), mine)
    assert started.get("images/5")["status"] == "skipped"


def test_it_stops_after_the_photo_that_is_written(
    started: Page, held: tuple[threading.Event, threading.Event]
) -> None:
    waits, go_on = held
    ask(started, "POST")
    assert waits.wait(30)
    threading.Timer(0.2, go_on.set).start()
    answer = ask(started, "DELETE").json()
    assert (answer["state"], answer["accepted"], answer["photos"]) == ("stopped", 1, 6)
    assert started.get("session")["to_accept"] == 5
    ask(started, "POST")
    assert told(started)["accepted"] == 5


def test_where_there_is_nothing_to_accept(page: Page) -> None:
    answer = ask(page, "POST")
    assert answer.status_code == 409
    assert "no photo has marks to start from" in answer.json()["error"]
    assert ask(page, "DELETE").json()["state"] == page.get("accept")["state"] == "none"


def test_marks_of_nothing_are_none_to_accept(folder: Path) -> None:
    blank = {IDS[0]: np.full_like(DRAWN[IDS[0]], 128), IDS[1]: DRAWN[IDS[1]]}
    file = write_coco(folder.parent / "birds.json", blank)
    project = open_project(folder, annotator="anna", start=DataConfig(annotations=file, format="coco"))
    page = Page(project)
    page.marks(0)
    assert not page.get("images/0")["start"]
    ask(page, "POST")
    assert (told(page)["photos"], told(page)["accepted"]) == (1, 1)
    assert page.get("images/0")["status"] == "open"
    project.close()
