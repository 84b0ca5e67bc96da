"""What people are told where a limit is below what is used or given: it takes nothing away."""

from __future__ import annotations

from django.utils.translation import gettext as _

from panel.addresses.models import Mailbox
from panel.core.sizes import format_size


def saved_limit(max_storage_bytes: int | None, given_bytes: int) -> str:
    """Return what to say once a limit of storage is saved.

    Args:
        max_storage_bytes: the limit of a customer or a domain, or None for none.
        given_bytes: what its mailboxes were given.
    """
    if max_storage_bytes is None or given_bytes <= max_storage_bytes:
        return _("Saved.")
    return _(
        "Saved. Its mailboxes were given %(given)s and keep it: nothing more can be given until that is within "
        "%(limit)s."
    ) % {"given": format_size(given_bytes), "limit": format_size(max_storage_bytes)}


def below_what_it_holds(mailbox: Mailbox) -> str:
    """Return what a quota means that is below what the mailbox holds, as far as that is known; else an empty text."""
    used, limit = mailbox.used_bytes, mailbox.quota_bytes
    if used is None or limit is None or used < limit:
        return ""
    return _(
        "%(address)s holds %(used)s and may hold %(limit)s: nothing is lost, and new messages are refused until it "
        "holds less."
    ) % {"address": mailbox.display_address, "used": format_size(used), "limit": format_size(limit)}
