"""purge [--dry-run] [--at TIME]: end what is over: deleted mailboxes, kept copies, and what is due by the rules."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext_noop

from panel.addresses.ending_command import EndingCommand


class Command(EndingCommand):
    """Purge deleted mailboxes and domains, end kept copies, and purge by the rules."""

    help = gettext_noop(
        "Remove for good the mailboxes and domains that were deleted longer ago than they can be restored. End the "
        "copies of messages that POP programs deleted whose days are over, and what is due by the rules of "
        "retention: these messages can be recovered."
    )
    job = "purge"
    arguments: ClassVar[dict[str, Any]] = {"asked": True}
