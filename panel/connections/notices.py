"""What the owner of a mailbox is told of how it is used, once: found by a job among the sessions of the last minutes.

Each is a guess from what the log knows, and says so: over POP no program gives its name, so two networks stand for two
devices. No country is told: nothing that is installed knows countries of addresses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.accounts.models import User
from panel.addresses.inherited import what_counts
from panel.addresses.models import Mailbox
from panel.addresses.selectors import mailboxes_for
from panel.connections.models import Connection, MailboxNotice
from panel.connections.words import where_in_words
from panel.core.models import Job

#: How far back two uses of a mailbox count together, and how long a network is known.
TOGETHER, KNOWN = timedelta(days=30), timedelta(days=90)
#: A mailbox is new for so long: each network is then.
NEW_FOR = timedelta(days=7)
#: A session is looked at again for so long after it began: it may be stored late, and over POP it must have ended.
AGAIN = timedelta(minutes=30)
#: And at most so far back, and so many of them, when the job did not run for a while.
AT_MOST, SESSIONS = timedelta(days=1), 100_000
#: New networks that one notice names, and that are kept for a mailbox: a phone on a journey brings many.
NAMED, KEPT = 3, 20

_Kind, _Protocol = MailboxNotice.Kind, Connection.Protocol
_ACCEPTED = Connection.Outcome.ACCEPTED
_COLUMNS = ("pk", "mailbox", "protocol", "credential", "deleted", "remote_net", "started_at")


@dataclass(frozen=True)
class Told:
    """A notice as a page shows it.

    Attributes:
        kind: of MailboxNotice.Kind.
        words: what is true.
        advice: what to do, or what follows.
        url, action: where something can be done, and what that is called.
        last: the number of the latest row that it tells: what comes after it is not dismissed with it.
    """

    kind: str
    words: str
    advice: str
    url: str
    action: str
    last: int


@dataclass(frozen=True)
class _Session:
    pk: int
    mailbox: int
    protocol: str
    credential: str
    deleted: int | None
    remote_net: str
    started_at: datetime

    @property
    def deletes_by_main(self) -> bool:
        """Whether it is POP with the mailbox's own password, and deleted something."""
        return self.protocol == _Protocol.POP3 and self.credential == "main" and bool(self.deleted)


def find(*, now: datetime) -> int:
    """Look through the sessions since the last time for what is to be told; return how many notices are new.

    Doing it again finds nothing more: each notice is there once.
    """
    sessions = _lately(since=_begin(now), until=now)
    mailboxes = _mailboxes({session.mailbox for session in sessions})
    asked = _already_told(mailboxes)
    waiting = _networks_waiting(mailboxes)
    found = []
    for session in sessions:
        mailbox = mailboxes.get(session.mailbox)
        if mailbox is None:
            continue
        for kind, network in _kinds_of(session):
            key = (mailbox.pk, str(kind), network)
            # What was so of an earlier session is so of this one.
            if key in asked:
                continue
            asked.add(key)
            if kind == _Kind.NEW_NETWORK and waiting[mailbox.pk] >= KEPT:
                continue
            if not _is_true(kind, session, mailbox, now):
                continue
            waiting[mailbox.pk] += kind == _Kind.NEW_NETWORK
            found.append(_notice(kind, network, session, mailbox))
    MailboxNotice.objects.bulk_create(found, batch_size=500, ignore_conflicts=True)
    return len(found)


def told_to(person: User, mailbox: Mailbox) -> list[Told]:
    """Return what a person who may see a mailbox is told of it: new networks in one notice."""
    found = _open(person, mailbox).select_related("connection__device").order_by()[: 2 * KEPT]
    rows = sorted(found, key=lambda row: (row.happened_at, row.pk), reverse=True)
    return [
        told
        for kind in _Kind
        if (some := [row for row in rows if row.kind == kind]) and (told := _told(kind, some, mailbox))
    ]


def dismiss(*, person: User, mailbox: Mailbox, kind: str, last: int) -> None:
    """Have nobody told again what a notice of a mailbox says.

    This changes nothing of the mailbox, and is not in the audit trail; the row has who did it.

    Args:
        person: who dismisses it; they look after the mailbox.
        mailbox: which.
        kind: of MailboxNotice.Kind; of any other there is none.
        last: up to which row: what came after the page was shown is told yet.
    """
    rows = _open(person, mailbox).filter(kind=kind, pk__lte=last)
    rows.update(dismissed_at=timezone.now(), dismissed_by=person)


def forget_old(*, now: datetime) -> int:
    """Delete what was told of networks that are not known any more, and return how many rows that were."""
    rows = MailboxNotice.objects.filter(kind=_Kind.NEW_NETWORK, happened_at__lt=now - KNOWN)
    return rows.delete()[0]


def _begin(now: datetime) -> datetime:
    """Return from when on sessions are looked at: a little before the last look."""
    jobs = Job.objects.filter(kind="find_mailbox_notices", state=Job.State.DONE).order_by("-pk")
    last = jobs.values_list("created_at", flat=True).first()
    return max((last or now) - AGAIN, now - AT_MOST)


def _lately(*, since: datetime, until: datetime) -> list[_Session]:
    rows = Connection.objects.filter(started_at__gte=since, started_at__lte=until).order_by(
        "-started_at", "-pk"
    )
    values = rows.values_list(*_COLUMNS, "outcome")[:SESSIONS]
    return [
        _Session(*columns) for *columns, outcome in values if outcome == _ACCEPTED and columns[1] is not None
    ][::-1]


def _mailboxes(numbers: set[int]) -> dict[int, Mailbox]:
    listed = sorted(numbers)
    found: dict[int, Mailbox] = {}
    for start in range(0, len(listed), 500):
        rows = Mailbox.objects.select_related("domain__customer").filter(
            pk__in=listed[start : start + 500], deleted_at=None
        )
        found |= {row.pk: row for row in rows}
    return found


def _already_told(mailboxes: Iterable[int]) -> set[tuple[int, str, str]]:
    listed = sorted(mailboxes)
    found: set[tuple[int, str, str]] = set()
    for start in range(0, len(listed), 500):
        rows = MailboxNotice.objects.filter(mailbox__in=listed[start : start + 500]).order_by()
        found.update(rows.values_list("mailbox", "kind", "network"))
    return found


def _networks_waiting(mailboxes: Iterable[int]) -> Counter[int]:
    """Return how many new networks of each mailbox nobody has dismissed."""
    listed = sorted(mailboxes)
    found: Counter[int] = Counter()
    for start in range(0, len(listed), 500):
        rows = MailboxNotice.objects.filter(
            mailbox__in=listed[start : start + 500], kind=_Kind.NEW_NETWORK, dismissed_at=None
        )
        found.update(rows.order_by().values_list("mailbox", flat=True))
    return found


def _notice(kind: MailboxNotice.Kind, network: str, session: _Session, mailbox: Mailbox) -> MailboxNotice:
    return MailboxNotice(
        mailbox=mailbox,
        kind=kind,
        network=network,
        connection_id=session.pk,
        happened_at=session.started_at,
    )


def _kinds_of(session: _Session) -> Iterator[tuple[MailboxNotice.Kind, str]]:
    """Yield what a session may be a sign of, and the network that it is about."""
    if session.deletes_by_main:
        yield _Kind.SHARED_POP, ""
    if session.protocol == _Protocol.IMAP or session.deleted:
        yield _Kind.POP_AND_IMAP, ""
    if session.remote_net:
        yield _Kind.NEW_NETWORK, session.remote_net


def _is_true(kind: MailboxNotice.Kind, session: _Session, mailbox: Mailbox, now: datetime) -> bool:
    rows = Connection.objects.filter(mailbox=mailbox, outcome=_ACCEPTED).order_by("-started_at", "-pk")
    if kind == _Kind.NEW_NETWORK:
        return _is_new(session, mailbox, rows)
    lately = rows.filter(started_at__gte=now - TOGETHER)
    deleting = lately.filter(protocol=_Protocol.POP3, deleted__gt=0)
    if kind == _Kind.POP_AND_IMAP:
        return deleting.exists() and lately.filter(protocol=_Protocol.IMAP).exists()
    networks = set(
        deleting.filter(credential="main").order_by().values_list("remote_net", flat=True).distinct()
    )
    # One device can come by IPv4 and by IPv6 from the same house: only networks of one kind tell two apart.
    return any(sum((":" in each) is six for each in networks if each) > 1 for six in (False, True))


def _is_new(session: _Session, mailbox: Mailbox, rows: QuerySet[Connection]) -> bool:
    at = session.started_at
    if mailbox.created_at > at - NEW_FOR:
        return False
    before = rows.filter(started_at__lt=at, started_at__gte=at - KNOWN)
    if before.filter(remote_net=session.remote_net).exists():
        return False
    # In the first week that anybody uses it every network is new.
    return before.filter(started_at__lt=at - NEW_FOR).exists()


def _open(person: User, mailbox: Mailbox) -> QuerySet[MailboxNotice]:
    seen = mailboxes_for(person).filter(pk=mailbox.pk).order_by().values("pk")
    return MailboxNotice.objects.filter(mailbox__in=seen, dismissed_at=None)


def _told(kind: MailboxNotice.Kind, rows: Sequence[MailboxNotice], mailbox: Mailbox) -> Told | None:
    last = max(row.pk for row in rows)
    if kind == _Kind.SHARED_POP:
        if mailbox.device_required:
            return None  # That password opens no mail program any more.
        words = _("POP programs in different places deleted mail with the mailbox's own password.")
        advice = _(
            "If these are two devices, each of them misses what the other has fetched. Give each a device password: "
            "then both are offered every message. If it is one that travels, nothing is to be done."
        )
        return Told(
            kind, words, advice, reverse("list_devices", args=[mailbox.pk]), _("See the devices"), last
        )
    if kind == _Kind.POP_AND_IMAP:
        return _told_of_pop_and_imap(mailbox, last)
    return _told_of_networks(rows, mailbox, last)


def _told_of_pop_and_imap(mailbox: Mailbox, last: int) -> Told | None:
    pop = what_counts(mailbox).pop
    if pop.deletes == Mailbox.PopDeletes.KEEP:
        return None  # POP takes nothing away from IMAP then.
    words = _("A POP program deletes mail in this mailbox, and IMAP is used too.")
    if pop.deletes == Mailbox.PopDeletes.DELETE:
        advice = _("What POP deletes is gone from every device, those with IMAP included.")
    else:
        advice = ngettext(
            "What POP deletes is shown over IMAP for %(days)s day more, and is gone from every device then.",
            "What POP deletes is shown over IMAP for %(days)s days more, and is gone from every device then.",
            pop.days or 1,
        ) % {"days": pop.days}
    advice += " " + _("To see the same mail everywhere, set that device up with IMAP.")
    url = reverse("show_mailbox_settings", args=[mailbox.pk])
    return Told(_Kind.POP_AND_IMAP, words, advice, url, _("See what POP deletes"), last)


def _told_of_networks(rows: Sequence[MailboxNotice], mailbox: Mailbox, last: int) -> Told:
    words = ngettext(
        "This mailbox was opened from a network that was not seen before: %(places)s.",
        "This mailbox was opened from networks that were not seen before: %(places)s.",
        len(rows),
    )
    places = ", ".join(_place(row) for row in rows[:NAMED])
    if len(rows) > NAMED:
        more = len(rows) - NAMED
        places += " " + ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more}
    advice = _(
        "That is so with a new device or on a journey, and with programs that let their maker's servers fetch the "
        "mail. If none of it is yours, look at what connects."
    )
    url = reverse("list_devices", args=[mailbox.pk])
    return Told(_Kind.NEW_NETWORK, words % {"places": places}, advice, url, _("See the devices"), last)


def _place(row: MailboxNotice) -> str:
    return where_in_words(row.connection) if row.connection is not None else row.network
