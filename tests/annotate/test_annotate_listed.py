"""The list of photos by name, and by what the model makes of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from annotate_made import Page
from served_page import FakeModel, write_photos

from lookright.annotate.open_project import open_project
from lookright.annotate.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """boat00, boat01, boat02, house00, house01, house02"""
    found = open_project(write_photos(tmp_path / "data"), annotator="anna")
    yield found
    found.close()


@pytest.fixture
def model(project: Project) -> FakeModel:
    """It says boat of everything, and looks at some photos another way."""
    found = FakeModel(project)
    found.ways = {0: 0, 1: 1, 2: 0, 3: 0, 4: 1, 5: -1}
    return found


@pytest.fixture
def page(project: Project, model: FakeModel) -> Page:
    return Page(project, model)  # type: ignore[arg-type]  # of a Looking, what is asked here


def listed(page: Page, **filters: object) -> list[int]:
    return [image["index"] for image in page.get("images", **filters)["images"]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("house", [3, 4, 5]),
        (" BOAT01.p", [1]),
        ("", [0, 1, 2, 3, 4, 5]),
        ("nowhere", []),
        ("boat/", [0, 1, 2]),
    ],
)
def test_by_name(page: Page, name: str, expected: list[int]) -> None:
    assert listed(page, name=name) == expected


def test_by_what_is_predicted_wrong(page: Page, model: FakeModel) -> None:
    assert listed(page, model="wrong") == [3, 4, 5]
    assert listed(page, model="wrong", name="01") == [4]
    assert listed(page, model="wrong", **{"class": 0}) == []


def test_by_the_way_of_looking(page: Page, model: FakeModel) -> None:
    assert page.get("session")["ways"] == [
        {"value": "0.0", "name": "boat #1", "images": 3},
        {"value": "0.1", "name": "boat #2", "images": 2},
    ]
    assert listed(page, model="0.1") == [1, 4]
    assert listed(page, model="1.0") == []


def test_without_a_correction_nothing_has_changed(page: Page) -> None:
    assert listed(page, model="changed") == []


@pytest.mark.parametrize("what", ["right", "1", "0.1.2", "-1.0"])
def test_anything_else_is_refused(page: Page, project: Project, what: str) -> None:
    answer = page.http.get("/api/images", params={"model": what})
    assert answer.status_code == 400
    assert "such as 0.1" in answer.json()["error"]
    alone = Page(project).http.get("/api/images", params={"model": "wrong"})
    assert alone.status_code == 400
    assert "--run" in alone.json()["error"]
