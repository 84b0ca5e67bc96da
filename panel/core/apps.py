"""Configuration of the part."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """The core part."""

    name = "panel.core"

    def ready(self) -> None:
        """Make Celery's application the current one, so that tasks can be sent from every process; name actions."""
        import panel.celery
        import panel.core.actions
        import panel.core.tasks  # noqa: F401  (importing them is what it takes)
