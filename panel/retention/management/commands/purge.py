"""purge [--dry-run] [--at TIME]: end what is over: deleted mailboxes, kept copies, and what is due by the rules."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop

from panel.addresses.rehearsed_command import RehearsedCommand


class Command(RehearsedCommand):
    """Purge deleted mailboxes and domains, end kept copies, and purge by the rules."""

    help = gettext_noop(
        "Remove for good the mailboxes and domains that were deleted longer ago than they can be restored. End the "
        "copies of messages that POP programs deleted whose days are over, and what is due by the rules of "
        "retention: these messages can be recovered."
    )
    job = "purge"

    def job_arguments(self, **_options: Any) -> dict[str, Any]:
        """Tell the job that somebody asks: it purges by the rules too, here and now."""
        return {"asked": True}
