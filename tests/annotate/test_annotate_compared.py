"""Agreement with other annotators over all photos, against scikit-learn; and that nobody waits for it."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotate_made import SIZES, Page, pixels, random_marks
from PIL import Image
from sklearn.metrics import jaccard_score

from lookright.annotate.project import Project

IDS = list(SIZES)


def draw(folder: Path, name: str, index: int, marks: np.ndarray) -> Path:
    """Marks of another person."""
    photo = Path(IDS[index]).relative_to("images").with_suffix(".png")
    file = folder / "annotators" / name / "signed" / photo
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(marks).save(file)
    return file


def told(page: Page, refresh: int = 1) -> Any:
    """What is said once everything is compared."""
    answer = page.get("agreement", refresh=refresh)
    end = time.monotonic() + 30
    while answer["pending"]:
        assert time.monotonic() < end
        time.sleep(0.01)
        answer = page.get("agreement")
    return answer["others"]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(jaccard_score((one == 255).ravel(), (other == 255).ravel()))


def test_it_is_the_mean_over_photos_that_both_marked(page: Page, folder: Path) -> None:
    expected = {}
    for index in (0, 2, 3, 5):  # 2 is turned by its EXIF orientation
        ours, theirs = random_marks(SIZES[IDS[index]], index), random_marks(SIZES[IDS[index]], 50 + index)
        page.put_marks(index, ours)
        draw(folder, "ben", index, theirs)
        expected[index] = iou(ours, theirs)
    page.put_marks(1, random_marks(SIZES[IDS[1]]))  # only anna
    draw(folder, "ben", 4, random_marks(SIZES[IDS[4]]))  # only ben
    (folder / "annotators" / "carla").mkdir()
    ben, carla = told(page)
    assert (ben["annotator"], ben["images"]) == ("ben", 4)
    assert ben["agreement"] == pytest.approx(np.mean(list(expected.values())))
    order = sorted(expected, key=lambda index: expected[index])
    assert [photo["index"] for photo in ben["least"]] == order
    assert [photo["agreement"] for photo in ben["least"]] == pytest.approx(sorted(expected.values()))
    assert ben["least"][0]["name"] == Path(IDS[order[0]]).name
    assert carla == {"annotator": "carla", "images": 0, "agreement": None, "least": []}


def test_marks_that_change_or_go_are_compared_anew(page: Page, folder: Path) -> None:
    ours = random_marks(SIZES[IDS[0]])
    page.put_marks(0, ours)
    file = draw(folder, "ben", 0, ours)
    assert told(page)[0]["agreement"] == 1.0
    theirs = random_marks(SIZES[IDS[0]], seed=1)
    draw(folder, "ben", 0, theirs)
    assert told(page)[0]["agreement"] == pytest.approx(iou(ours, theirs))
    page.put_marks(0, theirs, 1)
    assert told(page)[0]["agreement"] == 1.0
    file.write_bytes(b"no mask")
    assert told(page)[0]["images"] == 0
    draw(folder, "ben", 0, theirs)
    assert told(page)[0]["images"] == 1
    page.put_marks(0, np.full_like(ours, 128), 2)
    assert told(page)[0]["images"] == 0


def test_alone_nothing_is_compared(page: Page) -> None:
    page.put_marks(0, random_marks(SIZES[IDS[0]]))
    assert page.get("agreement", refresh=1) == {"pending": False, "others": []}


def test_what_is_known_is_not_read_again(page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in (0, 1):
        page.put_marks(index, random_marks(SIZES[IDS[index]]))
        draw(folder, "ben", index, random_marks(SIZES[IDS[index]]))
    before = told(page)
    assert before[0]["images"] == 2
    monkeypatch.setattr(Project, "compare", lambda *_: pytest.fail("read again"))
    assert told(page) == before


def test_nobody_waits_while_photos_are_compared(
    page: Page, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = [random_marks(SIZES[photo]) for photo in IDS]
    for index in (0, 1):
        page.put_marks(index, marks[index])
        draw(folder, "ben", index, marks[index])
    go_on, compare = threading.Event(), Project.compare

    def slow(self: Project, *arguments: Any) -> Any:
        assert go_on.wait(30)
        return compare(self, *arguments)

    monkeypatch.setattr(Project, "compare", slow)
    assert page.get("agreement", refresh=1)["pending"]
    assert page.put_marks(2, marks[2]).status_code == 200
    assert page.put_marks(0, np.full_like(marks[0], 128), 1).status_code == 200
    assert (pixels(page.content("images/2/marks")) == marks[2]).all()
    assert page.get("agreement")["pending"]
    go_on.set()
    assert told(page)[0]["images"] == 1
