"""Client of doveadm's HTTP API over its unix socket (Dovecot manual, "Doveadm HTTP API").

Only the commands in `ALLOWED_COMMANDS` are ever sent, and Dovecot is configured to refuse all others.
Everything is checked before it is sent: a query that doveadm cannot parse ends its process without an answer.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailbackend.addresses import AddressError, parse_address

#: What the panel calls, by the API's names.
ALLOWED_COMMANDS = frozenset({"who", "kick", "quotaGet", "mailboxStatus", "fetch", "expunge"})

#: Exit codes of sysexits.h as doveadm uses them (doveadm(1), "EXIT STATUS").
_EX_NOUSER = 67
_EX_NOHOST = 68

_PATH = "/doveadm/v1"
_KIBIBYTE = 1024
_PARAMETER = re.compile(r"[A-Za-z]{1,40}\Z")
_PLAIN_TEXT = re.compile(r"[^\x00-\x1f\x7f]{0,1000}\Z")
#: Commands of one batch: bounds the length of the request and the time until the answer.
_BATCH_MAX = 1000
#: Bytes of an answer. A row of `who` is about 120 bytes.
_ANSWER_MAX = 64 * 1024 * 1024


class DoveadmError(Exception):
    """Dovecot did not do what it was asked; the message says what and why."""


class UnknownMailbox(DoveadmError):
    """Dovecot knows no such mailbox."""


class MailServiceDown(DoveadmError):
    """Nobody answers: Dovecot is not running, or too busy."""


class NobodyListens(MailServiceDown):
    """Nobody listens on the socket: Dovecot's master process does not run."""


@dataclass(frozen=True)
class Command:
    """One command of a batch.

    Attributes:
        name: the API's name of it, one of `ALLOWED_COMMANDS`.
        parameters: names and values; a value is text, or a sequence of texts.
    """

    name: str
    parameters: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What became of one command of a batch.

    Attributes:
        rows: the rows of the answer; empty after an error.
        exit_code: 0, or doveadm's exit code.
        error: None, or the kind of the error, such as "exitCode" or "unAuthorized".
    """

    rows: tuple[Mapping[str, str], ...] = ()
    exit_code: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Session:
    """The connections of one mailbox by one protocol.

    Attributes:
        address: the mailbox.
        protocol: "imap" or "pop3".
        connections: how many there are.
        remote_ips: where they come from.
    """

    address: str
    protocol: str
    connections: int
    remote_ips: tuple[str, ...]


@dataclass(frozen=True)
class Quota:
    """How full a mailbox is.

    Attributes:
        used_bytes: bytes in use, which Dovecot gives in whole KiB.
        limit_bytes: the limit in bytes, rounded up to whole KiB by Dovecot, or None for no limit.
        messages: number of messages.
    """

    used_bytes: int
    limit_bytes: int | None
    messages: int


@dataclass(frozen=True)
class Doveadm:
    """The API of one running Dovecot.

    Attributes:
        socket: `DataDir.doveadm_socket`.
        api_key: the configuration's `doveadm_api_key`.
        timeout: seconds to wait for each step of the conversation.
    """

    socket: Path
    api_key: str = field(repr=False)
    timeout: float = 10

    def who(self) -> list[Session]:
        """Return who is connected at this moment.

        Raises:
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses.
        """
        return [_session(row) for row in self._one(Command("who")).rows]

    def kick(self, address: str) -> bool:
        """End all sessions of a mailbox. A login on its way survives: kick again a little later.

        Args:
            address: the whole address, in its stored form.

        Returns:
            Whether there was a session to end.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses.
        """
        command = Command("kick", {"mask": [_checked_address(address)]})
        answer = self.batch([command])[0]
        if answer.exit_code == _EX_NOHOST:
            return False
        _raise_for(answer, command)
        # 2.3 tells by its exit code that there was none; 2.4 counts.
        return all(row.get("count") != "0" for row in answer.rows)

    def quota(self, address: str) -> Quota:
        """Return how full a mailbox is.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses or its answer cannot be understood.
        """
        rows = self._one(Command("quotaGet", {"user": _checked_address(address)})).rows
        return read_quota(rows)

    def batch(self, commands: Sequence[Command]) -> list[Answer]:
        """Run several commands in one request, in order; one that fails does not keep the next from running.

        Args:
            commands: at most 1,000.

        Returns:
            An answer for each command, in the same order.

        Raises:
            ValueError: if a command is not allowed or not well formed; nothing was sent then.
            MailServiceDown: if nobody answers.
            DoveadmError: if the whole request is refused, or the answer cannot be understood.
        """
        if not commands:
            return []
        if len(commands) > _BATCH_MAX:
            raise ValueError(f"A batch holds at most {_BATCH_MAX} commands, not {len(commands)}.")
        body = [[command.name, _checked(command), f"t{number}"] for number, command in enumerate(commands)]
        return _answers(self._post(json.dumps(body).encode("ascii")), len(commands))

    def _one(self, command: Command) -> Answer:
        answer = self.batch([command])[0]
        _raise_for(answer, command)
        return answer

    def _post(self, body: bytes) -> bytes:
        key = base64.b64encode(self.api_key.encode()).decode("ascii")
        headers = {"Authorization": f"X-Dovecot-API {key}", "Content-Type": "application/json"}
        connection = _UnixConnection(self.socket, self.timeout)
        try:
            connection.request("POST", _PATH, body, headers)
            response = connection.getresponse()
            answer = response.read(_ANSWER_MAX + 1)
        except (OSError, http.client.HTTPException) as err:
            absent = isinstance(err, FileNotFoundError | ConnectionRefusedError)
            raise (NobodyListens if absent else MailServiceDown)(
                f"The mail service does not answer on {self.socket}: see whether it is running."
            ) from err
        finally:
            connection.close()
        if response.status in (401, 403):
            raise DoveadmError(
                "The mail service does not accept the API key: reload it, so that it reads the present one."
            )
        if response.status != 200:
            raise DoveadmError(
                f"The mail service refused a request: HTTP {response.status} {response.reason}."
            )
        if len(answer) > _ANSWER_MAX:
            raise DoveadmError("The mail service's answer is too long: ask for less at once.")
        return answer


def read_quota(rows: Sequence[Mapping[str, str]]) -> Quota:
    """Return what the rows of `quotaGet` say.

    Raises:
        DoveadmError: if the rows do not say it.
    """
    by_type = {row.get("type"): row for row in rows}
    try:
        storage, message = by_type["STORAGE"], by_type["MESSAGE"]
        limit = storage["limit"]
        return Quota(
            used_bytes=int(storage["value"]) * _KIBIBYTE,
            limit_bytes=None if limit == "-" else int(limit) * _KIBIBYTE,
            messages=int(message["value"]),
        )
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about a quota cannot be understood.") from err


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _checked(command: Command) -> dict[str, str | list[str]]:
    if command.name not in ALLOWED_COMMANDS:
        raise ValueError(f"{command.name!r} is not a command that may be sent.")
    return {_checked_name(name): _checked_value(value) for name, value in command.parameters.items()}


def _checked_name(name: str) -> str:
    if not _PARAMETER.match(name):
        raise ValueError(f"{name!r} is not the name of a parameter.")
    return name


def _checked_value(value: str | Sequence[str]) -> str | list[str]:
    if not isinstance(value, str):
        return [_checked_text(item) for item in value]
    return _checked_text(value)


def _checked_text(value: str) -> str:
    if not isinstance(value, str) or not _PLAIN_TEXT.match(value):
        raise ValueError(f"{value!r} is not one line of plain text.")
    return value


def _checked_address(address: str) -> str:
    """doveadm takes masks: `*` would be everybody. An address in its stored form has no such character."""
    try:
        stored = str(parse_address(address))
    except AddressError as err:
        raise ValueError(f"{address!r} is not an address: {err}") from err
    if stored != address:
        raise ValueError(f"{address!r} is not in its stored form, {stored!r}.")
    return address


def _answers(text: bytes, count: int) -> list[Answer]:
    try:
        by_tag = {tag: _answer(kind, value) for kind, value, tag in json.loads(text)}
        return [by_tag[f"t{number}"] for number in range(count)]
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise DoveadmError("The mail service's answer cannot be understood.") from err


def _answer(kind: str, value: Any) -> Answer:
    if kind == "doveadmResponse":
        return Answer(rows=tuple({str(name): str(text) for name, text in row.items()} for row in value))
    return Answer(exit_code=int(value.get("exitCode", 0)), error=str(value["type"]))


def _raise_for(answer: Answer, command: Command) -> None:
    if answer.error is None:
        return
    if answer.exit_code == _EX_NOUSER:
        raise UnknownMailbox(f"The mail service knows no mailbox {command.parameters.get('user', '')}.")
    raise DoveadmError(
        f"The mail service refused {command.name!r} ({answer.error}, code {answer.exit_code}): see its log."
    )


def _session(row: Mapping[str, str]) -> Session:
    try:
        return Session(
            address=row["username"],
            protocol=row["service"],
            connections=int(row["connections"]),
            remote_ips=tuple(row["ips"].strip("()").split()),
        )
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about sessions cannot be understood.") from err
