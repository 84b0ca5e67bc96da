"""Rows into the database, as fast as it takes them: COPY on PostgreSQL, one prepared statement on SQLite.

Only the recorder writes connections, so that nothing that others do is lost by going past the ORM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import connection

from panel.connections.models import Connection

_TABLE = Connection._meta.db_table


@dataclass(slots=True)
class Row:
    """A connection on its way into the database: fields as of `Connection`, in the order of its columns here."""

    node: str
    session: str
    attempt: int
    protocol: str
    outcome: str
    reason: str
    address: str
    mailbox_id: int | None
    domain_id: int | None
    customer_id: int | None
    credential: str
    device_id: int | None
    started_at: datetime
    ended_at: datetime | None
    pid: int | None
    remote_ip: str
    remote_net: str
    remote_port: int | None
    tls: str
    cipher: str
    mechanism: str
    client_name: str
    client_version: str
    bytes_in: int | None
    bytes_out: int | None
    retrieved: int | None
    deleted: int | None
    expunged: int | None


COLUMNS = tuple(field.name for field in fields(Row))
#: What a row says later than at its beginning.
CHANGEABLE = (
    "reason",
    "ended_at",
    "tls",
    "cipher",
    "client_name",
    "client_version",
    "bytes_in",
    "bytes_out",
    "retrieved",
    "deleted",
    "expunged",
)
#: PostgreSQL's types of these, for `unnest`.
_TYPES = {
    "ended_at": "timestamptz",
    **dict.fromkeys(("bytes_in", "bytes_out", "retrieved", "deleted", "expunged"), "bigint"),
}

_LAST_SEEN = (
    "UPDATE addresses_mailbox SET last_seen_at = %s "
    "WHERE id = %s AND (last_seen_at IS NULL OR last_seen_at < %s)"
)
#: The same of many mailboxes with one statement, which locks them in the order of their ids.
_LAST_SEEN_AT_ONCE = """
    WITH held AS (
        SELECT box.id, new.at FROM addresses_mailbox AS box
        JOIN unnest(%s::bigint[], %s::timestamptz[]) AS new(id, at) ON new.id = box.id
        WHERE box.last_seen_at IS NULL OR box.last_seen_at < new.at
        ORDER BY box.id FOR NO KEY UPDATE OF box
    )
    UPDATE addresses_mailbox AS box SET last_seen_at = held.at FROM held WHERE box.id = held.id
"""
#: When, from where and over what a device password was used last, where that is later than what is known.
_LAST_USED = (
    "UPDATE addresses_devicepassword SET last_used_at = %s, last_used_ip = %s, last_used_protocol = %s "
    "WHERE id = %s AND (last_used_at IS NULL OR last_used_at < %s)"
)
_LAST_USED_AT_ONCE = """
    WITH held AS (
        SELECT device.id, new.at, new.ip, new.protocol FROM addresses_devicepassword AS device
        JOIN unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[]) AS new(id, at, ip, protocol)
        ON new.id = device.id
        WHERE device.last_used_at IS NULL OR device.last_used_at < new.at
        ORDER BY device.id FOR NO KEY UPDATE OF device
    )
    UPDATE addresses_devicepassword AS device
    SET last_used_at = held.at, last_used_ip = held.ip, last_used_protocol = held.protocol
    FROM held WHERE device.id = held.id
"""


def insert(rows: Sequence[Row]) -> None:
    """Insert rows, in this transaction.

    Raises:
        DatabaseError: if the database does not take them; nothing of them is there then.
    """
    if not rows:
        return
    if connection.vendor == "postgresql":
        _copy(rows)
    else:
        names = ", ".join(COLUMNS)
        marks = ", ".join(["%s"] * len(COLUMNS))
        with connection.cursor() as cursor:
            # Names are ours.
            cursor.executemany(f"INSERT INTO {_TABLE} ({names}) VALUES ({marks})", _adapted(rows, COLUMNS))  # noqa: S608


def update(rows: Sequence[Row]) -> None:
    """Save what may have changed of rows that are there, in this transaction.

    Raises:
        DatabaseError: if the database does not take it.
    """
    if not rows:
        return
    if connection.vendor == "postgresql":
        _update_joined(rows)
    else:
        changes = ", ".join(f"{name} = %s" for name in CHANGEABLE)
        statement = f"UPDATE {_TABLE} SET {changes} WHERE node = %s AND session = %s AND attempt = %s"  # noqa: S608
        with connection.cursor() as cursor:
            cursor.executemany(statement, _adapted(rows, (*CHANGEABLE, "node", "session", "attempt")))


def note_last_seen(seen: Sequence[tuple[int, datetime]]) -> None:
    """Save when mailboxes were signed in to last, if that is later than what is known.

    Args:
        seen: mailbox ids, in their order, so that two who change several wait for each other the same way.

    Raises:
        DatabaseError: if the database does not take it.
    """
    if not seen:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_LAST_SEEN_AT_ONCE, [[pk for pk, _at in seen], [at for _pk, at in seen]])
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(_LAST_SEEN, [(adapt(at), pk, adapt(at)) for pk, at in seen])


def note_last_used(used: Sequence[tuple[int, datetime, str, str]]) -> None:
    """Save when device passwords were used last, if that is later than what is known.

    Args:
        used: their ids in order, when, from which IP address and over which protocol.

    Raises:
        DatabaseError: if the database does not take it.
    """
    if not used:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_LAST_USED_AT_ONCE, [list(column) for column in zip(*used, strict=True)])
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(
                _LAST_USED, [(adapt(at), ip, protocol, pk, adapt(at)) for pk, at, ip, protocol in used]
            )


def _copy(rows: Sequence[Row]) -> None:
    names = ", ".join(COLUMNS)
    # Django does not see what COPY raises, unless it is told to look.
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {_TABLE} ({names}) FROM STDIN") as copy,
    ):
        for values in map(attrgetter(*COLUMNS), rows):
            copy.write_row(values)


def _update_joined(rows: Sequence[Row]) -> None:
    names = ("node", "session", "attempt", *CHANGEABLE)
    types = {"attempt": "int", **_TYPES}
    arrays = ", ".join(f"%s::{types.get(name, 'text')}[]" for name in names)
    changes = ", ".join(f"{name} = new.{name}" for name in CHANGEABLE)
    statement = (
        f"UPDATE {_TABLE} AS old SET {changes} FROM unnest({arrays}) AS new({', '.join(names)}) "  # noqa: S608
        "WHERE old.node = new.node AND old.session = new.session AND old.attempt = new.attempt"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [[getattr(row, name) for row in rows] for name in names])


def _adapted(rows: Sequence[Row], names: Sequence[str]) -> list[list[Any]]:
    adapt = connection.ops.adapt_datetimefield_value
    times = [place for place, name in enumerate(names) if name in ("started_at", "ended_at")]
    found = []
    for values in map(list, map(attrgetter(*names), rows)):
        for place in times:
            if values[place] is not None:
                values[place] = adapt(values[place])
        found.append(values)
    return found
