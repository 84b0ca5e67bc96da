"""Measurements as a table on the terminal and as the page."""

from __future__ import annotations

import pytest

from bench.__main__ import main
from bench.frame import Aim, Better, Figures, Measurement, Row, Side
from bench.report import Circumstances, Section, as_markdown, as_page, as_text


def measured(name: str, aim: Aim | None, remark: str = "") -> Measurement:
    row = Row(
        name,
        f"Work of {name}.",
        "ms",
        Better.LOWER,
        Side("the service", lambda: 0),
        Side("the bare thing", lambda: 0),
        aim,
    )
    return Measurement(row, Figures((10, 20, 30)), Figures((5, 10, 15)), remark)


ROWS = [
    measured("first", Aim(0.6, of_ratio=True), "7 queries."),
    measured("second-and-longer", Aim(25, of_ratio=False)),
    measured("third", None),
]

CIRCUMSTANCES = Circumstances("2026-01-02", "2 cores", "3.4", "Dovecot 2.3", 3, "python -m bench")


def test_markdown_has_figures_spread_ratio_and_aim() -> None:
    assert as_markdown(ROWS).splitlines() == [
        "| row | Restante | reference | unit | ratio | aim | reached |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| first | 20.0 (10.0–30.0) | 10.0 (5.00–15.0) | ms | 0.50 | ratio ≥ 0.60 | no |",
        "| second-and-longer | 20.0 (10.0–30.0) | 10.0 (5.00–15.0) | ms | 0.50 | ≤ 25 ms | yes |",
        "| third | 20.0 (10.0–30.0) | 10.0 (5.00–15.0) | ms | 0.50 |  |  |",
    ]


def test_columns_of_the_terminal_stand_below_each_other() -> None:
    lines = as_text(ROWS).splitlines()
    assert {line.index("10.0 (5.00") for line in lines[1:4]} == {lines[0].index("reference")}
    assert lines[4:] == ["first: 7 queries."]


def test_the_page_says_when_on_what_and_what_each_row_is() -> None:
    page = as_page([Section("SQLite", ROWS), Section("PostgreSQL", ROWS[:1])], CIRCUMSTANCES)
    for said in (
        "Written by `python -m bench`",
        "Date: 2026-01-02",
        "Machine: 2 cores",
        "Load: 3.4",
        "Versions: Dovecot 2.3",
        "ratios hold",
        "## SQLite",
        "## PostgreSQL",
        "- **first**: 7 queries.",
    ):
        assert said in page
    # Explained once, however many databases it was measured on.
    assert page.count("**first**: Work of first.") == 1
    assert page.count("- Reference: the bare thing") == len(ROWS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nothing"], "invalid choice"),
        (["--rounds", "0"], "at least 1"),
        (["--database", "oracle"], "invalid choice"),
        (["--write", "page.md", "--only", "start"], "--write does not go with --only"),
    ],
)
def test_options_that_cannot_be_used(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
