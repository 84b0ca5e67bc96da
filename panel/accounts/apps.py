"""Configuration of the part."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts part."""

    name = "panel.accounts"

    def ready(self) -> None:
        """Register the part's jobs and the words of its actions, in every process."""
        import panel.accounts.actions
        import panel.accounts.invitation_mail
        import panel.accounts.sign_in_actions
        import panel.accounts.tasks  # noqa: F401  (importing it registers them)
