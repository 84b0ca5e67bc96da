"""In a storm of clients, with everything killed at random, the connection log has each connection exactly once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mailbackend.supervisor.process import session_members
from tests.environment import CLUSTER
from tests.postgres import Cluster
from tests.stand import Box, Stand, wait_for
from tests.storm import Storm, differences, kill_all, kill_database, kill_dovecot, turn_log

pytestmark = pytest.mark.live

#: How many clients are there at a time.
CLIENTS = 10
RECORDER = r"manage.py recordconnections"
#: More than there are rows.
ALL = 100_000


@pytest.fixture
def own_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster | None]:
    """A PostgreSQL that may be killed, where the tests run on PostgreSQL."""
    if CLUSTER not in os.environ:
        yield None
        return
    cluster = Cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def storm_stand(request: pytest.FixtureRequest, own_cluster: Cluster | None) -> Iterator[Stand]:
    """A stand whose database may be killed: the worker's own with SQLite."""
    if own_cluster is None:
        yield request.getfixturevalue("stand")
        return
    stand = Stand(request.config.getoption("--privileges"), own_cluster.url)
    try:
        stand.start()
        yield stand
    finally:
        stand.remove()


def make_storm(stand: Stand, cluster: Cluster | None, seed: int) -> Storm:
    """Prepare mailboxes, and what goes wrong."""
    domain = stand.new_domain()
    password = "a-good-passw0rd"

    def box(name: str) -> Box:
        answer = stand.must("createmailbox", f"{name}@{domain}", stdin=f"{password}\n")
        return Box(stand, f"{name}@{domain}", password, answer["home"])

    with ThreadPoolExecutor(3) as several:
        boxes = list(several.map(box, [f"box{number}" for number in range(CLIENTS)] + ["off", "imap"]))
    suspended, imap_only = boxes[-2:]
    stand.must("setmailbox", suspended.address, "--suspend")
    stand.must("setmailbox", imap_only.address, "--protocols", "imap")
    troubles = {
        "recorder": kill_all(stand, RECORDER),
        "redis": kill_all(stand, r"redis-server"),
        "dovecot": kill_dovecot(stand),
        "segment": turn_log(stand),
    }
    if cluster is not None:
        troubles["database"] = kill_database(cluster)
    return Storm(stand, boxes[:-2], suspended, imap_only, seed, troubles)


def rage(storm: Storm, sessions: int, pauses: tuple[float, float]) -> list[str]:
    """Return in what the rows differ from the ledger, after the recorder has had time."""

    def rows() -> list[dict[str, Any]]:
        return list(storm.stand.must("connections", "--limit", str(ALL)))

    # Another storm may have raged on this stand.
    before = {row["session"] for row in rows()}
    storm.rage(sessions, pauses)
    wait_for(storm.stand.works, "all parts to work again", seconds=120)
    found: list[str] = []

    def fits() -> bool:
        found[:] = differences(storm, [row for row in rows() if row["session"] not in before])
        return not found

    try:
        wait_for(fits, "the rows to be those of the ledger", seconds=20)
    except AssertionError:
        return found
    # Nothing comes twice later, either.
    fits()
    return found


@pytest.mark.long
def test_each_connection_is_one_row(storm_stand: Stand, own_cluster: Cluster | None) -> None:
    storm = make_storm(storm_stand, own_cluster, seed=1)
    assert rage(storm, 60, (0.3, 1.5)) == []
    assert set(storm.happened) == set(storm.troubles)
    stages = {entry.stage for entry in storm.ledger}
    assert {"done", "refused"} <= stages


@pytest.mark.long
def test_two_thousand_connections(storm_stand: Stand, own_cluster: Cluster | None) -> None:
    storm = make_storm(storm_stand, own_cluster, seed=2)
    assert rage(storm, 2000, (2, 8)) == []
    assert sum(entry.stage == "done" for entry in storm.ledger) > 800


@pytest.mark.long
def test_sessions_of_a_dovecot_that_was_killed_whole_are_closed(stand: Stand) -> None:
    """Nothing writes their ends: they are known when it starts again. The recorder is away meanwhile, too."""
    box = stand.new_mailbox()

    def rows() -> list[dict[str, Any]]:
        return list(stand.must("connections", "--address", box.address))

    imap, pop = box.imap(), box.pop()
    imap.__enter__()
    pop.__enter__()
    wait_for(lambda: len(rows()) == 2, "both sessions in the log")
    assert [row["ended_at"] for row in rows()] == [None, None]
    for pid in stand.pids(RECORDER):
        os.kill(pid, signal.SIGKILL)
    master = stand.must("servicectl", "status")["pid"]
    members = session_members(master)
    # Held first, all of them: none has the time to write a word.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):  # ended meanwhile
                os.kill(pid, number)
    imap.__exit__(None, None, None)
    pop.__exit__(None, None, None)
    wait_for(stand.works, "all parts to work again")
    wait_for(lambda: all(row["ended_at"] for row in rows()), "the sessions to be closed")
    for row in rows():
        assert row["reason"] == "server_stopped"
        assert row["ended_at"] >= row["started_at"]
        assert row["bytes_in"] is None
