"""Configuration of the part."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """The core part."""

    name = "panel.core"

    def ready(self) -> None:
        """Make Celery's application the current one, so that tasks can be sent from every process."""
        import panel.celery  # noqa: F401  (importing it is what makes it current)
