"""checkmail [--repair] [--thorough]: do rows, homes and logins agree?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import report
from panel.core import commands, jobs


class Command(commands.Command):
    """Check the mail folders."""

    help = gettext_noop(
        "Check that mailboxes, their folders and their logins agree; --repair mends what can be mended."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the switches."""
        parser.add_argument("--repair", action="store_true")
        parser.add_argument(
            "--thorough",
            action="store_true",
            help=_("go through all folders, not only through tonight's share"),
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        """Check, in the foreground, as a job like any other."""
        job = jobs.run_in_foreground("check_mail", repair=options["repair"], thorough=options["thorough"])
        return dict(job.report)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        return report.failed(answer, _("Run it with --repair."))
