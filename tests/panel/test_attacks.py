"""Attacks on people who are signed in, and by them: forged forms, redirects elsewhere, others' numbers in own forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from panel.accounts import members
from panel.accounts.models import Membership, User
from panel.addresses.models import Domain, Mailbox
from panel.addresses.services import create_domain
from tests.cast import PASSWORD, Cast
from tests.panel.test_access_table import Stage, addresses, as_asked, ask, stage, url_of

__all__ = ["stage"]  # a fixture

SignedIn = Callable[[User], Client]

ELSEWHERE = [
    "https://evil.test/",
    "//evil.test/",
    "///evil.test/",
    "\\\\evil.test/",
    "/\\evil.test/",
    "http:evil.test",
    "http:///evil.test",
    "https:/evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "\t//evil.test/",
    "/\t/evil.test/",
    "http://localhost/",
    "http://127.0.0.1:9000/x",
    "https://localhost@evil.test/",
    "http://testserver.evil.test/",
    "ftp://testserver/",
]


#: What mail programs post to, which know no tokens; it changes nothing, and asks nobody who they are.
NO_FORM = {"autodiscover"}


def test_no_form_is_taken_without_its_token(stage: Stage) -> None:
    client = as_asked("admin", stage)
    client.handler.enforce_csrf_checks = True
    for pattern, name, _entry in addresses():
        if name in NO_FORM:
            continue
        assert ask(client, "POST", url_of(pattern, name, stage)) == "403", pattern


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nobody_is_sent_elsewhere(cast: Cast, url: str) -> None:
    for name in ("account_login", "account_logout"):
        client = Client()
        if name == "account_logout":
            client.force_login(cast.admin)
        for query, form in (({"next": url}, {}), ({}, {"next": url})):
            fields = {"username": "admin@host.test", "password": PASSWORD, **form}
            answer = client.post(reverse(name), fields, query_params=query)
            assert answer.status_code == 302
            assert answer["Location"] in (reverse("home"), reverse("account_login"))
            client = Client()
    signed_in = Client()
    signed_in.force_login(cast.admin)
    confirmed = signed_in.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": url})
    assert confirmed["Location"] == reverse("home")
    assert signed_in.get(reverse("account_login"), {"next": url})["Location"] == reverse("home")


def test_an_own_page_is_gone_on_to(cast: Cast) -> None:
    answer = Client().post(
        reverse("account_login"),
        {"username": "admin@host.test", "password": PASSWORD, "next": "/mailboxes/?q=a"},
    )
    assert answer["Location"] == "/mailboxes/?q=a"


def test_a_session_that_was_planted_is_not_signed_in(cast: Cast) -> None:
    """Session fixation: the key that somebody knew before the sign-in is worth nothing after it."""
    attacker = Client()
    attacker.get(reverse("open_reset_link"), {"key": "1-x"})
    planted = attacker.cookies["sessionid"].value
    victim = Client()
    victim.cookies["sessionid"] = planted
    token = victim.get(reverse("account_login")).cookies["csrftoken"].value
    victim.post(reverse("account_login"), {"username": "admin@host.test", "password": PASSWORD})
    assert victim.get(reverse("home")).status_code == 200
    assert victim.cookies["sessionid"].value != planted
    assert victim.cookies["csrftoken"].value != token
    assert attacker.get(reverse("home")).status_code == 302
    invented = Client()
    invented.cookies["sessionid"] = "a" * 32
    invented.post(reverse("account_login"), {"username": "admin@host.test", "password": PASSWORD})
    assert invented.cookies["sessionid"].value != "a" * 32


def test_the_domain_of_another_customer_is_no_choice(cast: Cast, signed_in: SignedIn) -> None:
    theirs = create_domain(name="theirs.test", customer=cast.other_customer)
    form = {
        "local_part": "spy",
        "domain": str(theirs.pk),
        "quota_preset": "none",
        "password": "violet tractor under 9 moons",
    }
    acting = signed_in(cast.admin)
    acting.post(reverse("act_for_customer", args=[cast.customer.pk]))
    for client in (signed_in(cast.owner), signed_in(cast.manager), acting):
        answer = client.post(reverse("create_mailbox"), form)
        assert answer.status_code == 422
        assert answer.context["form"].errors["domain"]
        assert (
            theirs.name not in client.get(reverse("create_mailbox"), {"domain": theirs.name}).content.decode()
        )
    assert not Mailbox.objects.filter(local_part="spy").exists()


def test_one_customer_is_no_way_to_the_people_of_another(cast: Cast, signed_in: SignedIn) -> None:
    """The number of an own customer, and that of somebody else's person or invitation."""
    theirs = members.invite(customer=cast.other_customer, email="x@other.test", role="reader")
    client = signed_in(cast.owner)
    own = cast.customer.pk
    for name, number in (
        ("edit_member", cast.stranger.pk),
        ("remove_member", cast.stranger.pk),
        ("send_invitation_again", theirs.pk),
        ("withdraw_invitation", theirs.pk),
    ):
        assert client.post(reverse(name, args=[own, number]), {"role": "owner"}).status_code == 404
    assert members.open_invitations(cast.other_customer).count() == 1
    assert Membership.objects.get(user=cast.stranger).role == "owner"


def test_nobody_gives_themselves_more(cast: Cast, signed_in: SignedIn) -> None:
    """Fields that a form has not, and values that a list has not."""
    for person in (cast.manager, cast.reader):
        url = reverse("edit_member", args=[cast.customer.pk, person.pk])
        assert signed_in(person).post(url, {"role": "owner"}).status_code == 403
    owner = signed_in(cast.owner)
    url = reverse("edit_member", args=[cast.customer.pk, cast.reader.pk])
    assert owner.post(url, {"role": "admin"}).status_code == 422
    more = {"language": "", "is_admin": "on", "kind": "person", "email": "admin@host.test"}
    assert owner.post(reverse("show_account"), more).status_code == 302
    cast.owner.refresh_from_db()
    assert (cast.owner.is_admin, cast.owner.email) == (False, "owner@martin.test")
    edit = reverse("edit_mailbox", args=[cast.mailbox.pk])
    fields = {
        "display_name": "Anna",
        "quota_preset": "none",
        "imap": "on",
        "version": str(cast.mailbox.version),
    }
    stolen = {"home": "../x", "domain": "1", "address": "root@x.test", "password": "x", "suspended_at": "x"}
    assert owner.post(edit, fields | stolen).status_code == 302
    before = (cast.mailbox.home, cast.mailbox.address, cast.mailbox.password)
    cast.mailbox.refresh_from_db()
    assert (cast.mailbox.home, cast.mailbox.address, cast.mailbox.password) == before


def test_another_method_is_not_believed(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("resume_mailbox", args=[cast.mailbox.pk])
    client = signed_in(cast.owner)
    for headers in (
        {"X-HTTP-Method-Override": "POST"},
        {"X-HTTP-Method": "POST"},
        {"X-Method-Override": "POST"},
    ):
        assert client.get(url, {"_method": "POST"}, headers=headers).status_code == 405
        assert client.head(url, headers=headers).status_code == 405
    page = client.head(reverse("show_mailbox", args=[cast.mailbox.pk]))
    assert (page.status_code, page.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/mailboxes/../service/",
        "/mailboxes/%2e%2e/service/",
        "/service//",
        "/service/;x",
        "/SERVICE/",
        "/service/%00",
        "/./service/",
        "/service%2f",
        "/static/../panel/settings.py",
        "/static/..%2f..%2fmanage.py",
        "/static/%2e%2e/%2e%2e/etc/passwd",
    ],
)
def test_no_path_leads_around_a_wall(cast: Cast, signed_in: SignedIn, path: str) -> None:
    answer = signed_in(cast.owner).get(path)
    assert answer.status_code in (301, 403, 404)
    if answer.status_code == 301:
        assert answer["Location"].startswith("/")
        assert not answer["Location"].startswith("//")


def test_a_form_that_is_sent_twice_does_its_work_once(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    form = {"name": "twice.test", "customer": str(cast.customer.pk)}
    statuses = [client.post(reverse("create_domain"), form).status_code for _ in range(2)]
    assert statuses == [302, 422]
    assert Domain.objects.filter(name="twice.test").count() == 1
    button = reverse("resume_mailbox", args=[cast.mailbox.pk])
    assert [client.post(button).status_code for _ in range(2)] == [302, 302]
