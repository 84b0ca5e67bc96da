"""endremovedmail [--dry-run] [--at TIME]: end for good what was removed longer ago than it can be brought back."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import report
from panel.core import clock, commands, jobs


class Command(commands.Command):
    """End removed mail."""

    help = gettext_noop(
        "End for good the removed messages whose time is over, and what is more than the quota."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the switches."""
        parser.add_argument("--dry-run", action="store_true", help=_("only say what would be removed"))
        parser.add_argument("--at", metavar="TIME", help=_("act as if it were then (with --dry-run)"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """End it, in the foreground, as a job like any other."""
        clock.moment(options["at"], dry_run=options["dry_run"])  # refused before there is a job
        job = jobs.run_in_foreground("end_removed_mail", at=options["at"], dry_run=options["dry_run"])
        return dict(job.report)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        return report.failed(answer, _("Run it again."))
