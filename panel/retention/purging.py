"""The purge: whatever is over ends, mailboxes that were deleted and copies of what POP deleted."""

from __future__ import annotations

from datetime import datetime

from mailbackend.dovecot.doveadm import NobodyListens
from panel.addresses import purging
from panel.addresses.report import Failure, Report
from panel.retention import kept_copies


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
