"""suspendcustomer NAME."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.accounts.selectors import get_customer
from panel.addresses.customers import suspend_customer
from panel.core import commands


class Command(commands.Command):
    """Suspend a customer."""

    help = gettext_noop("Shut a customer out: its people and all its mailboxes. Mail still arrives.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the customer's name."""
        parser.add_argument("name")
        parser.add_argument("--reason", default="", help=_("in a line; its people are told"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """Do it."""
        customer = get_customer(options["name"])
        suspend_customer(customer=customer, reason=options["reason"])
        return {"name": customer.name, "state": customer.state.value}
