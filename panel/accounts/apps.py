"""Configuration of the part."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts part."""

    name = "panel.accounts"

    def ready(self) -> None:
        """Register the part's jobs and actions in every process: each may need one."""
        import panel.accounts.actions
        import panel.accounts.invitation_mail  # noqa: F401  (importing it registers them)
