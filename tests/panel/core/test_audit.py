"""The audit trail: what is written down, what is not, and that nothing changes it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, transaction

from panel.core import audit
from panel.core.audit import Actor, acting
from panel.core.models import AuditEntry
from tests.cast import Cast

audit.describe_actions({"test.changed": "Changed a test"})


def test_who_what_from_where(cast: Cast) -> None:
    actor = Actor("person", cast.admin.pk, str(cast.admin), "192.0.2.7", on_behalf_of="Martin SA")
    with acting(actor):
        audit.record(
            "test.changed",
            target=cast.mailbox,
            customer_id=cast.customer.pk,
            before={"quota_bytes": None},
            after={"quota_bytes": 5, "protocols": ["imap"], "at": datetime(2026, 1, 2, tzinfo=UTC)},
        )
    entry = AuditEntry.objects.get(action="test.changed")
    assert (entry.actor, entry.actor_id, entry.remote_ip) == ("admin@host.test", cast.admin.pk, "192.0.2.7")
    assert (entry.on_behalf_of, entry.customer_id) == ("Martin SA", cast.customer.pk)
    assert (entry.target_kind, entry.target_id, entry.target) == (
        "mailbox",
        cast.mailbox.pk,
        str(cast.mailbox),
    )
    assert entry.before == {"quota_bytes": None}
    assert entry.after == {"quota_bytes": 5, "protocols": ["imap"], "at": "2026-01-02T00:00:00+00:00"}


def test_secrets_are_left_out_and_long_texts_cut(cast: Cast) -> None:
    entry = audit.record(
        "test.changed",
        target=cast.mailbox,
        after={"password": "x", "new_password": "x", "token_hash": "x", "api_key": "x", "reason": "r" * 5000},
    )
    assert entry.after == {"reason": "r" * 300}


def test_without_anybody_it_is_written_all_the_same(cast: Cast) -> None:
    assert audit.record("test.changed", target=cast.mailbox).actor_kind == ""


def test_an_action_must_be_described(cast: Cast) -> None:
    with pytest.raises(ValueError, match="No such action"):
        audit.record("test.unknown", target=cast.mailbox)


def test_the_database_refuses_an_edit(cast: Cast) -> None:
    entry = audit.record("test.changed", target=cast.mailbox)
    with pytest.raises(DatabaseError, match="never edited"), transaction.atomic():
        AuditEntry.objects.filter(pk=entry.pk).update(actor="nobody")
    entry.refresh_from_db()
    assert entry.actor == ""


def test_only_what_changed_is_told() -> None:
    assert audit.changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == (
        {"b": 2, "c": None},
        {"b": 3, "c": 4},
    )
