"""The control socket: a conversation, and what must not disturb it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailbackend.dovecot.logs import Trouble
from mailbackend.supervisor.control import (
    ControlRefused,
    ControlServer,
    Status,
    SupervisorDown,
    ask,
    ask_report,
    read_request,
)
from mailbackend.supervisor.history import Entry
from mailbackend.supervisor.report import Certificate, LogUse, Report
from mailbackend.supervisor.watch import Seen

STATUS = Status(
    state="RUNNING",
    pid=42,
    since="2026-01-02T03:04:05+00:00",
    version="2.3.19.1",
    error=None,
    restarts=1,
    last_exit="exit code 0",
)

REPORT = Report(
    supervisor_pid=41,
    supervisor_since="2026-01-02T03:04:00+00:00",
    listeners=[("IMAPS_PORT", "127.0.0.1", 993)],
    certificate=Certificate(["mail.test"], "CN=Somebody", "2026-01-01T00:00:00", "2027-01-01T00:00:00", "ab"),
    history=[Entry("2026-01-02T03:04:05.000+00:00", "started", "2.3.19.1")],
    troubles=[Seen(Trouble("2026-01-02T03:05:00", "other", "imap", "Odd “thing”"), "2026-01-02T03:04:59", 2)],
    log=LogUse(segments=2, used_bytes=1000, free_bytes=10**9),
)


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    yield folder / "control.sock"
    shutil.rmtree(folder)


def converse(path: Path, client: Callable[[], object], uids: set[int] | None = None) -> list[str]:
    """Run `client` in a thread against a server, and return the commands that came through."""
    done: list[str] = []

    async def handle(command: str, wait: bool) -> tuple[str | None, Status]:
        done.append(command if wait else f"{command} without waiting")
        return ("No: it is night." if command == "stop" else None), STATUS

    async def serve() -> None:
        owners = {os.geteuid()} if uids is None else uids
        server = ControlServer(path, handle, lambda: STATUS, lambda: REPORT, owners)
        await server.listen(None)
        try:
            await asyncio.to_thread(client)
        finally:
            server.close()

    asyncio.run(serve())
    return done


def exchange(path: Path, sent: bytes) -> bytes:
    """Send bytes, end there, and return all that comes back."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        with connection.makefile("rb") as stream:
            try:
                return stream.read()
            except ConnectionResetError:
                return b""


def test_a_command_and_its_answer(path: Path) -> None:
    got: list[Status] = []
    assert converse(path, lambda: got.append(ask(path, "reload"))) == ["reload"]
    assert got == [STATUS]


def test_a_command_that_is_only_queued(path: Path) -> None:
    assert converse(path, lambda: ask(path, "restart", wait=False)) == ["restart without waiting"]


def test_the_line_itself(path: Path) -> None:
    got: list[bytes] = []
    converse(path, lambda: got.append(exchange(path, b'{"command": "status"}\n')))
    assert got[0].count(b"\n") == 1
    assert json.loads(got[0]) == {
        "ok": True,
        "state": "RUNNING",
        "pid": 42,
        "since": "2026-01-02T03:04:05+00:00",
        "version": "2.3.19.1",
        "error": None,
        "restarts": 1,
        "last_exit": "exit code 0",
    }


def test_a_report_arrives_as_it_was_sent(path: Path) -> None:
    got: list[object] = []
    assert converse(path, lambda: got.append(ask_report(path))) == []
    assert got == [(STATUS, REPORT)]


def test_a_refusal_says_why(path: Path) -> None:
    caught: list[ControlRefused] = []

    def client() -> None:
        with pytest.raises(ControlRefused, match="it is night") as raised:
            ask(path, "stop")
        caught.append(raised.value)

    converse(path, client)
    assert caught[0].status is not None
    assert caught[0].status.state == "RUNNING"


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"\0\xff\xfe\n",
        b"status\n",
        b"[]\n",
        b"{}\n",
        b'{"command": 1}\n',
        b'{"command": ["status"]}\n',
        b'{"command": "fly"}\n',
        b'{"command": "status", "more": 1}\n',
        b'{"command": "stop", "wait": 1}\n',
        b"[" * 900 + b"\n",
        b'{"command": "stat',
        b"",
        b"x" * 100_000,
        b'{"command": "' + b"s" * 2000 + b'"}\n',
    ],
)
def test_garbage_is_answered_and_forgotten(path: Path, sent: bytes) -> None:
    got: list[bytes] = []

    def client() -> None:
        got.append(exchange(path, sent))
        assert ask(path, "start") == STATUS

    assert converse(path, client) == ["start"]
    if got[0]:
        assert json.loads(got[0])["ok"] is False
        assert "request" in json.loads(got[0])["error"]


def test_who_says_nothing_keeps_nobody_waiting(path: Path) -> None:
    def client() -> None:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(path))
            assert ask(path, "start") == STATUS

    assert converse(path, client) == ["start"]


def test_many_connections_are_bounded(path: Path) -> None:
    def client() -> None:
        held = [socket.socket(socket.AF_UNIX) for _ in range(40)]
        for connection in held:
            connection.connect(str(path))
        held[-1].settimeout(30)
        assert held[-1].recv(10) == b""
        for connection in held:
            connection.close()

    assert converse(path, client) == []


def test_strangers_get_no_answer(path: Path) -> None:
    got: list[bytes] = []
    assert converse(path, lambda: got.append(exchange(path, b'{"command": "stop"}\n')), {4_000_000}) == []
    assert got == [b""]


def test_the_socket_is_closed_to_others_and_removed(path: Path) -> None:
    modes: list[int] = []
    path.write_text("left by one that was killed")
    converse(path, lambda: modes.append(stat.S_IMODE(path.stat().st_mode)))
    assert modes == [0o600]
    assert not path.exists()


def test_nobody_there(path: Path) -> None:
    with pytest.raises(SupervisorDown, match="does not answer") as caught:
        ask(path, "status")
    assert isinstance(caught.value.__cause__, OSError)


def test_an_unknown_command_is_not_sent(path: Path) -> None:
    with pytest.raises(ValueError, match="fly"):
        ask(path, "fly")


def test_deep_nesting_is_no_request() -> None:
    with pytest.raises(ValueError, match="one line"):
        read_request(b"[" * 100_000)
