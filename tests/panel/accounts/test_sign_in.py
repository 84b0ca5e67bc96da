"""Signing in: who may, who may not, and that nobody learns which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from panel.accounts.models import Customer, Membership, User
from panel.addresses.owners import owner_of
from panel.core.models import AuditEntry
from tests.cast import PASSWORD, Cast

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db

WRONG = "do not fit together"


def post(client: Client, email: str, password: str, **headers: Any) -> Any:
    """Try to sign in."""
    return client.post(reverse("account_login"), {"username": email, "password": password}, **headers)


def actions() -> list[str]:
    """Return what is recorded of signing in, the first first."""
    found = AuditEntry.objects.filter(action__startswith="sign_in.").order_by("id")
    return list(found.values_list("action", flat=True))


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets a line for every hash that is computed."""
    computed: list[str] = []
    for name in ("encode", "verify"):
        real = getattr(Argon2PasswordHasher, name)

        def counting(self: Any, *args: Any, _name: str = name, _real: Any = real, **kwargs: Any) -> Any:
            computed.append(_name)
            return _real(self, *args, **kwargs)

        monkeypatch.setattr(Argon2PasswordHasher, name, counting)
    return computed


def test_success_is_recorded_and_goes_where_they_were_going(cast: Cast) -> None:
    client = Client()
    data = {"username": "admin@host.test", "password": PASSWORD, "next": reverse("list_jobs")}
    answer = client.post(reverse("account_login"), data)
    assert answer["Location"] == reverse("list_jobs")
    entry = AuditEntry.objects.get(action="sign_in.succeeded")
    assert (entry.target, entry.actor, entry.remote_ip) == ("admin@host.test", "admin@host.test", "127.0.0.1")


def test_wrong_unknown_and_inactive_are_the_same(cast: Cast, hashes: list[str]) -> None:
    User.objects.filter(pk=cast.stranger.pk).update(is_active=False)
    pages, costs = [], []
    for email, password in [
        ("admin@host.test", "wrong-password"),
        ("nobody@host.test", PASSWORD),
        (cast.stranger.email, PASSWORD),
    ]:
        hashes.clear()
        answer = post(Client(), str(email), password)
        page = answer.content.decode()
        assert (answer.status_code, WRONG in page) == (200, True)
        pages.append(page.replace(str(email), "WHO").partition("<form")[0])
        costs.append(len(hashes))
    assert len(set(pages)) == 1
    assert costs == [1, 1, 1]
    assert actions() == ["sign_in.failed"] * 3


def test_people_of_a_suspended_customer_are_told_why_and_stay_outside(cast: Cast) -> None:
    suspended = {"suspended_at": timezone.now(), "suspended_reason": "Invoice 12 is unpaid."}
    Customer.objects.filter(pk=cast.customer.pk).update(**suspended)
    assert "Martin SA" not in post(Client(), "owner@martin.test", "wrong-password").content.decode()
    client = Client()
    assert post(client, "owner@martin.test", PASSWORD)["Location"] == reverse("account_login")
    page = client.get(reverse("account_login")).content.decode()
    assert "Martin SA is suspended: Invoice 12 is unpaid. Ask your host." in page
    assert client.get(reverse("home"))["Location"].startswith(reverse("account_login"))
    assert "sign_in.succeeded" not in actions()


def test_session_ends_with_the_right_to_it(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    assert client.get(reverse("home")).status_code == 200
    Customer.objects.filter(pk=cast.customer.pk).update(suspended_at=timezone.now())
    assert client.get(reverse("home"))["Location"].startswith(reverse("account_login"))


def test_member_of_another_customer_stays(cast: Cast) -> None:
    Customer.objects.filter(pk=cast.customer.pk).update(suspended_at=timezone.now())
    Membership.objects.create(customer=cast.other_customer, user=cast.owner, role=Membership.Role.READER)
    assert post(Client(), "owner@martin.test", PASSWORD).status_code == 302


def test_what_is_no_address_is_not_written_down(cast: Cast) -> None:
    post(Client(), "my-secret-passw0rd", "x")
    assert AuditEntry.objects.get(action="sign_in.failed").target == "–"


def test_nobody_signs_up_or_changes_an_address(cast: Cast, signed_in: SignedIn) -> None:
    for name in ("account_signup", "account_email", "account_confirm_email", "account_signup_by_passkey"):
        with pytest.raises(NoReverseMatch):
            reverse(name)
    for path in ("/signup/", "/accounts/signup/", "/account/signup/", "/account/email/", "/sign-up/"):
        assert Client().get(path).status_code == 404
        assert signed_in(cast.admin).get(path).status_code == 404
    assert b"sign up" not in Client().get(reverse("account_login")).content.lower()


def test_whoever_is_in_is_not_asked_again(cast: Cast, signed_in: SignedIn) -> None:
    assert signed_in(cast.admin).get(reverse("account_login"))["Location"] == reverse("home")


def test_page_has_no_inline_script(cast: Cast) -> None:
    answer = Client().get(reverse("account_login"))
    assert b"<script>" not in answer.content
    assert b" onclick" not in answer.content
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("language", ["fr", "en", ""])
def test_language_is_theirs(cast: Cast, signed_in: SignedIn, language: str) -> None:
    client = signed_in(cast.owner)
    assert client.post(reverse("show_account"), {"language": language}).status_code == 302
    answer = client.get(reverse("show_account"), headers={"accept-language": "fr"})
    assert f'<html lang="{language or "fr"}"' in answer.content.decode()


def test_unknown_language_is_refused(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    assert client.post(reverse("show_account"), {"language": "xx"}).status_code == 400
    cast.owner.refresh_from_db()
    assert cast.owner.language == ""


def test_account_page_of_a_mailbox_owner(cast: Cast, signed_in: SignedIn) -> None:
    owner = owner_of(cast.mailbox)
    assert owner is not None
    page = signed_in(owner).get(reverse("show_account")).content.decode()
    assert cast.mailbox.address in page
    assert reverse("mfa_activate_totp") not in page


@pytest.mark.parametrize(
    "name", ["show_account", "usersessions_list", "mfa_activate_totp", "mfa_list_webauthn"]
)
def test_account_is_for_whoever_signed_in(cast: Cast, name: str) -> None:
    assert Client().get(reverse(name))["Location"].startswith(reverse("account_login"))
