"""Docstrings taken apart, by hand-written ones."""

import pytest

from lookright.describe.docstring import Docstring, read_docstring

FULL = """A loss of
    two lines (Somebody, 2020).

        L = a
          + b

        M = c

    First paragraph.

    * bullet
      goes on

    Args:
        power (float): of it
        name: a thing: with a colon,
            and a second line

    Shapes:
        other: not an argument

    Example:
        >>> 1
        1
    """


def test_all_parts() -> None:
    read = read_docstring(FULL)
    assert read.summary == "A loss of two lines (Somebody, 2020)."
    assert read.equation == "L = a\n  + b\n\nM = c"
    assert read.notes == "First paragraph.\n\n* bullet\n  goes on"
    assert read.arguments == {"power": "of it", "name": "a thing: with a colon, and a second line"}


@pytest.mark.parametrize("text", [None, "", "   \n  "])
def test_nothing(text: str | None) -> None:
    assert read_docstring(text) == Docstring()


def test_an_indented_section_is_no_equation() -> None:
    read = read_docstring("One line.\n\n    Raises:\n        ConfigError: L = M\n    ")
    assert (read.equation, read.notes) == ("", "")


def test_only_the_first_block_is_the_equation() -> None:
    read = read_docstring("One line.\n\n        L = M\n\n    Notes on it:\n\n        not an equation\n    ")
    assert read.equation == "L = M"
    assert read.notes == "Notes on it:\n\n    not an equation"
