"""A storm: many mail programs at once, while what serves them is killed; and a ledger of what each of them saw.

A client knows its address and port. Dovecot's log, of which every segment is kept here by a link, says which session
that was; so each row of the connection log belongs to one line of the ledger, and each line of it to its rows.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from mailbackend.supervisor.control import SupervisorDown, ask
from tests.postgres import Cluster
from tests.stand import PATIENCE, Box, Stand

#: Where clients come from.
ADDRESSES = [f"127.0.9.{number}" for number in range(2, 10)]
#: Bytes after which the log goes on in a new segment: what is written to make it do so.
_SEGMENT = 33 * 1024**2
_WRONG = "not-the-passw0rd"
_MESSAGE = b"From: sender@example.net\r\nSubject: In the storm\r\n\r\nHello.\r\n"

#: How a connection without a session may be told that was cut before it ended in its own way.
CUT = {"temporary_failure", "gave_up", "tls_failed"}
#: How a session may have ended that was cut.
CUT_ENDS = {"server_stopped", "connection_closed"}


#: The stages in which a client has been let in.
_SIGNED_IN = ("inside", "leaving", "done")


class Cut(Exception):
    """The connection broke, or the server said that it cannot now."""


@dataclass
class Entry:
    """What one client did, and saw.

    Attributes:
        plan: what it set out to do.
        stage: how far it came: nowhere, connected, asked to be let in, inside, leaving, done; or refused.
        refusals: the reasons for which it knows that it was refused.
        counts: of a session that is done, what the log must say.
        ends: how the session ended, when it is done.
    """

    plan: str
    protocol: str
    address: str
    ip: str
    port: int = 0
    stage: str = "nowhere"
    refusals: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    ends: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """What it is found by in the log."""
        return self.ip, self.port


class Wire:
    """A client's end of a TLS connection, which counts what passes."""

    def __init__(self, port: int, entry: Entry, context: ssl.SSLContext, used: set[tuple[str, int]]) -> None:
        plain = _bound(entry, used)
        try:
            plain.settimeout(PATIENCE)
            plain.connect(("127.0.0.1", port))
            entry.stage = "connected"
            self._socket = context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise
        self._stream = self._socket.makefile("rb")
        self.sent = self.received = 0

    def send(self, text: bytes) -> None:
        """Send."""
        self._socket.sendall(text)
        self.sent += len(text)

    def line(self) -> bytes:
        """Read a line."""
        line = self._stream.readline()
        if not line.endswith(b"\n"):
            raise Cut("The server hung up.")
        self.received += len(line)
        return line

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        content = self._stream.read(size)
        if len(content) < size:
            raise Cut("The server hung up.")
        self.received += size
        return content

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._socket.close()


_binding = threading.Lock()


def _bound(entry: Entry, used: set[tuple[str, int]]) -> socket.socket:
    """Return a socket that is bound to an address and port that no client had before."""
    while True:
        plain = socket.socket()
        plain.bind((entry.ip, 0))
        entry.port = plain.getsockname()[1]
        with _binding:
            if entry.key not in used:
                used.add(entry.key)
                return plain
        plain.close()


class Imap:
    """One IMAP session."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.counts: Counter[str] = Counter()
        if not wire.line().startswith(b"* OK"):
            raise Cut("No greeting.")

    def log_in(self, address: str, password: str) -> bytes:
        """Return the answer."""
        self.wire.send(f'a LOGIN "{address}" "{password}"\r\n'.encode())
        self.wire.received = 0
        self.wire.sent = 0
        return self._answer()[0]

    def work(self, chance: random.Random) -> None:
        """Add a message, read the newest, and remove the oldest when there are many."""
        wire = self.wire
        if chance.random() < 0.6:
            wire.send(f"a APPEND INBOX {{{len(_MESSAGE)}}}\r\n".encode())
            while not (line := wire.line()).startswith(b"+"):
                self._check(line)
            wire.send(_MESSAGE + b"\r\n")
            self._answer()
        wire.send(b"a SELECT INBOX\r\n")
        said = self._answer()[1]
        exists = next(int(line.split()[1]) for line in said if line.endswith(b" EXISTS\r\n"))
        if exists:
            first = max(1, exists - chance.randrange(4))
            wire.send(f"a FETCH {first}:{exists} (BODY.PEEK[])\r\n".encode())
            said = self._answer()[1]
            self.counts["retrieved"] += sum(b" FETCH " in line and b"BODY[]" in line for line in said)
        if exists > 6:
            wire.send(b"a STORE 1:3 +FLAGS (\\Deleted)\r\n")
            said = self._answer()[1]
            self.counts["deleted"] += sum(b" FETCH " in line and b"\\Deleted" in line for line in said)
            wire.send(b"a EXPUNGE\r\n")
            said = self._answer()[1]
            self.counts["expunged"] += sum(line.endswith(b" EXPUNGE\r\n") for line in said)

    def log_out(self) -> None:
        """Sign out."""
        self.wire.send(b"a LOGOUT\r\n")
        while not (line := self.wire.line()).startswith(b"a "):
            if line.startswith(b"* BYE") and b"Logging out" not in line:
                raise Cut("The server says good-bye.")

    def _answer(self) -> tuple[bytes, list[bytes]]:
        """Return the tagged line, and those before it."""
        before: list[bytes] = []
        while True:
            line = self.wire.line()
            if line.startswith(b"a "):
                return line, before
            self._check(line)
            before.append(line)
            literal = re.search(rb"\{(\d+)\}\r\n\Z", line)
            if literal:
                self.wire.take(int(literal[1]))

    @staticmethod
    def _check(line: bytes) -> None:
        if line.startswith((b"* BYE", b"a ")):
            raise Cut(line.decode("utf-8", "replace"))


class Pop:
    """One POP session."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.counts: Counter[str] = Counter()
        self._answer()

    def log_in(self, address: str, password: str) -> bytes:
        """Return the answer."""
        self._ask(f"USER {address}")
        self.wire.send(f"PASS {password}\r\n".encode())
        self.wire.received = 0
        self.wire.sent = 0
        line = self.wire.line()
        return b"a OK" if line.startswith(b"+OK") else line

    def work(self, chance: random.Random) -> None:
        """Read some messages, and delete some of these."""
        number = int(self._ask("STAT").split()[1])
        for index in range(1, min(number, chance.randrange(4)) + 1):
            self._ask(f"RETR {index}")
            while self.wire.line() != b".\r\n":
                continue
            self.counts["retrieved"] += 1
            if chance.random() < 0.5:
                self._ask(f"DELE {index}")
                self.counts["deleted"] += 1

    def log_out(self) -> None:
        """Sign out: what was deleted is deleted now."""
        self._ask("QUIT")

    def _ask(self, text: str) -> bytes:
        self.wire.send(f"{text}\r\n".encode())
        return self._answer()

    def _answer(self) -> bytes:
        line = self.wire.line()
        if not line.startswith(b"+OK"):
            raise Cut(line.decode("utf-8", "replace"))
        return line


@dataclass
class Storm:
    """Clients and trouble on a stand.

    Attributes:
        boxes: mailboxes to read; each is one client's at a time.
        suspended: a mailbox that is.
        imap_only: a mailbox without POP.
        troubles: what happens meanwhile, over and over.
    """

    stand: Stand
    boxes: Sequence[Box]
    suspended: Box
    imap_only: Box
    seed: int
    troubles: dict[str, Callable[[], None]]
    ledger: list[Entry] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._used: set[tuple[str, int]] = set()
        self._context = self.stand.authority
        self._kept = self.stand.folder / f"kept-{self.seed}"
        self._kept.mkdir()
        self._over = threading.Event()
        self._failures: list[BaseException] = []

    def rage(self, sessions: int, pauses: tuple[float, float]) -> None:
        """Make so many connections, and trouble with pauses of so many seconds, from the least to the most."""
        left: SimpleQueue[int] = SimpleQueue()
        for number in range(sessions):
            left.put(number)
        beside = [
            threading.Thread(target=self._guarded, args=(self._trouble, pauses)),
            threading.Thread(target=self._guarded, args=(self._keep_segments,)),
        ]
        clients = [
            threading.Thread(target=self._guarded, args=(self._client, box, left)) for box in self.boxes
        ]
        for thread in beside + clients:
            thread.start()
        for thread in clients:
            thread.join()
        self._over.set()
        for thread in beside:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def keep_segments(self) -> None:
        """Link what the log consists of: the recorder's segments go once they are stored."""
        for path in sorted(self.stand.data_dir.events.glob("*.log")):
            kept = self._kept / path.name
            if not kept.exists():
                os.link(path, kept)

    def log_lines(self) -> list[str]:
        """Return the lines of all segments."""
        self.keep_segments()
        text = b"".join(path.read_bytes() for path in sorted(self._kept.iterdir()))
        return text.decode("utf-8", "replace").split("\n")

    # --- threads

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as err:  # noqa: BLE001 - told by `rage`, in the thread that asked
            self._failures.append(err)

    def _trouble(self, pauses: tuple[float, float]) -> None:
        chance = random.Random(f"trouble {self.seed}")  # noqa: S311 - not a secret
        kinds = list(self.troubles)
        while not self._over.wait(chance.uniform(*pauses)) or set(self.happened) != set(self.troubles):
            # All in turn, each turn in another order.
            if not kinds:
                kinds = list(self.troubles)
            kind = kinds.pop(chance.randrange(len(kinds)))
            self.troubles[kind]()
            self.happened[kind] += 1

    def _keep_segments(self) -> None:
        while not self._over.wait(0.1):
            self.keep_segments()

    def _client(self, box: Box, left: SimpleQueue[int]) -> None:
        while True:
            try:
                number = left.get_nowait()
            except Empty:
                return
            while not self._connect(random.Random(f"{self.seed} {number}"), box):  # noqa: S311 - not a secret
                time.sleep(0.3)

    # --- one client

    def _connect(self, chance: random.Random, box: Box) -> bool:
        """Return whether there was anybody to talk to."""
        protocol = chance.choice(("imap", "pop3"))
        plan = chance.choices(
            ("good", "dropped", "wrong", "wrong at once", "wrong, then good", "unknown", "suspended", "off"),
            (50, 12, 10, 4, 6, 6, 6, 6),
        )[0]
        if plan == "off":
            protocol = "pop3"
        address = {
            "suspended": self.suspended.address,
            "off": self.imap_only.address,
            "unknown": f"nobody@{box.address.rpartition('@')[2]}",
        }.get(plan, box.address)
        entry = Entry(plan, protocol, address, chance.choice(ADDRESSES))
        self.ledger.append(entry)
        try:
            wire = Wire(self.stand.ports[f"{protocol}s"], entry, self._context, self._used)
        except OSError:
            return False
        try:
            self._talk(Imap(wire) if protocol == "imap" else Pop(wire), entry, chance, box.password)
        except (Cut, OSError):
            time.sleep(0.2)
        finally:
            wire.close()
        return True

    def _talk(self, client: Imap | Pop, entry: Entry, chance: random.Random, password: str) -> None:
        wrong = {"wrong": "wrong_password", "unknown": "unknown_address"}
        entry.stage = "asked"
        if entry.plan == "wrong at once":
            client.wire.send(f'a LOGIN "{entry.address}" {_WRONG}\r\n'.encode()) if isinstance(
                client, Imap
            ) else client.wire.send(f"USER {entry.address}\r\nPASS {_WRONG}\r\n".encode())
            return
        if entry.plan in wrong:
            if self._is_let_in(client.log_in(entry.address, _WRONG), entry, wrong[entry.plan]):
                raise AssertionError(f"{entry}: a wrong password was good enough.")
            return
        if entry.plan == "wrong, then good":
            self._is_let_in(client.log_in(entry.address, _WRONG), entry, "wrong_password")
            entry.stage = "asked"
        reason = {"suspended": "suspended", "off": "protocol_off"}.get(entry.plan, "")
        if not self._is_let_in(client.log_in(entry.address, password), entry, reason):
            return
        client.work(chance)
        if entry.plan == "dropped":
            entry.ends = "connection_closed"
        else:
            entry.stage = "leaving"
            client.log_out()
            entry.ends = "logged_out"
        left = entry.ends == "logged_out"
        entry.counts = {
            # Of LOGOUT, Dovecot counts what is before the line's end.
            "bytes_in": client.wire.sent - (2 if left and isinstance(client, Imap) else 0),
            "bytes_out": client.wire.received,
            "retrieved": client.counts["retrieved"],
            # POP's DELE counts when the session ends with QUIT (RFC 1939, 6).
            "deleted": client.counts["deleted"] if left or isinstance(client, Imap) else 0,
        }
        if isinstance(client, Imap):
            entry.counts["expunged"] = client.counts["expunged"]
        entry.stage = "done"

    @staticmethod
    def _is_let_in(answer: bytes, entry: Entry, reason: str) -> bool:
        """Note what an answer to a password means."""
        if answer.startswith(b"a OK"):
            entry.stage = "inside"
            return True
        words = answer.decode("utf-8", "replace")
        if re.search(r"UNAVAILABLE|SYS/TEMP|SERVERBUG|[Ii]nternal|[Tt]emporar|[Ss]hutting down", words):
            raise Cut(words)
        if not reason:
            # Killed while it looked at the right password.
            raise Cut(words)
        entry.refusals.append(reason)
        entry.stage = "refused"
        return False


def differences(storm: Storm, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Compare the rows of the connection log with the ledger, one to one; return what does not fit."""
    ports = sessions_of(storm.log_lines())
    of_client: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    found = []
    for row in rows:
        if row["remote_ip"] not in ADDRESSES:
            if row["remote_ip"] is None:
                found.append(f"from nowhere: {row}")
            continue
        key = ports.get(row["session"])
        if key is None or key[0] != row["remote_ip"]:
            found.append(f"a session that the log does not know: {row}")
        else:
            of_client[key].append(row)
    for entry in storm.ledger:
        problem = _problem(entry, of_client.pop(entry.key, []))
        if problem:
            found.append(f"{problem}: {entry}")
    found += [f"nobody's: {row}" for rest in of_client.values() for row in rest]
    return found


_TEXT_KEY = re.compile(r"-login: Info: sess=([^\s,]+),.*? rip=([\d.]+), rport=(\d+),")
_JSON_KEY = re.compile(r'"session":"([^"]+)".*?"remote_ip":"([\d.]+)".*?"remote_port":(\d+)')


def sessions_of(lines: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return which client each session was, by the log's own lines."""
    found = {}
    for line in lines:
        match = _TEXT_KEY.search(line) or _JSON_KEY.search(line)
        if match:
            found[match[1]] = (match[2], int(match[3]))
    return found


def _problem(entry: Entry, rows: list[dict[str, Any]]) -> str:
    """Say what is wrong with the rows of a client, or nothing."""
    wrong = [row for row in rows if row["protocol"] != entry.protocol]
    wrong += [row for row in rows if row["ended_at"] is None or row["ended_at"] < row["started_at"]]
    if wrong:
        return f"wrong {wrong}"
    accepted = [row for row in rows if row["outcome"] == "accepted"]
    refused = Counter(row["reason"] for row in rows if row["outcome"] == "refused")
    known = Counter(entry.refusals)
    if entry.plan == "wrong at once" and entry.stage == "asked":
        # It did not wait for the answer; a Dovecot that was killed did not give any.
        return (
            ""
            if not accepted and set(refused) <= CUT | {"wrong_password"} and refused.total() <= 1
            else f"{rows}"
        )
    if entry.stage == "nowhere":
        return f"too many {rows}" if rows else ""
    if known - refused:
        return f"refusals are missing, there are {rows}"
    more = refused - known
    if entry.stage in ("refused", *_SIGNED_IN) and more:
        return f"too many {rows}"
    if entry.stage in ("connected", "asked") and (
        more.total() + len(accepted) > 1 or set(more) - _unanswered(entry)
    ):
        return f"cut, and {rows}"
    if entry.stage in _SIGNED_IN and len(accepted) != 1:
        return f"one session, and {rows}"
    if entry.stage in ("refused", "connected") and accepted:
        return f"no session, and {rows}"
    return _session_problem(entry, accepted[0]) if accepted else ""


def _unanswered(entry: Entry) -> set[str]:
    """Return the reasons for which a password may have been refused without an answer that arrived."""
    planned = {
        "wrong": "wrong_password",
        "wrong, then good": "wrong_password",
        "unknown": "unknown_address",
        "suspended": "suspended",
        "off": "protocol_off",
    }
    return CUT | {planned[entry.plan]} if entry.plan in planned else CUT


def _session_problem(entry: Entry, row: dict[str, Any]) -> str:
    if row["address"] != entry.address or not row["tls"]:
        return f"another one's {row}"
    if entry.stage != "done":
        ends = CUT_ENDS | ({"logged_out"} if entry.stage == "leaving" else set())
        return "" if row["reason"] in ends else f"was cut, and {row}"
    ends = {entry.ends} | (CUT_ENDS if entry.ends == "connection_closed" else set())
    if row["reason"] == "server_stopped" and row["bytes_in"] is None:
        # Killed between the answer to the client and its line in the log.
        return ""
    told = {name: row[name] for name in entry.counts}
    return "" if row["reason"] in ends and told == entry.counts else f"differs {row}"


# --- trouble


def kill_all(stand: Stand, pattern: str) -> Callable[[], None]:
    """Return what kills the processes of a stand whose command lines match, with signal 9."""

    def kill() -> None:
        for pid in stand.pids(pattern):
            _kill(pid)

    return kill


def kill_dovecot(stand: Stand) -> Callable[[], None]:
    """Return what kills Dovecot's master, with signal 9."""

    def kill() -> None:
        try:
            pid = ask(stand.data_dir.control_socket, "status").pid
        except SupervisorDown:
            return
        if pid is not None:
            _kill(pid)

    return kill


def kill_database(cluster: Cluster) -> Callable[[], None]:
    """Return what kills PostgreSQL, and starts it again after a second."""

    def kill() -> None:
        cluster.kill()
        time.sleep(1)
        cluster.revive()

    return kill


def turn_log(stand: Stand) -> Callable[[], None]:
    """Return what has the log go on in a new segment: it writes one full."""

    def fill() -> None:
        line = b"x" * 1023 + b"\n"
        with Path(stand.data_dir.event_log).open("ab", buffering=0) as log:
            log.write(line * (_SEGMENT // len(line)))

    return fill


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
