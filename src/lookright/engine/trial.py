"""A blank image, explained and judged: what does not fit is said before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lookright.errors import ConfigError, LookrightError
from lookright.explainers import Explainer, explain, explainers_for
from lookright.losses import Objective
from lookright.models.modes import evaluating
from lookright.models.trace import placement
from lookright.plugins import told
from lookright.types import Explained, Request, Target

IMAGES = 2
"""So that a loss which forgets that it has a batch is noticed."""


def find_stride(explainer: Explainer) -> int:
    """Give the pixels per cell of the explanation.

    Raises:
        ConfigError: the explainer does not fit the network, or gives no map.
    """
    if explainer.needs.region:
        raise ConfigError(
            f"explainer: {type(explainer).__name__} explains a part of the image, for losses that are "
            "defined on it; choose another one to explain the run with"
        )
    request = Request(target=Target.PREDICTED)
    with evaluating(explainer.network), torch.no_grad(), _told(f"explainer: {type(explainer).__name__}"):
        explanation = explainer(_blank(explainer), None, request).explanation
    return max(1, round(explainer.image_size / explanation.shape[-2]))


def try_out(objective: Objective, explainer: Explainer) -> None:
    """Explain blank images for every loss, and compute it on marks of both signs.

    Raises:
        ConfigError: an explainer does not fit the network; a loss raises, or gives no number.
    """
    image = _blank(explainer)
    label = torch.zeros(IMAGES, dtype=torch.int64, device=image.device)
    annotation = torch.zeros_like(image[:, :1])
    region = annotation.bool()  # nothing: bounds of a blank image say nothing of those of photos
    half = explainer.image_size // 2
    annotation[..., :half], annotation[..., half:] = 1, -1
    with evaluating(explainer.network), torch.no_grad():
        answering = explainers_for(objective.requests, explainer)
        names = ", ".join(dict.fromkeys(type(each).__name__ for each in answering.values()))
        with _told(f"explainer: {names}"):
            explained = explain(explainer.network, image, label, answering, region=region)
        _compute(objective, explained, image, annotation, label)


def _compute(
    objective: Objective, explained: Explained, image: Tensor, annotation: Tensor, label: Tensor
) -> None:
    for term in objective.terms:
        explanation = explained.explanations[term.loss.request]
        name = type(term.loss).__name__
        with _told(f"method: {name}"):
            value = term.loss(explanation, annotation, None, image, logits=explained.logits, label=label)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ConfigError(f"method: {name} gave {_shown(value)}, need one number in a tensor")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say in one line what somebody's code raises."""
    try:
        yield
    except LookrightError:
        raise
    except Exception as error:
        raise ConfigError(f"{what} failed on a blank image: {told(error)}") from error


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _blank(explainer: Explainer) -> Tensor:
    device = placement(explainer.network)["device"]
    return torch.zeros(IMAGES, 3, explainer.image_size, explainer.image_size, device=device)
