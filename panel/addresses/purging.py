"""The final purge: what was deleted longer ago than it can be restored ends for good.

The order makes that the next owner of an address never meets a byte of the last one's mail, and that a process
killed at any step leaves what the next run completes: the row is marked (from then on nothing restores it), its
sessions are ended, the home is renamed away, the row is deleted, the home is erased.

A mailbox under a legal hold is never due, and neither is its domain: both can be restored until it is released.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from mailbackend import maildir, retired
from mailbackend.dovecot.doveadm import DoveadmError
from panel.addresses import holding, sessions
from panel.addresses.models import Domain, Mailbox, PurgedMailbox
from panel.addresses.owners import forget_owners
from panel.addresses.report import Failure, Report
from panel.core import audit, jobs, mail
from panel.core.keyset import pages_by_key

#: Mailboxes that are purged together.
PAGE = 200
#: How long sessions may take to end. Seconds.
SESSIONS_END_WITHIN = 15.0
#: A delivery on its way makes a home again that was renamed away: it is looked for after this long (seconds),
LOOK_AGAIN_AFTER = 2.0
#: later once more from a job, because a sender may hold a message half sent for minutes,
LOOK_LATER_AFTER = timedelta(minutes=15)
#: and by every check of the mail folders. The job looks at what was purged in this time.
LOOK_LATER_AT = timedelta(days=2)
#: How long one run may go on erasing before it leaves the rest to the next job. Seconds.
ERASE_AT_A_TIME = 600.0


#: What is said of a home that came back.
LATE = (
    "Made again by a delivery that was on its way when the mailbox was purged. It is erased, never given on."
)


def purge(*, now: datetime, dry_run: bool = False) -> Report:
    """Purge the mailboxes and domains whose time for restoring is over.

    Args:
        now: what counts as the present.
        dry_run: whether only to say what would be purged.

    Returns:
        how many mailboxes, messages and bytes were purged, and what could not be: it is tried again next time.

    Raises:
        Problem: if the mail root is not there. Nothing is purged then.
    """
    mail.check_mail_root()
    report = Report()
    cutoff = now - settings.DELETION_WINDOW
    if not dry_run:
        _mark_domains(cutoff, now)
    for page in pages_by_key(due_mailboxes(cutoff), PAGE):
        if dry_run:
            _count(page, report)
        else:
            _purge_page(page, cutoff, report)
        jobs.note_progress(report.as_json())
    if dry_run:
        return report
    if report.mailboxes:
        jobs.start_job("retire_late_homes", delay=LOOK_LATER_AFTER)
    _forget_empty_domains()
    erase_retired(report)
    return report


def purge_mailbox(*, mailbox: Mailbox, now: datetime) -> Report:
    """Purge one deleted mailbox whose time for restoring is over; otherwise nothing is done.

    Args:
        mailbox: which.
        now: what counts as the present.

    Returns:
        a report on it.

    Raises:
        Problem: if the mail root is not there. Nothing is purged then.
    """
    mail.check_mail_root()
    report = Report()
    cutoff = now - settings.DELETION_WINDOW
    rows = list(due_mailboxes(cutoff).filter(pk=mailbox.pk))
    if rows:
        _purge_page(rows, cutoff, report)
        jobs.start_job("retire_late_homes", delay=LOOK_LATER_AFTER)
        jobs.start_job("erase_retired_homes")
    return report


def due_domains(cutoff: datetime) -> QuerySet[Domain]:
    """Return the domains that were deleted before `cutoff`, or whose purge was begun."""
    return Domain.objects.filter(Q(deleted_at__lte=cutoff) | Q(purging_at__isnull=False))


def due_mailboxes(cutoff: datetime) -> QuerySet[Mailbox]:
    """Return the mailboxes that were deleted, or whose domain was, before `cutoff`, or whose purge was begun.

    None that is under a legal hold is among them.
    """
    return Mailbox.objects.filter(
        Q(deleted_at__lte=cutoff)
        | Q(purging_at__isnull=False)
        | Q(domain__deleted_at__lte=cutoff)
        | Q(domain__purging_at__isnull=False),
        held_at=None,
    )


def retire_late_homes(*, since: datetime) -> Report:
    """Retire homes that deliveries made again after their mailboxes were purged.

    Args:
        since: how long ago the purges are that it looks at.

    Raises:
        Problem: if the mail root is not there.
    """
    mail.check_mail_root()
    report = Report()
    for purged in PurgedMailbox.objects.filter(purged_at__gte=since).iterator(chunk_size=500):
        report.mailboxes += 1
        retire_late(purged, report)
    erase_retired(report)
    return report


def retire_late(purged: PurgedMailbox, report: Report) -> None:
    """Retire the home of one purged mailbox if a delivery made it again, and say so in `report`."""
    try:
        found = _retire(purged)
    except OSError as err:
        report.add(Failure(purged.home, str(err), mended=False, mendable=False))
        return
    if found:
        report.add(Failure(purged.home, LATE, mended=True, mendable=True))


def erase_retired(report: Report) -> bool:
    """Erase retired homes, as far as one run may go; a job goes on with the rest.

    Args:
        report: takes what could not be erased.

    Returns:
        whether nothing is left to do.
    """
    until = time.monotonic() + ERASE_AT_A_TIME
    for folder in _folders():
        for path in list(retired.retired_homes(folder)):
            if time.monotonic() > until:
                jobs.start_job("erase_retired_homes")
                return False
            try:
                retired.erase(folder, path)
            except OSError as err:
                problem = f"It could not be erased: {err.strerror or err}."
                report.add(Failure(f"{folder.name}/{path}", problem, mended=False, mendable=False))
        retired.forget_empty_domains(folder)
    return True


def _folders() -> list[Path]:
    """Return the folders for retired homes, the one to use now first."""
    return retired.folders(settings.DATA_DIR.mail, settings.DATA_DIR.retired)


def _mark_domains(cutoff: datetime, now: datetime) -> None:
    """Mark the domains that are due and have no mailbox under a legal hold: from here on nothing restores them.

    They are locked, and only then it is looked whether a mailbox is held: a hold locks them too.
    """
    with transaction.atomic():
        rows = list(due_domains(cutoff).filter(purging_at=None).select_for_update().order_by("pk"))
        keys = {domain.pk for domain in rows} - holding.with_held(rows)
        for some in _batches(sorted(keys)):
            Domain.objects.filter(pk__in=some).update(purging_at=now, version=F("version") + 1)


def _batches(keys: Sequence[int]) -> Iterator[Sequence[int]]:
    yield from (keys[start : start + PAGE] for start in range(0, len(keys), PAGE))


def _count(page: Sequence[Mailbox], report: Report) -> None:
    for mailbox in page:
        report.mailboxes += 1
        try:
            usage = maildir.measure(settings.DATA_DIR.mail, mailbox.home_path)
        except OSError as err:
            report.add(Failure(mailbox.address, str(err), mended=False, mendable=False))
            continue
        report.messages += usage.messages
        report.bytes += usage.used_bytes


def _purge_page(page: Sequence[Mailbox], cutoff: datetime, report: Report) -> None:
    marked = _mark(page, cutoff)
    try:
        busy = _end_sessions(marked)
    except DoveadmError as err:
        for mailbox in marked:
            _put_off(mailbox, str(err), report)
        return
    gone = []
    for mailbox in marked:
        if mailbox.address in busy:
            _put_off(mailbox, "It still has open sessions, although they were ended.", report)
        elif _try_to_retire(mailbox, report):
            gone.append(mailbox)
    if not gone:
        return
    time.sleep(LOOK_AGAIN_AFTER)
    gone = [mailbox for mailbox in gone if _try_to_retire(mailbox, report)]
    for mailbox in gone:
        report.mailboxes += 1
        try:
            usage = retired.measure_retired(_folders()[0], mailbox.home_path)
        except OSError as err:
            problem = f"Purged, but its messages could not be counted: {err}."
            report.add(Failure(mailbox.address, problem, mended=False, mendable=False))
            continue
        report.messages += usage.messages
        report.bytes += usage.used_bytes
    _forget(gone)


def _mark(page: Sequence[Mailbox], cutoff: datetime) -> list[Mailbox]:
    """Mark what is still due and return it. From here on `restore` is refused: whoever is first wins.

    The rows are locked, and only then looked at: an UPDATE that must join tables to see what is due would mark a row
    that was restored while it waited (PostgreSQL's manual, 13.2.1, Read Committed).
    """
    due = due_mailboxes(cutoff).filter(pk__in=[mailbox.pk for mailbox in page])
    with transaction.atomic():
        # Domains before mailboxes, as whoever restores or holds one locks them: else each could wait for the other.
        domains = Domain.objects.filter(pk__in={mailbox.domain_id for mailbox in page}).order_by("pk")
        list(domains.select_for_update())
        marked = list(due.select_for_update(of=("self",)).select_related("domain").order_by("domain", "pk"))
        new = Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in marked], purging_at=None)
        new.update(purging_at=timezone.now(), version=F("version") + 1)
    return marked


def _end_sessions(marked: Sequence[Mailbox]) -> set[str]:
    """End what sessions there are and wait until they are gone.

    Nobody can come in again: a deleted mailbox is in no view. Where its address has a new owner, a session may be
    theirs and they may come back: it is ended once all the same, because nothing tells whose it is.

    Returns:
        the addresses that still have sessions and no new owner.

    Raises:
        DoveadmError: if the mail service runs and does not answer.
    """
    addresses = {mailbox.address for mailbox in marked}
    for address in sorted(sessions.online() & addresses):
        sessions.kick(address)
    living = Mailbox.objects.filter(address__in=addresses, deleted_at=None, domain__deleted_at=None)
    alone = addresses - set(living.values_list("address", flat=True))
    deadline = time.monotonic() + SESSIONS_END_WITHIN
    while (busy := sessions.online() & alone) and time.monotonic() < deadline:
        for address in sorted(busy):
            sessions.kick(address)
        time.sleep(0.5)
    return busy


def _try_to_retire(mailbox: Mailbox, report: Report) -> bool:
    try:
        _retire(mailbox)
    except OSError as err:
        _put_off(mailbox, str(err), report)
        return False
    return True


def _retire(row: Mailbox | PurgedMailbox) -> bool:
    """Rename a home away; return whether there was one. The mail root is looked at again: it may vanish meanwhile."""
    mail.check_mail_root()
    if not row.home:
        return False
    found = retired.retire(settings.DATA_DIR.mail, _folders()[0], row.home_path, row.home_token)
    return found is not None


def _put_off(mailbox: Mailbox, problem: str, report: Report) -> None:
    report.add(
        Failure(mailbox.address, f"{problem} The next purge tries again.", mended=False, mendable=True)
    )


def _forget_empty_domains() -> None:
    empty = Domain.objects.filter(purging_at__isnull=False, mailboxes=None).values_list("pk", flat=True)
    with transaction.atomic():
        rows = list(Domain.objects.select_for_update().filter(pk__in=list(empty)))
        audit.record_all("domain.purged", [(domain, domain.customer_id, {}) for domain in rows])
        Domain.objects.filter(pk__in=[domain.pk for domain in rows]).delete()


def _forget(gone: Sequence[Mailbox]) -> None:
    """Delete the rows, and keep that their homes were theirs."""
    now = timezone.now()
    with transaction.atomic():
        PurgedMailbox.objects.bulk_create(
            [
                PurgedMailbox(
                    mailbox_id=mailbox.pk, home=mailbox.home, home_token=mailbox.home_token, purged_at=now
                )
                for mailbox in gone
            ],
            ignore_conflicts=True,
        )
        rows = Mailbox.objects.select_for_update(of=("self",)).select_related("domain")
        there = list(rows.filter(pk__in=[mailbox.pk for mailbox in gone], purging_at__isnull=False))
        audit.record_all("mailbox.purged", [(mailbox, mailbox.domain.customer_id, {}) for mailbox in there])
        forget_owners(there)
        Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in there]).delete()
