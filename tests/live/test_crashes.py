"""Whatever is killed under open sessions and running deliveries: it serves again by itself, and no mail is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lmtp_load import Load, Outcome, assert_kept, running_load
from tests.open_sessions import OpenSessions, open_sessions
from tests.processes import Process, all_processes, kill, named, of_data_dir, session_of
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live

#: Mailboxes that the deliveries go to, sessions open on them, and copies acknowledged before and after the crash.
BOXES = 5
SESSIONS = 50
COPIES = 100


@dataclass
class Place:
    """A stand of these tests' own, its mailboxes, and what became of all that was delivered to them."""

    stand: Stand
    boxes: list[Box]
    outcome: Outcome = field(default_factory=Outcome)


@dataclass
class Crowded:
    """A place in use: deliveries run and sessions are open."""

    stand: Stand
    load: Load
    sessions: OpenSessions

    def more_deliveries(self) -> None:
        """Wait until more copies are acknowledged."""
        before = self.load.acknowledged
        wait_for(lambda: self.load.acknowledged >= before + COPIES, "more deliveries to be acknowledged")


@pytest.fixture(scope="module")
def place(make_stand: Callable[..., Stand]) -> Iterator[Place]:
    """The stand with its mailboxes. Other tests do not like what happens to it."""
    stand = make_stand()
    stand.start()
    domain, password = stand.new_domain(), "a-good-passw0rd"
    boxes = []
    for number in range(BOXES):
        created = stand.must("createmailbox", f"box{number}@{domain}", stdin=f"{password}\n")
        boxes.append(Box(stand, created["address"], password, Path(created["home"])))
    yield Place(stand, boxes)
    stand.remove()


@contextmanager
def crowd(place: Place) -> Iterator[Crowded]:
    """Run deliveries and sessions, and check in the end that every message is where it should be."""
    addresses = [box.address for box in place.boxes]
    with ExitStack() as stack:
        sessions = stack.enter_context(open_sessions(place.boxes, SESSIONS))
        load = stack.enter_context(running_load(place.stand.data_dir.lmtp_socket, addresses, place.outcome))
        crowded = Crowded(place.stand, load, sessions)
        crowded.more_deliveries()
        yield crowded
        crowded.more_deliveries()
    # Shown when the test fails, and by pytest -rP.
    sys.stdout.write(f"deliveries until now: {place.outcome}; sessions ended: {sessions.ended()}\n")
    assert not place.outcome.bounced, "mail came back to its sender for what was over soon"
    assert_kept(place.outcome, place.boxes)
    assert place.stand.must("checkmail")["failures"] == []


def status(stand: Stand) -> dict[str, Any]:
    """Return what the mail service says of itself; {} while its supervisor does not answer."""
    answer = stand.command("servicectl", "status")
    return dict(answer.json) if answer.code == 0 else {}


def wait_until_serving(stand: Stand, *, instead_of: int | None = None) -> dict[str, Any]:
    """Wait until Dovecot runs, with another master than `instead_of`, and all parts work; return the status."""
    found: dict[str, Any] = {}

    def serves() -> bool:
        found.clear()
        found.update(status(stand))
        return found.get("state") == "RUNNING" and found["pid"] != instead_of

    wait_for(serves, "Dovecot to run" + (" anew" if instead_of else ""))
    wait_for(stand.works, "all parts to work again")
    return found


def assert_serves(crowded: Crowded, before: dict[Any, int]) -> None:
    """Check that sessions come back by themselves, and that mail arrives and is read."""
    crowded.sessions.wait_until_open(since=before)
    box = crowded.stand.new_mailbox()
    box.deliver("After the crash")
    assert box.subjects() == ["Welcome to your mailbox", "After the crash"]


def assert_gone(processes: list[Process]) -> None:
    """Wait until none of these processes lives."""
    wait_for(
        lambda: not any(process.is_alive for process in processes),
        f"the end of {[process.title for process in processes if process.is_alive]}",
    )


def assert_one_dovecot(stand: Stand, master: int) -> None:
    """Check that nothing of an earlier Dovecot of this stand is left beside the one that runs."""
    ours = session_of(master)
    # Dovecot's processes call themselves by the instance's name, such as restante-1a2b3c4d/imap.
    instance = next(process.title.partition("/")[0] for process in named(ours, "/anvil"))
    everywhere = {process for process in of_data_dir(stand.data_dir.root) if "dovecot -F" in process.title}
    everywhere |= {process for process in all_processes() if process.title.startswith(f"{instance}/")}
    assert {process.session for process in everywhere} == {master}, everywhere


@pytest.mark.long
def test_dovecots_master_is_killed(place: Place) -> None:
    with crowd(place) as crowded:
        before = crowded.sessions.opened()
        old = status(place.stand)["pid"]
        family = session_of(old)
        kill([process for process in family if process.pid == old])
        new = wait_until_serving(place.stand, instead_of=old)["pid"]
        assert_serves(crowded, before)
        assert_gone(family)
        assert_one_dovecot(place.stand, new)


@pytest.mark.long
def test_login_process_is_killed(place: Place) -> None:
    with crowd(place) as crowded:
        master = status(place.stand)["pid"]
        victims = named(session_of(master), "/imap-login")
        assert victims
        ended, opened = crowded.sessions.ended(), crowded.sessions.opened()
        kill(victims[:1])
        wait_for(lambda: crowded.sessions.ended() > ended, "the killed process's sessions to end")
        assert_gone(victims[:1])
        crowded.sessions.wait_until_open()
        stayed = [session for session, count in opened.items() if session.opened == count]
        assert stayed, "sessions of other processes ended too"
        assert wait_until_serving(place.stand)["pid"] == master
        assert_serves(crowded, {})
        assert named(session_of(master), "/imap-login")


@pytest.mark.long
def test_dovecots_log_process_is_killed(place: Place) -> None:
    """Lines are lost then, and long-lived processes write without time or prefix: only a new start helps."""
    with crowd(place) as crowded:
        before = crowded.sessions.opened()
        old = status(place.stand)["pid"]
        family = session_of(old)
        victims = named(family, "/log")
        assert len(victims) == 1
        kill(victims)
        new = wait_until_serving(place.stand, instead_of=old)["pid"]
        assert_serves(crowded, before)
        assert_gone(family)
        assert_one_dovecot(place.stand, new)


@pytest.mark.long
def test_supervisor_is_killed(place: Place) -> None:
    with crowd(place) as crowded:
        before = crowded.sessions.opened()
        old = status(place.stand)["pid"]
        family = session_of(old)
        victims = [
            process
            for process in of_data_dir(place.stand.data_dir.root)
            if "-m mailbackend.supervisor" in process.title
        ]
        assert victims
        kill(victims)
        new = wait_until_serving(place.stand, instead_of=old)["pid"]
        assert_serves(crowded, before)
        assert_gone([*victims, *family])
        assert_one_dovecot(place.stand, new)


@pytest.mark.long
def test_everything_is_killed_at_once(place: Place) -> None:
    with crowd(place) as crowded:
        before = crowded.sessions.opened()
        old = status(place.stand)["pid"]
        everything = [*of_data_dir(place.stand.data_dir.root), *session_of(old)]
        assert place.stand.process is not None
        assert place.stand.process.pid in {process.pid for process in everything}
        kill(everything)
        place.stand.process.wait(60)
        place.stand.start()
        new = wait_until_serving(place.stand, instead_of=old)["pid"]
        assert_serves(crowded, before)
        assert_gone(everything)
        assert_one_dovecot(place.stand, new)
