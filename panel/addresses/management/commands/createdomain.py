"""createdomain DOMAIN --customer NAME."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.accounts.selectors import get_customer
from panel.addresses import services
from panel.core import commands


class Command(commands.Command):
    """Create a domain."""

    help = gettext_noop("Create a domain for a customer.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the domain and its customer."""
        parser.add_argument("domain")
        parser.add_argument("--customer", required=True, metavar="NAME")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Create the domain."""
        domain = services.create_domain(name=options["domain"], customer=get_customer(options["customer"]))
        return {"domain": domain.name}
