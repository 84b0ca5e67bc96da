"""listdevices ADDRESS."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext_noop

from panel.addresses import selectors
from panel.addresses.models import DevicePassword
from panel.core import commands


class Command(commands.Command):
    """List device passwords."""

    help = gettext_noop("List the device passwords of a mailbox, revoked ones included.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("address")

    def answer(self, **options: Any) -> list[dict[str, Any]]:
        """List them."""
        mailbox = selectors.get_mailbox(options["address"])
        return [_as_json(device) for device in DevicePassword.objects.filter(mailbox=mailbox)]


def _as_json(device: DevicePassword) -> dict[str, Any]:
    """Times are ISO 8601 in UTC. A revoked one that still has a slot waits for it to be cleaned."""
    return {
        "label": device.label,
        "state": device.state.value,
        "protocols": device.protocols,
        "slot": device.slot,
        "expires_at": _in_utc(device.expires_at),
        "last_used_at": _in_utc(device.last_used_at),
        "last_used_ip": device.last_used_ip or None,
        "last_used_protocol": device.last_used_protocol or None,
    }


def _in_utc(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None
