"""What the server answers where it cannot do what was asked: a status, and one sentence for a person."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is not done; nothing was written.

    Args:
        status: of HTTP
        sentence: what is wrong and what to do
        facts: more for the page, for instance the current version
    """

    def __init__(self, status: int, sentence: str, /, **facts: object) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.facts = facts
