"""setpassword EMAIL: a new password for somebody who forgot theirs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.accounts import selectors, services
from panel.core import commands


class Command(commands.Command):
    """Set a person's password."""

    help = gettext_noop(
        "Set the password with which a person signs in to the panel; it is read from standard input."
    )

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the e-mail."""
        parser.add_argument("email")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Set the password."""
        user = selectors.get_user(options["email"])
        services.set_password(user=user, password=commands.read_password())
        return {"email": user.email}
