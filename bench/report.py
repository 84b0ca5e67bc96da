"""Measurements as text for the terminal, and as the Markdown page docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.frame import Better, Figures, Measurement, number_text

_HEAD = ("row", "Restante", "reference", "unit", "ratio", "aim", "reached")


@dataclass(frozen=True)
class Circumstances:
    """When and on what it was measured.

    Attributes:
        date: of the run, ISO 8601.
        machine: processor, cores, memory, system.
        load: how busy it was.
        versions: of the programs that were measured.
        rounds: how often each side was measured.
        command: which was typed.
    """

    date: str
    machine: str
    load: str
    versions: str
    rounds: int
    command: str


@dataclass(frozen=True)
class Section:
    """The measurements on one database."""

    title: str
    measurements: Sequence[Measurement]


def as_text(measurements: Sequence[Measurement]) -> str:
    """Return a table with columns that stand below each other, then the remarks."""
    lines = [_HEAD, *(_cells(measurement) for measurement in measurements)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*table, *(f"{m.row.name}: {m.remark}" for m in measurements if m.remark)])


def as_page(sections: Sequence[Section], circumstances: Circumstances) -> str:
    """Return the page: circumstances, a table for each section, and what each row is."""
    parts = [
        "# Benchmarks",
        f"Written by `{circumstances.command}`; run it to write it again. Do not change it by hand.",
        "Figures drift by a third from run to run and from machine to machine; ratios hold. So each row names a "
        "reference that does the same work, both were measured in this one run, in turn, and the ratio of "
        "their medians is what counts: **1.00 is as good as the reference, more is better**. In brackets: "
        "the lowest and the highest of all rounds.",
        "\n".join(
            (
                f"- Date: {circumstances.date}",
                f"- Machine: {circumstances.machine}; clients and servers on the same one",
                f"- Load: {circumstances.load}",
                f"- Versions: {circumstances.versions}",
                f"- Rounds: {circumstances.rounds}",
            )
        ),
    ]
    for section in sections:
        parts += [f"## {section.title}", as_markdown(section.measurements)]
        parts += [f"- **{m.row.name}**: {m.remark}" for m in section.measurements if m.remark]
    parts.append("## What the rows are")
    parts += [_explained(measurement) for measurement in _by_name(sections)]
    return "\n\n".join(parts) + "\n"


def as_markdown(measurements: Sequence[Measurement]) -> str:
    """Return the table in Markdown."""
    lines = [_HEAD, tuple("---" for _ in _HEAD), *(_cells(measurement) for measurement in measurements)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(measurement: Measurement) -> tuple[str, ...]:
    row = measurement.row
    reached = {True: "yes", False: "no", None: ""}[measurement.reached]
    return (
        row.name,
        _figures(measurement.ours),
        _figures(measurement.reference),
        row.unit,
        f"{measurement.ratio:.2f}",
        _aim(measurement),
        reached,
    )


def _figures(figures: Figures) -> str:
    spread = f"{number_text(figures.lowest)}–{number_text(figures.highest)}"
    return f"{number_text(figures.median)} ({spread})"


def _aim(measurement: Measurement) -> str:
    row = measurement.row
    if row.aim is None:
        return ""
    if row.aim.of_ratio:
        return f"ratio ≥ {row.aim.bound:.2f}"
    sign = "≥" if row.better is Better.HIGHER else "≤"
    return f"{sign} {row.aim.bound:g} {row.unit}"


def _by_name(sections: Sequence[Section]) -> list[Measurement]:
    found: dict[str, Measurement] = {}
    for section in sections:
        for measurement in section.measurements:
            found.setdefault(measurement.row.name, measurement)
    return list(found.values())


def _explained(measurement: Measurement) -> str:
    row = measurement.row
    return f"**{row.name}**: {row.work}\n\n- Restante: {row.ours.what}\n- Reference: {row.reference.what}"
