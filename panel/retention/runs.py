"""Runs of the rules: first one counts what is due (a preview), then it purges just that.

A run counts days back from a moment that is stored with it, so that a preview, the purge after it, and one that was cut
off and goes on are about the same messages. What is about to go is written down before it goes: a process that is
killed in between leaves what the next one finds out. No two runs are at work in one mailbox at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens, Old, OldMessage, UnknownMailbox
from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure, Report
from panel.core import audit, jobs, mail
from panel.core.errors import Conflict
from panel.core.processes import is_gone, this_process
from panel.retention import due
from panel.retention.models import PurgeItem, PurgeRun, RuleChange
from panel.retention.rules import Effective, Level, for_folder, said_in

#: The jobs that count and that purge.
COUNTING, PURGING = "count_purge", "purge_by_rules"
#: What the audit trail calls what a run purged from a folder of a mailbox, and what people do to runs.
PURGED, ALLOWED, CANCELLED = "mailbox.purged_by_rule", "purge.allowed", "purge.cancelled"
#: Messages that go in one order: whoever uses the mailbox waits for no more than that.
AT_ONCE = 2_000
#: Seconds to wait for an answer while a transaction is open, and that one job may go on before the next one does.
WAIT_IN_TRANSACTION, AT_A_TIME = 20.0, 1200.0
#: How often a mailbox is tried that fails, and the seconds before each time.
RETRY_AFTER = (30, 120, 600)
#: How long another purge of the same mailbox is waited for before the next look. Seconds.
BUSY_FOR = 1
#: A run whose process is on another machine, and said nothing for so long, was left by it.
LEFT_AFTER = timedelta(minutes=10)
#: How many of the runs before say what is to be expected of the next.
RUNS_BEFORE = 14
#: Failures that a report names.
NAMED = 200

_State, _Item = PurgeRun.State, PurgeItem.State


class _Stopped(Exception):
    """The run purges no more: it was cancelled, or it stopped itself."""


class _FarMore(Exception):
    """The run would purge far more than it counted."""


class _Left(Exception):
    """A mailbox's folder is left alone; says why."""


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
            if expected is not None and is_far_more(row.messages, expected):
                row.state = _State.STOPPED
                row.stopped_because = (
                    f"It would purge {row.messages} messages; the runs before purged at most {expected}."
                )
            else:
                row.state, row.started_at = _State.PURGING, timezone.now()
            row.save(update_fields=["state", "started_at", "stopped_because", "changed_at"])
    run.refresh_from_db()
    return run.state == _State.PURGING


def is_far_more(messages: int, expected: int) -> bool:
    """Say whether so many messages are far more than was to be expected."""
    return messages >= settings.PURGE_STOPS_FROM and messages > settings.PURGE_STOPS_AT * expected


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
    while (item := _next_item(run)) is not None:
        _seen(run)
        try:
            _purge_item(run, item)
        except _Stopped:
            _release(item)
            return True
        except _FarMore:
            _release(item)
            _stop(run)
            return True
        jobs.note_progress(_progress_of(run))
        if time.monotonic() > until:
            return False
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
        if run.state == _State.PURGING and later.exists() and not _ready(later, now).exists():
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


def _ready(items: QuerySet[PurgeItem], now: datetime) -> QuerySet[PurgeItem]:
    return items.filter(Q(next_at=None) | Q(next_at__lte=now))


def _next_item(run: PurgeRun) -> PurgeItem | None:
    waiting = run.items.filter(state=_Item.WAITING).select_related("mailbox__domain__customer")
    return _ready(waiting, timezone.now()).order_by("mailbox_id", "pk").first()


def _purge_item(run: PurgeRun, item: PurgeItem) -> None:
    """Purge what is due in one folder. What goes wrong there is the item's, and not the run's.

    Raises:
        NobodyListens: if the mail service does not run.
    """
    try:
        if not _claim(item):
            _later(item, "Another purge is at work in this mailbox.", counts=False)
            return
        _settle(run, item)
        _purge_folder(run, item)
        _end(run, item, _Item.DONE)
    except _Left as reason:
        _end(run, item, _Item.LEFT, str(reason))
    except UnknownMailbox:
        _end(run, item, _Item.LEFT, "The mailbox was deleted or has another address.")
    except NobodyListens:
        raise
    except DoveadmError as err:
        if item.attempts < len(RETRY_AFTER):
            _later(item, str(err), counts=True)
        else:
            _end(run, item, _Item.FAILED, str(err))


def _claim(item: PurgeItem) -> bool:
    """Have nobody else purge this mailbox; say whether it could be had."""
    _free_from_the_dead(item)
    try:
        with transaction.atomic():
            PurgeItem.objects.filter(pk=item.pk, state=_Item.WAITING).update(busy=True)
    except IntegrityError:
        return False
    item.busy = True
    return True


def _free_from_the_dead(item: PurgeItem) -> None:
    """Settle what a run that is over has left at work in the mailbox."""
    others = PurgeItem.objects.filter(mailbox=item.mailbox_id, busy=True).exclude(pk=item.pk)
    for other in others.filter(run__state__in=PurgeRun.OVER).select_related(
        "run", "mailbox__domain__customer"
    ):
        _settle(other.run, other)
        PurgeItem.objects.filter(pk=other.pk).update(busy=False)


def _settle(run: PurgeRun, item: PurgeItem) -> None:
    """Find out what went of what was about to go when a process was killed, and count that."""
    item.refresh_from_db(fields=["in_flight"])
    if not item.in_flight:
        return
    sizes = {int(uid): int(size) for uid, size in item.in_flight}
    api = mail.doveadm(timeout=due.WAIT)
    there = due.still_old(api, item.mailbox.address, item.folder, sizes, item.cutoff)
    gone = [OldMessage(uid, item.cutoff, size) for uid, size in sizes.items()]
    left = {message.uid for message in there}
    with transaction.atomic():
        _count_purged(run, item, [message for message in gone if message.uid not in left])


def _purge_folder(run: PurgeRun, item: PurgeItem) -> None:
    api = mail.doveadm(timeout=due.WAIT)
    (folders,) = api.folders_of([(item.mailbox.address, [item.folder])])
    if isinstance(folders, DoveadmError):
        raise folders
    next_uid = next((folder.next_uid for folder in folders if folder.name == item.folder), 1)
    for window in due.windows(1, next_uid):
        (old,) = api.old_messages([Old(item.mailbox.address, item.folder, window, item.cutoff)])
        if isinstance(old, DoveadmError):
            raise old
        for start in range(0, len(old), AT_ONCE):
            _purge_some(run, item, old[start : start + AT_ONCE])


def _purge_some(run: PurgeRun, item: PurgeItem, messages: Sequence[OldMessage]) -> None:
    """Write down what is about to go, then have it go and count it."""
    in_flight = [[message.uid, message.size] for message in messages]
    PurgeItem.objects.filter(pk=item.pk).update(in_flight=in_flight)
    api = mail.doveadm(timeout=WAIT_IN_TRANSACTION)
    address = item.mailbox.address
    with transaction.atomic():
        _check(run, item, len(messages))
        # Whoever uses the mailbox may have removed some: these are not the run's.
        mine = due.still_old(api, address, item.folder, (message.uid for message in messages), item.cutoff)
        if mine:
            _record(item, len(mine))
            api.end_old(address, item.folder, [message.uid for message in mine], item.cutoff)
        _count_purged(run, item, mine)


def _check(run: PurgeRun, item: PurgeItem, more: int) -> None:
    """Lock mailbox and run, and check that the messages may go still.

    Raises:
        _Left: if the mailbox keeps them by now.
        _Stopped: if the run does not go on.
        _FarMore: if it would purge far more than it counted.
    """
    rows = Mailbox.objects.select_for_update(of=("self",)).select_related("domain__customer")
    mailbox = rows.filter(pk=item.mailbox_id, address=item.mailbox.address).first()
    if mailbox is None or mailbox.deleted_at or mailbox.purging_at or mailbox.domain.deleted_at:
        raise _Left("The mailbox was deleted or has another address.")
    if mailbox.held_at:
        raise _Left("The mailbox is under a legal hold.")
    if mailbox.suspended_at or mailbox.domain.is_suspended:
        raise _Left("The mailbox is suspended.")
    rule = for_folder(said_in([mailbox])[mailbox.pk], item.folder)
    if rule is None or rule.days is None or due.cutoff_of(run.now, rule.days) < item.cutoff:
        raise _Left("What is kept there was changed: these messages are kept longer by now.")
    row = PurgeRun.objects.select_for_update().get(pk=run.pk)
    if row.state != _State.PURGING:
        raise _Stopped
    if row.allowed_by_id is None and is_far_more(row.purged_messages + more, row.messages):
        raise _FarMore


def _stop(run: PurgeRun) -> None:
    """Stop a run that would purge far more than it counted, until somebody allows it."""
    row = PurgeRun.objects.get(pk=run.pk)
    PurgeRun.objects.filter(pk=run.pk, state=_State.PURGING).update(
        state=_State.STOPPED,
        stopped_because=f"It would purge far more than the {row.messages} messages that were counted: "
        f"{row.purged_messages} went so far.",
        changed_at=timezone.now(),
    )


def _count_purged(run: PurgeRun, item: PurgeItem, purged: Sequence[OldMessage]) -> None:
    """Count what went, and forget what was about to go."""
    messages, size = len(purged), sum(message.size for message in purged)
    first = messages > 0 and not run.items.filter(mailbox=item.mailbox_id, purged_messages__gt=0).exists()
    PurgeItem.objects.filter(pk=item.pk).update(
        purged_messages=F("purged_messages") + messages,
        purged_bytes=F("purged_bytes") + size,
        in_flight=[],
    )
    if messages:
        PurgeRun.objects.filter(pk=run.pk).update(
            purged_messages=F("purged_messages") + messages,
            purged_bytes=F("purged_bytes") + size,
            purged_mailboxes=F("purged_mailboxes") + int(first),
            changed_at=timezone.now(),
        )


def _record(item: PurgeItem, messages: int) -> None:
    audit.record(
        PURGED,
        target=item.mailbox,
        customer_id=item.mailbox.domain.customer_id,
        after={"purged_messages": messages, "rule_folder": item.folder, "rule": item.rule},
    )


def _release(item: PurgeItem) -> None:
    """Let others at the mailbox: nothing of what was about to go went."""
    PurgeItem.objects.filter(pk=item.pk).update(busy=False, in_flight=[])


def _later(item: PurgeItem, error: str, *, counts: bool) -> None:
    """Have an item tried again later."""
    wait = RETRY_AFTER[min(item.attempts, len(RETRY_AFTER) - 1)] if counts else BUSY_FOR
    item.refresh_from_db(fields=["busy", "in_flight"])
    PurgeItem.objects.filter(pk=item.pk).update(
        next_at=timezone.now() + timedelta(seconds=wait),
        attempts=F("attempts") + int(counts),
        error=error,
        # Of what was about to go it is not known yet what went: until that is found out nobody else begins.
        busy=item.busy and bool(item.in_flight),
    )


def _end(run: PurgeRun, item: PurgeItem, state: PurgeItem.State, error: str = "") -> None:
    PurgeItem.objects.filter(pk=item.pk).update(
        state=state, error=error, busy=False, in_flight=[], next_at=None
    )
    if state == _Item.FAILED:
        PurgeRun.objects.filter(pk=run.pk).update(failures=F("failures") + 1, changed_at=timezone.now())


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
