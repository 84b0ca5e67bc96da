"""Many open sessions of mail programs beside a test: each in a thread, reconnecting when it was ended."""

from __future__ import annotations

import imaplib
import poplib
import select
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from typing import Any

from tests.stand import Box, wait_for

#: Seconds between two commands of a session, between two looks at an idle one, and before the next sign-in.
_COMMAND_EVERY = 1.0
_LOOK_EVERY = 0.2
_RECONNECT_AFTER = 0.3

#: How a session tells that it was ended, or could not begin.
_ENDED = (imaplib.IMAP4.error, poplib.error_proto, OSError, EOFError)


class Kind(Enum):
    """What a session does."""

    #: IMAPS, waiting in IDLE (RFC 2177).
    IDLE = "idle"
    #: IMAPS, asking again and again.
    BUSY = "busy"
    #: POP3S, asking again and again.
    POP = "pop"


class Session(threading.Thread):
    """One mail program that wants to stay signed in.

    Attributes:
        kind: what it does.
        opened: how often it has signed in.
        ended: how often a session of it was ended by the server.
        last_error: why the last one ended or could not begin.
    """

    def __init__(self, box: Box, kind: Kind) -> None:
        super().__init__(daemon=True)
        self.kind = kind
        self.opened = 0
        self.ended = 0
        self.last_error = ""
        self._box = box
        self._is_open = threading.Event()
        self._stopped = threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether it is signed in, as far as it knows."""
        return self._is_open.is_set()

    def leave(self) -> None:
        """Sign out soon, and do not come back."""
        self._stopped.set()

    def run(self) -> None:
        """Sign in, stay, and sign in again, until told to leave."""
        work = {Kind.IDLE: self._idle, Kind.BUSY: self._ask, Kind.POP: self._poll}[self.kind]
        while not self._stopped.is_set():
            try:
                work()
            except _ENDED as err:
                # This is what the session is there for: it is counted, and the next one follows.
                self.last_error = f"{type(err).__name__}: {err}"
            if self.is_open:
                self._is_open.clear()
                self.ended += not self._stopped.is_set()
            self._stopped.wait(_RECONNECT_AFTER)

    def _idle(self) -> None:
        with self._box.imap() as client:
            client.select("INBOX", readonly=True)
            client.send(b"idle IDLE\r\n")
            self._expect(client, b"+")
            self._note_open()
            connection: Any = client.sock  # declared as a plain socket; it is one of TLS
            while not self._stopped.is_set():
                # What TLS has read already is not seen by select.
                if connection.pending() or select.select([connection], [], [], _LOOK_EVERY)[0]:
                    self._expect(client, b"*")
            client.send(b"DONE\r\n")
            self._expect(client, b"idle ")

    def _expect(self, client: Any, first: bytes) -> None:
        """Read lines up to one that begins with `first`."""
        while True:
            line = client.readline()
            if not line or line.startswith(b"* BYE"):
                raise imaplib.IMAP4.abort(line.decode("utf-8", "replace") or "closed")
            if line.startswith(first):
                return

    def _ask(self) -> None:
        with self._box.imap() as client:
            client.select("INBOX", readonly=True)
            self._note_open()
            while not self._stopped.wait(_COMMAND_EVERY):
                client.noop()
                status, answer = client.fetch("1", "(FLAGS)")
                if status != "OK":
                    raise imaplib.IMAP4.error(str(answer))

    def _poll(self) -> None:
        with self._box.pop() as client:
            client.stat()
            self._note_open()
            while not self._stopped.wait(_COMMAND_EVERY):
                client.noop()

    def _note_open(self) -> None:
        self.opened += 1
        self._is_open.set()


#: In the order in which each mailbox gets them.
_KINDS = (Kind.IDLE, Kind.BUSY, Kind.POP, Kind.IDLE, Kind.IDLE)


class OpenSessions:
    """A crowd of mail programs: three in five idle, one busy, one by POP."""

    def __init__(self, boxes: Sequence[Box], count: int) -> None:
        self.sessions = []
        for number in range(count):
            round_, place = divmod(number, len(boxes))
            self.sessions.append(Session(boxes[place], _KINDS[round_ % len(_KINDS)]))
        for session in self.sessions:
            session.start()

    def wait_until_open(self, *, since: dict[Session, int] | None = None) -> None:
        """Wait until all are signed in; those in `since` once more than it says."""
        wanted = since or {}
        wait_for(
            lambda: all(
                session.is_open and session.opened > wanted.get(session, 0) for session in self.sessions
            ),
            "all sessions to be open",
        )

    def opened(self) -> dict[Session, int]:
        """Return how often each has signed in until now."""
        return {session: session.opened for session in self.sessions}

    def ended(self) -> int:
        """Return how many sessions were ended by the server until now."""
        return sum(session.ended for session in self.sessions)

    def leave(self) -> None:
        """Sign all out."""
        for session in self.sessions:
            session.leave()
        for session in self.sessions:
            session.join(90)
            assert not session.is_alive(), f"a session hangs: {session.kind}, {session.last_error}"


@contextmanager
def open_sessions(boxes: Sequence[Box], count: int) -> Iterator[OpenSessions]:
    """Keep `count` sessions open while the block runs; they are open when it begins."""
    with ExitStack() as stack:
        crowd = OpenSessions(boxes, count)
        stack.callback(crowd.leave)
        crowd.wait_until_open()
        yield crowd
