"""Rows of who removed which message: stored once, for the right mailbox, gone with their message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from mailbackend.dovecot.doveadm import KeptMessage
from mailbackend.dovecot.removals import Removed
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.addresses.services import create_mailbox
from panel.connections import removals
from panel.connections.models import Connection, LogPosition, RemovedMessage
from tests.cast import PASSWORD, Cast
from tests.panel.connections.log_lines import at, begun, ended
from tests.panel.connections.test_recorder import Log, log

__all__ = ["log"]  # the fixture

NODE = "restante-test"


@pytest.fixture
def told(cast: Cast) -> Callable[..., Removed]:
    """Return a function that makes a removal from the cast's mailbox, a little after that was created."""
    begun = timezone.now()

    def tell(uid: int, **values: Any) -> Removed:
        seconds = values.pop("seconds", 0)
        said = {
            "at": (begun + timedelta(seconds=seconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
            "session": "s1",
            "address": cast.mailbox.address,
            "protocol": "imap",
            "folder": "INBOX",
            "uid": uid,
        }
        return Removed(**{**said, **values})

    return tell


def rows() -> list[tuple[int, str, str]]:
    return list(RemovedMessage.objects.order_by("uid").values_list("uid", "folder", "session"))


def test_one_row_for_each_however_often_it_is_stored(cast: Cast, told: Callable[..., Removed]) -> None:
    batch = [told(1), told(2, folder="Été", protocol="pop3"), told(3, session="", protocol="doveadm")]
    for _ in range(2):
        assert removals.save(NODE, batch) == 3
    assert rows() == [(1, "INBOX", "s1"), (2, "Été", "s1"), (3, "INBOX", "")]
    first = RemovedMessage.objects.get(uid=1)
    assert (first.mailbox, first.node, first.protocol) == (cast.mailbox, NODE, "imap")
    assert first.removed_at.isoformat(timespec="microseconds") == datetime.fromisoformat(
        told(1).at
    ).isoformat(timespec="microseconds")
    assert removals.save(NODE, []) == 0


def test_a_uid_that_is_given_again_is_the_later_message(cast: Cast, told: Callable[..., Removed]) -> None:
    removals.save(NODE, [told(1), told(2)])
    # Even when the clock was set back meanwhile, and twice in one batch.
    removals.save(NODE, [told(1, folder="Old", seconds=1), told(1, folder="New", seconds=-0.0)])
    assert rows() == [(1, "New", "s1"), (2, "INBOX", "s1")]


def test_what_belongs_to_no_mailbox_is_left_out(cast: Cast, told: Callable[..., Removed]) -> None:
    other = told(1, address=f"nobody@{cast.domain.name}")
    assert removals.save(NODE, [other, told(2)]) == 1
    assert rows() == [(2, "INBOX", "s1")]


def test_a_new_owner_of_an_address_does_not_get_what_the_last_one_removed(
    cast: Cast, told: Callable[..., Removed]
) -> None:
    before = told(1, folder="Private")
    services.delete_mailbox(mailbox=cast.mailbox)
    heir = create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD)
    after = told(1, folder="Mine", at=timezone.now().isoformat())
    # The recorder comes to both lines only now.
    assert removals.save(NODE, [before, after]) == 2
    assert RemovedMessage.objects.get(mailbox=heir).folder == "Mine"
    assert RemovedMessage.objects.get(mailbox=cast.mailbox).folder == "Private"
    assert removals.save(NODE, [told(2, at="2020-01-01T00:00:00.000000+0000")]) == 0
    Mailbox.objects.filter(pk=cast.mailbox.pk).delete()
    assert removals.save(NODE, [before]) == 0
    assert rows() == [(1, "Mine", "s1")]


def test_hostile_names_are_stored_safely(cast: Cast, told: Callable[..., Removed]) -> None:
    removals.save(NODE, [told(1, folder="a\x00b\udcff" + "x" * 400)])
    assert RemovedMessage.objects.get().folder == "a?b?" + "x" * 251


def test_rows_live_and_die_with_the_callers_transaction(cast: Cast, told: Callable[..., Removed]) -> None:
    with transaction.atomic():
        removals.save(NODE, [told(1)])
        transaction.set_rollback(True)
    assert rows() == []


# SQLite takes 999 values in a statement.
@pytest.mark.parametrize(("count", "statements"), [(3, 2), (1200, 10)])
def test_one_query_and_few_statements_whatever_the_number(
    cast: Cast, told: Callable[..., Removed], django_assert_max_num_queries: Any, count: int, statements: int
) -> None:
    batch = [told(uid) for uid in range(1, count + 1)]
    with django_assert_max_num_queries(statements + 2):  # and a savepoint
        assert removals.save(NODE, batch) == count


def test_the_recorder_stores_them_once(cast: Cast, log: Log) -> None:
    at = timezone.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
    head = f'imap: sess=s9 user="{cast.mailbox.address}" pid=7: Info: '
    log.write(f"{at} {head}copy from INBOX: box=.EXPUNGED/all, uid=5\n")
    log.write(f"{at} {head}Mailbox .EXPUNGED/all: copy from Sent: box=.EXPUNGED/all, uid=6\n")
    log.write(f"{at} {head}copy from INBOX: box=Trash, uid=7\n")
    # A time that is none holds nothing up.
    log.write(f"{at[:11]}99{at[13:]} {head}copy from INBOX: box=.EXPUNGED/all, uid=8\n")
    log.write(f"{at} {head}copy from INBOX: box=.EXPUNGED/all, uid=9")
    for _ in range(2):
        log.record()
    assert rows() == [(5, "INBOX", "s9"), (6, "Sent", "s9")]
    log.write("\n")
    log.record()
    assert [uid for uid, *_rest in rows()] == [5, 6, 9]
    assert set(RemovedMessage.objects.values_list("node")) == set(LogPosition.objects.values_list("node"))


def test_who_may_see_them(cast: Cast, told: Callable[..., Removed]) -> None:
    removals.save(NODE, [told(1), told(2, seconds=1)])
    for person in (cast.admin, cast.owner, cast.manager, cast.reader):
        assert [row.uid for row in removals.removed_for(person, cast.mailbox)] == [2, 1]
    assert not removals.removed_for(cast.stranger, cast.mailbox).exists()


def test_a_row_belongs_to_a_message_of_its_time(cast: Cast, told: Callable[..., Removed]) -> None:
    removals.save(NODE, [told(1), told(2), told(3)])
    at = datetime.fromisoformat(told(1).at)
    messages = [
        KeptMessage(1, at.replace(microsecond=0), 10),
        # Its UID was given again after Dovecot lost the index: the row tells of another message.
        KeptMessage(2, at - timedelta(days=2), 10),
        KeptMessage(3, at + timedelta(days=2), 10),
        KeptMessage(4, at, 10),
    ]
    assert list(removals.rows_of(cast.mailbox, messages)) == [1]
    assert removals.rows_of(cast.mailbox, []) == {}


def test_rows_are_forgotten_with_their_messages(cast: Cast, told: Callable[..., Removed]) -> None:
    removals.save(NODE, [told(uid) for uid in range(1, 1101)])
    removals.forget(cast.mailbox, range(2, 1101))
    assert [uid for uid, *_rest in rows()] == [1]
    removals.forget_left_over([cast.mailbox], datetime.fromisoformat(told(1).at))
    assert [uid for uid, *_rest in rows()] == [1]
    removals.forget_left_over([cast.mailbox], datetime.fromisoformat(told(1).at) + timedelta(seconds=1))
    assert rows() == []


@pytest.mark.parametrize("order", [("removed", "ended"), ("ended", "removed"), ("both",)])
def test_a_pop_session_is_given_its_number_in_either_order(
    log: Log, cast: Cast, order: tuple[str, ...]
) -> None:
    now, address = timezone.now() + timedelta(seconds=1), cast.mailbox.address
    head = f'{at(now)} pop3: sess=p1 user="{address}" pid=77: Info: '
    lines = {
        "removed": "".join(f"{head}copy from INBOX: box=.EXPUNGED/all, uid={uid}\n" for uid in (5, 6)),
        "ended": ended(now, "p1", address, protocol="pop3"),
    }
    lines["both"] = lines["removed"] + lines["ended"]
    log.write(begun(now, "p1", address, protocol="pop3") + begun(now, "p2", address, protocol="pop3"))
    log.record()
    for name in order:
        log.write(lines[name])
        log.record()
    log.write(ended(now, "p2", address, protocol="pop3"))
    log.record()
    counts = dict(Connection.objects.values_list("session", "expunged"))
    assert counts == {"p1": 2, "p2": 0}
    RemovedMessage.objects.all().delete()
    log.record()
    assert Connection.objects.get(session="p1").expunged == 2
