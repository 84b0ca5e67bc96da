"""What mailboxes hold: asked of Dovecot, and kept for the next list that shows it."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from mailbackend import maildir
from mailbackend.dovecot.doveadm import Answer, Command, DoveadmError, Quota, read_quota
from panel.addresses.models import Mailbox
from panel.core import mail

logger = logging.getLogger(__name__)

#: Mailboxes of one question, and seconds to wait for its answer: a mailbox that nobody opened for long takes a while,
#: and the answer comes when the last one is known.
TOGETHER = 10
WAIT = 8.0
#: What is known for no longer than this is not asked again.
FRESH = timedelta(minutes=1)
#: What stands for a file that is not there.
_NO_FILE = "none"


def file_state(mail_root: Path, home: str, quota_bytes: int | None) -> str:
    """Return in which state a mailbox is, as a short text: another one wherever what it holds or may hold is another.

    Dovecot touches one file of a mailbox whenever what it holds changes. Costs one stat, and nothing is opened.

    Raises:
        OSError: if the file cannot be looked at for another reason than that it is not there.
    """
    try:
        found = os.lstat(f"{mail_root}/{home}/Maildir/dovecot.list.index.log")
    except (FileNotFoundError, NotADirectoryError):
        return f"{_NO_FILE}:{quota_bytes}"
    return f"{found.st_mtime_ns}:{found.st_size}:{quota_bytes}"


def has_no_file(state: str) -> bool:
    """Return whether a state is that of a mailbox without the file: nobody has opened it yet, or its home is gone."""
    return state.startswith(_NO_FILE)


def seen(mailbox: Mailbox) -> str:
    """Return in which state a mailbox is, for a page to say when it asks whether it is another by now.

    Empty where that cannot be told, or its home is gone: such a page is told nothing new, and Dovecot, which would make
    an empty home, is not asked.
    """
    try:
        state = file_state(settings.DATA_DIR.mail, mailbox.home, mailbox.quota_bytes)
    except OSError as err:
        logger.warning("Whether %s changed cannot be told: %s", mailbox.address, err)
        return ""
    if has_no_file(state) and not maildir.seems_there(settings.DATA_DIR.mail, mailbox.home):
        return ""
    return f"{zlib.crc32(state.encode()):08x}"


def may_be_asked(mailbox: Mailbox) -> bool:
    """Return whether Dovecot knows a mailbox. A deleted one is unknown to it."""
    return mailbox.state not in (Mailbox.State.DELETED, Mailbox.State.CREATING)


def is_stale(mailbox: Mailbox, now: datetime) -> bool:
    """Say whether a mailbox is worth asking about at `now`."""
    if not may_be_asked(mailbox):
        return False
    return mailbox.used_at is None or now - mailbox.used_at > FRESH


def read_usage(mailbox: Mailbox) -> Quota | None:
    """Ask what one mailbox holds, and keep it. None where it has no answer."""
    if not may_be_asked(mailbox):
        return None
    try:
        quota = mail.doveadm(timeout=mail.PAGE_TIMEOUT).quota(mailbox.address)
    except DoveadmError:
        return None
    _keep([(mailbox, quota)])
    return quota


def refresh_usage(mailboxes: Sequence[Mailbox]) -> list[Mailbox]:
    """Ask what mailboxes hold, all in one question, and keep it.

    Args:
        mailboxes: at most a page of them.

    Returns:
        those about which there was an answer, with `used_bytes` as it is now; none if the mail service does not answer.
    """
    commands = [Command("quotaGet", {"user": mailbox.address}) for mailbox in mailboxes]
    try:
        answers = mail.doveadm(timeout=WAIT).batch(commands)
    except DoveadmError:
        return []
    read = [(mailbox, _quota(answer)) for mailbox, answer in zip(mailboxes, answers, strict=True)]
    known = [(mailbox, quota) for mailbox, quota in read if quota is not None]
    _keep(known)
    return [mailbox for mailbox, _quota in known]


def _quota(answer: Answer) -> Quota | None:
    """A mailbox that was deleted or renamed a moment ago is unknown: its row says so by the next page."""
    if answer.error is not None or answer.exit_code:
        return None
    try:
        return read_quota(answer.rows)
    except DoveadmError:
        return None


def _keep(known: Sequence[tuple[Mailbox, Quota]]) -> None:
    """Save it beside the row's version: nobody's form is outdated by a message that arrived.

    It is a copy: where nothing can be written, as on a full disk, it is shown all the same, and asked for again.
    """
    now = timezone.now()
    for mailbox, quota in known:
        mailbox.used_bytes, mailbox.used_at = quota.used_bytes, now
    try:
        Mailbox.objects.bulk_update([mailbox for mailbox, _quota in known], ["used_bytes", "used_at"])
    except OperationalError as err:
        logger.warning("What %s mailboxes hold could not be kept: %s", len(known), err)
