"""Random changes that image and annotation undergo together.

The published RES and GRADIA code flips the image and not its annotation. Here both go through one call.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional


def draw_mirrored(*, seed: int, epoch: int, index: int) -> bool:
    """Decide whether an image is mirrored, with probability 0.5.

    What is drawn depends on (seed, epoch, index) alone: not on the number of workers, not on the order, not
    on what else uses random numbers.

    Args:
        seed: of the run
        epoch: counted from 0
        index: of the image in its data set

    Example:
        >>> sum(draw_mirrored(seed=0, epoch=0, index=i) for i in range(1000))
        486
    """
    return bool(np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0] & 1)


def mirror(image: Tensor, *annotations: Tensor) -> tuple[Tensor, ...]:
    """Swap left and right of an image and its annotations alike.

    The image is not cropped anywhere in training, so that no mark is lost.

    Args:
        image: (3, H, W)
        annotations: (1, H, W) each

    Returns:
        the image, then the annotations

    Example:
        >>> import torch
        >>> picture = torch.tensor([[[1.0, 0.0]]]).expand(3, 1, 2)
        >>> image, annotation = mirror(picture, picture[:1])
        >>> image[:1].tolist() == annotation.tolist() == [[[0.0, 1.0]]]
        True
    """
    # The functional form: RandomHorizontalFlip draws from torch's random numbers even at p = 1.
    flipped = functional.horizontal_flip(tv_tensors.Image(image))
    masks = [functional.horizontal_flip(tv_tensors.Mask(annotation)) for annotation in annotations]
    return tuple(each.as_subclass(Tensor) for each in (flipped, *masks))
