"""A mailbox as commands show it."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from mailbackend import maildir
from mailbackend.dovecot.doveadm import DoveadmError
from panel.addresses.inherited import what_counts
from panel.addresses.models import Mailbox
from panel.core import mail


def mailbox_as_json(mailbox: Mailbox) -> dict[str, Any]:
    """Return a mailbox as `showmailbox` prints it.

    Messages and bytes come from Dovecot's quota; while it does not answer, from the files' own sizes.

    Raises:
        OSError: if neither can be had.
    """
    usage = _usage(mailbox)
    return {
        "address": mailbox.address,
        "state": mailbox.state.value,
        "protocols": mailbox.protocols,
        "quota_bytes": mailbox.quota_bytes,
        "used_bytes": usage.used_bytes,
        "messages": usage.messages,
        "pop_deletes": what_counts(mailbox).pop.as_command,
        "hold": (
            {"since": mailbox.held_at.isoformat(), "reason": mailbox.hold_reason} if mailbox.held_at else None
        ),
        "home": str(settings.DATA_DIR.mail / mailbox.home),
    }


def _usage(mailbox: Mailbox) -> maildir.Usage:
    try:
        quota = mail.doveadm(timeout=mail.PAGE_TIMEOUT).quota(mailbox.address)
    except DoveadmError:
        return maildir.measure(settings.DATA_DIR.mail, mailbox.home_path)
    return maildir.Usage(messages=quota.messages, used_bytes=quota.used_bytes)
