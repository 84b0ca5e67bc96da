"""Deliveries that run beside a test, from several threads, each with its outcome noted (RFC 2033).

Conversations are spoken here and not by smtplib, which reads one reply after the message where LMTP gives one
for each recipient. A message whose answer did not come is in doubt: it is never sent again under the same id.
"""

from __future__ import annotations

import itertools
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.stand import Box

#: The header that bears a message's id.
ID_HEADER = "X-Load-Id"

#: Seconds to wait for an answer, between two messages of a thread, and before the next try to connect.
_ANSWER_WITHIN = 30.0
_PAUSE = 0.05
_RECONNECT_AFTER = 0.1

#: One message for one recipient: the message's id and the address.
Copy = tuple[str, str]


class Broken(Exception):
    """The conversation ended before its answer came."""


@dataclass
class Outcome:
    """What became of each copy.

    Attributes:
        acknowledged: the server took it: it must be there, once.
        refused: the server said no, in these words: it must not be there.
        in_doubt: the message went out whole, and no answer came: it may be there, once.
        unsent: the conversation broke before the message was whole: it must not be there.
        connections: how many were made.
    """

    acknowledged: set[Copy] = field(default_factory=set)
    refused: dict[Copy, str] = field(default_factory=dict)
    in_doubt: set[Copy] = field(default_factory=set)
    unsent: set[Copy] = field(default_factory=set)
    connections: int = 0

    @property
    def bounced(self) -> dict[Copy, str]:
        """The refusals that are for good (5yz, RFC 5321 section 4.2.1): the sender's server gives up."""
        return {copy: answer for copy, answer in self.refused.items() if answer.startswith("5")}

    def add(self, other: Outcome) -> None:
        """Take in another's."""
        self.acknowledged |= other.acknowledged
        self.refused |= other.refused
        self.in_doubt |= other.in_doubt
        self.unsent |= other.unsent
        self.connections += other.connections

    def __str__(self) -> str:
        return (
            f"{len(self.acknowledged)} acknowledged, {len(self.refused)} refused, {len(self.in_doubt)} in doubt, "
            f"{len(self.unsent)} unsent, {self.connections} connections"
        )


class Client:
    """One LMTP conversation."""

    def __init__(self, path: Path) -> None:
        """Connect and introduce itself.

        Raises:
            OSError: if nobody listens, or not in time.
            Broken: if it ended at once.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER_WITHIN)
        try:
            self._socket.connect(str(path))
            self._stream = self._socket.makefile("rb")
            self._expect("220")
            self._ask("LHLO tests.example", "250")
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Leave without a word."""
        self._stream.close()
        self._socket.close()

    def deliver(self, message_id: str, recipients: Sequence[str], body: str, outcome: Outcome) -> None:
        """Deliver one message and note what became of each copy.

        Raises:
            OSError, Broken: if the conversation broke; what was not answered by then is noted already.
        """
        copies = {recipient: (message_id, recipient) for recipient in recipients}
        waiting = outcome.unsent
        unanswered = list(recipients)
        try:
            accepted = self._name_recipients(copies, unanswered, outcome)
            if not accepted:
                return
            self._ask("DATA", "354")
            # From here on it cannot be told what has arrived.
            waiting = outcome.in_doubt
            self._socket.sendall(_message(message_id, body))
            for recipient in accepted:
                self._note(self._reply(), copies[recipient], outcome)
                unanswered.remove(recipient)
        finally:
            waiting.update(copies[recipient] for recipient in unanswered)

    def _name_recipients(self, copies: dict[str, Copy], unanswered: list[str], outcome: Outcome) -> list[str]:
        self._ask("MAIL FROM:<>", "250")
        accepted = []
        for recipient, copy in copies.items():
            answer = self._say(f"RCPT TO:<{recipient}>")
            if answer.startswith("25"):
                accepted.append(recipient)
            else:
                outcome.refused[copy] = answer
                unanswered.remove(recipient)
        if not accepted:
            self._ask("RSET", "250")
        return accepted

    def _note(self, answer: str, copy: Copy, outcome: Outcome) -> None:
        if answer.startswith("250"):
            outcome.acknowledged.add(copy)
        else:
            outcome.refused[copy] = answer

    def _ask(self, line: str, code: str) -> None:
        answer = self._say(line)
        if not answer.startswith(code):
            raise Broken(f"{line}: {answer}")

    def _say(self, line: str) -> str:
        self._socket.sendall(f"{line}\r\n".encode("ascii"))
        return self._reply()

    def _expect(self, code: str) -> None:
        answer = self._reply()
        if not answer.startswith(code):
            raise Broken(answer)

    def _reply(self) -> str:
        """Return one reply, its lines joined."""
        lines = []
        while True:
            line = self._stream.readline(4096).decode("utf-8", "replace")
            if not line.endswith("\n"):
                raise Broken("the connection was closed")
            lines.append(line.rstrip())
            if line[3:4] == "-":
                continue
            if line.startswith("421"):
                # It ends the conversation, in place of any answer (RFC 5321 section 3.8).
                raise Broken(line.rstrip())
            return " ".join(lines)


class Load:
    """Deliveries that go on by themselves, reconnecting when they must, until `stop`."""

    def __init__(
        self,
        path: Path,
        addresses: Sequence[str],
        *,
        threads: int = 4,
        most: int = 4000,
        seconds: float = 180,
    ) -> None:
        """Begin to deliver.

        Args:
            path: the LMTP socket.
            addresses: who gets mail: each message goes to one, two or three of them.
            threads: how many conversations at a time.
            most: messages after which it ends by itself.
            seconds: after which it ends by itself.
        """
        self._path = path
        self._addresses = addresses
        self._left = iter(range(most))
        self._deadline = time.monotonic() + seconds
        self._stopped = threading.Event()
        self._outcomes = [Outcome() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._run, args=(outcome,), daemon=True) for outcome in self._outcomes
        ]
        for thread in self._threads:
            thread.start()

    @property
    def acknowledged(self) -> int:
        """How many copies were acknowledged until now."""
        return sum(len(outcome.acknowledged) for outcome in self._outcomes)

    def stop(self) -> Outcome:
        """End after the messages that are on their way, and return what became of all."""
        self._stopped.set()
        whole = Outcome()
        for thread in self._threads:
            thread.join(2 * _ANSWER_WITHIN)
            assert not thread.is_alive(), "a delivery hangs"
        for outcome in self._outcomes:
            whole.add(outcome)
        return whole

    def _run(self, outcome: Outcome) -> None:
        while not self._is_over():
            try:
                client = Client(self._path)
            except (OSError, Broken):
                self._stopped.wait(_RECONNECT_AFTER)
                continue
            outcome.connections += 1
            # A conversation that breaks is what is waited for here; what it left open is noted.
            with suppress(OSError, Broken):
                self._converse(client, outcome)
            client.close()

    def _converse(self, client: Client, outcome: Outcome) -> None:
        while not self._is_over():
            number = next(self._left, None)
            if number is None:
                self._stopped.set()
                return
            chosen = itertools.islice(
                itertools.cycle(self._addresses), number, number + 1 + number % min(3, len(self._addresses))
            )
            client.deliver(new_id(), list(chosen), f"Message {number}.", outcome)
            self._stopped.wait(_PAUSE)

    def _is_over(self) -> bool:
        return self._stopped.is_set() or time.monotonic() > self._deadline


@contextmanager
def running_load(path: Path, addresses: Sequence[str], outcome: Outcome) -> Iterator[Load]:
    """Deliver while the block runs, and add to `outcome` what became of it."""
    load = Load(path, addresses)
    try:
        yield load
    finally:
        outcome.add(load.stop())


def deliver_once(path: Path, address: str, *, body: str = "Hello.") -> Outcome:
    """Deliver one message to one mailbox.

    Raises:
        OSError, Broken: if nobody listens, or the conversation broke.
    """
    outcome = Outcome()
    client = Client(path)
    try:
        client.deliver(new_id(), [address], body, outcome)
    finally:
        client.close()
    return outcome


def new_id() -> str:
    """Return an id that no other message has."""
    return secrets.token_hex(10)


def ids_in(box: Box) -> Counter[str]:
    """Return the ids of the messages in a mailbox's inbox, as IMAP shows them, and how often each is there."""
    with box.imap() as client:
        client.select("INBOX", readonly=True)
        status, rows = client.fetch("1:*", f"(BODY.PEEK[HEADER.FIELDS ({ID_HEADER})])")
        assert status == "OK", rows
    headers = (row[1].decode("ascii").strip() for row in rows if isinstance(row, tuple))
    return Counter(header.partition(":")[2].strip() for header in headers if header)


def assert_kept(outcome: Outcome, boxes: Iterable[Box]) -> None:
    """Check that all that was acknowledged is there once, and nothing that should not be."""
    for box in boxes:
        found = ids_in(box)
        acknowledged = _ids(outcome.acknowledged, box)
        lost = acknowledged - set(found)
        assert not lost, f"{box.address}: {len(lost)} of {len(acknowledged)} acknowledged messages are lost"
        twice = {message_id: count for message_id, count in found.items() if count > 1}
        assert not twice, f"{box.address}: {twice}"
        strangers = set(found) - acknowledged - _ids(outcome.in_doubt, box)
        assert not strangers, f"{box.address}: {len(strangers)} messages that were refused or never sent"


def _ids(copies: Iterable[Copy], box: Box) -> set[str]:
    return {message_id for message_id, address in copies if address == box.address}


def _message(message_id: str, body: str) -> bytes:
    lines = (
        "From: load@example.net",
        "To: undisclosed-recipients:;",
        f"Subject: {message_id}",
        f"Message-ID: <{message_id}@example.net>",
        f"{ID_HEADER}: {message_id}",
        "",
        *body.split("\n"),
        ".",
        "",
    )
    return "\r\n".join(lines).encode("ascii")
