"""purge [--dry-run] [--at TIME]: end for good what was deleted longer ago than it can be restored."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import report
from panel.core import clock, commands, jobs


class Command(commands.Command):
    """Purge deleted mailboxes and domains."""

    help = gettext_noop(
        "Remove for good the mailboxes and domains that were deleted longer ago than they can be restored."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the switches."""
        parser.add_argument("--dry-run", action="store_true", help=_("only say what would be removed"))
        parser.add_argument("--at", metavar="TIME", help=_("act as if it were then (with --dry-run)"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """Purge, in the foreground, as a job like any other."""
        clock.moment(options["at"], dry_run=options["dry_run"])  # refused before there is a job
        job = jobs.run_in_foreground("purge", at=options["at"], dry_run=options["dry_run"])
        return dict(job.report)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        return report.failed(answer, _("Run it again."))
