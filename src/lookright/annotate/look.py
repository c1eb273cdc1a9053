"""What a model makes of the photos: predictions of all in the background, maps when they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lookright.annotate.encoded import encoded
from lookright.annotate.order import Prediction
from lookright.annotate.pixels import POSITIVE, Grey
from lookright.annotate.ways import ways_of_looking
from lookright.audit.clusters import shrink
from lookright.audit.images import of_split
from lookright.audit.model import open_model
from lookright.data import AnnotationSet, ExplanationDataset
from lookright.engine.channels_last import place
from lookright.engine.inference import PREDICTED
from lookright.engine.run_images import pick_device
from lookright.engine.trained_run import ExplainedClassifier
from lookright.errors import ConfigError, LookrightError, NonFiniteError
from lookright.explainers import LayerExplainer
from lookright.metrics import binarize, iou, is_reasonable, rescale
from lookright.models.modes import evaluating
from lookright.report.overlay import heat
from lookright.types import Task

Map = NDArray[np.float32]

_TOGETHER = 8
"""Photos predicted at a time: whoever asks for a map waits for no more than these."""

_LAYER = 1024
"""Longer side of a map's layer at most: it is smooth, and enlarged as well by whoever shows it."""

_COMPARED = 256
"""Longer side, at most, of a map that is compared with marks."""

_MAPS = 500
"""Raw maps that are kept."""


class Looking:
    """A model beside the photos of a project. It is asked by one thread at a time.

    Args:
        model: in place, on its device
        images: the photos, labels in the order of the model's classes
    """

    def __init__(self, model: ExplainedClassifier, images: AnnotationSet) -> None:
        self.model = model
        self.images = images
        self.predictions: dict[int, Prediction] = {}
        """by position, as far as they are known; grows in the background"""
        self.unreasonable: dict[int, float] = {}
        """overlap of map and marks where that is low, by position; grows after that"""
        self.ways: dict[int, int] = {}
        """which of its class's ways of looking a photo shows, by position; there once all are predicted"""
        self._small: dict[int, Tensor] = {}
        self._dataset = ExplanationDataset(
            images.items,
            image_size=model.config.image_size,
            mean=model.classifier.mean,
            std=model.classifier.std,
            cache_bytes=0,
        )
        self._device = next(model.classifier.network.parameters()).device
        self._asked = threading.Lock()
        self._stop = threading.Event()
        self._all_predicted = threading.Event()
        self._thread: threading.Thread | None = None
        self._kept = lru_cache(maxsize=_MAPS)(self._explain)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's classes."""
        return self.model.classes

    @property
    def is_predicting(self) -> bool:
        """Whether predictions are still to come, of those photos that can be read."""
        return self._thread is not None and self._thread.is_alive() and not self._all_predicted.is_set()

    def start(self, marks: Callable[[int], Grey | None] | None = None) -> None:
        """Begin to predict all photos in the background, and then to compare maps with marks.

        Args:
            marks: as of `compare_all`
        """
        self._thread = threading.Thread(target=self._work, args=(marks,), name="predictions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End that, after the photos at hand."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def predict_all(self) -> None:
        """Predict every photo that is not predicted yet, but those that cannot be read; find `ways`."""
        for start in range(0, len(self._dataset), _TOGETHER):
            if self._stop.is_set():
                return
            found = {}
            for index in range(start, min(start + _TOGETHER, len(self._dataset))):
                if index in self.predictions:
                    continue
                try:
                    found[index] = self._dataset.sample(index, mirrored=False).image
                except LookrightError:  # the page says so where the photo is opened
                    continue
            if found:
                self._predict(list(found), torch.stack(list(found.values())))
        if isinstance(self.model.explainer, LayerExplainer):
            self.ways = ways_of_looking(self.images.items, dict(self._small), dict(self.predictions))

    def compare_all(self, marks: Callable[[int], Grey | None]) -> None:
        """Find the photos whose map lies elsewhere than marks that are there already.

        Args:
            marks: those of a position, (H, W); None where there are none
        """
        for index in range(len(self.images.items)):
            if self._stop.is_set():
                return
            with suppress(LookrightError):  # said where the photo is opened
                drawn = marks(index)
                if drawn is None:
                    continue
                overlap = overlap_with(self.explanation(index), drawn)
                if is_reasonable(overlap) is False:
                    self.unreasonable[index] = overlap

    def is_right(self, index: int) -> bool | None:
        """Whether a photo is predicted right; None where its label or its prediction is not known.

        Args:
            index: of the photo
        """
        label, prediction = self.images.items[index].label, self.predictions.get(index)
        return None if label < 0 or prediction is None else prediction.predicted == label

    def explanation(self, index: int) -> Map:
        """The raw map of the predicted class.

        Args:
            index: of the photo

        Returns:
            (h, w)

        Raises:
            DataError: the photo cannot be read.
            NonFiniteError: the network's output is not finite.
        """
        return self._kept(index)

    def map(self, index: int, size: tuple[int, int]) -> bytes:
        """The map as a layer to lie over the photo: an RGBA PNG, see `lookright.report.overlay.heat`.

        Args:
            index: of the photo
            size: (width, height) of the photo; of a large one the layer is smaller, of the same shape

        Raises:
            DataError, NonFiniteError: as `explanation`
        """
        shrink = min(1.0, _LAYER / max(size))
        width, height = (max(round(side * shrink), 1) for side in size)
        return encoded(heat(self.explanation(index), (width, height)), "PNG", compress_level=1)

    def region(self, index: int, size: tuple[int, int], share: float) -> bytes:
        """Where the map is highest: a grey PNG, 255 in the region.

        Args:
            index: of the photo
            size: (width, height) of the photo
            share: of its pixels, in (0, 1]

        Raises:
            DataError, NonFiniteError: as `explanation`
        """
        region = Image.fromarray(highest(self.explanation(index), size, share))
        return encoded(region, "PNG", compress_level=1)

    def _work(self, marks: Callable[[int], Grey | None] | None) -> None:
        self.predict_all()
        self._all_predicted.set()
        if marks is not None:
            self.compare_all(marks)

    def _predict(self, indices: list[int], image: Tensor) -> None:
        # A map at a layer costs hardly more than the forward pass; others wait until they are asked for.
        if isinstance(self.model.explainer, LayerExplainer):
            self._tell(indices, *self._look(image))
            return
        network = self.model.classifier.network
        with self._asked, evaluating(network), torch.no_grad():
            probabilities = self.model.output.predict(network(image.to(self._device))).cpu()
        self._tell(indices, probabilities)

    def _look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (B, K) and maps (B, h, w)."""
        with self._asked, evaluating(self.model.classifier.network), torch.no_grad():
            logits, maps = self.model.explainer(image.to(self._device), None, PREDICTED)
            return self.model.output.predict(logits).cpu(), maps[PREDICTED][:, 0].cpu().float()

    def _explain(self, index: int) -> Map:
        image = self._dataset.sample(index, mirrored=False).image[None]
        probabilities, maps = self._look(image)
        if not bool(torch.isfinite(maps).all()):
            raise NonFiniteError(
                f"the map of {self.images.items[index].id} is not finite: train the model again"
            )
        self._tell([index], probabilities, maps)
        return maps[0].numpy()

    def _tell(self, indices: list[int], probabilities: Tensor, maps: Tensor | None = None) -> None:
        for index, of_classes in zip(indices, probabilities, strict=True):
            probability, predicted = of_classes.max(dim=0)
            if bool(torch.isfinite(probability)):
                self.predictions[index] = Prediction(int(predicted), float(probability))
        if maps is not None:
            for index, small in zip(indices, shrink(maps), strict=True):
                if index in self.predictions and bool(torch.isfinite(small).all()):
                    self._small[index] = small


def open_looking(
    model: str,
    images: AnnotationSet,
    *,
    device: str = "auto",
    classes: Sequence[str] = (),
    weights: str | None = None,
    image_size: int | None = None,
    explainer: str | None = None,
    target_layer: str | None = None,
) -> Looking:
    """Open a model and bring the photos' labels to its order. Nothing is predicted yet.

    Args:
        model: a run folder, or as `lookright.audit.open_model` takes it
        images: the photos, without marks
        device: auto, cpu, cuda or mps
        classes: of a model that is not a run, as of `open_model`; likewise the options after it
        weights: likewise
        image_size: likewise
        explainer: likewise
        target_layer: likewise

    Raises:
        ConfigError: an unknown model, one that does not choose one class, or options that do not go with it.
        DataError: the run does not know a class of the photos.
        CheckpointError: no such run or weights.
    """
    opened = open_model(
        model,
        classes=classes,
        folders=images.classes,
        weights=weights,
        image_size=image_size,
        explainer=explainer,
        target_layer=target_layer,
    )
    if opened.output.task is not Task.SINGLE_LABEL or images.task is not Task.SINGLE_LABEL:
        raise ConfigError(
            "run: a model helps where it and the labels choose one class per image; leave --run out"
        )
    place(opened.classifier.network, pick_device(device))
    return Looking(opened, of_split(images, "all", opened))


def highest(explanation: Map, size: tuple[int, int], share: float) -> NDArray[np.uint8]:
    """Where an enlarged map is among its highest pixels, and above its lowest.

    Args:
        explanation: (h, w), any range
        size: (width, height)
        share: of the pixels, in (0, 1]

    Returns:
        (height, width) 255 there, else 0

    Example:
        >>> highest(np.array([[0, 1, 2, 3]], dtype=np.float32), (4, 1), share=0.5).tolist()
        [[0, 0, 255, 255]]
    """
    width, height = size
    value = rescale(torch.from_numpy(explanation)[None, None], (height, width))[0, 0].numpy()
    rank = max(round(share * value.size), 1)
    threshold = np.partition(value, -rank, axis=None)[-rank]
    return np.where((value >= threshold) & (value > 0), np.uint8(255), np.uint8(0))


def overlap_with(explanation: Map, marks: Grey) -> float:
    """Overlap (IoU) of a map with what is marked *look here*.

    Args:
        explanation: (h, w), any range
        marks: (H, W) of the photo

    Returns:
        NaN where nothing is marked so.

    Example:
        >>> marks = np.array([[255, 255, 128, 0]], dtype=np.uint8)
        >>> overlap_with(np.array([[0, 1, 1, 0]], dtype=np.float32), marks)
        0.333...
    """
    shrink = min(1.0, _COMPARED / max(marks.shape))
    height, width = (max(round(side * shrink), 1) for side in marks.shape)
    small = np.asarray(Image.fromarray(marks).resize((width, height), Image.Resampling.NEAREST))
    region = binarize(torch.from_numpy(explanation)[None, None], (height, width))
    return float(iou(region, torch.from_numpy((small == POSITIVE).astype(np.float32))[None, None])[0])
