"""Who may sign in: people, by e-mail and password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from panel.accounts.selectors import may_sign_in


class People(ModelBackend):
    """Checks people's passwords; unknown people cost the same hash. Asked again for every request of a session."""

    def user_can_authenticate(self, user: Any) -> bool:
        """Say whether their password counts. Who belongs to suspended customers alone is told so, and stays outside."""
        return bool(user.is_active)

    def get_user(self, user_id: int) -> Any:
        """Return whose session this is, unless it ended with the right to it."""
        user = super().get_user(user_id)
        return user if user is not None and may_sign_in(user) else None
