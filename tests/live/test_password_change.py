"""A mailbox's password changes while 200 mail programs sign in with the old one and the new one; and a suspension."""

from __future__ import annotations

import contextlib
import imaplib
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.open_sessions import open_sessions
from tests.panel_client import PanelClient
from tests.stand import PATIENCE, Box, Stand, wait_for

pytestmark = pytest.mark.live

OLD, NEW = "violet-tractor-9-moons", "amber-ladder-7-rivers"
#: Mail programs with each password.
CLIENTS = 100
#: Seconds that a session lasts while the password is the old one, and between two looks at one that lasts.
_STAYS, _LOOK_EVERY = 0.3, 0.2


class ImapFrom(imaplib.IMAP4):
    """An IMAPS connection from an address of its own: Dovecot limits the sessions of one address."""

    def __init__(self, stand: Stand, source: str) -> None:
        self._source, self._authority = source, stand.authority
        super().__init__("127.0.0.1", stand.ports["imaps"], timeout=PATIENCE)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout, source_address=(self._source, 0))
        return self._authority.wrap_socket(plain, server_hostname="localhost")

    def leave(self) -> None:
        """Hang up, if the server has not done so before."""
        with contextlib.suppress(OSError):
            self.shutdown()


@dataclass(frozen=True)
class Attempt:
    """One login: when it was asked for, and whether it was granted."""

    at: float
    granted: bool


class Hammer(threading.Thread):
    """A mail program that signs in again and again with one password.

    From when `changing` is set, it keeps each session that it gets until the server ends it.
    """

    def __init__(self, box: Box, password: str, source: str, changing: threading.Event) -> None:
        super().__init__(daemon=True)
        self.attempts: list[Attempt] = []
        self.is_in = False
        self.trouble = ""
        self._box, self._password, self._source = box, password, source
        self._changing, self._stopped = changing, threading.Event()

    def leave(self) -> None:
        """Stop soon."""
        self._stopped.set()

    def run(self) -> None:
        """Sign in until told to leave."""
        while not self._stopped.is_set():
            try:
                self._sign_in()
            except (imaplib.IMAP4.error, OSError) as err:
                # Ended by the server, or too many at once: seen by whoever looks at the attempts.
                self.trouble = f"{type(err).__name__}: {err}"
            self.is_in = False

    def _sign_in(self) -> None:
        client = ImapFrom(self._box.stand, self._source)
        try:
            at = time.monotonic()
            try:
                client.login(self._box.address, self._password)
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error:
                self.attempts.append(Attempt(at, granted=False))
                return
            self.is_in = True
            self.attempts.append(Attempt(at, granted=True))
            self._stay(client)
        finally:
            client.leave()

    def _stay(self, client: imaplib.IMAP4) -> None:
        until = time.monotonic() + _STAYS
        client.sock.settimeout(_LOOK_EVERY)
        while not self._stopped.is_set() and (self._changing.is_set() or time.monotonic() < until):
            with contextlib.suppress(TimeoutError):
                said = client.sock.recv(1000)
                if not said or b"BYE" in said:
                    return


@contextlib.contextmanager
def hammering(box: Box, changing: threading.Event) -> Iterator[tuple[list[Hammer], list[Hammer]]]:
    """Sign in with both passwords while the block runs. Yields those with the old one, and those with the new one."""
    old = [Hammer(box, OLD, f"127.0.1.{number + 1}", changing) for number in range(CLIENTS)]
    new = [Hammer(box, NEW, f"127.0.2.{number + 1}", changing) for number in range(CLIENTS)]
    for each in (*old, *new):
        each.start()
    try:
        yield old, new
    finally:
        for each in (*old, *new):
            each.leave()
        for each in (*old, *new):
            each.join(90)
            assert not each.is_alive(), f"a mail program hangs: {each.trouble}"


def page_of(panel: PanelClient, box: Box) -> str:
    """Return where the panel has a mailbox's page."""
    found = re.search(r'href="(/mailboxes/\d+/)"', panel.get(f"/mailboxes/?q={box.address}"))
    assert found is not None
    return found[1]


def signs_in(box: Box, password: str) -> bool:
    """Say whether a program that was not there before gets in."""
    client = ImapFrom(box.stand, "127.0.3.1")
    try:
        client.login(box.address, password)
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error:
        return False
    finally:
        client.leave()
    return True


@pytest.mark.long
def test_the_new_password_works_at_once_and_the_old_one_never_again(stand: Stand) -> None:
    box = stand.new_mailbox(password=OLD)
    panel = PanelClient(stand)
    page = page_of(panel, box)
    changing = threading.Event()
    with hammering(box, changing) as (old, new):
        wait_for(lambda: all(each.attempts for each in (*old, *new)), "all to have tried", seconds=180)
        changing.set()
        assert "The new password works now" in panel.send(f"{page}password/", password=NEW)
        answered = time.monotonic()
        assert signs_in(box, NEW)
        assert not signs_in(box, OLD)
        # Those that were on their way when it changed may get in; the kicks that follow end them.
        wait_for(lambda: not any(each.is_in for each in old), "the old sessions to end")
        wait_for(
            lambda: all(each.attempts[-1].at > answered for each in (*old, *new)),
            "all to have tried again",
            180,
        )
    with_old = [attempt for each in old for attempt in each.attempts]
    with_new = [attempt for each in new for attempt in each.attempts]
    assert all(any(attempt.granted for attempt in each.attempts) for each in old)
    assert not [attempt for attempt in with_old if attempt.at > answered and attempt.granted]
    assert all(attempt.granted for attempt in with_new if attempt.at > answered)


def test_who_is_suspended_is_out_and_still_gets_mail(stand: Stand) -> None:
    box = stand.new_mailbox(password=OLD)
    panel = PanelClient(stand)
    page = page_of(panel, box)
    with open_sessions([box], 10) as crowd:
        panel.send(f"{page}suspend/", reason="asked for")
        wait_for(lambda: not any(session.is_open for session in crowd.sessions), "the sessions to end")
        assert crowd.ended() == 10
        assert not signs_in(box, OLD)
        box.deliver("While suspended")
        opened = crowd.opened()
        panel.press(f"{page}resume/", page)
        crowd.wait_until_open(since=opened)
    assert box.subjects() == ["Welcome to your mailbox", "While suspended"]
