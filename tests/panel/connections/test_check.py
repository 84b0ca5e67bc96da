"""The live check of a set-up: what happened to one mailbox since a cursor, told to those who may see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.addresses.models import Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.services import create_domain, create_mailbox
from panel.connections.models import Connection
from panel.connections.watching import MINUTES, RECENT, Cursor, news_of_check, plain_ip
from tests.cast import PASSWORD, Cast
from tests.panel.connections.mailbox_rows import a_refusal, a_session, an_open_session
from tests.panel.connections.test_words import HOSTILE

SignIn = Callable[[Any], Client]
#: From where the test's browser asks.
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.99"


class Watcher:
    """Somebody's program that asks what happened to a mailbox, as the page does."""

    def __init__(self, client: Client, mailbox: Mailbox, headers: dict[str, str] | None = None) -> None:
        self.client, self.headers = client, headers
        self.url = reverse("set_up_check_events", args=[mailbox.pk])
        self.cursor = ""
        assert self.ask() == []

    def ask(self) -> list[dict[str, Any]]:
        """Return what is new."""
        answer = self.client.get(self.url, {"since": self.cursor}, headers=self.headers)
        if answer.status_code == 204:
            return []
        assert answer.status_code == 200
        self.cursor = answer.json()["cursor"]
        return list(answer.json()["events"])


@pytest.fixture
def watcher(cast: Cast, signed_in: SignIn) -> Watcher:
    """The customer's owner, from now on."""
    return Watcher(signed_in(cast.owner), cast.mailbox)


def test_whoever_comes_first_gets_now_and_nothing_of_before(cast: Cast, signed_in: SignIn) -> None:
    a_refusal(cast.mailbox)
    an_open_session(cast.mailbox)
    watcher = Watcher(signed_in(cast.owner), cast.mailbox)
    assert watcher.ask() == []


def test_a_wrong_password_and_then_the_right_one(cast: Cast, watcher: Watcher) -> None:
    a_refusal(cast.mailbox)
    (refused,) = watcher.ask()
    assert (refused["outcome"], refused["reason"], refused["level"]) == (
        "refused",
        "wrong_password",
        "warning",
    )
    assert refused["words"] == "Somebody at 192.0.2.7 tried a wrong password."
    assert "type the password again" in refused["advice"]
    assert watcher.ask() == []

    an_open_session(cast.mailbox)
    (begun,) = watcher.ask()
    assert (begun["outcome"], begun["reason"], begun["ended_at"]) == ("accepted", None, None)
    assert begun["words"] == "IMAP from 192.0.2.7 is signed in now."
    assert watcher.ask() == []


def test_a_session_is_told_again_when_it_names_its_program_and_when_it_ends(
    cast: Cast, watcher: Watcher
) -> None:
    session = an_open_session(cast.mailbox)
    (begun,) = watcher.ask()
    Connection.objects.filter(pk=session.pk).update(client_name="K-9 Mail")
    (named,) = watcher.ask()
    assert "(K-9 Mail)" in named["words"]
    assert watcher.ask() == []
    Connection.objects.filter(pk=session.pk).update(ended_at=timezone.now(), reason="logged_out", retrieved=2)
    (ended,) = watcher.ask()
    assert "downloaded 2 messages" in ended["words"]
    assert begun["id"] == named["id"] == ended["id"]
    assert watcher.ask() == []


def test_a_session_from_before_is_told_when_it_ends_however_much_came_after(
    cast: Cast, signed_in: SignIn
) -> None:
    session = an_open_session(cast.mailbox, started_at=timezone.now() - timedelta(days=9))
    watcher = Watcher(signed_in(cast.owner), cast.mailbox)
    for _number in range(RECENT + 5):
        a_session(cast.mailbox)
    assert len(watcher.ask()) == RECENT
    Connection.objects.filter(pk=session.pk).update(ended_at=timezone.now(), reason="idle")
    assert [event["id"] for event in watcher.ask()] == [str(session.pk)]


@pytest.mark.parametrize("reason", Connection.Refusal.values)
def test_every_reason_is_told_with_what_to_do(cast: Cast, watcher: Watcher, reason: str) -> None:
    a_refusal(cast.mailbox, reason)
    (event,) = watcher.ask()
    assert event["reason"] == reason
    assert event["words"]
    assert event["advice"]


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        ("anna", "The user name lacks @{domain}: type anna@{domain}"),
        ("anna@elsewhere.test", "What follows the @ is not right: type anna@{domain}"),
        ("anna@{domain}.", "Type the user name exactly as anna@{domain}"),
        (" Anna@{domain} ", "Type the user name exactly as anna@{domain}"),
        ("ana@{domain}", "It is nearly right, but not quite: type anna@{domain}"),
    ],
)
def test_a_misspelt_name_is_told_to_who_is_at_the_same_address(
    cast: Cast, watcher: Watcher, tried: str, words: str
) -> None:
    name = tried.format(domain=cast.domain.name)
    a_refusal(None, "unknown_address", address=name, remote_ip=ELSEWHERE)
    assert watcher.ask() == []
    a_refusal(None, "unknown_address", address=name, remote_ip=HERE)
    (event,) = watcher.ask()
    assert words.format(domain=cast.domain.name) in event["advice"]
    assert watcher.ask() == []


@pytest.mark.parametrize("reason", ["no_tls", "tls_failed", "gave_up"])
def test_an_attempt_that_came_to_no_name_is_told_to_who_is_at_the_same_address(
    cast: Cast, watcher: Watcher, reason: str
) -> None:
    a_refusal(None, reason, remote_ip=ELSEWHERE)
    assert watcher.ask() == []
    a_refusal(None, reason, remote_ip=HERE)
    (event,) = watcher.ask()
    assert event["reason"] == reason


def test_nothing_is_told_of_other_mailboxes_or_names(cast: Cast, watcher: Watcher) -> None:
    bob = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    deleted = create_mailbox(domain=cast.domain, local_part="annas", password=PASSWORD)
    theirs = create_domain(name="theirs.test", customer=cast.other_customer)
    namesake = create_mailbox(domain=theirs, local_part="anna", password=PASSWORD)
    Mailbox.objects.filter(pk=deleted.pk).update(deleted_at=timezone.now())
    for mailbox in (bob, namesake, deleted):
        a_refusal(mailbox, remote_ip=HERE)
        a_session(mailbox, remote_ip=HERE)
        # As a row that belongs to no mailbox any more.
        a_refusal(None, "unknown_address", address=mailbox.address, remote_ip=HERE)
    for name in ("bob", "zoe@theirs.test", f"bob@{cast.domain.name}", "boss"):
        a_refusal(None, "unknown_address", address=name, remote_ip=HERE)
    assert watcher.ask() == []


def test_what_was_tried_long_ago_is_not_told(cast: Cast, watcher: Watcher) -> None:
    long_ago = timezone.now() - MINUTES - timedelta(seconds=1)
    a_refusal(None, "unknown_address", address="anna", remote_ip=HERE, started_at=long_ago)
    assert watcher.ask() == []


def test_the_address_of_who_asks_is_not_what_they_say_it_is(cast: Cast, signed_in: SignIn) -> None:
    """Nobody vouches for the header here: TRUSTED_PROXIES is empty."""
    liar = Watcher(signed_in(cast.owner), cast.mailbox, {"X-Forwarded-For": ELSEWHERE})
    a_refusal(None, "unknown_address", address="anna", remote_ip=ELSEWHERE)
    assert liar.ask() == []


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_addresses_are_written_as_the_log_writes_them(given: str, plain: str) -> None:
    assert plain_ip(given) == plain


def test_who_has_no_address_sees_no_attempts_of_others(cast: Cast) -> None:
    a_refusal(None, "unknown_address", address="anna", remote_ip="")
    assert news_of_check(cast.mailbox, Cursor(0, {}), "", timezone.now()).connections == []


def test_those_who_see_the_mailbox_and_nobody_else(cast: Cast, signed_in: SignIn) -> None:
    bob = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    for person in (cast.admin, cast.owner, cast.manager, cast.reader, owner_of(cast.mailbox)):
        watcher = Watcher(signed_in(person), cast.mailbox)
        a_refusal(cast.mailbox)
        assert len(watcher.ask()) == 1
    for person in (cast.stranger, owner_of(bob)):
        client = signed_in(person)
        for name in ("set_up_check", "set_up_check_events"):
            for query in ({}, {"since": "0"}, {"since": "0", "start": "0"}):
                assert client.get(reverse(name, args=[cast.mailbox.pk]), query).status_code == 404
    assert Client().get(reverse("set_up_check_events", args=[cast.mailbox.pk])).status_code == 302


def test_a_cursor_of_ones_own_making_shows_no_other_mailbox(cast: Cast, signed_in: SignIn) -> None:
    theirs = create_domain(name="theirs.test", customer=cast.other_customer)
    other = a_session(create_mailbox(domain=theirs, local_part="anna", password=PASSWORD))
    answer = signed_in(cast.owner).get(
        reverse("set_up_check_events", args=[cast.mailbox.pk]), {"since": str(Cursor(0, {other.pk: False}))}
    )
    assert answer.status_code == 204


@pytest.mark.parametrize("since", ["", "x", "9" * 18, "9" * 30, "-1", "1-" + "9" * 18, "\x00", "²"])
def test_odd_cursors(cast: Cast, signed_in: SignIn, since: str) -> None:
    answer = signed_in(cast.owner).get(
        reverse("set_up_check_events", args=[cast.mailbox.pk]), {"since": since}
    )
    assert answer.status_code in (200, 204)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_harmless(cast: Cast, signed_in: SignIn, text: str) -> None:
    client = signed_in(cast.owner)
    watcher = Watcher(client, cast.mailbox)
    start = watcher.cursor
    a_refusal(None, "unknown_address", address=f"anna@{text}"[:254], remote_ip=HERE)
    an_open_session(cast.mailbox, client_name=text[:100])
    raw = client.get(watcher.url, {"since": start})
    assert raw["Content-Type"] == "application/json"
    assert raw["X-Content-Type-Options"] == "nosniff"
    for event in watcher.ask():
        assert (event["words"] + event["advice"]).replace("\xa0", " ").isprintable()
        assert len(event["words"]) < 300
    for query in ({"start": start}, {"start": start, "since": start}):
        page = client.get(reverse("set_up_check", args=[cast.mailbox.pk]), query).content.decode()
        assert "anna@" in page
        assert "<script>alert" not in page
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", page)


def test_the_page_without_a_script(cast: Cast, signed_in: SignIn) -> None:
    client, url = signed_in(cast.owner), reverse("set_up_check", args=[cast.mailbox.pk])
    first = client.get(url).content.decode()
    assert "Nothing has come yet." in first
    again = re.search(r'href="([^"]*start=[^"]*)" data-no-script', first)
    assert again
    a_refusal(cast.mailbox)
    a_session(cast.mailbox, started_at=timezone.now())
    for _time in range(2):
        page = client.get(again[1]).content.decode()
        assert "tried a wrong password" in page
        assert "was signed in for" in page
        assert page.index("was signed in for") < page.index("tried a wrong password")  # newest first
    assert "Nothing has come yet." in client.get(url).content.decode()


def test_the_page_with_a_script(cast: Cast, signed_in: SignIn) -> None:
    client, url = signed_in(cast.owner), reverse("set_up_check", args=[cast.mailbox.pk])
    first = client.get(url)
    poll = re.search(r'hx-get="([^"]*)" hx-trigger="every 1s"', first.content.decode())
    assert poll
    address = poll[1].replace("&amp;", "&")
    assert client.get(address).status_code == 204
    a_refusal(cast.mailbox)
    part = client.get(address)
    assert "<html" not in part.content.decode()
    assert 'data-announce="Somebody at 192.0.2.7 tried a wrong password.' in part.content.decode()
    poll = re.search(r'hx-get="([^"]*)" hx-trigger="every 1s"', part.content.decode())
    assert poll
    address = poll[1].replace("&amp;", "&")
    assert client.get(address).status_code == 204
    a_session(cast.mailbox, started_at=timezone.now())
    later = client.get(address).content.decode()
    # What came before stays on the page; what is read out is what is new.
    assert "tried a wrong password" in later
    assert 'data-announce="IMAP from' in later


def test_it_is_found_from_the_set_up_page(cast: Cast, signed_in: SignIn) -> None:
    page = signed_in(cast.owner).get(reverse("set_up_mailbox", args=[cast.mailbox.pk])).content.decode()
    assert reverse("set_up_check", args=[cast.mailbox.pk]) in page


def test_a_poll_asks_little(cast: Cast, watcher: Watcher, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(7):
        assert watcher.ask() == []
