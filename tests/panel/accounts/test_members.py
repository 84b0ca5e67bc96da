"""A customer's people: roles, and that an owner always remains."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models import Count
from django.test import Client
from django.urls import reverse

from panel.accounts import members
from panel.accounts.models import Membership, User
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.core.errors import Problem
from tests.cast import Cast, make_cast
from tests.panel.accounts.test_customers import at_once

SignedIn = Callable[[User], Client]

STRONG = "violet tractor under 9 moons"


def membership(person: User) -> Membership:
    """Return a person's only membership."""
    return Membership.objects.select_related("customer", "user").get(user=person)


def test_all_its_people_see_the_list_and_owners_change_it(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("list_members", args=[cast.customer.pk])
    for person in (cast.admin, cast.owner, cast.manager, cast.reader):
        page = signed_in(person).get(url)
        assert page.status_code == 200
        assert "reader@martin.test" in page.content.decode()
        assert ("Invite somebody" in page.content.decode()) == (person in (cast.admin, cast.owner))
    assert signed_in(cast.stranger).get(url).status_code == 404
    assert Client().get(url).status_code == 302


@pytest.mark.parametrize("name", ["edit_member", "remove_member"])
def test_who_changes_members(cast: Cast, signed_in: SignedIn, name: str) -> None:
    url = reverse(name, args=[cast.customer.pk, cast.reader.pk])
    for person, status in ((cast.manager, 403), (cast.reader, 403), (cast.stranger, 404)):
        assert signed_in(person).get(url).status_code == status
        assert signed_in(person).post(url, {"role": "owner"}).status_code == status
    assert Client().post(url).status_code == 302
    assert membership(cast.reader).role == "reader"
    for person in (cast.owner, cast.admin):
        assert signed_in(person).get(url).status_code == 200


def test_a_member_of_another_customer_is_not_there(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("remove_member", args=[cast.customer.pk, cast.stranger.pk])
    assert signed_in(cast.owner).post(url).status_code == 404


def test_change_role(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.owner), reverse("edit_member", args=[cast.customer.pk, cast.reader.pk])
    assert client.post(url, {"role": "emperor"}).status_code == 422
    assert client.post(url, {"role": "manager"}).status_code == 302
    assert membership(cast.reader).role == "manager"


def test_removed_they_see_nothing_and_stay_signed_in(cast: Cast, signed_in: SignedIn) -> None:
    reader = signed_in(cast.reader)
    page = reverse("show_mailbox", args=[cast.mailbox.pk])
    assert reader.get(page).status_code == 200
    signed_in(cast.owner).post(reverse("remove_member", args=[cast.customer.pk, cast.reader.pk]))
    assert reader.get(page).status_code == 404
    assert reader.get(reverse("show_customer", args=[cast.customer.pk])).status_code == 404
    home = reader.get(reverse("home"))
    assert home.status_code == 200
    assert "You belong to no customer" in home.content.decode()


@pytest.mark.parametrize("by", ["owner", "admin"])
def test_the_last_owner_remains(cast: Cast, signed_in: SignedIn, by: str) -> None:
    client = signed_in(getattr(cast, by))
    args = [cast.customer.pk, cast.owner.pk]
    answer = client.post(reverse("edit_member", args=args), {"role": "reader"})
    assert answer.status_code == 422
    assert "only owner" in answer.content.decode()
    answer = client.post(reverse("remove_member", args=args), follow=True)
    assert "only owner" in answer.content.decode()
    assert membership(cast.owner).role == "owner"


def test_an_owner_who_leaves_is_led_home(cast: Cast, signed_in: SignedIn) -> None:
    members.change_role(membership=membership(cast.manager), role="owner")
    answer = signed_in(cast.owner).post(reverse("remove_member", args=[cast.customer.pk, cast.owner.pk]))
    assert answer["Location"] == reverse("home")
    assert not Membership.objects.filter(user=cast.owner).exists()


def test_twice_removed_is_said(cast: Cast) -> None:
    loaded = membership(cast.reader)
    members.remove_member(membership=membership(cast.reader))
    with pytest.raises(Problem, match="no member"):
        members.remove_member(membership=loaded)
    with pytest.raises(Problem, match="no member"):
        members.change_role(membership=loaded, role="owner")


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_each_other_at_once_leave_one() -> None:
    cast = make_cast()
    members.change_role(membership=membership(cast.manager), role="owner")
    first, second = membership(cast.owner), membership(cast.manager)
    outcomes = at_once(
        lambda: members.remove_member(membership=first),
        lambda: members.change_role(membership=second, role="reader"),
    )
    assert outcomes.count("done") == 1, outcomes
    owners = Membership.objects.filter(role="owner").values("customer").annotate(number=Count("pk"))
    assert {row["number"] for row in owners} == {1}


MAILBOX_CHANGES = {
    "edit_mailbox": {"display_name": "X", "quota_preset": "none", "imap": "on"},
    "set_mailbox_password": {"password": STRONG},
    "suspend_mailbox": {"reason": "x"},
    "resume_mailbox": {},
    "delete_mailbox": {},
    "restore_mailbox": {},
}


@pytest.mark.parametrize("name", MAILBOX_CHANGES)
def test_a_reader_sees_mailboxes_and_changes_none(cast: Cast, signed_in: SignedIn, name: str) -> None:
    url, form = reverse(name, args=[cast.mailbox.pk]), MAILBOX_CHANGES[name]
    form = form | ({"confirm": cast.mailbox.address} if name == "delete_mailbox" else {})
    version = cast.mailbox.version
    assert signed_in(cast.reader).post(url, form).status_code == 403
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.version == version
    if name == "restore_mailbox":
        services.delete_mailbox(mailbox=cast.mailbox)
    if name == "resume_mailbox":
        services.suspend_mailbox(mailbox=cast.mailbox)
    assert signed_in(cast.manager).post(url, form).status_code == 302
    version = cast.mailbox.version
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.version == version + 1


def test_a_reader_creates_no_mailbox(cast: Cast, signed_in: SignedIn) -> None:
    form = {
        "local_part": "bob",
        "domain": str(cast.domain.pk),
        "quota_preset": "none",
        "password": STRONG,
    }
    assert signed_in(cast.reader).get(reverse("create_mailbox")).status_code == 403
    assert signed_in(cast.reader).post(reverse("create_mailbox"), form).status_code == 403
    assert Mailbox.objects.count() == 1
    assert signed_in(cast.manager).post(reverse("create_mailbox"), form).status_code == 302


def test_whoever_reads_here_and_manages_there_creates_only_there(cast: Cast, signed_in: SignedIn) -> None:
    members.add_member(customer=cast.other_customer, person=cast.reader, role="manager")
    theirs = services.create_domain(name="theirs.test", customer=cast.other_customer)
    form = {"local_part": "bob", "quota_preset": "none", "password": STRONG}
    client = signed_in(cast.reader)
    assert client.post(reverse("create_mailbox"), form | {"domain": str(cast.domain.pk)}).status_code == 422
    assert client.post(reverse("create_mailbox"), form | {"domain": str(theirs.pk)}).status_code == 302


@pytest.mark.parametrize("role", ["reader", "manager"])
def test_buttons_are_there_for_those_who_may(cast: Cast, signed_in: SignedIn, role: str) -> None:
    client = signed_in(getattr(cast, role))
    urls = [
        reverse("home"),
        reverse("list_mailboxes"),
        reverse("show_domain", args=[cast.domain.name]),
        reverse("show_mailbox_settings", args=[cast.mailbox.pk]),
    ]
    for url in urls:
        page = client.get(url).content.decode()
        offers = any(words in page for words in ("New mailbox", "New password", "Suspend mailbox"))
        assert offers == (role == "manager"), url


def test_nobody_is_a_member_twice(cast: Cast) -> None:
    with pytest.raises(Problem, match="member already"):
        members.add_member(customer=cast.customer, person=cast.owner, role="reader")
