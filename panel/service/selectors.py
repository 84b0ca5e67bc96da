"""Reads: the mail service as its page shows it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.utils.dateparse import parse_datetime

from mailbackend.dovecot.doveadm import DoveadmError, Session
from mailbackend.supervisor.control import ControlRefused, Status, SupervisorDown, ask_report
from mailbackend.supervisor.report import Certificate, Report
from panel.core import mail

#: A certificate that ends sooner is worth a warning: one of ours is renewed long before.
EXPIRES_SOON = timedelta(days=14)

#: What each setting of a port listens for, as mail programs call it.
_LISTENERS = {
    "IMAP_PORT": ("IMAP", "STARTTLS"),
    "IMAPS_PORT": ("IMAP", "SSL/TLS"),
    "POP3_PORT": ("POP3", "STARTTLS"),
    "POP3S_PORT": ("POP3", "SSL/TLS"),
}
_PROTOCOLS = {"imap": "IMAP", "pop3": "POP3"}


@dataclass(frozen=True)
class Listener:
    """What is listened on: protocol, how it is encrypted, IP address and port."""

    protocol: str
    security: str
    address: str
    port: int


@dataclass(frozen=True)
class Connected:
    """How many connections a protocol has at this moment, and of how many mailboxes."""

    protocol: str
    connections: int
    mailboxes: int


@dataclass(frozen=True)
class Served:
    """The certificate that is served.

    Attributes:
        certificate: as the supervisor reads it.
        expires: its last moment.
        days_left: whole days until then; less than zero when it is over.
        ours: whether the private authority issued it, so that it is renewed by itself.
        state: "good", "soon" or "expired".
        fits: whether it is valid for MAIL_HOST.
    """

    certificate: Certificate
    expires: datetime
    days_left: int
    ours: bool
    state: str
    fits: bool


@dataclass(frozen=True)
class Service:
    """The mail service at one moment.

    Attributes:
        status: its state, or None if its supervisor does not answer.
        report: what its supervisor knows besides, or None.
        silence: why there is no answer.
        connected: who is connected, by protocol, or None where that is not known.
    """

    status: Status | None
    report: Report | None
    silence: str
    connected: list[Connected] | None

    @property
    def listeners(self) -> list[Listener]:
        """What is listened on."""
        found = self.report.listeners if self.report else []
        return [Listener(*_LISTENERS.get(name, (name, "")), address, port) for name, address, port in found]

    @property
    def connections(self) -> int | None:
        """The number of all connections, where it is known."""
        if self.connected is None:
            return None
        return sum(each.connections for each in self.connected)

    def fingerprint(self, now: datetime) -> str:
        """Return a text that changes when the page would: with what is known, and with each minute."""
        known = [vars(part) if part else None for part in (self.status, self.report)]
        text = json.dumps([known, self.connected, int(now.timestamp()) // 60], default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_service() -> Service:
    """Ask the supervisor and Dovecot how they are. A page waits at most some seconds for each."""
    service = read_supervisor()
    if service.status is None:
        return service
    return replace(service, connected=_connected() if service.status.state == "RUNNING" else [])


def read_supervisor() -> Service:
    """Ask the supervisor alone: who is connected stays unknown."""
    try:
        status, report = ask_report(settings.DATA_DIR.control_socket, timeout=mail.PAGE_TIMEOUT)
    except (SupervisorDown, ControlRefused) as err:
        return Service(status=None, report=None, silence=str(err), connected=None)
    return Service(status=status, report=report, silence="", connected=None)


def served_certificate(service: Service, now: datetime) -> Served | None:
    """Return the certificate that is served, and what is to be said of it at `now`."""
    certificate = service.report.certificate if service.report else None
    expires = parse_datetime(certificate.not_after) if certificate else None
    if certificate is None or expires is None:
        return None
    state = "expired" if expires <= now else "soon" if expires - now < EXPIRES_SOON else "good"
    return Served(
        certificate=certificate,
        expires=expires,
        days_left=(expires - now).days,
        ours=not settings.ENVIRONMENT.tls_certificate,
        state=state,
        fits=any(_fits(name, settings.ENVIRONMENT.mail_host) for name in certificate.names),
    )


def _fits(name: str, host: str) -> bool:
    """Whether a certificate's name is that of a host (RFC 6125 section 6.4.3: `*` is one whole label)."""
    if name.startswith("*."):
        return name[2:].lower() == host.partition(".")[2]
    return name.lower() == host


def _connected() -> list[Connected] | None:
    try:
        sessions = mail.doveadm(timeout=mail.PAGE_TIMEOUT).who()
    except DoveadmError:
        return None
    return [
        _count(label, [each for each in sessions if each.protocol == name])
        for name, label in _PROTOCOLS.items()
    ]


def _count(label: str, sessions: list[Session]) -> Connected:
    return Connected(
        protocol=label,
        connections=sum(session.connections for session in sessions),
        mailboxes=len({session.address for session in sessions}),
    )
