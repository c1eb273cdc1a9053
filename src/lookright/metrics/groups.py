"""Accuracy in groups of images that the labels do not name, such as a background or a camera."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from lookright.metrics.figure import Figure


def group_accuracy(correct: Sequence[bool], groups: Sequence[str | None]) -> dict[str, Figure]:
    """Share of the images predicted right, in each group.

    Args:
        correct: per image, whether it was predicted right
        groups: per image, the name of its group; None or "" leaves the image out

    Returns:
        Group name -> figure over its images, in the order of the names. Empty where no image has a group.

    Raises:
        ValueError: the two differ in length.

    Example:
        >>> group_accuracy([True, False, True, True], ["land", "water", "water", None])
        {'land': Figure(value=1.0, n=1), 'water': Figure(value=0.5, n=2)}
    """
    if len(correct) != len(groups):
        raise ValueError(f"groups: one per image, got {len(groups)} for {len(correct)} images")
    members: dict[str, list[bool]] = defaultdict(list)
    for right, group in zip(correct, groups, strict=True):
        if group:
            members[group].append(bool(right))
    return {group: Figure.mean(members[group]) for group in sorted(members)}


def worst_group(figures: Mapping[str, Figure]) -> tuple[str, Figure]:
    """The group that the model serves worst (worst-group accuracy: Sagawa et al., ICLR 2020).

    Args:
        figures: group name -> accuracy, of `group_accuracy`

    Returns:
        Name and figure. Of equally bad groups, the one with more images; then the first by name.

    Raises:
        ValueError: no group has images.

    Example:
        >>> worst_group({"land": Figure(0.9, 50), "water": Figure(0.4, 10)})
        ('water', Figure(value=0.4, n=10))
    """
    defined = {name: figure for name, figure in figures.items() if figure.n}
    if not defined:
        raise ValueError("figures: no group has images; give split.csv a column 'group'")
    return min(defined.items(), key=lambda item: (item[1].value, -item[1].n, item[0]))
