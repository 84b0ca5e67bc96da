"""checkquotas [ADDRESS…] [--dry-run] [--at TIME]: what do mailboxes hold, and does Dovecot count rightly?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import report, selectors
from panel.core import clock, commands, jobs


class Command(commands.Command):
    """Check quotas."""

    help = gettext_noop(
        "Ask the mail service what those mailboxes hold that changed since the check before, and compare some "
        "with the files themselves, those that are named among them; where it counted wrongly it counts anew."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the switches."""
        parser.add_argument("addresses", nargs="*", metavar="ADDRESS", help=_("compare this mailbox too"))
        parser.add_argument(
            "--dry-run", action="store_true", help=_("keep nothing, and have nothing counted anew")
        )
        parser.add_argument("--at", metavar="TIME", help=_("act as if it were then (with --dry-run)"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """Check, in the foreground, as a job like any other."""
        clock.moment(options["at"], dry_run=options["dry_run"])  # refused before there is a job
        addresses = [selectors.get_mailbox(address).address for address in options["addresses"]]
        job = jobs.run_in_foreground(
            "check_quotas", at=options["at"], dry_run=options["dry_run"], addresses=addresses
        )
        return dict(job.report)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        return report.failed(answer, _("Run it again."))
