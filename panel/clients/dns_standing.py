"""How a domain stands in the DNS: what should be there, what is known of it, and the verdicts. Waits for no answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from panel.clients.dns_looks import KEPT, STALE_AFTER, Known, known_of
from panel.clients.dns_verdicts import Answers, State, Verdict, further_questions, judge, questions_about
from panel.clients.records import Record, Subject, wanted_records


@dataclass(frozen=True)
class Standing:
    """How a domain stands.

    Attributes:
        records: that it should have.
        known: the newest look, and whether another one is being made.
        verdicts: on the records, by that look.
    """

    records: tuple[Record, ...]
    known: Known
    verdicts: list[Verdict]

    @property
    def answers(self) -> Answers | None:
        """What the DNS said; None while nothing is known."""
        return self.known.look.answers if self.known.look else None

    def leads_here(self, subject: Subject) -> bool:
        """Say whether a record of a subject was found right. A panel that has that very name needs none."""
        found = [each.state for each in self.verdicts if each.record.subject == subject]
        return State.RIGHT in found or not found


def standing_of(domain_name: str, selector: str = "", *, newer_than: datetime | None = None) -> Standing:
    """Return how a domain stands, and have the DNS looked at anew where what is known is old.

    Args:
        domain_name: of a domain that is hosted here, in ASCII.
        selector: the name of a DKIM key to look for, or empty.
        newer_than: what was looked at before counts as old.
    """
    records = wanted_records(domain_name)
    known = known_of(
        f"{domain_name}/{selector}",
        questions_about(domain_name, records, selector),
        newer_than=newer_than,
        # There are more names of keys than the cache can keep answers about.
        kept=STALE_AFTER if selector else KEPT,
        further=partial(further_questions, domain_name),
    )
    return Standing(records, known, judge(records, known.look.answers if known.look else None, selector))
