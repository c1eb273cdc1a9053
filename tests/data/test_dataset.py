from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import save_mask, save_photo
from PIL import Image
from torch.utils.data import DataLoader

from lookright.config import DataConfig
from lookright.data import ExplanationDataset, Item, MaskFiles, Matrix, collate, read_annotations
from lookright.errors import ConfigError, DataError
from lookright.types import Batch, Sample

PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}


@pytest.fixture
def aligned(tmp_path: Path) -> tuple[Item, ...]:
    """Twenty photos that are white exactly where their mask is positive, at sizes all their own."""
    generator = np.random.default_rng(0)
    items = []
    for number in range(20):
        mask = np.kron(generator.random((4, 4)) > 0.5, np.ones((8, 8))).astype(np.uint8)
        photo = tmp_path / "images" / f"{number}.png"
        photo.parent.mkdir(exist_ok=True)
        Image.fromarray(mask * 255).save(photo)
        marks = MaskFiles(save_mask(tmp_path / "masks" / f"{number}.png", mask))
        items.append(Item(f"{number}.png", photo, number % 2, "train", marks=marks))
    return tuple(items)


def dataset(items: tuple[Item, ...], **options: object) -> ExplanationDataset:
    return ExplanationDataset(items, **{"image_size": 32, **PLAIN, **options})


def test_flip_keeps_image_and_annotation_aligned(aligned: tuple[Item, ...]) -> None:
    data, unflipped = dataset(aligned, flip=True), dataset(aligned)
    flipped = 0
    for epoch in range(3):
        data.set_epoch(epoch)
        for index in range(len(data)):
            sample = data[index]
            torch.testing.assert_close(sample.image[:1], sample.annotation)
            original = unflipped[index].image
            assert torch.equal(sample.image, original) or torch.equal(sample.image, original.flip(-1))
            flipped += torch.equal(sample.image, original.flip(-1))
    assert 15 <= flipped <= 45


@pytest.mark.parametrize("persistent", [False, True])
def test_augmentation_depends_on_seed_epoch_and_index_alone(
    aligned: tuple[Item, ...], persistent: bool
) -> None:
    def epochs(workers: int, reverse: bool, seed: int = 0) -> list[list[torch.Tensor]]:
        data = dataset(aligned, flip=True, seed=seed)
        order = list(range(len(data)))
        loader = DataLoader(
            data,
            batch_size=3,
            sampler=order[::-1] if reverse else order,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=persistent and workers > 0,
        )
        result = []
        for epoch in range(2):
            data.set_epoch(epoch)
            images = torch.cat([batch.image for batch in loader])
            result.append(images.flip(0) if reverse else images)
        return result

    expected = epochs(0, reverse=False)
    assert not torch.equal(expected[0], expected[1])
    assert not torch.equal(expected[0], epochs(0, reverse=False, seed=1)[0])
    for workers, reverse in ((0, True), (2, False)):
        for mine, theirs in zip(epochs(workers, reverse), expected, strict=True):
            assert torch.equal(mine, theirs)


def test_random_state_is_left_alone(aligned: tuple[Item, ...]) -> None:
    before = torch.get_rng_state()
    samples = list(dataset(aligned, flip=True))
    assert {sample.mirrored for sample in samples} == {False, True}
    assert torch.equal(torch.get_rng_state(), before)


def test_image_is_resized_and_normalised_as_torchvision_does(photos: Path) -> None:
    from torchvision.transforms.v2 import functional

    items = read_annotations(DataConfig(data=photos / "pets_catdog")).items[:3]
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    data = ExplanationDataset(items, image_size=96, mean=mean, std=std)
    for sample, item in zip(data, items, strict=True):
        full = functional.pil_to_tensor(Image.open(item.path).convert("RGB"))
        small = functional.resize(full, [96, 96], antialias=True).float() / 255
        expected = functional.normalize(small, mean, std)
        assert (sample.image - expected).abs().max() < 2 / 255 / min(std)
        assert sample.annotated
        assert set(sample.annotation.unique().tolist()) <= {0.0, 1.0}


def test_thin_marks_survive_shrinking(tmp_path: Path) -> None:
    line = np.zeros((64, 64), dtype=bool)
    line[:, 17] = True
    photo = save_photo(tmp_path / "a.png", (64, 64))
    item = Item("a.png", photo, 0, "train", marks=MaskFiles(save_mask(tmp_path / "m.png", line)))
    annotation = dataset((item,), image_size=16)[0].annotation
    assert annotation[0, :, 4].eq(1).all()
    assert annotation.sum() == 16


def test_graded_marks_and_grids_of_any_shape(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "a.png", (30, 20))
    matrix = Matrix(np.array([[0.0, 0.5]], dtype=np.float32), np.array([[1, 0]], dtype=np.uint8))
    annotation = dataset((Item("a.png", photo, 0, "train", marks=matrix),), image_size=4)[0].annotation
    assert annotation[0].tolist() == [[-1.0, -1.0, 0.5, 0.5]] * 4


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("scale", [1, 3])
def test_marks_on_stored_pixels_turn_with_the_image(tmp_path: Path, orientation: int, scale: int) -> None:
    mask = np.zeros((20, 32), dtype=np.uint8)
    mask[:10, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(mask).save(tmp_path / "a.png", exif=exif)
    drawn = mask.repeat(scale, 0).repeat(scale, 1)
    if orientation == 3:  # both sizes are alike: taken to be drawn on what a viewer shows
        drawn = drawn[::-1, ::-1].copy()
    marks = MaskFiles(save_mask(tmp_path / "m.png", drawn))
    sample = dataset((Item("a.png", tmp_path / "a.png", 0, "train", marks=marks),), image_size=16)[0]
    torch.testing.assert_close(sample.image[:1].round(), sample.annotation)
    assert 0 < sample.annotation.sum() < 128


@pytest.mark.parametrize(
    ("size", "fits"), [((24, 16), True), ((6, 4), True), ((3, 2), True), ((8, 12), False)]
)
def test_annotation_of_another_size(tmp_path: Path, size: tuple[int, int], fits: bool) -> None:
    photo = save_photo(tmp_path / "a.png", (12, 8))
    marks = MaskFiles(save_mask(tmp_path / "m.png", np.ones(size[::-1], dtype=bool)))
    data = dataset((Item("images/a.png", photo, 0, "train", marks=marks),))
    if fits:
        assert data[0].annotation.min() == 1
    else:
        with pytest.raises(DataError, match=r"images/a\.png.*annotation is 8 x 12, the image is 12 x 8"):
            data[0]


def test_image_is_decoded_once_within_the_cache(aligned: tuple[Item, ...]) -> None:
    one = 32 * 32 * 4
    data = dataset(aligned, cache_bytes=10 * one)
    first = [data[index] for index in range(20)]
    for item in aligned[:10]:
        item.path.unlink()
    assert all(torch.equal(data[index].image, first[index].image) for index in range(20))
    with pytest.raises(DataError, match="no such file"):
        dataset(aligned, cache_bytes=0)[0]


def test_unannotated_image_and_collate(pets: Path) -> None:
    items = read_annotations(DataConfig(data=pets)).items
    data = dataset(items)
    assert data.annotated == [item.marks is not None for item in items]
    plain = data[5]
    assert isinstance(plain, Sample)
    assert not plain.annotated
    assert not plain.annotation.any()
    batch = collate([data[0], plain])
    assert isinstance(batch, Batch)
    assert batch.image.shape == (2, 3, 32, 32)
    assert batch.annotation.shape == (2, 1, 32, 32)
    assert batch.annotated.tolist() == [True, False]
    assert batch.label.dtype == torch.int64
    assert batch.id == ("images/cat/0.png", "images/cat/5.png")


@pytest.mark.parametrize(
    "options", [{"image_size": 0}, {"mean": [0.5]}, {"std": [1.0, 0.0, 1.0]}, {"seed": -1}], ids=str
)
def test_arguments_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(options))}.*got"):
        dataset((), **options)


class TestOtherMarks:
    """The same images, with marks that a program made."""

    MADE = Matrix(np.eye(4, dtype=np.uint8), made=True)

    def test_the_others_keep_theirs(self, aligned: tuple[Item, ...]) -> None:
        data = dataset(aligned, flip=True, seed=3)
        changed = data.with_marks({1: self.MADE})
        assert data.items == aligned, "the data set itself stays as it was"
        data.set_epoch(5)
        assert changed.epoch == 5
        for i in (0, 2):
            assert torch.equal(changed[i].annotation, data[i].annotation)
        expected = torch.eye(4).repeat_interleave(8, 0).repeat_interleave(8, 1)[None]
        assert torch.equal(changed.sample(1, mirrored=False).annotation, expected)
        assert torch.equal(changed.sample(1, mirrored=True).annotation, expected.flip(-1))
        assert torch.equal(changed.marks(1)[0][1].float(), expected)

    def test_an_image_without_marks_is_annotated_then(self, aligned: tuple[Item, ...]) -> None:
        bare = dataset(tuple(replace(item, marks=None) for item in aligned))
        assert bare.with_marks({4: self.MADE}).annotated == [i == 4 for i in range(20)]

    def test_photos_are_not_decoded_again(self, aligned: tuple[Item, ...]) -> None:
        data = dataset(aligned, cache_bytes=10 * 32 * 32 * 4)
        first = [data[i] for i in range(20)]
        changed = data.with_marks(dict.fromkeys(range(0, 20, 2), self.MADE))
        for item in aligned:
            item.path.unlink()
        for i in range(10):
            assert torch.equal(changed[i].image, first[i].image)
            assert torch.equal(changed[i].annotation, first[i].annotation) is bool(i % 2)
        assert changed.marks(18)[0][1].sum() == 4 * 64, "marks that are made need no photo"
        with pytest.raises(DataError, match="no such file"):
            changed.marks(19)

    def test_they_are_not_made_rough_and_negatives_are_derived(self, aligned: tuple[Item, ...]) -> None:
        options = {"negatives_outside": 0.0}
        rough = dataset(aligned, corrupt="drop(1.0)", **options)
        changed = rough.with_marks({1: self.MADE})
        assert (rough[1].annotation > 0).sum() < (dataset(aligned)[1].annotation > 0).sum()
        assert torch.equal(changed[0].annotation, rough[0].annotation)
        clean = dataset(aligned, **options).with_marks({1: self.MADE})
        assert torch.equal(changed[1].annotation, clean[1].annotation)
        assert clean[1].annotation.unique().tolist() == [-1.0, 1.0]

    def test_as_drawn(self, aligned: tuple[Item, ...]) -> None:
        data = dataset(aligned, negatives_outside=0.0)
        assert data[0].annotation.unique().tolist() == [-1.0, 1.0]
        assert torch.equal(data.as_drawn()[0].annotation, dataset(aligned)[0].annotation)
        assert data[0].annotation.unique().tolist() == [-1.0, 1.0]


def test_marks_do_not_decode_the_photo(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "a.png", (40, 40))
    marks = MaskFiles(save_mask(tmp_path / "mask.png", np.eye(40, dtype=np.uint8)))
    data = dataset((Item("a.png", photo, 0, "train", marks=marks),))
    first = data.marks(0)
    assert data.from_memory is None, "nobody asked for the photo"
    assert torch.equal(first[0][1].float(), data[0].annotation)
