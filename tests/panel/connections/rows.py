"""Rows of the log for tests of its pages: made by hand, as the recorder would write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from panel.addresses.models import Mailbox
from panel.connections.models import Connection
from panel.connections.networks import net_of, parse_ip

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_numbers = count(1)


def row(
    mailbox: Mailbox | None = None, *, ip: str = "192.0.2.7", minutes: float = 0, **values: Any
) -> Connection:
    """Save a session of a mailbox, or of nobody, that began some minutes after NOON and ended a minute later."""
    connection = make(mailbox, ip=ip, minutes=minutes, **values)
    connection.save()
    return connection


def refusal(mailbox: Mailbox | None = None, reason: str = "wrong_password", **values: Any) -> Connection:
    """Save a refused attempt."""
    return row(mailbox, outcome="refused", reason=reason, attempt=1, **values)


def make(
    mailbox: Mailbox | None = None, *, ip: str = "192.0.2.7", minutes: float = 0, **values: Any
) -> Connection:
    """Return the same without saving it."""
    started_at = NOON + timedelta(minutes=minutes)
    return Connection(
        **{
            "node": "mail1",
            "session": f"s{next(_numbers)}",
            "protocol": "imap",
            "outcome": "accepted",
            "reason": "logged_out",
            "address": mailbox.address if mailbox else "nobody@nowhere.test",
            "mailbox": mailbox,
            "domain": mailbox.domain if mailbox else None,
            "customer": mailbox.domain.customer if mailbox else None,
            "credential": "main",
            "started_at": started_at,
            "ended_at": started_at + timedelta(minutes=1),
            "remote_ip": ip,
            "remote_net": net_of(parse_ip(ip)),
            "remote_port": 40000,
            "tls": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "mechanism": "PLAIN",
            "bytes_in": 1000,
            "bytes_out": 5000,
            **values,
        }
    )
