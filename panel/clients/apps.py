"""Configuration of the part."""

from __future__ import annotations

from django.apps import AppConfig


class ClientsConfig(AppConfig):
    """The clients part: mail programs, and how they are set up."""

    name = "panel.clients"
