"""What an IP address did, and what was done with an address: the newest rows of each, summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from panel.connections.histogram import Histogram, histogram_of_rows
from panel.connections.models import Connection
from panel.connections.planning import Plan, values_of_plan

#: Rows that are summed up, and how many of the others that were met are named.
EXAMINED, NAMED = 5000, 10


@dataclass(frozen=True)
class Met:
    """Another one: an address that an IP address tried, or an IP address that an address was used from."""

    name: str
    accepted: int
    refused: int


@dataclass(frozen=True)
class Summary:
    """The newest rows of one place or address.

    Attributes:
        sessions, refusals: how many.
        reasons: of the refusals, most frequent first: words and numbers.
        met: most frequent first, no more than NAMED.
        more_met: how many more there are.
        first_at, last_at: when the oldest and the newest of the rows began.
        is_whole: whether the rows are all there are; otherwise they are the newest.
        histogram: of these rows.
    """

    sessions: int
    refusals: int
    reasons: Sequence[tuple[str, int]]
    met: Sequence[Met]
    more_met: int
    first_at: datetime | None
    last_at: datetime | None
    is_whole: bool
    histogram: Histogram | None

    @property
    def total(self) -> int:
        """How many rows were summed up."""
        return self.sessions + self.refusals


def summary_of(plan: Plan, other: str) -> Summary:
    """Return a summary of the newest rows that a plan leads to.

    Args:
        plan: of one IP address, or of one address.
        other: the column of what was met: "address" or "remote_ip".
    """
    rows, is_whole = values_of_plan(plan, ("started_at", "outcome", "reason", other), size=EXAMINED)
    accepted = Connection.Outcome.ACCEPTED
    sessions = sum(1 for _at, outcome, *_more in rows if outcome == accepted)
    reasons = Counter(reason for _at, outcome, reason, _name in rows if outcome != accepted)
    met: Counter[str] = Counter(name for *_more, name in rows if name)
    signed_in: Counter[str] = Counter(name for _at, outcome, _reason, name in rows if outcome == accepted)
    return Summary(
        sessions=sessions,
        refusals=len(rows) - sessions,
        reasons=[(_label(reason), number) for reason, number in reasons.most_common()],
        met=[Met(name, signed_in[name], number - signed_in[name]) for name, number in met.most_common(NAMED)],
        more_met=max(len(met) - NAMED, 0),
        first_at=rows[-1][0] if rows else None,
        last_at=rows[0][0] if rows else None,
        is_whole=is_whole,
        histogram=histogram_of_rows((row[0], row[1]) for row in rows),
    )


def _label(reason: str) -> str:
    kinds = Connection.Refusal
    return str(kinds(reason).label) if reason in kinds.values else reason
