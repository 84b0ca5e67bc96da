"""What the page of a mailbox's removed mail lists: bounded, however much was removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format

from mailbackend.dovecot.doveadm import Doveadm, Headers, KeptMessage
from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.connections import removals
from panel.connections.models import Connection, RemovedMessage
from panel.connections.names import harmless
from panel.connections.restoring import Choice, chosen
from panel.connections.selectors import connections_for
from panel.connections.words import device_name, program_name
from panel.core import mail

PAGE = 50
#: The newest removed messages whose heads a search reads: more takes longer than a page may.
LOOKED_THROUGH = 1000
#: Seconds for each question of a page.
WAIT = 8.0

_PROTOCOLS = {"imap": "IMAP", "pop3": "POP"}


@dataclass(frozen=True)
class Line:
    """A removed message as the page shows it.

    Attributes:
        uid: which.
        sender, subject, date: what its head says; harmless, and empty where it does not. The date is in words.
        folder: where it was, or empty where that is not known.
        removed_at: when it was removed.
        until: when it ends, or None while the mailbox is under a legal hold.
        protocol: by what it was removed, in words, or empty.
        device: what its device password is called, or else the program itself, or empty.
        connection: the session that removed it, where the reader may see it.
        size: in bytes.
    """

    uid: int
    sender: str
    subject: str
    date: str
    folder: str
    removed_at: datetime
    until: datetime | None
    protocol: str
    device: str
    connection: int | None
    size: int


@dataclass(frozen=True)
class Listing:
    """A page of removed messages.

    Attributes:
        lines: what it shows.
        page_obj: which of the pages it is.
        total: removed messages of the mailbox, whatever is searched for.
    """

    lines: list[Line]
    page_obj: Page[KeptMessage]
    total: int


def listing_for(
    person: User, mailbox: Mailbox, text: str, page: str, *, sessions: Sequence[tuple[str, str]] = ()
) -> Listing:
    """Return a page of a mailbox's removed messages, the latest first; the person may see the mailbox.

    Args:
        person: who asks.
        mailbox: whose.
        text: what subject, sender or folder must hold; empty is all. Of many, the newest are searched.
        page: the number of the page, as it stands in an address.
        sessions: node and session of those whose removals are wanted; empty is all.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    if mailbox.state == Mailbox.State.DELETED:
        nothing: list[KeptMessage] = []
        return Listing([], Paginator(nothing, PAGE).get_page(1), 0)
    api = mail.doveadm(timeout=WAIT)
    kept = chosen(api, mailbox, Choice())
    found: Sequence[KeptMessage] = kept
    if sessions:
        uids = set(removals.removed_by(person, mailbox, sessions).values_list("uid", flat=True))
        some = [message for message in kept if message.uid in uids]
        rows = removals.rows_of(mailbox, some)
        found = kept = [message for message in some if message.uid in rows]
    if text:
        newest = kept[:LOOKED_THROUGH]
        heads, rows = _heads(api, mailbox, newest), removals.rows_of(mailbox, newest)
        found = [each for each in newest if _fits(heads.get(each.uid), rows.get(each.uid), text)]
    page_obj = Paginator(found, PAGE).get_page(page)
    return Listing(_lines(api, person, mailbox, list(page_obj.object_list)), page_obj, len(kept))


def described(person: User, mailbox: Mailbox, uids: frozenset[int]) -> list[Line]:
    """Return certain removed messages as lines, the latest first; those that are gone are left out.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    api = mail.doveadm(timeout=WAIT)
    return _lines(api, person, mailbox, chosen(api, mailbox, Choice(uids=uids)))


def _heads(api: Doveadm, mailbox: Mailbox, messages: Iterable[KeptMessage]) -> dict[int, Headers]:
    uids = [message.uid for message in messages]
    return api.kept_headers(mailbox.address, uids) if uids else {}


def _fits(head: Headers | None, row: RemovedMessage | None, text: str) -> bool:
    said = [head.sender, head.subject] if head else []
    if row is not None:
        said.append(row.folder)
    return any(text.casefold() in each.casefold() for each in said)


def _lines(api: Doveadm, person: User, mailbox: Mailbox, messages: list[KeptMessage]) -> list[Line]:
    heads = _heads(api, mailbox, messages)
    rows = removals.rows_of(mailbox, messages)
    sessions = _sessions(person, mailbox, rows.values())
    kept_for = None if mailbox.held_at else removals.recovery_time(mailbox)
    lines = []
    for message in messages:
        head = heads.get(message.uid)
        if head is None:
            continue  # It ended meanwhile.
        row = rows.get(message.uid)
        session = sessions.get((row.node, row.session)) if row else None
        lines.append(
            Line(
                uid=message.uid,
                sender=head.sender,
                subject=head.subject,
                date=_written(head.date),
                folder=harmless(row.folder) if row else "",
                removed_at=row.removed_at if row else message.removed_at,
                until=None if kept_for is None else message.removed_at + kept_for,
                protocol=_PROTOCOLS.get(row.protocol, "") if row else "",
                device=(device_name(session) or program_name(session)) if session else "",
                connection=session.pk if session else None,
                size=message.size,
            )
        )
    return lines


def _written(date: str) -> str:
    """Return when a message says that it was written (RFC 5322), in words; as it stands if it does not."""
    try:
        at = parsedate_to_datetime(date)
        # -0000 says UTC, and nothing of where that was.
        return date_format(
            timezone.localtime(at if at.tzinfo else at.replace(tzinfo=UTC)), "SHORT_DATETIME_FORMAT"
        )
    except (ValueError, OverflowError):
        return harmless(date)


def _sessions(
    person: User, mailbox: Mailbox, rows: Iterable[RemovedMessage]
) -> dict[tuple[str, str], Connection]:
    """Return the sessions that removed messages, as far as the person may see them."""
    wanted = {(row.node, row.session) for row in rows if row.session}
    if not wanted:
        return {}
    which = Q()
    for node, session in sorted(wanted):
        which |= Q(node=node, session=session)
    found = connections_for(person).filter(which, mailbox=mailbox, attempt=0).select_related("device")
    return {(each.node, each.session): each for each in found}
