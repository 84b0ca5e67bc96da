"""deletemailbox ADDRESS."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.addresses import selectors, services
from panel.core import commands


class Command(commands.Command):
    """Delete a mailbox."""

    help = gettext_noop("Delete a mailbox; it can be restored in the panel until the time that is answered.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("address")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Delete the mailbox."""
        mailbox = selectors.get_mailbox(options["address"])
        until = services.delete_mailbox(mailbox=mailbox)
        return {"address": mailbox.address, "until": until.isoformat()}
