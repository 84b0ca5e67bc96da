"""Who may sign in: people, by e-mail and password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from panel.accounts.selectors import may_sign_in


class People(ModelBackend):
    """Checks people's passwords; unknown people cost the same hash. Asked again for every request of a session."""

    def user_can_authenticate(self, user: Any) -> bool:
        """Say whether they may be here at all: a session ends with the right to it."""
        return may_sign_in(user)
