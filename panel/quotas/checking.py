"""The check of quotas: the panel's copy of what mailboxes hold is made true.

Made for 100,000 mailboxes: each costs one stat of one file, and only those that changed are asked about (see looking).
Rows are read page by page, so that memory does not grow with their number. With each check some of all mailboxes,
others each time, are compared with their files (see comparing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db.models import F

from mailbackend import maildir
from mailbackend.dovecot.doveadm import DoveadmError, Quota, UnknownMailbox
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure, Report
from panel.addresses.selectors import living_mailboxes
from panel.addresses.usage import file_state, has_no_file
from panel.core import jobs, mail
from panel.core.errors import Problem
from panel.core.said import in_words
from panel.quotas.comparing import compare
from panel.quotas.looking import TOGETHER, Looking
from panel.quotas.models import MailboxLook

#: Rows that are looked at together.
PAGE = 1000
#: Mailboxes that each check compares with their files: those that were compared longest ago.
COMPARED = 30


class _Row(NamedTuple):
    """What of a mailbox tells whether it changed; no more is read of those that did not."""

    pk: int
    address: str
    home: str
    quota_bytes: int | None
    look__file_state: str | None
    look__used_bytes: int | None
    look__messages: int | None


@dataclass
class _Check:
    """One check that goes on.

    Attributes:
        looking: asks Dovecot.
        mend: whether to keep what is found, and to have Dovecot count anew.
        report: what was found until now.
        changed: those to ask about, by their keys, with the state that each is in: some together, from several pages.
    """

    looking: Looking
    mend: bool
    report: Report = field(default_factory=Report)
    changed: dict[int, tuple[_Row, str]] = field(default_factory=dict)


def check_quotas(*, now: datetime, dry_run: bool = False, also: Sequence[Mailbox] = ()) -> Report:
    """Ask what those mailboxes hold that changed since the check before, and compare some with their files.

    Doing it twice at once is harmless. A home that is gone is reported, and Dovecot is not asked about it: it would
    make an empty one.

    Args:
        now: when this is.
        dry_run: whether to keep nothing and have nothing counted anew, and only to say what would be.
        also: further mailboxes to compare with their files.

    Returns:
        all living mailboxes, their messages and bytes as they are known now; and how many were compared, as `thorough`.

    Raises:
        Problem: if the mail root is not there, or the mail service does not answer. What was found until then is kept.
    """
    mail.check_mail_root()
    check = _Check(Looking(now, keep=not dry_run), mend=not dry_run)
    try:
        for rows in _pages():
            _check_page(check, rows)
            if len(check.changed) >= TOGETHER:
                _ask(check)
            jobs.note_progress(check.report.as_json())
        _ask(check)
        _compare_some(check, also)
    except DoveadmError as err:
        raise Problem(in_words(str(err))) from err
    return check.report


def _pages() -> Iterator[list[_Row]]:
    last = 0
    rows = living_mailboxes().select_related(None).order_by("pk").values_list(*_Row._fields)
    while page := [_Row(*row) for row in rows.filter(pk__gt=last)[:PAGE]]:
        yield page
        last = page[-1].pk


def _check_page(check: _Check, rows: Sequence[_Row]) -> None:
    gone = []
    root = settings.DATA_DIR.mail
    for row in rows:
        try:
            state = file_state(root, row.home, row.quota_bytes)
        except OSError as err:
            check.report.add(Failure(row.address, f"{err}.", mended=False, mendable=False))
            _count(check, row, None)
            continue
        if has_no_file(state) and not maildir.seems_there(root, row.home):
            gone.append(row)
        elif state != row.look__file_state:
            check.changed[row.pk] = row, state
            continue
        _count(check, row, None)
    if gone:
        # With the disk away all of them look lost: then this says so instead.
        mail.check_mail_root()
        for failure in _gone(gone):
            check.report.add(failure)


def _ask(check: _Check) -> None:
    """Ask about those that changed."""
    looked = check.looking.look_at({pk: state for pk, (_row, state) in check.changed.items()})
    for row, _state in check.changed.values():
        _count(check, row, looked.quotas.get(row.pk))
    for failure in looked.failures:
        check.report.add(failure)
    check.changed.clear()


def _count(check: _Check, row: _Row, quota: Quota | None) -> None:
    """Count a mailbox with what it holds, as was said now or at the last look."""
    check.report.mailboxes += 1
    check.report.messages += (quota.messages if quota else row.look__messages) or 0
    check.report.bytes += (quota.used_bytes if quota else row.look__used_bytes) or 0


def _gone(rows: Sequence[_Row]) -> list[Failure]:
    """Return what to say of mailboxes whose homes are gone; one that was deleted for good meanwhile is none."""
    still = set(living_mailboxes().filter(pk__in=[row.pk for row in rows]).values_list("pk", flat=True))
    return [
        Failure(
            row.address,
            f"Its home {row.home} is gone: bring it back from a backup. It is not made again empty.",
            mended=False,
            mendable=False,
        )
        for row in rows
        if row.pk in still
    ]


def _compare_some(check: _Check, also: Sequence[Mailbox]) -> None:
    """Compare the mailboxes that were compared longest ago, those never compared first, and the others asked for.

    All are asked about, also those whose state is as it was: files that came or went without Dovecot do not change it.
    """
    rows = living_mailboxes().filter(look__isnull=False).exclude(pk__in=[each.pk for each in also])
    longest_ago = rows.order_by(F("look__compared_at").asc(nulls_first=True), "pk")[:COMPARED]
    failed = {failure.subject for failure in check.report.failures}
    states = {}
    mailboxes = [mailbox for mailbox in [*also, *longest_ago] if mailbox.address not in failed]
    for mailbox in mailboxes:
        # Without its home it is reported already, or on its way out.
        if maildir.seems_there(settings.DATA_DIR.mail, mailbox.home):
            states[mailbox.pk] = file_state(settings.DATA_DIR.mail, mailbox.home, mailbox.quota_bytes)
    looked = check.looking.look_at(states)
    for failure in looked.failures:
        check.report.add(failure)
    for mailbox in mailboxes:
        if mailbox.pk in looked.quotas:
            _compare(check, mailbox, looked.quotas[mailbox.pk], states[mailbox.pk])
            jobs.note_progress(check.report.as_json())
    if check.mend:
        compared = MailboxLook.objects.filter(pk__in=looked.quotas)
        compared.update(compared_at=check.looking.now)


def _compare(check: _Check, mailbox: Mailbox, said: Quota, state: str) -> None:
    try:
        failure = compare(mailbox, said, mend=check.mend)
    except UnknownMailbox:
        return  # It was deleted or renamed a moment ago.
    except OSError as err:
        failure = Failure(mailbox.address, f"{err}.", mended=False, mendable=False)
    check.report.thorough += 1
    if failure is not None:
        check.report.add(failure)
    if failure is not None and failure.mended:
        check.looking.look_at({mailbox.pk: state})
