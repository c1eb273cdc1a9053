"""Audit a classifier: look at its explanations, cluster and judge them, write what was found."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookright.audit.cluster_table import COLUMNS, Cluster, cluster_rows, make_clusters
from lookright.audit.images import of_split, read_photos
from lookright.audit.looks import Looks, look
from lookright.audit.model import open_model
from lookright.config import DataConfig
from lookright.data import AnnotationSet
from lookright.engine.channels_last import place
from lookright.engine.run_data import make_dataset
from lookright.engine.run_images import pick_device
from lookright.engine.trained_run import ExplainedClassifier, TrainedRun
from lookright.errors import ConfigError, LookrightWarning
from lookright.files import check_writable, replacing, write_csv

PAGE = "audit.html"


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found."""

    name: str
    """of the model"""
    model: ExplainedClassifier
    images: AnnotationSet
    looks: Looks
    clusters: tuple[Cluster, ...]
    """the most suspicious first"""

    @property
    def suspected(self) -> tuple[Cluster, ...]:
        """Clusters that look like a shortcut."""
        return tuple(cluster for cluster in self.clusters if cluster.is_suspected)

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions; None where no label is known."""
        known = self.looks.label >= 0
        return float((self.looks.predicted == self.looks.label)[known].mean()) if known.any() else None


def audit(
    model: str,
    data: DataConfig,
    *,
    split: str | None = None,
    classes: Sequence[str] = (),
    weights: str | None = None,
    image_size: int | None = None,
    explainer: str | None = None,
    target_layer: str | None = None,
    most_clusters: int = 8,
    batch_size: int = 32,
    device: str = "auto",
    progress: bool = True,
) -> Audit:
    """Audit a classifier on photos, annotated or not, labelled or not.

    Args:
        model: a run folder, the name of a classifier, or a function of your own (`open_model`)
        data: the photos; a folder without class folders is fine
        split: which images; by default all, and for a run on data with a test split that one
        classes: names of the outputs of a model that is not a run; by default those of ImageNet for its
            weights, else the class folders of the data
        weights: of a model that is not a run
        image_size: likewise
        explainer: likewise
        target_layer: likewise
        most_clusters: as `most` of `lookright.audit.clusters.cluster_explanations`
        batch_size: images at a time, at least 1
        device: auto, cpu, cuda or mps
        progress: show bars

    Raises:
        ConfigError, DataError, CheckpointError: an unknown model, photos that cannot be read, or options that
            do not go together.
    """
    if most_clusters < 1:
        raise ConfigError(f"clusters: got {most_clusters}, give 1 or more per class")
    if batch_size < 1:
        raise ConfigError(f"batch_size: got {batch_size}, need 1 or more")
    found = read_photos(data)
    opened = open_model(
        model,
        classes=classes,
        folders=found.classes,
        weights=weights,
        image_size=image_size,
        explainer=explainer,
        target_layer=target_layer,
    )
    images = of_split(found, split, opened)
    if found.classes and all(item.label < 0 for item in images.items):
        warnings.warn(
            f"{images.root}: the model knows none of the classes {', '.join(found.classes[:4])}: accuracy is "
            "not told; name folders as the model names its classes, or give --classes",
            LookrightWarning,
            stacklevel=2,
        )
    place(opened.classifier.network, pick_device(device))
    dataset = make_dataset(images, opened.classifier, opened.config)
    looks = look(opened, images, dataset, batch_size=batch_size, progress=progress)
    name = opened.folder.path.resolve().name if isinstance(opened, TrainedRun) else model
    return Audit(name, opened, images, looks, tuple(make_clusters(looks, most=most_clusters)))


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot be written, and to write over another audit.

    Raises:
        ConfigError: there is one, or `out` cannot be written.
    """
    check_writable("out", out)
    if (out / PAGE).exists() and not overwrite:
        raise ConfigError(f"out: {out} holds an audit already; choose another folder, or --overwrite it")


def write_tables(found: Audit, out: Path) -> None:
    """Write per_image.csv, clusters.csv, and explanations.npz with `id` and the raw maps (N, h, w) float32.

    Raises:
        DataError: a file cannot be written.
    """
    of_row = {row: cluster.name for cluster in found.clusters for row in cluster.rows}
    write_csv(out / "per_image.csv", found.looks.rows(of_row))
    write_csv(out / "clusters.csv", cluster_rows(found.clusters), COLUMNS)
    maps = found.looks.explanation.numpy().astype(np.float32)
    with replacing(out / "explanations.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, id=np.array(found.looks.id), explanation=maps)
