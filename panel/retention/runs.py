"""Runs of the rules: first one counts what is due (a preview), then it purges just that.

A run counts days back from a moment that is stored with it, so that a preview, the purge after it, and one that was cut
off and goes on are about the same messages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure, Report
from panel.core import audit, jobs, mail
from panel.core.errors import Conflict
from panel.core.processes import is_gone, this_process
from panel.retention import due, orders
from panel.retention.models import PurgeItem, PurgeRun, RuleChange
from panel.retention.rules import Effective, Level

#: The jobs that count and that purge.
COUNTING, PURGING = "count_purge", "purge_by_rules"
#: What the audit trail calls what people do to runs.
ALLOWED, CANCELLED = "purge.allowed", "purge.cancelled"
#: Seconds that one job may go on before the next one does.
AT_A_TIME = 1200.0
#: A run whose process is on another machine, and said nothing for so long, was left by it.
LEFT_AFTER = timedelta(minutes=10)
#: How many of the runs before say what is to be expected of the next.
RUNS_BEFORE = 14
#: Failures that a report names.
NAMED = 200

_State, _Item = PurgeRun.State, PurgeItem.State


def start_preview(change: RuleChange) -> PurgeRun:
    """Make the run that counts what a change would end when it starts, and that purges it then."""
    run = PurgeRun.objects.create(kind=PurgeRun.Kind.CHANGE, change=change, now=change.starts_at)
    jobs.start_job(COUNTING, run=run.pk)
    return run


def preview_of(change: RuleChange) -> PurgeRun | None:
    """Return the run that counts a change, or None where there is none."""
    return PurgeRun.objects.filter(change=change, kind=PurgeRun.Kind.CHANGE).first()


def start_run(kind: PurgeRun.Kind, now: datetime) -> PurgeRun:
    """Make a run of all rules that counts days back from `now`; nothing is counted yet."""
    return PurgeRun.objects.create(kind=kind, now=now)


def cancel(run: PurgeRun) -> None:
    """Have a run purge nothing more, unless it is over. What it purged can be recovered."""
    rows = PurgeRun.objects.filter(pk=run.pk).exclude(state__in=PurgeRun.OVER)
    rows.update(state=_State.CANCELLED, finished_at=timezone.now(), changed_at=timezone.now())


def cancel_by_hand(run: PurgeRun) -> None:
    """Do the same for an administrator, and record it.

    Raises:
        Conflict: if it is over.
    """
    with transaction.atomic():
        _locked(run, from_states=[state for state in _State if state not in PurgeRun.OVER])
        cancel(run)
        audit.record(CANCELLED, target=run)


def allow(run: PurgeRun, *, by: User) -> None:
    """Let a run go on that stopped because it would purge far more than was to be expected.

    Raises:
        Conflict: if it does not wait for that.
    """
    with transaction.atomic():
        row = _locked(run, from_states=[_State.STOPPED])
        row.state, row.allowed_by, row.stopped_because = _State.PURGING, by, ""
        row.started_at = row.started_at or timezone.now()
        row.save(update_fields=["state", "allowed_by", "stopped_because", "started_at", "changed_at"])
        audit.record(ALLOWED, target=row)
        jobs.start_job(PURGING, run=row.pk)


def count(run: PurgeRun) -> bool:
    """Count what is due, as far as the time for one job goes; what was counted before is not counted again.

    Returns:
        whether all is counted.

    Raises:
        Problem: if the mail root is not there.
        MailServiceDown: if the mail service does not answer.
    """
    mail.check_mail_root()
    with _driven(run) as is_ours:
        if not is_ours:
            return True  # Who is at work on it goes on with it.
        _count(run)
    return run.state != _State.COUNTING


def _count(run: PurgeRun) -> None:
    level: Level = run.change.level if run.change else None
    until = time.monotonic() + AT_A_TIME
    while run.state == _State.COUNTING:
        page = list(due.mailboxes_below(level).filter(pk__gt=run.after)[: due.PAGE])
        found = due.find_due(page, now=run.now, change=run.change)
        with transaction.atomic():
            row = PurgeRun.objects.select_for_update().get(pk=run.pk)
            if row.state != _State.COUNTING or row.after != run.after:
                break  # It was cancelled.
            _keep(row, page, found)
        run.refresh_from_db()
        jobs.note_progress({"mailboxes": run.looked_at, "messages": run.messages})
        if time.monotonic() > until:
            return
    run.refresh_from_db()


def begin(run: PurgeRun) -> bool:
    """Have a counted run purge, unless that is far more than was to be expected: then it stops and asks.

    Returns:
        whether it purges.
    """
    with transaction.atomic():
        row = PurgeRun.objects.select_for_update().get(pk=run.pk)
        if row.state == _State.COUNTED:
            expected = _expected(row)
            if expected is not None and orders.is_far_more(row.messages, expected):
                row.state = _State.STOPPED
                row.stopped_because = (
                    f"It would purge {row.messages} messages; the runs before purged at most {expected}."
                )
            else:
                row.state, row.started_at = _State.PURGING, timezone.now()
            row.save(update_fields=["state", "started_at", "stopped_because", "changed_at"])
    run.refresh_from_db()
    return run.state == _State.PURGING


def purge(run: PurgeRun) -> bool:
    """Purge what a run counted, as far as the time for one job goes.

    Returns:
        whether nothing is left to do now: the run is over, or what is left is tried again later.

    Raises:
        Problem: if the mail root is not there.
        NobodyListens: if the mail service does not run.
    """
    mail.check_mail_root()
    with _driven(run) as is_ours:
        return _purge(run) if is_ours else True  # Who is at work on it goes on with it.


def waits_for_others(run: PurgeRun) -> bool:
    """Say whether all that is left of a run waits until another run is done with a mailbox."""
    waiting = run.items.filter(state=_Item.WAITING)
    return run.state == _State.PURGING and waiting.exists() and not waiting.filter(attempts__gt=0).exists()


def _purge(run: PurgeRun) -> bool:
    until = time.monotonic() + AT_A_TIME
    try:
        while orders.purge_next(run):
            _seen(run)
            jobs.note_progress(_progress_of(run))
            if time.monotonic() > until:
                return False
    except orders.Stopped:
        return True
    except orders.FarMore:
        _stop(run)
        return True
    _finish(run)
    return True


@contextmanager
def _driven(run: PurgeRun) -> Iterator[bool]:
    """Have no other process count or purge a run meanwhile; yield whether it could be had."""
    mine = this_process()
    row = PurgeRun.objects.get(pk=run.pk)
    as_seen = PurgeRun.objects.filter(pk=run.pk, worker=row.worker, seen_at=row.seen_at)
    is_ours = _is_free(row) and bool(as_seen.update(worker=mine, seen_at=timezone.now()))
    run.refresh_from_db()
    try:
        yield is_ours
    finally:
        if is_ours:
            PurgeRun.objects.filter(pk=run.pk, worker=mine).update(worker="", seen_at=timezone.now())
        run.refresh_from_db()


def _is_free(run: PurgeRun) -> bool:
    """Say whether no process that lives is at work on a run."""
    left = run.seen_at is not None and run.seen_at < timezone.now() - LEFT_AFTER
    return not run.worker or is_gone(run.worker) or left


def _seen(run: PurgeRun) -> None:
    PurgeRun.objects.filter(pk=run.pk, worker=this_process()).update(seen_at=timezone.now())


def to_be_resumed(now: datetime) -> list[tuple[PurgeRun, str]]:
    """Return the runs that nobody is at work on, though something is to be done, and the job that does it."""
    waiting = PurgeRun.objects.filter(
        Q(state__in=[_State.COUNTING, _State.PURGING])
        | Q(
            state=_State.COUNTED,
            change__confirmed_at__isnull=False,
            change__done_at__isnull=False,
            change__starts_at__lte=now,
        )
    ).order_by("pk")
    busy = {
        (job.kind, job.arguments.get("run"))
        for job in (*jobs.unfinished(COUNTING), *jobs.unfinished(PURGING))
    }
    found = []
    for run in waiting:
        kind = COUNTING if run.state == _State.COUNTING else PURGING
        if (kind, run.pk) in busy or not _is_free(run):
            continue
        later = run.items.filter(state=_Item.WAITING)
        if run.state == _State.PURGING and later.exists() and not orders.ready(later, now).exists():
            continue
        found.append((run, kind))
    return found


def report_of(run: PurgeRun) -> Report:
    """Return what a run purged, and what it could not."""
    report = Report(mailboxes=run.purged_mailboxes, messages=run.purged_messages, bytes=run.purged_bytes)
    for item in run.items.filter(state=_Item.FAILED).select_related("mailbox")[:NAMED]:
        report.add(_failure(item, mendable=False))
    for item in run.items.filter(state=_Item.WAITING).exclude(error="").select_related("mailbox")[:NAMED]:
        report.add(_failure(item, mendable=True))
    if run.state == _State.STOPPED:
        report.add(Failure(str(run), run.stopped_because, mended=False, mendable=False))
    return report


def _failure(item: PurgeItem, *, mendable: bool) -> Failure:
    return Failure(f"{item.mailbox.address}: {item.folder}", item.error, mended=False, mendable=mendable)


def _locked(run: PurgeRun, *, from_states: Sequence[PurgeRun.State]) -> PurgeRun:
    row = PurgeRun.objects.select_for_update().filter(pk=run.pk, state__in=from_states).first()
    if row is None:
        raise Conflict(_("It is in another state by now. Look at it again."))
    return row


# -- counting -------------------------------


def _keep(run: PurgeRun, page: Sequence[Mailbox], found: due.Found) -> None:
    """Keep what was found in a page; without a page all is counted. The run is locked."""
    PurgeItem.objects.bulk_create(
        [
            PurgeItem(
                run=run,
                mailbox=each.mailbox,
                folder=each.folder,
                rule=in_words(each.rule),
                cutoff=each.cutoff,
                messages=each.messages,
                bytes=each.bytes,
                oldest=each.oldest,
                newest=each.newest,
            )
            for each in found.due
        ],
        batch_size=200,
        ignore_conflicts=True,
    )
    _keep_failures(run, page, found)
    if page:
        run.after = page[-1].pk
        run.looked_at += len(page)
    if len(page) < due.PAGE:
        run.state, run.counted_at = _State.COUNTED, timezone.now()
    run.mailboxes += found.mailboxes
    run.messages += found.messages
    run.bytes += found.bytes
    oldest = [run.oldest, *(each.oldest for each in found.due)]
    newest = [run.newest, *(each.newest for each in found.due)]
    run.oldest = min((at for at in oldest if at), default=None)
    run.newest = max((at for at in newest if at), default=None)
    run.save()


def _keep_failures(run: PurgeRun, page: Sequence[Mailbox], found: due.Found) -> None:
    """Keep what could not be looked at: as items without a message, which have failed."""
    mailboxes = {mailbox.address: mailbox for mailbox in page}
    items = [
        PurgeItem(
            run=run,
            mailbox=mailboxes[failure.subject],
            folder="",
            rule="",
            cutoff=run.now,
            messages=0,
            bytes=0,
            state=_Item.FAILED,
            error=failure.problem,
        )
        for failure in {failure.subject: failure for failure in found.failures}.values()
    ]
    PurgeItem.objects.bulk_create(items, batch_size=200, ignore_conflicts=True)
    run.failures += len(items)


def in_words(rule: Effective) -> str:
    """Return whose rule it is and what it says, as the audit trail keeps it: English, like all that is kept."""
    whose = "the platform" if rule.level is None else str(rule.level)
    return f"{rule.folder}: {rule.days} {'day' if rule.days == 1 else 'days'} ({whose})"


def _expected(run: PurgeRun) -> int | None:
    """Return how many messages the runs before purged at most; None where nothing is compared with them.

    What somebody asks for is what was counted a moment ago, and a change was confirmed with its figures.
    """
    if run.kind != PurgeRun.Kind.NIGHTLY or run.allowed_by_id is not None:
        return None
    before = PurgeRun.objects.filter(state=_State.DONE, pk__lt=run.pk).order_by("-pk")[:RUNS_BEFORE]
    return max((each.messages for each in before), default=0)


# -- purging --------------------------------


def _stop(run: PurgeRun) -> None:
    """Stop a run that would purge far more than it counted, until somebody allows it."""
    row = PurgeRun.objects.get(pk=run.pk)
    PurgeRun.objects.filter(pk=run.pk, state=_State.PURGING).update(
        state=_State.STOPPED,
        stopped_because=f"It would purge far more than the {row.messages} messages that were counted: "
        f"{row.purged_messages} went so far.",
        changed_at=timezone.now(),
    )


def _finish(run: PurgeRun) -> None:
    """End a run that has nothing left to do; one that tries something again later goes on then."""
    if run.items.filter(state=_Item.WAITING).exists():
        return
    PurgeRun.objects.filter(pk=run.pk, state=_State.PURGING).update(
        state=_State.DONE, finished_at=timezone.now(), changed_at=timezone.now()
    )


def _progress_of(run: PurgeRun) -> dict[str, Any]:
    run.refresh_from_db()
    return {"mailboxes": run.purged_mailboxes, "messages": run.purged_messages, "bytes": run.purged_bytes}
