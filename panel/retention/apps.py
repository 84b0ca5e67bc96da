"""Configuration of the part."""

from __future__ import annotations

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    """The retention part."""

    name = "panel.retention"

    def ready(self) -> None:
        """Register the part's actions and jobs in every process: each may need one."""
        import panel.retention.actions
        import panel.retention.tasks  # noqa: F401  (importing them registers them)
