"""Photos, thumbnails and superpixels as the page gets them."""

import io
from pathlib import Path

import numpy as np
import pytest
from annotate_made import SIZES, Page, pixels, random_marks
from PIL import Image

from lookright.annotate.open_project import open_project
from lookright.annotate.pixels import unmarked
from lookright.data import load_image

IDS = list(SIZES)


@pytest.mark.parametrize("index", range(6))
def test_sizes_photos_thumbnails_and_empty_marks(page: Page, folder: Path, index: int) -> None:
    size = SIZES[IDS[index]]
    facts = page.get(f"images/{index}")
    assert (facts["width"], facts["height"]) == size
    assert (facts["has_map"], facts["others"]) == (False, [])
    shown = Image.open(io.BytesIO(page.content(f"images/{index}/photo")))
    assert shown.getexif().get(0x0112, 1) == 1
    truth = np.asarray(load_image(folder / IDS[index])).astype(int)
    tolerance = 0 if IDS[index].endswith(".png") else 24  # what a JPEG loses
    assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - truth).max() <= tolerance
    thumbnail = page.http.get(f"/api/images/{index}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert max(pixels(thumbnail.content).shape[:2]) <= 160
    marks, version = page.marks(index)
    assert np.array_equal(marks, unmarked(size))
    assert version == 0


def test_a_large_photo_has_a_small_thumbnail(folder: Path) -> None:
    Image.new("RGB", (800, 400), "red").save(folder / "images/cat/0.png")
    project = open_project(folder, annotator="anna")
    assert pixels(Page(project).content("images/0/thumbnail")).shape == (80, 160, 3)
    project.close()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_thumbnail_of_a_large_jpeg_stands_upright(folder: Path, orientation: int) -> None:
    stored = np.zeros((600, 800, 3), dtype=np.uint8)
    stored[:300, :400] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = folder / "images/cat/0.jpg"
    Image.fromarray(stored).save(file, exif=exif)
    project = open_project(folder, annotator="anna")
    found = pixels(Page(project).content("images/0/thumbnail")).astype(int)
    truth = load_image(file)
    truth.thumbnail((160, 160))
    assert found.shape == np.asarray(truth).shape
    assert np.abs(found - np.asarray(truth)).mean() < 4
    project.close()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_phones_jpeg_with_its_preview_is_sent_as_jpeg(folder: Path, orientation: int) -> None:
    file = folder / "images/cat/0.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    preview = Image.new("RGB", (8, 6))
    Image.new("RGB", (40, 30), "red").save(file, "MPO", save_all=True, append_images=[preview], exif=exif)
    assert Image.open(file).format == "MPO"
    project = open_project(folder, annotator="anna")
    sent = Page(project).http.get("/api/images/0/photo")
    assert sent.headers["content-type"] == "image/jpeg"
    assert pixels(sent.content).shape == ((30, 40, 3) if orientation == 1 else (40, 30, 3))
    project.close()


@pytest.mark.parametrize("orientation", [3, 6])
def test_marks_of_a_turned_tiff(folder: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 30), "red").save(folder / "images/cat/0.tif", exif=exif)
    project = open_project(folder, annotator="anna")
    page = Page(project)
    size = (40, 30) if orientation == 3 else (30, 40)
    assert pixels(page.content("images/0/photo")).shape == (*size[::-1], 3)
    marks = random_marks(size)
    assert page.put_marks(0, marks).status_code == 200
    assert np.array_equal(page.marks(0)[0], marks)
    project.close()


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3000, 1), (1, 700), (513, 2)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp", ".tif"])
def test_photos_of_odd_shapes_and_formats(folder: Path, size: tuple[int, int], suffix: str) -> None:
    Image.new("RGB", size, (9, 90, 200)).save(folder / f"images/cat/0{suffix}")
    project = open_project(folder, annotator="anna")
    page = Page(project)
    shown = Image.open(io.BytesIO(page.content("images/0/photo")))
    assert (shown.size, shown.format) == (size, "JPEG" if suffix == ".jpg" else "PNG")
    assert page.content("images/0/thumbnail")
    for level in (1, 5):
        assert pixels(page.content("images/0/superpixels", level=level)).shape == (*size[::-1], 3)
    marks = random_marks(size)
    marks[0, 0] = 255
    assert page.put_marks(0, marks).status_code == 200
    assert np.array_equal(page.marks(0)[0], marks)
    project.close()


def test_a_damaged_photo_says_so_and_the_others_work(page: Page, folder: Path) -> None:
    (folder / IDS[1]).write_bytes(b"no longer a photo")
    (folder / IDS[3]).unlink()
    for index in (1, 3):
        for part in ("", "/photo", "/thumbnail", "/marks", "/superpixels"):
            answer = page.http.get(f"/api/images/{index}{part}")
            assert answer.status_code == 404, part
            assert Path(IDS[index]).name in answer.json()["error"]
        assert page.put_marks(index, random_marks(SIZES[IDS[index]])).status_code == 404
    assert page.get("images")["total"] == 6
    assert page.content("images/0/photo")


@pytest.mark.parametrize("level", range(1, 6))
def test_superpixels_are_numbered_segments(page: Page, level: int) -> None:
    colours = pixels(page.content("images/0/superpixels", level=level)).astype(int)
    number = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
    assert number.shape == (32, 48)
    assert number.min() == 0
    assert len(np.unique(number)) == number.max() + 1


def test_finer_levels_have_more_segments(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((1200, 900)).save(folder / "images/cat/0.png")
    project = open_project(folder, annotator="anna")
    page = Page(project)
    found = [pixels(page.content("images/0/superpixels", level=level)) for level in (1, 3, 5)]
    assert {colours.shape for colours in found} == {(900, 1200, 3)}
    counts = [len(np.unique(colours.reshape(-1, 3), axis=0)) for colours in found]
    assert counts == sorted(set(counts))
    assert counts[0] < 60 < 400 < counts[-1]
    project.close()
