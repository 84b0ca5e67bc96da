"""Who sees what of the log."""

from __future__ import annotations

import secrets

from panel.accounts.customers import create_customer
from panel.accounts.members import add_member
from panel.accounts.models import User
from panel.addresses.customers import suspend_customer
from panel.addresses.owners import owner_of
from panel.addresses.services import create_domain, create_mailbox
from panel.connections.filters import Filters, read_filters
from panel.connections.models import Connection
from panel.connections.planning import all_rows, plan_for
from panel.connections.selectors import connections_for
from tests.cast import PASSWORD, Cast
from tests.panel.connections.rows import refusal, row


def seen(person: User, filters: Filters | None = None) -> set[int]:
    """Return what a person sees by the plain selector and by a plan: they must be the same."""
    plain = {each.pk for each in connections_for(person)}
    planned = {each.pk for each in all_rows(plan_for(person, filters or Filters()))}
    if filters is None:
        assert plain == planned
    return planned


def mine(mailbox_owner_of: Cast) -> User:
    owner = owner_of(mailbox_owner_of.mailbox)
    assert owner is not None
    return owner


def furnish(cast: Cast) -> dict[str, Connection]:
    """Make one row of everybody's."""
    neighbour = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    other = create_mailbox(
        domain=create_domain(name=f"o{secrets.token_hex(4)}.test", customer=cast.other_customer),
        local_part="x",
        password=PASSWORD,
    )
    return {
        "own": row(cast.mailbox),
        "neighbour": refusal(neighbour),
        "other": row(other),
        "nobody": refusal(None, "unknown_address"),
    }


def test_each_sees_what_is_theirs(cast: Cast) -> None:
    rows = furnish(cast)
    pk = {name: each.pk for name, each in rows.items()}
    assert seen(cast.admin) == set(pk.values())
    for person in (cast.owner, cast.manager, cast.reader):
        assert seen(person) == {pk["own"], pk["neighbour"]}
    assert seen(cast.stranger) == {pk["other"]}
    assert seen(mine(cast)) == {pk["own"]}


def test_whoever_acts_for_a_customer_sees_what_its_owner_does(cast: Cast) -> None:
    rows = furnish(cast)
    cast.admin.acting_for = cast.other_customer
    assert seen(cast.admin) == {rows["other"].pk}


def test_members_of_several_customers_see_both_in_one_order(cast: Cast) -> None:
    rows = furnish(cast)
    add_member(customer=cast.other_customer, person=cast.reader, role="reader")
    later, last = row(cast.mailbox, minutes=5), row(None, customer=cast.other_customer, minutes=6)
    found = [each.pk for each in all_rows(plan_for(cast.reader, Filters()))]
    assert found[:2] == [last.pk, later.pk]
    assert set(found) == {last.pk, later.pk, rows["own"].pk, rows["neighbour"].pk, rows["other"].pk}


def test_no_filter_shows_what_is_somebody_elses(cast: Cast) -> None:
    rows = furnish(cast)
    for person in (cast.stranger, mine(cast)):
        allowed = {each.pk for each in connections_for(person)}
        for query in (
            {"address": rows["neighbour"].address},
            {"ip": "192.0.2.7"},
            {"ip": "192.0.2.0/24"},
            {"ip": "192.0.0.0/16"},
            {"domain": cast.domain.name},
            {"customer": str(cast.customer.pk)},
            {"reason": "wrong_password"},
            {"outcome": "refused"},
            {"open": "1"},
        ):
            assert seen(person, read_filters(query, person)) <= allowed, query


def test_members_of_a_suspended_customer_and_people_of_none_see_nothing(cast: Cast) -> None:
    furnish(cast)
    create_customer(name="Third", owner_email="third@third.test", owner_password=PASSWORD)
    assert seen(User.objects.get(email="third@third.test")) == set()
    suspend_customer(customer=cast.customer, reason="")
    assert seen(cast.owner) == set()
    assert seen(cast.owner, read_filters({"address": cast.mailbox.address}, cast.owner)) == set()
