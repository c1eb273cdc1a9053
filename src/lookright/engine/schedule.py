"""What is due when in a run, as plain functions of step and epoch: nothing to store, nothing to resume."""

from __future__ import annotations

import math

from lookright.config import TrainConfig


def learning_rate(step: int, steps: int, *, peak: float, warmup: float, cosine: bool) -> float:
    """Rise linearly to the peak over the warm-up, then stay, or fall along a cosine to 0.

    Args:
        step: 0-based step of the optimizer
        steps: how many there are in all
        peak: the largest learning rate
        warmup: share of the steps that rise, in [0, 1]
        cosine: fall after the warm-up

    Example:
        >>> [round(learning_rate(s, 4, peak=1.0, warmup=0.25, cosine=True), 2) for s in range(4)]
        [1.0, 1.0, 0.75, 0.25]
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    if not cosine:
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def is_validated(epoch: int, config: TrainConfig) -> bool:
    """Whether the validation images are looked at after an epoch.

    Args:
        epoch: counted from 0
        config: the options

    Example:
        >>> config = TrainConfig(epochs=5, validate_every=2)
        >>> [epoch for epoch in range(5) if is_validated(epoch, config)]
        [1, 3, 4]
    """
    return (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs
