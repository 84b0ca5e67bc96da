"""createmailbox ADDRESS [--quota 2G]."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mailbackend.addresses import parse_address
from panel.addresses import selectors, services
from panel.addresses.inherited import what_counts
from panel.core import commands


class Command(commands.Command):
    """Create a mailbox."""

    help = gettext_noop("Create a mailbox; its password is read from standard input.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address and its limits."""
        parser.add_argument("address")
        parser.add_argument("--quota", metavar="SIZE", help=_("such as 2G, or none (default: the domain's)"))
        parser.add_argument("--name", default="", help=_("of its owner"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """Create the mailbox."""
        address = parse_address(options["address"])
        domain = selectors.get_domain(address.domain)
        quota = options["quota"]
        mailbox = services.create_mailbox(
            domain=domain,
            local_part=address.local_part,
            password=commands.read_password(),
            display_name=options["name"],
            quota_bytes=what_counts(domain).quota_bytes if quota is None else commands.size_argument(quota),
        )
        return {"address": mailbox.address, "home": str(settings.DATA_DIR.mail / mailbox.home)}
