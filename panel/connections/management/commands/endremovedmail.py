"""endremovedmail [--dry-run] [--at TIME]: end for good what was removed longer ago than it can be brought back."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from panel.addresses.rehearsed_command import RehearsedCommand


class Command(RehearsedCommand):
    """End removed mail."""

    help = gettext_noop(
        "End for good the removed messages whose time is over, and what is more than the quota."
    )
    job = "end_removed_mail"
