from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.draw import disk, polygon2mask
from skimage.filters import gaussian

from lookright.data import MaskFiles, SignedMask
from lookright.data.masks import is_graded, load_array, load_mask, load_signed_mask
from lookright.errors import DataError

MARKED = np.zeros((4, 6), dtype=bool)
MARKED[1:3, 2:5] = True


def test_mask_of_every_mode(tmp_path: Path) -> None:
    grey = MARKED.astype(np.uint8)
    alpha = np.zeros((4, 6, 4), dtype=np.uint8)
    alpha[..., 3] = grey * 255  # black strokes on nothing
    opaque = np.dstack([grey * 9, grey * 0, grey * 0, grey * 0 + 255])
    palette = Image.fromarray(grey).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    for name, image in {
        "1": Image.fromarray(MARKED),
        "L": Image.fromarray(grey),
        "I;16": Image.fromarray(grey.astype(np.uint16) * 300),
        "RGB": Image.fromarray(opaque[..., :3]),
        "alpha": Image.fromarray(alpha),
        "opaque": Image.fromarray(opaque),
        "P": palette,
    }.items():
        file = tmp_path / f"{name}.png"
        image.save(file)
        np.testing.assert_array_equal(load_mask(file), MARKED, err_msg=name)


def test_mask_as_jpeg_counts_from_half_brightness(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[20:40, 13:50] = 255
    Image.fromarray(mask).save(file, quality=60)
    assert (np.asarray(Image.open(file)) > 0).sum() > (mask > 0).sum()  # the smear is there
    assert np.mean(load_mask(file) != (mask > 0)) < 0.01


def test_signed_mask(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 127, 128, 255, 191]], dtype=np.uint8)).save(file)
    np.testing.assert_allclose(load_signed_mask(file), [[-1, 0, 0, 1, 63 / 127]], atol=1e-6)
    Image.new("RGB", (2, 2), (255, 0, 0)).save(file)
    with pytest.raises(DataError, match="has to be grey"):
        load_signed_mask(file)


def test_signed_mask_as_jpeg_has_whole_marks_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    marks = np.full((64, 64), 128, dtype=np.uint8)
    marks[8:30, 10:50], marks[40:60, 5:40] = 255, 0
    Image.fromarray(marks).save(file, quality=60)
    read = load_signed_mask(file)
    assert set(np.unique(read)) == {-1, 0, 1}
    assert np.mean(read != np.sign(marks.astype(int) - 128)) < 0.02


# ---- graded maps

RAMP = np.linspace(0, 1, 48 * 64).reshape(48, 64)


@pytest.mark.parametrize(
    ("suffix", "pixels", "scale"),
    [
        ("png", (RAMP * 255).round().astype(np.uint8), 255),
        ("png", (RAMP * 65535).round().astype(np.uint16), 65535),
        ("bmp", np.repeat((RAMP * 255).round().astype(np.uint8)[..., None], 3, axis=2), 255),
        ("tif", RAMP.astype(np.float32), 1),
        ("tif", (RAMP * 65535).round().astype(np.int32), 65535),
    ],
    ids=["8-bit", "16-bit", "grey RGB", "float", "32-bit"],
)
def test_graded_mask_keeps_its_grades(tmp_path: Path, suffix: str, pixels: np.ndarray, scale: int) -> None:
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(file)
    expected = (pixels[..., 0] if pixels.ndim == 3 else pixels) / scale
    read = load_mask(file)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, expected, atol=1e-6)
    np.testing.assert_allclose(MaskFiles(None, file).render(), -expected, atol=1e-6)


def blocks(mask: np.ndarray) -> np.ndarray:
    """Smoothed edges, as a drawing program has them: drawn four times as large, and averaged."""
    return mask.reshape(mask.shape[0] // 4, 4, -1, 4).mean(axis=(1, 3))


DISC = np.zeros((256, 256), dtype=bool)
DISC[disk((120, 130), 90)] = True
TRIANGLE = polygon2mask((256, 256), [(20, 20), (230, 60), (80, 240)])
LINE = np.zeros((256, 256), dtype=bool)
for _x in range(20, 230):
    LINE[_x : _x + 6, _x // 2 : _x // 2 + 6] = True


@pytest.mark.parametrize("mask", [DISC, TRIANGLE, LINE], ids=["disc", "triangle", "line"])
def test_smoothed_edges_are_not_grades(mask: np.ndarray, tmp_path: Path) -> None:
    antialiased = blocks(mask)
    assert len(np.unique(antialiased)) > 4
    assert not is_graded(antialiased.astype(np.float32))
    file = tmp_path / "a.png"
    Image.fromarray((antialiased * 255).round().astype(np.uint8)).save(file)
    np.testing.assert_array_equal(load_mask(file), antialiased > 0)


@pytest.mark.parametrize("quality", [50, 90])
def test_a_jpeg_saved_again_as_png_is_black_and_white(tmp_path: Path, quality: int) -> None:
    jpeg, png = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.fromarray(DISC).convert("L").save(jpeg, quality=quality)
    Image.open(jpeg).save(png)
    assert set(np.unique(load_mask(jpeg))) == set(np.unique(load_mask(png))) == {0, 1}
    assert np.mean(load_mask(jpeg) != DISC) < 0.01


def test_a_graded_jpeg_is_black_and_white(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.fromarray((RAMP * 255).astype(np.uint8)).save(file)
    assert set(np.unique(load_mask(file))) == {0, 1}


@pytest.mark.parametrize(
    ("grey", "graded"),
    [
        (gaussian(DISC[::4, ::4].astype(float), 6), True),
        (np.where(DISC, np.where(TRIANGLE, 1.0, 0.5), 0), True),
        (np.where(DISC, 3 / 255, 0) - np.where(TRIANGLE & DISC, 2 / 255, 0), False),  # numbers of instances
        (np.where(DISC, 0.3, 0), False),
        (np.zeros((5, 5)), False),
        (np.ones((5, 5)), False),
        (np.linspace(0.5, 1, 100).reshape(10, 10), True),
    ],
)
def test_is_graded(grey: np.ndarray, graded: bool) -> None:
    assert is_graded(grey.astype(np.float32)) == graded


def test_dark_numbers_mark_as_before(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    numbers = (DISC.astype(np.uint8) + TRIANGLE)[::4, ::4]
    Image.fromarray(numbers).save(file)
    np.testing.assert_array_equal(load_mask(file), numbers > 0)


# ---- arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, bool, ">f4"])
def test_array(tmp_path: Path, dtype: type) -> None:
    values = np.array([[0, 1, 1], [0, 0, 1]]).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    for load in (load_mask, load_signed_mask):
        read = load(tmp_path / "a.npy")
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values.astype(np.float32))


def test_array_in_columns(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray([[0.25, -0.5, 0], [1, 0, -1]]))
    assert load_array(tmp_path / "a.npy").tolist() == [[0.25, -0.5, 0], [1, 0, -1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.5, np.nan]]), "values from nan to nan"),
        (np.array([[0.0, 255.0]]), r"from 0 to 255; bring them to \[-1, 1\]"),
        (np.array([[-np.inf, 0]]), "from -inf"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((2, 2, 3)), r"shape \(2, 2, 3\)"),
        (np.zeros((0, 3)), "a.npy"),
        (np.array([["a"]]), "<U1"),
        (np.array([[1j]]), "complex128"),
        (np.array([[None]]), "numpy.save"),
    ],
)
def test_senseless_array(tmp_path: Path, values: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match=message):
        load_array(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\x93NUMPY\x01\x00v\x00{"])
def test_damaged_array(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy: cannot be read as an array"):
        load_array(tmp_path / "a.npy")
    with pytest.raises(DataError, match="no such file"):
        load_array(tmp_path / "gone.npy")


def test_array_that_is_cut_short_or_claims_to_be_huge(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((100, 100)))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-80])
    with pytest.raises(DataError, match="cannot be read as an array"):
        load_array(tmp_path / "a.npy")
    np.lib.format.open_memmap(tmp_path / "b.npy", mode="w+", dtype=np.int8, shape=(10_000, 9_000))
    with pytest.raises(DataError, match="9000 x 10000"):
        load_array(tmp_path / "b.npy")


def test_signed_array_beside_a_file_of_negatives(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([[0.5, -0.25, 0, -1]]))
    np.save(tmp_path / "n.npy", np.array([[0, 0.5, 1, 0.5]]))
    positive, negative = tmp_path / "p.npy", tmp_path / "n.npy"
    assert MaskFiles(positive).render().tolist() == [[0.5, -0.25, 0, -1]]
    assert MaskFiles(positive, negative).render().tolist() == [[0.5, -0.5, -1, -1]]
    assert SignedMask(positive).render().tolist() == [[0.5, -0.25, 0, -1]]
    with pytest.raises(DataError, match=r"p\.npy: values from -1 in a file of negative marks"):
        MaskFiles(None, positive).render()
    np.save(negative, np.zeros((2, 2)))
    with pytest.raises(DataError, match="bring both to the size"):
        MaskFiles(positive, negative).render()
