"""createcustomer NAME --owner EMAIL: a customer, and the person who owns it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.accounts import customers
from panel.accounts.models import User
from panel.core import commands


class Command(commands.Command):
    """Create a customer."""

    help = gettext_noop(
        "Create a customer; its owner's password is read from standard input (not for a person who exists)."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take name, owner and limits."""
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, metavar="EMAIL")
        parser.add_argument("--max-domains", type=int, metavar="N")
        parser.add_argument("--max-mailboxes", type=int, metavar="N")
        parser.add_argument("--max-storage", metavar="SIZE", help=_("such as 10G"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """Create the customer."""
        email = options["owner"].strip().lower()
        known = User.objects.filter(email=email.replace("\x00", "")).exists()
        storage = options["max_storage"]
        customer = customers.create_customer(
            name=options["name"],
            owner_email=email,
            owner_password="" if known else commands.read_password(),
            max_domains=options["max_domains"],
            max_mailboxes=options["max_mailboxes"],
            max_storage_bytes=commands.size_argument(storage) if storage is not None else None,
        )
        return {"name": customer.name, "owner": email}
