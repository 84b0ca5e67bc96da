"""Configuration of the part."""

from __future__ import annotations

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    """The retention part."""

    name = "panel.retention"

    def ready(self) -> None:
        """Register the part's actions, jobs and what it keeps at moves in every process: each may need one."""
        import panel.retention.actions
        import panel.retention.tasks  # noqa: F401  (importing them registers them)
        from panel.addresses import moving
        from panel.retention.moved import keep_what_counts

        moving.register(keep_what_counts)
