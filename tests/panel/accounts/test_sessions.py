"""Sessions: listed, and ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts import own_account
from panel.accounts.devices import in_words
from panel.accounts.models import User
from panel.core.models import AuditEntry
from tests.cast import Cast

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0"
)


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (IPHONE, "Safari on iPhone"),
        (FIREFOX, "Firefox on Linux"),
        (EDGE, "Edge on Windows"),
        ("curl/8.5.0", "An unknown browser"),
        ("", "An unknown browser"),
    ],
)
def test_browsers_have_names(user_agent: str, words: str) -> None:
    assert in_words(user_agent) == words


def open_session(client: Client, user_agent: str = FIREFOX) -> UserSession:
    """Look at a page, and return the session that is noted."""
    client.get(reverse("home"), headers={"user-agent": user_agent})
    return UserSession.objects.get(session_key=client.session.session_key)


def test_list_shows_own_sessions_alone(cast: Cast, signed_in: SignedIn) -> None:
    here = signed_in(cast.owner)
    open_session(here)
    open_session(signed_in(cast.owner), IPHONE)
    open_session(signed_in(cast.stranger), EDGE)
    page = here.get(reverse("usersessions_list")).content.decode()
    assert "Firefox on Linux" in page
    assert "Safari on iPhone" in page
    assert "127.0.0.1" in page
    assert "Edge on Windows" not in page


def test_one_is_ended_at_once(cast: Cast, signed_in: SignedIn) -> None:
    here, there = signed_in(cast.owner), signed_in(cast.owner)
    open_session(here)
    session = open_session(there, IPHONE)
    answer = here.post(reverse("end_session", args=[session.pk]))
    assert answer["Location"] == reverse("usersessions_list")
    assert there.get(reverse("home"))["Location"].startswith(reverse("account_login"))
    assert here.get(reverse("home")).status_code == 200
    assert AuditEntry.objects.get(action="sign_in.session_ended").after["ip"] == "127.0.0.1"


def test_all_others_are_ended(cast: Cast, signed_in: SignedIn) -> None:
    here, there, stranger = signed_in(cast.owner), signed_in(cast.owner), signed_in(cast.stranger)
    for client in (here, there, stranger):
        open_session(client)
    here.post(reverse("end_other_sessions"))
    assert [client.get(reverse("home")).status_code for client in (here, there, stranger)] == [200, 302, 200]


def test_nobody_ends_a_strangers_session(cast: Cast, signed_in: SignedIn) -> None:
    client, theirs = signed_in(cast.owner), signed_in(cast.stranger)
    session = open_session(theirs)
    assert client.post(reverse("end_session", args=[session.pk])).status_code == 404
    assert client.get(reverse("end_session", args=[session.pk])).status_code == 405
    assert client.get(reverse("end_other_sessions")).status_code == 405
    assert theirs.get(reverse("home")).status_code == 200
    own = open_session(client)
    assert client.post(reverse("end_session", args=[own.pk])).status_code == 404


def test_old_ones_are_forgotten(cast: Cast, signed_in: SignedIn) -> None:
    client, other = signed_in(cast.owner), signed_in(cast.stranger)
    kept, gone = open_session(client), open_session(other)
    Session.objects.filter(session_key=gone.session_key).update(
        expire_date=timezone.now() - timedelta(days=1)
    )
    own_account.forget_old(timezone.now())
    assert list(UserSession.objects.values_list("pk", flat=True)) == [kept.pk]
    assert Session.objects.count() == 1


def test_seen_is_not_written_at_every_page(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    first = open_session(client).last_seen_at
    assert open_session(client).last_seen_at == first
