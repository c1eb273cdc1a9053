"""A network whose cells see one patch each: replaced background does not reach the object."""

from torch import nn


def patches(num_classes: int) -> nn.Module:
    """The backbone `patch_network:patches`: no bias before the head, so features scale with their patch."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 4, stride=4, bias=False), nn.ReLU()),
        *(nn.Conv2d(16, 16, 1, bias=False), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes)),
    )
