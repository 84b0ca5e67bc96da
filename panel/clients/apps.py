"""Configuration of the part."""

from __future__ import annotations

from django.apps import AppConfig


class ClientsConfig(AppConfig):
    """The clients part: mail programs, and how they are set up."""

    name = "panel.clients"

    def ready(self) -> None:
        """Have `manage.py check` tell of a host's files that cannot be used."""
        import panel.clients.checks  # noqa: F401  (importing it registers them)
