import json
from pathlib import Path

import numpy as np
import pytest
from annotate_made import SIZES, Page, png, random_marks
from PIL import Image

from lookright.annotate.open_project import open_project
from lookright.annotate.pixels import unmarked

IDS = list(SIZES)


def test_the_session_says_who_and_how_far(page: Page) -> None:
    page.put_marks(0, random_marks(SIZES[IDS[0]]))
    page.put_status(1, "nothing")
    page.put_status(2, "skipped")
    assert page.get("session") == {
        "annotator": "anna",
        "annotators": ["anna"],
        "classes": ["cat", "dog"],
        "images": 6,
        "counts": {"open": 3, "marked": 1, "nothing": 1, "skipped": 1},
        "has_model": False,
        "predicting": False,
        "predicted": 0,
        "ways": [],
        "data": "data",
        "source": None,
        "to_accept": 0,
    }


def test_the_fingerprint_is_of_the_photos_and_whose_marks_they_are(folder: Path) -> None:
    def fingerprint(annotator: str = "anna", out: Path | None = None) -> str:
        project = open_project(folder, annotator=annotator, out=out)
        project.close()
        html = Page(project).http.get("/").text
        assert f'<meta name="project" content="{project.fingerprint}">' in html
        return project.fingerprint

    before = fingerprint()
    assert fingerprint() == before
    others = {fingerprint("ben"), fingerprint(out=folder.parent / "marks")}
    (folder / IDS[0]).rename((folder / IDS[0]).with_stem("z"))
    others.add(fingerprint())
    assert len(others | {before}) == 4


def test_images_are_listed_by_id(page: Page) -> None:
    found = page.get("images")
    assert found["total"] == 6
    assert [image["id"] for image in found["images"]] == IDS
    assert found["images"][3] == {
        "index": 3,
        "id": "images/dog/a.png",
        "name": "a.png",
        "label": "dog",
        "status": "open",
        "version": 0,
        "start": False,
        "predicted": None,
        "probability": None,
        "right": None,
        "new": None,
    }


def test_the_list_is_paged_and_filtered(page: Page) -> None:
    page.put_status(4, "skipped")
    assert [image["index"] for image in page.get("images", offset=4, limit=1)["images"]] == [4]
    assert page.get("images", offset=100) == {"total": 6, "images": []}
    assert [image["index"] for image in page.get("images", **{"class": 1})["images"]] == [3, 4, 5]
    assert [image["index"] for image in page.get("images", status="skipped")["images"]] == [4]
    assert page.get("images", status="open", **{"class": 1})["total"] == 2
    assert page.get("images", status="")["total"] == 6
    assert page.http.get("/api/images", params={"class": 2}).status_code == 400


def test_marks_come_back_as_they_were_put(page: Page) -> None:
    marks = random_marks(SIZES[IDS[2]])
    answer = page.put_marks(2, marks)
    assert answer.status_code == 200
    assert answer.json() == {"version": 1, "status": "marked"}
    found, version = page.marks(2)
    assert np.array_equal(found, marks)
    assert version == 1
    assert page.get("images/2")["status"] == "marked"


def test_marks_are_kept_over_a_restart(page: Page, folder: Path) -> None:
    marks = random_marks(SIZES[IDS[1]])
    page.put_marks(1, marks)
    page.put_status(3, "nothing")
    page.project.close()
    again = open_project(folder, annotator="anna")
    after = Page(again)
    assert np.array_equal(after.marks(1)[0], marks)
    assert after.marks(1)[1] == 1
    assert after.get("session")["counts"] == {"open": 4, "marked": 1, "nothing": 1, "skipped": 0}
    again.close()


def test_marks_that_are_all_erased_make_the_image_open_again(page: Page) -> None:
    size = SIZES[IDS[0]]
    page.put_marks(0, random_marks(size))
    assert page.put_marks(0, unmarked(size), 1).json() == {"version": 2, "status": "open"}
    assert not list((page.project.layer.folder / "signed").rglob("*.png"))


def test_two_windows_do_not_overwrite_each_other(page: Page) -> None:
    size = SIZES[IDS[0]]
    first, second = random_marks(size, 1), random_marks(size, 2)
    assert page.put_marks(0, first, 0).status_code == 200
    refused = page.put_marks(0, second, 0)
    assert refused.status_code == 409
    assert refused.json()["version"] == 1
    assert refused.json()["status"] == "marked"
    assert np.array_equal(page.marks(0)[0], first)
    assert page.put_status(0, "skipped", 0).status_code == 409
    assert page.put_marks(0, second, 1).json()["version"] == 2
    assert np.array_equal(page.marks(0)[0], second)


def test_a_version_from_the_future_is_refused_too(page: Page) -> None:
    assert page.put_marks(0, random_marks(SIZES[IDS[0]]), 5).status_code == 409


@pytest.mark.parametrize("status", ["nothing", "skipped"])
def test_a_status_is_said_and_taken_back(page: Page, status: str) -> None:
    assert page.put_status(0, status).json() == {"version": 1, "status": status}
    assert page.put_status(0, "open", 1).json() == {"version": 2, "status": "open"}


def test_drawing_takes_a_status_back(page: Page) -> None:
    page.put_status(0, "nothing")
    assert page.put_marks(0, random_marks(SIZES[IDS[0]]), 1).json()["status"] == "marked"
    assert page.put_marks(0, unmarked(SIZES[IDS[0]]), 2).json()["status"] == "open"


def test_nothing_is_not_said_of_an_image_with_marks(page: Page) -> None:
    page.put_marks(0, random_marks(SIZES[IDS[0]]))
    refused = page.put_status(0, "nothing", 1)
    assert refused.status_code == 409
    assert "erase" in refused.json()["error"]
    assert page.get("images/0")["version"] == 1
    assert page.put_status(0, "skipped", 1).json() == {"version": 2, "status": "marked"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("images/6", 404),
        ("images/-1", 404),
        ("images/a", 404),
        ("images/99999999999999999999", 404),
        ("images/0x1", 404),
        ("images/٣", 404),
        ("images/6/photo", 404),
        ("images/6/thumbnail", 404),
        ("images/6/marks", 404),
        ("images/6/superpixels", 404),
        ("images/0/map", 404),
        ("images/0/region", 404),
        ("images/0/superpixels?level=0", 400),
        ("images/0/superpixels?level=6", 400),
        ("images/0/superpixels?level=two", 400),
        ("images?limit=0", 400),
        ("images?limit=201", 400),
        ("images?offset=-1", 400),
        ("images?offset=1e3", 400),
        ("images?status=lost", 400),
        ("next", 405),
        ("nothing", 404),
    ],
)
def test_wrong_questions_are_refused_with_a_sentence(page: Page, path: str, status: int) -> None:
    answer = page.http.get(f"/api/{path}")
    assert answer.status_code == status
    assert len(answer.json()["error"]) > 5


def test_wrong_writes_are_refused_with_a_sentence(page: Page) -> None:
    good = png(random_marks(SIZES[IDS[0]]))
    cases = [
        (page.put("images/0/marks", good, "x"), 400),
        (page.put("images/0/marks", good, If_Match=""), 400),
        (page.put("images/0/marks", good, If_Match="*"), 400),
        (page.put("images/9/marks", good), 404),
        (page.put("images/0/marks", good, Content_Type="text/plain"), 415),
        (page.put("images/0/marks", b"no picture"), 415),
        (page.put("images/0/marks", png(random_marks((3, 3)))), 400),
        (page.put("images/0/marks", png(np.full((32, 48), 7, np.uint8))), 400),
        (page.put_status(0, "marked"), 400),
        (page.put_status(0, None), 400),
        (page.put_status(0, ["nothing"]), 400),
        (page.put("images/0/status", b"{"), 400),
        (page.put("images/0/status", b"[" * 900), 400),
        (page.put("images/0/status", b"\xff\xfe"), 400),
        (page.put("images/0/status", b"1" * 2000), 413),
        (page.put("images/9/status", b'{"status": "open"}'), 404),
    ]
    for answer, status in cases:
        assert answer.status_code == status, answer.text
        assert len(answer.json()["error"]) > 5
    assert page.get("images/0")["version"] == 0
    assert not (page.project.layer.folder / "signed").exists()


def test_other_methods_are_refused(page: Page) -> None:
    token = {"X-Token": page.access.write_token}
    for method in ("POST", "DELETE", "PATCH", "OPTIONS"):
        assert page.http.request(method, "/api/images/0/marks", headers=token).status_code == 405


def test_next_is_the_first_open_image_that_is_not_left_out(page: Page) -> None:
    order = page.order()
    assert sorted(order) == list(range(6))
    labels = [page.get(f"images/{index}")["label"] for index in order]
    assert labels in (["cat", "dog"] * 3, ["dog", "cat"] * 3)
    assert page.next(order[-1], order[0]) == order[1]
    page.put_status(order[0], "skipped")
    page.put_marks(order[1], random_marks(SIZES[IDS[order[1]]]))
    assert page.next() == order[2]
    assert page.next(order[2], order[3], 10**9, -1) == order[4]
    for index in order[2:]:
        page.put_status(index, "nothing")
    assert page.next() is None


@pytest.mark.parametrize("body", [None, {}, {"index": 0}, "0", 0, [0.5], ["0"], [True], [[0]]])
def test_what_is_no_list_of_indices_is_refused(page: Page, body: object) -> None:
    answer = page.post_next(body)
    assert answer.status_code == 400
    assert "list of indices" in answer.json()["error"]


def test_a_list_may_name_every_image_and_not_much_more(page: Page) -> None:
    assert page.post_next(list(range(6)) * 20).status_code == 200
    assert page.post_next([10**8] * 1000).status_code == 413


def test_others_are_named_with_their_agreement(page: Page, folder: Path) -> None:
    ours = unmarked(SIZES[IDS[0]])
    ours[:10] = 255
    page.put_marks(0, ours)
    theirs = unmarked(SIZES[IDS[0]])
    theirs[5:10] = 255
    for kind, marks in (("signed", theirs), ("masks", np.where(theirs == 255, 255, 0).astype(np.uint8))):
        file = folder / "annotators" / f"bert-{kind}" / kind / "cat" / "a.png"
        file.parent.mkdir(parents=True)
        Image.fromarray(marks).save(file)
    (folder / "annotators" / "carla").mkdir()
    assert page.get("images/0")["others"] == [
        {"annotator": "bert-masks", "agreement": 0.5},
        {"annotator": "bert-signed", "agreement": 0.5},
    ]
    assert page.get("images/1")["others"] == []
    assert page.get("session")["annotators"] == ["anna", "bert-masks", "bert-signed", "carla"]
    page.put_marks(0, np.where(ours == 255, 0, ours).astype(np.uint8), 1)
    assert {other["agreement"] for other in page.get("images/0")["others"]} == {None}


def test_a_mask_of_another_that_is_damaged_hides_nothing(page: Page, folder: Path) -> None:
    file = folder / "annotators/bert/signed/cat/a.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no mask")
    assert page.get("images/0")["others"] == [{"annotator": "bert", "agreement": None}]


def test_photos_that_nobody_has_labelled_are_annotated(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (5, 4)).save(tmp_path / name)
    project = open_project(tmp_path, annotator="anna")
    page = Page(project)
    assert page.get("session")["classes"] == []
    assert [image["label"] for image in page.get("images")["images"]] == [None, None]
    assert page.put_marks(1, random_marks((5, 4))).status_code == 200
    assert (tmp_path / "annotators/anna/signed/b.png").is_file()
    project.close()


def test_the_state_is_json_that_people_can_read(page: Page) -> None:
    page.put_status(0, "nothing")
    state = json.loads((page.project.layer.folder / ".state.json").read_text(encoding="utf-8"))
    entry = state["images"]["images/cat/a.jpg"]
    assert entry["status"] == "nothing"
    assert entry["version"] == 1
    assert entry["time"].startswith("20")
