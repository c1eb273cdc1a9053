from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask, save_photo
from PIL import Image

from lookright.config import DataConfig
from lookright.data import check, format_report
from lookright.errors import DataError


def said(root: Path) -> str:
    report = check(DataConfig(data=root), progress=False)
    format_report(report)  # never raises
    return "\n".join(f"{'FATAL ' if problem.fatal else ''}{problem}" for problem in report.problems)


def test_counts_and_coverage(pets: Path) -> None:
    save_mask(pets / "negatives" / "cat" / "9.png", np.eye(8, 12, dtype=bool))
    report = check(DataConfig(data=pets), progress=False)
    assert sum(count.images for count in report.counts) == 20
    assert [(c.class_name, c.split) for c in report.counts[:3]] == [
        ("cat", "train"),
        ("cat", "val"),
        ("cat", "test"),
    ]
    assert sum(count.annotated for count in report.counts) == 9
    assert sum(count.positive for count in report.counts) == 8
    assert sum(count.negative for count in report.counts) == 1
    assert report.positive is not None
    assert report.positive.mean == report.positive.maximum == 24 / 96
    assert report.negative is not None
    assert report.negative.minimum == pytest.approx(8 / 96)
    assert report.sizes == {(12, 8): 20}
    assert report.problems == ()


def test_report_as_text(pets: Path) -> None:
    text = format_report(check(DataConfig(data=pets), progress=False))
    assert "20 readable images, 2 classes" in text
    assert "positive area: 25.0% of the image on average, 25.0% to 25.0% (over 8 images)" in text
    assert "negative area: nothing marked" in text
    assert "image sizes: 12 x 8 (20)" in text
    assert text.endswith("no problems found")
    for number in range(7):
        (pets / "images" / "cat" / f"{number}.png").write_bytes(b"")
    text = format_report(check(DataConfig(data=pets), progress=False))
    assert "7 problems that stop training" in text
    assert "... and 2 more of this kind" in text


def test_broken_images_and_masks_are_listed_fatal_first(pets: Path) -> None:
    (pets / "images" / "cat" / "0.png").write_bytes(b"nonsense")
    whole = (pets / "images" / "dog" / "9.png").read_bytes()
    (pets / "images" / "dog" / "9.png").write_bytes(whole[:60])
    (pets / "masks" / "dog" / "1.png").write_bytes(b"")
    Image.new("1", (9_500, 9_500)).save(pets / "images" / "dog" / "8.png")
    save_mask(pets / "masks" / "dog" / "2.png", np.ones((8, 12), dtype=bool))
    save_mask(pets / "masks" / "dog" / "3.png", np.ones((12, 8), dtype=bool))
    report = check(DataConfig(data=pets), progress=False)
    fatal = [str(problem.path.relative_to(pets)) for problem in report.problems if problem.fatal]
    assert fatal == [
        "images/cat/0.png",
        "images/dog/8.png",
        "images/dog/9.png",
        "masks/dog/1.png",
        "masks/dog/3.png",
    ]
    assert [problem.fatal for problem in report.problems] == [True] * 5 + [False]
    assert all(problem.remedy for problem in report.problems)
    assert report.fatal == report.problems[:5]


def test_odd_annotations(pets: Path) -> None:
    masks = pets / "masks" / "cat"
    save_mask(masks / "0.png", np.zeros((8, 12), dtype=bool))
    save_mask(masks / "1.png", np.ones((8, 12), dtype=bool))
    save_mask(masks / "2.png", np.ones((16, 24), dtype=np.uint8) * np.eye(16, 24, dtype=np.uint8))
    three = np.full((8, 12), 128, dtype=np.uint8)
    three[0], three[1] = 0, 255
    save_mask(masks / "3.png", three)
    save_mask(masks / "none.png", np.ones((8, 12), dtype=bool))
    save_mask(pets / "negatives" / "dog" / "0.png", np.ones((8, 12), dtype=bool))
    text = said(pets)
    assert "masks/cat/0.png: empty" in text
    assert "masks/cat/1.png: full: every pixel is positive" in text
    assert "masks/cat/2.png: drawn at 24 x 16 on an image of 12 x 8" in text
    assert "masks/cat/3.png: grey values 0, 128 and 255; if these are negative" in text
    assert "masks/cat/none.png: a mask without image" in text
    assert "masks/dog/0.png: positive and negative at once in 24 pixels" in text
    assert "FATAL" not in text


def test_positive_and_negative_of_two_sizes(pets: Path) -> None:
    save_mask(pets / "negatives" / "dog" / "0.png", np.ones((16, 24), dtype=bool))
    assert "the positive marks are 12 x 8, the negative ones 24 x 16" in said(pets)


def test_animation_and_rotation(pets: Path) -> None:
    frames = [Image.new("L", (12, 8), grey) for grey in (0, 90)]
    frames[0].save(pets / "images" / "cat" / "film.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    for number, orientation in ((0, 6), (1, 3)):
        exif[0x0112] = orientation
        Image.new("RGB", (12, 8), (number, 50, 50)).save(pets / "images" / "cat" / f"{number}.png", exif=exif)
    text = said(pets)
    assert "film.gif: an animation or stack of 2 frames" in text
    assert "images/cat/0.png: turned upright by its EXIF orientation 6; nothing to do" in text
    assert "masks/cat/0.png: drawn on the image before its EXIF rotation; it is turned" in text
    assert "images/cat/1.png: turned upright by its EXIF orientation 3; marks are taken to be" in text


def test_same_image_twice(pets: Path) -> None:
    images = pets / "images"
    whole = (images / "cat" / "5.png").read_bytes()
    for copy in ("cat/6.png", "cat/7.png", "dog/6.png"):
        (images / copy).write_bytes(whole)
    lines = ["cat/5.png,train", "cat/6.png,test", "cat/7.png,train", "dog/6.png,train", "dog/7.png,test"]
    (pets / "split.csv").write_text("\n".join(["file,split", *lines]))
    text = said(pets)
    assert "cat/6.png: the same image as images/cat/5.png, but in test and that in train" in text
    assert "cat/7.png: the same image as images/cat/5.png; keep one" in text
    assert "dog/6.png: the same image as images/cat/5.png, of another class" in text


def test_class_missing_from_a_split(pets: Path) -> None:
    (pets / "split.csv").write_text(
        "file,split\ncat/0.png,train\ncat/1.png,train\ndog/0.png,train\ndog/1.png,test\n"
    )
    assert "class 'cat' has no image in test" in said(pets)


def test_readers_problems_are_in_the_report(pets: Path) -> None:
    (pets / "annotations.json").write_text("{")
    report = check(DataConfig(data=pets, format="coco"), progress=False)
    assert [problem.path.name for problem in report.fatal] == ["annotations.json"]
    with pytest.raises(DataError, match="does not exist"):
        check(DataConfig(data=pets / "gone"), progress=False)


def test_broken_shape_names_file_and_image(pets: Path) -> None:
    save_photo(pets / "images" / "cat" / "x.png")
    (pets / "annotations.json").write_text(
        '{"images": [{"id": 3, "file_name": "x.png", "width": 12, "height": 8}],'
        '"categories": [{"id": 1, "name": "a"}],'
        '"annotations": [{"id": 1, "image_id": 3, "category_id": 1, '
        '"segmentation": {"size": [8, 12], "counts": "damage"}}]}'
    )
    report = check(DataConfig(data=pets, format="coco"), progress=False)
    assert "annotations.json, image 3: damaged RLE counts" in str(report.fatal[0])


@pytest.mark.parametrize("name", ["gender_coco", "pets_catdog", "street_boston_spain"])
def test_real_photos_have_no_problem(photos: Path, name: str) -> None:
    folder = photos / name
    report = check(DataConfig(data=folder), progress=False)
    assert report.problems == ()
    assert (
        sum(count.images for count in report.counts)
        == len((folder / "split.csv").read_text().splitlines()) - 1
    )
