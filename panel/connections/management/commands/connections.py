"""connections [--address A] [--limit N]."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.connections.export import as_json
from panel.connections.folding import clean_address
from panel.connections.models import Connection
from panel.core import commands
from panel.core.errors import Problem

#: More are exported from the page.
LIMIT_MAX = 100_000


class Command(commands.Command):
    """List connections."""

    help = gettext_noop("List sessions and refused attempts, the newest first.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address and how many."""
        parser.add_argument("--address", help=_("only of this address, as it was tried"))
        parser.add_argument("--limit", type=int, default=50, help=_("how many at most"))

    def answer(self, **options: Any) -> list[dict[str, Any]]:
        """List them."""
        limit = options["limit"]
        if not 1 <= limit <= LIMIT_MAX:
            raise Problem(_("--limit is a number from 1 to %(most)s.") % {"most": LIMIT_MAX})
        rows = Connection.objects.order_by("-started_at", "-id")
        if options["address"] is not None:
            rows = rows.filter(address=clean_address(options["address"].replace("\x00", "")))
        return list(as_json(rows[:limit]))
