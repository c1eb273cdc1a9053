"""Images without what lies outside their annotation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import save_mask
from torch.utils.data import DataLoader

from lookright.data import ExplanationDataset, Isolation, Item, Matrix, collate
from lookright.data.derive import mark_outside
from lookright.errors import ConfigError

SIDE = 16
MARKS = {"positive": (1, 0), "negative": (0, 1), "both": (1, 1), "nothing": (0, 0)}
"""whether the upper quarter is positive, and the lower one negative"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Grey, nowhere the mean colour of the data sets below."""
    return save_mask(tmp_path / "a.png", np.full((SIDE, SIDE, 3), 90, dtype=np.uint8))


def item(photo: Path, kind: str) -> Item:
    positive, negative = np.zeros((2, SIDE, SIDE), dtype=np.uint8)
    positive[: SIDE // 4], negative[-SIDE // 4 :] = MARKS[kind]
    return Item(kind, photo, 0, "train", marks=Matrix(positive, negative))


def dataset(*items: Item, share: float = 1.0, lend: float = 0.0, **options: object) -> ExplanationDataset:
    plain = {"image_size": SIDE, "mean": [0.0] * 3, "std": [1.0] * 3, "isolation": Isolation(share, lend)}
    return ExplanationDataset(items, **{**plain, **options})


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="share"):
        Isolation(share)


@pytest.mark.parametrize("lend", [-0.1, 1.1])
def test_a_share_of_lent_grounds_out_of_range_is_refused(lend: float) -> None:
    with pytest.raises(ConfigError, match="lend"):
        Isolation(lend=lend)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_as_many_images_as_the_share_says_and_others_in_the_next_epoch(share: float) -> None:
    drawn = [[Isolation(share).draw(seed=0, epoch=epoch, index=i) for i in range(2000)] for epoch in range(2)]
    for epoch in drawn:
        assert np.mean(epoch) == pytest.approx(share, abs=0.04)
    assert (drawn[0] == drawn[1]) is (share == 1)


@pytest.mark.parametrize("derived", [None, 0.2])
@pytest.mark.parametrize("kind", ["positive", "negative", "both"])
def test_what_lies_outside_is_gone_and_the_rest_stays(photo: Path, kind: str, derived: float | None) -> None:
    sample = dataset(item(photo, kind), negatives_outside=derived)[0]
    gone = (sample.image == 0).all(dim=0)
    rows = {"positive": range(SIDE // 4, SIDE)}.get(kind, range(SIDE - SIDE // 4, SIDE))
    expected = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    expected[list(rows)] = True
    assert torch.equal(gone, expected)
    assert torch.allclose(sample.image[:, ~gone], torch.tensor(90 / 255))
    assert sample.id == f"{kind} (isolated)"


def test_marks_stay_as_they_are(photo: Path) -> None:
    data = dataset(item(photo, "positive"), negatives_outside=0.2)
    drawn = torch.zeros(1, SIDE, SIDE)
    drawn[:, : SIDE // 4] = 1
    assert torch.equal(data[0].annotation, mark_outside(drawn, 0.2))


def test_an_image_with_nothing_outside_is_shown_as_it_is(photo: Path) -> None:
    full = Item("full", photo, 0, "train", marks=Matrix(np.ones((SIDE, SIDE), dtype=np.uint8)))
    data = dataset(item(photo, "nothing"), full, Item("none", photo, 0, "train"))
    assert [data[i].id for i in range(3)] == ["nothing", "full", "none"]
    assert all((data[i].image > 0).all() for i in range(3))
    assert list(data.appearances(isolated=True)) == []


def test_mirrored_and_isolated_is_the_mirror_image_of_isolated(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(1, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    left = np.zeros((SIDE, SIDE), dtype=np.uint8)
    left[:, :5] = 1
    photo = save_mask(tmp_path / "a.png", colours)
    data = dataset(Item("a", photo, 0, "train", marks=Matrix(left)))
    straight, mirrored = (data.sample(0, mirrored=m, isolated=True) for m in (False, True))
    assert torch.equal(mirrored.image, straight.image.flip(-1))
    assert (straight.image[:, :, 5:] == 0).all()


def test_workers_and_order_do_not_matter(photo: Path) -> None:
    data = dataset(*[item(photo, "positive") for _ in range(20)], share=0.5, flip=True)
    names = []
    for workers in (0, 2):
        data.set_epoch(3)
        batches = list(DataLoader(data, 5, collate_fn=collate, num_workers=workers))
        names.append([name for batch in batches for name in batch.id])
    assert names[0] == names[1] == [data.appearance(i).name for i in range(20)]
    assert 4 <= sum("isolated" in name for name in names[0]) <= 16


def test_other_marks_isolate_other_pixels(photo: Path) -> None:
    data = dataset(item(photo, "nothing"))
    assert data.appearance(0).isolated is False
    lower = np.zeros((SIDE, SIDE), dtype=np.uint8)
    lower[8:] = 1
    other = data.with_marks({0: Matrix(lower, made=True)})
    assert (other[0].image[:, :8] == 0).all()
    assert (other[0].image[:, 8:] > 0).all()
    assert data.appearance(0).isolated is False
    assert other.without_isolation().appearance(0).isolated is False


def test_who_lends_is_drawn_once_and_is_another_image() -> None:
    annotated = tuple(range(0, 2000, 2))
    lenders = [Isolation(lend=0.5).lender(seed=0, index=i, annotated=annotated) for i in annotated]
    lending = [(i, lender) for i, lender in zip(annotated, lenders, strict=True) if lender is not None]
    assert len(lending) / 1000 == pytest.approx(0.5, abs=0.05)
    assert all(lender != i and lender in annotated for i, lender in lending)
    assert len({lender for _, lender in lending}) > 350, "all over the data set"
    assert Isolation(lend=1).lender(seed=0, index=4, annotated=(4,)) is None
    assert Isolation(lend=1).lender(seed=0, index=4, annotated=(4, 6)) == 6
    assert Isolation(lend=0).lender(seed=0, index=4, annotated=annotated) is None


def test_what_lies_outside_in_the_other_image_is_lent(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(1, 255, (2, SIDE, SIDE, 3), dtype=np.uint8)
    inside = np.zeros((2, SIDE, SIDE), dtype=np.uint8)
    inside[0, :4], inside[1, :, :4] = 1, 1
    data = dataset(
        *(
            Item(name, save_mask(tmp_path / name, colours[i]), i, "train", marks=Matrix(inside[i]))
            for i, name in enumerate(("a.png", "b.png"))
        ),
        lend=1.0,
        negatives_outside=0.2,
    )
    image, lent = data[0].image, torch.from_numpy(colours[1]).permute(2, 0, 1) / 255
    outside_there = torch.from_numpy(inside[1] == 0)
    assert torch.equal(image[:, :4], (torch.from_numpy(colours[0]).permute(2, 0, 1) / 255)[:, :4])
    assert torch.equal(image[:, 4:, 4:], lent[:, 4:, 4:])
    colour = torch.stack([channel[outside_there].mean() for channel in lent])
    torch.testing.assert_close(image[:, 4:, :4], colour[:, None, None].expand(3, SIDE - 4, 4))
    data.set_epoch(1)
    assert torch.equal(data[0].image, image), "the same in every epoch, so that its features can be kept"


def test_an_image_with_nothing_outside_lends_the_mean_colour(photo: Path) -> None:
    full = Item("full", photo, 0, "train", marks=Matrix(np.ones((SIDE, SIDE), dtype=np.uint8)))
    data = dataset(item(photo, "positive"), full, lend=1.0)
    assert (data[0].image[:, SIDE // 4 :] == 0).all()
