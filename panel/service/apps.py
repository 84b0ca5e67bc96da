"""Configuration of the part."""

from django.apps import AppConfig


class ServiceConfig(AppConfig):
    """The service part."""

    name = "panel.service"

    def ready(self) -> None:
        """Register the part's jobs and actions in every process: each may need one."""
        import panel.service.actions
        import panel.service.tasks  # noqa: F401  (importing it registers them)
