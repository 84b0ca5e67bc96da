"""Everything that is stored, to look for what must not be."""

from __future__ import annotations

from django.db import connection


def tables_that_hold(text: str) -> list[str]:
    """Return the tables that have a text in any of their rows."""
    return [table for table in connection.introspection.table_names() if text in _content(table)]


def _content(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 - a name of its own
        return repr(cursor.fetchall())
