"""All that the supervisor knows of its Dovecot besides the status, as one object to and from JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mailbackend.dovecot.logs import Trouble
from mailbackend.supervisor.history import Entry
from mailbackend.supervisor.watch import Seen


@dataclass(frozen=True)
class Certificate:
    """The certificate that is served.

    Attributes:
        names: host names and IP addresses that it is valid for.
        issuer: who issued it (RFC 4514).
        not_before, not_after: its time of validity, ISO 8601 in UTC.
        sha256: its fingerprint, hexadecimal.
    """

    names: list[str]
    issuer: str
    not_before: str
    not_after: str
    sha256: str


@dataclass(frozen=True)
class LogUse:
    """What the log takes on its disk: number of segments, their bytes, and the bytes that are free there."""

    segments: int
    used_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Report:
    """What the service's page shows.

    Attributes:
        supervisor_pid: of the supervisor itself.
        supervisor_since: when it was started, ISO 8601 in UTC.
        listeners: setting, address and port of all that is listened on; empty while nothing runs.
        certificate: what is served, or None while nothing runs.
        history: what happened, newest first.
        troubles: what the log complains of, newest first.
        log: what the log takes.
    """

    supervisor_pid: int
    supervisor_since: str
    listeners: list[tuple[str, str, int]]
    certificate: Certificate | None
    history: list[Entry]
    troubles: list[Seen]
    log: LogUse

    def to_json(self) -> dict[str, Any]:
        """Return the report as an object of JSON."""
        return asdict(self)


def read_report(raw: dict[str, Any]) -> Report:
    """Return the report that an object of JSON holds.

    Raises:
        KeyError, TypeError, ValueError: if a field is missing or of another kind.
    """
    certificate = raw["certificate"]
    return Report(
        supervisor_pid=int(raw["supervisor_pid"]),
        supervisor_since=str(raw["supervisor_since"]),
        listeners=[(str(name), str(address), int(port)) for name, address, port in raw["listeners"]],
        certificate=Certificate(**certificate) if certificate else None,
        history=[Entry(**entry) for entry in raw["history"]],
        troubles=[
            Seen(Trouble(**seen["trouble"]), str(seen["first_at"]), int(seen["count"]))
            for seen in raw["troubles"]
        ],
        log=LogUse(**raw["log"]),
    )
