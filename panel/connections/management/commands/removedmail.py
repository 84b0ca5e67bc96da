"""removedmail ADDRESS: what was removed from a mailbox and can be brought back, and who removed it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.addresses.selectors import get_mailbox
from panel.connections import recoverable
from panel.core import commands


class Command(commands.Command):
    """List removed messages."""

    help = gettext_noop("List the messages that were removed from a mailbox and can be brought back.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("address")

    def answer(self, **options: Any) -> list[dict[str, Any]]:
        """List them, the latest first."""
        return [_as_json(found) for found in recoverable.listed(get_mailbox(options["address"]))]


def _as_json(found: recoverable.Found) -> dict[str, Any]:
    row, message, headers = found.row, found.message, found.headers
    return {
        "id": message.uid,
        "folder": row.folder if row else None,
        "removed_at": (row.removed_at if row else message.removed_at).isoformat(),
        "protocol": row.protocol if row else None,
        "session": row.session if row else None,
        "size": message.size,
        "from": headers.sender,
        "subject": headers.subject,
        "date": headers.date,
        "until": found.until.isoformat() if found.until else None,  # it does not end while it is held
    }
