"""Several new mailboxes from lines that a person pasted. Their passwords are made here, shown once and kept nowhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailbackend.addresses import AddressError, normalise_domain
from mailbackend.passwords import generate_password
from panel.addresses.bulk import BadRows, NewMailbox, create_mailboxes
from panel.addresses.models import Domain, Mailbox
from panel.core.errors import Problem
from panel.core.sizes import parse_size

#: Mailboxes of one list: a page waits some seconds for their hashes.
AT_ONCE = 500

_SEPARATORS = re.compile(r"[;\t]")


@dataclass(frozen=True)
class BadLine:
    """A line that no mailbox can be made of: its number from 1, and why, in a sentence."""

    number: int
    problem: str

    def __str__(self) -> str:
        return _("Line %(number)s: %(problem)s") % {"number": self.number, "problem": self.problem}


class BadLines(Problem):
    """Some lines cannot be used, so nothing was created.

    Attributes:
        lines: all of them.
    """

    def __init__(self, lines: Sequence[BadLine]) -> None:
        words = ngettext(
            "%(number)s line cannot be used: see what is wrong with it.",
            "%(number)s lines cannot be used: see what is wrong with each.",
            len(lines),
        )
        super().__init__(words % {"number": len(lines)}, "lines")
        self.lines = tuple(lines)


@dataclass(frozen=True)
class Created:
    """A mailbox that was made, and the password that it has, which is known nowhere else."""

    mailbox: Mailbox
    password: str = field(repr=False)


@dataclass(frozen=True)
class _Wanted:
    number: int
    new: NewMailbox


def create_from_lines(*, domain: Domain, text: str, quota_bytes: int | None) -> list[Created]:
    """Create a mailbox for each line, all or none, each with a password made for it.

    Args:
        domain: where; it must not be deleted.
        text: lines of an address or the part before the @, and, each after a semicolon or a tabulator, a name and
            a quota. Empty lines do not count.
        quota_bytes: the quota of lines that give none, or None for no limit.

    Raises:
        BadLines: if lines cannot be used; it names each.
        Problem: if there are none or too many, a limit is reached, or the disk refuses. Nothing is left behind then.
    """
    wanted = _read(text, domain, quota_bytes)
    try:
        rows = create_mailboxes(domain=domain, mailboxes=[each.new for each in wanted])
    except BadRows as err:
        numbers = [each.number for each in wanted]
        raise BadLines([BadLine(numbers[row.number - 1], row.problem) for row in err.rows]) from err
    return [Created(row, each.new.password) for row, each in zip(rows, wanted, strict=True)]


def _read(text: str, domain: Domain, quota_bytes: int | None) -> list[_Wanted]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise Problem(_("Write at least one line."), "lines")
    if len(lines) > AT_ONCE:
        raise Problem(
            _("These are %(number)s lines. Create at most %(most)s mailboxes at once.")
            % {"number": len(lines), "most": AT_ONCE},
            "lines",
        )
    wanted, bad = [], []
    for number, line in lines:
        try:
            wanted.append(_Wanted(number, _read_line(line, domain, quota_bytes)))
        except Problem as problem:
            bad.append(BadLine(number, str(problem)))
    if bad:
        raise BadLines(bad)
    return wanted


def _read_line(line: str, domain: Domain, quota_bytes: int | None) -> NewMailbox:
    values = [value.strip() for value in _SEPARATORS.split(line)]
    if len(values) > 3:
        raise Problem(_("It has more than an address, a name and a quota."))
    address, name, quota = [*values, "", ""][:3]
    if quota:
        try:
            quota_bytes = parse_size(quota)
        except ValueError as err:
            raise Problem(str(err)) from err
    return NewMailbox(
        local_part=_local_part(address, domain),
        password=generate_password(),
        display_name=name,
        quota_bytes=quota_bytes,
    )


def _local_part(address: str, domain: Domain) -> str:
    local_part, at, of_domain = address.rpartition("@")
    if not at:
        return address
    try:
        fits = normalise_domain(of_domain) == domain.name
    except AddressError:
        fits = False
    if not fits:
        raise Problem(
            _("%(address)s is not on %(domain)s.") % {"address": address[:254], "domain": domain.unicode_name}
        )
    return local_part
