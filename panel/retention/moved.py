"""Mailboxes and domains that come below others: nothing of theirs ends earlier because of that.

Who moves one confirmed no rule. What counted until then, and would end less than what counts there, becomes its own:
rules, how long deleted messages can be recovered, and for how many days copies are kept of what POP deletes. A change
that waits and would have it say nothing itself any more is cancelled: it was counted by what would be inherited before.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbackend.dovecot.names import RECOVERABLE
from panel.addresses import services
from panel.addresses.inherited import PopPolicy, what_counts
from panel.addresses.inheriting import set_inherited
from panel.addresses.models import Domain, Mailbox
from panel.core.jobs import start_job
from panel.retention import changing
from panel.retention.rules import Effective, columns, ends_sooner, levels_of, said_at, with_change


def keep_what_counts(row: Mailbox | Domain) -> Callable[[Mailbox | Domain], None]:
    """Note what counts for a mailbox or domain; what is returned makes it its own where less would be kept.

    Args:
        row: before it moves, locked.
    """
    above, said, counted = levels_of(row)[1:], said_at(row), what_counts(row)

    def keep(moved: Mailbox | Domain) -> None:
        if levels_of(moved)[1:] == above:
            return  # It has another name alone.
        for change in changing.waiting_changes().filter(**columns(moved), removes=True):
            changing.cancel(change)
        for folder, kept in ends_sooner(_will_be_said(moved), said):
            changing.keep(moved, folder, kept)
        there = changing.recovery_days_later(moved, moved.recovery_days)
        if min(there, what_counts(moved).recovery_days) < counted.recovery_days:
            changing.keep_recovery_days(moved, counted.recovery_days)
        _keep_pop_policy(moved, counted.pop)

    return keep


def _will_be_said(row: Mailbox | Domain) -> list[Effective]:
    """Return what is said for a row, with the changes that wait: these were counted without it."""
    said = said_at(row)
    for change in changing.waiting_at(row):
        if change.level != row and change.folder != RECOVERABLE:
            said = with_change(said, change)
    return said


def _keep_pop_policy(row: Mailbox | Domain, before: PopPolicy) -> None:
    """Keep copies of what POP deletes for as many days as before where they would be kept for fewer.

    Otherwise what POP hides follows what counts there; of a domain that is done where it moves.
    """
    counts = what_counts(row).pop
    if counts == before:
        return
    if _ends_sooner(counts, before):
        if isinstance(row, Mailbox):
            services.set_pop_policy(mailbox=row, policy=before.as_command)
        else:
            set_inherited(level=row, default_quota_bytes=row.default_quota_bytes, pop=before)
    elif isinstance(row, Mailbox):
        start_job("follow_pop_policy", mailbox=row.pk)


def _ends_sooner(after: PopPolicy, before: PopPolicy) -> bool:
    """Say whether copies end that did not, or earlier than before. Deleting at once ends none: POP is offered them."""
    if after.deletes != Mailbox.PopDeletes.KEEP_DAYS:
        return False
    if before.deletes == Mailbox.PopDeletes.KEEP_DAYS:
        return (after.days or 0) < (before.days or 0)
    return before.deletes == Mailbox.PopDeletes.KEEP
