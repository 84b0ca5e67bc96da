"""Every filter that is offered, and every two or three of them, is answered by an index that has its order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from panel.accounts.members import add_member
from panel.accounts.models import User
from panel.addresses.owners import owner_of
from panel.connections import planning
from panel.connections.filters import read_filters
from panel.connections.models import Connection
from panel.connections.planning import Key, page_of_plan, plan_for
from tests.cast import Cast
from tests.panel.connections.rows import NOON, make

#: One value of each filter; each is a way in for the rows below, and each leads or is checked on the way.
VALUES = {
    "address": ("someone@example.test",),
    "ip": ("192.0.2.7", "192.0.2.0/24", "192.0.2.128/25", "192.0.0.0/16", "2001:db8::/32"),
    "domain": ("DOMAIN",),
    "customer": ("CUSTOMER",),
    "protocol": ("pop3",),
    "outcome": ("refused",),
    "reason": ("wrong_password", "kicked"),
    "device": ("main",),
    "open": ("1",),
    "since": ("2026-11-19",),
    "until": ("2026-11-21",),
}


def queries() -> Iterator[dict[str, str]]:
    """Yield every combination of up to three filters, and all at once."""
    for number in range(4):
        for names in combinations(VALUES, number):
            yield from _valued(list(names))
    yield from _valued(list(VALUES))


def _valued(names: list[str]) -> Iterator[dict[str, str]]:
    if not names:
        yield {}
        return
    for rest in _valued(names[1:]):
        for value in VALUES[names[0]]:
            yield {names[0]: value, **rest}


@pytest.fixture
def many(cast: Cast) -> Cast:
    """Enough rows that the database would rather use an index, and knows it."""
    add_member(customer=cast.other_customer, person=cast.reader, role="reader")
    Connection.objects.bulk_create(
        make(
            cast.mailbox if index % 3 else None,
            ip=f"192.0.{index % 50}.{index % 200}",
            minutes=-index,
            address=f"a{index % 300}@example.test",
            outcome="refused" if index % 7 == 0 else "accepted",
            reason=("wrong_password" if index % 14 else "unknown_address")
            if index % 7 == 0
            else "logged_out",
            protocol="pop3" if index % 2 else "imap",
            **({"ended_at": None} if index % 100 == 1 else {}),
        )
        for index in range(6_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE connections_connection" if connection.vendor == "postgresql" else "ANALYZE")
        if connection.vendor == "postgresql":
            # As with rows that do not fit into memory: here all of them lie in a few pages.
            cursor.execute("SET LOCAL enable_seqscan = off")
            # The few rows of a rare address are rather gathered and sorted than followed: no harm, and nothing to see.
            cursor.execute("SET LOCAL enable_bitmapscan = off")
    return cast


def asked(person: User, query: dict[str, str], before: Key | None) -> list[str]:
    """Return the statements on the log that a page takes."""
    plan = plan_for(person, read_filters(query, person))
    with CaptureQueriesContext(
        connection,
    ) as seen:
        page_of_plan(plan, before, examined=500)
    return [each["sql"] for each in seen.captured_queries if "connections_connection" in each["sql"]]


def plan_of(sql: str) -> str:
    """Return what the database does for a statement."""
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        # As it was captured, with its values in it: what looks like a placeholder is none.
        cursor.execute(f"{explain} {sql}".replace("%", "%%"), [])
        return "\n".join(str(line[-1]) for line in cursor.fetchall())


def bad(plan: str) -> bool:
    """Say whether a plan goes through the table, or sorts."""
    if connection.vendor == "postgresql":
        return "Seq Scan" in plan or "Sort" in plan
    # An index that is followed in its order until there are enough rows is a SCAN too, in SQLite's words.
    return bool(re.search(r"SCAN (?!connections_connection USING (COVERING )?INDEX connection_)", plan)) or (
        "TEMP B-TREE" in plan
    )


def who_asks(cast: Cast) -> dict[str, User]:
    """Return people of each kind: one of them belongs to two customers."""
    owner = owner_of(cast.mailbox)
    assert owner is not None
    return {"admin": cast.admin, "manager": cast.manager, "reader of two": cast.reader, "mailbox": owner}


@pytest.mark.parametrize(
    "name",
    [
        "admin",
        "reader of two",
        "manager",
        "mailbox",
    ],
)
def test_every_combination_is_read_by_an_index(many: Cast, name: str) -> None:
    person = who_asks(many)[name]
    names = {"DOMAIN": many.domain.name, "CUSTOMER": str(many.customer.pk)}
    places = (None, Key(NOON.replace(hour=3), 100))
    checked: dict[str, Any] = {}
    for query in queries():
        if name != "admin" and "customer" in query:
            continue
        valued = {key: names.get(value, value) for key, value in query.items()}
        for sql in {each for before in places for each in asked(person, valued, before)}:
            plan = checked.setdefault(sql, None) or plan_of(sql)
            checked[sql] = plan
            assert not bad(plan), f"{query}\n{sql}\n{plan}"
    assert len(checked) > 100


@pytest.mark.parametrize(
    ("query", "lead"),
    [
        ({}, "time"),
        ({"protocol": "pop3", "outcome": "refused", "since": "2026-11-19"}, "time"),
        ({"reason": "kicked"}, "time"),
        ({"reason": "wrong_password", "protocol": "pop3"}, "reason"),
        ({"reason": "wrong_password", "customer": "CUSTOMER"}, "customer"),
        ({"customer": "CUSTOMER", "domain": "DOMAIN"}, "domain"),
        ({"domain": "DOMAIN", "ip": "192.0.2.0/24"}, "net"),
        ({"domain": "DOMAIN", "ip": "192.0.2.0/28"}, "net"),
        ({"ip": "192.0.0.0/20"}, "time"),
        ({"domain": "DOMAIN", "ip": "192.0.0.0/20"}, "domain"),
        ({"domain": "DOMAIN", "ip": "192.0.2.7"}, "ip"),
        ({"address": "a@b.test", "ip": "192.0.2.7"}, "address"),
        ({"address": "a@b.test", "open": "1"}, "open"),
    ],
)
def test_what_leads_to_the_fewest_rows_leads(cast: Cast, query: dict[str, str], lead: str) -> None:
    names = {"DOMAIN": cast.domain.name, "CUSTOMER": str(cast.customer.pk)}
    filters = read_filters({key: names.get(value, value) for key, value in query.items()}, cast.admin)
    assert plan_for(cast.admin, filters).lead == lead


def test_each_index_is_taken_for_what_it_is_there_for(many: Cast) -> None:
    names = {"domain": many.domain.name, "customer": str(many.customer.pk)}
    for query, index in (
        ({}, "connection_when"),
        ({"address": "a1@example.test"}, "connection_address"),
        ({"ip": "192.0.2.7"}, "connection_ip"),
        ({"ip": "192.0.2.0/24"}, "connection_net"),
        ({"domain": names["domain"]}, "connection_domain"),
        ({"customer": names["customer"]}, "connection_customer"),
        ({"reason": "wrong_password"}, "connection_refused"),
        ({"open": "1"}, "connection_open_when"),
    ):
        plans = [plan_of(sql) for sql in asked(many.admin, query, None)]
        assert all(index in plan for plan in plans), (query, plans)
    assert planning.EXAMINED == 20_000
