"""Maps of a trained network: ours, captum's and pytorch-grad-cam's, from the same layer and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookright.bench.results import Figure, Target
from lookright.bench.settings import Settings
from lookright.bench.timing import synchronize, take_turns, timed
from lookright.engine.channels_last import place
from lookright.explainers import GradCAM
from lookright.models import Layout, create
from lookright.models.modes import evaluating
from lookright.normalize import min_max
from lookright.types import Normalization, Request

RAW = Request(normalization=Normalization.NONE)

QUICKER_THAN_GRAD_CAM = Target(1.5, at_most=False)
"""pytorch-grad-cam beside ours."""
NOT_SLOWER_THAN_CAPTUM = Target(1, at_most=False)
"""captum beside ours."""


@dataclass(frozen=True)
class MapSubject:
    """A network in evaluation mode, and images in memory whose maps are wanted."""

    network: nn.Module
    explainer: GradCAM
    image: Tensor
    """(N, 3, H, W)"""
    label: Tensor
    """(N,)"""
    batch_size: int

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Give images and labels, as many at a time as all sides get."""
        for start in range(0, len(self.image), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self.image[part], self.label[part]


def make_map_subject(
    backbone: str, *, images: int, batch_size: int, image_size: int, device: torch.device
) -> MapSubject:
    """Make a network with random weights and random images.

    Args:
        backbone: see `lookright.models.create`
        images: how many
        batch_size: how many at a time
        image_size: H and W
        device: where network and images are

    Raises:
        ConfigError: the backbone does not exist, or cannot take images of that size.
    """
    torch.manual_seed(0)
    network = place(create(backbone, num_classes=2, image_size=image_size).network, device).eval()
    image = torch.randn(images, 3, image_size, image_size).to(device)
    label = torch.randint(0, 2, (images,)).to(device)
    return MapSubject(network, GradCAM(network, image_size=image_size), image, label, batch_size)


def our_maps(subject: MapSubject) -> Tensor:
    """Raw maps, (N, 1, h, w), as `lookright explain` and `evaluate` make them."""
    with evaluating(subject.network), torch.no_grad():
        found = [subject.explainer(image, label, RAW).explanation for image, label in subject.batches()]
    return torch.cat(found)


def captum_maps(subject: MapSubject) -> Tensor:
    """Raw maps, (N, 1, h, w), as captum's user makes them."""
    from captum.attr import LayerGradCam

    explain = LayerGradCam(subject.network, subject.explainer.layer.module)
    return torch.cat([explain.attribute(image, label).detach() for image, label in subject.batches()])


def our_large_maps(subject: MapSubject) -> Tensor:
    """Positive parts enlarged to the image and scaled to [0, 1], (N, H, W) on the CPU: as below."""
    size = subject.image.shape[-2:]
    enlarged = F.interpolate(our_maps(subject).relu(), size=size, mode="bilinear")
    return min_max(enlarged)[:, 0].cpu()


def grad_cam_maps(subject: MapSubject) -> Tensor:
    """Positive parts enlarged to the image and scaled to [0, 1], (N, H, W): what pytorch-grad-cam gives."""
    from pytorch_grad_cam import GradCAM as PytorchGradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    layer = subject.explainer.layer
    found = []
    with PytorchGradCAM(subject.network, [layer.module], reshape_transform=layer.to_map) as explain:
        for image, label in subject.batches():
            targets = [ClassifierOutputTarget(of) for of in label.tolist()]
            found.append(explain(input_tensor=image, targets=targets))
    return torch.from_numpy(np.concatenate(found))


MAPS: dict[str, Callable[[MapSubject], Tensor]] = {
    "ours": our_maps,
    "captum": captum_maps,
    "ours, enlarged": our_large_maps,
    "pytorch-grad-cam": grad_cam_maps,
}


def map_figures(settings: Settings, device: torch.device) -> Iterator[Figure]:
    """Measure maps of the same images, layer and batches.

    Args:
        settings: backbones, images, rounds
        device: where networks run
    """
    for backbone in settings.backbones:
        subject = make_map_subject(
            backbone,
            images=settings.map_images,
            batch_size=settings.batch_sizes[0],
            image_size=settings.image_size,
            device=device,
        )
        # captum averages over the axes behind the second, which of tokens are the channels.
        left_out = {"captum"} if subject.explainer.layer.layout is not Layout.CHANNELS_FIRST else set()
        calls = {name: _waiting(maps, subject, device) for name, maps in MAPS.items() if name not in left_out}
        variants = {name: timed(call) for name, call in calls.items()}
        seconds = take_turns(variants, settings.few_rounds, f"{backbone}, maps")
        for theirs, ours, target in (
            ("pytorch-grad-cam", "ours, enlarged", QUICKER_THAN_GRAD_CAM),
            ("captum", "ours", NOT_SLOWER_THAN_CAPTUM),
        ):
            yield Figure(
                f"maps of {settings.map_images} images: {theirs} / ours, time",
                backbone,
                "s",
                {} if theirs in left_out else {name: seconds[name] for name in (theirs, ours)},
                over=(theirs, ours),
                target=target,
                otherwise="not measured: captum has no Grad-CAM of tokens",
            )


def _waiting(
    maps: Callable[[MapSubject], Tensor], subject: MapSubject, device: torch.device
) -> Callable[[], None]:
    def call() -> None:
        maps(subject)
        synchronize(device)

    return call
