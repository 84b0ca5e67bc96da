"""The panel's side of what is measured of device passwords."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from mailbackend.maildir import POP_KEYWORDS
from panel.addresses import services
from panel.addresses.device_passwords import create_device
from panel.addresses.models import Domain, Mailbox

_PASSWORD = "a sentence for the bench"  # noqa: S105 - of mailboxes that live for minutes
_MESSAGE = (
    b"From: ann@bench.test\nSubject: One of many\nDate: Sat, 28 Nov 2026 12:00:00 +0000\n\n"
    + b"Hello.\n" * 60
)


def add_devices(addresses: Sequence[str]) -> dict[str, Any]:
    """Make three device passwords for each mailbox, and return one of each, in their order."""
    found = []
    for address in addresses:
        mailbox = Mailbox.objects.select_related("domain__customer").get(address=address)
        found.append([create_device(mailbox=mailbox, label=label)[1] for label in ("PC", "Phone", "Tablet")])
    return {"passwords": [passwords[0] for passwords in found]}


def fill_inboxes(domain: str, messages: int) -> dict[str, Any]:
    """Make two mailboxes with as many messages, and a device's password for each.

    Returns:
        address and password: of the one with seven devices, whose other six have deleted all, and of the other.
    """
    return {
        "seven": _filled(domain, "seven", messages, devices=7),
        "one": _filled(domain, "one", messages, devices=1),
    }


def _filled(domain: str, name: str, messages: int, *, devices: int) -> list[str]:
    row = Domain.objects.get(name=domain)
    mailbox = services.create_mailbox(domain=row, local_part=name, password=_PASSWORD)
    made = [create_device(mailbox=mailbox, label=f"Device {number}") for number in range(devices)]
    # A mark is the letter of its place in the file of names, which begins with all of POP's.
    letters = "".join(chr(ord("a") + (device.slot or 0)) for device, _password in made[:-1])
    assert all(device.slot and device.slot < len(POP_KEYWORDS) for device, _password in made)
    maildir = settings.DATA_DIR.mail / mailbox.home / "Maildir"
    for file in (maildir / "new").iterdir():
        file.unlink()
    size = f"S={len(_MESSAGE)},W={len(_MESSAGE) + _MESSAGE.count(os.linesep.encode())}"
    for number in range(messages):
        (maildir / "cur" / f"1764331200.M{number}P1.bench,{size}:2,{letters}").write_bytes(_MESSAGE)
    return [mailbox.address, made[-1][1]]
