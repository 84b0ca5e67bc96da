"""removesecondfactor EMAIL: for somebody who lost their app, their passkeys and their recovery codes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.accounts import own_account, selectors
from panel.core import commands


class Command(commands.Command):
    """Remove a person's second factor."""

    help = gettext_noop(
        "Remove a person's authenticator app, passkeys and recovery codes: their password alone lets them in."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the e-mail."""
        parser.add_argument("email")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Remove it."""
        user = selectors.get_user(options["email"])
        return {"email": user.email, "removed": own_account.remove_second_factor(user=user)}
