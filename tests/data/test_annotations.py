from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask
from pycocotools import mask as coco_mask
from skimage.draw import polygon2mask

from lookright.data import AnnotationSet, Item, MaskFiles, Matrix, Shapes, SignedMask
from lookright.data.shapes import Box, Polygon, RunLengths, box, polygon
from lookright.errors import DataError


def test_mask_files_positive_minus_negative(tmp_path: Path) -> None:
    positive = save_mask(tmp_path / "p.png", np.array([[1, 1, 0, 0]], dtype=np.uint8))
    negative = save_mask(tmp_path / "n.png", np.array([[0, 9, 9, 0]], dtype=np.uint8))
    assert MaskFiles(positive, negative).render().tolist() == [[1, 0, -1, 0]]
    assert MaskFiles(None, negative).render().tolist() == [[0, -1, -1, 0]]
    assert MaskFiles(positive).render().dtype == np.float32


def test_mask_files_of_two_sizes(tmp_path: Path) -> None:
    positive = save_mask(tmp_path / "p.png", np.zeros((2, 3), dtype=np.uint8))
    negative = save_mask(tmp_path / "n.png", np.zeros((4, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"3 x 2, the negative ones 3 x 4"):
        MaskFiles(positive, negative).render()


def test_signed_mask_file(tmp_path: Path) -> None:
    file = save_mask(tmp_path / "s.png", np.array([[0, 128, 255]], dtype=np.uint8))
    assert SignedMask(file).render().tolist() == [[-1, 0, 1]]


def test_polygon_agrees_with_skimage_within_its_border() -> None:
    corners = ((5.0, 4.0), (40.0, 10.0), (30.0, 35.0), (8.0, 28.0))
    canvas = np.zeros((48, 56), dtype=bool)
    Polygon(corners).fill(canvas)
    reference = polygon2mask(canvas.shape, [(y, x) for x, y in corners])
    assert (canvas != reference).sum() <= 2 * (40 + 35)  # the two differ along the outline only
    assert (canvas & reference).sum() > 0.9 * canvas.sum()


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_agree_with_pycocotools(compressed: bool) -> None:
    mask = np.random.default_rng(0).random((7, 5)) > 0.5
    if compressed:
        counts = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    else:
        flat = mask.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *edges, flat.size]).tolist()
        counts = [0, *counts] if flat[0] else counts
    canvas = np.zeros(mask.shape, dtype=bool)
    RunLengths.from_counts(counts, 7, 5).fill(canvas)
    np.testing.assert_array_equal(canvas, mask)


def test_overlapping_shapes_are_a_union_and_sides_cancel() -> None:
    marks = Shapes(2, 4, positive=(Box(0, 0, 2, 2), Box(1, 0, 3, 1)), negative=(Box(2, 0, 4, 2),))
    assert marks.render().tolist() == [[1, 1, 0, -1], [1, 1, -1, -1]]


def test_matrix_sides_of_two_sizes() -> None:
    with pytest.raises(DataError, match=r"a\.jpg"):
        Matrix(np.ones((2, 2), dtype=np.float32), np.ones((3, 3), dtype=np.uint8), "a.jpg").render()


@pytest.mark.parametrize("value", [None, "x", float("nan"), float("inf"), [1]])
def test_coordinates_have_to_be_numbers(value: object) -> None:
    with pytest.raises(DataError, match="no number"):
        box(value, 0, 1, 1)


def test_far_off_corners_and_empty_boxes_are_refused() -> None:
    with pytest.raises(DataError, match="far outside"):
        polygon([(0, 0), (1e9, 0), (0, 1)], 10, 10)
    with pytest.raises(DataError, match="without area"):
        box(3, 0, 3, 5)


def test_damaged_runs_and_huge_canvas_name_their_source() -> None:
    with pytest.raises(DataError, match="do not add up"):
        RunLengths.from_counts([1, 2], 5, 5)
    with pytest.raises(DataError, match=r"marks\.json.*damaged RLE"):
        Shapes(3, 3, (RunLengths(b"damage"),), source="marks.json").render()
    with pytest.raises(DataError, match="100000 x 100000"):
        Shapes(100_000, 100_000).render()


def test_split_names_those_there_are() -> None:
    items = tuple(Item(f"{name}.png", Path(name), 0, name) for name in ("extra", "val", "train"))
    whole = AnnotationSet(Path("data"), ("cat",), items)
    assert whole.splits == ("train", "val", "extra")
    assert [item.id for item in whole.split("val").items] == ["val.png"]
    with pytest.raises(DataError, match="train, val, extra"):
        whole.split("test")
