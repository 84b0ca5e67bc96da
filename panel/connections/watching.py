"""What has happened to a mailbox since somebody looked last: for pages that keep themselves up to date.

A cursor is a text that a page hands back. It holds the newest row that was there, and the sessions that were open:
so that it is known of each of them when it ends, or says which program it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from panel.addresses.models import Mailbox
from panel.connections.mailbox_selectors import connections_of, newest_first, open_now
from panel.connections.models import Connection
from panel.connections.names import mistake_in

#: Rows of the mailbox, and of an IP address, that one look reads.
RECENT, RECENT_OF_IP = 50, 100
#: Open sessions that a cursor holds.
WATCHED = 150
#: How far back an attempt under a misspelt name is told.
MINUTES = timedelta(minutes=15)

_CURSOR = re.compile(r"([0-9]{1,18})((?:-[0-9]{1,18}n?){0,150})\Z")


@dataclass(frozen=True)
class Cursor:
    """How much somebody knows.

    Attributes:
        last: the id of the newest row of the log.
        open: the ids of the mailbox's sessions that were open, and whether their program was known.
    """

    last: int
    open: dict[int, bool]

    def __str__(self) -> str:
        sessions = (f"-{pk}{'n' if named else ''}" for pk, named in sorted(self.open.items()))
        return f"{self.last}{''.join(sessions)}"

    @classmethod
    def read(cls, text: str) -> Cursor | None:
        """Return the cursor that a page hands back, or None if it is none."""
        match = _CURSOR.match(text)
        if match is None:
            return None
        sessions = match[2].split("-")[1:]
        return cls(int(match[1]), {int(each.rstrip("n")): each.endswith("n") for each in sessions})

    def is_news(self, row: Connection) -> bool:
        """Say whether a row is new, or was open and has changed since."""
        if row.pk in self.open:
            return row.ended_at is not None or (bool(row.client_name) and not self.open[row.pk])
        return row.pk > self.last


@dataclass(frozen=True)
class News:
    """What happened since a cursor: connections, newest first, and the cursor to go on from."""

    connections: list[Connection]
    cursor: Cursor


def now_of(mailbox: Mailbox) -> Cursor:
    """Return the cursor of this moment: nothing that happened before is news after it."""
    newest = Connection.objects.order_by("-pk").values_list("pk", flat=True).first()
    return Cursor(newest or 0, _open(open_now(mailbox)))


def news_of(mailbox: Mailbox, cursor: Cursor) -> News:
    """Return what happened to a mailbox since a cursor."""
    return _news(cursor, _rows_of(mailbox, cursor), [])


def news_of_check(mailbox: Mailbox, cursor: Cursor, remote_ip: str, now: datetime) -> News:
    """Return what happened to a mailbox since a cursor, with attempts from one IP address that may have meant it.

    Those came to no user name, or tried one that is nearly the mailbox's address. Nothing is told of other names, nor
    of any that another mailbox has, from wherever they were tried.

    Args:
        mailbox: that the person who asks may see.
        cursor: what they know.
        remote_ip: from where they ask.
        now: this moment; attempts of more than some minutes before are not told.
    """
    return _news(cursor, _rows_of(mailbox, cursor), _strays_of(mailbox, plain_ip(remote_ip), now - MINUTES))


def plain_ip(text: str) -> str:
    """Return an IP address as the log has it; empty if it is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)


def _rows_of(mailbox: Mailbox, cursor: Cursor) -> list[Connection]:
    """Return a mailbox's newest rows, and those that were open, however long ago they began."""
    newest = list(connections_of(mailbox)[:RECENT])
    missing = cursor.open.keys() - {row.pk for row in newest}
    earlier = connections_of(mailbox).filter(pk__in=missing).order_by() if missing else ()
    return [*newest, *earlier]


def _strays_of(mailbox: Mailbox, remote_ip: str, since: datetime) -> list[Connection]:
    """Return the newest attempts of an IP address that belong to no mailbox, as far as this one was meant."""
    if not remote_ip:
        return []
    rows = Connection.objects.filter(remote_ip=remote_ip, started_at__gte=since)
    strays = [row for row in rows.order_by("-started_at", "-pk")[:RECENT_OF_IP] if _is_stray_of(mailbox, row)]
    names = {row.address for row in strays if "@" in row.address}
    if not names:
        return strays
    # A mailbox that was deleted still has its name: its owner may be trying it.
    others = Mailbox.objects.filter(address__in=names).exclude(pk=mailbox.pk)
    taken = set(others.values_list("address", flat=True))
    return [row for row in strays if row.address not in taken]


def _is_stray_of(mailbox: Mailbox, row: Connection) -> bool:
    if row.mailbox_id is not None or row.outcome != Connection.Outcome.REFUSED:
        return False
    return not row.address or mistake_in(row.address, mailbox) is not None


def _news(cursor: Cursor, rows: list[Connection], strays: list[Connection]) -> News:
    found = [row for row in (*rows, *strays) if cursor.is_news(row)]
    last = max([cursor.last, *(row.pk for row in found)])
    return News(newest_first(found), Cursor(last, _open(rows)))


def _open(rows: Iterable[Connection]) -> dict[int, bool]:
    sessions = {row.pk: bool(row.client_name) for row in rows if row.ended_at is None}
    return {pk: sessions[pk] for pk in sorted(sessions)[-WATCHED:]}
