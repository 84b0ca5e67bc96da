"""CSV (RFC 4180) in pieces, as spreadsheets may open it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence


def csv_lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a CSV file, its head first.

    Args:
        head: the names of its columns.
        rows: their values; None is nothing.
    """
    writer = csv.writer(_Echo())
    yield writer.writerow(head)
    for row in rows:
        yield writer.writerow([_harmless(value) for value in row])


class _Echo:
    """A file for csv's writer that hands each line back."""

    def write(self, text: str) -> str:
        """Return what is written."""
        return text


def _harmless(value: object) -> object:
    """Keep a spreadsheet from taking a name for a formula: people choose their addresses and names."""
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{value}"
    return value
