"""Configuration of the part."""

from __future__ import annotations

from django.apps import AppConfig


class ConnectionsConfig(AppConfig):
    """The connections part."""

    name = "panel.connections"

    def ready(self) -> None:
        """Register the part's actions and jobs in every process: each may need one."""
        import panel.connections.actions
        import panel.connections.tasks  # noqa: F401  (importing them registers them)
