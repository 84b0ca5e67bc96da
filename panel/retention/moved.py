"""Mailboxes and domains that come below others: nothing of theirs ends earlier because of that.

Who moves one confirmed no rule. What counted until then, and would end less than what counts there, becomes its own.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbackend.dovecot.names import RECOVERABLE
from panel.addresses.inherited import what_counts
from panel.addresses.models import Domain, Mailbox
from panel.retention import changing
from panel.retention.rules import Effective, ends_sooner, levels_of, said_at, with_change


def keep_what_counts(row: Mailbox | Domain) -> Callable[[Mailbox | Domain], None]:
    """Note what counts for a mailbox or domain; what is returned makes it its own where less would be kept.

    Args:
        row: before it moves, locked.
    """
    said, days = said_at(row), what_counts(row).recovery_days

    def keep(moved: Mailbox | Domain) -> None:
        for folder, kept in ends_sooner(_will_be_said(moved), said):
            changing.keep(moved, folder, kept)
        if what_counts(moved).recovery_days < days:
            changing.keep_recovery_days(moved, days)

    return keep


def _will_be_said(row: Mailbox | Domain) -> list[Effective]:
    """Return what is said for a row, with the changes that wait: these were counted without it."""
    said = said_at(row)
    above = levels_of(row)[1:]
    for change in changing.waiting_changes().filter(mailbox=None):
        if change.level in above and change.folder != RECOVERABLE:
            said = with_change(said, change)
    return said
