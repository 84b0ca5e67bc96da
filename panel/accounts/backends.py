"""Who may sign in: people, by e-mail and password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from panel.accounts.models import User
from panel.accounts.selectors import may_sign_in


class People(ModelBackend):
    """Checks people's passwords. Asked again for every request of a session.

    Whom it does not know it leaves to the backend of the mailboxes, which computes the hash that unknown names cost.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> Any:
        """Return the person whose e-mail and password these are, or None."""
        if username is None or password is None or not is_person(username):
            return None
        return super().authenticate(request, username=username, password=password)

    def user_can_authenticate(self, user: Any) -> bool:
        """Say whether their password counts. Who belongs to suspended customers alone is told so, and stays outside."""
        return bool(user.is_active)

    def get_user(self, user_id: int) -> Any:
        """Return whose session this is, unless it ended with the right to it."""
        user = super().get_user(user_id)
        return user if user is not None and may_sign_in(user) else None


def is_person(name: str) -> bool:
    """Say whether somebody signs in with this e-mail, as typed."""
    return User.objects.filter(email=name.strip().lower()).exists()
