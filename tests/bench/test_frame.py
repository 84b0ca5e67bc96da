"""The frame of the measurements: turns, medians, ratios and aims. No real work and no time in here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.frame import Aim, Better, Figures, Measurement, Row, Side, measure_rows, number_text


def side(name: str, turns: list[str], values: list[float]) -> Side:
    """Return a side that notes its turns and answers with `values`, one after another."""
    left: Iterator[float] = iter(values)

    def measure() -> float:
        turns.append(name)
        return next(left)

    return Side(name, measure)


def row(ours: Side, reference: Side, better: Better = Better.HIGHER, aim: Aim | None = None) -> Row:
    return Row("row", "work", "things/s", better, ours, reference, aim)


def measurement(ours: float, reference: float, better: Better, aim: Aim | None = None) -> Measurement:
    sides = Side("a", lambda: 0), Side("b", lambda: 0)
    return Measurement(row(*sides, better, aim), Figures((ours,)), Figures((reference,)))


def test_sides_are_measured_in_turn() -> None:
    turns: list[str] = []
    ours, reference = side("A", turns, [1, 2, 3]), side("B", turns, [4, 5, 6])
    measured = measure_rows([row(ours, reference)], rounds=3)
    assert turns == ["A", "B", "A", "B", "A", "B"]
    assert [list(figures.values) for figures in (measured[0].ours, measured[0].reference)] == [
        [1, 2, 3],
        [4, 5, 6],
    ]


def test_a_side_that_rows_share_is_measured_once_a_round() -> None:
    turns: list[str] = []
    first, second = side("A", turns, [1, 2]), side("B", turns, [3, 4])
    shared = side("R", turns, [5, 6])
    measured = measure_rows([row(first, shared), row(second, shared)], rounds=2)
    assert turns == ["A", "R", "B", "A", "R", "B"]
    assert [m.reference.values for m in measured] == [(5, 6), (5, 6)]


def test_each_figure_is_said_with_its_unit() -> None:
    said: list[str] = []
    measure_rows([row(side("ours", [], [12.34]), side("theirs", [], [5]))], rounds=1, say=said.append)
    assert said == ["round 1 of 1: 12.3 things/s: ours", "round 1 of 1: 5.00 things/s: theirs"]


def test_a_remark_is_asked_after_the_last_round() -> None:
    turns: list[str] = []
    sides = side("A", turns, [1, 2]), side("B", turns, [1, 2])
    asked = Row("row", "work", "ms", Better.LOWER, *sides, None, remark=lambda: f"{len(turns)} turns")
    assert measure_rows([asked], rounds=2)[0].remark == "4 turns"


def test_no_round_is_refused() -> None:
    with pytest.raises(ValueError, match="At least one round"):
        measure_rows([row(side("A", [], []), side("B", [], []))], rounds=0)


def test_what_fails_is_not_swallowed() -> None:
    with pytest.raises(StopIteration):
        measure_rows([row(side("A", [], [1]), side("B", [], [1]))], rounds=2)


@pytest.mark.parametrize(
    ("values", "median", "lowest", "highest"),
    [((5,), 5, 5, 5), ((9, 1, 4), 4, 1, 9), ((1, 2, 10, 100), 6, 1, 100)],
)
def test_median_and_spread(values: tuple[float, ...], median: float, lowest: float, highest: float) -> None:
    figures = Figures(values)
    assert (figures.median, figures.lowest, figures.highest) == (median, lowest, highest)


@pytest.mark.parametrize(
    ("better", "ours", "reference", "ratio"),
    [
        (Better.HIGHER, 90, 100, 0.9),
        (Better.HIGHER, 200, 100, 2.0),
        (Better.LOWER, 10, 5, 0.5),
        (Better.LOWER, 5, 10, 2.0),
    ],
)
def test_more_is_always_the_better_ratio(better: Better, ours: float, reference: float, ratio: float) -> None:
    assert measurement(ours, reference, better).ratio == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("better", "ours", "aim", "reached"),
    [
        (Better.HIGHER, 90, Aim(0.9, of_ratio=True), True),
        (Better.HIGHER, 89, Aim(0.9, of_ratio=True), False),
        (Better.LOWER, 200, Aim(0.5, of_ratio=True), True),
        (Better.LOWER, 201, Aim(0.5, of_ratio=True), False),
        (Better.LOWER, 10, Aim(10, of_ratio=False), True),
        (Better.LOWER, 10.1, Aim(10, of_ratio=False), False),
        (Better.HIGHER, 10, Aim(10, of_ratio=False), True),
        (Better.HIGHER, 9.9, Aim(10, of_ratio=False), False),
        (Better.HIGHER, 1, None, None),
    ],
)
def test_whether_an_aim_is_reached(
    better: Better, ours: float, aim: Aim | None, reached: bool | None
) -> None:
    assert measurement(ours, 100, better, aim).reached is reached


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.6021, "0.602"), (5.678, "5.68"), (56.78, "56.8"), (123.4, "123"), (12345.6, "12346")],
)
def test_three_digits_count(value: float, text: str) -> None:
    assert number_text(value) == text
