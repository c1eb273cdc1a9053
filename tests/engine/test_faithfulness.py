"""Networks that are known to look at one place, whatever their map says; and plain NumPy, step by step."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from lookright.data import ExplanationDataset
from lookright.data.annotations import Item, Shapes
from lookright.data.shapes import Box
from lookright.engine.evaluate import evaluate
from lookright.engine.faithfulness import FaithfulnessOptions, check_supported, measure_faithfulness
from lookright.engine.faithfulness_run import faithfulness_figures
from lookright.engine.inference import Inference
from lookright.engine.tasks import PLAIN, Output
from lookright.errors import ConfigError, DataError
from lookright.metrics import FAITHFULNESS, Faithfulness, localization
from lookright.types import Task

SIDE = 16
OBJECT = (4, 6, 11, 12)
"""x0, y0, x1, y1"""
CLASSES = ("low", "high")
Array = NDArray[np.float64]


def on_object() -> Tensor:
    """(SIDE, SIDE) bool"""
    x0, y0, x1, y1 = OBJECT
    region = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    region[y0:y1, x0:x1] = True
    return region


def write_items(folder: Path, count: int = 6, boxes: Sequence[Box | None] | None = None) -> list[Item]:
    """Images whose class is told twice: by the object's red, and by the background's blue."""
    items = []
    for i in range(count):
        label, rng = i % 2, np.random.default_rng(i)
        pixels = np.full((SIDE, SIDE, 3), 128) + rng.integers(-4, 5, (SIDE, SIDE, 3))
        region = on_object().numpy()
        pixels[region, 0] += 80 if label else -80
        pixels[~region, 2] += 80 if label else -80
        file = folder / f"{i}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(file)
        box = Box(*OBJECT) if boxes is None else boxes[i]
        marks = None if box is None else Shapes(SIDE, SIDE, (box,))
        items.append(Item(file.name, file, label, "test", "even" if i % 3 else "third", marks))
    return items


def photos(items: Sequence[Item]) -> ExplanationDataset:
    return ExplanationDataset(items, image_size=SIDE, mean=[0.5] * 3, std=[0.5] * 3)


class Linear(nn.Module):
    """logits = (-s, s) with s = sum of weight * image."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image: Tensor) -> Tensor:
        score = (self.weight * image).sum(dim=(1, 2, 3))
        return torch.stack([-score, score], dim=1)


def reads(channel: int, region: Tensor) -> Linear:
    """A network that looks at one channel of a region, and nowhere else."""
    weight = torch.zeros(3, SIDE, SIDE)
    weight[channel, region] = 10 / region.sum()
    return Linear(weight)


def seen_by(network: nn.Module, dataset: ExplanationDataset, maps: Tensor) -> Inference:
    """What inference would give, had the network these maps."""
    count = len(dataset)
    with torch.no_grad():
        logits = network(torch.stack([dataset[i].image for i in range(count)]))
    return Inference(
        id=tuple(item.id for item in dataset.items),
        label=torch.tensor([item.label for item in dataset.items]),
        annotated=torch.tensor(dataset.annotated),
        probabilities=logits.softmax(1),
        explanation=maps.expand(count, *maps.shape[-2:]),
        localization={},
    )


def measured(
    network: nn.Module, dataset: ExplanationDataset, maps: Tensor | None = None, **options: Any
) -> Faithfulness:
    inference = seen_by(network, dataset, on_object().float() if maps is None else maps)
    return measure_faithfulness(network, dataset, inference, CLASSES, FaithfulnessOptions(**options))


# A map that was repainted


def test_a_model_of_the_background_with_a_repainted_map_is_exposed(tmp_path: Path) -> None:
    """Both have the perfect map and the perfect accuracy; only one of them has earned it."""
    dataset, maps = photos(write_items(tmp_path)), on_object().float()
    marks = torch.stack([dataset[i].annotation for i in range(6)])
    agreement = localization(maps.expand(6, 1, SIDE, SIDE), marks, torch.ones(6, dtype=torch.bool))
    assert agreement["iou"].tolist() == [1.0] * 6
    assert agreement["epg"].tolist() == [1.0] * 6

    honest = measured(reads(0, on_object()), dataset, maps).numbers()
    painted = measured(reads(2, ~on_object()), dataset, maps).numbers()
    assert honest["unchanged_accuracy"] == painted["unchanged_accuracy"] == 1

    for change in ("background_blur", "background_mean", "background_swap"):
        assert honest[f"{change}_accuracy"] == 1
        assert honest[f"{change}_flips"] == honest[f"{change}_change"] == 0
    assert painted["background_swap_accuracy"] == 0
    assert painted["background_swap_flips"] == 1
    assert painted["background_swap_change"] > 0.99
    assert painted["background_mean_change"] == pytest.approx(0.5, abs=0.01)
    assert painted["worst_group_background_swap_accuracy"] == 0
    assert honest["worst_group_background_swap_accuracy"] == 1

    assert painted["object_removed_flips"] == painted["object_removed_change"] == 0
    assert honest["object_removed_change"] == pytest.approx(0.5, abs=0.1)

    assert honest["deletion_auc"] < 0.65 < 0.75 < painted["deletion_auc"]


def test_deleting_what_is_not_used_changes_nothing(tmp_path: Path) -> None:
    dataset = photos(write_items(tmp_path))
    used = int(on_object().sum()) / SIDE**2
    for network, stays in ((reads(0, on_object()), False), (reads(2, ~on_object()), True)):
        found = measured(network, dataset, steps=SIDE**2)
        first = found.deletion[:, found.share <= used]
        last = found.deletion[:, found.share >= used]
        assert bool((first == first[:, :1]).all()) is stays
        assert bool((last == last[:, :1]).all()) is not stays
        torch.testing.assert_close(found.deletion[:, -1], torch.full((6,), 0.5))


# Against plain NumPy


def blurred(image: Array, region: Array, blur: float) -> Array:
    at = np.arange(SIDE)
    kernel = np.exp(-((at[:, None] - at) ** 2) / (2 * (blur * SIDE) ** 2))
    kernel /= kernel.sum(axis=1).max()
    mean = (image * region).sum(axis=(1, 2), keepdims=True) / region.sum()
    near, weight = kernel @ (image * region) @ kernel, kernel @ region @ kernel
    return (near + 1e-3 * mean) / (weight + 1e-3)


def probabilities(weight: Array, image: Array) -> Array:
    score = (weight * image).sum()
    odds = np.exp([-score, score])
    return odds / odds.sum()


@pytest.mark.parametrize("fill", ["blur", "mean"])
def test_everything_as_plain_numpy_does_it(tmp_path: Path, fill: str) -> None:
    """Two images, so that each lends its background to the other; the margin widens their objects."""
    dataset = photos(write_items(tmp_path, 2, [Box(3, 3, 8, 9), Box(6, 2, 12, 6)]))
    generator = torch.Generator().manual_seed(0)
    network = Linear(torch.randn(3, SIDE, SIDE, generator=generator) * 0.05)
    maps = torch.randperm(2 * SIDE**2, generator=generator).view(2, SIDE, SIDE).float()
    found = measured(network, dataset, maps, steps=5, fill=fill, blur=0.2, margin=0.1)

    weight = network.weight.detach().double().numpy()
    images = [dataset[i].image.double().numpy() for i in range(2)]
    objects = [np.zeros((SIDE, SIDE)) for _ in range(2)]
    objects[0][1:11, 1:10] = 1  # two pixels wider on each side
    objects[1][0:8, 4:14] = 1

    def filling(image: Array, region: Array) -> Array:
        return blurred(image, region, 0.2) if fill == "blur" else np.zeros_like(image)

    def without(i: int) -> Array:
        return np.where(objects[i] > 0, filling(images[i], 1 - objects[i]), images[i])

    for i, image in enumerate(images):
        inside = objects[i] > 0
        changed = {
            "background_blur": np.where(inside, image, blurred(image, 1 - objects[i], 0.2)),
            "background_mean": np.where(inside, image, 0),
            "background_swap": np.where(inside, image, without(1 - i)),
            "object_removed": without(i),
        }
        before = probabilities(weight, image)
        for name, picture in changed.items():
            after = probabilities(weight, picture)
            assert found.figures[f"{name}_accuracy"][i] == (after.argmax() == i)
            assert found.figures[f"{name}_flips"][i] == (after.argmax() != before.argmax())
            assert found.figures[f"{name}_change"][i].item() == pytest.approx(
                abs(after[i] - before[i]), abs=1e-5
            )
            assert found.predicted[name][i] == CLASSES[after.argmax()]
        order = np.argsort(-maps[i].numpy().ravel())
        blur = blurred(image, np.ones((SIDE, SIDE)), 0.2)
        deletion, insertion = [], []
        for step in range(6):
            top = np.zeros(SIDE**2, dtype=bool)
            top[order[: int(np.rint(step / 5 * SIDE**2))]] = True
            top = top.reshape(SIDE, SIDE)
            k = before.argmax()
            deletion.append(probabilities(weight, np.where(top, 0, image))[k])
            insertion.append(probabilities(weight, np.where(top, image, blur))[k])
        np.testing.assert_allclose(found.deletion[i], deletion, atol=1e-5)
        np.testing.assert_allclose(found.insertion[i], insertion, atol=1e-5)
        assert found.figures["deletion_auc"][i].item() == pytest.approx(
            np.trapezoid(deletion, dx=0.2), abs=1e-5
        )
    assert found.lender == ("1.png", "0.png")


# Which images


def test_images_without_object_or_background_are_left_out(tmp_path: Path) -> None:
    whole, nowhere = Box(0, 0, SIDE, SIDE), Box(0, 0, 0, 0)
    items = write_items(tmp_path, 5, [Box(*OBJECT), None, whole, nowhere, Box(*OBJECT)])
    negative = replace(items[1], marks=Shapes(SIDE, SIDE, negative=(Box(*OBJECT),)))
    found = measured(reads(0, on_object()), photos([*items, replace(negative, id="negative")]))
    assert found.id == ("0.png", "4.png")
    with pytest.raises(DataError, match="both a positive mark and a part that is not marked; annotate some"):
        measured(reads(0, on_object()), photos([items[2], items[3]]))


def test_backgrounds_come_from_another_class_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    items = write_items(tmp_path, 12)
    network = reads(2, ~on_object())
    found = measured(network, photos(items))
    lender = dict(zip(found.id, found.lender, strict=True))
    assert all(int(Path(one).stem) % 2 != int(Path(str(other)).stem) % 2 for one, other in lender.items())
    assert len(set(lender.values())) > 3
    turned = measured(network, photos(items[::-1]))
    assert dict(zip(turned.id, turned.lender, strict=True)) == lender
    other_seed = measured(network, photos(items), seed=1)
    assert dict(zip(other_seed.id, other_seed.lender, strict=True)) != lender


def test_of_one_class_another_image_lends(tmp_path: Path) -> None:
    found = measured(reads(0, on_object()), photos(write_items(tmp_path, 6)[::2]))
    assert all(one not in (None, other) for one, other in zip(found.lender, found.id, strict=True))
    alone = measured(reads(0, on_object()), photos(write_items(tmp_path, 1)))
    assert alone.lender == (None,)
    assert alone.figures["background_swap_flips"].isnan().all()


def test_fewer_images_are_the_same_ones_in_any_order(tmp_path: Path) -> None:
    items = write_items(tmp_path, 12)
    network = reads(0, on_object())
    chosen = measured(network, photos(items), images=5).id
    assert len(chosen) == 5
    assert list(chosen) == [item.id for item in items if item.id in chosen]
    assert set(measured(network, photos(items[::-1]), images=5).id) == set(chosen)
    assert set(chosen) < set(measured(network, photos(items), images=8).id)
    assert set(measured(network, photos(items), images=5, seed=1).id) != set(chosen)
    assert len(measured(network, photos(items), images=99)) == 12


def test_the_batch_does_not_matter(tmp_path: Path) -> None:
    dataset, network = photos(write_items(tmp_path)), reads(2, ~on_object())
    inference = seen_by(network, dataset, on_object().float())
    one, several = (
        measure_faithfulness(network, dataset, inference, CLASSES, batch_size=size) for size in (1, 4)
    )
    assert one.lender == several.lender
    for name in FAITHFULNESS:
        torch.testing.assert_close(one.figures[name], several.figures[name], equal_nan=True)


def test_the_network_is_as_it_was(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * (SIDE - 2) ** 2, 2)
    )
    dataset = photos(write_items(tmp_path))
    network.eval()
    inference = seen_by(network, dataset, on_object().float())
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = measure_faithfulness(network, dataset, inference, CLASSES, FaithfulnessOptions(steps=1))
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    predicted = inference.probabilities.max(dim=1).values  # in evaluation mode, so without dropout
    torch.testing.assert_close(found.deletion[:, 0], predicted, atol=1e-5, rtol=0)


# What is refused


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 0}, "steps: got 0, need 1 or more"),
        ({"fill": "red"}, "fill: got 'red', choose blur or mean"),
        ({"margin": 1.0}, "margin: got 1.0"),
        ({"blur": 0.0}, "blur: got 0.0"),
        ({"seed": -1}, "seed: got -1"),
        ({"images": 0}, "images: got 0; give 1 or more"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        FaithfulnessOptions(**options)


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    dataset = photos(write_items(tmp_path))
    for task in (Task.MULTI_LABEL, Task.REGRESSION):
        with pytest.raises(ConfigError, match=f"each image has one class; the task is {task.value}"):
            check_supported(dataset, Output(task))
    with pytest.raises(ConfigError, match="needs a folder of photos"):
        check_supported(cast(ExplanationDataset, iter(())), PLAIN)
    bare = photos([replace(item, marks=None) for item in dataset.items])
    with pytest.raises(DataError, match="no image of the split is annotated"):
        check_supported(bare, PLAIN)


# A trained run


def test_in_the_evaluation_of_a_run(finished: Path, tmp_path: Path) -> None:
    options = FaithfulnessOptions(steps=2, images=8)
    plain = json.loads((finished / "evaluation" / "metrics.json").read_text())
    folder = evaluate(finished, out=tmp_path, device="cpu", progress=False, faithfulness=options)
    found = json.loads((folder / "metrics.json").read_text())
    assert {name: found[name] for name in plain} == plain  # all else is as without
    assert found["faithfulness"]["options"] == asdict(options)
    by_group = found["faithfulness"]["by_group"]["background_swap_accuracy"]
    assert found["worst_group_background_swap_accuracy"]["group"] in by_group
    with (folder / "faithfulness.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 8
    for name in FAITHFULNESS:
        values = [float(row[name]) for row in table]
        assert found[name] == {"value": pytest.approx(np.mean(values), abs=1e-6), "n": 8}
        assert 0 <= found[name]["value"] <= 1

    figures = faithfulness_figures(finished, options=options, device="cpu")
    assert set(figures) == {*FAITHFULNESS, "worst_group_background_swap_accuracy", "faithfulness_images"}
    assert figures["faithfulness_images"] == 8
    for name in FAITHFULNESS:
        assert figures[name] == pytest.approx(found[name]["value"], abs=1e-6)

    evaluate(finished, out=tmp_path, device="cpu", progress=False)  # without: nothing of it stays
    assert json.loads((folder / "metrics.json").read_text()) == plain
    assert not (folder / "faithfulness.csv").exists()
