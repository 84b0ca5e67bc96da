"""What the commands share that end something for good whose time is over."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.utils.translation import gettext as _

from panel.addresses import report
from panel.core import clock, commands, jobs


class EndingCommand(commands.Command):
    """A command that runs a job which ends what is over: `[--dry-run] [--at TIME]`.

    Attributes:
        job: the kind of job; it takes `at` and `dry_run`, and answers with a `panel.addresses.report.Report`.
    """

    job = ""
    #: What else the job is told.
    arguments: ClassVar[dict[str, Any]] = {}

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the switches."""
        parser.add_argument("--dry-run", action="store_true", help=_("only say what would be removed"))
        parser.add_argument("--at", metavar="TIME", help=_("act as if it were then (with --dry-run)"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """End it, in the foreground, as a job like any other."""
        clock.moment(options["at"], dry_run=options["dry_run"])  # refused before there is a job
        job = jobs.run_in_foreground(self.job, at=options["at"], dry_run=options["dry_run"], **self.arguments)
        return dict(job.report)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        return report.failed(answer, _("Run it again."))
