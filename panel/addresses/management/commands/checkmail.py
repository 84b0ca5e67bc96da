"""checkmail [--repair]: do rows, homes and logins agree?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from panel.core import commands, jobs


class Command(commands.Command):
    """Check the mail folders."""

    help = "Check that mailboxes, their folders and their logins agree; --repair mends what can be mended."

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the switch."""
        parser.add_argument("--repair", action="store_true")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Check, in the foreground, as a job like any other."""
        job = jobs.run_in_foreground("check_mail", repair=options["repair"])
        return dict(job.report)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        left = [failure for failure in answer["failures"] if not failure["mended"]]
        if not left:
            return ""
        hint = " Run it with --repair." if any(failure["mendable"] for failure in left) else ""
        return f"{len(left)} problems, the first: {left[0]['subject']}: {left[0]['problem']}{hint}"
