"""Owners of mailboxes sign in with its address and its password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from mailbackend.passwords import verify_password
from panel.accounts.backends import People, is_person
from panel.addresses import owners


class MailboxOwners(People):
    """Checks the passwords of mailboxes; asked after the people. Sessions are looked at as theirs are.

    Any name costs one hash, known or not; only one that is both a person's and a mailbox's costs two.
    """

    def authenticate(
        self,
        request: HttpRequest | None,  # noqa: ARG002 - Django's signature
        username: str | None = None,
        password: str | None = None,
        **_: Any,
    ) -> Any:
        """Return the owner of the mailbox whose address and password these are, or None.

        Mailboxes that may not be signed in to are let through here: whoever has the password is told why not.
        """
        if username is None or password is None:
            return None
        mailbox = owners.mailbox_named(username)
        if mailbox is not None:
            # The owner was read together with the hash: a session of theirs ends with the password it came in by.
            return owners.owner_of(mailbox) if verify_password(password, mailbox.password) else None
        if not is_person(username):
            make_password(password)
        return None
