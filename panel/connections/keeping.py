"""Writes: what is older than the log is kept ends, in pieces."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Model, QuerySet

from panel.connections.models import Connection, HourlyCount, LogGap
from panel.core import jobs
from panel.core.models import Installation

#: Rows that one statement deletes: writers wait for no more than that.
PIECE = 5_000


def forget_connections(*, now: datetime) -> dict[str, int]:
    """Delete what began longer ago than the log is kept: rows, counts of hours, and gaps. Open sessions stay.

    Args:
        now: what counts as the present.

    Returns:
        how many rows of each kind were deleted.
    """
    installation = Installation.objects.first()
    if installation is None:
        return {}
    cutoff = now - timedelta(days=installation.connection_days)
    report = {"connections": 0, "hours": 0, "gaps": 0}
    old: dict[str, QuerySet[Any]] = {
        # Led by the index of times, and by its order: the oldest go first.
        "connections": Connection.objects.filter(started_at__lt=cutoff, ended_at__isnull=False).order_by(
            "started_at", "pk"
        ),
        "hours": HourlyCount.objects.filter(hour__lt=cutoff).order_by("hour"),
        "gaps": LogGap.objects.filter(ended_at__lt=cutoff).order_by("ended_at"),
    }
    for kind, rows in old.items():
        while deleted := _delete_piece(rows):
            report[kind] += deleted
            jobs.note_progress(report)
    return report


def _delete_piece(rows: QuerySet[Any]) -> int:
    ids = list(rows.values_list("pk", flat=True)[:PIECE])
    model: type[Model] = rows.model
    return model._default_manager.filter(pk__in=ids).delete()[0] if ids else 0
