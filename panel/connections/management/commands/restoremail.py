"""restoremail ADDRESS [--since TIME] [--id N ...]: bring removed messages back to the folders that they were in."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses.selectors import get_mailbox
from panel.connections.restoring import Choice, restore
from panel.core import clock, commands
from panel.core.said import in_words


class Command(commands.Command):
    """Restore removed messages."""

    help = gettext_noop("Bring messages that were removed from a mailbox back to their folders.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address, and which messages."""
        parser.add_argument("address")
        parser.add_argument("--since", metavar="TIME", help=_("only what was removed then or later"))
        parser.add_argument(
            "--id",
            metavar="N",
            type=int,
            nargs="+",
            action="extend",
            dest="ids",
            help=_("only these, by the number that removedmail gives them"),
        )
        parser.add_argument(
            "--offer-to-pop", action="store_true", help=_("let POP programs download them again")
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        """Bring them back; without a choice all of them."""
        mailbox = get_mailbox(options["address"])
        since = clock.moment(options["since"], dry_run=True) if options["since"] else None
        uids = None if options["ids"] is None else frozenset(options["ids"])
        result = restore(mailbox, Choice(uids=uids, since=since), offer_to_pop=options["offer_to_pop"])
        return result.as_json(mailbox)

    def failed(self, answer: dict[str, Any]) -> str:
        """Say what is left."""
        return " ".join(in_words(failure["problem"]) for failure in answer.get("failures", ()))
