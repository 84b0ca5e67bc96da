"""deliver ADDRESS…: a message from standard input, through LMTP."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mailbackend.addresses import AddressError, parse_address
from panel.core import commands, mail
from panel.core.errors import Problem
from panel.core.said import in_words
from panel.core.sizes import format_size

#: The largest message taken; it is held in memory. Bytes.
LARGEST_MESSAGE = 256 * 1024**2


class Command(commands.Command):
    """Deliver a message."""

    help = gettext_noop("Deliver the message on standard input; exit 1 if any address is refused.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the addresses."""
        parser.add_argument("addresses", nargs="+", metavar="ADDRESS")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Deliver the message."""
        message = sys.stdin.buffer.read(LARGEST_MESSAGE + 1)
        if not message.strip():
            raise Problem(_("Give the message on standard input."))
        if len(message) > LARGEST_MESSAGE:
            raise Problem(_("The message is larger than %(size)s.") % {"size": format_size(LARGEST_MESSAGE)})
        recipients: list[str] = []
        refused: dict[str, str] = {}
        for text in dict.fromkeys(options["addresses"]):
            try:
                recipients.append(_recipient(text))
            except AddressError as err:
                refused[text] = in_words(str(err))
        outcome = mail.deliver(message, recipients)
        return {"delivered": outcome.delivered, "refused": refused | outcome.refused}

    def failed(self, answer: dict[str, Any]) -> str:
        """Say who did not get it."""
        refused = answer["refused"]
        return "; ".join(f"{address!r}: {reason}" for address, reason in refused.items())


def _recipient(text: str) -> str:
    """Return an address in its normal form; a detail after + is kept (RFC 5233)."""
    local_part, at, domain = text.strip().rpartition("@")
    name, plus, detail = local_part.partition("+")
    address = parse_address(f"{name}{at}{domain}")
    if not plus:
        return str(address)
    if (
        len(detail) > 64
        or not detail.isascii()
        or not all(letter.isalnum() or letter in "._-" for letter in detail)
    ):
        raise AddressError("detail", "After the +, use letters, digits, dots, hyphens and underscores only.")
    return f"{address.local_part}+{detail}@{address.domain}"
