"""The evidence outside the annotation, as evaluate writes it; the oracle is NumPy on the last weights."""

import csv
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import nn

from lookright.config import TrainConfig
from lookright.data import ExplanationDataset, read_annotations
from lookright.engine.checkpoint import load_checkpoint, save_checkpoint
from lookright.engine.evaluate import evaluate
from lookright.engine.run_data import make_dataset
from lookright.engine.run_folder import RunFolder
from lookright.engine.train import train
from lookright.engine.trained_run import TrainedRun, open_run
from lookright.explainers import EXPLAINERS
from lookright.metrics import OUTSIDE, PerImage


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "per_image.csv").open() as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def hidden_head(num_classes: int) -> nn.Module:
    """The backbone `test_evaluate_outside:hidden_head`: a layer more between pooling and logits."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, num_classes)),
    )


def explains_alone(name: str) -> bool:
    """Whether it needs neither a part of the image nor attention, which this network has not."""
    needs = EXPLAINERS[name].needs
    return not (needs.region or needs.attention)


def features_and_head(run: TrainedRun, images: torch.Tensor) -> tuple[NDArray[np.float64], nn.Linear]:
    """What the one linear layer of the network pools, (N, C, h, w), and that layer."""
    (head,) = [module for module in run.classifier.network.modules() if isinstance(module, nn.Linear)]
    (pool,) = [m for m in run.classifier.network.modules() if isinstance(m, nn.AdaptiveAvgPool2d)]
    seen: list[torch.Tensor] = []
    handle = pool.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        run.classifier.network(images)
    handle.remove()
    return seen[0].double().numpy(), head


def marked(annotation: NDArray[np.float64], cells: int) -> NDArray[np.bool_]:
    """Cells of which a quarter is marked positive, and more than is marked negative."""
    side = annotation.shape[0] // cells
    blocks = annotation.reshape(cells, side, cells, side)
    positive, negative = (blocks > 0).mean(axis=(1, 3)), (blocks < 0).mean(axis=(1, 3))
    return (positive >= 0.25) & (positive > negative)


def test_the_columns_are_those_of_the_formula(finished: Path) -> None:
    run = open_run(finished)
    dataset = make_dataset(read_annotations(run.config).split("test"), run.classifier, run.config)
    assert isinstance(dataset, ExplanationDataset)
    samples = list(dataset)
    features, head = features_and_head(run, torch.stack([sample.image for sample in samples]))
    weight, bias = head.weight.detach().double().numpy(), head.bias.detach().double().numpy()
    cells = features.shape[2]
    table = rows(finished / "evaluation")
    for sample, feature in zip(samples, features, strict=True):
        evidence = np.einsum("kc,cij->kij", weight, feature) / cells**2
        logits = weight @ feature.mean(axis=(1, 2)) + bias
        np.testing.assert_allclose(evidence.sum(axis=(1, 2)) + bias, logits, atol=1e-9)
        outside = ~marked(sample.annotation[0].numpy().astype(float), cells)
        found = table[sample.id]
        if outside.all():
            assert all(found[name] == "" for name in OUTSIDE)
            continue
        order = np.argsort(-logits)
        amounts = []
        for rival in order[1:]:
            lead = (evidence[order[0]] - evidence[rival])[outside]
            margin = logits[order[0]] - logits[rival]
            amounts.append((lead[lead > 0].sum(), -lead[lead < 0].sum(), margin))
        p, n, margin = min(amounts, key=lambda amount: amount[2] - amount[0])
        expected = max(p, n), p, n, margin, float(margin > p)
        np.testing.assert_allclose([float(found[name]) for name in OUTSIDE], expected, atol=1e-4)


def test_the_means_are_those_of_the_rows_with_their_number(finished: Path) -> None:
    folder = finished / "evaluation"
    figures = json.loads((folder / "metrics.json").read_text())
    for name in OUTSIDE:
        values = [float(row[name]) for row in rows(folder).values() if row[name]]
        assert len(values) > 0
        assert figures[name] == {"value": pytest.approx(np.mean(values)), "n": len(values)}
    again = PerImage.from_csv(folder / "per_image.csv")
    assert again.evidence_outside is not None
    assert np.nanmean(again.evidence_outside) == pytest.approx(figures["evidence_outside"]["value"])


@pytest.mark.parametrize("explainer", [name for name in EXPLAINERS if explains_alone(name)])
def test_they_are_the_same_whatever_explains(explainer: str, finished: Path, tmp_path: Path) -> None:
    """Some explainers run the network at other images too."""
    run = RunFolder(shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation")))
    config = yaml.safe_load(run.config_file.read_text())
    run.config_file.write_text(yaml.safe_dump(config | {"explainer": explainer}))
    tensors, facts = load_checkpoint(run.best)
    save_checkpoint(run.best, tensors, facts | {"target_layer": None})
    found = rows(evaluate(run.path, device="cpu", progress=False))
    for photo, expected in rows(finished / "evaluation").items():
        figures, others = ([r[name] for name in OUTSIDE] for r in (found[photo], expected))
        assert [bool(value) for value in figures] == [bool(value) for value in others]
        assert [float(v or 0) for v in figures] == pytest.approx([float(v or 0) for v in others], abs=1e-4)


def test_a_deeper_head_has_no_such_columns_and_the_log_says_why(
    options: Callable[..., TrainConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = options(backbone="test_evaluate_outside:hidden_head", method="baseline", epochs=1)
    train(config)
    with caplog.at_level(logging.INFO, logger="lookright"):
        folder = evaluate(Path(str(config.out)), device="cpu", progress=False)
    assert "evidence outside is not told" in caplog.text
    assert not set(OUTSIDE) & set(next(iter(rows(folder).values())))
    assert not set(OUTSIDE) & set(json.loads((folder / "metrics.json").read_text()))
