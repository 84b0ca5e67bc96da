"""The log that measurements make up is one that Dovecot could have written."""

from __future__ import annotations

from collections import Counter

from bench.log_text import Writer
from mailbackend.dovecot import events
from mailbackend.dovecot.events import line_time, read_event

ADDRESSES = ["ann@example.test", "bea@example.test"]


def test_the_same_seed_gives_the_same_text() -> None:
    assert list(Writer(ADDRESSES, 1).lines(50)) == list(Writer(ADDRESSES, 1).lines(50))
    assert list(Writer(ADDRESSES, 1).lines(50)) != list(Writer(ADDRESSES, 2).lines(50))


def test_each_line_is_whole_and_in_its_time() -> None:
    lines = list(Writer(ADDRESSES, 3).lines(300))
    times = [line_time(line) or "" for line in lines]
    assert all(times)
    assert times == sorted(times)
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)


def test_each_connection_is_told_to_its_end() -> None:
    found = [read_event(line.rstrip("\n")) for line in Writer(ADDRESSES, 4).lines(500)]
    kinds = Counter(type(event) for event in found)
    assert kinds[events.Begun] == kinds[events.Ended] > 300
    assert kinds[events.Begun] + kinds[events.Aborted] == 500
    assert kinds[events.Refused] > 50
    assert kinds[events.Identified] > 10
    assert kinds[type(None)] > 50


def test_some_ends_come_before_their_beginnings() -> None:
    seen = set()
    early = 0
    for line in Writer(ADDRESSES, 5).lines(300):
        event = read_event(line.rstrip("\n"))
        if isinstance(event, events.Begun):
            seen.add(event.session)
        elif isinstance(event, events.Ended):
            early += event.session not in seen
    assert early > 10
