import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookright.config import DataConfig
from lookright.report.pictures import Photos, explanation


def decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for kind, name, size in (("images", "wide", (400, 300)), ("images", "digit", (16, 16))):
        folder = tmp_path / kind / "a"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (tmp_path / "images" / "b").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "b" / "other.png")
    masks = tmp_path / "masks" / "a"
    masks.mkdir(parents=True)
    mask = np.zeros((300, 400), dtype=np.uint8)
    mask[100:200, 100:300] = 255
    Image.fromarray(mask).save(masks / "wide.png")
    return tmp_path


def test_a_photo_is_made_small_and_its_annotation_with_it(data: Path) -> None:
    photo = Photos(DataConfig(data=data)).embed("images/a/wide.png", data / "images/a/wide.png")
    assert photo.size == (224, 168)
    assert photo.uri is not None
    assert photo.outline is not None
    assert decode(photo.uri).size == decode(photo.outline).size == (224, 168)
    alpha = np.array(decode(photo.outline).convert("RGBA"))[..., 3] > 0
    assert alpha[56:60, 100].any()  # the upper border of the mask, at 100 * 0.56
    assert not alpha[84, 112]  # its inside
    assert not alpha[10, 10]


def test_a_tiny_photo_keeps_its_pixels(data: Path) -> None:
    file = data / "images/a/digit.png"
    photo = Photos(DataConfig(data=data)).embed("images/a/digit.png", file)
    assert photo.uri is not None
    assert photo.tiny
    np.testing.assert_array_equal(np.array(decode(photo.uri)), np.array(Image.open(file)))
    assert photo.outline is None
    assert photo.notes == ("Not annotated.",)


def test_an_annotation_that_no_longer_fits_is_noted(data: Path) -> None:
    Image.new("L", (50, 300), 255).save(data / "masks/a/wide.png")
    photo = Photos(DataConfig(data=data)).embed("images/a/wide.png", data / "images/a/wide.png")
    assert photo.outline is None
    assert photo.notes == ("The annotation cannot be read.",)


def test_an_explanation_covers_the_photo_in_few_bytes() -> None:
    ramp = np.linspace(0, 1, 49, dtype=np.float32).reshape(7, 7)
    uri = explanation(ramp, (224, 168))
    layer = decode(uri).convert("RGBA")
    assert layer.size == (72, 54)
    assert layer.getpixel((0, 0))[3] < 16
    assert layer.getpixel((71, 53))[3] > 239
    assert len(uri) < 8000
