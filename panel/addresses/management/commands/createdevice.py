"""createdevice ADDRESS --label L [--protocols imap,pop3] [--expires TIME] [--shared-view | --continues-main]."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import selectors
from panel.addresses.device_passwords import create_device
from panel.core import commands


class Command(commands.Command):
    """Make a device password."""

    help = gettext_noop("Make a device password for a mailbox. It is shown once.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address, and what the password is to open."""
        parser.add_argument("address")
        parser.add_argument("--label", required=True, help=_("what you call the device, such as Office PC"))
        parser.add_argument(
            "--protocols", default="imap,pop3", help=_("those that it opens: imap,pop3 or one of them")
        )
        parser.add_argument(
            "--expires", metavar="TIME", help=_("until when it works: a day, such as 2026-12-31, or a time")
        )
        view = parser.add_mutually_exclusive_group()
        view.add_argument(
            "--shared-view",
            action="store_true",
            help=_("over POP it shares what the mailbox's own password is offered"),
        )
        view.add_argument(
            "--continues-main",
            action="store_true",
            help=_("over POP it is not offered what was deleted there with the mailbox's own password"),
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        """Make it."""
        expires, protocols = options["expires"], commands.protocols_argument(options["protocols"])
        device, password = create_device(
            mailbox=selectors.get_mailbox(options["address"]),
            label=options["label"],
            imap=protocols["imap"],
            pop3=protocols["pop3"],
            expires_at=commands.time_argument(expires) if expires is not None else None,
            own_view=not options["shared_view"],
            continues_main=options["continues_main"],
        )
        return {"label": device.label, "password": password}
