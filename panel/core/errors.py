"""What a person can be told."""

from __future__ import annotations


class Problem(Exception):
    """Something asked for cannot be done. The message is for people: what is wrong and what to do next.

    Attributes:
        field: the name of the argument it is about, or an empty string.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Conflict(Problem):
    """Somebody else changed the same thing meanwhile."""
