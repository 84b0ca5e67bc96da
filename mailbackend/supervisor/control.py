"""The control socket: one JSON line in, one JSON line out.

A request is `{"command": "status"}`, or report, start, stop, restart, reload. The last four are answered when
they are done, or with `"wait": false` as soon as they are queued. The answer has `ok`, `state`, `pid`, `since`
(ISO 8601 in UTC, or null), `version`, `error`, `restarts` and `last_exit`; that to report has `report` besides.
Whoever connects must be root, the supervisor's user or the service account.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mailbackend.supervisor.report import Report, read_report

log = logging.getLogger("mail")

COMMANDS = ("status", "report", "start", "stop", "restart", "reload")

#: Bytes of a request, its newline included.
_REQUEST_MAX = 1024
#: Bytes of an answer: Dovecot's own error messages are in it.
_ANSWER_MAX = 256 * 1024
#: Seconds in which a request must have arrived.
_REQUEST_TIMEOUT = 5.0
#: Connections at a time; one more is closed at once.
_CONNECTIONS_MAX = 32
#: struct ucred: pid, uid, gid (unix(7), SO_PEERCRED).
_UCRED = struct.Struct("3i")


class SupervisorDown(Exception):
    """Nobody answers on the control socket; the message says what to do."""


class ControlRefused(Exception):
    """The supervisor answered that it did not do it, and why.

    Attributes:
        status: the state of things, or None if the answer did not hold it.
    """

    def __init__(self, message: str, status: Status | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Status:
    """The state of the supervised Dovecot.

    Attributes:
        state: the value of a `State`.
        pid: of Dovecot's master process, while there is one.
        since: when it came to be ready, ISO 8601 in UTC, while it is.
        version: what `dovecot --version` printed.
        error: what is wrong now, in a sentence or several, or None.
        restarts: how many times it was started again without being asked.
        last_exit: how the last Dovecot ended, or None.
    """

    state: str
    pid: int | None
    since: str | None
    version: str | None
    error: str | None
    restarts: int
    last_exit: str | None


def ask(socket_path: Path, command: str, timeout: float = 20, *, wait: bool = True) -> Status:
    """Send a command to the supervisor and return its answer.

    Args:
        socket_path: `DataDir.control_socket`.
        command: one of COMMANDS.
        timeout: seconds for each step of the conversation.
        wait: whether to wait until the command is done; otherwise the status and the report tell what came of it.

    Raises:
        SupervisorDown: if nobody answers, or not in time.
        ControlRefused: if the supervisor did not do it.
        ValueError: if there is no such command.
    """
    return _ask(socket_path, command, timeout, wait=wait)[0]


def ask_report(socket_path: Path, timeout: float = 20) -> tuple[Status, Report]:
    """Ask the supervisor for all that it knows, and return it with the status at the same moment.

    Args:
        socket_path: `DataDir.control_socket`.
        timeout: seconds for each step of the conversation.

    Raises:
        SupervisorDown: if nobody answers, or not in time.
        ControlRefused: if the socket is closed to this user.
    """
    status, answer = _ask(socket_path, "report", timeout, wait=True)
    try:
        return status, read_report(answer["report"])
    except (ValueError, TypeError, KeyError) as err:
        raise _not_understood(socket_path) from err


def _ask(socket_path: Path, command: str, timeout: float, *, wait: bool) -> tuple[Status, dict[str, Any]]:
    request = json.dumps({"command": command, "wait": wait}).encode("ascii") + b"\n"
    if command not in COMMANDS:
        raise ValueError(f"{command!r} is not one of {', '.join(COMMANDS)}.")
    try:
        line = _exchange(socket_path, request, timeout)
    except PermissionError as err:
        raise ControlRefused(
            f"The mail supervisor's socket {socket_path} is closed to this user: become the service account."
        ) from err
    except OSError as err:
        raise SupervisorDown(
            f"The mail supervisor does not answer on {socket_path}: start it (make run, or its systemd unit)."
        ) from err
    try:
        answer = json.loads(line)
        status = read_status(answer)
        accepted = answer["ok"] is True
    except (ValueError, TypeError, KeyError) as err:
        raise _not_understood(socket_path) from err
    if not accepted:
        raise ControlRefused(status.error or f"The mail supervisor did not {command}.", status)
    return status, answer


def _not_understood(socket_path: Path) -> SupervisorDown:
    return SupervisorDown(f"The mail supervisor's answer on {socket_path} cannot be understood.")


def read_status(answer: dict[str, Any]) -> Status:
    """Return the status in an answer.

    Raises:
        KeyError, TypeError: if a field is missing, or `answer` is not an object.
    """
    return Status(**{item.name: answer[item.name] for item in fields(Status)})


def _exchange(path: Path, request: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            return stream.readline(_ANSWER_MAX)


#: Queues a command; when told to wait, until it is done. Returns what to say if it was not, and the status then.
Handler = Callable[[str, bool], Awaitable[tuple[str | None, Status]]]


class ControlServer:
    """Answers on the control socket. Nothing that comes in may disturb the supervisor."""

    def __init__(
        self,
        path: Path,
        handler: Handler,
        status: Callable[[], Status],
        report: Callable[[], Report],
        uids: Collection[int],
    ) -> None:
        """Prepare to answer; `listen` begins.

        Args:
            path: where the socket is made; whatever lies there is removed.
            handler: called with a command that changes something, and whether to wait for it.
            status: the status at this moment.
            report: all that is known at this moment.
            uids: who may ask.
        """
        self._path = path
        self._handler = handler
        self._status = status
        self._report = report
        self._uids = frozenset(uids)
        self._open = 0
        self._server: asyncio.Server | None = None

    async def listen(self, owner: tuple[int, int] | None) -> None:
        """Make the socket with mode 0600 and begin to answer.

        Args:
            owner: uid and gid to give it to, or None to keep it.

        Raises:
            OSError: if the socket cannot be made.
        """
        self._path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            sock.bind(str(self._path))
        finally:
            os.umask(old)
        if owner:
            os.chown(self._path, *owner, follow_symlinks=False)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=_REQUEST_MAX)

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        if self._server:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _CONNECTIONS_MAX and _peer_uid(writer) in self._uids:
                answer = await self._answer(reader)
                writer.write(json.dumps(answer).encode("ascii") + b"\n")
                await asyncio.wait_for(writer.drain(), _REQUEST_TIMEOUT)
        except OSError as err:
            # Who asked has gone away or was silent (TimeoutError is an OSError): nobody is there to be told.
            log.info("a control connection ended early: %s", type(err).__name__)
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(reader.readuntil(b"\n"), _REQUEST_TIMEOUT)
            command, wait = read_request(line)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return _message(f"A request is one line of at most {_REQUEST_MAX} bytes.", self._status())
        except ValueError as err:
            return _message(str(err), self._status())
        if command == "status":
            return _message(None, self._status())
        if command == "report":
            return {**_message(None, self._status()), "report": self._report().to_json()}
        refusal, status = await self._handler(command, wait)
        return _message(refusal, status)


def read_request(line: bytes) -> tuple[str, bool]:
    """Return the command in a request, and whether to wait until it is done.

    Raises:
        ValueError: if it is not a request, with a sentence that says what one looks like.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as err:
        raise ValueError('A request is one line such as {"command": "status"}.') from err
    if not isinstance(request, dict) or not set(request) <= {"command", "wait"}:
        raise ValueError("A request has the key command, and may have wait.")
    command, wait = request.get("command"), request.get("wait", True)
    if not isinstance(command, str) or command not in COMMANDS or not isinstance(wait, bool):
        raise ValueError(f"A request's command is one of {', '.join(COMMANDS)}; its wait is true or false.")
    return command, wait


def _message(refusal: str | None, status: Status) -> dict[str, Any]:
    fields_ = asdict(status)
    if refusal is None:
        return {"ok": True, **fields_}
    return {"ok": False, **fields_, "error": refusal}


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(raw)[1])
