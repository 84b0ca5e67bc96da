"""Signing in, and the password that one must choose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from panel.accounts.models import User
from panel.accounts.services import create_admin
from tests.cast import PASSWORD, Cast

SignedIn = Callable[[User], Client]


def test_sign_in_by_email_in_any_letter_case(cast: Cast) -> None:
    client = Client()
    answer = client.post(reverse("account_login"), {"username": " Admin@HOST.test", "password": PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"] == reverse("home")


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("admin@host.test", "wrong"),
        ("nobody@host.test", PASSWORD),
        ("", ""),
        ("a\x00", "b\x00"),
        ("x" * 9999, "y" * 9999),
    ],
)
def test_wrong_sign_in_says_the_same(cast: Cast, email: str, password: str) -> None:
    answer = Client().post(reverse("account_login"), {"username": email, "password": password})
    assert answer.status_code == 200
    assert "_auth_user_id" not in answer.wsgi_request.session


def test_sign_in_goes_nowhere_else(cast: Cast) -> None:
    address = reverse("account_login") + "?next=https://evil.example/"
    answer = Client().post(address, {"username": "admin@host.test", "password": PASSWORD})
    assert answer["Location"] == reverse("home")


def test_given_password_must_be_changed_first(cast: Cast, signed_in: SignedIn) -> None:
    person = create_admin(email="new@host.test", password=PASSWORD, must_change_password=True)
    client = signed_in(person)
    for name in ("home", "list_mailboxes", "list_jobs"):
        assert client.get(reverse(name))["Location"] == reverse("change_password")
    same = {"old_password": PASSWORD, "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert client.post(reverse("change_password"), same).status_code == 400
    own = same | {"new_password1": "my-own-password", "new_password2": "my-own-password"}
    assert client.post(reverse("change_password"), own)["Location"] == reverse("home")
    assert client.get(reverse("home")).status_code == 200


def test_changing_the_password_signs_other_devices_out(cast: Cast, signed_in: SignedIn) -> None:
    here, there = signed_in(cast.admin), signed_in(cast.admin)
    own = {"old_password": PASSWORD, "new_password1": "my-own-password", "new_password2": "my-own-password"}
    here.post(reverse("change_password"), own)
    assert here.get(reverse("home")).status_code == 200
    assert there.get(reverse("home"))["Location"].startswith(reverse("account_login"))


def test_sign_out_is_a_post(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    assert client.get(reverse("account_logout")).status_code == 405
    assert client.post(reverse("account_logout"))["Location"] == reverse("account_login")
