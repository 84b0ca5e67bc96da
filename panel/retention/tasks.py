"""Jobs of the part."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.addresses.selectors import living_mailboxes
from panel.core.clock import moment
from panel.core.jobs import job_kind, start_alone, start_job
from panel.core.schedule import look
from panel.retention import following, kept_copies, making_room, purging, runs, switching
from panel.retention.models import PurgeRun


@job_kind(_("Removing what is over: deleted mailboxes, copies of what POP deleted"))
def purge(*, at: str | None = None, dry_run: bool = False, asked: bool = False) -> dict[str, Any]:
    """Purge what was deleted longer ago than it can be restored, end copies whose days are over, and what is due.

    What is due by the rules is purged here where somebody asked for it; each night by jobs of its own.
    """
    now = moment(at, dry_run=dry_run)
    report, last = purging.purge(now=now, dry_run=dry_run)
    if last is not None:
        start_job("end_kept_copies", at=at, dry_run=dry_run, after=last)
    if asked or dry_run:
        purging.with_rules(report, now=now, dry_run=dry_run)
    else:
        purging.start_nightly(now=now)
    return report.as_json()


@job_kind(_("Counting what is due by the rules of retention"))
def count_purge(*, run: int) -> dict[str, Any]:
    """Count what a run is about; unless it is a preview, it purges then."""
    row = PurgeRun.objects.get(pk=run)
    if not runs.count(row):
        start_job(runs.COUNTING, run=run)
    elif row.kind != PurgeRun.Kind.CHANGE and row.state == PurgeRun.State.COUNTED:
        start_job(runs.PURGING, run=run)
    return {"mailboxes": row.mailboxes, "messages": row.messages, "bytes": row.bytes}


@job_kind(_("Purging by the rules of retention"))
def purge_by_rules(*, run: int) -> dict[str, Any]:
    """Purge what a run counted; what one job leaves is another one's."""
    row = PurgeRun.objects.get(pk=run)
    if runs.begin(row) and not runs.purge(row):
        start_job(runs.PURGING, run=run)
    row.refresh_from_db()
    return runs.report_of(row).as_json()


@job_kind(_("Ending copies of what POP deleted"))
def end_kept_copies(*, at: str | None = None, dry_run: bool = False, after: int = 0) -> dict[str, Any]:
    """End copies whose days are over; what one run leaves is another job's."""
    report, last = kept_copies.end_due(now=moment(at, dry_run=dry_run), dry_run=dry_run, after=after)
    if last is not None:
        start_job("end_kept_copies", at=at, dry_run=dry_run, after=last)
    return report.as_json()


@job_kind(_("Noting copies of what POP deleted"), hidden=True)
def note_kept_copies() -> dict[str, Any]:
    """Note since when there is a copy, where POP deleted something lately; a mailbox that is almost full gets room."""
    report = kept_copies.end_due_of_lately(now=timezone.now())
    making_room.start_where_needed()
    return report.as_json()


@job_kind(_("Making room in mailboxes that are almost full"))
def make_room(*, mailboxes: list[int]) -> dict[str, Any]:
    """End the oldest kept copies of some mailboxes."""
    return making_room.make_room(mailboxes).as_json()


@job_kind(_("Following what becomes of messages that POP deletes"), hidden=True)
def follow_pop_policy(*, mailbox: int, end_hidden: bool = False, again: bool = True) -> dict[str, Any]:
    """Have what POP hides in a mailbox follow what counts there now, and once more a little later."""
    row = living_mailboxes().filter(pk=mailbox).first()
    if row is None:
        return {}
    if again:
        start_job(
            "follow_pop_policy",
            delay=following.LOOK_AGAIN_AFTER,
            mailbox=mailbox,
            end_hidden=end_hidden,
            again=False,
        )
    return dict(following.follow(row, end_hidden=end_hidden))


@job_kind(_("Following what mailboxes inherit about POP"))
def follow_inherited_pop_policy(*, level: str, pk: int, after: int = 0, again: bool = True) -> dict[str, Any]:
    """Do the same in all mailboxes that inherit from a level; what one run leaves is another job's."""
    row = following.level_of(level, pk)
    if row is None:
        return {}
    if again and not after:
        start_job(
            "follow_inherited_pop_policy", delay=following.LOOK_AGAIN_AFTER, level=level, pk=pk, again=False
        )
    report, last = following.follow_below(row, after=after)
    if last is not None:
        start_job("follow_inherited_pop_policy", level=level, pk=pk, after=last, again=again)
    return report.as_json()


@job_kind(_("Bringing back what POP deleted"))
def restore_what_pop_deleted(*, mailbox: int, until: str) -> dict[str, Any]:
    """Bring back what was removed from a mailbox by POP, or by a job after POP had deleted it."""
    row = living_mailboxes().filter(pk=mailbox).first()
    return {} if row is None else switching.restore_what_pop_deleted(row, until=until)


@job_kind(_("Offering hidden messages to POP again"))
def show_hidden_messages(*, mailbox: int) -> dict[str, Any]:
    """Offer to POP again what it hides in a mailbox."""
    row = living_mailboxes().filter(pk=mailbox).first()
    return {} if row is None else {"shown": kept_copies.show_copies(row, kept_copies.hidden_in(row))}


@look(_("Looking where POP deleted something"))
def start_noting_kept_copies() -> None:
    """Start the job above where POP deleted something lately: mostly nothing did."""
    if kept_copies.lately_deleted_from(timezone.now()).exists():
        start_alone("note_kept_copies")


@look(_("Looking for mailboxes that are almost full"))
def start_making_room() -> None:
    """Start the job above where a mailbox that keeps copies is almost full."""
    making_room.start_where_needed()


@look(_("Looking for changes of retention that start, and for purges to go on with"))
def start_waiting_purges() -> None:
    """Start what was confirmed and is due, and the jobs of runs that were cut off or try something again."""
    purging.start_changes(now=timezone.now())
