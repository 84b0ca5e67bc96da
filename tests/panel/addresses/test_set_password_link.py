"""Links by which a mailbox's owner chooses its password: for whom, once, for a while, and only the newest."""

from __future__ import annotations

import contextlib
import html
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbackend.passwords import verify_password
from panel.accounts.models import User
from panel.addresses import password_links, services
from panel.addresses.models import PasswordLink
from panel.core.models import AuditEntry
from tests.cast import PASSWORD, Cast
from tests.panel.whole_database import tables_that_hold

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db

STRONG = "violet tractor under 9 moons"
REFUSED = "This link does not work"


def link(cast: Cast) -> str:
    """Make a link, and return its path and query."""
    _row, address = password_links.make_link(mailbox=cast.mailbox, created_by=cast.manager)
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def choose(url: str, password: str = STRONG, again: str | None = None) -> Any:
    """Send the form."""
    form = {"password": password, "password_again": password if again is None else again}
    return Client().post(url, form)


def has_password(cast: Cast, password: str) -> bool:
    """Whether the mailbox has this password now."""
    cast.mailbox.refresh_from_db()
    return verify_password(password, cast.mailbox.password)


def test_manager_gets_a_link_that_works_once(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("make_password_link", args=[cast.mailbox.pk])
    page = signed_in(cast.manager).post(url)
    assert "no-store" in page["Cache-Control"]
    found = re.search(r'data-copy="([^"]+token=[^"]+)"', page.content.decode())
    assert found
    parts = urlsplit(html.unescape(found[1]))
    theirs = f"{parts.path}?{parts.query}"
    assert tables_that_hold(parts.query.removeprefix("token=")) == []

    shown = Client().get(theirs)
    assert cast.mailbox.address in shown.content.decode()
    assert "Martin" not in shown.content.decode()
    answer = choose(theirs)
    assert answer["Location"].startswith(f"{reverse('account_login')}?name=anna%40")
    assert has_password(cast, STRONG)
    again = choose(theirs, "another " + STRONG)
    assert (again.status_code, REFUSED in again.content.decode()) == (404, True)
    assert has_password(cast, STRONG)
    made, used = (
        AuditEntry.objects.get(action=f"mailbox.{what}") for what in ("link_made", "password_chosen")
    )
    assert (made.actor, made.customer_id) == (str(cast.manager), cast.customer.pk)
    assert (used.target, used.customer_id) == (cast.mailbox.address, cast.customer.pk)
    assert tables_that_hold(STRONG) == []


def test_who_may_make_one(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("make_password_link", args=[cast.mailbox.pk])
    for person, status in (
        (cast.admin, 200),
        (cast.owner, 200),
        (cast.manager, 200),
        (cast.reader, 403),
        (cast.stranger, 404),
    ):
        assert signed_in(person).post(url).status_code == status
    assert Client().post(url)["Location"].startswith(reverse("account_login"))
    assert signed_in(cast.admin).get(url).status_code == 405
    assert PasswordLink.objects.count() == 1


def test_button_is_there_for_those_who_may(cast: Cast, signed_in: SignedIn) -> None:
    page = reverse("show_mailbox_settings", args=[cast.mailbox.pk])
    url = reverse("make_password_link", args=[cast.mailbox.pk])
    assert url in signed_in(cast.manager).get(page).content.decode()
    assert url not in signed_in(cast.reader).get(page).content.decode()


def newer(cast: Cast) -> None:
    """Make a newer link."""
    link(cast)


def too_old(cast: Cast) -> None:
    """Let the time of all links pass."""
    PasswordLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def deleted(cast: Cast) -> None:
    """Delete the mailbox."""
    services.delete_mailbox(mailbox=cast.mailbox)


def set_otherwise(cast: Cast) -> None:
    """Set the password otherwise."""
    services.set_mailbox_password(mailbox=cast.mailbox, password=PASSWORD)


@pytest.mark.parametrize("act", [newer, too_old, deleted, set_otherwise])
def test_link_ends(cast: Cast, act: Callable[[Cast], None]) -> None:
    url = link(cast)
    act(cast)
    for answer in (Client().get(url), choose(url)):
        assert (answer.status_code, REFUSED in answer.content.decode()) == (404, True)
    assert has_password(cast, PASSWORD)


def test_refusals_are_all_the_same(cast: Cast) -> None:
    used = link(cast)
    choose(used)
    tokens = ["", "x", "%00", "%ff%fe", "a" * 5000, "'; --", "%F0%9F%98%80", "../..", "%0d%0aX:1"]
    urls = [used, reverse("choose_mailbox_password")]
    urls += [f"{reverse('choose_mailbox_password')}?token={token}" for token in tokens]
    # The button for another language leads back to the address that was asked for.
    pages = {re.sub(rb'<form class="language".*?</form>', b"", Client().get(url).content) for url in urls}
    assert len(pages) == 1
    assert {Client().get(url).status_code for url in urls} == {404}


def test_suspended_owner_chooses_and_stays_outside(cast: Cast) -> None:
    url = link(cast)
    services.suspend_mailbox(mailbox=cast.mailbox)
    assert choose(url).status_code == 302
    client = Client()
    client.post(reverse("account_login"), {"username": cast.mailbox.address, "password": STRONG})
    assert client.get(reverse("show_account")).status_code == 302


@pytest.mark.parametrize(
    ("password", "again"),
    [
        ("short", None),
        ("password", None),
        ("", None),
        (STRONG, "x"),
        ("ünusable password", None),
        ("x" * 999, None),
    ],
)
def test_bad_password_is_said_and_the_link_stays(cast: Cast, password: str, again: str | None) -> None:
    url = link(cast)
    assert choose(url, password, again).status_code == 422
    assert has_password(cast, PASSWORD)
    assert choose(url).status_code == 302


def test_panel_sessions_end_with_it(cast: Cast) -> None:
    client = Client()
    client.post(reverse("account_login"), {"username": cast.mailbox.address, "password": PASSWORD})
    assert client.get(reverse("show_account")).status_code == 200
    choose(link(cast))
    assert client.get(reverse("show_account")).status_code == 302


def test_strength_is_told_to_whoever_has_a_link(cast: Cast) -> None:
    token = urlsplit(link(cast)).query
    url, form = reverse("password_strength"), {"password": STRONG}
    assert "Strong" in Client().post(f"{url}?{token}", form).content.decode()
    assert Client().post(url, form)["Location"].startswith(reverse("account_login"))
    assert Client().post(f"{url}?token=x", form).status_code == 204


@pytest.mark.django_db(transaction=True)
def test_two_at_once_choose_one_password(cast: Cast) -> None:
    token = urlsplit(link(cast)).query.removeprefix("token=")
    chosen: list[str] = []
    start = threading.Barrier(2)

    def go(password: str) -> None:
        start.wait(30)
        with contextlib.suppress(password_links.LinkRefused):
            password_links.use_link(token=token, password=password)
            chosen.append(password)
        connection.close()

    threads = [threading.Thread(target=go, args=[f"{STRONG} {n}"]) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (won,) = chosen
    assert has_password(cast, won)
