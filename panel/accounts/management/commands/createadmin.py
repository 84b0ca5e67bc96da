"""createadmin EMAIL: an administrator of the host."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext_noop

from panel.accounts import services
from panel.core import commands


class Command(commands.Command):
    """Create an administrator."""

    help = gettext_noop("Create an administrator; the password is read from standard input.")

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Take the e-mail."""
        parser.add_argument("email")

    def answer(self, **options: Any) -> dict[str, Any]:
        """Create the administrator."""
        user = services.create_admin(email=options["email"], password=commands.read_password())
        return {"email": user.email}
