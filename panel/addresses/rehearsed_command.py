"""What the commands share that run a job which can be rehearsed: `[--dry-run] [--at TIME]`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import report
from panel.core import clock, commands, jobs


class RehearsedCommand(commands.Command):
    """A command that runs a job in the foreground, or only says what it would do.

    Attributes:
        job: the kind of job; it takes `at` and `dry_run`, and answers with a `panel.addresses.report.Report`.
        dry_run_help: what the switch --dry-run does.
    """

    job = ""
    dry_run_help = gettext_noop("only say what would be removed")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the switches."""
        parser.add_argument("--dry-run", action="store_true", help=_(self.dry_run_help))
        parser.add_argument("--at", metavar="TIME", help=_("act as if it were then (with --dry-run)"))

    def job_arguments(self, **_options: Any) -> dict[str, Any]:
        """Return what else the job is told."""
        return {}

    def answer(self, **options: Any) -> dict[str, Any]:
        """Do it, in the foreground, as a job like any other."""
        clock.moment(options["at"], dry_run=options["dry_run"])  # refused before there is a job
        arguments = self.job_arguments(**options)
        job = jobs.run_in_foreground(self.job, at=options["at"], dry_run=options["dry_run"], **arguments)
        return dict(job.report)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        return report.failed(answer, _("Run it again."))
