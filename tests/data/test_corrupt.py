"""Rough annotations of hand-made masks whose answers are known."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import save_photo
from scipy import ndimage

from lookright.data import ExplanationDataset, Item, Matrix
from lookright.data.corrupt import KINDS, parse_corruption
from lookright.data.derive import mark_outside
from lookright.errors import ConfigError

SPECS = (
    *("dilate(0.05)", "erode(0.05)", "jitter(0.05)", "polygon(6)", "box", "drop(0.5)", "part", "scribble(3)"),
    *("graded", "binary(0.5)", "dilate(0.05) + drop(0.3)"),
)
SUBSETS = (
    "erode(0.05)",
    "erode(1)",
    "drop(0.2)",
    "drop(0.8)",
    "drop(1)",
    "part",
    "scribble(3)",
    "scribble(9)",
)


def rough(spec: str, signed: np.ndarray, *, seed: int = 0, item_id: str = "a.jpg") -> np.ndarray:
    given = signed.astype(np.float32)
    before = given.copy()
    made = parse_corruption(spec)(given, seed=seed, item_id=item_id)
    assert made.dtype == np.float32
    assert made.shape == signed.shape
    assert np.abs(made).max() <= 1
    assert np.array_equal(given, before), "the annotation given was changed"
    return made


def square(side: int = 40, at: tuple[int, int] = (30, 20), size: tuple[int, int] = (100, 80)) -> np.ndarray:
    marks = np.zeros(size)
    marks[at[0] : at[0] + side, at[1] : at[1] + side] = 1
    return marks


def shapes() -> Iterator[tuple[str, np.ndarray]]:
    """Masks of many kinds, of 60 x 90 pixels."""
    for name, part in (
        ("disc", lambda y, x: (y - 30) ** 2 + (x - 45) ** 2 < 400),
        ("corner", lambda y, x: (y < 20) & (x < 30)),
        ("full", lambda y, x: y >= 0),
        ("line", lambda y, x: (y == 30) & (x > 10) & (x < 80)),
        ("pixel", lambda y, x: (y == 30) & (x == 40)),
        ("two", lambda y, x: (abs(y - 30) < 9) & ((x < 30) | (x > 70))),
        ("ring", lambda y, x: abs(np.hypot(y - 30, x - 45) - 20) < 5),
        ("checks", lambda y, x: (y // 10 + x // 10) % 2 == 0),
    ):
        yield name, part(*np.mgrid[:60, :90]).astype(float)


SHAPES = dict(shapes())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("spec", SPECS)
def test_something_stays_and_it_depends_on_seed_and_image_alone(spec: str, name: str) -> None:
    first = rough(spec, SHAPES[name])
    assert (first > 0).any()
    assert first.min() >= 0
    rough(spec, SHAPES["disc"], item_id="b.jpg")  # another image in between
    assert np.array_equal(first, rough(spec, SHAPES[name]))


@pytest.mark.parametrize("spec", ["jitter", "drop", "scribble", "part"])
def test_other_seeds_and_images_give_others(spec: str) -> None:
    made = [
        rough(spec, SHAPES["disc"], seed=seed, item_id=name).tobytes() for seed in (0, 1) for name in "abc"
    ]
    assert len(set(made)) == 6


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("spec", SUBSETS)
def test_what_is_incomplete_is_a_subset(spec: str, name: str) -> None:
    made, given = rough(spec, SHAPES[name]), SHAPES[name]
    assert set(np.unique(made)) <= {0, 1}
    assert (made <= given).all()
    assert made.any()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("spec", ["dilate(0.05)", "dilate(0.5)", "box"])
def test_what_is_generous_is_a_superset(spec: str, name: str) -> None:
    assert (rough(spec, SHAPES[name]) >= SHAPES[name]).all()


@pytest.mark.parametrize("pixels", [1, 2, 4, 10])
def test_a_square_moves_by_that_many_pixels(pixels: int) -> None:
    larger = rough(f"dilate({pixels / 40})", square())
    y, x = np.mgrid[:100, :80]
    away = np.hypot(np.maximum(np.maximum(30 - y, y - 69), 0), np.maximum(np.maximum(20 - x, x - 59), 0))
    assert np.array_equal(larger > 0, away < pixels + 0.5)
    sides = 40**2 + 4 * 40 * pixels
    assert larger.sum() - sides == pytest.approx(np.pi * pixels**2, rel=0.25, abs=2)
    smaller = rough(f"erode({pixels / 40})", square())
    assert smaller.sum() == (40 - 2 * pixels) ** 2
    assert np.array_equal(smaller, square(40 - 2 * pixels, (30 + pixels, 20 + pixels)))


def test_the_amount_is_of_the_region_not_of_the_image() -> None:
    for size in ((100, 80), (300, 200)):
        assert rough("erode(0.1)", square(40, size=size)).sum() == 32**2
    assert rough("erode(0.1)", square(20)).sum() == 16**2


def test_erosion_leaves_the_innermost_part_and_spares_the_frame() -> None:
    left = rough("erode(1)", square())
    assert np.array_equal(left, square(10, (45, 35)))
    cut_off = rough("erode(0.1)", square(40, (0, 0)))
    assert np.array_equal(cut_off, square(36, (0, 0)))
    assert rough("erode(1)", np.ones((9, 7))).all()


def test_jitter_moves_the_boundary_by_its_amount_in_and_out() -> None:
    given = SHAPES["disc"] > 0
    signed_distance = ndimage.distance_transform_edt(~given) - ndimage.distance_transform_edt(given)
    shifts = []
    for seed in range(20):
        made = rough("jitter(0.05)", SHAPES["disc"], seed=seed) > 0
        changed = np.abs(signed_distance[made != given])
        assert changed.max() < 6 * 0.05 * np.sqrt(given.sum())
        shifts.append(int(made.sum()) - int(given.sum()))
        assert (made & ~given).any()
        assert (given & ~made).any()
        assert ndimage.label(made, np.ones((3, 3)))[1] == 1
    assert abs(np.mean(shifts)) < 0.03 * given.sum()


def test_polygons() -> None:
    assert np.array_equal(rough("polygon(4)", square()), square())
    y, x = np.mgrid[:100, :100]
    disc = (np.hypot(y - 50, x - 50) < 40).astype(float)
    for vertices, at_least in ((3, 0.3), (6, 0.75), (12, 0.9)):
        drawn = rough(f"polygon({vertices})", disc)
        assert at_least < drawn.sum() / disc.sum() < 1.05
        assert ndimage.label(drawn)[1] == 1
    assert ndimage.label(rough("polygon", SHAPES["two"]))[1] == 2
    assert rough("polygon(8)", SHAPES["ring"])[30, 45] == 1, "the hole is filled"


def test_the_box_of_an_l() -> None:
    letter = np.zeros((20, 30))
    letter[3:15, 4:7] = letter[12:15, 4:20] = 1
    expected = np.zeros((20, 30))
    expected[3:15, 4:20] = 1
    assert np.array_equal(rough("box", letter), expected)
    assert np.array_equal(rough("box", SHAPES["two"]), SHAPES["two"]), "each part has its own"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("name", ["disc", "corner", "full", "two", "ring"])
def test_drop_takes_its_share_off_in_one_cut(share: float, name: str) -> None:
    given = SHAPES[name]
    for seed in range(4):
        left = rough(f"drop({share})", given, seed=seed)
        assert left.sum() / given.sum() == pytest.approx(1 - share, abs=0.002)
        gone = given - left
        if name in ("disc", "corner", "full"):
            assert ndimage.label(left, np.ones((3, 3)))[1] == ndimage.label(gone, np.ones((3, 3)))[1] == 1


def test_cuts_of_one_image_are_nested() -> None:
    few, some, many = (rough(f"drop({share})", SHAPES["disc"]) for share in (0.2, 0.5, 0.8))
    assert (few >= some).all()
    assert (some >= many).all()


def test_one_of_several_parts_or_half_of_a_single_one() -> None:
    numbers, _ = ndimage.label(SHAPES["two"])
    whole = {(numbers == number).astype(np.float32).tobytes() for number in (1, 2)}
    assert {rough("part", SHAPES["two"], seed=seed).tobytes() for seed in range(12)} == whole
    assert rough("part", square()).sum() == 800


def test_scribbles_are_thin() -> None:
    marks = square(70, (10, 5))
    one, three = (rough(f"scribble({strokes}, width=0.03)", marks) for strokes in (1, 3))
    assert 0 < one.sum() < three.sum() < 0.5 * marks.sum()
    assert ndimage.distance_transform_edt(one).max() <= 3  # the brush is 3 pixels wide


def test_grades_grow_to_one_at_the_innermost_pixel() -> None:
    made = rough("graded", SHAPES["disc"])
    depth = ndimage.distance_transform_edt(SHAPES["disc"])
    np.testing.assert_allclose(made, depth / depth.max(), rtol=1e-6)
    assert np.array_equal(made > 0, SHAPES["disc"] > 0)
    assert made.max() == 1
    assert (np.diff(made[30, 45:66]) < 0).all()
    assert rough("graded", np.ones((4, 6))).all()
    assert rough("graded + binary(0.5)", SHAPES["disc"]).sum() == (made >= 0.5).sum()


def test_grades_become_whole_marks_on_both_sides() -> None:
    assert rough("binary(0.5)", np.array([[0.5, 0.49, 0, -0.4, -0.8]])).tolist() == [[1, 0, 0, 0, -1]]


def test_values_of_a_graded_map_stay_and_what_grows_has_their_mean() -> None:
    marks = square() * 0.25
    marks[30:50] *= 3
    made = rough("dilate(0.1)", marks)
    assert np.array_equal(made[marks > 0], marks[marks > 0].astype(np.float32))
    assert np.unique(made[(made > 0) & (marks == 0)]).tolist() == [0.5]


@pytest.mark.parametrize("spec", SPECS)
def test_negative_marks_stay_unless_the_region_grows_over_them(spec: str) -> None:
    marks = square(20, (10, 10), (60, 60))
    marks[10:30, 32:40] = marks[50:, :] = -1
    made = rough(spec, marks)
    assert np.array_equal(made < 0, (marks < 0) & ~(made > 0))
    assert (made[50:] == -1).all()
    covered = rough("dilate(0.3)", marks)
    assert covered[20, 32] == 1
    assert covered[20, 39] == -1


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_without_a_positive_mark_nothing_changes(spec: str, value: float) -> None:
    assert np.array_equal(rough(spec, np.full((5, 8), value)), np.full((5, 8), value))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("blur", r"corrupt: got 'blur', choose one of dilate, erode, .*, binary, or several such as 'dilate"),
        ("dilat(0.1)", r"close: dilate"),
        ("", "corrupt: got '': expected a name at its end; for example 'dilate"),
        ("dilate(0)", r"corrupt: dilate\(amount=0\): need a number above 0, at most 1"),
        ("drop(1.2)", r"drop\(share=1.2\): need a number above 0"),
        ("drop(share=None)", r"drop\(share=None\): need a number above 0"),
        ("drop(half)", r"drop\(share='half'\): need a number"),
        ("drop(amount=0.5)", "drop has no option 'amount'; it has share"),
        ("drop(0.5, share=0.5)", "option 'share' of drop is there twice"),
        ("drop(0.5, 0.5)", "expected an option as name=value at '0.5"),
        ("box(3)", "box has no option '3', nor any other"),
        ("polygon(2)", r"polygon\(vertices=2\): need a whole number, 3 or more"),
        ("polygon(6.5)", r"need a whole number, 3 or more"),
        ("scribble(0)", r"scribble\(strokes=0\): need a whole number, 1 or more"),
        ("0.5*drop(0.5)", "kinds have no weights"),
        ("drop(0.5) erode", "expected '\\+' or the end at 'erode'"),
    ],
)
def test_what_is_refused(spec: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        parse_corruption(spec)
    assert "\n" not in str(refused.value)


def test_every_kind_goes_by_its_default() -> None:
    for name, kind in KINDS.items():
        assert parse_corruption(name).kinds == (kind(),)


def image(folder: Path, **facts: object) -> Item:
    path = save_photo(folder / "a.png", (90, 60))
    return replace(Item("a.png", path, 0, "train"), **facts)


VIEW = {"image_size": 48, "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.mark.parametrize("spec", SPECS)
def test_the_data_set_gives_it_mirrored_with_the_image(spec: str, tmp_path: Path) -> None:
    item = image(tmp_path, marks=Matrix(SHAPES["two"].astype(np.float32)))
    clean = ExplanationDataset([item], **VIEW)[0].annotation
    data = ExplanationDataset([item], corrupt=spec, seed=3, cache_bytes=0, **VIEW)
    expected = rough(spec, clean[0].numpy(), seed=3, item_id="a.png")
    for epoch in range(2):
        data.set_epoch(epoch)
        assert np.array_equal(data.sample(0, mirrored=False).annotation[0].numpy(), expected)
        assert np.array_equal(data.sample(0, mirrored=True).annotation[0].numpy(), expected[:, ::-1])
    assert torch.equal(data.marks(0)[0][1].float(), data[0].annotation)
    assert data.marks(0)[0][1].dtype == (torch.float32 if spec == "graded" else torch.int8)


def test_each_annotated_class_has_its_own(tmp_path: Path) -> None:
    disc = Matrix(SHAPES["disc"].astype(np.float32))
    item = image(tmp_path, label=-1, labels=(0, 2), marks_by_class={0: disc, 2: disc})
    data = ExplanationDataset([item], corrupt="drop(0.5)", num_classes=3, **VIEW)
    (first, ours), (second, theirs) = data[0].annotations
    assert (first, second) == (0, 2)
    assert ours.sum() == theirs.sum()
    assert not torch.equal(ours, theirs)


def test_negatives_are_derived_from_what_is_rough(tmp_path: Path) -> None:
    item = image(tmp_path, marks=Matrix(SHAPES["disc"].astype(np.float32)))
    plain = ExplanationDataset([item], corrupt="box", **VIEW)[0].annotation
    derived = ExplanationDataset([item], corrupt="box", negatives_outside=0.1, **VIEW)[0].annotation
    assert torch.equal(derived, mark_outside(plain, 0.1))
    assert (derived < 0).any()


def test_images_without_annotation_stay_without(tmp_path: Path) -> None:
    sample = ExplanationDataset([image(tmp_path)], corrupt="scribble", **VIEW)[0]
    assert not sample.annotated
    assert not sample.annotation.any()
