"""Rows of a mailbox's connection log, as the recorder writes them, of this moment."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.utils import timezone

from panel.addresses.models import Mailbox
from panel.connections.models import Connection

IP = "192.0.2.7"


def a_session(mailbox: Mailbox, **given: Any) -> Connection:
    """Save a session of a mailbox that began a minute ago and has ended; `given` says what is otherwise."""
    now = timezone.now()
    values: dict[str, Any] = {
        "protocol": Connection.Protocol.IMAP,
        "outcome": Connection.Outcome.ACCEPTED,
        "reason": Connection.End.LOGGED_OUT,
        "credential": "main",
        "tls": "TLSv1.3",
        "started_at": now - timedelta(minutes=1),
        "ended_at": now,
        "retrieved": 0,
        "deleted": 0,
        "expunged": 0,
    }
    return _save(mailbox, {**values, **given})


def an_open_session(mailbox: Mailbox, **given: Any) -> Connection:
    """Save a session that goes on."""
    unknown = dict.fromkeys(("ended_at", "retrieved", "deleted", "expunged"))
    return a_session(mailbox, **{"reason": "", **unknown, **given})


def a_refusal(mailbox: Mailbox | None, reason: str = "wrong_password", **given: Any) -> Connection:
    """Save a refused attempt of this moment; without a mailbox, give the `address` that was tried."""
    now = timezone.now()
    values: dict[str, Any] = {
        "protocol": Connection.Protocol.IMAP,
        "outcome": Connection.Outcome.REFUSED,
        "reason": reason,
        "attempt": 1,
        "started_at": now,
        "ended_at": now,
    }
    return _save(mailbox, {**values, **given})


def _save(mailbox: Mailbox | None, values: dict[str, Any]) -> Connection:
    whose: dict[str, Any] = {"address": ""}
    if mailbox is not None:
        whose = {
            "mailbox": mailbox,
            "domain": mailbox.domain,
            "customer": mailbox.domain.customer,
            "address": mailbox.address,
        }
    return Connection.objects.create(
        **{"node": "one", "session": secrets.token_hex(8), "remote_ip": IP, **whose, **values}
    )
