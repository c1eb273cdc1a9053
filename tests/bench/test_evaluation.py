"""Both sides of the comparison read the same images and predict the same."""

from pathlib import Path

import torch

from lookright.bench.evaluation import measure_evaluation, plain_inference, write_photos
from lookright.data import ExplanationDataset
from lookright.engine.inference import infer
from lookright.explainers import GradCAM
from lookright.models import create

CPU = torch.device("cpu")


def test_evaluation_and_plain_inference_predict_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = create("small_cnn", num_classes=2, image_size=32)
    items = write_photos(tmp_path, count=7, image_size=32)
    dataset = ExplanationDataset(items, image_size=32, mean=classifier.mean, std=classifier.std)
    whole = infer(GradCAM(classifier.network, image_size=32), dataset, batch_size=3)
    predicted = plain_inference(classifier.network, dataset, batch_size=3, device=CPU)
    assert torch.equal(predicted, whole.probabilities.argmax(dim=1))
    assert bool(whole.annotated.all())
    for name in ("iou", "precision", "recall", "f1"):
        assert not whole.localization[name].isnan().any(), "no figure is spared its work"


def test_measures_images_per_second(tmp_path: Path) -> None:
    items = write_photos(tmp_path, count=4, image_size=32)
    rates = measure_evaluation("small_cnn", items, batch_size=2, image_size=32, rounds=2, device=CPU)
    assert {name: len(values) for name, values in rates.items()} == {"evaluation": 2, "plain": 2}
    assert all(value > 1 for values in rates.values() for value in values)
