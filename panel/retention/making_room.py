"""Room in mailboxes that are almost full: the oldest kept copies end before a sender is told that it is full.

Looked for twice a minute, and Dovecot is asked only about mailboxes that changed (panel.quotas.looking). A message that
is larger than what is left above the line can still come too early.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens, UnknownMailbox
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure, Report
from panel.addresses.selectors import living_mailboxes
from panel.addresses.usage import file_state
from panel.core import mail
from panel.core.jobs import start_job
from panel.core.models import AuditEntry, Job
from panel.quotas.looking import Looking
from panel.retention.kept_copies import (
    ENDED_EARLY,
    WAIT,
    Copy,
    count,
    end_copies,
    hidden_in,
    note_copies,
)
from panel.retention.models import KeptCopy

#: From here on copies end early. Percent of the quota.
ALMOST_FULL = 90
#: Mailboxes whose rows are looked at together.
PAGE = 500
#: How long people are told that copies ended early.
TOLD_FOR = timedelta(days=7)


def start_where_needed() -> Job | None:
    """Start the job that makes room, where a mailbox that keeps copies is almost full; return it."""
    # One that was lost with its worker is queued again, and one that failed is tried again: neither needs another.
    if Job.objects.filter(kind="make_room", state__in=[Job.State.QUEUED, Job.State.RUNNING]).exists():
        return None
    found = almost_full(_that_keep_copies())
    return start_job("make_room", mailboxes=found) if found else None


def almost_full(mailboxes: Iterable[Mailbox]) -> list[int]:
    """Return the keys of those mailboxes that are almost full; those that changed are looked at first.

    Args:
        mailboxes: with a quota each, read with `look`.

    Raises:
        DoveadmError: if the mail service does not answer. What is not known is looked at again.
    """
    looking = Looking(timezone.now())
    rows, found = iter(mailboxes), []
    while page := list(islice(rows, PAGE)):
        found += _almost_full(page, looking)
    return found


def make_room(mailboxes: Sequence[int]) -> Report:
    """End the oldest kept copies of mailboxes that are almost full, no more than is needed.

    Raises:
        Problem: if the mail root is not there. Nothing ends then.
        NobodyListens: if the mail service does not run.
    """
    mail.check_mail_root()
    report = Report()
    for mailbox in living_mailboxes().filter(pk__in=mailboxes, quota_bytes__gt=0, held_at=None):
        try:
            count(report, _make_room(mailbox))
        except UnknownMailbox:
            continue  # It was deleted or renamed a moment ago.
        except NobodyListens:
            raise
        except DoveadmError as err:
            problem = f"{err} It is tried again within a minute."
            report.add(Failure(mailbox.address, problem, mended=False, mendable=True))
    return report


def oldest_first(copies: Sequence[Copy], over: int) -> list[Copy]:
    """Return the oldest of `copies`, no more than must end so that `over` bytes are freed."""
    ended = []
    for copy in sorted(copies, key=lambda copy: (copy.ends_from, copy.message.uid)):
        if over <= 0:
            break
        ended.append(copy)
        over -= copy.message.size
    return ended


def last_ended_early(mailbox: Mailbox, now: datetime) -> AuditEntry | None:
    """Return what the audit trail says of copies of a mailbox that ended early last, if that was lately."""
    entries = AuditEntry.objects.filter(
        action=ENDED_EARLY, target_kind="mailbox", target_id=mailbox.pk, at__gte=now - TOLD_FOR
    )
    return entries.first()


def _make_room(mailbox: Mailbox) -> list[Copy]:
    assert mailbox.quota_bytes
    quota = mail.doveadm(timeout=WAIT).quota(mailbox.address)
    over = quota.used_bytes - mailbox.quota_bytes * ALMOST_FULL // 100
    if over < 0:
        return []
    copies = note_copies(mailbox, hidden_in(mailbox), seen_at=timezone.now())
    return end_copies(mailbox, oldest_first(copies, over + 1), ENDED_EARLY)


def _that_keep_copies() -> Iterable[Mailbox]:
    copies = KeptCopy.objects.filter(mailbox=OuterRef("pk"))
    rows = living_mailboxes().select_related("look").filter(Exists(copies), quota_bytes__gt=0, held_at=None)
    return rows.order_by("pk").iterator(chunk_size=PAGE)


def _almost_full(page: Sequence[Mailbox], looking: Looking) -> list[int]:
    known = {mailbox.pk: _known_of(mailbox) for mailbox in page}
    looked = looking.look_at({pk: state for pk, (state, used) in known.items() if used is None})
    found = []
    for mailbox in page:
        used = known[mailbox.pk][1]
        if used is None and mailbox.pk in looked.quotas:
            used = looked.quotas[mailbox.pk].used_bytes
        # One without an answer was deleted or renamed a moment ago, or is asked about again next time.
        if used is not None and mailbox.quota_bytes and used * 100 >= mailbox.quota_bytes * ALMOST_FULL:
            found.append(mailbox.pk)
    return found


def _known_of(mailbox: Mailbox) -> tuple[str, int | None]:
    """Return the state that a mailbox is in, and what it holds if it was in that state at the last look."""
    state = file_state(settings.DATA_DIR.mail, mailbox.home, mailbox.quota_bytes)
    look = getattr(mailbox, "look", None)
    return state, look.used_bytes if look is not None and look.file_state == state else None
