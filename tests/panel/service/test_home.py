"""The home of each role: what needs attention, what can be done, and what happens if nothing is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from panel.accounts import customers, members
from panel.accounts.models import Customer, Invitation, User
from panel.addresses import customers as with_addresses
from panel.addresses import password_links, services
from panel.addresses.models import Mailbox
from panel.addresses.owners import owner_of
from panel.core.attention import Item
from panel.core.models import Job
from panel.service import attention, selectors
from tests.cast import PASSWORD, Cast
from tests.panel.accounts.passkeys import add_passkey

SignIn = Callable[[User], Client]
GB = 1024**3


def items(client: Client, url: str = "/") -> list[Item]:
    """Return what a home says needs attention."""
    return list(client.get(url).context["attention"] or [])


def about(client: Client, words: str, url: str = "/") -> Item:
    """Return the one item whose text has these words."""
    found = [item for item in items(client, url) if words in item.text]
    assert len(found) == 1, (words, [item.text for item in items(client, url)])
    return found[0]


def holds(mailbox: Mailbox, used: int, quota: int | None = GB) -> None:
    """Have a mailbox hold so much of its quota."""
    Mailbox.objects.filter(pk=mailbox.pk).update(used_bytes=used, used_at=timezone.now(), quota_bytes=quota)


def owner_client(cast: Cast) -> Client:
    """Return the browser of the mailbox's owner."""
    owner = owner_of(cast.mailbox)
    assert owner is not None
    client = Client()
    client.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    return client


def test_calm_where_there_is_nothing(cast: Cast, signed_in: SignIn) -> None:
    for person in (cast.owner, cast.manager, cast.reader, cast.stranger):
        client = signed_in(person)
        client.post("/first-steps/hide/")
        assert items(client) == []
        assert "Nothing needs your attention" in client.get("/").content.decode()
        # The list is nobody's home: it says nothing of it.
        assert "Nothing needs your attention" not in client.get("/mailboxes/").content.decode()
    page = owner_client(cast).get(f"/mailboxes/{cast.mailbox.pk}/")
    assert "Nothing needs your attention" in page.content.decode()
    # What the owner is told is not for those who look after the mailbox.
    assert "attention" not in signed_in(cast.admin).get(f"/mailboxes/{cast.mailbox.pk}/").context


def test_mailboxes_almost_full(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.reader)
    holds(cast.mailbox, GB * 94 // 100)
    assert items(client) == []
    holds(cast.mailbox, GB * 96 // 100)
    item = about(client, "almost full")
    assert item.level == "warning"
    assert "refuses new messages" in item.otherwise
    listed = client.get(item.url)
    assert [mailbox.pk for mailbox in listed.context["page_obj"]] == [cast.mailbox.pk]
    holds(cast.mailbox, GB)
    assert about(client, "almost full").level == "error"
    holds(cast.mailbox, GB, None)
    assert items(client) == []


def test_limits_nearly_reached(cast: Cast, signed_in: SignIn) -> None:
    holds(cast.mailbox, 0, 9 * GB)
    customers.edit_customer(
        customer=cast.customer, name="Martin SA", max_domains=1, max_mailboxes=1, max_storage_bytes=10 * GB
    )
    texts = [item.text for item in items(signed_in(cast.reader))]
    assert "Martin SA has 1 of the 1 mailboxes that it may have." in texts
    assert "Martin SA has 1 of the 1 domains that it may have." in texts
    assert any("has given its mailboxes 9\N{NO-BREAK SPACE}GB of the 10" in text for text in texts)
    Customer.objects.filter(pk=cast.customer.pk).update(
        max_domains=2, max_mailboxes=2, max_storage_bytes=11 * GB
    )
    assert items(signed_in(cast.reader)) == []


def test_suspended_and_about_to_end(cast: Cast, signed_in: SignIn) -> None:
    bob = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    services.suspend_mailbox(mailbox=cast.mailbox)
    services.delete_mailbox(mailbox=bob)
    client = signed_in(cast.owner)
    assert about(client, "is suspended").url.endswith("?state=suspended")
    assert [item for item in items(client) if "deleted" in item.text] == []
    Mailbox.objects.filter(pk=bob.pk).update(deleted_at=timezone.now() - timedelta(days=12))
    item = about(client, "deleted mailbox can be restored")
    assert item.level == "warning"
    assert bob.address in client.get(item.url).content.decode()
    Mailbox.objects.filter(pk=bob.pk).update(purging_at=timezone.now())
    assert [item for item in items(client) if "deleted" in item.text] == []


def test_open_invitations_are_for_those_who_send_them(cast: Cast, signed_in: SignIn) -> None:
    members.invite(customer=cast.customer, email="new@martin.test", role="reader")
    assert "works until" in about(signed_in(cast.owner), "invitation waits").otherwise
    assert items(signed_in(cast.manager)) == items(signed_in(cast.reader)) == []
    Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    item = about(signed_in(cast.owner), "invitation waits")
    assert "run out" in item.otherwise
    assert signed_in(cast.owner).get(item.url).status_code == 200


def test_nobody_is_told_of_others(cast: Cast, signed_in: SignIn) -> None:
    holds(cast.mailbox, GB)
    members.invite(customer=cast.customer, email="new@martin.test", role="reader")
    assert items(signed_in(cast.stranger)) == []
    acting = signed_in(cast.admin)
    acting.post(reverse("act_for_customer", args=[cast.customer.pk]))
    assert about(acting, "almost full")
    assert about(acting, "invitation waits")


def test_a_suspended_customers_people_are_told_why(cast: Cast, signed_in: SignIn) -> None:
    members.add_member(customer=cast.other_customer, person=cast.reader, role="reader")
    with_addresses.suspend_customer(customer=cast.customer, reason="invoice 12")
    item = about(signed_in(cast.reader), "Martin SA is suspended")
    assert "invoice 12" in item.text
    assert "Until your host resumes it" in item.otherwise


def test_an_owner_is_told_of_room_and_links(cast: Cast) -> None:
    client = owner_client(cast)
    url = f"/mailboxes/{cast.mailbox.pk}/"
    assert client.get("/")["Location"] == url
    holds(cast.mailbox, GB * 97 // 100)
    assert about(client, "almost full", url).level == "warning"
    holds(cast.mailbox, GB)
    assert "refused" in about(client, "is full", url).otherwise
    holds(cast.mailbox, 0)
    services.edit_mailbox(mailbox=cast.mailbox, imap=False, pop3=False)
    client = owner_client(cast)  # switching off signed them out
    assert about(client, "both switched off", url)
    password_links.make_link(mailbox=cast.mailbox, created_by=cast.owner)
    item = about(client, "can be chosen", url)
    assert client.get(item.url).status_code == 200


def test_an_admin_is_told_of_service_worker_and_second_factor(cast: Cast, signed_in: SignIn) -> None:
    """No supervisor and no worker runs beside these tests."""
    client = signed_in(cast.admin)
    assert about(client, "does not answer").level == "error"
    assert about(client, "Background work")
    # The first steps tell it otherwise.
    assert not [item for item in items(client) if "second factor" in item.text]
    client.post("/first-steps/hide/")
    assert about(client, "No administrator has a second factor").level == "warning"
    add_passkey(cast.admin, "Telephone")
    assert not [item for item in items(client) if "second factor" in item.text]
    from panel.accounts.services import create_admin

    create_admin(email="second@host.test", password=PASSWORD)
    assert about(client, "1 of 2 administrators has no second factor").level == "info"
    levels = [item.level for item in items(client)]
    assert levels == sorted(levels, key=("error", "warning", "info").index)


def test_an_admin_is_told_of_jobs_and_findings(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.admin)
    now = timezone.now()
    done = {"kind": "check_mail", "due_at": now, "state": Job.State.DONE}
    Job.objects.create(**done, report={"found": 3, "mended": 1, "failures": []})
    item = about(client, "left 2 problems")
    assert client.get(item.url).status_code == 200
    Job.objects.create(**done, report={"found": 1, "mended": 1, "failures": []})
    assert not [item for item in items(client) if "problems" in item.text]
    Job.objects.create(kind="purge", due_at=now, state=Job.State.FAILED, error="No room.")
    item = about(client, "failed: No room.")
    assert item.level == "error"
    assert "tried again" in item.otherwise


def test_an_admin_is_told_for_a_day_what_a_check_of_quotas_found(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.admin)
    now = timezone.now()
    done = {"kind": "check_quotas", "due_at": now, "state": Job.State.DONE}
    Job.objects.create(**done, report={"found": 2, "mended": 2, "failures": []})
    for _later in range(3):
        Job.objects.create(**done, report={"found": 0, "mended": 0, "failures": []})
    item = about(client, "A check of quotas found 2 problems.")
    assert item.level == "info"
    assert client.get(item.url).status_code == 200
    Job.objects.create(**done, report={"found": 1, "mended": 0, "failures": []})
    assert about(client, "A check of quotas found 1 problem.").level == "warning"
    Job.objects.filter(report__found__gt=0).update(changed_at=now - timedelta(days=2))
    assert not [item for item in items(client) if "check of quotas" in item.text]


def test_an_admin_is_told_of_what_is_suspended_or_half_created(cast: Cast, signed_in: SignIn) -> None:
    client = signed_in(cast.admin)
    services.suspend_domain(domain=cast.domain)
    with_addresses.suspend_customer(customer=cast.other_customer)
    for words in ("1 domain is suspended", "1 customer is suspended"):
        item = about(client, words)
        assert client.get(item.url).status_code == 200
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(provisioned_at=None)
    assert about(client, "half created")


def served(days: int, *, ours: bool, fits: bool = True) -> selectors.Served:
    """Return a certificate that ends so many days from now."""
    from mailbackend.supervisor.report import Certificate

    now = timezone.now()
    return selectors.Served(
        certificate=Certificate(["mail.test"], "CN=x", now.isoformat(), now.isoformat(), "00"),
        expires=now + timedelta(days=days),
        days_left=days,
        ours=ours,
        state="expired" if days < 0 else "soon" if days < 14 else "good",
        fits=fits,
    )


@pytest.mark.parametrize(
    ("days", "ours", "fits", "levels"),
    [
        (90, True, True, []),
        (5, True, True, ["warning"]),
        (5, False, True, ["warning"]),
        (-1, False, True, ["error"]),
        (90, False, False, ["error"]),
    ],
)
def test_certificates(days: int, ours: bool, fits: bool, levels: list[str]) -> None:
    found = list(attention._certificate(served(days, ours=ours, fits=fits)))
    assert [item.level for item in found] == levels
    if levels and days == 5:
        assert ("renewed by itself" in found[0].otherwise) == ours


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, cast: Cast) -> None:
    usage = type(shutil.disk_usage("/"))

    for free, levels in ((50, []), (5, ["warning"]), (1, ["error"])):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(100, 100 - free, free))
        assert [item.level for item in attention._disks()] == levels


def test_query_count_is_constant(cast: Cast, signed_in: SignIn, django_assert_max_num_queries: Any) -> None:
    """However much there is to tell."""
    customers.edit_customer(
        customer=cast.customer, name="Martin SA", max_domains=20, max_mailboxes=1, max_storage_bytes=None
    )
    clients = {"admin": signed_in(cast.admin), "owner": signed_in(cast.owner)}
    for client in clients.values():
        client.get("/")  # the first request of a session notes it
        with django_assert_max_num_queries(21):  # with first steps
            client.get("/")
        client.post("/first-steps/hide/")
    with django_assert_max_num_queries(18):
        clients["admin"].get("/")
    with django_assert_max_num_queries(18):
        clients["owner"].get("/")
    now = timezone.now()
    customers.edit_customer(
        customer=cast.customer, name="Martin SA", max_domains=20, max_mailboxes=200, max_storage_bytes=None
    )
    for index in range(19):
        services.create_domain(name=f"more{index}.test", customer=cast.customer)
        members.invite(customer=cast.customer, email=f"p{index}@martin.test", role="reader")
        Job.objects.create(kind="purge", due_at=now, state=Job.State.FAILED, error="No.")
    Mailbox.objects.bulk_create(
        Mailbox(
            domain=cast.domain,
            local_part=f"m{index:04}",
            address=f"m{index:04}@{cast.domain.name}",
            home=f"x/{index}",
            provisioned_at=now,
            used_bytes=GB,
            used_at=now,
            quota_bytes=GB,
            suspended_at=now if index % 3 else None,
            deleted_at=now - timedelta(days=13) if index % 7 == 0 else None,
        )
        for index in range(190)
    )
    with django_assert_max_num_queries(18):
        clients["admin"].get("/")
    # One more for what was nothing before: how many are full, and the count of a second page.
    with django_assert_max_num_queries(20):
        assert len(items(clients["owner"])) >= 4
