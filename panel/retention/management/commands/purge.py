"""purge [--dry-run] [--at TIME]: end what is over: deleted mailboxes, and kept copies of what POP deleted."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from panel.addresses.ending_command import EndingCommand


class Command(EndingCommand):
    """Purge deleted mailboxes and domains, and end kept copies."""

    help = gettext_noop(
        "Remove for good the mailboxes and domains that were deleted longer ago than they can be restored; and end "
        "the copies of messages that POP programs deleted whose days are over: these can be recovered."
    )
    job = "purge"
