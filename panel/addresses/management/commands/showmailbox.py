"""showmailbox ADDRESS."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.addresses import selectors
from panel.addresses.showing import mailbox_as_json
from panel.core import commands


class Command(commands.Command):
    """Show a mailbox."""

    help = gettext_noop("Show a mailbox: state, protocols, quota and what it holds.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("address")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Show the mailbox."""
        return mailbox_as_json(selectors.get_mailbox(options["address"]))
