"""Objects on backgrounds: which goes where, and what of each photo is seen."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_files import save_mask
from PIL import Image
from prepared_sets import all_bytes, pixels, rows_of, write_set

from lookright.config import DataConfig
from lookright.data import read_annotations
from lookright.data.prepare import prepare_shifted
from lookright.data.prepare.photos import MarkedPhoto
from lookright.data.prepare.shifted import largest_unmarked_square, paste_object
from lookright.errors import ConfigError, DataError
from lookright.prepare_config import ShiftedConfig

SPLITS = {"train": 20, "val": 4, "test": 5}


@pytest.fixture
def config(tmp_path: Path) -> ShiftedConfig:
    return ShiftedConfig(
        source=write_set(tmp_path / "objects", ("cat", "dog"), SPLITS),
        background=write_set(tmp_path / "grounds", ("land", "water"), {"train": 12, "val": 3, "test": 5}),
        out=tmp_path / "shifted",
        correlation=0.9,
    )


def test_groups_are_as_asked_for(config: ShiftedConfig) -> None:
    prepared = prepare_shifted(config)
    assert prepared.groups["train"] == {"cat/land": 18, "cat/water": 2, "dog/land": 2, "dog/water": 18}
    assert prepared.groups["val"] == {"cat/land": 2, "cat/water": 2, "dog/land": 2, "dog/water": 2}
    assert prepared.groups["test"] == {"cat/land": 3, "cat/water": 2, "dog/land": 2, "dog/water": 3}
    assert prepared.annotated == 58
    counts = Counter((row["split"], row["group"]) for row in rows_of(prepared.folder))
    assert counts["train", "dog/land"] == 2


def test_a_background_stays_in_its_split_and_class_and_is_used_evenly(config: ShiftedConfig) -> None:
    used: Counter[str] = Counter()
    for row in rows_of(prepare_shifted(config).folder):
        assert row["background"].startswith(f"images/{row['group'].split('/')[1]}/{row['split']}")
        assert row["foreground"].startswith(f"images/{row['class']}/{row['split']}")
        used[row["background"]] += 1
    assert {used[name] for name in used if "/train" in name} == {1, 2}  # 20 objects, 12 photos
    assert len(used) == 2 * (12 + 3 + 5)


def test_inside_the_mask_is_the_object_outside_the_background(config: ShiftedConfig) -> None:
    folder = prepare_shifted(config).folder
    for row in rows_of(folder):
        mask = pixels(folder / row["file"].replace("images", "masks", 1))
        assert (mask == pixels(config.source / row["foreground"].replace("images", "masks", 1))).all()
        image = pixels(folder / row["file"])
        assert (image[mask] == pixels(config.source / row["foreground"])[mask]).all()
        assert (image[~mask] == pixels(config.background / row["background"])[~mask]).all()


def test_the_set_is_read_without_problems_and_made_again_alike(config: ShiftedConfig, tmp_path: Path) -> None:
    first = prepare_shifted(config).folder
    found = read_annotations(DataConfig(data=first))
    assert (found.problems, found.classes) == ((), ("cat", "dog"))
    assert {item.group for item in found.split("test").items} == {
        f"{object_}/{ground}" for object_ in ("cat", "dog") for ground in ("land", "water")
    }
    again = prepare_shifted(replace(config, out=tmp_path / "again")).folder
    other = prepare_shifted(replace(config, out=tmp_path / "other", seed=1)).folder
    assert all_bytes(first) == all_bytes(again)
    assert all_bytes(first) != all_bytes(other)


def test_named_classes_pair_in_their_order(config: ShiftedConfig) -> None:
    prepared = prepare_shifted(replace(config, background_classes=["water", "land"], correlation=1.0))
    assert prepared.groups["train"] == {"cat/water": 20, "dog/land": 20}


@pytest.mark.parametrize(
    ("size", "box"), [(0.5, (10, 6, 30, 16)), (1.0, (0, 1, 40, 21)), (0.1, (18, 10, 22, 12))]
)
def test_an_object_of_a_size_keeps_its_centre_where_it_can(
    size: float, box: tuple[int, int, int, int]
) -> None:
    # A red box of 8 x 4 at (16, 9) in a photo of 40 x 32: its middle is (20, 11).
    red = np.zeros((32, 40, 3), dtype=np.uint8)
    mask = np.zeros((32, 40), dtype=np.float32)
    mask[9:13, 16:24] = 1
    red[mask > 0] = (255, 0, 0)
    photo = MarkedPhoto(Image.fromarray(red), mask, np.zeros_like(mask))
    image, drawn = paste_object(photo, Image.new("RGB", (100, 100), "blue"), size)
    left, top, right, bottom = box
    expected = np.zeros_like(mask)
    expected[top:bottom, left:right] = 1
    assert (drawn == expected).all()
    result = np.asarray(image)
    assert (result[drawn > 0] == (255, 0, 0)).all()
    assert (result[drawn == 0] == (0, 0, 255)).all()


def test_an_object_at_the_edge_is_moved_into_the_image() -> None:
    mask = np.zeros((20, 20), dtype=np.float32)
    mask[0:4, 16:20] = 1
    photo = MarkedPhoto(Image.new("RGB", (20, 20), "red"), mask, np.zeros_like(mask))
    _, drawn = paste_object(photo, Image.new("RGB", (20, 20)), 0.5)
    assert drawn[0:10, 10:20].all()
    assert drawn.sum() == 100


def test_largest_unmarked_square_against_every_square() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        marked = generator.random((9, 12)) < 0.2
        largest = max(
            side
            for side in range(1, 10)
            for top in range(10 - side)
            for left in range(13 - side)
            if not marked[top : top + side, left : left + side].any()
        )
        left, top, right, bottom = largest_unmarked_square(marked)
        assert right - left == bottom - top == largest
        assert not marked[top:bottom, left:right].any()
    assert largest_unmarked_square(np.ones((3, 3), dtype=bool)) is None


def test_unmarked_parts_show_nothing_that_is_marked(config: ShiftedConfig, tmp_path: Path) -> None:
    grounds = config.background
    for mask_file in grounds.glob("masks/*/*.png"):
        photo = grounds / "images" / mask_file.relative_to(grounds / "masks")
        Image.fromarray(np.where(pixels(mask_file), 255, 0).astype(np.uint8)).convert("RGB").save(photo)
    folder = prepare_shifted(replace(config, background_part="unmarked")).folder
    for row in rows_of(folder):
        outside = ~pixels(folder / row["file"].replace("images", "masks", 1))
        assert (pixels(folder / row["file"])[outside] == 0).all()


def test_what_cannot_be_used_is_left_out_and_said(config: ShiftedConfig) -> None:
    (config.source / "masks" / "cat" / "train0.png").unlink()
    save_mask(config.source / "masks" / "cat" / "train1.png", np.zeros((32, 40), dtype=bool))
    prepared = prepare_shifted(config)
    assert prepared.images == 56
    assert prepared.remarks == ("2 photos of objects left out: nothing is marked to cut out",)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"background": None}, ConfigError, "background: missing"),
        ({"object_size": 2.0}, ConfigError, "object_size: got 2.0"),
        ({"correlation": -0.1}, ConfigError, "correlation: got -0.1"),
        ({"foreground_classes": ["cat", "cow"]}, ConfigError, "has no class 'cow'; it has cat, dog"),
        ({"foreground_classes": ["cat"]}, ConfigError, "name two classes or more"),
    ],
)
def test_mistakes(
    options: dict[str, object], error: type[Exception], message: str, config: ShiftedConfig
) -> None:
    with pytest.raises(error, match=message):
        prepare_shifted(replace(config, **options))
    assert not config.out.exists()


def test_sets_that_do_not_fit(config: ShiftedConfig, tmp_path: Path) -> None:
    three = write_set(tmp_path / "three", ("a", "b", "c"), SPLITS)
    with pytest.raises(ConfigError, match=r"2 classes of objects .* and 3 of backgrounds"):
        prepare_shifted(replace(config, background=three))
    no_val = write_set(tmp_path / "no_val", ("a", "b"), {"train": 2, "test": 2})
    with pytest.raises(DataError, match="no image is in split 'val'"):
        prepare_shifted(replace(config, background=no_val))
    few = write_set(tmp_path / "few", ("a", "b"), {"train": 5, "val": 1, "test": 5})
    with pytest.raises(DataError, match="has 1 marked images of 'a' in split 'val', too few"):
        prepare_shifted(replace(config, source=few))
    bare = write_set(tmp_path / "bare", ("a", "b"), SPLITS, masks=False)
    with pytest.raises(DataError, match="has 0 marked images of 'a'"):
        prepare_shifted(replace(config, source=bare))
    with pytest.raises(DataError, match="in split 'train' that can be used"):
        prepare_shifted(replace(config, background=bare, background_part="unmarked"))
    assert not config.out.exists()
