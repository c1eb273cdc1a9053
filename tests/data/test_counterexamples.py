"""Copies of images whose negative marks are random."""

import pytest
import torch
from torch import Tensor

from lookright.data import Counterexamples, generator_for
from lookright.errors import ConfigError
from lookright.types import Batch, Rows

FILLS = ("uniform", "constant", "shuffle", "exchange")
every_fill = pytest.mark.parametrize("fill", FILLS)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch() -> Batch:
    """Images 0 and 3 have a negative mark; that of 4 does not count, as nobody annotated it."""
    marks = torch.zeros(5, 1, 6, 6)
    marks[0, :, :2, :3], marks[0, :, 4:, :] = -1, 1
    marks[1, :, 3:] = 1
    marks[3, :, :, 4:] = -0.3
    marks[4] = -1
    return Batch(
        image=torch.rand(5, 3, 6, 6, generator=random(7)) * 4 - 2,
        label=torch.tensor([0, 0, 0, 1, 1]),
        annotation=marks,
        annotated=torch.tensor([True, True, False, True, False]),
        id=tuple("abcde"),
        mirrored=(False, False, False, True, False),
    )


@every_fill
@pytest.mark.parametrize("copies", [1, 3])
def test_copies_differ_at_the_negative_marks_alone(fill: str, copies: int) -> None:
    given = batch()
    more = Counterexamples(copies, fill)(given, random())
    source = [0, 3] * copies
    assert more.image.shape == (5 + 2 * copies, 3, 6, 6)
    for ours, theirs in zip(more[:4], given[:4], strict=True):
        assert torch.equal(ours[:5], theirs)
    assert more.label[5:].tolist() == given.label[source].tolist()
    assert more.id == ("a", "b", "c", "d", "e", *("abcde"[i] for i in source))
    assert more.mirrored[5:] == tuple(given.mirrored[i] for i in source)
    assert not more.annotated[5:].any()
    assert not more.annotation[5:].any()
    assert more.rows is None
    for copy, i in zip(more.image[5:], source, strict=True):
        changed = (copy != given.image[i]).any(dim=0)
        negative = given.annotation[i, 0] < 0
        assert not (changed & ~negative).any()
        assert changed.sum() >= 0.5 * negative.sum()


@every_fill
def test_the_generator_decides(fill: str) -> None:
    images = [Counterexamples(2, fill)(batch(), random(seed)).image for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    if fill != "exchange":  # there is one other image of the label at most
        assert not torch.equal(images[0], images[2])
        assert not torch.equal(images[0][5:7], images[0][7:9])


def test_generators_of_different_batches_differ() -> None:
    def first(**where: int) -> float:
        return torch.rand(1, generator=generator_for(**({"seed": 0, "epoch": 0, "step": 0} | where))).item()

    drawn = [first(), first(seed=1), first(epoch=1), first(step=1), first(rank=1)]
    assert len(set(drawn)) == 5
    assert drawn[0] == first()


def test_values_stay_within_the_batch() -> None:
    given = batch()
    for fill in FILLS:
        copies = Counterexamples(4, fill)(given, random()).image[5:]
        for channel in range(3):
            assert copies[:, channel].min() >= given.image[:, channel].min()
            assert copies[:, channel].max() <= given.image[:, channel].max()


def test_constant_is_one_colour() -> None:
    copy = Counterexamples(fill="constant")(batch(), random()).image[5]
    assert (copy[:, :2, :3] == copy[:, :1, :1]).all()


def test_shuffle_keeps_the_pixels() -> None:
    def pixels(image: Tensor) -> list[list[float]]:
        return sorted(image[:, :2, :3].flatten(1).T.tolist())

    copy = Counterexamples(fill="shuffle")(batch(), random()).image[5]
    assert pixels(copy) == pixels(batch().image[0])


def test_exchange_takes_an_image_of_the_same_label() -> None:
    given = batch()
    copy = Counterexamples(fill="exchange")(given, random()).image[6]  # of image 3; 4 has its label
    assert torch.equal(copy[..., 4:], given.image[4, ..., 4:])
    alone = given._replace(label=torch.arange(5))  # nobody has: uniform
    uniform = Counterexamples()(alone, random()).image
    assert torch.equal(Counterexamples(fill="exchange")(alone, random()).image, uniform)


def test_without_negative_marks_the_batch_stays() -> None:
    given = batch()._replace(annotated=torch.zeros(5, dtype=torch.bool))
    assert Counterexamples()(given, random()) is given


@every_fill
def test_several_classes_of_an_image(fill: str) -> None:
    marks = torch.zeros(3, 1, 4, 4)
    marks[0, ..., :2] = -1
    marks[1, ..., :2, :2], marks[1, ..., 3:] = 1, -1  # the other class needs some of that
    rows = Rows(torch.tensor([0, 0, 1]), torch.tensor([2, 0, 1]))
    label = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    image = torch.rand(2, 3, 4, 4)
    given = Batch(image, label, marks, torch.tensor([True, True, True]), ("a", "b"), None, rows)
    more = Counterexamples(2, fill)(given, random())
    assert more.label.tolist() == [*label.tolist(), label[0].tolist(), label[0].tolist()]
    assert more.rows is not None
    assert more.rows.image.tolist() == [0, 0, 1, 2, 3]
    assert more.rows.label.tolist() == [2, 0, 1, 2, 2]
    assert more.annotated.tolist() == [True, True, True, False, False]
    assert more.annotation.shape == (5, 1, 4, 4)
    changed = (more.image[2] != image[0]).any(dim=0)
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[2:, :2] = expected[:, 3] = True
    assert not (changed & ~expected).any()
    assert changed.sum() >= 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"copies": 0}, "copies: got 0, need 1 or more"),
        ({"fill": "black"}, "fill: got 'black', choose one of uniform, constant, shuffle, exchange"),
    ],
)
def test_an_option_out_of_its_range(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Counterexamples(**options)
