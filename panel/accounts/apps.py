"""Configuration of the part."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The accounts part."""

    name = "panel.accounts"
