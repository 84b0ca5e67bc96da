"""The frame of all measurements: two sides measured in turn, medians, spread and ratio.

A figure alone says more about the machine than about Restante: it drifts by a third between two runs. So each
row names a reference that does the same work, and both are measured in one run, in turn (A B A B …).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Better(Enum):
    """Which figure is the better one."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Aim:
    """What a row should reach: a ratio to its reference (at least), or a figure of its own.

    Attributes:
        bound: the ratio, or the figure in the row's unit.
        of_ratio: which of the two.
    """

    bound: float
    of_ratio: bool


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two that are compared. Several rows may share a side: it is measured once a round.

    Attributes:
        what: what it is, in words for the documentation.
        measure: measures once and returns the figure.
    """

    what: str
    measure: Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: short, unique.
        work: what is measured.
        unit: of both figures, such as "logins/s".
        better: which figure is the better one.
        ours: Restante.
        reference: what it is compared with.
        aim: what it should reach, or None if the row only explains another.
        remark: asked after the last round: what else was seen, a sentence, or an empty text.
    """

    name: str
    work: str
    unit: str
    better: Better
    ours: Side
    reference: Side
    aim: Aim | None
    remark: Callable[[], str] = field(default=lambda: "")


@dataclass(frozen=True)
class Figures:
    """What one side reached, round by round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def lowest(self) -> float:
        """The lowest."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """The highest."""
        return max(self.values)


@dataclass(frozen=True)
class Measurement:
    """A row with the figures of both sides."""

    row: Row
    ours: Figures
    reference: Figures
    remark: str = ""

    @property
    def ratio(self) -> float:
        """Ours to the reference by the medians: 1 is as good as the reference, more is better."""
        if self.row.better is Better.HIGHER:
            return self.ours.median / self.reference.median
        return self.reference.median / self.ours.median

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; None without one."""
        aim = self.row.aim
        if aim is None:
            return None
        if aim.of_ratio:
            return self.ratio >= aim.bound
        if self.row.better is Better.HIGHER:
            return self.ours.median >= aim.bound
        return self.ours.median <= aim.bound


def measure_rows(
    rows: Sequence[Row], rounds: int, say: Callable[[str], None] = lambda _line: None
) -> list[Measurement]:
    """Measure all sides of the rows in turn, each once a round.

    Args:
        rows: which; a side that several of them share is measured once a round.
        rounds: how often, at least 1.
        say: is told each figure as it comes.
    """
    if rounds < 1:
        raise ValueError("At least one round is needed.")
    sides = {side: _unit_of(side, rows) for row in rows for side in (row.ours, row.reference)}
    seen: dict[Side, list[float]] = {side: [] for side in sides}
    for number in range(1, rounds + 1):
        for side, unit in sides.items():
            figure = side.measure()
            seen[side].append(figure)
            say(f"round {number} of {rounds}: {number_text(figure)} {unit}: {side.what}")
    return [
        Measurement(
            row, Figures(tuple(seen[row.ours])), Figures(tuple(seen[row.reference])), remark=row.remark()
        )
        for row in rows
    ]


def _unit_of(side: Side, rows: Sequence[Row]) -> str:
    return next(row.unit for row in rows if side in (row.ours, row.reference))


def number_text(value: float) -> str:
    """Return a figure with three digits that count: 1234, 56.7, 0.602."""
    if value == 0:
        return "0"
    size = abs(value)
    decimals = next((digits for limit, digits in ((100, 0), (10, 1), (1, 2)) if size >= limit), 3)
    return f"{value:.{decimals}f}"
