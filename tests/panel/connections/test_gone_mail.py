"""Where a mailbox's mail went: in words, by day, alike sessions together, with what can come back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts.models import User
from panel.addresses.models import DevicePassword, Mailbox
from panel.addresses.services import create_mailbox, delete_mailbox, set_pop_policy
from panel.connections import mailbox_selectors
from panel.connections.models import Connection, RemovedMessage
from tests.cast import PASSWORD, Cast
from tests.panel.connections.mailbox_rows import a_session, an_open_session
from tests.panel.connections.test_mailbox_connections import text_of
from tests.panel.connections.test_recover_pages import Dovecot, dovecot, owner_client, page

__all__ = ["dovecot"]  # the fixture

SignIn = Callable[[User], Client]
NOW = timezone.now().replace(microsecond=0)
NOON = timezone.localtime(NOW - timedelta(days=2)).replace(hour=12, minute=0, second=0)
HOSTILE = "<script>alert(1)</script>\x07\u202egnp"


def url_of(mailbox: Mailbox, **query: Any) -> str:
    """Return the page's address."""
    return reverse("show_gone_mail", args=[mailbox.pk], query=query)


def a_removal(mailbox: Mailbox, by: Connection | None, uids: range, at: datetime = NOON) -> None:
    """Save what a session, or a job, removed."""
    RemovedMessage.objects.bulk_create(
        RemovedMessage(
            mailbox=mailbox,
            node=by.node if by else "one",
            session=by.session if by else "",
            protocol=by.protocol if by else "doveadm",
            folder="INBOX",
            uid=uid,
            removed_at=at,
        )
        for uid in uids
    )


def a_pop_session(mailbox: Mailbox, count: int, at: datetime = NOON, **values: Any) -> Connection:
    """Save a POP session that downloaded and deleted so many messages."""
    given = {"protocol": "pop3", "retrieved": count, "deleted": count, "expunged": count}
    return a_session(mailbox, started_at=at, ended_at=at + timedelta(seconds=9), **{**given, **values})


def test_nothing_was_removed(cast: Cast, signed_in: SignIn) -> None:
    a_session(cast.mailbox, retrieved=5)
    a_session(cast.mailbox, protocol="pop3", retrieved=5, expunged=None)
    text = text_of(signed_in(cast.reader), url_of(cast.mailbox))
    assert "Nothing was removed in the last 90 days" in text
    assert "POP from" not in text


def test_each_is_told_with_what_can_come_back(cast: Cast, signed_in: SignIn) -> None:
    device = DevicePassword.objects.create(mailbox=cast.mailbox, label="Office PC", secret_hash="a")
    took = a_pop_session(cast.mailbox, 14, device=device)
    a_removal(cast.mailbox, took, range(1, 15))
    a_pop_session(cast.mailbox, 3, remote_ip="192.0.2.8", expunged=0)
    moved = a_session(cast.mailbox, expunged=2, client_name=HOSTILE, started_at=NOON, ended_at=NOON)
    idle = an_open_session(cast.mailbox, started_at=NOON)
    a_removal(cast.mailbox, idle, range(20, 21), NOW)
    a_removal(cast.mailbox, None, range(30, 33))
    client = signed_in(cast.reader)
    text, html = text_of(client, url_of(cast.mailbox)), client.get(url_of(cast.mailbox)).content.decode()
    assert "POP from 192.0.2.7 (Office PC) downloaded 14 messages and deleted them from the server." in text
    assert "14 messages can be recovered" in text
    assert f"/recover/?session={took.pk}" in html
    assert "3 messages and deleted them for POP: POP does not show them any more, IMAP still does." in text
    assert "deleted 2 messages, or moved them to another folder." in text
    assert reverse("show_connection", args=[moved.pk]) in html
    assert "is signed in now, and has deleted 1 message so far." in text
    assert "The server itself removed 3 messages" in text
    assert "/recover/?session=jobs" in html
    assert "<script>alert" not in html
    assert "\u202e" not in html


def test_alike_sessions_of_a_day_are_one_line(cast: Cast, signed_in: SignIn) -> None:
    for minute in range(9):
        row = a_pop_session(cast.mailbox, 2, NOON + timedelta(minutes=minute))
        a_removal(cast.mailbox, row, range(minute * 2 + 1, minute * 2 + 3))
    a_pop_session(cast.mailbox, 1, NOON - timedelta(days=1))
    text = text_of(signed_in(cast.manager), url_of(cast.mailbox))
    assert "downloaded 18 messages and deleted them from the server. In 9 sessions." in text
    assert "18 messages can be recovered" in text
    assert "downloaded 1 message and deleted it from the server." in text


def test_pages_and_a_long_log(cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in(cast.owner)
    for number in range(4):
        a_pop_session(cast.mailbox, number + 1, NOON - timedelta(hours=number), remote_ip=f"192.0.2.{number}")
        a_session(cast.mailbox, started_at=NOON - timedelta(hours=number, minutes=1))
    monkeypatch.setattr(mailbox_selectors, "PAGE", 2)
    answer = client.get(url_of(cast.mailbox))
    first = text_of(client, url_of(cast.mailbox))
    assert ("192.0.2.0 " in first, "192.0.2.1 " in first, "192.0.2.2 " in first) == (True, True, False)
    second = text_of(client, url_of(cast.mailbox, before=answer.context["older"]))
    assert ("192.0.2.1 " in second, "192.0.2.2 " in second, "192.0.2.3 " in second) == (False, True, True)
    monkeypatch.setattr(mailbox_selectors, "REMOVING_THROUGH", 2)
    answer = client.get(url_of(cast.mailbox))
    assert "192.0.2.1 " not in answer.content.decode()
    assert answer.context["older"]
    for odd in ("x", "1-", "9" * 30, "-"):
        assert client.get(url_of(cast.mailbox, before=odd)).status_code == 200


def test_what_pop_deleted_without_a_number_goes_by_what_counts_now(cast: Cast, signed_in: SignIn) -> None:
    a_pop_session(cast.mailbox, 2, expunged=None)
    client = signed_in(cast.admin)
    assert "IMAP still does" in text_of(client, url_of(cast.mailbox))
    set_pop_policy(mailbox=cast.mailbox, policy="delete")
    assert "deleted them from the server" in text_of(client, url_of(cast.mailbox))


def test_sessions_of_others_are_not_there(cast: Cast, signed_in: SignIn, dovecot: Dovecot) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    theirs = a_pop_session(other, 3)
    dovecot.remove(cast.mailbox, 1, NOW)
    assert signed_in(cast.stranger).get(url_of(cast.mailbox)).status_code == 404
    assert owner_client(other).get(url_of(cast.mailbox)).status_code == 404
    client = owner_client(cast.mailbox)
    assert "POP from" not in text_of(client, url_of(cast.mailbox, session=theirs.pk))
    recover = reverse("list_removed_mail", args=[cast.mailbox.pk])
    assert client.get(recover, {"session": str(theirs.pk)}).status_code == 404
    assert client.get(recover, {"session": "9" * 30}).status_code == 404


def test_from_the_session_to_its_messages_and_back(cast: Cast, signed_in: SignIn, dovecot: Dovecot) -> None:
    mine = a_pop_session(cast.mailbox, 2, node="n", session="s1")
    for uid in (1, 2, 3):
        dovecot.remove(cast.mailbox, uid, NOW - timedelta(hours=1))
    RemovedMessage.objects.filter(uid=3).update(session="", protocol="doveadm")
    client = owner_client(cast.mailbox)
    shown = page(client, cast.mailbox, session=str(mine.pk))
    assert ("Subject 1" in shown, "Subject 2" in shown, "Subject 3" in shown) == (True, False, False)
    assert "Only what one session removed is listed." in shown
    began = timezone.localtime(NOW - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    assert f'value="{began}"' in shown
    assert f"{url_of(cast.mailbox)}?session={mine.pk}" in shown
    assert "downloaded 2 messages" in text_of(client, url_of(cast.mailbox, session=mine.pk))
    shown = page(signed_in(cast.manager), cast.mailbox, session="jobs")
    assert ("Subject 1" in shown, "Subject 3" in shown) == (False, True)
    RemovedMessage.objects.filter(uid=1).delete()
    assert "What this session removed was recovered or erased already" in page(
        client, cast.mailbox, session=str(mine.pk)
    )


def test_a_session_whose_log_is_lost_and_a_deleted_mailbox(cast: Cast, signed_in: SignIn) -> None:
    lost = a_pop_session(cast.mailbox, 2)
    a_removal(cast.mailbox, lost, range(1, 3))
    Connection.objects.all().delete()
    client = signed_in(cast.owner)
    assert "POP removed 2 messages. The log of that session is lost." in text_of(client, url_of(cast.mailbox))
    delete_mailbox(mailbox=cast.mailbox)
    text = text_of(client, url_of(cast.mailbox))
    assert "POP removed 2 messages." in text
    assert "can be recovered See" not in text
