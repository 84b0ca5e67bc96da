"""What mailboxes hold, as others read it: CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date
from itertools import chain

from django.db.models import QuerySet

from panel.addresses.models import Mailbox
from panel.core.csv_text import csv_lines
from panel.core.keyset import pages_by_key
from panel.quotas.storage import growth

#: Mailboxes that are read together.
_TOGETHER = 500
#: What is told of a mailbox, in this order: keep it, programs read it. Sizes are bytes, times ISO 8601 in UTC.
COLUMNS = (
    "address", "customer", "state", "used_bytes", "quota_bytes", "used_percent", "grown_bytes_in_30_days",
    "measured_at",
)  # fmt: skip


def usage_csv(mailboxes: QuerySet[Mailbox], today: date) -> Iterator[str]:
    """Return the lines of a CSV file (RFC 4180) of mailboxes, read in pieces.

    Args:
        mailboxes: which, with their domains and customers.
        today: the day from which growth counts back.
    """
    rows = mailboxes.annotate(grown=growth(today))
    return csv_lines(COLUMNS, map(_line, chain.from_iterable(pages_by_key(rows, _TOGETHER))))


def _line(mailbox: Mailbox) -> tuple[object, ...]:
    grown: int | None = getattr(mailbox, "grown", None)
    return (
        mailbox.address,
        mailbox.domain.customer.name,
        mailbox.state.value,
        mailbox.used_bytes,
        mailbox.quota_bytes,
        mailbox.fullness,
        grown,
        mailbox.used_at.astimezone(UTC).isoformat() if mailbox.used_at else None,
    )
