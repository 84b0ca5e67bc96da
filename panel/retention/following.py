"""What POP hides follows what becomes of messages that POP deletes, when that changes.

- From now on deleted at once: what POP hid until then would stay hidden for ever. POP is offered it again, or, where
  whoever changed it chose so, it ends and can be recovered. Under a legal hold nothing ends: it is offered again.
- From now on kept until it is deleted over IMAP: nothing ends it any more.
- From now on kept for some days: the days of what is hidden already count from now.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.utils import timezone

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens, UnknownMailbox
from panel.accounts.models import Customer
from panel.addresses.inherited import Level, inheriting_pop_policy, pop_policies, what_counts
from panel.addresses.models import Domain, Mailbox
from panel.addresses.report import Failure, Report
from panel.addresses.selectors import living_mailboxes
from panel.core import jobs, mail
from panel.core.models import Installation
from panel.retention.kept_copies import (
    AT_A_TIME,
    ENDED,
    PAGE,
    end_copies,
    hidden_in,
    note_copies,
    show_copies,
)
from panel.retention.models import KeptCopy

#: A session that began before goes on as it began, and may hide messages when it ends: it is looked at again then.
LOOK_AGAIN_AFTER = timedelta(minutes=30)


def follow(mailbox: Mailbox, *, end_hidden: bool = False) -> dict[str, int]:
    """Have what POP hides in a mailbox follow what counts there now.

    Args:
        mailbox: which; read with `domain__customer`.
        end_hidden: whether it ends where messages are deleted at once, or else is shown to POP again.

    Returns:
        how many messages ended, and how many are shown.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    deletes = what_counts(mailbox).pop.deletes
    result = {"ended": 0, "shown": 0}
    if deletes == Mailbox.PopDeletes.KEEP:
        KeptCopy.objects.filter(mailbox=mailbox).delete()
        return result
    hidden = hidden_in(mailbox)
    if deletes == Mailbox.PopDeletes.KEEP_DAYS:
        note_copies(mailbox, hidden, seen_at=timezone.now())
    elif end_hidden and not mailbox.held_at:
        copies = note_copies(mailbox, hidden, seen_at=timezone.now())
        result["ended"] = len(end_copies(mailbox, copies, ENDED, only_if_kept=False))
    else:
        result["shown"] = show_copies(mailbox, hidden)
    return result


def follow_below(level: Level, *, after: int = 0) -> tuple[Report, int | None]:
    """Do the same in every mailbox that inherits from a level; nothing ends, what must change is shown again.

    Args:
        level: the platform, a customer or a domain.
        after: the key of the mailbox that was done last by the run before.

    Returns:
        mailboxes where something is shown again, the messages, and what could not be done; and the key of the mailbox
        that was done last if the time for one run is over, or None if all were done.

    Raises:
        Problem: if the mail root is not there.
        NobodyListens: if the mail service does not run.
    """
    mail.check_mail_root()
    report = Report()
    until = time.monotonic() + AT_A_TIME
    below = (
        living_mailboxes().filter(pk__in=inheriting_pop_policy(level).order_by().values("pk")).order_by("pk")
    )
    while page := list(below.filter(pk__gt=after)[:PAGE]):
        after = page[-1].pk
        policies = pop_policies(page)
        for mailbox in page:
            # What is kept for days is noted by the nightly look; until then it counts from later.
            if policies[mailbox.pk].deletes != Mailbox.PopDeletes.KEEP_DAYS:
                _follow_one(mailbox, report)
        jobs.note_progress(report.as_json())
        if time.monotonic() > until:
            return report, after
    return report, None


def level_of(kind: str, pk: int) -> Level | None:
    """Return the level that a job is about, or None if it is gone."""
    models: dict[str, Any] = {"platform": Installation, "customer": Customer, "domain": Domain}
    found: Level | None = models[kind].objects.filter(pk=pk).first()
    return found


def _follow_one(mailbox: Mailbox, report: Report) -> None:
    try:
        shown = follow(mailbox)["shown"]
    except UnknownMailbox:
        return  # It was deleted or renamed a moment ago.
    except NobodyListens:
        raise
    except DoveadmError as err:
        problem = f"{err} Its messages stay hidden from POP: save what it inherits again."
        report.add(Failure(mailbox.address, problem, mended=False, mendable=True))
        return
    if shown:
        report.mailboxes += 1
        report.messages += shown
