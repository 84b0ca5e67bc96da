"""Configuration of the part."""

from django.apps import AppConfig


class ServiceConfig(AppConfig):
    """The service part."""

    name = "panel.service"
