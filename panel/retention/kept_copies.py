"""Copies of messages that POP programs deleted: since when there is one, and ending it when its days are over.

A POP program's DELE gives a message in the inbox a mark, and POP hides it from then on; IMAP goes on showing it. Where
a copy is kept for some days, its days count from the later of its arrival and the first time that it was found
marked: a program that fetches an old mailbox for the first time loses nothing that night. Each device password has a
mark of its own; the first one counts, and the copy ends for all devices.

What ends is removed from the inbox and lies in the recoverable mail. A star (IMAP's flag Flagged) does not save a copy:
the pages say that it ends. A message that somebody moved to another folder over IMAP was filed by a person: it is no
copy any more, and nothing here ends it. Under a legal hold copies are noted, and none ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from mailbackend.dovecot.doveadm import (
    DoveadmError,
    HiddenMessage,
    NobodyListens,
    UnknownMailbox,
)
from panel.addresses.inherited import POP_KEEP_DAYS, PopPolicy, pop_policies, what_counts
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure, Report
from panel.addresses.selectors import living_mailboxes
from panel.connections.models import Connection
from panel.core import audit, jobs, mail
from panel.core.keyset import pages_by_key
from panel.retention.asking import in_halves
from panel.retention.models import KeptCopy

#: What the audit trail calls it.
ENDED, ENDED_EARLY, SHOWN = (
    "mailbox.kept_copies_ended",
    "mailbox.kept_copies_ended_early",
    "mailbox.kept_copies_shown",
)
#: Mailboxes that one question is about.
PAGE = 50
#: Messages that end in one transaction: other writers wait for no more than that.
AT_ONCE = 500
#: Seconds to wait for an answer about a page of mailboxes, and while a transaction is open.
WAIT, WAIT_IN_TRANSACTION = 120.0, 10.0
#: How long one run may go on before it leaves the rest to the next job. Seconds.
AT_A_TIME = 1200.0
#: How far back the frequent look goes: POP sessions that began and that ended in these times. It is done more often,
#: and the log may be a little behind. What it misses, the nightly look finds.
BEGAN_LATELY, ENDED_LATELY = timedelta(minutes=10), timedelta(minutes=3)

_KEEP_DAYS = Mailbox.PopDeletes.KEEP_DAYS.value


@dataclass(frozen=True)
class Copy:
    """A copy that is kept for some days.

    Attributes:
        message: where it is and how large.
        ends_from: from when on its days count.
    """

    message: HiddenMessage
    ends_from: datetime


def hidden_in(mailbox: Mailbox, *, timeout: float = WAIT) -> list[HiddenMessage]:
    """Return the messages of a mailbox's inbox that POP hides from some device.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses.
    """
    (found,) = mail.doveadm(timeout=timeout).hidden_messages([mailbox.address])
    if isinstance(found, DoveadmError):
        raise found
    return found


def end_due(*, now: datetime, dry_run: bool = False, after: int = 0) -> tuple[Report, int | None]:
    """Look at every mailbox, note the copies that are new, and end those whose days are over.

    Args:
        now: what counts as the present for what is over; a copy that is new is new at this very moment.
        dry_run: whether only to say what would end, and to note nothing.
        after: the key of the mailbox that was done last by the run before.

    Returns:
        mailboxes that something ended in, the messages and their bytes, and what could not be done; and the key of
        the mailbox that was done last if the time for one run is over, or None if all were done.

    Raises:
        Problem: if the mail root is not there. Nothing ends then.
        NobodyListens: if the mail service does not run.
    """
    return _end_in(living_mailboxes().filter(pk__gt=after), now=now, dry_run=dry_run)


def end_due_of_lately(*, now: datetime) -> Report:
    """Do the same where a POP program deleted something lately.

    Raises:
        Problem: if the mail root is not there. Nothing ends then.
        NobodyListens: if the mail service does not run.
    """
    return _end_in(lately_deleted_from(now), now=now, dry_run=False)[0]


def lately_deleted_from(now: datetime) -> QuerySet[Mailbox]:
    """Return the mailboxes that a POP program deleted something from lately."""
    sessions = Connection.objects.filter(
        started_at__gte=now - BEGAN_LATELY,
        ended_at__gte=now - ENDED_LATELY,
        protocol=Connection.Protocol.POP3,
        deleted__gt=0,
    )
    return living_mailboxes().filter(pk__in=sessions.order_by().values("mailbox"))


def due_rows(now: datetime) -> bool:
    """Say whether there are copies that are known and may be over, by the shortest time that copies are kept."""
    return KeptCopy.objects.filter(ends_from__lte=now - timedelta(days=1)).exists()


def copies_of(mailbox: Mailbox, hidden: Sequence[HiddenMessage], *, seen_at: datetime) -> list[Copy]:
    """Return the copies that a mailbox keeps, as they stand; nothing is noted.

    Args:
        mailbox: whose.
        hidden: what POP hides in it.
        seen_at: when that was seen: what is not noted yet counts from then.
    """
    return _copies(hidden, _noted(mailbox), seen_at)


def note_copies(mailbox: Mailbox, hidden: Sequence[HiddenMessage], *, seen_at: datetime) -> list[Copy]:
    """Note what POP hides in a mailbox, forget what it does not hide any more, and return the copies.

    Args:
        mailbox: whose.
        hidden: what POP hides in it.
        seen_at: when that was seen.
    """
    # Read once: what somebody else ends from here on is not taken for new, and counted again.
    noted = _noted(mailbox)
    copies = _copies(hidden, noted, seen_at)
    by_guid = {copy.message.guid: copy for copy in copies}
    new = [
        KeptCopy(mailbox=mailbox, guid=guid, first_seen_at=seen_at, ends_from=copy.ends_from)
        for guid, copy in by_guid.items()
        if guid not in noted
    ]
    gone = [guid for guid in noted if guid not in by_guid]
    # Put back into the inbox since: its days begin anew.
    later = [guid for guid, copy in by_guid.items() if guid in noted and copy.ends_from != noted[guid][1]]
    if new or gone or later:
        with transaction.atomic():
            KeptCopy.objects.bulk_create(new, batch_size=AT_ONCE, ignore_conflicts=True)
            for start in range(0, len(gone), AT_ONCE):
                KeptCopy.objects.filter(mailbox=mailbox, guid__in=gone[start : start + AT_ONCE]).delete()
            for guid in later:
                KeptCopy.objects.filter(mailbox=mailbox, guid=guid).update(ends_from=by_guid[guid].ends_from)
    return copies


def due_of(copies: Iterable[Copy], mailbox: Mailbox, policy: PopPolicy, now: datetime) -> list[Copy]:
    """Return those of a mailbox's copies whose days are over; under a legal hold none are.

    Args:
        copies: that it keeps.
        mailbox: whose.
        policy: what becomes there of what POP deletes: a copy is kept for some days.
        now: what counts as the present.
    """
    cutoff = now - timedelta(days=policy.days or POP_KEEP_DAYS)
    return [] if mailbox.held_at else [copy for copy in copies if copy.ends_from <= cutoff]


def due_in(mailboxes: Sequence[Mailbox], *, now: datetime) -> Iterator[tuple[Mailbox, list[Copy]]]:
    """Yield the copies of mailboxes whose days are over; of those about which there is no answer, nothing.

    Args:
        mailboxes: at most `PAGE` of them, read with `domain__customer`.
        now: what counts as the present.

    Raises:
        NobodyListens: if the mail service does not run.
    """
    policies, seen_at = pop_policies(mailboxes), timezone.now()
    keeping = [mailbox for mailbox in mailboxes if policies[mailbox.pk].deletes == _KEEP_DAYS]
    for mailbox, hidden in _hidden_of(keeping, Report()):
        copies = copies_of(mailbox, hidden, seen_at=seen_at)
        yield mailbox, due_of(copies, mailbox, policies[mailbox.pk], now)


def end_copies(
    mailbox: Mailbox,
    copies: Sequence[Copy],
    action: str,
    *,
    only_if_kept: bool = True,
    policy: PopPolicy | None = None,
) -> list[Copy]:
    """Remove copies from an inbox, oldest first, into the recoverable mail, and return those that this call ended.

    Each few end in the transaction that forgets them: a process that is killed leaves what the next run finds as it
    was. A mailbox is locked meanwhile, so that two that do the same end a copy once.

    Args:
        mailbox: whose; as it was read with its domain.
        copies: which; each is noted. None ends while the mailbox is under a legal hold.
        action: what the audit trail says of it.
        only_if_kept: whether to leave everything if copies are no longer kept for some days there.
        policy: by which they are due: where another counts by now, everything is left to the next run.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses. Some may have ended.
    """
    api = mail.doveadm(timeout=WAIT_IN_TRANSACTION)
    ended: list[Copy] = []
    in_order = sorted(copies, key=lambda copy: (copy.ends_from, copy.message.uid))
    for start in range(0, len(in_order), AT_ONCE):
        some = in_order[start : start + AT_ONCE]
        with transaction.atomic():
            if not _is_as_it_was(mailbox, ends=True, only_if_kept=only_if_kept, policy=policy):
                break
            rows = KeptCopy.objects.filter(mailbox=mailbox, guid__in={copy.message.guid for copy in some})
            known = set(rows.values_list("guid", flat=True))
            mine = [copy for copy in some if copy.message.guid in known]
            if not mine:
                continue
            rows.delete()
            audit.record(
                action,
                target=mailbox,
                customer_id=mailbox.domain.customer_id,
                after={"ended_messages": len(mine)},
            )
            api.end_hidden(mailbox.address, [copy.message.uid for copy in mine])
        ended += mine
    return ended


def show_copies(mailbox: Mailbox, hidden: Sequence[HiddenMessage]) -> int:
    """Offer to POP again what it hides in an inbox, and return how many messages that were.

    Raises:
        DoveadmError: if the mail service does not answer, or refuses. Some may be shown.
    """
    api = mail.doveadm(timeout=WAIT_IN_TRANSACTION)
    shown = 0
    for start in range(0, len(hidden), AT_ONCE):
        some = hidden[start : start + AT_ONCE]
        with transaction.atomic():
            if not _is_as_it_was(mailbox, ends=False, only_if_kept=False):
                break
            KeptCopy.objects.filter(mailbox=mailbox, guid__in={message.guid for message in some}).delete()
            audit.record(
                SHOWN,
                target=mailbox,
                customer_id=mailbox.domain.customer_id,
                after={"shown_messages": len(some)},
            )
            api.show_hidden(mailbox.address, [message.uid for message in some])
        shown += len(some)
        jobs.note_progress({"shown": shown})
    return shown


def _end_in(mailboxes: QuerySet[Mailbox], *, now: datetime, dry_run: bool) -> tuple[Report, int | None]:
    mail.check_mail_root()
    report = Report()
    until = time.monotonic() + AT_A_TIME
    for page in pages_by_key(mailboxes, PAGE):
        policies = pop_policies(page)
        keeping = [mailbox for mailbox in page if policies[mailbox.pk].deletes == _KEEP_DAYS]
        if not dry_run:
            KeptCopy.objects.filter(
                mailbox__in={each.pk for each in page} - {each.pk for each in keeping}
            ).delete()
        seen_at = timezone.now()
        for mailbox, hidden in _hidden_of(keeping, report):
            _end_one(mailbox, policies[mailbox.pk], hidden, report, seen_at=seen_at, now=now, dry_run=dry_run)
        jobs.note_progress(report.as_json())
        if time.monotonic() > until:
            return report, page[-1].pk
    return report, None


def _end_one(
    mailbox: Mailbox,
    policy: PopPolicy,
    hidden: Sequence[HiddenMessage],
    report: Report,
    *,
    seen_at: datetime,
    now: datetime,
    dry_run: bool,
) -> None:
    """Note the copies of one mailbox, end what is due, and say in `report` what."""
    note = copies_of if dry_run else note_copies
    copies = note(mailbox, hidden, seen_at=seen_at)
    due = due_of(copies, mailbox, policy, now)
    if due and not dry_run:
        try:
            due = end_copies(mailbox, due, ENDED, policy=policy)
        except UnknownMailbox:
            return  # It was deleted or renamed a moment ago.
        except NobodyListens:
            raise
        except DoveadmError as err:
            _add(report, mailbox, err)
            return
    count(report, due)


def _noted(mailbox: Mailbox) -> dict[str, tuple[datetime, datetime]]:
    """Return when the copies of a mailbox were seen first and from when their days count, by their GUIDs."""
    rows = KeptCopy.objects.filter(mailbox=mailbox).values_list("guid", "first_seen_at", "ends_from")
    return {guid: (first_seen_at, ends_from) for guid, first_seen_at, ends_from in rows}


def _copies(
    hidden: Sequence[HiddenMessage], noted: Mapping[str, tuple[datetime, datetime]], seen_at: datetime
) -> list[Copy]:
    new = seen_at, seen_at
    return [Copy(message, max(message.saved_at, noted.get(message.guid, new)[0])) for message in hidden]


def count(report: Report, ended: Sequence[Copy]) -> None:
    """Count in a report what ended in one mailbox."""
    if ended:
        report.mailboxes += 1
        report.messages += len(ended)
        report.bytes += sum(copy.message.size for copy in ended)


def _hidden_of(mailboxes: Sequence[Mailbox], report: Report) -> Iterator[tuple[Mailbox, list[HiddenMessage]]]:
    """Yield what POP hides in mailboxes; where that is not known, say so in `report`."""
    if not mailboxes:
        return
    api = mail.doveadm(timeout=WAIT)
    # One of them may hide more than fits into an answer.
    answers = in_halves(mailboxes, lambda some: api.hidden_messages([each.address for each in some]))
    for mailbox, answer in answers:
        if isinstance(answer, UnknownMailbox):
            continue  # It was deleted or renamed a moment ago.
        if isinstance(answer, DoveadmError):
            _add(report, mailbox, answer)
        else:
            yield mailbox, answer


def _is_as_it_was(
    mailbox: Mailbox, *, ends: bool, only_if_kept: bool, policy: PopPolicy | None = None
) -> bool:
    """Lock a mailbox, and say whether its address is its own still, and what counts there is what it must be.

    Where something `ends`, the mailbox must not be under a legal hold either.
    """
    rows = Mailbox.objects.select_for_update(of=("self",)).select_related("domain__customer")
    row = rows.filter(pk=mailbox.pk, address=mailbox.address, deleted_at=None, purging_at=None).first()
    if row is None or row.domain.deleted_at or (ends and row.held_at):
        return False
    counts = what_counts(row).pop
    if policy is not None and counts != policy:
        return False
    return not only_if_kept or counts.deletes == _KEEP_DAYS


def _add(report: Report, mailbox: Mailbox, err: DoveadmError) -> None:
    problem = f"{err} The next run tries again."
    report.add(Failure(mailbox.address, problem, mended=False, mendable=True))
