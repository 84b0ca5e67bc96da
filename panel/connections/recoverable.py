"""What was removed and can be brought back: listing it, and ending it when its time is over or it becomes too much.

It lies outside the quota, so its size is bounded: what is in it may be as large as the mailbox's quota again, then the
oldest ends first. A mailbox without a quota has no bound. Nothing else ends a message before its time. Under a legal
hold nothing ends at all, however old and however much it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from mailbackend import maildir
from mailbackend.dovecot.doveadm import (
    UIDS_AT_ONCE,
    Doveadm,
    DoveadmError,
    Headers,
    KeptMessage,
    NobodyListens,
    Recoverable,
    UnknownMailbox,
)
from panel.addresses.holding import lock_unless_held
from panel.addresses.inherited import recovery_days_of
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure, Report
from panel.connections import removals
from panel.connections.models import RemovedMessage
from panel.core import jobs, mail
from panel.core.keyset import pages_by_key

#: Mailboxes that are looked at together.
PAGE = 50
#: Seconds to wait for an answer about a mailbox: ending thousands of messages takes some.
WAIT = 120.0
#: And while a transaction is open: other writers wait for no more than that. So many messages end in one.
WAIT_IN_TRANSACTION, AT_ONCE = 10.0, 500
#: How long one run may go on before it leaves the rest to the next job. Seconds.
AT_A_TIME = 1200.0
#: A row is logged a little after its message was put aside: rows are kept this much longer than what they are about.
SLACK = timedelta(days=1)
#: How far back the frequent look at sizes goes: it is done more often than this, and the log may be a little behind.
LATELY = timedelta(minutes=15)


@dataclass(frozen=True)
class Found:
    """A message that can be brought back.

    Attributes:
        message: where it is and how large.
        headers: what its head says.
        row: how it was removed, or None where the log of that time was lost.
        until: when it ends, or None while its mailbox is under a legal hold.
    """

    message: KeptMessage
    headers: Headers
    row: RemovedMessage | None
    until: datetime | None


def listed(mailbox: Mailbox) -> list[Found]:
    """Return what was removed from a mailbox and can be brought back, the latest first.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    if not maildir.has_removed_mail(settings.DATA_DIR.mail, mailbox.home_path):
        return []
    api = mail.doveadm(timeout=WAIT)
    messages = all_kept(api, mailbox)
    heads = api.kept_headers(mailbox.address, [message.uid for message in messages])
    rows = removals.rows_of(mailbox, messages)
    kept_for = None if mailbox.held_at else removals.recovery_time(mailbox)
    found = [
        Found(
            message,
            heads[message.uid],
            rows.get(message.uid),
            None if kept_for is None else message.removed_at + kept_for,
        )
        for message in messages
        if message.uid in heads  # else it ended meanwhile
    ]
    return sorted(found, key=lambda one: (one.message.removed_at, one.message.uid), reverse=True)


def all_kept(api: Doveadm, mailbox: Mailbox) -> list[KeptMessage]:
    """Return where each removed message of a mailbox is, by UID. Something was removed from it once.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    return list(_messages(api, mailbox, api.recoverable(mailbox.address)))


def end_old(*, now: datetime, dry_run: bool = False, after: int = 0) -> tuple[Report, int | None]:
    """End what was removed longer ago than it can be brought back, and what is too much, in all mailboxes.

    Args:
        now: what counts as the present.
        dry_run: whether only to say what would end.
        after: the key of the mailbox that was done last by the run before.

    Returns:
        mailboxes that something ended in, the messages and their bytes, and what could not be done; and the key of
        the mailbox that was done last if the time for one run is over, or None if all were done.

    Raises:
        Problem: if the mail root is not there. Nothing ends then.
        NobodyListens: if the mail service does not run.
    """
    mailboxes = Mailbox.objects.filter(pk__gt=after)
    return _end_in(mailboxes, now=now, dry_run=dry_run)


def end_too_much(*, now: datetime) -> Report:
    """Do the same where something was removed lately and there is a quota: too much does not wait for the night.

    Raises:
        Problem: if the mail root is not there. Nothing ends then.
        NobodyListens: if the mail service does not run.
    """
    return _end_in(lately_used(now), now=now, dry_run=False)[0]


def lately_used(now: datetime) -> QuerySet[Mailbox]:
    """Return the mailboxes with a quota from which something was removed lately, and that are not held."""
    lately = RemovedMessage.objects.filter(removed_at__gte=now - LATELY).order_by()
    return Mailbox.objects.filter(pk__in=lately.values("mailbox"), quota_bytes__gt=0, held_at=None)


def _end_in(mailboxes: QuerySet[Mailbox], *, now: datetime, dry_run: bool) -> tuple[Report, int | None]:
    mail.check_mail_root()
    report = Report()
    until = time.monotonic() + AT_A_TIME
    living = mailboxes.filter(
        provisioned_at__isnull=False, deleted_at=None, domain__deleted_at=None, held_at=None
    ).select_related("domain__customer")
    for page in pages_by_key(living, PAGE):
        days = recovery_days_of(page)
        done: dict[datetime, list[Mailbox]] = {}
        for mailbox in page:
            cutoff = now - timedelta(days=days[mailbox.pk])
            if _end_one(mailbox, cutoff, report, dry_run=dry_run):
                done.setdefault(cutoff, []).append(mailbox)
        if not dry_run:
            for cutoff, several in done.items():
                removals.forget_left_over(several, cutoff - SLACK)
        jobs.note_progress(report.as_json())
        if time.monotonic() > until:
            return report, page[-1].pk
    return report, None


def _end_one(mailbox: Mailbox, cutoff: datetime, report: Report, *, dry_run: bool) -> bool:
    """End what is due in one mailbox, and say in `report` what; return whether nothing due is left."""
    if not maildir.has_removed_mail(settings.DATA_DIR.mail, mailbox.home_path):
        return True
    api = mail.doveadm(timeout=WAIT)
    try:
        due = _due(api, mailbox, cutoff)
        if not dry_run and not _end(mailbox, due):
            return False
    except UnknownMailbox:
        return False  # It was deleted or renamed a moment ago.
    except NobodyListens:
        raise
    except DoveadmError as err:
        problem = f"{err} The next run tries again."
        report.add(Failure(mailbox.address, problem, mended=False, mendable=True))
        return False
    if due:
        report.mailboxes += 1
        report.messages += len(due)
        report.bytes += sum(message.size for message in due)
    return True


def _end(mailbox: Mailbox, messages: Sequence[KeptMessage]) -> bool:
    """End messages for good, and return whether all ended: none does from when on the mailbox is under a legal hold.

    A few end in one transaction, which locks the mailbox against a hold. Their rows go afterwards: a run that is cut
    off leaves rows without messages, and never the other way round.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses. Some may have ended.
    """
    api = mail.doveadm(timeout=WAIT_IN_TRANSACTION)
    for start in range(0, len(messages), AT_ONCE):
        uids = [message.uid for message in messages[start : start + AT_ONCE]]
        with transaction.atomic():
            if not lock_unless_held(mailbox):
                return False
            api.end_messages(mailbox.address, uids)
            removals.forget(mailbox, uids)
    return True


def _due(api: Doveadm, mailbox: Mailbox, cutoff: datetime) -> list[KeptMessage]:
    """Return the messages to end: those removed before `cutoff`, and the oldest of the rest while it is too much."""
    whole = api.recoverable(mailbox.address)
    old = list(_messages(api, mailbox, whole, before=cutoff))
    left = whole.used_bytes - sum(message.size for message in old)
    if not mailbox.quota_bytes or left <= mailbox.quota_bytes:
        return old
    ended = {message.uid for message in old}
    rest = [message for message in _messages(api, mailbox, whole) if message.uid not in ended]
    return old + too_much(rest, mailbox.quota_bytes)


def too_much(messages: Sequence[KeptMessage], most: int) -> list[KeptMessage]:
    """Return the oldest of `messages`, no more than must end so that the others together have at most `most` bytes."""
    over = sum(message.size for message in messages) - most
    ended = []
    for message in sorted(messages, key=lambda message: (message.removed_at, message.uid)):
        if over <= 0:
            break
        ended.append(message)
        over -= message.size
    return ended


def _messages(
    api: Doveadm, mailbox: Mailbox, whole: Recoverable, *, before: datetime | None = None
) -> Iterator[KeptMessage]:
    if not whole.messages:
        return
    for low in range(1, whole.next_uid, UIDS_AT_ONCE):
        uids = range(low, min(low + UIDS_AT_ONCE, whole.next_uid))
        yield from api.kept_messages(mailbox.address, uids, before=before)
