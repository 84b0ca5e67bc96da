"""Connections as others read them: the JSON of the contract, and CSV."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from panel.addresses.models import DevicePassword
from panel.connections.models import Connection
from panel.core import csv_text

#: Connections whose devices' names are asked for together.
_TOGETHER = 500

#: What one connection tells others, in this order: keep it, programs read it.
COLUMNS = (
    "session", "address", "protocol", "outcome", "reason", "device", "remote_ip", "tls", "client", "started_at",
    "ended_at", "bytes_in", "bytes_out", "retrieved", "deleted", "expunged",
)  # fmt: skip


def as_json(connections: Iterable[Connection]) -> Iterator[dict[str, Any]]:
    """Yield connections as the contract says them.

    Times are ISO 8601 in UTC; what is not known, or not yet, is null; sizes are bytes. `device` is the label of a
    device password, or "main"; `client` is what the program called itself, with its version.
    """
    left = iter(connections)
    while some := list(islice(left, _TOGETHER)):
        labels = _labels(some)
        for connection in some:
            yield _as_json(connection, labels.get(connection.device_id, connection.credential))


def _labels(connections: list[Connection]) -> dict[int | None, str]:
    ids = {connection.device_id for connection in connections if connection.device_id is not None}
    return dict(DevicePassword.objects.filter(pk__in=ids).values_list("pk", "label")) if ids else {}


def _as_json(connection: Connection, device: str) -> dict[str, Any]:
    return {
        "session": connection.session,
        "address": connection.address,
        "protocol": connection.protocol,
        "outcome": connection.outcome,
        "reason": connection.reason or None,
        "device": device or None,
        "remote_ip": connection.remote_ip or None,
        "tls": connection.tls or None,
        "client": client_of(connection) or None,
        "started_at": _in_utc(connection.started_at),
        "ended_at": _in_utc(connection.ended_at),
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
        "retrieved": connection.retrieved,
        "deleted": connection.deleted,
        "expunged": connection.expunged,
    }


def client_of(connection: Connection) -> str:
    """Return what a mail program called itself, with its version; empty where it did not."""
    return f"{connection.client_name} {connection.client_version}".strip()


def csv_lines(connections: Iterable[Connection]) -> Iterator[str]:
    """Return the lines of a CSV file (RFC 4180), its head first."""
    return csv_text.csv_lines(COLUMNS, (tuple(row.values()) for row in as_json(connections)))


def json_lines(connections: Iterable[Connection]) -> Iterator[str]:
    """Yield one JSON document, an array, in pieces: each connection on its own line."""
    before = "[\n"
    for row in as_json(connections):
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _in_utc(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None
