"""Room in mailboxes that are almost full: the oldest kept copies end before a sender is told that it is full.

Looked for twice a minute. Dovecot touches one file of a mailbox whenever what it holds changes: only where that file
changed since it was looked at is Dovecot asked how full the mailbox is. A message that is larger than what is left
above the line can still come too early.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from mailbackend.dovecot.doveadm import Command, DoveadmError, NobodyListens, UnknownMailbox, read_quota
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure, Report
from panel.core import mail
from panel.core.jobs import start_job
from panel.core.models import AuditEntry, Job
from panel.retention.kept_copies import (
    ENDED_EARLY,
    WAIT,
    Copy,
    count,
    end_copies,
    hidden_in,
    living_mailboxes,
    note_copies,
)
from panel.retention.models import KeptCopy

#: From here on copies end early. Percent of the quota.
ALMOST_FULL = 90
#: Mailboxes of one question, and seconds to wait for its answer.
TOGETHER, ANSWER_WITHIN = 50, 30.0
#: What a file's state is remembered as, and for how long: then Dovecot is asked once more. Seconds.
_REMEMBERED, _REMEMBERED_FOR = "fullness-looked-at-{}", 24 * 3600
#: How long a job that runs is waited for.
RUNS_FOR = timedelta(minutes=10)
#: How long people are told that copies ended early.
TOLD_FOR = timedelta(days=7)


def start_where_needed() -> Job | None:
    """Start the job that makes room, where a mailbox that keeps copies is almost full; return it."""
    # One that was lost with its worker keeps saying that it runs, and two at once end a copy once.
    running = Q(state=Job.State.RUNNING, started_at__gte=timezone.now() - RUNS_FOR)
    waiting = Job.objects.filter(Q(state=Job.State.QUEUED) | running, kind="make_room")
    if waiting.exists():
        return None
    found = almost_full(_that_keep_copies())
    return start_job("make_room", mailboxes=found) if found else None


def almost_full(mailboxes: Iterable[Mailbox]) -> list[int]:
    """Return the keys of those mailboxes that changed since they were looked at and are almost full.

    Raises:
        DoveadmError: if the mail service does not answer. What is not known is looked at again.
    """
    found: list[int] = []
    page: list[Mailbox] = []
    for mailbox in mailboxes:
        page.append(mailbox)
        if len(page) == TOGETHER:
            found += _almost_full(page)
            page = []
    return found + _almost_full(page)


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
    return (
        living_mailboxes()
        .filter(Exists(copies), quota_bytes__gt=0, held_at=None)
        .order_by("pk")
        .iterator(chunk_size=500)
    )


def _almost_full(page: Sequence[Mailbox]) -> list[int]:
    """Look at a page of mailboxes; the state of their files is taken before Dovecot is asked."""
    keys = {mailbox.pk: _REMEMBERED.format(mailbox.pk) for mailbox in page}
    remembered = cache.get_many(keys.values())
    states = {mailbox.pk: _state_of(mailbox) for mailbox in page}
    changed = [
        mailbox
        for mailbox in page
        if states[mailbox.pk] is None or remembered.get(keys[mailbox.pk]) != states[mailbox.pk]
    ]
    if not changed:
        return []
    commands = [Command("quotaGet", {"user": mailbox.address}) for mailbox in changed]
    answers = mail.doveadm(timeout=ANSWER_WITHIN).batch(commands)
    found, known = [], {}
    for mailbox, answer in zip(changed, answers, strict=True):
        if answer.error is not None:
            continue  # It was deleted or renamed a moment ago.
        used = read_quota(answer.rows).used_bytes
        if mailbox.quota_bytes and used * 100 >= mailbox.quota_bytes * ALMOST_FULL:
            found.append(mailbox.pk)
        else:
            known[keys[mailbox.pk]] = states[mailbox.pk]
    cache.set_many(known, _REMEMBERED_FOR)
    return found


def _state_of(mailbox: Mailbox) -> str | None:
    """Return the state of the file that changes with what a mailbox holds, or None where there is none yet."""
    file = settings.DATA_DIR.mail / mailbox.home / "Maildir" / "dovecot.list.index.log"
    try:
        found = file.stat()
    except OSError:
        return None
    return f"{found.st_mtime_ns}:{found.st_size}:{mailbox.quota_bytes}"
