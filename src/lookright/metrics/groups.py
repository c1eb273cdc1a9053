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
    return group_mean([float(bool(right)) for right in correct], groups)


def group_mean(values: Sequence[float], groups: Sequence[str | None]) -> dict[str, Figure]:
    """Mean of a value over the images of each group; arguments and result as `group_accuracy`.

    Example:
        >>> group_mean([1.0, 0.5, 0.0], ["land", "land", "water"])
        {'land': Figure(value=0.75, n=2), 'water': Figure(value=0.0, n=1)}
    """
    members: dict[str, list[float]] = defaultdict(list)
    for value, group in zip(values, groups, strict=True):
        if group:
            members[group].append(value)
    return {group: Figure.mean(members[group]) for group in sorted(members)}


def worst_group(figures: Mapping[str, Figure], *, higher_is_better: bool = True) -> tuple[str, Figure]:
    """The group that the model serves worst (worst-group accuracy: Sagawa et al., ICLR 2020).

    Args:
        figures: group name -> accuracy, of `group_accuracy`
        higher_is_better: false for an error

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
    sign = 1 if higher_is_better else -1
    return min(defined.items(), key=lambda item: (sign * item[1].value, -item[1].n, item[0]))
