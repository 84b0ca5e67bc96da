"""checkquotas [ADDRESS…] [--dry-run] [--at TIME]: what do mailboxes hold, and does Dovecot count rightly?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import selectors
from panel.addresses.rehearsed_command import RehearsedCommand


class Command(RehearsedCommand):
    """Check quotas."""

    help = gettext_noop(
        "Ask the mail service what those mailboxes hold that changed since the check before, and compare some "
        "with the files themselves, those that are named among them; where it counted wrongly it counts anew."
    )

    job = "check_quotas"
    dry_run_help = gettext_noop("keep nothing, and have nothing counted anew")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the addresses and the switches."""
        parser.add_argument("addresses", nargs="*", metavar="ADDRESS", help=_("compare this mailbox too"))
        super().add_own_arguments(parser)

    def job_arguments(self, **options: Any) -> dict[str, Any]:
        """Tell the job which mailboxes to compare."""
        return {"addresses": [selectors.get_mailbox(address).address for address in options["addresses"]]}
