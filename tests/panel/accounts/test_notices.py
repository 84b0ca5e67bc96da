"""Notices of the host: who writes them, who sees which, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts import notices
from panel.accounts.models import DismissedNotice, Notice, User
from panel.addresses.owners import owner_of
from panel.core.errors import Conflict, Problem
from panel.core.models import AuditEntry
from tests.cast import Cast

SignIn = Callable[[User], Client]


def write(**values: Any) -> Notice:
    """Write a notice that is shown to everybody now."""
    given: dict[str, Any] = {
        "text_en": "Planned work on Sunday.",
        "text_fr": "Maintenance prévue dimanche.",
        "level": "info",
        "audience": "everybody",
        "starts_at": timezone.now() - timedelta(minutes=1),
        "ends_at": None,
    }
    return notices.create_notice(**(given | values))


def owner_client(cast: Cast) -> Client:
    """Return the browser of the mailbox's owner."""
    owner = owner_of(cast.mailbox)
    assert owner is not None
    client = Client()
    client.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    return client


def sees(client: Client, text: str = "Planned work") -> bool:
    """Say whether a page of whoever is signed in shows a text."""
    return text in client.get("/account/").content.decode()


FORM = {
    "text_en": "Hello <b>all</b>",
    "text_fr": "Bonjour à tous",
    "level": "warning",
    "audience": "customers",
    "starts_at": "2026-01-31T18:30",
    "ends_at": "",
}


def test_an_admin_writes_changes_and_ends_one(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.admin)
    assert "No notice yet" in client.get("/notices/").content.decode()
    assert client.get("/notices/new/").status_code == 200
    assert client.post("/notices/new/", FORM)["Location"] == "/notices/"
    notice = Notice.objects.get()
    reader = signed_in(cast.reader)
    page = reader.get("/account/").content.decode()
    assert "Hello &lt;b&gt;all" in page
    assert "note-warning" in page
    changed = FORM | {"text_en": "Hello you", "version": str(notice.version)}
    assert client.get(f"/notices/{notice.pk}/edit/").status_code == 200
    assert client.post(f"/notices/{notice.pk}/edit/", changed).status_code == 302
    assert sees(reader, "Hello you")
    assert client.post(f"/notices/{notice.pk}/edit/", changed).status_code == 422
    assert client.post(f"/notices/{notice.pk}/end/").status_code == 302
    assert not sees(reader, "Hello you")
    actions = [entry.action for entry in AuditEntry.objects.filter(target_kind="notice").order_by("pk")]
    assert actions == ["notice.created", "notice.edited", "notice.ended"]
    assert "Over" in client.get("/notices/").content.decode()


def test_only_admins_write(cast: Cast, signed_in: SignIn) -> None:
    notice = write()
    urls = ["/notices/", "/notices/new/", f"/notices/{notice.pk}/edit/"]
    acting = signed_in(cast.admin)
    acting.post(reverse("act_for_customer", args=[cast.customer.pk]))
    clients = [signed_in(person) for person in (cast.owner, cast.manager, cast.reader, cast.stranger)]
    for client in [*clients, acting, owner_client(cast)]:
        for url in urls:
            assert client.get(url).status_code == 403
        assert client.post("/notices/new/", FORM).status_code == 403
        assert client.post(f"/notices/{notice.pk}/end/").status_code == 403
        assert client.get(f"/notices/{notice.pk}/end/").status_code in (403, 405)
    for url in urls:
        assert Client().get(url)["Location"].startswith("/sign-in/")
    notice.refresh_from_db()
    assert notice.ends_at is None


@pytest.mark.parametrize(
    ("audience", "who"),
    [
        ("everybody", {"admin", "owner", "reader", "box", "acting"}),
        ("customers", {"owner", "reader", "acting"}),
        ("mailboxes", {"box"}),
    ],
)
def test_each_is_for_whom_it_is(cast: Cast, signed_in: SignIn, audience: str, who: set[str]) -> None:
    write(audience=audience)
    acting = signed_in(cast.admin)
    acting.post(reverse("act_for_customer", args=[cast.customer.pk]))
    clients = {
        "admin": signed_in(cast.admin),
        "owner": signed_in(cast.owner),
        "reader": signed_in(cast.reader),
        "box": owner_client(cast),
        "acting": acting,
    }
    assert {name for name, client in clients.items() if sees(client)} == who
    assert "Planned work" not in Client().get("/sign-in/").content.decode()


def test_from_until_and_in_their_language(cast: Cast, signed_in: SignIn) -> None:
    now = timezone.now()
    write(text_en="Later", starts_at=now + timedelta(hours=1))
    write(text_en="Past", starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))
    write(ends_at=now + timedelta(hours=1), text_en="Line one\nline two")
    client = signed_in(cast.reader)
    page = client.get("/account/").content.decode()
    assert "Line one<br>line two" in page
    assert "Later" not in page
    assert "Past" not in page
    cast.reader.language = "fr"
    cast.reader.save()
    assert sees(client, "Maintenance prévue")


def test_dismissed_by_one_and_by_nobody_else(cast: Cast, signed_in: SignIn) -> None:
    notice = write()
    reader, owner, box = signed_in(cast.reader), signed_in(cast.owner), owner_client(cast)
    url = f"/notices/{notice.pk}/dismiss/"
    assert reader.post(url, {"next": "/domains/?q=x"})["Location"] == "/domains/?q=x"
    assert reader.post(url)["Location"] == "/"  # a second time, from another window
    assert box.post(url, {"next": "/account/"}).status_code == 302
    assert (sees(reader), sees(box), sees(owner)) == (False, False, True)
    assert reader.get(url).status_code == 405
    assert Client().post(url)["Location"].startswith("/sign-in/")
    notices.edit_notice(
        notice=notice,
        version=None,
        text_en="Work moved to Monday.",
        text_fr=notice.text_fr,
        level="info",
        audience="everybody",
        starts_at=notice.starts_at,
        ends_at=None,
    )
    assert sees(reader, "moved to Monday")


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:x", "x", "a\x00b"]
)
def test_dismissing_leads_nowhere_else(cast: Cast, signed_in: SignIn, elsewhere: str) -> None:
    notice = write()
    answer = signed_in(cast.reader).post(f"/notices/{notice.pk}/dismiss/", {"next": elsewhere})
    assert answer["Location"] == "/"


def test_what_is_not_for_them_is_not_dismissed(cast: Cast, signed_in: SignIn) -> None:
    notice = write(audience="mailboxes")
    signed_in(cast.reader).post(f"/notices/{notice.pk}/dismiss/")
    assert not DismissedNotice.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"text_en": "  "},
        {"text_fr": ""},
        {"text_en": "x" * 501},
        {"text_en": "turned \u202e around"},
        {"level": "x"},
        {"audience": "x"},
        {"ends_at": timezone.now() - timedelta(days=9)},
    ],
)
def test_bad_values_are_refused(cast: Cast, bad: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        write(**bad)
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"starts_at": "soon"},
        {"starts_at": "9999-12-31T23:59"},
        {"ends_at": "0001-01-01T00:00"},
        {"level": ""},
    ],
)
def test_bad_forms_are_refused(cast: Cast, signed_in: SignIn, bad: dict[str, str]) -> None:
    assert signed_in(cast.admin).post("/notices/new/", FORM | bad).status_code == 422
    assert not Notice.objects.exists()


def test_an_ended_one_ends_once_and_a_planned_one_is_never_shown(cast: Cast) -> None:
    planned = write(starts_at=timezone.now() + timedelta(days=1))
    notices.end_notice(notice=planned)
    assert planned.state_at(timezone.now()) == Notice.State.OVER
    with pytest.raises(Problem, match="over already"):
        notices.end_notice(notice=planned)
    with pytest.raises(Conflict):
        notices.edit_notice(
            notice=planned,
            version=99,
            text_en="x",
            text_fr="x",
            level="info",
            audience="everybody",
            starts_at=timezone.now(),
            ends_at=None,
        )


def test_pages_ask_once_at_most(
    cast: Cast, signed_in: SignIn, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, now = cast.reader, timezone.now()
    with django_assert_num_queries(1):
        notices.shown_to(person, now)
    with django_assert_num_queries(0):
        notices.shown_to(person, now)
    write()
    notices.shown_to(person, now)
    with django_assert_num_queries(1):  # whether they dismissed it
        assert len(notices.shown_to(person, now)) == 1
    # What another process wrote is seen when the memory is old.
    Notice.objects.all().delete()
    assert len(notices.shown_to(person, now)) == 1
    monkeypatch.setattr(time, "monotonic", lambda clock=time.monotonic: clock() + 16)
    assert notices.shown_to(person, now) == []
