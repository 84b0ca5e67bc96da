"""The purge: whatever is over ends: deleted mailboxes, copies of what POP deleted, and what is due by the rules."""

from __future__ import annotations

import time
from datetime import datetime

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens
from mailbackend.dovecot.names import RECOVERABLE
from panel.addresses import purging
from panel.addresses.report import Failure, Report
from panel.core import jobs, mail
from panel.core.keyset import pages_by_key
from panel.retention import changing, due, kept_copies, orders, runs
from panel.retention.models import PurgeRun, RuleChange
from panel.retention.rules import INBOX


def purge(*, now: datetime, dry_run: bool = False) -> tuple[Report, int | None]:
    """Purge deleted mailboxes and domains whose time for restoring is over, and end kept copies that are over.

    Args:
        now: what counts as the present.
        dry_run: whether only to say what would end.

    Returns:
        how many mailboxes were purged or lost a copy, the messages and bytes, and what could not be done; and the key
        of the mailbox whose copies were looked at last if the time for one run is over, or None if all were.

    Raises:
        Problem: if the mail root is not there. Nothing is purged then.
    """
    report = purging.purge(now=now, dry_run=dry_run)
    try:
        copies, last = kept_copies.end_due(now=now, dry_run=dry_run)
    except NobodyListens as err:
        if kept_copies.due_rows(now):
            problem = f"{err} Copies of what POP deleted may be over: they stay until the next purge."
            report.add(Failure("kept copies", problem, mended=False, mendable=True))
        return report, None
    report.take(copies)
    return report, last


def purge_by_rules(*, now: datetime) -> Report:
    """Count what is due by the rules, and purge it here and now; what fails is tried again by a job.

    Args:
        now: what counts as the present: a change that starts until then counts.

    Raises:
        Problem: if the mail root is not there. Nothing is purged then.
    """
    begun = [run for change in changing.start_due(now) if (run := runs.preview_of(change)) is not None]
    report = Report()
    for run in [*begun, runs.start_run(PurgeRun.Kind.ASKED, now)]:
        try:
            _do(run)
        except DoveadmError as err:
            problem = f"{err} What is due by the rules stays until a job goes on with it."
            report.add(Failure("rules", problem, mended=False, mendable=True))
        run.refresh_from_db()
        report.take(runs.report_of(run))
    return report


def _do(run: PurgeRun) -> None:
    """Count and purge here and now. A mailbox that another run is at work in is waited for."""
    while not runs.count(run):
        pass
    if not runs.begin(run):
        return
    while not runs.purge(run):
        pass
    while runs.waits_for_others(run):
        time.sleep(orders.BUSY_FOR)
        runs.purge(run)


def count_by_rules(*, now: datetime) -> Report:
    """Say what `purge_by_rules` would purge after the end of kept copies that are over; nothing is changed or kept.

    Raises:
        Problem: if the mail root is not there.
        DoveadmError: if the mail service does not answer.
    """
    mail.check_mail_root()
    changes = _that_start_until(now)
    report = Report()
    for page in pages_by_key(due.mailboxes_below(None), due.PAGE):
        found = due.find_due_with(page, now=now, changes=changes)
        _leave_out_copies(found, now)
        report.mailboxes += found.mailboxes
        report.messages += found.messages
        report.bytes += found.bytes
        for failure in found.failures:
            report.add(failure)
        jobs.note_progress(report.as_json())
    return report


def _leave_out_copies(found: due.Found, now: datetime) -> None:
    """Take from what rules would purge in inboxes what ends first, as a copy whose days are over."""
    in_inbox = {each.mailbox: each for each in found.due if each.folder == INBOX}
    for mailbox, copies in kept_copies.due_in(list(in_inbox), now=now) if in_inbox else ():
        each = in_inbox[mailbox]
        before = int(each.cutoff.timestamp())  # Dovecot compares whole seconds.
        ending = [copy.message for copy in copies if copy.message.saved_at.timestamp() < before]
        each.messages -= len(ending)
        each.bytes -= sum(message.size for message in ending)
    found.due = [each for each in found.due if each.messages > 0]


def start_nightly(*, now: datetime) -> PurgeRun:
    """Have what is due by the rules counted and then purged, by jobs of their own."""
    start_changes(now=now)
    run = runs.start_run(PurgeRun.Kind.NIGHTLY, now)
    jobs.start_job(runs.COUNTING, run=run.pk)
    return run


def start_changes(*, now: datetime) -> None:
    """Make the rule what was confirmed and starts by now; the run that counted it purges by a job."""
    changing.start_due(now)
    for run, kind in runs.to_be_resumed(now):
        jobs.start_job(kind, run=run.pk)


def _that_start_until(now: datetime) -> list[RuleChange]:
    rows = changing.waiting_changes().filter(starts_at__lte=now, confirmed_at__isnull=False)
    found = rows.select_related("customer", "domain__customer", "mailbox__domain__customer")
    return [change for change in found.order_by("starts_at", "pk") if change.folder != RECOVERABLE]


def with_rules(report: Report, *, now: datetime, dry_run: bool) -> None:
    """Add to a report what is due by the rules, and purge it unless it is only to be said.

    Raises:
        Problem: if the mail root is not there.
    """
    try:
        found = count_by_rules(now=now) if dry_run else purge_by_rules(now=now)
    except DoveadmError as err:
        problem = f"{err} What is due by the rules stays until the next purge."
        report.add(Failure("rules", problem, mended=False, mendable=True))
        return
    report.take(found)
