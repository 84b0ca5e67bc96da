"""Pages of the log: what they show, to whom, and how they keep themselves up to date."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from panel.accounts.models import User
from panel.connections import planning
from panel.connections.models import Connection, HourlyCount, LogGap
from tests.cast import Cast
from tests.panel.connections.rows import NOON, refusal, row

SignIn = Callable[[User], Client]


def page(client: Client, url: str) -> str:
    """Return a page that must be there."""
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def words(html: str) -> str:
    """Return the text of a page, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def poll_url(html: str) -> str:
    """Return what a page asks for every few seconds."""
    found = re.search(r'data-poll hx-get="([^"]+)"', html)
    assert found, html
    return found[1].replace("&amp;", "&")


def test_the_list_says_what_happened_newest_first(cast: Cast, signed_in: SignIn) -> None:
    row(cast.mailbox, retrieved=14, deleted=3, protocol="pop3", bytes_out=2 * 1024**2)
    refusal(cast.mailbox, minutes=1, ip="2001:db8::7")
    row(cast.mailbox, minutes=2, ended_at=None, reason="")
    html = page(signed_in(cast.admin), "/connections/")
    text = words(html)
    assert (
        text.index("Connected")
        < text.index("Wrong password", text.index("Connected"))
        < text.index("14 messages")
    )
    assert "14 messages read, 3 removed" in text
    assert "2001:db8::7" in text
    assert html.count(cast.mailbox.address) >= 3


def test_the_empty_log_teaches(cast: Cast, signed_in: SignIn) -> None:
    assert "Nobody connected yet" in page(signed_in(cast.admin), "/connections/")
    row(cast.mailbox)
    client = signed_in(cast.owner)
    assert "No connection fits" in page(client, "/connections/?address=other@example.test")
    assert cast.mailbox.address in page(client, "/connections/")
    assert "Nobody connected yet" in page(signed_in(cast.stranger), "/connections/")


def test_what_cannot_be_looked_for_is_said_on_the_page(cast: Cast, signed_in: SignIn) -> None:
    row(cast.mailbox)
    html = page(signed_in(cast.admin), "/connections/?ip=nonsense&since=never")
    assert "“nonsense” is no IP address" in html
    assert "“never” is no day" in html
    assert cast.mailbox.address not in html


def test_hostile_names_are_shown_harmlessly(cast: Cast, signed_in: SignIn) -> None:
    name = "<script>alert(1)</script>\"'&{{ x }}"
    found = refusal(None, "unknown_address", address=name, client_name=name)
    client = signed_in(cast.admin)
    for url in (
        "/connections/",
        f"/connections/{found.pk}/",
        f"/connections/address/?address={quote(name)}",
        f"/connections/ip/{found.remote_ip}/",
    ):
        html = page(client, url)
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert(1)" in html


def test_it_draws_itself_anew_when_anything_changed(cast: Cast, signed_in: SignIn) -> None:
    open_one = row(cast.mailbox, ended_at=None, reason="")
    client = signed_in(cast.admin)
    url = poll_url(page(client, "/connections/"))
    assert client.get(url).status_code == 204
    row(cast.mailbox, minutes=1)
    html = page(client, url)
    assert "<html" not in html
    assert 'data-announce="1 new connection"' in html
    url = poll_url(html)
    assert client.get(url).status_code == 204
    Connection.objects.filter(pk=open_one.pk).update(ended_at=timezone.now(), reason="kicked")
    html = page(client, url)
    assert "Ended by the host" in words(html)
    assert "data-announce" not in html
    assert client.get(poll_url(html)).status_code == 204


def test_what_is_not_looked_for_draws_nothing_anew(cast: Cast, signed_in: SignIn) -> None:
    row(cast.mailbox)
    client = signed_in(cast.owner)
    url = poll_url(page(client, "/connections/?protocol=imap"))
    row(cast.mailbox, protocol="pop3")
    row(None, minutes=3)
    assert client.get(url).status_code == 204


def test_older_pages_stay_as_they_are(cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in range(60):
        row(cast.mailbox, minutes=minute)
    client = signed_in(cast.admin)
    html = page(client, "/connections/")
    found = re.search(r'href="([^"]+)" rel="next"', html)
    assert found
    older = page(client, found[1].replace("&amp;", "&"))
    assert older.count('role="rowheader"') == 10
    assert "data-poll" not in older
    assert 'rel="first"' in older


def test_a_search_that_went_far_says_how_far(
    cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "EXAMINED", 5)
    monkeypatch.setattr(planning.page_of_plan, "__kwdefaults__", {"size": 50, "examined": 5})
    for minute in range(12):
        row(cast.mailbox, minutes=minute)
    html = page(signed_in(cast.admin), "/connections/?protocol=pop3")
    assert "Searched back to" in html
    assert "Search further back" in html


def test_gaps_stand_between_the_rows(cast: Cast, signed_in: SignIn) -> None:
    row(cast.mailbox, session="before", minutes=0)
    row(cast.mailbox, session="after", minutes=60)
    LogGap.objects.create(
        node="mail1",
        cause=LogGap.Cause.SEGMENTS_LOST,
        began_at=NOON + timedelta(minutes=10),
        ended_at=NOON + timedelta(minutes=30),
    )
    text = page(signed_in(cast.owner), "/connections/")
    rows = [found.start() for found in re.finditer(r'role="rowheader"', text)]
    gap = text.index("the disk was nearly full, and a part of the log was given up.")
    assert re.search(r"From [^<]+ to [^<]+</span>", text[gap:])
    assert len(rows) == 2
    assert rows[0] < gap < rows[1]


def test_one_connection_shows_everything_that_is_known(cast: Cast, signed_in: SignIn) -> None:
    found = row(cast.mailbox, client_name="Thunderbird", client_version="128", retrieved=14, ended_at=None)
    text = words(page(signed_in(cast.owner), f"/connections/{found.pk}/"))
    for told in (
        "TLSv1.3",
        "TLS_AES_256_GCM_SHA384",
        "Thunderbird 128",
        "192.0.2.7",
        "40000",
        "PLAIN",
        found.session,
    ):
        assert told in text
    # A name of the context's that the page's frame has too would be shown above.
    shown = signed_in(cast.owner).get(f"/connections/{row(cast.mailbox, retrieved=14).pk}/")
    assert list(shown.context["messages"]) == []
    assert "Customer" not in text.split("Technical details")[0].split("Who and from where")[1]
    assert cast.customer.name in words(page(signed_in(cast.admin), f"/connections/{found.pk}/"))
    for stranger in (cast.stranger,):
        assert signed_in(stranger).get(f"/connections/{found.pk}/").status_code == 404
    nobodys = refusal(None, "unknown_address")
    assert signed_in(cast.owner).get(f"/connections/{nobodys.pk}/").status_code == 404


def test_an_ip_address_in_sum(cast: Cast, signed_in: SignIn) -> None:
    for minute in range(3):
        refusal(cast.mailbox, ip="198.51.100.9", minutes=minute)
    refusal(None, "unknown_address", ip="198.51.100.9", address="root@x.test", minutes=4)
    row(cast.mailbox, ip="198.51.100.9", minutes=5)
    text = words(page(signed_in(cast.admin), "/connections/ip/198.51.100.9/"))
    assert "Wrong password: 3" in text
    assert "Unknown address: 1" in text
    assert "root@x.test 1 refused" in text
    assert f"{cast.mailbox.address} 1 session, 3 refused" in text
    assert "1 session 4 refused attempts" in text
    theirs = words(page(signed_in(cast.owner), "/connections/ip/198.51.100.9/"))
    assert "root@x.test" not in theirs
    assert "Wrong password: 3" in theirs


@pytest.mark.parametrize(
    ("asked", "status"),
    [("192.0.2.7", 200), ("2001:db8::7", 200), ("2001:DB8:0::7", 302), ("x", 404), ("fe80::1%25eth0", 404)],
)
def test_only_ip_addresses_have_a_page(cast: Cast, signed_in: SignIn, asked: str, status: int) -> None:
    assert signed_in(cast.admin).get(f"/connections/ip/{asked}/").status_code == status


def test_an_address_in_sum(cast: Cast, signed_in: SignIn) -> None:
    row(cast.mailbox, ip="192.0.2.1")
    refusal(cast.mailbox, ip="203.0.113.1", minutes=1)
    url = f"/connections/address/?address={quote(cast.mailbox.address.upper())}"
    text = words(page(signed_in(cast.reader), url))
    assert "192.0.2.1 1 session" in text
    assert "203.0.113.1 1 refused" in text
    assert "Its mailbox" in text
    nothing = words(page(signed_in(cast.stranger), url))
    assert "No connection fits" in nothing
    assert "Its mailbox" not in nothing
    assert signed_in(cast.admin).get("/connections/address/").status_code == 302


def test_bars_say_how_many_there_were_each_hour(cast: Cast, signed_in: SignIn) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    for customer, outcome, number in (
        (cast.customer, "accepted", 30),
        (cast.customer, "refused", 4),
        (cast.other_customer, "accepted", 500),
        (None, "refused", 7),
    ):
        HourlyCount.objects.create(
            hour=hour, customer=customer, protocol="imap", outcome=outcome, connections=number
        )
    text = words(page(signed_in(cast.admin), "/connections/"))
    assert "530 sessions 11 refused attempts" in text
    assert "30 sessions 4 refused attempts" in words(page(signed_in(cast.owner), "/connections/"))
    assert "0 sessions 4 refused" in words(page(signed_in(cast.owner), "/connections/?outcome=refused"))
    assert "500 sessions" in words(
        page(signed_in(cast.admin), f"/connections/?customer={cast.other_customer.pk}")
    )
    assert "refused attempts" not in words(page(signed_in(cast.owner), "/connections/?address=a@b.test"))


@pytest.mark.parametrize("since", ["1900-01-01", "2026-03-28", "2026-10-24"])
def test_bars_of_any_period(cast: Cast, signed_in: SignIn, since: str) -> None:
    HourlyCount.objects.create(
        hour=NOON - timedelta(days=900), protocol="imap", outcome="accepted", connections=3
    )
    html = page(signed_in(cast.admin), f"/connections/?since={since}")
    assert html.count("<rect") <= 84


def test_owners_of_mailboxes_have_theirs_elsewhere(cast: Cast, client: Client, settings: Any) -> None:
    from panel.addresses.owners import owner_of

    owner = owner_of(cast.mailbox)
    assert owner is not None
    client.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    assert client.get("/connections/").status_code == 403


def test_ways_lead_to_it(cast: Cast, signed_in: SignIn) -> None:
    row(cast.mailbox)
    client = signed_in(cast.owner)
    assert 'href="/connections/"' in page(client, "/mailboxes/")
    assert f'href="/connections/?domain={cast.domain.name}"' in page(client, f"/domains/{cast.domain.name}/")
    assert 'href="/connections/ip/192.0.2.7/"' in page(client, "/search/?q=192.0.2.7")
    assert "/connections/address/?address=" in page(client, f"/search/?q={cast.mailbox.address}")
    assert "/connections/ip/" not in page(signed_in(cast.stranger), "/search/?q=192.0.2.7")
    assert "/connections/ip/" not in page(client, "/search/?q=192.0.2.8")
