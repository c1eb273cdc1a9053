"""Marks of any format are where an annotator starts."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from annotate_made import SIZES, Grey, Page, random_marks
from PIL import Image
from pycocotools import mask as coco_mask

from brush_runs import encode, rgba
from lookright.annotate.correct import Corrections
from lookright.annotate.open_project import open_project
from lookright.annotate.pixels import unmarked
from lookright.annotate.refused import RefusedError
from lookright.cli import main
from lookright.config import DataConfig
from lookright.data.readers import READERS
from lookright.errors import ConfigError, DataError, LookrightWarning

IDS = list(SIZES)


@contextmanager
def started(folder: Path, out: Path | None = None, **start: object) -> Iterator[Page]:
    project = open_project(folder, annotator="anna", out=out, start=DataConfig(**start))
    yield Page(project)
    project.close()


def boxes(size: tuple[int, int]) -> tuple[Grey, dict[str, tuple[int, int, int, int]]]:
    """Marks of two boxes, and these: (left, top, right, bottom)."""
    width, height = size
    sides = {"bird": (1, 2, width // 2, height - 1), "sky": (width // 2 + 1, 0, width, height // 2)}
    marks = unmarked(size)
    for name, (left, top, right, bottom) in sides.items():
        marks[top:bottom, left:right] = 255 if name == "bird" else 0
    return marks, sides


def coco(folder: Path) -> tuple[Path, dict[str, Grey]]:
    drawn = {name: random_marks(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    content: dict[str, list] = {"images": [], "annotations": []}
    content["categories"] = [{"id": 255, "name": "bird"}, {"id": 0, "name": "sky"}]
    for number, (name, marks) in enumerate(drawn.items()):
        height, width = marks.shape
        content["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        for category in (255, 0):
            runs = coco_mask.encode(np.asfortranarray(marks == category, dtype=np.uint8))
            runs["counts"] = runs["counts"].decode()
            annotation = {"image_id": number, "category_id": category, "segmentation": runs}
            content["annotations"].append(annotation)
    file = folder / "coco.json"
    file.write_text(json.dumps(content))
    return file, drawn


def voc(folder: Path) -> tuple[Path, dict[str, Grey]]:
    drawn = {}
    for name, size in SIZES.items():
        drawn[name], sides = boxes(size)
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
            f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
            for label, (left, top, right, bottom) in sides.items()
        )
        file = folder / "voc" / Path(name).relative_to("images").with_suffix(".xml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"
        )
    return folder / "voc", drawn


def labelme(folder: Path) -> tuple[Path, dict[str, Grey]]:
    drawn = {}
    for name, size in SIZES.items():
        drawn[name], sides = boxes(size)
        shapes = [
            {"label": label, "shape_type": "rectangle", "points": [[left, top], [right, bottom]]}
            for label, (left, top, right, bottom) in sides.items()
        ]
        file = folder / "labelme" / Path(name).relative_to("images").with_suffix(".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"shapes": shapes, "imageWidth": size[0], "imageHeight": size[1]}))
    return folder / "labelme", drawn


def label_studio(folder: Path) -> tuple[Path, dict[str, Grey]]:
    drawn = {name: random_marks(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    tasks = []
    for number, (name, marks) in enumerate(drawn.items()):
        height, width = marks.shape
        results = [
            {
                "type": "brushlabels",
                "original_width": width,
                "original_height": height,
                "value": {
                    "format": "rle",
                    "rle": encode(rgba(255 * (marks == side)), (3, 4, 8, 16), []),
                    "brushlabels": [label],
                },
            }
            for label, side in (("bird", 255), ("sky", 0))
        ]
        tasks.append(
            {"id": number, "data": {"image": f"s3://bucket/{name}"}, "annotations": [{"result": results}]}
        )
    file = folder / "label_studio.json"
    file.write_text(json.dumps(tasks))
    return file, drawn


def cvat(folder: Path) -> tuple[Path, dict[str, Grey]]:
    drawn, images = {}, ""
    for name, size in SIZES.items():
        drawn[name], sides = boxes(size)
        shapes = "".join(
            f'<box label="{label}" xtl="{left:.2f}" ytl="{top:.2f}" xbr="{right:.2f}" ybr="{bottom:.2f}"/>'
            for label, (left, top, right, bottom) in sides.items()
        )
        images += f'<image name="{name}" width="{size[0]}" height="{size[1]}">{shapes}</image>'
    file = folder / "cvat.xml"
    file.write_text(f"<annotations>{images}</annotations>")
    return file, drawn


def res(folder: Path) -> tuple[Path, dict[str, Grey]]:
    drawn = {name: random_marks(size, seed) for seed, (name, size) in enumerate(SIZES.items())}
    for file, side in (("attention.csv", 255), ("attention_counterfactual.csv", 0)):
        with (folder / file).open("w", newline="") as table:
            rows = csv.writer(table)
            rows.writerow(["img_idx", "attention", "img_check"])
            for name, marks in drawn.items():
                rows.writerow([name, json.dumps((marks == side).astype(int).tolist()), "good"])
    return folder, drawn


MADE = {
    "coco": coco,
    "voc": voc,
    "labelme": labelme,
    "label-studio": label_studio,
    "cvat": cvat,
    "res": res,
}


def test_every_format_of_the_readers_is_among_them() -> None:
    assert set(MADE) == READERS.keys() - {"folders"}


@pytest.mark.parametrize("kind", MADE)
def test_marks_of_every_format_are_shown_pixel_by_pixel(folder: Path, tmp_path: Path, kind: str) -> None:
    made = tmp_path / "made"
    made.mkdir()
    file, drawn = MADE[kind](made)
    start = {"annotations": file, "format": kind, "negative_categories": [] if kind == "res" else ["sky"]}
    with started(folder, **start) as page:
        for index, marks in enumerate(drawn.values()):
            found, version = page.marks(index)
            assert version == 0
            np.testing.assert_array_equal(found, marks)
            assert page.get(f"images/{index}")["status"] == "open"
        first = unmarked(SIZES[IDS[0]])
        assert page.put_marks(0, first).status_code == 200
        np.testing.assert_array_equal(page.marks(0)[0], first)
    assert (folder / "annotators/anna").is_dir()
    with started(folder, **start) as page:
        np.testing.assert_array_equal(page.marks(0)[0], first)  # cleared here, whatever the file says
        np.testing.assert_array_equal(page.marks(1)[0], drawn[IDS[1]])


def test_marks_of_half_the_size_are_enlarged_and_stored_ones_are_turned(folder: Path, tmp_path: Path) -> None:
    turned, plain = "images/cat/turned.jpg", "images/cat/a.jpg"
    width, height = SIZES[turned]
    box = '<box label="bird" xtl="0" ytl="0" xbr="2" ybr="3"/>'
    (tmp_path / "cvat.xml").write_text(
        f'<annotations><image name="{turned}" width="{height}" height="{width}">{box}</image>'
        f'<image name="{plain}" width="24" height="16">{box}</image></annotations>'
    )
    with started(folder, annotations=tmp_path / "cvat.xml", format="cvat") as page:
        expected = unmarked(SIZES[plain])
        expected[:6, :4] = 255
        np.testing.assert_array_equal(page.marks(IDS.index(plain))[0], expected)
        expected = unmarked((width, height))
        expected[:2, -3:] = 255  # orientation 6: what was at the left of the stored photo is at the top
        np.testing.assert_array_equal(page.marks(IDS.index(turned))[0], expected)


def test_files_beside_the_photos_are_found_again_once_something_is_drawn(folder: Path) -> None:
    _, drawn = labelme(folder)
    for _ in range(2):
        with started(folder, format="labelme", negative_categories=["sky"]) as page:
            np.testing.assert_array_equal(page.marks(1)[0], drawn[IDS[1]])
            page.put_marks(0, random_marks(SIZES[IDS[0]]), page.marks(0)[1])


def test_marks_that_do_not_fit_are_said_and_left_out(folder: Path, tmp_path: Path) -> None:
    box = '<box label="bird" xtl="0" ytl="0" xbr="2" ybr="3"/>'
    file = tmp_path / "cvat.xml"
    file.write_text(
        f'<annotations><image name="{IDS[0]}" width="10" height="99">{box}</image>'
        f'<image name="gone.jpg" width="10" height="99">{box}</image></annotations>'
    )
    with pytest.warns(LookrightWarning, match=r"1 of 2 images .*'lookright check .* --format cvat' lists"):
        project = open_project(folder, annotator="anna", start=DataConfig(annotations=file, format="cvat"))
    page = Page(project)
    with pytest.warns(LookrightWarning, match=r"cat/a.jpg: its annotation is 10 x 99, .* another shape"):
        marks, _ = page.marks(0)
    np.testing.assert_array_equal(marks, unmarked(SIZES[IDS[0]]))
    assert page.put_marks(0, random_marks(SIZES[IDS[0]])).status_code == 200
    project.close()


def test_masks_of_the_data_folder_still_need_out(folder: Path, tmp_path: Path) -> None:
    (folder / "masks/cat").mkdir(parents=True)
    Image.new("L", SIZES[IDS[0]], 255).save(folder / "masks/cat/a.png")
    file, drawn = cvat(tmp_path)
    config = DataConfig(annotations=file, format="cvat", negative_categories=["sky"])
    with pytest.raises(ConfigError, match="holds masks/"):
        open_project(folder, annotator="anna", start=config)
    project = open_project(folder, annotator="anna", out=tmp_path / "out", start=config)
    np.testing.assert_array_equal(project.marks(0), drawn[IDS[0]])
    project.close()


def test_marks_to_start_with_are_not_trained_on_by_correct(folder: Path, tmp_path: Path) -> None:
    file, _ = coco(tmp_path)
    with (
        started(folder, annotations=file, format="coco") as page,
        pytest.raises(RefusedError, match="0 photos are marked"),
    ):
        Corrections(page.project).start()


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, [], "gone.xml does not exist"),
        ("<annotations", [], "broken xml in line 1"),
        ("<annotations><track/></annotations>", [], "tracks of a video"),
        ("<annotations><image name='x.jpg'/></annotations>", [], "1 of 1 images are not in"),
        ("<annotations><image/></annotations>", ["--format", "cvatt"], "format: got 'cvatt'"),
        ("<annotations><image/></annotations>", ["--format", "coco"], "or give the --format that it is in"),
        ("<annotations><image/></annotations>", ["--format", "voc"], "marks no photo of"),
        (
            "<annotations><image name='images/cat/a.jpg' width='48' height='32'/></annotations>",
            [],
            "marks no photo of",
        ),
        (
            "<annotations><image name='images/cat/a.jpg' width='1' height='1'/></annotations>",
            ["--positive-categories", "bird"],
            "no category 'bird'",
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    arguments: list[str],
    message: str,
) -> None:
    file = tmp_path / "gone.xml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as left:
        main(
            [
                "annotate",
                str(folder),
                "--no-browser",
                "--annotations",
                str(file),
                "--format",
                "cvat",
                *arguments,
            ]
        )
    assert left.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert not (folder / "annotators").exists()


def test_an_annotator_of_a_wrong_file_can_start_again(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        open_project(folder, annotator="anna", start=DataConfig(annotations=tmp_path / "x", format="coco"))
    file, _ = coco(tmp_path)
    with started(folder, annotations=file, format="coco"):
        pass
