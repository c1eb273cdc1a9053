from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lookright.data import images
from lookright.data.images import Frame, load_image, open_frame, open_picture, turn
from lookright.errors import DataError

GRADIENT = np.linspace(0, 255, 12 * 8).reshape(8, 12).astype(np.uint8)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; one photo is needed here"):
        load_image(tmp_path)
    with pytest.raises(DataError, match=r"gone\.jpg: there is no such file"):
        load_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
@pytest.mark.parametrize("keep", [0, 20, 0.6])
def test_truncated_file_is_a_data_error(tmp_path: Path, suffix: str, keep: float) -> None:
    file = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match="copy it again or remove it"):
        load_image(file)


def test_text_is_not_an_image(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_text("hello")
    with pytest.raises(DataError, match="not an image"):
        load_image(file)


def test_postscript_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (4, 4)).save(file, format="EPS")
    with pytest.raises(DataError, match="not an image"):
        load_image(file)


@pytest.mark.parametrize("side", [9_500, 20_000])  # above our limit; above the one at which Pillow raises
def test_decompression_bomb_names_pixels_and_limit(tmp_path: Path, side: int) -> None:
    file = tmp_path / "bomb.png"
    Image.new("1", (side, side)).save(file, compress_level=1)
    with pytest.raises(DataError, match=r"pixels.*89,?478,?485") as caught:
        load_image(file)
    assert str(side * side) in str(caught.value).replace(",", "")


def test_cmyk(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(file)
    red = np.asarray(load_image(file))[8, 8]
    assert red[0] > 200
    assert red[1:].max() < 60


def test_16_bit_keeps_its_range(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(GRADIENT.astype(np.uint16) * 257).save(file)
    np.testing.assert_array_equal(np.asarray(load_image(file))[..., 0], GRADIENT)


@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1 / 255), (np.float32, 1), (np.int32, 257)])
def test_deep_tiff(tmp_path: Path, dtype: type, factor: float) -> None:
    file = tmp_path / "a.tif"
    Image.fromarray((GRADIENT.astype(float) * factor).astype(dtype)).save(file)
    np.testing.assert_allclose(np.asarray(load_image(file))[..., 0], GRADIENT, atol=1)


@pytest.mark.parametrize("bad", [np.nan, -1.0, 1e9])
def test_deep_tiff_out_of_range(tmp_path: Path, bad: float) -> None:
    file = tmp_path / "a.tif"
    Image.fromarray(np.full((2, 2), bad, dtype=np.float32)).save(file)
    with pytest.raises(DataError, match="8 or 16 bits"):
        load_image(file)


def test_palette_and_greyscale(tmp_path: Path) -> None:
    palette, grey = tmp_path / "p.png", tmp_path / "l.png"
    Image.new("RGB", (4, 4), (255, 0, 0)).convert("P").save(palette)
    Image.new("L", (4, 4), 77).save(grey)
    assert load_image(palette).getpixel((0, 0)) == (255, 0, 0)
    assert load_image(grey).getpixel((0, 0)) == (77, 77, 77)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_is_white(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "a.png"
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.convert(mode).save(file, **({"transparency": 0} if mode == "P" else {}))
    assert load_image(file).getpixel((1, 1)) == (255, 255, 255)


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    file = tmp_path / "a.gif"
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    picture = open_picture(file)
    assert picture.frames == 3
    assert picture.image.getpixel((0, 0)) == (255, 0, 0)


LOSSLESS = {
    "png": {},
    "webp": {"lossless": True},
    "tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "jpg": {"quality": 100},
}


@pytest.mark.parametrize("suffix", list(LOSSLESS))
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_pillow_applies_it(tmp_path: Path, orientation: int, suffix: str) -> None:
    file, plain = tmp_path / f"a.{suffix}", tmp_path / f"plain.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GRADIENT).save(plain, **LOSSLESS[suffix])
    Image.fromarray(GRADIENT).save(file, exif=exif, **LOSSLESS[suffix])
    stored = Image.open(plain).convert("L")
    stored.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(stored)
    picture = open_picture(file)
    np.testing.assert_array_equal(np.asarray(picture.image)[..., 0], np.asarray(upright))
    np.testing.assert_array_equal(turn(np.asarray(stored), orientation), np.asarray(upright))
    assert picture.orientation == orientation
    assert picture.stored_size == (12, 8)
    assert picture.swaps_axes == (upright.size == (8, 12))
    assert picture.size == picture.image.size == upright.size
    assert open_frame(file) == Frame(picture.stored_size, picture.orientation)


def test_a_png_tells_its_orientation_behind_its_pixels_and_is_not_decoded(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GRADIENT).save(file, exif=exif)
    whole = file.read_bytes()
    start = whole.index(b"eXIf") - 4
    stop = start + 12 + int.from_bytes(whole[start : start + 4], "big")
    moved = whole[:start] + whole[stop:-12] + whole[start:stop] + whole[-12:]
    file.write_bytes(moved)
    assert open_frame(file) == Frame((12, 8), 6)
    assert open_picture(file).orientation == 6
    pixels = moved.index(b"IDAT") + 4
    file.write_bytes(moved[:pixels] + bytes(8) + moved[pixels + 8 :])
    assert open_frame(file) == Frame((12, 8), 6)
    with pytest.raises(DataError, match="cannot be read as an image"):
        open_picture(file)


def test_damaged_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.new("RGB", (4, 4)).save(file, exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert open_picture(file).orientation == 1


def test_limit_is_pillows_own() -> None:
    assert images.MAX_PIXELS == Image.MAX_IMAGE_PIXELS
