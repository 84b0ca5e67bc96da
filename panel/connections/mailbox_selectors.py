"""Reads: the connections of one mailbox, which the caller has from `panel.addresses.selectors.mailboxes_for`.

Each is led by an index and bounded, however long the log of a mailbox is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from panel.addresses.models import Domain, Mailbox
from panel.connections.models import Connection, LogGap

PAGE = 50
#: Rows that one page looks through for what is asked for; its link to older ones goes on from there.
LOOKED_THROUGH = 2000
#: The same for sessions that removed something: few of very many do.
REMOVING_THROUGH = 20_000
#: Open sessions that are shown, and gaps.
OPEN_SHOWN, GAPS_SHOWN = 50, 20
#: The most sessions of a domain that are gone through to count who uses a protocol.
COUNTED_THROUGH = 50_000
#: What can be asked for: a name in the address of a page, and which connections it stands for.
SHOWN = {
    "refused": ("outcome", Connection.Outcome.REFUSED.value),
    "pop": ("protocol", Connection.Protocol.POP3.value),
    "imap": ("protocol", Connection.Protocol.IMAP.value),
}


@dataclass(frozen=True)
class Place:
    """Where a page of the log begins: before the connection that began then and has this id."""

    at: datetime
    pk: int


@dataclass(frozen=True)
class LogPage:
    """A page of a mailbox's log.

    Attributes:
        rows: the connections, newest first.
        older: where the next page begins, or None if this is the last.
    """

    rows: list[Connection]
    older: Place | None


@dataclass(frozen=True)
class ProtocolUsers:
    """How many mailboxes used a protocol.

    Attributes:
        count: they, or as many as were found.
        is_whole: whether all sessions of the time were gone through.
    """

    count: int
    is_whole: bool


def users_of_protocol(domain: Domain, protocol: str, *, since: datetime) -> ProtocolUsers:
    """Return how many of a domain's mailboxes were signed in to over a protocol since a time.

    The newest sessions are gone through, up to COUNTED_THROUGH: a log may be very long.
    """
    rows = Connection.objects.filter(domain_id=domain.pk, started_at__gte=since).order_by(
        "-started_at", "-pk"
    )
    seen = list(rows.values_list("mailbox_id", "protocol", "outcome")[: COUNTED_THROUGH + 1])
    wanted = (protocol, Connection.Outcome.ACCEPTED)
    users = {mailbox for mailbox, *how in seen[:COUNTED_THROUGH] if tuple(how) == wanted}
    return ProtocolUsers(len(users), is_whole=len(seen) <= COUNTED_THROUGH)


def connections_of(mailbox: Mailbox) -> QuerySet[Connection]:
    """Return the connections of a mailbox, newest first."""
    rows = Connection.objects.filter(mailbox_id=mailbox.pk).order_by("-started_at", "-pk")
    return rows.select_related("device")


def last_connection(mailbox: Mailbox) -> Connection | None:
    """Return the connection that began last, if there was any."""
    return connections_of(mailbox).first()


def open_now(mailbox: Mailbox) -> list[Connection]:
    """Return the sessions that go on as far as is known, the newest first."""
    rows = connections_of(mailbox).filter(ended_at=None).order_by("node", "-pk")
    return newest_first(rows[:OPEN_SHOWN])


def page_before(mailbox: Mailbox, before: Place | None, show: str = "") -> LogPage:
    """Return a page of a mailbox's log.

    Args:
        mailbox: whose.
        before: where it begins, or None for the newest.
        show: a name in SHOWN, or anything else for all.
    """
    rows = _before(connections_of(mailbox), before)
    if show not in SHOWN:
        found = list(rows[: PAGE + 1])
        return LogPage(found[:PAGE], _place(found[PAGE - 1]) if len(found) > PAGE else None)
    return _chosen(rows, *SHOWN[show])


def removing_before(mailbox: Mailbox, before: Place | None) -> LogPage:
    """Return a page of the sessions that removed messages from a mailbox, or hid them from POP.

    Args:
        mailbox: whose.
        before: where it begins, or None for the newest.
    """
    rows = _before(connections_of(mailbox), before)
    floor = rows.values_list("started_at", "pk")[REMOVING_THROUGH - 1 : REMOVING_THROUGH].first()
    if floor is not None:
        rows = rows.filter(started_at__gte=floor[0])
    over_pop = Q(protocol=Connection.Protocol.POP3, deleted__gt=0)
    found = list(rows.filter(over_pop | Q(expunged__gt=0))[: PAGE + 1])
    if len(found) > PAGE:
        return LogPage(found[:PAGE], _place(found[PAGE - 1]))
    return LogPage(found, Place(*floor) if floor is not None else None)


def gaps_between(since: datetime, until: datetime | None) -> list[LogGap]:
    """Return the gaps in the log that ended in a time, the newest first.

    Args:
        since: its begin.
        until: its end; None is now, with the gaps whose end is not known yet.
    """
    gaps = LogGap.objects.filter(ended_at__gte=since).order_by("-ended_at")
    if until is not None:
        return list(gaps.filter(ended_at__lt=until)[:GAPS_SHOWN])
    return [*LogGap.objects.filter(ended_at=None)[:GAPS_SHOWN], *gaps[:GAPS_SHOWN]]


def newest_first(rows: Iterable[Connection]) -> list[Connection]:
    """Return connections in the order in which they are shown."""
    return sorted(rows, key=lambda row: (row.started_at, row.pk), reverse=True)


def _before(rows: QuerySet[Connection], before: Place | None) -> QuerySet[Connection]:
    if before is None:
        return rows
    # The second bounds the index.
    return rows.filter(Q(started_at__lt=before.at) | Q(pk__lt=before.pk), started_at__lte=before.at)


def _chosen(rows: QuerySet[Connection], field: str, value: str) -> LogPage:
    """Look through a part of the rows for those with a value: they may be few among very many."""
    looked_at = list(rows.values_list("pk", "started_at", field)[: LOOKED_THROUGH + 1])
    fitting = [place for place, each in enumerate(looked_at[:LOOKED_THROUGH]) if each[2] == value][: PAGE + 1]
    found = Connection.objects.select_related("device").in_bulk(
        [looked_at[place][0] for place in fitting[:PAGE]]
    )
    shown = [found[looked_at[place][0]] for place in fitting[:PAGE] if looked_at[place][0] in found]
    if len(fitting) > PAGE:
        last = looked_at[fitting[PAGE - 1]]
    elif len(looked_at) > LOOKED_THROUGH:
        last = looked_at[LOOKED_THROUGH - 1]
    else:
        return LogPage(shown, None)
    return LogPage(shown, Place(last[1], last[0]))


def _place(row: Connection) -> Place:
    return Place(row.started_at, row.pk)
