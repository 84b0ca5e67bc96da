"""Configuration of the part."""

from django.apps import AppConfig


class ServiceConfig(AppConfig):
    """The service part."""

    name = "panel.service"

    def ready(self) -> None:
        """Register the part's jobs in every process: each may start one."""
        import panel.service.tasks  # noqa: F401  (importing it registers them)
