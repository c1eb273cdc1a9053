"""What is drawn on the page is what lookright reads."""

import json
from pathlib import Path

import numpy as np
import pytest
from annotate_made import SIZES, Grey, Page, random_marks
from PIL import Image

from lookright.annotate.open_project import open_project
from lookright.annotate.pixels import unmarked
from lookright.config import DataConfig
from lookright.data import check, read_annotations
from lookright.data.align import align
from lookright.data.images import open_frame
from lookright.errors import ConfigError, DataError, LookrightWarning

IDS = list(SIZES)


def read(config: DataConfig) -> dict[str, Grey]:
    """Marks of the annotated photos as grey, on their upright pixels."""
    found = {}
    for item in read_annotations(config).items:
        signed = align(item, open_frame(item.path))
        if signed is not None:
            assert set(np.unique(signed)) <= {-1, 0, 1}
            found[item.id] = np.select([signed > 0, signed < 0], [255, 0], 128).astype(np.uint8)
    return found


def draw_all(page: Page) -> dict[str, Grey]:
    """Marks on all photos but the last."""
    drawn = {name: random_marks(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    drawn.popitem()
    for index, marks in enumerate(drawn.values()):
        assert page.put_marks(index, marks).status_code == 200
    return drawn


def assert_same(found: dict[str, Grey], drawn: dict[str, Grey]) -> None:
    assert found.keys() == drawn.keys()
    for name, marks in drawn.items():
        assert np.array_equal(found[name], marks), name


@pytest.mark.parametrize("combine", ["majority", "mean", "agreement"])
def test_the_reader_of_annotators_gives_exactly_what_was_drawn(
    page: Page, folder: Path, combine: str
) -> None:
    drawn = draw_all(page)
    assert_same(read(DataConfig(data=folder, combine=combine)), drawn)


def test_the_check_finds_nothing_wrong_with_it(page: Page, folder: Path) -> None:
    draw_all(page)
    page.put_status(5, "nothing")
    report = check(DataConfig(data=folder), progress=False)
    assert not [problem for problem in report.problems if "annotators" in str(problem.path)]
    assert report.annotators == {"anna": 5}


def test_two_annotators_are_combined(page: Page, folder: Path) -> None:
    size = SIZES[IDS[0]]
    ours, theirs = random_marks(size, 1), random_marks(size, 2)
    page.put_marks(0, ours)
    project = open_project(folder, annotator="bert")
    Page(project).put_marks(0, theirs)
    project.close()
    found = read(DataConfig(data=folder))
    assert np.array_equal(found[IDS[0]], np.where(ours == theirs, ours, 128))


def test_photos_of_one_name_keep_their_own_marks(folder: Path) -> None:
    Image.new("RGB", (9, 7)).save(folder / "images/cat/a.png")
    project = open_project(folder, annotator="anna")
    page = Page(project)
    drawn = {"images/cat/a.jpg": random_marks((48, 32)), "images/cat/a.png": random_marks((9, 7))}
    for index, marks in enumerate(drawn.values()):
        assert page.put_marks(index, marks).status_code == 200
    assert_same(read(DataConfig(data=folder)), drawn)
    project.close()


def test_marks_elsewhere_are_read_with_annotations(folder: Path, tmp_path: Path) -> None:
    project = open_project(folder, annotator="anna", out=tmp_path / "marks")
    drawn = draw_all(Page(project))
    project.close()
    assert not (folder / "annotators").exists()
    assert_same(read(DataConfig(data=folder, annotations=tmp_path / "marks")), drawn)


def test_marks_beside_need_out(folder: Path, tmp_path: Path) -> None:
    (folder / "masks").mkdir()
    for out in (None, folder / "images" / ".."):
        with pytest.raises(ConfigError, match=r"holds masks/.*--out"):
            open_project(folder, annotator="anna", out=out)
    with pytest.raises(ConfigError, match="holds masks/"):
        open_project(folder, annotator="anna", out=folder)
    assert not (folder / "annotators").exists()


@pytest.mark.parametrize("out", ["images", "images/cat", "images/marks", "annotators"])
def test_marks_do_not_go_where_they_would_be_something_else(folder: Path, out: str) -> None:
    with pytest.raises(ConfigError, match="out:"):
        open_project(folder, annotator="anna", out=folder / out)
    assert sorted(file.name for file in folder.iterdir()) == ["images"]


def test_marks_do_not_go_among_photos_without_a_folder_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (9, 7)).save(tmp_path / "cat/a.png")
    with pytest.raises(ConfigError, match="among the photos"):
        open_project(tmp_path, annotator="anna", out=tmp_path / "marks")
    project = open_project(tmp_path, annotator="anna", out=tmp_path)
    assert Page(project).put_marks(0, random_marks((9, 7))).status_code == 200
    project.close()
    again = open_project(tmp_path, annotator="anna")
    assert Page(again).get("session")["images"] == 1
    again.close()


def test_marks_of_the_data_folder_are_where_one_starts(folder: Path, tmp_path: Path) -> None:
    first, second = (SIZES[name] for name in IDS[:2])
    mask = np.zeros(first[::-1], dtype=np.uint8)
    mask[:5] = 255
    (folder / "masks/cat").mkdir(parents=True)
    Image.fromarray(mask).save(folder / "masks/cat/a.png")
    project = open_project(folder, annotator="anna", out=tmp_path / "marks")
    page = Page(project)
    marks, version = page.marks(0)
    assert version == 0
    assert np.array_equal(marks, np.where(mask == 255, 255, 128))
    assert page.get("images/0")["status"] == "open"
    assert np.array_equal(page.marks(1)[0], unmarked(second))
    assert page.put_status(0, "nothing").status_code == 409  # it is shown with marks
    assert page.put_status(0, "skipped").status_code == 200
    assert np.array_equal(page.marks(0)[0], marks)  # nothing was drawn yet
    assert page.put_marks(0, unmarked(first), 1).json()["status"] == "open"
    assert np.array_equal(page.marks(0)[0], unmarked(first))  # erased here, whatever lies there
    assert page.put_status(0, "nothing", 2).status_code == 200
    project.close()
    again = open_project(folder, annotator="anna", out=tmp_path / "marks")
    assert np.array_equal(Page(again).marks(0)[0], unmarked(first))
    again.close()
    assert np.array_equal(np.asarray(Image.open(folder / "masks/cat/a.png")), mask)


def test_marks_of_annotators_of_the_data_folder_start_another_one(folder: Path, tmp_path: Path) -> None:
    project = open_project(folder, annotator="anna")
    marks = random_marks(SIZES[IDS[0]])
    Page(project).put_marks(0, marks)
    project.close()
    again = open_project(folder, annotator="bert", out=tmp_path / "marks")
    assert np.array_equal(Page(again).marks(0)[0], marks)
    again.close()


@pytest.mark.parametrize(("combine", "expected"), [("majority", 128), ("mean", 255)])
def test_several_annotators_of_the_data_folder_are_combined_as_is_said(
    folder: Path, tmp_path: Path, combine: str, expected: int
) -> None:
    """Where one of two marked a photo, the mean is half a mark, which the page shows whole."""
    for name, value in (("anna", 255), ("bert", 128)):
        project = open_project(folder, annotator=name)
        marks = unmarked(SIZES[IDS[0]])
        marks[0], marks[1] = 255, value
        Page(project).put_marks(0, marks)
        project.close()
    again = open_project(folder, annotator="carl", out=tmp_path / "marks", start=DataConfig(combine=combine))
    shown = Page(again).marks(0)[0]
    assert (set(shown[0]), set(shown[1])) == ({255}, {expected})
    again.close()


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ({"combine": "mean"}, r"combine: mean is about several people's marks .* with --annotations"),
        ({"negative_categories": ["sky"]}, "negative_categories: masks in folders have no categories"),
    ],
)
def test_options_that_nothing_is_read_with_are_refused(
    folder: Path, start: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        open_project(folder, annotator="anna", start=DataConfig(**start))
    assert not (folder / "annotators").exists()


def test_coco_is_read_back_pixel_by_pixel(page: Page, folder: Path, tmp_path: Path) -> None:
    drawn = draw_all(page)
    answer = page.http.get("/api/coco")
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    file = tmp_path / "anna.json"
    file.write_bytes(answer.content)
    config = DataConfig(data=folder, annotations=file, format="coco", negative_categories=["not here"])
    assert_same(read(config), drawn)
    content = json.loads(answer.content)
    assert [category["name"] for category in content["categories"]] == ["look here", "not here"]
    assert len({annotation["id"] for annotation in content["annotations"]}) == len(content["annotations"])
    first = content["annotations"][0]
    assert first["area"] == int((drawn[IDS[0]] == 255).sum())


def test_coco_of_nothing_is_empty(page: Page) -> None:
    content = page.get("coco")
    assert (content["images"], content["annotations"]) == ([], [])


def test_labels_and_splits_of_a_table_count(folder: Path) -> None:
    (folder / "split.csv").write_text(
        "file,class,split\nimages/cat/a.jpg,lion,train\nimages/dog/a.png,wolf,val\n", encoding="utf-8"
    )
    with pytest.warns(LookrightWarning, match=r"4 image\(s\) .* left out"):
        project = open_project(folder, annotator="anna")
    page = Page(project)
    listed = page.get("images")["images"]
    assert [(image["id"], image["label"]) for image in listed] == [
        ("images/cat/a.jpg", "lion"),
        ("images/dog/a.png", "wolf"),
    ]
    assert page.get("images/1")["split"] == "val"
    project.close()


def test_numbers_are_labels_too(folder: Path) -> None:
    rows = [f"{name},{number}.5" for number, name in enumerate(IDS)]
    (folder / "labels.csv").write_text("\n".join(["file,value", *rows]), encoding="utf-8")
    project = open_project(folder, annotator="anna")
    page = Page(project)
    drawn = draw_all(page)
    assert page.get("images/2")["label"] == "2.5"
    assert_same(read(DataConfig(data=folder)), drawn)
    project.close()


def test_images_of_several_labels_are_refused(folder: Path) -> None:
    (folder / "labels.csv").write_text("file,labels\nimages/cat/a.jpg,cat;dog\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="several labels"):
        open_project(folder, annotator="anna")


@pytest.mark.parametrize("name", ["", "../bert", "a/b", "anna b", "ä", "x" * 65, ".anna"])
def test_names_that_are_no_folder_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="annotator: got"):
        open_project(folder, annotator=name)


def test_the_login_name_is_made_to_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "CORP\\Anna Müller")
    project = open_project(folder)
    assert project.annotator == "CORP-Anna-M-ller"
    project.close()


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image"):
        open_project(tmp_path, annotator="anna")
    with pytest.raises(DataError, match="does not exist"):
        open_project(tmp_path / "no", annotator="anna")
