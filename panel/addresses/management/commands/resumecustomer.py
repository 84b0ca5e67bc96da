"""resumecustomer NAME."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.accounts.customers import resume_customer
from panel.accounts.selectors import get_customer
from panel.core import commands


class Command(commands.Command):
    """Resume a customer."""

    help = gettext_noop("Let a suspended customer in again.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the customer's name."""
        parser.add_argument("name")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Do it."""
        customer = get_customer(options["name"])
        resume_customer(customer=customer)
        return {"name": customer.name, "state": customer.state.value}
