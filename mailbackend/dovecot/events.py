"""Lines of Dovecot's log → what happened: sessions, refusals, names of mail programs. Pure: text in, values out.

What is read is written by the settings `login_log_format_elements`, `mail_log_prefix`, `imap_logout_format`,
`pop3_logout_format` and the exporter `log` of the configuration. A client's words are quoted, or come last: every
pattern is anchored before them, so that no name can forge a field. 2.3 and 2.4 differ in words only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

#: Where a line's own time ends: `2026-01-31T12:00:00.000000+0000 `.
_TIME_LENGTH = 32

#: Dovecot's id of a connection.
_ID = r"[\x21-\x2b\x2d-\x7e]{1,60}"
#: A count of bytes or messages: not longer than what databases hold.
_COUNT = r"\d{1,18}"
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LOGIN = re.compile(
    rf"(?P<protocol>imap|pop3)-login: Info: sess=(?P<session>{_ID}), "
    rf"(?:user={_QUOTED}, )?(?:orig={_QUOTED}, )?(?:method={_QUOTED}, )?"
    r"(?:rip=(?P<remote_ip>[0-9A-Fa-f.:]*), )?(?:rport=(?P<remote_port>\d{0,5}), )?(?:lport=\d*, )?"
    rf"(?:mpid=(?P<pid>\d{{0,10}}), )?(?:sec={_QUOTED}, )?(?:tls={_QUOTED}, )?"
    rf"(?:cred={_QUOTED}, )?(?:refused={_QUOTED}, )?(?:sni={_QUOTED}, )?(?:, )?msg=(?P<message>.*)",
    re.DOTALL,
)
#: The groups of `_LOGIN` that are quoted, in their order.
_USER, _ORIGINAL, _METHOD, _SECURED, _TLS, _CREDENTIAL, _REFUSED = 3, 4, 5, 9, 10, 11, 12

_SESSION = re.compile(
    rf"(?P<protocol>imap|pop3): sess=(?P<session>{_ID}) user=\"(?P<user>[^\"\\]*)\" pid=\d+: "
    r"(?P<level>Info|Fatal): (?P<message>.*)",
    re.DOTALL,
)
_IMAP_END = re.compile(
    rf" in=(?P<bytes_in>{_COUNT}) out=(?P<bytes_out>{_COUNT}) deleted=(?P<deleted>{_COUNT})"
    rf" expunged=(?P<expunged>{_COUNT}) trashed=\d+ appended=\d+ autoexpunged=\d+ hdr=\d+/\d+"
    rf" body=(?P<retrieved>{_COUNT})/\d+ rip=\S*\Z"
)
_POP_END = re.compile(
    rf" in=(?P<bytes_in>{_COUNT}) out=(?P<bytes_out>{_COUNT}) top=(?P<topped>{_COUNT})/(?P<top_bytes>\d+)"
    rf" retr=(?P<retrieved>{_COUNT})/\d+ del=(?P<deleted>{_COUNT})/(?P<deleted_bytes>\d+) msgs=\d+"
    r" size=(?P<size>\d+) rip=\S*\Z"
)
_TLS_WORDS = re.compile(r"(\S{1,20}) with cipher (\S{1,60})")
_DEVICE = re.compile(r"device:(\d{1,18})")
_ATTEMPTS = re.compile(r"\(auth failed, (\d{1,4}) attempts")
_CHILD = re.compile(r"service\((?:imap|pop3)\): child (\d{1,10}) ")
_ENDED_BY_SIGNAL = re.compile(r"(?:master|anvil|config|stats|auth): Warning: Killed with signal ")

#: What an event of the exporter calls a refusal, by `result` of auth_passdb_request_finished.
_RESULTS = {
    "password_mismatch": "wrong_password",
    "user_unknown": "unknown_address",
    "internal_failure": "temporary_failure",
    "user_disabled": "suspended",
}
#: Why a session ended, by the beginning of Dovecot's words; what is not here is a closed connection.
_ENDS = (
    ("Logged out", "logged_out"),
    ("Inactivity", "idle"),
    ("Disconnected for inactivity", "idle"),
    ("User kicked", "kicked"),
    ("Server shutting down.", "shut_down"),  # 2.3, of a kick too
    ("Server shutting down", "server_stopped"),
)


@dataclass(frozen=True, slots=True)
class Begun:
    """Somebody has signed in: a session begins.

    Attributes:
        at: when, ISO 8601 with the zone's offset.
        session: Dovecot's id of the connection.
        protocol: imap or pop3.
        address: the mailbox.
        credential: which of its passwords: "main" or "device".
        device: the id of a device password, where it was one.
        remote_ip, remote_port: where from.
        tls, cipher: version and cipher, or empty.
        mechanism: of SASL.
        pid: of the process that serves it.
    """

    at: str
    session: str
    protocol: str
    address: str
    credential: str
    device: int | None
    remote_ip: str
    remote_port: int | None
    tls: str
    cipher: str
    mechanism: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """One password was refused; its connection goes on. Attributes as of `Begun`.

    Attributes:
        address: the name that was tried.
        reason: as of a connection.
    """

    at: str
    session: str
    protocol: str
    address: str
    reason: str
    remote_ip: str
    remote_port: int | None
    mechanism: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """A connection ended before anybody signed in. Attributes as of `Begun`.

    Attributes:
        address: the name that was tried last, or empty.
        attempts: how many passwords were refused, where it is said.
        reason: of the last refusal where `attempts` does not tell it all, else empty; shut_down: by the service.
    """

    at: str
    session: str
    protocol: str
    address: str
    credential: str
    device: int | None
    remote_ip: str
    remote_port: int | None
    tls: str
    cipher: str
    mechanism: str
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class InTheClear:
    """A password was refused in this session because the connection is not encrypted."""

    session: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A session ended.

    Attributes:
        reason: logged_out, connection_closed, idle, kicked, server_stopped, or shut_down: one of these two.
        bytes_in, bytes_out: from and to the client, in bytes.
        retrieved, deleted, expunged: messages; POP does not say what it expunged.
    """

    at: str
    session: str
    protocol: str
    address: str
    reason: str
    bytes_in: int
    bytes_out: int
    retrieved: int
    deleted: int
    expunged: int | None


@dataclass(frozen=True, slots=True)
class Identified:
    """A mail program said what it is (RFC 2971). Without a session's id it is known by address and port."""

    session: str
    remote_ip: str
    remote_port: int | None
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """A process that served a session crashed or was killed: its session ended without a word."""

    at: str
    pid: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """The mail service is being stopped: sessions end with it."""

    at: str


@dataclass(frozen=True, slots=True)
class Started:
    """Dovecot starts: no session from before is left."""

    at: str


@dataclass(frozen=True, slots=True)
class LogKilled:
    """Dovecot's log process was killed: lines are missing."""

    at: str


Event = (
    Begun
    | Refused
    | Aborted
    | InTheClear
    | Ended
    | Identified
    | ProcessEnded
    | Stopping
    | Started
    | LogKilled
)


def line_time(line: str) -> str | None:
    """Return when a line was written, ISO 8601, or None if it does not begin as Dovecot's lines do."""
    time = line[: _TIME_LENGTH - 1]
    return time if len(line) > _TIME_LENGTH and line[10] == "T" and time[26:27] in "+-" else None


def read_event(line: str) -> Event | None:
    """Return what a line of the log says has happened, or None if that is nothing of these.

    Args:
        line: without its newline.
    """
    at = line_time(line)
    if at is None:
        return None
    rest = line[_TIME_LENGTH:]
    service = rest.partition(":")[0]
    reader = _READERS.get(service)
    return reader(at, rest) if reader else None


def _read_login(at: str, rest: str) -> Event | None:
    match = _LOGIN.fullmatch(rest)
    if match is None:
        return None
    message = match["message"]
    if message in ("Login", "Logged in"):
        return _begun(at, match)
    if message.startswith("ID sent: "):
        return _identified(match["session"], message)
    if message.endswith("text authentication disabled"):
        return InTheClear(match["session"])
    if message.startswith(("Disconnected", "Login aborted", "Maximum number", "Aborted login")):
        return _aborted(at, match)
    return None


def _begun(at: str, match: re.Match[str]) -> Begun:
    return Begun(at=at, **_connection(match), address=_plain(match[_USER]), pid=_number(match["pid"]))


def _aborted(at: str, match: re.Match[str]) -> Aborted:
    attempts = _ATTEMPTS.search(match["message"])
    return Aborted(
        at=at,
        **_connection(match),
        address=_plain(match[_ORIGINAL] or match[_USER]),
        attempts=int(attempts[1]) if attempts else 0,
        reason=_reason_of_abort(match, failed=attempts is not None),
    )


def _connection(match: re.Match[str]) -> dict[str, Any]:
    """What a login process says of a connection, whatever becomes of it."""
    tls, cipher = _tls(match)
    credential, device = _credential(match)
    return {
        "session": match["session"],
        "protocol": match["protocol"],
        "credential": credential,
        "device": device,
        "remote_ip": match["remote_ip"] or "",
        "remote_port": _number(match["remote_port"]),
        "tls": tls,
        "cipher": cipher,
        "mechanism": _plain(match[_METHOD]),
    }


def _credential(match: re.Match[str]) -> tuple[str, int | None]:
    """Which password it was, and the id of its row if it is a device's (`cred` of the password query)."""
    name = _plain(match[_CREDENTIAL])
    device = _DEVICE.fullmatch(name)
    return ("device", int(device[1])) if device else (name, None)


def _reason_of_abort(match: re.Match[str], *, failed: bool) -> str:
    message = match["message"]
    if "Maximum number of connections" in message:
        return "too_many_connections"
    if match[_REFUSED]:
        return _plain(match[_REFUSED])
    if "temporary failure" in message or "internal failure" in message:
        return "temporary_failure"
    if failed:
        return ""
    if (match[_SECURED] or "").startswith("TLS handshaking") and "SSL_" in match[_SECURED]:
        return "tls_failed"
    return "shut_down" if "hutting down" in message else "gave_up"


def _tls(match: re.Match[str]) -> tuple[str, str]:
    words = _TLS_WORDS.match(match[_TLS] or "")
    return (words[1], words[2]) if words else ("", "")


def _read_session(at: str, rest: str) -> Event | None:
    match = _SESSION.fullmatch(rest)
    if match is None:
        return None
    message = match["message"]
    if match["level"] == "Fatal":
        # What the master says of a process, the log process puts behind that process's own words.
        child = _CHILD.search(message) if message.startswith("master: ") else None
        return ProcessEnded(at, int(child[1])) if child else None
    if message.startswith("Disconnected: "):
        return _ended(at, match, message.removeprefix("Disconnected: "))
    if message.startswith("ID sent: "):
        return _identified(match["session"], message)
    return None


def _ended(at: str, match: re.Match[str], message: str) -> Ended | None:
    counts = (_IMAP_END if match["protocol"] == "imap" else _POP_END).search(message)
    if counts is None:
        return None
    numbers = {name: int(value) for name, value in counts.groupdict().items()}
    return Ended(
        at=at,
        session=match["session"],
        protocol=match["protocol"],
        address=match["user"],
        reason=next((reason for words, reason in _ENDS if message.startswith(words)), "connection_closed"),
        bytes_in=numbers["bytes_in"],
        bytes_out=numbers["bytes_out"],
        retrieved=numbers["retrieved"] or _retrieved_by_top(numbers),
        deleted=numbers["deleted"],
        expunged=numbers.get("expunged"),
    )


def _retrieved_by_top(numbers: dict[str, int]) -> int:
    """Return how many messages a POP session downloaded by TOP (RFC 1939), as fetchmail does, which marks none read.

    Most programs look at heads with it alone. As much as all messages, or as all that it deleted, is whole messages.
    """
    whole = min((numbers.get(name, 0) for name in ("size", "deleted_bytes") if numbers.get(name)), default=0)
    return numbers["topped"] if 0 < whole <= numbers["top_bytes"] else 0


def _identified(session: str, message: str) -> Identified:
    """2.3 writes the pairs one after the other, unquoted: of a name that holds another pair, that is its end."""
    said = message.removeprefix("ID sent: ")
    fields: dict[str, str] = {}
    for pair in said.split(", "):
        name, sign, value = pair.partition("=")
        if sign and name in ("name", "version") and value != "NIL":
            fields.setdefault(name, value)
    return Identified(session, "", None, fields.get("name", ""), fields.get("version", ""))


def _read_exported(at: str, rest: str) -> Event | None:
    """What the exporter wrote (event_exporter, format json): the client's words are escaped as JSON's are."""
    try:
        exported = json.loads(rest.removeprefix("stats: Info: "))
        name, fields = exported["event"], exported["fields"]
    except (ValueError, KeyError, TypeError):
        return _read_process(at, rest)
    if not isinstance(fields, dict):
        return None
    if name == "auth_passdb_request_finished":
        return _refused(at, fields)
    if name == "imap_id_received":
        return Identified(
            session=_text(fields, "session"),
            remote_ip=_text(fields, "remote_ip"),
            remote_port=_port(fields),
            name=_not_nil(_text(fields, "id_param_name")),
            version=_not_nil(_text(fields, "id_param_version")),
        )
    return None


def _refused(at: str, fields: dict[str, Any]) -> Refused | None:
    protocol = _text(fields, "protocol") or _text(fields, "service")
    if protocol not in ("imap", "pop3") or not _text(fields, "session"):
        return None
    return Refused(
        at=at,
        session=_text(fields, "session")[:60],
        protocol=protocol,
        address=_text(fields, "original_user") or _text(fields, "user"),
        reason=_RESULTS.get(_text(fields, "result"), "temporary_failure"),
        remote_ip=_text(fields, "remote_ip"),
        remote_port=_port(fields),
        mechanism=_text(fields, "mechanism"),
    )


def _read_process(at: str, rest: str) -> Event | None:
    if _ENDED_BY_SIGNAL.match(rest):
        return Stopping(at)
    if not rest.startswith("master: "):
        return None
    if rest.startswith("master: Info: Dovecot v"):
        return Started(at)
    if " service(log): child " in rest or rest.startswith("master: Error: service(log): "):
        return LogKilled(at)
    child = _CHILD.search(rest)
    return ProcessEnded(at, int(child[1])) if child else None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def _port(fields: dict[str, Any]) -> int | None:
    value = fields.get("remote_port")
    return value if isinstance(value, int) else None


def _not_nil(text: str) -> str:
    return "" if text == "NIL" else text


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _plain(quoted: str | None) -> str:
    """What stood in quotes. Only 2.3 escapes in it (`%E`)."""
    if not quoted:
        return ""
    return re.sub(r"\\(.)", r"\1", quoted) if "\\" in quoted else quoted


#: Who writes lines that say something, and who reads them.
_READERS = {
    "imap-login": _read_login,
    "pop3-login": _read_login,
    "imap": _read_session,
    "pop3": _read_session,
    "stats": _read_exported,
    "master": _read_process,
    "anvil": _read_process,
    "config": _read_process,
    "auth": _read_process,
}
