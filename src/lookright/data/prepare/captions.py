"""Whom captions name: a man, a woman, or nobody for sure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

CLASSES = ("man", "woman")


def _with_plurals(words: str) -> frozenset[str]:
    """Each word and its plural, which is named after a slash where no s makes it."""
    pairs = (word.split("/") if "/" in word else (word, f"{word}s") for word in words.split())
    return frozenset(word for pair in pairs for word in pair)


WORDS: Mapping[str, frozenset[str]] = {
    "man": _with_plurals("man/men boy brother dad husband groom male guy"),
    "woman": _with_plurals("woman/women girl sister mom wife/wives bride female lady/ladies"),
}
"""Synonyms that Hendricks et al., "Women also Snowboard" (ECCV 2018), count as man or woman; and plurals."""

PRONOUNS: Mapping[str, frozenset[str]] = {
    "man": frozenset(("he", "him", "his", "himself")),
    "woman": frozenset(("she", "her", "hers", "herself")),
}
"""They name nobody by themselves ("a person and his dog" tells little), but speak against the other class."""

_WORD = re.compile(r"[a-z]+")


def class_named(captions: Sequence[str], at_least: int = 1) -> str | None:
    """The class that the captions of a photo name, and none of them contradicts.

    Zhao et al., "Men Also Like Shopping" (EMNLP 2017): a caption mentions a man or a woman, and no caption
    mentions the other one. Whole words count, in any case. That pronouns speak against the other class is
    ours.

    Args:
        captions: of one photo
        at_least: how many of them have to name the class

    Returns:
        man or woman; None where neither or both are named

    Example:
        >>> class_named(["A man on a wave.", "A surfer rides."])
        'man'
        >>> print(class_named(["A man on a wave.", "A surfer and her board."]))
        None
    """
    said = [set(_WORD.findall(caption.lower())) for caption in captions]
    for name, other in (CLASSES, CLASSES[::-1]):
        naming = sum(bool(words & WORDS[name]) for words in said)
        if naming >= at_least and not any(words & (WORDS[other] | PRONOUNS[other]) for words in said):
            return name
    return None
