"""Random changes that image and annotation undergo together.

The published RES and GRADIA code flips the image and not its annotation. Here both go through one call.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2


def joint_transform(*, flip: bool) -> v2.Transform:
    """The changes of training.

    The image is not cropped, so that no mark is lost.

    Args:
        flip: mirror left and right with probability 0.5
    """
    return v2.RandomHorizontalFlip(p=0.5 if flip else 0.0)


def apply_joint(
    transform: v2.Transform, image: Tensor, annotation: Tensor, *, seed: int, epoch: int, index: int
) -> tuple[Tensor, Tensor]:
    """Apply one random change to an image and its annotation alike.

    What is drawn depends on (seed, epoch, index) alone: not on the number of workers, not on the order, not
    on what else uses torch's random numbers, whose state is left as it was.

    Args:
        transform: of `torchvision.transforms.v2`
        image: (3, H, W)
        annotation: (1, H, W)
        seed: of the run
        epoch: counted from 0
        index: of the image in its data set

    Returns:
        image and annotation, plain tensors

    Example:
        >>> picture = torch.tensor([[[1.0, 0.0]]]).expand(3, 1, 2)
        >>> image, annotation = apply_joint(
        ...     v2.RandomHorizontalFlip(p=1.0), picture, picture[:1], seed=0, epoch=0, index=0
        ... )
        >>> image[:1].tolist() == annotation.tolist() == [[[0.0, 1.0]]]
        True
    """
    mixed = int(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(mixed)  # not torch.manual_seed: that would reseed the GPU too
        changed_image, changed_annotation = transform(tv_tensors.Image(image), tv_tensors.Mask(annotation))
    return changed_image.as_subclass(Tensor), changed_annotation.as_subclass(Tensor)
