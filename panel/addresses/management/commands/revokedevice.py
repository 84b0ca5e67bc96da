"""revokedevice ADDRESS --label L."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import selectors
from panel.addresses.device_passwords import revoke_device
from panel.core import commands


class Command(commands.Command):
    """Revoke a device password."""

    help = gettext_noop("Revoke a device password: it is refused at once, and sessions of the mailbox end.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address and the name."""
        parser.add_argument("address")
        parser.add_argument("--label", required=True, help=_("what the device is called"))

    def answer(self, **options: Any) -> dict[str, Any]:
        """Revoke it."""
        device = selectors.get_device(selectors.get_mailbox(options["address"]), options["label"])
        revoke_device(device=device)
        return {"label": device.label}
