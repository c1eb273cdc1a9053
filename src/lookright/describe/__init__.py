"""What methods and explainers are, said by their classes: for the terminal and for docs/methods.md."""

from lookright.describe.document import write_document
from lookright.describe.facts import Entry, Option, describe_explainer, describe_method, find_entry
from lookright.describe.terminal import format_entry, format_overview

__all__ = [
    "Entry",
    "Option",
    "describe_explainer",
    "describe_method",
    "find_entry",
    "format_entry",
    "format_overview",
    "write_document",
]
