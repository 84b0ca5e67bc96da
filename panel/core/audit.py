"""The audit trail: who changed what, for whom, when and from where. Written with the change, never edited.

Whoever lets people in says who acts (`acting`); services record what they did, in the transaction of the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import PurePath
from typing import Any

from django.db.models import Model
from django.utils.functional import Promise

from panel.core.models import AuditEntry

#: Names of values that are never written down, whatever a service hands over.
_SECRET = frozenset({"password", "secret", "token", "key", "code", "hash"})
#: Characters of a text that are kept.
_TEXT_MAX = 300


@dataclass(frozen=True)
class Actor:
    """Who acts.

    Attributes:
        kind: "person", "command", "job", or "" when nobody said.
        id: of the person, or None.
        label: what to call them: an e-mail, a command's name.
        remote_ip: from where, or empty.
        on_behalf_of: the customer that an administrator acts for at the moment, or empty.
    """

    kind: str
    id: int | None = None
    label: str = ""
    remote_ip: str = ""
    on_behalf_of: str = ""


NOBODY = Actor(kind="")

_actor: ContextVar[Actor] = ContextVar("actor", default=NOBODY)
_labels: dict[str, str | Promise] = {}


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Say who acts, for what is recorded within."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


@contextmanager
def acting_as(*, id: int, label: str) -> Iterator[None]:
    """Say which person acts, from wherever it is known that somebody does: they have just come to be."""
    with acting(replace(_actor.get(), kind="person", id=id, label=label)):
        yield


def acts_for(customer: str) -> None:
    """Say that whoever acts does so for a customer, from here to the end of `acting`."""
    _actor.set(replace(_actor.get(), on_behalf_of=customer))


def describe_actions(labels: Mapping[str, str | Promise]) -> None:
    """Say what people call a part's actions: code → sentence without a subject."""
    _labels.update(labels)


def action_label(action: str) -> str:
    """Return what people call an action."""
    return str(_labels.get(action, action))


def action_choices() -> list[tuple[str, str]]:
    """Return all actions and what people call them, in the alphabet's order."""
    return sorted(((code, str(label)) for code, label in _labels.items()), key=lambda choice: choice[1])


def record(
    action: str,
    *,
    target: Model,
    customer_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Write down a change, in the transaction that makes it.

    Args:
        action: a code that the part has described, such as "mailbox.suspended".
        target: what was changed; its name is kept as it is now.
        customer_id: whose it is: that customer's people may read the entry. None is the host's alone.
        before, after: the values that changed. Secrets are left out, long texts cut.
    """
    entry = _entry(action, target, customer_id, before, after)
    entry.save(force_insert=True)
    return entry


def record_all(action: str, changes: Iterable[tuple[Model, int | None, Mapping[str, Any]]]) -> None:
    """Write down the same change of many things, in few statements.

    Args:
        action: as for `record`.
        changes: what was changed, whose it is, and the values that it has now.
    """
    AuditEntry.objects.bulk_create(
        [_entry(action, target, customer_id, None, after) for target, customer_id, after in changes],
        batch_size=500,
    )


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return before and after of those values of `new` that differ from `old`."""
    names = [name for name, value in new.items() if old.get(name) != value]
    return {name: old.get(name) for name in names}, {name: new[name] for name in names}


def _entry(
    action: str,
    target: Model,
    customer_id: int | None,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> AuditEntry:
    if action not in _labels:
        raise ValueError(f"No such action: {action!r}.")
    actor = _actor.get()
    return AuditEntry(
        action=action,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor=actor.label[:254],
        on_behalf_of=actor.on_behalf_of[:100],
        remote_ip=actor.remote_ip or None,
        customer_id=customer_id,
        target_kind=target._meta.model_name or "",
        target_id=target.pk,
        target=str(target)[:254],
        before=_plain(before),
        after=_plain(after),
    )


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        name: _plain_value(value)
        for name, value in (values or {}).items()
        if not _SECRET & set(name.lower().split("_"))
    }


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain_value(item) for item in value]
    if isinstance(value, str | PurePath | Promise | Model):
        return str(value)[:_TEXT_MAX]
    raise TypeError(f"A {type(value).__name__} cannot be written into the audit trail.")
