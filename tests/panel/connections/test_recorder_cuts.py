"""However the log is cut into batches and segments, and wherever the recorder dies: the rows are those of one pass."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.log_text import Writer
from mailbackend.paths import DataDir
from panel.connections import recorder, storing
from panel.connections.models import Connection, HourlyCount, LogGap, LogPosition
from tests.cast import Cast

NODE = "restante-test"
#: Longer than any line: what is longer is none of Dovecot's.
SMALLEST_BATCH = 1500

pytestmark = pytest.mark.django_db


_SESSION = re.compile(r'sess=([^\s,]+)|"session":"([^"]+)"|<([^>]+)>')


class Died(Exception):
    """The recorder was killed at this point."""


def text(seed: int, addresses: list[str]) -> str:
    """Return a log with all that happens to sessions: crashes, kicks, stops, starts, ends before beginnings."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    lines = list(Writer(addresses, seed, per_second=3).lines(120))
    for _ in range(10):
        add_crash(lines, chance.randrange(len(lines)))
        place = chance.randrange(len(lines))
        lines[place] = lines[place].replace("Disconnected: Logged out", "Disconnected: Server shutting down.")
        if "stats: " in lines[place]:
            lines.append(lines.pop(place))  # a refusal that is written after the end of its connection
    for _ in range(3):
        add_restart(lines, chance.randrange(len(lines)))
    return "".join(lines)


def session_of(match: re.Match[str]) -> str:
    return str(match[1] or match[2] or match[3])


def add_crash(lines: list[str], place: int) -> None:
    """Have the process of the session that began last before this place crash."""
    begun = next((line for line in lines[:place][::-1] if "mpid=" in line), None)
    if begun:
        pid = begun.partition("mpid=")[2].partition(",")[0]
        said = f"master: service(imap): child {pid} killed with signal 9"
        lines.insert(place, f'{lines[place][:32]}imap: sess=x user="a@b.test" pid={pid}: Fatal: {said}\n')


def add_restart(lines: list[str], place: int) -> None:
    """Have Dovecot killed and started: what was connected says no more."""
    before = {session_of(match) for match in map(_SESSION.search, lines[:place]) if match}
    after = [
        line for line in lines[place:] if (match := _SESSION.search(line)) and session_of(match) not in before
    ]
    time = lines[place][:32]
    lines[place:] = [
        f"{time}config: Warning: Killed with signal 15 (by pid=1 uid=999 code=kill)\n",
        f"{time}master: Info: Dovecot v2.3.19.1 (9b53102964) starting up for imap, pop3, lmtp\n",
        *after,
    ]


def stored() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return all rows, and the counts."""
    rows = Connection.objects.order_by("session", "attempt").values_list(*storing.COLUMNS)
    counts = HourlyCount.objects.exclude(connections=0).order_by("hour", "customer", "protocol", "outcome")
    return list(rows), list(counts.values_list("hour", "customer", "protocol", "outcome", "connections"))


def forget() -> None:
    for model in (Connection, HourlyCount, LogGap, LogPosition):
        model.objects.all().delete()


def write(data: DataDir, number: int, content: bytes) -> None:
    with (data.events / f"{number:08d}.log").open("ab") as file:
        file.write(content)


def seal(data: DataDir, number: int) -> None:
    (data.events / f"{number:08d}.log").chmod(0o440)


def folder(path: Path) -> DataDir:
    path.mkdir()
    data = DataDir(path)
    data.events.mkdir()
    data.run.mkdir()
    return data


def cuts(content: bytes, chance: random.Random) -> Iterator[tuple[int, bytes]]:
    """Yield pieces of the log with the segments that they are in. Segments end with lines, pieces anywhere."""
    number = 1
    while content:
        size = chance.choice((1, 40, 700, 3000, 9000))
        piece, content = content[:size], content[size:]
        yield number, piece
        if chance.random() < 0.1:
            rest, newline, content = content.partition(b"\n")
            yield number, rest + newline
            number += 1


@pytest.mark.parametrize("seed", range(5))
def test_cut_anywhere_and_killed_anywhere(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    content = text(seed, [cast.mailbox.address, "gone@elsewhere.test"]).encode()
    whole = folder(tmp_path / "whole")
    write(whole, 1, content)
    recorder.store_all(whole, NODE)
    once = stored()
    assert len(once[0]) > 100
    forget()

    chance = random.Random(f"cuts {seed}")  # noqa: S311 - not a secret
    die_at(monkeypatch, chance, storing, "insert")
    die_at(monkeypatch, chance, storing, "update")
    die_at(monkeypatch, chance, LogPosition, "save")
    die_at(monkeypatch, chance, recorder, "_tell_stored")
    cut = folder(tmp_path / "cut")
    before = 1
    for number, piece in cuts(content, chance):
        for done in range(before, number):
            seal(cut, done)
        before = number
        write(cut, number, piece)
        if chance.random() < 0.5:
            monkeypatch.setattr(recorder, "BATCH_BYTES", chance.choice((SMALLEST_BATCH, 4000, 10**6)))
            record_until_done(cut)
    record_until_done(cut)
    assert_same(stored(), once)
    assert not LogGap.objects.exists()
    position = LogPosition.objects.get()
    assert position.segment == before
    assert position.offset == (cut.events / f"{before:08d}.log").stat().st_size


def assert_same(found: tuple[list[Any], list[Any]], wanted: tuple[list[Any], list[Any]]) -> None:
    assert [row[1:3] for row in found[0]] == [row[1:3] for row in wanted[0]]
    for one, other in zip(*(side[0] for side in (found, wanted)), strict=True):
        assert one == other
    assert found[1] == wanted[1]


def die_at(monkeypatch: pytest.MonkeyPatch, chance: random.Random, place: object, name: str) -> None:
    """Have the recorder die before or after this step, at times."""
    step: Callable[..., Any] = getattr(place, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if chance.random() < 0.1:
            raise Died
        answer = step(*arguments, **named)
        if chance.random() < 0.1:
            raise Died
        return answer

    monkeypatch.setattr(place, name, dying)


def record_until_done(data: DataDir) -> None:
    while True:
        try:
            recorder.store_all(data, NODE)
        except Died:
            continue
        return
