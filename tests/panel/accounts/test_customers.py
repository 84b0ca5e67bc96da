"""Customers: who may, what a suspension does, and that limits hold when two come at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from django.urls import reverse

from panel.accounts import customers
from panel.accounts.models import Customer, Invitation, User
from panel.addresses import customers as with_addresses
from panel.addresses import selectors, services
from panel.addresses.models import Domain, Mailbox
from panel.core.errors import Conflict, Problem
from panel.core.models import Job
from tests.cast import PASSWORD, Cast, make_cast

SignedIn = Callable[[User], Client]

GB = 1024**3
NEW = {"name": "Dupont", "owner_email": "dupont@d.test", "how": "invite"}
CHANGES = ["edit_customer", "suspend_customer", "delete_customer"]


def login_row(mailbox: Mailbox) -> tuple[int, str | None]:
    """Return what Dovecot is told of a mailbox: whether it is active, and why not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT active, reason FROM mail_login WHERE address = %s", [mailbox.address])
        active, reason = cursor.fetchone()
    return active, reason


def receives(mailbox: Mailbox) -> bool:
    """Whether Dovecot takes mail for a mailbox."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM mail_user WHERE address = %s", [mailbox.address])
        return cursor.fetchone() is not None


@pytest.mark.parametrize("name", ["list_customers", "create_customer"])
def test_lists_are_the_hosts(cast: Cast, signed_in: SignedIn, name: str) -> None:
    assert signed_in(cast.admin).get(reverse(name)).status_code == 200
    for person in (cast.owner, cast.manager, cast.reader, cast.stranger):
        assert signed_in(person).get(reverse(name)).status_code == 403
        assert signed_in(person).post(reverse(name), NEW).status_code in (403, 405)
    assert Client().get(reverse(name)).status_code == 302
    assert Customer.objects.count() == 2


def test_its_page_is_for_its_people(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("show_customer", args=[cast.customer.pk])
    for person in (cast.admin, cast.owner, cast.manager, cast.reader):
        answer = signed_in(person).get(url)
        assert answer.status_code == 200
        assert ("Suspend customer" in answer.content.decode()) == (person == cast.admin)
    assert signed_in(cast.stranger).get(url).status_code == 404
    assert signed_in(cast.admin).get("/customers/99999999999999999999/").status_code == 404


@pytest.mark.parametrize("name", [*CHANGES, "resume_customer", "act_for_customer"])
def test_only_the_host_changes_one(cast: Cast, signed_in: SignedIn, name: str) -> None:
    url = reverse(name, args=[cast.customer.pk])
    form = {"name": "Mine", "reason": "x", "confirm": "Martin SA", "max_mailboxes": "999"}
    for person in (cast.owner, cast.manager, cast.reader):
        assert signed_in(person).post(url, form).status_code == 403
    assert signed_in(cast.stranger).post(url, form).status_code == 404
    assert Client().post(url, form).status_code == 302
    expected = 200 if name in CHANGES else 405
    assert signed_in(cast.admin).get(url).status_code == expected
    cast.customer.refresh_from_db()
    assert (cast.customer.name, cast.customer.version) == ("Martin SA", 1)


def test_create_with_an_invitation(cast: Cast, signed_in: SignedIn) -> None:
    form = NEW | {"max_domains": "2", "max_mailboxes": "", "max_storage_bytes": "100 GB"}
    answer = signed_in(cast.admin).post(reverse("create_customer"), form)
    customer = Customer.objects.get(name="Dupont")
    assert answer["Location"] == reverse("show_customer", args=[customer.pk])
    assert (customer.max_domains, customer.max_mailboxes, customer.max_storage_bytes) == (2, None, 100 * GB)
    assert not customer.members.exists()
    assert Invitation.objects.get(customer=customer).role == "owner"


def test_create_with_a_password(cast: Cast, signed_in: SignedIn) -> None:
    form = NEW | {"how": "password", "owner_password": PASSWORD}
    assert signed_in(cast.admin).post(reverse("create_customer"), form).status_code == 302
    owner = User.objects.get(email="dupont@d.test")
    assert owner.check_password(PASSWORD)
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "martin sa"},
        {"name": "x" * 101},
        {"name": "a\x00b"},
        {"owner_email": "nobody"},
        {"owner_email": ""},
        {"how": "password", "owner_password": "short"},
        {"how": "password", "owner_password": ""},
        {"how": "?"},
        {"max_domains": "-1"},
        {"max_domains": "99999999999999999999"},
        {"max_mailboxes": "many"},
        {"max_storage_bytes": "0"},
        {"max_storage_bytes": "9999 TB"},
    ],
)
def test_bad_input_creates_nothing(cast: Cast, signed_in: SignedIn, change: dict[str, str]) -> None:
    answer = signed_in(cast.admin).post(reverse("create_customer"), NEW | change)
    assert answer.status_code == 422
    assert Customer.objects.count() == 2
    assert not Invitation.objects.exists()
    assert not User.objects.filter(email="dupont@d.test").exists()


@pytest.mark.parametrize("q", ["martin", "MARTIN SA", "reader@", "", "'", "%", "\x00", "x" * 5000])
def test_search_takes_anything(cast: Cast, signed_in: SignedIn, q: str) -> None:
    answer = signed_in(cast.admin).get(
        reverse("list_customers"), {"q": q, "sort": "?", "page": "x", "state": "?"}
    )
    assert answer.status_code == 200
    found = cast.customer in answer.context["page_obj"].object_list
    assert found == (q in ("martin", "MARTIN SA", "reader@", "", "\x00"))


def test_list_counts_each_thing_by_itself(cast: Cast, signed_in: SignedIn) -> None:
    services.create_domain(name="second.test", customer=cast.customer)
    services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    answer = signed_in(cast.admin).get(reverse("list_customers"), {"sort": "-mailboxes"})
    first = answer.context["page_obj"].object_list[0]
    assert (first.name, first.domain_count, first.mailbox_count) == ("Martin SA", 2, 2)


def test_edit_and_a_stale_form(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.admin), reverse("edit_customer", args=[cast.customer.pk])
    form = {"name": "Martin & fils", "max_mailboxes": "5", "version": "1"}
    assert client.post(url, form).status_code == 302
    answer = client.post(url, form | {"name": "Other name"})
    assert answer.status_code == 422
    assert "Somebody else changed this" in answer.content.decode()
    cast.customer.refresh_from_db()
    assert (cast.customer.name, cast.customer.max_mailboxes) == ("Martin & fils", 5)


def test_a_name_is_taken_whatever_its_letter_case(cast: Cast) -> None:
    with pytest.raises(Problem, match="already"):
        customers.edit_customer(
            customer=cast.customer,
            name="OTHER",
            max_domains=None,
            max_mailboxes=None,
            max_storage_bytes=None,
        )


def test_suspended_nobody_signs_in_and_mail_is_received(cast: Cast) -> None:
    assert login_row(cast.mailbox) == (1, None)
    with_addresses.suspend_customer(customer=cast.customer, reason="invoice 12")
    assert login_row(cast.mailbox) == (0, "suspended")
    assert receives(cast.mailbox)
    assert Job.objects.filter(kind="kick_customer", arguments__customer_id=cast.customer.pk).exists()
    customers.resume_customer(customer=cast.customer)
    assert login_row(cast.mailbox) == (1, None)


def test_resuming_the_customer_resumes_no_domain(cast: Cast) -> None:
    services.suspend_domain(domain=cast.domain)
    with_addresses.suspend_customer(customer=cast.customer)
    customers.resume_customer(customer=cast.customer)
    assert login_row(cast.mailbox) == (0, "suspended")


def test_suspended_shows_in_lists_and_hides_from_its_people(cast: Cast, signed_in: SignedIn) -> None:
    with_addresses.suspend_customer(customer=cast.customer, reason="invoice 12")
    everything = selectors.mailboxes_for(cast.admin)
    assert list(selectors.in_state(everything, "suspended")) == [cast.mailbox]
    assert not selectors.in_state(everything, "active").exists()
    assert everything.get().state == Mailbox.State.SUSPENDED
    domains = selectors.domains_for(cast.admin)
    assert list(selectors.domains_in_state(domains, "suspended")) == [cast.domain]
    assert domains.get().state == Domain.State.SUSPENDED
    for name, argument in (("show_mailbox", cast.mailbox.pk), ("show_domain", cast.domain.name)):
        page = signed_in(cast.admin).get(reverse(name, args=[argument])).content.decode()
        assert "Its customer is suspended" in page
        assert 'resume/"' not in page
    assert not selectors.mailboxes_for(cast.owner).exists()


def test_whoever_has_another_customer_is_told_why(cast: Cast, signed_in: SignedIn) -> None:
    customers.create_customer(name="Second", owner_email="owner@martin.test", owner_password="")
    client = signed_in(cast.owner)
    with_addresses.suspend_customer(customer=cast.customer, reason="invoice 12")
    page = client.get(reverse("home")).content.decode()
    assert "Martin SA is suspended" in page
    assert "invoice 12" in page
    assert client.get(reverse("show_customer", args=[cast.customer.pk])).status_code == 404
    assert client.get(reverse("show_mailbox", args=[cast.mailbox.pk])).status_code == 404


def test_suspend_and_resume_by_page_and_command(cast: Cast, signed_in: SignedIn) -> None:
    client, args = signed_in(cast.admin), [cast.customer.pk]
    assert client.post(reverse("suspend_customer", args=args), {"reason": "x" * 201}).status_code == 422
    assert client.post(reverse("suspend_customer", args=args), {"reason": "unpaid"}).status_code == 302
    cast.customer.refresh_from_db()
    assert (cast.customer.state, cast.customer.suspended_reason) == ("suspended", "unpaid")
    assert "unpaid" in client.get(reverse("show_customer", args=args)).content.decode()
    assert client.post(reverse("resume_customer", args=args)).status_code == 302
    cast.customer.refresh_from_db()
    assert cast.customer.state == "active"
    call_command("suspendcustomer", "martin sa", "--reason", "by hand")
    cast.customer.refresh_from_db()
    assert cast.customer.suspended_reason == "by hand"
    call_command("resumecustomer", "Martin SA")
    cast.customer.refresh_from_db()
    assert cast.customer.state == "active"


def test_deleted_only_when_nothing_is_left(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.admin), reverse("delete_customer", args=[cast.customer.pk])
    assert cast.domain.name in client.get(url).content.decode()
    answer = client.post(url, {"confirm": "Martin SA"})
    assert answer.status_code == 422
    assert cast.domain.name in answer.content.decode()
    services.delete_domain(domain=cast.domain)
    assert "can still be restored" in client.post(url, {"confirm": "Martin SA"}).content.decode()
    Mailbox.objects.all().delete()
    Domain.objects.all().delete()
    assert client.post(url, {"confirm": "Martin"}).status_code == 422
    assert client.post(url, {"confirm": "martin sa"}).status_code == 302
    assert not Customer.objects.filter(pk=cast.customer.pk).exists()
    assert User.objects.filter(pk=cast.owner.pk).exists()
    with pytest.raises(Conflict):
        customers.resume_customer(customer=cast.customer)
    with pytest.raises(Problem, match="deleted meanwhile"):
        services.create_domain(name="late.test", customer=cast.customer)


def test_no_way_around_the_limit_of_domains(cast: Cast) -> None:
    other = services.create_domain(name="other.test", customer=cast.other_customer)
    Customer.objects.filter(pk=cast.customer.pk).update(max_domains=1)
    services.delete_domain(domain=cast.domain)
    services.create_domain(name="second.test", customer=cast.customer)
    for attempt in (
        lambda: services.create_domain(name="third.test", customer=cast.customer),
        lambda: services.edit_domain(domain=other, customer=cast.customer, default_quota_bytes=None),
        lambda: services.restore_domain(domain=cast.domain),
    ):
        with pytest.raises(Problem, match="may have 1 domains"):
            attempt()
    assert Domain.objects.filter(customer=cast.customer, deleted_at=None).count() == 1


def at_once(*tasks: Callable[[], object]) -> list[str]:
    """Do several things in threads of their own; return "done" or the problem of each."""
    outcomes: list[str] = []
    ready = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> None:
        ready.wait()
        try:
            task()
            outcomes.append("done")
        except Problem as problem:
            outcomes.append(str(problem))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_two_at_the_last_domain_get_one() -> None:
    cast = make_cast()
    Customer.objects.filter(pk=cast.customer.pk).update(max_domains=2)
    deleted = services.create_domain(name="deleted.test", customer=cast.customer)
    services.delete_domain(domain=deleted)
    moved = services.create_domain(name="moved.test", customer=cast.other_customer)
    outcomes = at_once(
        lambda: services.create_domain(name="a.test", customer=cast.customer),
        lambda: services.create_domain(name="b.test", customer=cast.customer),
        lambda: services.edit_domain(domain=moved, customer=cast.customer, default_quota_bytes=None),
        lambda: services.restore_domain(domain=deleted),
    )
    assert outcomes.count("done") == 1, outcomes
    assert Domain.objects.filter(customer=cast.customer, deleted_at=None).count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_at_the_last_storage_get_one() -> None:
    cast = make_cast()
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=1 * GB)
    Customer.objects.filter(pk=cast.customer.pk).update(max_storage_bytes=3 * GB)

    def create(local_part: str) -> Callable[[], object]:
        return lambda: services.create_mailbox(
            domain=cast.domain, local_part=local_part, password=PASSWORD, quota_bytes=2 * GB
        )

    raised = Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)
    outcomes = at_once(
        create("a"), create("b"), lambda: services.edit_mailbox(mailbox=raised, quota_bytes=3 * GB)
    )
    assert outcomes.count("done") == 1, outcomes
    assert with_addresses.usage_of(cast.customer).given_bytes == 3 * GB


@pytest.mark.django_db(transaction=True)
def test_a_domain_and_the_deletion_of_its_customer_do_not_both_happen() -> None:
    cast = make_cast()
    empty = cast.other_customer
    outcomes = at_once(
        lambda: with_addresses.delete_customer(customer=Customer.objects.get(pk=empty.pk)),
        lambda: services.create_domain(name="late.test", customer=empty),
    )
    assert outcomes.count("done") == 1, outcomes
    there = Customer.objects.filter(pk=empty.pk).exists()
    assert Domain.objects.filter(name="late.test").exists() == there
