"""Where a mailbox's mail went: which session, or which job, removed how much of it, and what can come back.

Sessions are told by the log, in pages. What they removed and can still be brought back is counted in the rows of
removed messages; those end when a message is recovered, erased, or its time is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, Max, Min, Q
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.translation import ngettext

from panel.accounts.models import User
from panel.addresses.inherited import PopPolicy, what_counts
from panel.addresses.models import Mailbox
from panel.connections.mailbox_pages import Entry
from panel.connections.mailbox_selectors import LogPage, Place, connections_of, open_now, removing_before
from panel.connections.models import Connection
from panel.connections.removals import removed_for
from panel.connections.words import advice, in_words, where_in_words
from panel.core.models import AuditEntry

#: What the audit trail says that jobs removed: the value that has how many, and its words. Parts above add theirs.
_removals: dict[str, tuple[str, Callable[[int], str]]] = {}
#: An entry of the audit trail and the removal that it is about are at most so far apart.
BESIDE = timedelta(minutes=5)
#: Sessions that one link can name.
NAMED = 50
#: What names the panel's own jobs in an address, where a session's number could stand.
JOBS = "jobs"

_POP = Connection.Protocol.POP3


def describe_removals(removals: Mapping[str, tuple[str, Callable[[int], str]]]) -> None:
    """Say which actions of the audit trail are jobs that remove messages: the name of their number, and its words."""
    _removals.update(removals)


@dataclass(frozen=True)
class GoneEntry(Entry):
    """A line: what one session did, or alike ones of a day together, or the panel's jobs.

    Attributes:
        recoverable: how many of these messages can be brought back.
        sessions: what names them in the address of the page of removed mail.
        session: the number of the one session that it is about, or None.
    """

    recoverable: int = 0
    sessions: tuple[str, ...] = ()
    session: int | None = None


@dataclass(frozen=True)
class GonePage:
    """A page of it.

    Attributes:
        entries: newest first.
        older: where the next page begins, or None.
    """

    entries: list[GoneEntry]
    older: Place | None


@dataclass(frozen=True)
class _Left:
    """What somebody removed on a day, and can be brought back."""

    node: str
    session: str
    protocol: str
    day: date
    count: int
    first_at: datetime
    last_at: datetime


def gone_page(person: User, mailbox: Mailbox, before: Place | None) -> GonePage:
    """Return a page of what removed messages from a mailbox that the person may see.

    Args:
        person: who asks.
        mailbox: whose mail.
        before: where the page begins, or None for the newest.
    """
    page = removing_before(mailbox, before)
    left = _left(person, mailbox)
    rows = list(page.rows)
    if before is None:
        busy = {(each.node, each.session) for each in left}
        rows += [row for row in open_now(mailbox) if (row.node, row.session) in busy]
    entries = [*_of_sessions(rows, mailbox, left), *_of_others(left, page, before, mailbox)]
    return GonePage(sorted(entries, key=lambda entry: entry.at, reverse=True), page.older)


def gone_in(person: User, mailbox: Mailbox, numbers: Sequence[int]) -> GonePage:
    """Return what certain sessions of a mailbox that the person may see removed from it."""
    rows = list(connections_of(mailbox).filter(pk__in=numbers, attempt=0)[:NAMED])
    return GonePage(list(_of_sessions(rows, mailbox, _left(person, mailbox))), None)


def sessions_named(mailbox: Mailbox, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return node and session of those that an address names; an empty session stands for the panel's jobs.

    A session of another mailbox is none.
    """
    given = list(names)[:NAMED]
    rows = connections_of(mailbox).filter(pk__in=numbers_in(given)).order_by("pk")
    found = list(rows.values_list("node", "session"))
    return [*found, ("", "")] if JOBS in given else found


def numbers_in(names: Iterable[str]) -> list[int]:
    """Return the numbers of sessions that an address names."""
    return [int(text) for text in names if text.isascii() and text.isdigit() and len(text) < 19]


def _left(person: User, mailbox: Mailbox) -> list[_Left]:
    rows = removed_for(person, mailbox).order_by().annotate(day=TruncDate("removed_at"))
    grouped = rows.values("node", "session", "protocol", "day").annotate(
        count=Count("pk"), first_at=Min("removed_at"), last_at=Max("removed_at")
    )
    return [_Left(**values) for values in grouped]


def _of_sessions(rows: Sequence[Connection], mailbox: Mailbox, left: Sequence[_Left]) -> Iterator[GoneEntry]:
    """Yield sessions as lines; those of one day that differ in nothing but their numbers are one."""
    pop = what_counts(mailbox).pop
    count: defaultdict[tuple[str, str], int] = defaultdict(int)
    last: dict[tuple[str, str], datetime] = {}
    for each in left:
        key = (each.node, each.session)
        count[key] += each.count
        last[key] = max(each.last_at, last.get(key, each.last_at))
    alike: dict[tuple[object, ...], list[Connection]] = {}
    for row in rows:
        alike.setdefault(_likeness(row), []).append(row)
    for some in alike.values():
        at = [last.get((row.node, row.session)) or row.ended_at or row.started_at for row in some]
        recoverable = sum(count[row.node, row.session] for row in some)
        yield _line(some[:NAMED], at, recoverable, mailbox, pop)


def _likeness(row: Connection) -> tuple[object, ...]:
    if row.is_open:
        return (row.pk,)
    said = (row.protocol, row.device_id, row.remote_ip, row.client_name, row.client_version)
    hidden = row.protocol == _POP and row.expunged == 0
    return (timezone.localdate(row.ended_at or row.started_at), *said, hidden, row.expunged is None)


def _line(
    rows: Sequence[Connection], at: Sequence[datetime], recoverable: int, mailbox: Mailbox, pop: PopPolicy
) -> GoneEntry:
    together = rows[0] if len(rows) == 1 else _together(rows)
    is_pop = together.protocol == _POP
    if together.is_open:
        words = _so_far(together, recoverable)
    else:
        words = in_words(together, pop=pop) if is_pop else _imap(together)
    is_one = len(rows) == 1
    return GoneEntry(
        at=max(at),
        first_at=None if is_one else min(at),
        words=words,
        advice=advice(together, mailbox=mailbox, pop=pop) if is_pop else "",
        level="success" if is_pop and together.expunged == 0 else "info",
        is_open=together.is_open,
        key=str(rows[0].pk),
        count=len(rows),
        recoverable=recoverable,
        sessions=tuple(str(row.pk) for row in rows),
        session=rows[0].pk if is_one else None,
    )


def _together(rows: Sequence[Connection]) -> Connection:
    """Return alike sessions as one that did what all did. It is not saved."""
    first = rows[0]
    return Connection(
        protocol=first.protocol,
        outcome=first.outcome,
        reason=Connection.End.LOGGED_OUT,
        device=first.device if first.device_id is not None else None,
        remote_ip=first.remote_ip,
        client_name=first.client_name,
        client_version=first.client_version,
        started_at=min(row.started_at for row in rows),
        ended_at=max(row.ended_at or row.started_at for row in rows),
        retrieved=sum(row.retrieved or 0 for row in rows),
        deleted=sum(row.deleted or 0 for row in rows),
        expunged=None if first.expunged is None else sum(row.expunged or 0 for row in rows),
    )


def _imap(row: Connection) -> str:
    count = row.expunged or 0
    # Moving is copying and removing: the log does not tell them apart.
    return ngettext(
        "%(protocol)s from %(where)s deleted %(count)s message, or moved it to another folder.",
        "%(protocol)s from %(where)s deleted %(count)s messages, or moved them to another folder.",
        count,
    ) % {"protocol": row.get_protocol_display(), "where": where_in_words(row), "count": count}


def _so_far(row: Connection, count: int) -> str:
    return ngettext(
        "%(protocol)s from %(where)s is signed in now, and has deleted %(count)s message so far.",
        "%(protocol)s from %(where)s is signed in now, and has deleted %(count)s messages so far.",
        count,
    ) % {"protocol": row.get_protocol_display(), "where": where_in_words(row), "count": count}


def _of_others(
    left: Sequence[_Left], page: LogPage, before: Place | None, mailbox: Mailbox
) -> Iterator[GoneEntry]:
    """Yield what jobs removed, and sessions that the log does not know, within the time of a page."""
    of_time = [
        each
        for each in left
        if (page.older is None or each.last_at >= page.older.at)
        and (before is None or each.last_at < before.at)
    ]
    known = _known(of_time)
    why = _why([each for each in of_time if not each.session], mailbox)
    for each in of_time:
        if each.session and (each.node, each.session) in known:
            continue
        yield GoneEntry(
            at=each.last_at,
            first_at=each.first_at if each.first_at != each.last_at else None,
            words=_other(each),
            advice="" if each.session else " ".join(why[each.day]),
            key=f"{each.node}-{each.session}-{each.day}",
            recoverable=each.count,
            sessions=() if each.session else (JOBS,),
        )


def _why(left: Sequence[_Left], mailbox: Mailbox) -> dict[date, list[str]]:
    """Return what jobs say that they removed, by day."""
    found: defaultdict[date, list[str]] = defaultdict(list)
    if not left:
        return found
    entries = AuditEntry.objects.filter(
        action__in=list(_removals),
        target_kind="mailbox",
        target_id=mailbox.pk,
        at__gte=min(each.first_at for each in left) - BESIDE,
        at__lte=max(each.last_at for each in left) + BESIDE,
    )
    counts: defaultdict[tuple[date, str], int] = defaultdict(int)
    for action, at, after in entries.values_list("action", "at", "after"):
        counts[timezone.localdate(at), action] += int(after.get(_removals[action][0], 0))
    for (day, action), count in counts.items():
        found[day].append(_removals[action][1](count))
    return found


def _known(left: Sequence[_Left]) -> set[tuple[str, str]]:
    wanted = sorted({(each.node, each.session) for each in left if each.session})
    found: set[tuple[str, str]] = set()
    for start in range(0, len(wanted), 500):
        which = Q(pk=None)
        for node, session in wanted[start : start + 500]:
            which |= Q(node=node, session=session)
        found.update(Connection.objects.filter(which).order_by().values_list("node", "session"))
    return found


def _other(each: _Left) -> str:
    if not each.session:
        said = ngettext(
            "The server itself removed %(count)s message: a job of this panel, or an administrator.",
            "The server itself removed %(count)s messages: a job of this panel, or an administrator.",
            each.count,
        )
        return said % {"count": each.count}
    protocol = dict(Connection.Protocol.choices).get(each.protocol, each.protocol)
    said = ngettext(
        "%(protocol)s removed %(count)s message. The log of that session is lost.",
        "%(protocol)s removed %(count)s messages. The log of that session is lost.",
        each.count,
    )
    return said % {"protocol": protocol, "count": each.count}
