"""servicectl status | reload | restart | stop | start."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from mailbackend.supervisor.control import ControlRefused, SupervisorDown
from panel.core import commands
from panel.core.errors import Problem
from panel.service import services


class Command(commands.Command):
    """Control the mail service."""

    help = gettext_noop(
        "Ask the mail service how it is, or have it start, stop, restart, or read its configuration again."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the verb."""
        parser.add_argument("command", choices=services.COMMANDS)

    def answer(self, **options: Any) -> dict[str, Any]:
        """Do it."""
        try:
            status = services.control(options["command"])
        except (SupervisorDown, ControlRefused) as err:
            raise Problem(str(err)) from err
        return {
            "state": status.state,
            "pid": status.pid,
            "since": status.since,
            "version": status.version,
            "error": status.error,
        }
