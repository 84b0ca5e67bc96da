"""The values of the audit trail in words and units. Each part says what its own are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from panel.core.models import AuditEntry
from panel.core.sizes import format_size

Words = str | Promise


@dataclass(frozen=True)
class Value:
    """What people call a value.

    Attributes:
        label: its name.
        nothing: what it means that there is none.
        choices: what its codes are called, for values that have some.
    """

    label: Words
    nothing: Words = "–"
    choices: Mapping[str, Words] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One value of an entry. What it was is None where the entry does not say."""

    label: str
    before: str | None
    after: str | None


_values: dict[str, Value] = {}


def describe_values(values: Mapping[str, Value]) -> None:
    """Say what people call a part's values: name → words."""
    _values.update(values)


def changes_in_words(entry: AuditEntry) -> list[Change]:
    """Return what an entry says of values, in the order in which they were written down."""
    names = list(dict.fromkeys([*entry.before, *entry.after]))
    return [
        Change(
            str(_values[name].label) if name in _values else name,
            _in_words(name, entry.before[name]) if name in entry.before else None,
            _in_words(name, entry.after[name]) if name in entry.after else None,
        )
        for name in names
    ]


def _in_words(name: str, value: Any) -> str:
    known = _values.get(name, Value(name))
    if value is None or value == "" or value == []:
        return str(known.nothing)
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if isinstance(value, int) and str(value) in known.choices:
        return str(known.choices[str(value)])
    if isinstance(value, int):
        return format_size(value) if name.endswith("_bytes") else number_format(value, force_grouping=True)
    if isinstance(value, list):
        return ", ".join(str(known.choices.get(item, item)) for item in value)
    if name.endswith("_at"):
        return _time(str(value))
    return str(known.choices.get(str(value), value))


def _time(text: str) -> str:
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else text
