"""Configuration of the part: the views are dropped before a migration and made again after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.db import models
from django.db.models.signals import post_migrate, pre_migrate


class AddressesConfig(AppConfig):
    """The addresses part."""

    name = "panel.addresses"

    def ready(self) -> None:
        """Watch migrations, and register the part's jobs, actions and owners in every process: each may need one."""
        import panel.addresses.actions
        import panel.addresses.tasks  # noqa: F401  (importing it registers them)
        from panel.accounts import mailbox_owners
        from panel.addresses.owners import MailboxesForSignIn

        mailbox_owners.register(MailboxesForSignIn())
        pre_migrate.connect(_before_migration, sender=self)
        post_migrate.connect(_after_migration, sender=self)


def _before_migration(plan: Sequence[Any] = (), **_: Any) -> None:
    from panel.addresses.views_for_dovecot import drop_views

    if plan:
        drop_views()


def _after_migration(plan: Sequence[Any] = (), **_: Any) -> None:
    from panel.addresses.views_for_dovecot import create_views, missing_views

    if (plan or missing_views()) and _tables_exist() and _columns_are_there():
        create_views()
    if plan and _tables_exist("addresses_purgedmailbox"):
        _never_give_ids_again()


def _never_give_ids_again() -> None:
    """Keep SQLite from giving a purged mailbox's id again: a table that a migration rebuilds forgets its largest."""
    from django.db import connection

    from panel.addresses.models import Mailbox, PurgedMailbox

    largest = PurgedMailbox.objects.aggregate(largest=models.Max("pk"))["largest"]
    if connection.vendor != "sqlite" or largest is None:
        return
    with connection.cursor() as cursor:
        table = Mailbox._meta.db_table
        cursor.execute("UPDATE sqlite_sequence SET seq = max(seq, %s) WHERE name = %s", [largest, table])
        if not cursor.rowcount:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, largest])


def _columns_are_there() -> bool:
    """Whether the tables have what the views ask them for: after a migration back to their beginnings they have not."""
    from django.db import connection

    from panel.accounts.models import Customer
    from panel.addresses.models import Domain, Mailbox
    from panel.core.models import Installation

    asked = {
        Customer: {"suspended_at", "pop_deletes"},
        Domain: {"pop_deletes", "imap"},
        Mailbox: {"device_required"},
        Installation: {"pop_deletes"},
    }
    with connection.cursor() as cursor:
        for model, names in asked.items():
            columns = connection.introspection.get_table_description(cursor, model._meta.db_table)
            if not names <= {column.name for column in columns}:
                return False
    return True


def _tables_exist(*more: str) -> bool:
    """Whether the tables are there: a migration back to zero leaves none."""
    from django.db import connection

    return {"addresses_mailbox", "addresses_domain", "addresses_devicepassword", *more} <= set(
        connection.introspection.table_names()
    )
