"""Configuration of the part."""

from __future__ import annotations

from django.apps import AppConfig


class QuotasConfig(AppConfig):
    """The quotas part."""

    name = "panel.quotas"

    def ready(self) -> None:
        """Register the part's jobs in every process: each may need one."""
        import panel.quotas.sampling_tasks
        import panel.quotas.tasks  # noqa: F401  (importing them registers them)
