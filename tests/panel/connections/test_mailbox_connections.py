"""The connections of one mailbox: in words, by day, in pages, live, for those who may see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from panel.addresses.models import Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.services import create_mailbox
from panel.connections import mailbox_selectors, mailbox_views
from panel.connections.mailbox_selectors import PAGE, Place, page_before
from panel.connections.models import Connection, LogGap
from panel.connections.watching import Cursor, now_of
from tests.cast import PASSWORD, Cast
from tests.panel.connections.mailbox_rows import a_refusal, a_session, an_open_session
from tests.panel.connections.test_words import HOSTILE

SignIn = Callable[[Any], Client]


def url_of(mailbox: Mailbox, **query: Any) -> str:
    """Return the page's address."""
    return reverse("mailbox_connections", args=[mailbox.pk], query=query)


def text_of(client: Client, url: str) -> str:
    """Return what a page says, without its tags."""
    answer = client.get(url)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).replace("\xa0", " ").split())


def neighbour_of(cast: Cast) -> Mailbox:
    """Return another mailbox of the same domain."""
    return create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)


def test_it_teaches_while_it_is_empty(cast: Cast, signed_in: SignIn) -> None:
    text = text_of(signed_in(cast.owner), url_of(cast.mailbox))
    assert "Nothing has connected yet" in text
    assert "No mail program is signed in at this moment." in text
    assert "Connections are kept for 90 days." in text


def test_it_says_what_happened_and_what_to_do(cast: Cast, signed_in: SignIn) -> None:
    a_session(cast.mailbox, protocol="pop3", retrieved=2, deleted=2, expunged=None)
    a_refusal(cast.mailbox)
    an_open_session(cast.mailbox, client_name="Thunderbird", client_version="128.2")
    text = text_of(signed_in(cast.owner), url_of(cast.mailbox))
    assert "POP from 192.0.2.7 downloaded 2 messages and deleted them for POP" in text
    assert "A copy stays on the server for 30 days" in text
    assert "Somebody at 192.0.2.7 tried a wrong password." in text
    assert "type the password again" in text
    # At the top, and in its day.
    assert text.count("IMAP from 192.0.2.7 (Thunderbird 128.2) is signed in now.") == 2
    assert "Today" in text


def test_everybody_who_sees_the_mailbox_sees_its_connections_and_nobody_else(
    cast: Cast, signed_in: SignIn
) -> None:
    other = neighbour_of(cast)
    a_session(cast.mailbox, remote_ip="192.0.2.44")
    a_session(other, remote_ip="192.0.2.55")
    their_owner, another = owner_of(cast.mailbox), owner_of(other)
    for person in (cast.admin, cast.owner, cast.manager, cast.reader, their_owner):
        text = text_of(signed_in(person), url_of(cast.mailbox))
        assert "192.0.2.44" in text
        assert "192.0.2.55" not in text
    for person in (cast.stranger, another):
        assert signed_in(person).get(url_of(cast.mailbox)).status_code == 404
        cursor = str(now_of(cast.mailbox))
        assert signed_in(person).get(url_of(cast.mailbox, since=cursor)).status_code == 404
        assert "192.0.2.44" not in signed_in(person).get(f"/mailboxes/{other.pk}/").content.decode()


def test_a_suspended_customers_people_do_not_see_it(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.owner)
    cast.customer.suspended_at = timezone.now()
    cast.customer.save()
    assert client.get(url_of(cast.mailbox)).status_code in (302, 404)


def test_one_connection_is_told_in_words_too(cast: Cast, signed_in: SignIn) -> None:
    session = a_session(cast.mailbox, protocol="pop3", retrieved=2, deleted=2, expunged=None)
    stray = a_refusal(None, "unknown_address", address="anna", customer=cast.customer)
    theirs = a_refusal(None, "unknown_address", address="anna", customer=cast.other_customer)
    client = signed_in(cast.owner)
    assert reverse("show_connection", args=[session.pk]) in client.get(url_of(cast.mailbox)).content.decode()
    page = text_of(client, reverse("show_connection", args=[session.pk]))
    assert "deleted them for POP: POP does not show them any more, IMAP still does." in page
    assert "A copy stays on the server for 30 days" in page
    lacks = f"type {cast.mailbox.address} as the user name"
    assert lacks in text_of(client, reverse("show_connection", args=[stray.pk]))
    # To the stranger their own mailboxes are named, and no other.
    assert lacks not in text_of(signed_in(cast.stranger), reverse("show_connection", args=[theirs.pk]))


def test_the_overview_tells_the_last_one(cast: Cast, signed_in: SignIn) -> None:
    client, overview = signed_in(cast.owner), reverse("show_mailbox", args=[cast.mailbox.pk])
    assert "No mail program has signed in yet." in text_of(client, overview)
    a_session(cast.mailbox, started_at=timezone.now() - timedelta(days=1))
    a_session(cast.mailbox, protocol="pop3", retrieved=3)
    text = text_of(client, overview)
    assert "POP from 192.0.2.7 downloaded 3 messages. It left them on the server." in text
    assert "IMAP from" not in text
    assert url_of(cast.mailbox) in client.get(overview).content.decode()


@pytest.mark.parametrize(
    ("show", "seen", "unseen"),
    [
        ("refused", "wrong password", ("signed in for", "looked for mail")),
        ("pop", "looked for mail", ("signed in for", "wrong password")),
        ("imap", "signed in for", ("looked for mail",)),
        ("nonsense", "signed in for", ()),
    ],
)
def test_filters(cast: Cast, signed_in: SignIn, show: str, seen: str, unseen: tuple[str, ...]) -> None:
    a_session(cast.mailbox)
    a_session(cast.mailbox, protocol="pop3")
    a_refusal(cast.mailbox)
    text = text_of(signed_in(cast.owner), url_of(cast.mailbox, show=show))
    assert seen in text
    assert not any(words in text for words in unseen)


def test_a_filter_that_finds_nothing_leads_back(cast: Cast, signed_in: SignIn) -> None:
    a_session(cast.mailbox)
    text = text_of(signed_in(cast.owner), url_of(cast.mailbox, show="refused"))
    assert "Nothing like this connected to the mailbox." in text
    assert "Show all" in text


def test_pages_have_each_row_once(cast: Cast, signed_in: SignIn) -> None:
    # Several of one moment, which only their ids tell apart.
    now = timezone.now()
    made = [
        a_session(cast.mailbox, started_at=now - timedelta(minutes=number // 3)).pk
        for number in range(2 * PAGE + 5)
    ]
    found: list[int] = []
    before: Place | None = None
    while True:
        page = page_before(cast.mailbox, before)
        found += [row.pk for row in page.rows]
        if page.older is None:
            break
        before = page.older
    assert len(found) == len(set(found))
    assert set(found) == set(made)

    client = signed_in(cast.owner)
    first = client.get(url_of(cast.mailbox)).content.decode()
    older = re.search(r'href="([^"]*before=[^"]*)"', first)
    assert older
    second = client.get(older[1].replace("&amp;", "&"))
    assert "Newest" in second.content.decode()
    assert "data-poll" not in second.content.decode()  # an older page does not change


def test_a_filter_looks_through_a_part_at_a_time(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox_selectors, "LOOKED_THROUGH", 10)
    now = timezone.now()
    refused = a_refusal(cast.mailbox, started_at=now - timedelta(hours=2))
    for number in range(25):
        a_session(cast.mailbox, started_at=now - timedelta(minutes=number))
    before: Place | None = None
    pages = []
    while True:
        page = page_before(cast.mailbox, before, "refused")
        pages.append([row.pk for row in page.rows])
        if page.older is None:
            break
        before = page.older
    assert pages == [[], [], [refused.pk]]


@pytest.mark.parametrize("before", ["x", "1", "-", "1-", "9" * 18 + "-1", "²-1", "1-" + "9" * 30, "-1-1"])
def test_odd_places_show_something(cast: Cast, signed_in: SignIn, before: str) -> None:
    a_session(cast.mailbox)
    assert signed_in(cast.owner).get(url_of(cast.mailbox, before=before)).status_code == 200


def test_alike_refusals_in_a_row_are_told_once(cast: Cast, signed_in: SignIn) -> None:
    now = timezone.localtime().replace(hour=12)
    for number in range(5):
        a_refusal(cast.mailbox, started_at=now + timedelta(minutes=number))
    text = text_of(signed_in(cast.owner), url_of(cast.mailbox))
    assert text.count("tried a wrong password") == 1
    assert "5 times in a row." in text


def test_gaps_are_told_where_they_are(cast: Cast, signed_in: SignIn) -> None:
    now = timezone.now()
    a_session(cast.mailbox)
    LogGap.objects.create(
        node="one", cause="segments_lost", began_at=now, ended_at=now + timedelta(seconds=1)
    )
    LogGap.objects.create(node="one", cause="log_killed", began_at=now)
    before_it_was = cast.mailbox.created_at - timedelta(days=1)
    LogGap.objects.create(node="one", cause="log_damaged", began_at=before_it_was, ended_at=before_it_was)
    text = text_of(signed_in(cast.owner), url_of(cast.mailbox))
    assert "the disk was nearly full" in text
    assert "was ended by force" in text
    assert "cannot be read" not in text


def test_it_says_that_the_log_is_not_read(
    cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mailbox_connections", "set_up_check"):
        url = reverse(name, args=[cast.mailbox.pk])
        for at_work in (True, False):
            monkeypatch.setattr(mailbox_views, "is_at_work", lambda _data, answer=at_work: answer)
            missing = "What happened in the last minutes may be missing here" in text_of(
                signed_in(cast.owner), url
            )
            assert missing is not at_work


def test_it_is_live(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.owner)
    session = an_open_session(cast.mailbox)
    cursor = client.get(url_of(cast.mailbox)).context["cursor"]
    poll = url_of(cast.mailbox, since=cursor)
    assert client.get(poll).status_code == 204
    a_session(neighbour_of(cast))
    assert client.get(poll).status_code == 204

    session.ended_at = timezone.now()
    session.retrieved, session.reason = 4, "logged_out"
    session.save()
    answer = client.get(poll)
    assert answer.status_code == 200
    assert "downloaded 4 messages" in answer.content.decode()
    assert "<html" not in answer.content.decode()
    poll = url_of(cast.mailbox, since=answer.context["cursor"])
    assert client.get(poll).status_code == 204
    a_refusal(cast.mailbox)
    assert client.get(poll).status_code == 200


@pytest.mark.parametrize("since", ["x", "1-", "1-2x", "-1", "9" * 30, "1" + "-2" * 500, "1\n"])
def test_a_cursor_that_is_none_gives_the_whole_page(cast: Cast, signed_in: SignIn, since: str) -> None:
    assert Cursor.read(since) is None
    assert "<html" in signed_in(cast.owner).get(url_of(cast.mailbox, since=since)).content.decode()


def test_a_cursor_is_read_as_it_was_written() -> None:
    for cursor in (Cursor(0, {}), Cursor(7, {3: True, 5: False}), Cursor(2**60 // 100, {1: False})):
        assert Cursor.read(str(cursor)) == cursor


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_harmless(cast: Cast, signed_in: SignIn, text: str) -> None:
    a_session(cast.mailbox, client_name=text[:100], client_version=text[:100])
    a_refusal(cast.mailbox, "unknown_address", address=text[:254])
    page = signed_in(cast.owner).get(url_of(cast.mailbox)).content.decode()
    assert "<script>alert" not in page
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page)
    assert "x" * 101 not in page


def test_each_question_is_answered_by_an_index(cast: Cast, signed_in: SignIn) -> None:
    """Of many mailboxes with many rows only a page of this one's is read."""
    if connection.vendor != "sqlite":
        pytest.skip("plans are SQLite's")
    an_open_session(cast.mailbox)
    client = signed_in(cast.owner)
    place = f"{int(timezone.now().timestamp() * 1e6)}-99"
    cursor = str(now_of(cast.mailbox))
    Connection.objects.update(client_name="Now known")
    for url in (
        url_of(cast.mailbox),
        url_of(cast.mailbox, before=place),
        url_of(cast.mailbox, show="refused"),
        url_of(cast.mailbox, since=cursor),
        reverse("set_up_check", args=[cast.mailbox.pk], query={"since": cursor, "start": cursor}),
        reverse("set_up_check_events", args=[cast.mailbox.pk], query={"since": cursor}),
        reverse("show_mailbox", args=[cast.mailbox.pk]),
    ):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(url).status_code == 200
        # Those of the log's own tables.
        sentences = [query["sql"] for query in asked if '"connections_' in query["sql"]]
        assert sentences, url
        assert len(sentences) <= 7, (url, sentences)
        for sentence in sentences:
            assert "COUNT(" not in sentence
            assert "OFFSET" not in sentence
            assert "LIMIT" in sentence or '"id" IN' in sentence, sentence
            with connection.cursor() as database:
                database.execute(f"EXPLAIN QUERY PLAN {sentence}")
                plan = " ".join(str(row[-1]) for row in database.fetchall())
            # The newest row of all is the first of the table's own order.
            newest = sentence.endswith('FROM "connections_connection" ORDER BY 1 DESC LIMIT 1')
            assert newest or "SCAN" not in plan, (sentence, plan)
            assert "TEMP B-TREE" not in plan or "connection_open" in plan or "log_gap" in plan, (
                sentence,
                plan,
            )
            if '"mailbox_id" = ' in sentence and '"id" IN' not in sentence:
                led_by = ("connection_mailbox", "connection_open", "connections_mailboxnotice USING INDEX")
                assert any(index in plan for index in led_by), (sentence, plan)
            if '"ended_at" IS NULL' in sentence and "connections_connection" in sentence:
                assert "connection_open" in plan, (sentence, plan)
            if '"remote_ip" = ' in sentence:
                assert "connection_ip" in plan, (sentence, plan)
