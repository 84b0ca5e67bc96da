"""setmailbox ADDRESS: quota, protocols, suspension, legal hold, and what becomes of messages that POP deletes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.addresses import device_passwords, holding, selectors, services
from panel.addresses.limit_words import below_what_it_holds
from panel.addresses.models import Mailbox
from panel.addresses.showing import mailbox_as_json
from panel.core import commands, jobs
from panel.core.errors import Problem

#: How long the command waits for what POP hides to follow a new policy; then the job goes on alone. Seconds.
FOLLOWED_WITHIN = 5.0


class Command(commands.Command):
    """Change a mailbox."""

    help = gettext_noop("Change a mailbox: all that is asked for, or nothing.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the address and what to change."""
        parser.add_argument("address")
        parser.add_argument("--quota", metavar="SIZE", help=_("such as 2G, or none"))
        parser.add_argument("--protocols", help=_("those that are on: imap,pop3 or one of them"))
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--suspend", action="store_true", help=_("nobody can sign in; mail still arrives"))
        state.add_argument("--resume", action="store_true")
        held = parser.add_mutually_exclusive_group()
        held.add_argument(
            "--hold", metavar="REASON", help=_("legal hold: nothing of the mailbox ends until it is released")
        )
        held.add_argument("--release-hold", action="store_true")
        devices = parser.add_mutually_exclusive_group()
        devices.add_argument(
            "--require-device-passwords",
            action="store_true",
            help=_("the mailbox's own password then opens the panel only"),
        )
        devices.add_argument("--allow-main-password", action="store_true")
        parser.add_argument(
            "--pop-deletes",
            metavar="POLICY",
            help=_("what becomes of messages that POP programs delete: keep:DAYS, keep, delete, or inherit"),
        )
        parser.add_argument(
            "--hidden-copies",
            choices=["show", "end"],
            default="show",
            help=_(
                "with --pop-deletes delete: what becomes of the messages that POP hides until now: offered to POP "
                "again (show), or removed, from where they can be recovered (end)"
            ),
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        """Change the mailbox."""
        mailbox = selectors.get_mailbox(options["address"])
        changes: dict[str, Any] = {}
        if options["quota"] is not None:
            changes["quota_bytes"] = commands.size_argument(options["quota"])
        if options["protocols"] is not None:
            changes |= commands.protocols_argument(options["protocols"])
        if options["hidden_copies"] == "end" and options["pop_deletes"] != Mailbox.PopDeletes.DELETE:
            raise Problem(_("--hidden-copies end goes with --pop-deletes delete."))
        following = None
        with transaction.atomic():
            if options["hold"] is not None:
                # First: it locks the domain before the mailbox, and nothing else that is asked for ends anything then.
                holding.hold(mailbox=mailbox, reason=options["hold"])
            if changes:
                services.edit_mailbox(mailbox=mailbox, **changes)
            if options["pop_deletes"] is not None:
                following = services.set_pop_policy(
                    mailbox=mailbox,
                    policy=options["pop_deletes"],
                    end_hidden=options["hidden_copies"] == "end",
                )
            if options["require_device_passwords"] or options["allow_main_password"]:
                required = bool(options["require_device_passwords"])
                device_passwords.require_devices(mailbox=mailbox, required=required)
            if options["suspend"]:
                services.suspend_mailbox(mailbox=mailbox)
            if options["resume"]:
                services.resume_mailbox(mailbox=mailbox)
            if options["release_hold"]:
                holding.release(mailbox=mailbox)
        if following is not None:
            # Whoever reads the mailbox next finds what was asked for.
            jobs.wait_for(following, seconds=FOLLOWED_WITHIN)
        if not options["json"] and "quota_bytes" in changes and below_what_it_holds(mailbox):
            self.stderr.write(below_what_it_holds(mailbox))
        return mailbox_as_json(mailbox)
