"""What a check or a purge answers: what was looked at, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.core.said import in_words

#: Failures that a report keeps in words; the rest is counted.
FAILURES_KEPT = 1000


@dataclass(frozen=True)
class Failure:
    """Something that is not as it should be.

    Attributes:
        subject: the address, folder or view that it is about.
        problem: what is wrong, in words.
        mended: whether it is right again.
        mendable: whether `--repair`, or the next run, would mend it.
    """

    subject: str
    problem: str
    mended: bool
    mendable: bool


@dataclass
class Report:
    """What was looked at and what was found.

    Attributes:
        mailboxes: looked at, or purged.
        messages: in those that were looked at thoroughly, or that were purged.
        bytes: of these messages.
        thorough: mailboxes whose folders were gone through.
        failures: the first of what was found.
        found: all of it.
        mended: of what was found.
    """

    mailboxes: int = 0
    messages: int = 0
    bytes: int = 0
    thorough: int = 0
    failures: list[Failure] = field(default_factory=list)
    found: int = 0
    mended: int = 0

    def add(self, failure: Failure) -> None:
        """Count a failure, and keep it while there are few."""
        self.found += 1
        self.mended += failure.mended
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(failure)

    def take(self, other: Report) -> None:
        """Add what another report holds."""
        for name in ("mailboxes", "messages", "bytes", "thorough", "found", "mended"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failures += other.failures[: FAILURES_KEPT - len(self.failures)]

    def as_json(self) -> dict[str, Any]:
        """Return the report as the contract has it, with counts for what it does not name."""
        return vars(self) | {"failures": [vars(failure) for failure in self.failures]}


def failed(answer: dict[str, Any], hint: str = "") -> str:
    """Return a line for standard error about what is left, or an empty string.

    Args:
        answer: a report's JSON.
        hint: what to do if something of it can be mended.
    """
    left = answer["found"] - answer["mended"]
    if not left:
        return ""
    named = [failure for failure in answer["failures"] if not failure["mended"]]
    line = ngettext("%(count)s problem", "%(count)s problems", left) % {"count": left}
    if named:
        first = f"{named[0]['subject']}: {in_words(named[0]['problem'])}"
        line = _("%(problems)s, the first: %(first)s") % {"problems": line, "first": first}
    if any(failure["mendable"] for failure in named):
        line += f" {hint}"
    return line.strip()
