"""What is looked for is found, and what cannot be looked for is said."""

from __future__ import annotations

import pytest

from panel.connections import planning
from panel.connections.filters import read_filters
from panel.connections.planning import Key, all_rows, page_of_plan, parse_key, plan_for
from tests.cast import Cast
from tests.panel.connections.rows import NOON, refusal, row


def found(cast: Cast, **query: str) -> set[str]:
    """Return the sessions that the host finds."""
    filters = read_filters(query, cast.admin)
    assert not filters.problems, filters.problems
    return {each.session for each in all_rows(plan_for(cast.admin, filters))}


def furnish(cast: Cast) -> None:
    """Make rows that differ in one thing each."""
    row(cast.mailbox, session="plain")
    row(cast.mailbox, session="pop", protocol="pop3", ip="192.0.2.200")
    row(cast.mailbox, session="open", ended_at=None, reason="", ip="198.51.100.1")
    row(cast.mailbox, session="device", credential="phone", ip="2001:db8:1:2::7")
    row(cast.mailbox, session="kicked", reason="kicked", minutes=3 * 24 * 60)
    refusal(cast.mailbox, session="wrong", ip="2001:db8:1:ffff::1")
    refusal(None, "unknown_address", session="unknown", ip="192.0.3.1")
    refusal(None, "no_tls", session="odd", address="'; drop table\\n", ip="10.1.2.3")


@pytest.mark.parametrize(
    ("query", "sessions"),
    [
        ({"ip": "192.0.2.200"}, {"pop"}),
        ({"ip": "192.0.2.128/25"}, {"pop"}),
        ({"ip": "192.0.2.0/24"}, {"plain", "pop", "kicked"}),
        ({"ip": "192.0.2.77/23"}, {"plain", "pop", "kicked", "unknown"}),
        ({"ip": "0.0.0.0/0"}, {"plain", "pop", "open", "kicked", "unknown", "odd"}),
        ({"ip": "2001:DB8:1:2:0::7"}, {"device"}),
        ({"ip": "::ffff:192.0.2.200"}, {"pop"}),
        ({"ip": "2001:db8:1::/48"}, {"device", "wrong"}),
        ({"ip": "2001:db8:1:2::/64"}, {"device"}),
        ({"ip": "2001:db8::/32"}, {"device", "wrong"}),
        ({"ip": "192.0.2.7/32"}, {"plain", "kicked"}),
        ({"protocol": "pop3"}, {"pop"}),
        ({"outcome": "refused"}, {"wrong", "unknown", "odd"}),
        ({"reason": "wrong_password"}, {"wrong"}),
        ({"reason": "kicked"}, {"kicked"}),
        ({"reason": "kicked", "outcome": "refused"}, set()),
        ({"open": "1"}, {"open"}),
        ({"open": "1", "protocol": "pop3"}, set()),
        ({"device": "phone"}, {"device"}),
        ({"device": "main", "reason": "no_tls"}, {"odd"}),
        ({"since": "2026-11-23"}, {"kicked"}),
        ({"until": "2026-11-20", "outcome": "refused", "ip": "10.0.0.0/8"}, {"odd"}),
        ({"address": "'; DROP TABLE\\n"}, {"odd"}),
        ({"address": "nobody@NOWHERE.test"}, {"unknown"}),
        ({"domain": "not-hosted-here.test"}, set()),
    ],
)  # fmt: skip
def test_what_fits_is_found(cast: Cast, query: dict[str, str], sessions: set[str]) -> None:
    furnish(cast)
    assert found(cast, **query) == sessions


def test_by_domain_and_customer(cast: Cast) -> None:
    furnish(cast)
    theirs = {"plain", "pop", "open", "device", "kicked", "wrong"}
    assert found(cast, domain=cast.domain.name.upper()) == theirs
    assert found(cast, customer=str(cast.customer.pk)) == theirs
    assert found(cast, customer=str(cast.customer.pk), reason="wrong_password") == {"wrong"}
    assert found(cast, customer=str(cast.other_customer.pk), address=cast.mailbox.address) == set()
    assert found(cast, address=cast.mailbox.address, protocol="pop3") == {"pop"}


@pytest.mark.parametrize(
    "query",
    [
        {"ip": "192.0.2"},
        {"ip": "192.0.2.0/33"},
        {"ip": "fe80::1%eth0"},
        {"ip": "%"},
        {"ip": "x" * 10_000},
        {"ip": "1/1/1"},
        {"domain": "no domain"},
        {"domain": "%"},
        {"customer": "9" * 30},
        {"customer": "²"},
        {"customer": "0"},
        {"protocol": "smtp"},
        {"outcome": "maybe"},
        {"reason": "because"},
        {"since": "31/12/2026"},
        {"since": "2026-02-30"},
        {"until": "9999-12-31"},
        {"since": "2026-12-02", "until": "2026-12-01"},
    ],
)
def test_what_cannot_be_looked_for_is_said(cast: Cast, query: dict[str, str]) -> None:
    row(cast.mailbox)
    filters = read_filters(query, cast.admin)
    assert len(filters.problems) == 1
    assert page_of_plan(plan_for(cast.admin, filters)).rows == []


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "%", "_", "'", "x" * 10_000, "\u202e", "⁂@⁂"])
@pytest.mark.parametrize("name", ["address", "device"])
def test_any_text_can_be_looked_for(cast: Cast, name: str, text: str) -> None:
    row(cast.mailbox)
    assert found(cast, **{name: text}) == set()


def test_pages_follow_each_other_without_loss_or_repetition(cast: Cast) -> None:
    # Several begin in the same instant: then their numbers say which is newer.
    made = [row(cast.mailbox, minutes=index // 4).session for index in range(30)]
    plan = plan_for(cast.admin, read_filters({}, cast.admin))
    seen: list[str] = []
    before: Key | None = None
    for _page in range(10):
        page = page_of_plan(plan, before, size=7)
        seen += [each.session for each in page.rows]
        before = page.older
        if before is None:
            break
        assert parse_key(str(before)) == before
    assert seen == made[::-1]


@pytest.mark.parametrize("query", [{"reason": "kicked"}, {"ip": "10.0.0.0/8"}, {"protocol": "pop3"}])
def test_a_page_goes_through_no_more_than_it_may_and_says_so(
    cast: Cast, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_TOGETHER", 3)
    wanted = row(cast.mailbox, ip="10.9.9.9", protocol="pop3", reason="kicked", minutes=-60)
    for index in range(25):
        row(cast.mailbox, minutes=index)
    plan = plan_for(cast.admin, read_filters(query, cast.admin))
    first = page_of_plan(plan, examined=10)
    assert first.rows == []
    assert first.searched_to == NOON.replace(minute=15)
    second = page_of_plan(plan, first.older, examined=10)
    assert (second.rows, second.searched_to) == ([], NOON.replace(minute=5))
    third = page_of_plan(plan, second.older, examined=10)
    assert [each.pk for each in third.rows] == [wanted.pk]
    assert (third.older, third.searched_to) == (None, None)
    assert list(all_rows(plan)) == [wanted]


@pytest.mark.parametrize(
    "text",
    ["", "x", "_", "2026-01-01_5", "2026-13-01T00:00:00+00:00_5", f"{NOON.isoformat()}_{2**63}", "\x00_\x00"],
)
def test_a_place_that_is_none_is_none(text: str) -> None:
    assert parse_key(text) is None
