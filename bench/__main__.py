"""`python -m bench`: measure Restante against its references and print the table. Nothing is left behind."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

import django

from bench import (
    addresses,
    devices,
    lists,
    log,
    logins,
    mailboxes,
    memory,
    purge,
    quotas,
    recorder,
    start,
    weight,
)
from bench.client import LoginFailed
from bench.frame import measure_rows
from bench.processes import INTERRUPTIONS, BenchProblem, uninterrupted
from bench.product import prepared
from bench.reference import find_dovecot
from bench.report import Circumstances, Section, as_page, as_text
from bench.setup import FULL, QUICK, Scale, Setup
from tests.postgres import Cluster

SUBJECTS: dict[str, ModuleType] = {
    "mailboxes": mailboxes,
    "logins": logins,
    "devices": devices,
    "memory": memory,
    "start": start,
    "lists": lists,
    "log": log,
    "weight": weight,
    "recorder": recorder,
    "quotas": quotas,
    "purge": purge,
    "addresses": addresses,
}
DATABASES = ("sqlite", "postgres")

#: Seconds for each database after which everything is given up.
_LONGEST_QUICK, _LONGEST = 170, 1800


def main(arguments: list[str]) -> int:
    """Measure, print, and write the page if asked to. Returns the exit code."""
    options = _parse(arguments)
    scale = QUICK if options.quick else FULL
    if options.rounds:
        scale = replace(scale, rounds=options.rounds)
    if options.logged:
        scale = replace(scale, logged=options.logged)
    for number in INTERRUPTIONS:
        signal.signal(number, _interrupt)
    signal.alarm((_LONGEST_QUICK if options.quick else _LONGEST) * len(options.database))
    try:
        sections = [
            measure_all(database, options.only or list(SUBJECTS), scale) for database in options.database
        ]
    except (BenchProblem, LoginFailed) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    if options.write:
        options.write.write_text(as_page(sections, _circumstances(scale.rounds, arguments)), "utf-8")
    return 0


def measure_all(database: str, subjects: Sequence[str], scale: Scale) -> Section:
    """Measure subjects on one database, and print their table."""
    print(f"\n{database}: preparing", flush=True)
    measurements = []
    with _database(database) as (title, url), prepared(url) as product:
        for name in subjects:
            with SUBJECTS[name].rows(Setup(product, scale)) as rows:
                measurements += measure_rows(rows, scale.rounds, lambda line: print(line, flush=True))
    section = Section(title, measurements)
    print(f"\n{section.title}\n{as_text(measurements)}", flush=True)
    return section


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", allow_abbrev=False, description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SUBJECTS), metavar="NAME", help=", ".join(SUBJECTS))
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each side is measured")
    parser.add_argument("--logged", type=int, metavar="N", help="how many connections the log holds")
    parser.add_argument("--quick", action="store_true", help="less of everything: under 3 minutes")
    parser.add_argument(
        "--database", nargs="+", choices=DATABASES, default=["sqlite"], help="default: sqlite"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the page, such as docs/benchmarks.md"
    )
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds needs at least 1.")
    if options.logged is not None and options.logged < 1000:
        parser.error("--logged needs at least 1000.")
    if options.write and options.only:
        parser.error("The page holds all rows: --write does not go with --only.")
    return options


@contextlib.contextmanager
def _database(name: str) -> Iterator[tuple[str, str]]:
    """Yield name and version of a database, and the address of its cluster, or an empty text for SQLite."""
    if name == "sqlite":
        yield f"SQLite {sqlite3.sqlite_version}", ""
        return
    cluster = Cluster.start(fsync=True)
    try:
        yield f"PostgreSQL {cluster.programs.parent.name}", cluster.url
    finally:
        with uninterrupted():
            cluster.stop()


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """End what is going on. Clearing up is not interrupted again."""
    for other in INTERRUPTIONS:
        signal.signal(other, signal.SIG_IGN)
    if number == signal.SIGALRM:
        raise BenchProblem("It takes too long and is given up.")
    raise KeyboardInterrupt


def _circumstances(rounds: int, arguments: Sequence[str]) -> Circumstances:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Circumstances(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=(
            f"{os.cpu_count()} cores ({_processor()}), {memory_gb:.0f} GB, "
            f"{platform.system()} {platform.release()}"
        ),
        load=(
            f"{os.getloadavg()[2]:.1f} processes ready to run on average over the last 15 minutes, those of the "
            "measurement included"
        ),
        versions=(
            f"Dovecot {find_dovecot()[1]}, Python {platform.python_version()}, Django {django.__version__}"
        ),
        rounds=rounds,
        command=" ".join(["python -m bench", *arguments]),
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
