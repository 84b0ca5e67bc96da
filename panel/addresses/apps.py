"""Configuration of the part: the views are dropped before a migration and made again after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class AddressesConfig(AppConfig):
    """The addresses part."""

    name = "panel.addresses"

    def ready(self) -> None:
        """Watch migrations, and register the part's jobs and actions in every process: each may need one."""
        import panel.addresses.actions
        import panel.addresses.tasks  # noqa: F401  (importing it registers them)

        pre_migrate.connect(_before_migration, sender=self)
        post_migrate.connect(_after_migration, sender=self)


def _before_migration(plan: Sequence[Any] = (), **_: Any) -> None:
    from panel.addresses.views_for_dovecot import drop_views

    if plan:
        drop_views()


def _after_migration(plan: Sequence[Any] = (), **_: Any) -> None:
    from panel.addresses.views_for_dovecot import create_views, missing_views

    if (plan or missing_views()) and _tables_exist():
        create_views()


def _tables_exist() -> bool:
    """Whether the tables are there: a migration back to zero leaves none."""
    from django.db import connection

    return {"addresses_mailbox", "addresses_domain"} <= set(connection.introspection.table_names())
