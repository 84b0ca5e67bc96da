"""The second factor: set up, asked for, used once, sealed, removed. Passkeys: tests/browser/test_sign_in.py too."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from panel.accounts import signing_in
from panel.accounts.models import User
from panel.accounts.services import set_password
from panel.addresses.owners import owner_of
from panel.core.models import AuditEntry, Job
from panel.core.sealed import SealBroken, seal, unseal
from tests.cast import PASSWORD, Cast
from tests.panel.accounts.codes import code_of

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db


def confirm(client: Client) -> None:
    """Type the password once more."""
    answer = client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    assert answer.status_code == 302


def set_up(client: Client) -> tuple[str, list[str]]:
    """Add an authenticator app. Returns its secret and the recovery codes."""
    confirm(client)
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r"<code[^>]*>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    answer = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret[1])})
    assert answer["Location"] == reverse("mfa_view_recovery_codes")
    shown = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    return secret[1], re.findall(r"<code>([0-9]{8})</code>", shown)


def start(email: str = "admin@host.test") -> Client:
    """Type the password, and be asked for the second factor."""
    client = Client()
    answer = client.post(reverse("account_login"), {"username": email, "password": PASSWORD})
    assert answer["Location"] == reverse("mfa_authenticate")
    assert client.get(reverse("home"))["Location"].startswith(reverse("account_login"))
    return client


@pytest.mark.django_db(transaction=True)  # what is told is told on commit
def test_app_is_set_up_and_asked_for(cast: Cast, signed_in: SignedIn) -> None:
    secret, codes = set_up(signed_in(cast.admin))
    assert len(codes) == 10
    client = start()
    wrong = client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert "not right" in wrong.content.decode()
    answer = client.post(reverse("mfa_authenticate"), {"code": code_of(secret, 1)})
    assert answer["Location"] == reverse("home")
    actions = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
    assert actions[-3:] == ["sign_in.totp_added", "sign_in.code_failed", "sign_in.succeeded"]


def test_code_works_once(cast: Cast, signed_in: SignedIn) -> None:
    secret, codes = set_up(signed_in(cast.admin))
    for code in (code_of(secret, 1), codes[0]):
        first, second = start(), start()
        assert first.post(reverse("mfa_authenticate"), {"code": code}).status_code == 302
        assert second.post(reverse("mfa_authenticate"), {"code": code}).status_code == 200


def test_password_that_was_changed_meanwhile_ends_what_was_begun(cast: Cast, signed_in: SignedIn) -> None:
    secret, _codes = set_up(signed_in(cast.admin))
    client = start()
    set_password(user=cast.admin, password="another-good-passw0rd")
    answer = client.post(reverse("mfa_authenticate"), {"code": code_of(secret, 1)}, follow=True)
    assert "changed meanwhile" in answer.content.decode()
    assert client.get(reverse("home")).status_code == 302


def test_secret_waits_sealed(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    confirm(client)
    secret = client.get(reverse("mfa_activate_totp")).context["form"].secret
    assert secret not in str(dict(client.session))
    again = client.post(reverse("mfa_activate_totp"), {"code": "000000"}).context["form"].secret
    assert again == secret


def test_code_works_without_redis(cast: Cast, signed_in: SignedIn) -> None:
    """Nothing listens on the tests' Redis socket: what is used once is kept in the database."""
    assert not settings.DATA_DIR.redis_socket.exists()
    secret, _codes = set_up(signed_in(cast.admin))
    assert start().post(reverse("mfa_authenticate"), {"code": code_of(secret, 1)}).status_code == 302


@pytest.mark.parametrize("code", ["", "1", "abcdef", "٠٠٠٠٠٠", "0" * 99, "\x00", "-1", " "])
def test_odd_codes_are_refused(cast: Cast, signed_in: SignedIn, code: str) -> None:
    set_up(signed_in(cast.admin))
    assert start().post(reverse("mfa_authenticate"), {"code": code}).status_code == 200


@pytest.mark.parametrize(
    "credential", ["", "x", "1", "[]", "{}", "null", '{"id": 1}', '{"response": {}}', '{"response": null}']
)
def test_damaged_passkeys_are_refused(cast: Cast, signed_in: SignedIn, credential: str) -> None:
    client = signed_in(cast.admin)
    set_up(client)
    page = client.post(reverse("mfa_add_webauthn"), {"name": "x", "credential": credential})
    assert page.status_code == 200
    assert not Authenticator.objects.filter(type="webauthn").exists()
    assert client.post(reverse("mfa_reauthenticate_webauthn"), {"credential": credential}).status_code == 302
    assert start().post(reverse("mfa_authenticate"), {"credential": credential}).status_code == 200
    alone = Client()
    alone.get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"})
    answer = alone.post(reverse("mfa_login_webauthn"), {"credential": credential})
    assert answer["Location"] == reverse("account_login")


def test_passkeys_belong_to_the_public_address(cast: Cast) -> None:
    answer = Client().get(
        reverse("mfa_login_webauthn"), headers={"accept": "application/json", "host": "127.0.0.1"}
    )
    assert answer.json()["request_options"]["publicKey"]["rpId"] == "localhost"
    assert answer.json()["request_options"]["publicKey"]["userVerification"] == "required"
    here = Client().get(reverse("account_login"), headers={"host": "localhost:8000"})
    elsewhere = Client().get(reverse("account_login"), headers={"host": "127.0.0.1:8000"})
    assert (b"Use a passkey" in here.content, b"Use a passkey" in elsewhere.content) == (True, False)


def test_change_needs_a_confirmation(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    for name in ("mfa_activate_totp", "mfa_add_webauthn", "mfa_generate_recovery_codes"):
        assert client.get(reverse(name))["Location"].startswith(reverse("account_reauthenticate"))
    wrong = client.post(reverse("account_reauthenticate"), {"password": "wrong"})
    assert "not your password" in wrong.content.decode()
    assert client.get(reverse("mfa_activate_totp")).status_code == 302


def test_secrets_are_sealed(cast: Cast, signed_in: SignedIn) -> None:
    secret, codes = set_up(signed_in(cast.admin))
    stored = " ".join(str(data) for data in Authenticator.objects.values_list("data", flat=True))
    assert secret not in stored
    assert not any(code in stored for code in codes)
    totp = Authenticator.objects.get(type="totp")
    assert unseal(signing_in.SEALED_AS, totp.data["secret"]) == secret
    key = settings.DATA_DIR.keys / f"{signing_in.SEALED_AS}-1"
    assert key.stat().st_mode & 0o777 == 0o600


def test_new_key_beside_the_old(tmp_path: Any) -> None:
    first = seal("rotation", "a secret")
    (settings.DATA_DIR.keys / "rotation-2").write_text(
        (settings.DATA_DIR.keys / "rotation-1").read_text()[::-1]
    )
    second = seal("rotation", "a secret")
    assert (first[:2], second[:2]) == ("1:", "2:")
    assert unseal("rotation", first) == unseal("rotation", second) == "a secret"
    for broken in ("", "x", "3:abc", "1:abc", f"2:{first[2:]}", "../../etc/passwd:x"):
        with pytest.raises(SealBroken):
            unseal("rotation", broken)


def test_recovery_codes_are_made_anew(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    _secret, old = set_up(client)
    assert client.get(reverse("mfa_generate_recovery_codes")).status_code == 200
    client.post(reverse("mfa_generate_recovery_codes"))
    file = client.get(reverse("mfa_download_recovery_codes"))
    new = re.findall(r"^[0-9]{8}$", file.content.decode(), re.MULTILINE)
    assert len(new) == 10
    assert not set(new) & set(old)
    assert "attachment" in file["Content-Disposition"]
    assert start().post(reverse("mfa_authenticate"), {"code": old[0]}).status_code == 200
    assert start().post(reverse("mfa_authenticate"), {"code": new[0]}).status_code == 302


@pytest.mark.django_db(transaction=True)  # what is told is told on commit
def test_removing_the_app_removes_the_codes(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    set_up(client)
    assert client.post(reverse("mfa_deactivate_totp"))["Location"] == reverse("show_account")
    assert not Authenticator.objects.exists()
    mails = Job.objects.filter(kind="mail_notice").order_by("id").values_list("arguments__action", flat=True)
    assert list(mails) == ["sign_in.totp_added", "sign_in.totp_removed"]


def test_command_removes_what_was_lost(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    set_up(client)
    call_command("removesecondfactor", "admin@host.test")
    assert not Authenticator.objects.exists()
    assert AuditEntry.objects.filter(action="sign_in.second_factor_removed").count() == 1


def test_nobody_touches_a_strangers_passkey(cast: Cast, signed_in: SignedIn) -> None:
    theirs = Authenticator.objects.create(
        user=cast.stranger, type="webauthn", data={"name": "x", "credential": {}}
    )
    client = signed_in(cast.owner)
    confirm(client)
    for name in ("mfa_edit_webauthn", "mfa_remove_webauthn"):
        assert client.get(reverse(name, args=[theirs.pk])).status_code == 404
        assert client.post(reverse(name, args=[theirs.pk])).status_code == 404
    assert Authenticator.objects.filter(pk=theirs.pk).exists()


def test_owner_of_a_mailbox_has_none(cast: Cast, signed_in: SignedIn) -> None:
    owner = owner_of(cast.mailbox)
    assert owner is not None
    for name in ("mfa_activate_totp", "mfa_list_webauthn", "mfa_add_webauthn", "mfa_view_recovery_codes"):
        assert signed_in(owner).get(reverse(name)).status_code == 403


def test_guessing_codes_ends_soon(cast: Cast, signed_in: SignedIn) -> None:
    set_up(signed_in(cast.admin))
    client = start()
    statuses = [client.post(reverse("mfa_authenticate"), {"code": f"{n:06}"}).status_code for n in range(15)]
    assert statuses == [200] * 10 + [429] * 5


@pytest.mark.django_db(transaction=True)
def test_one_code_at_once_from_two_places_lets_one_in(cast: Cast, signed_in: SignedIn) -> None:
    secret, _codes = set_up(signed_in(cast.admin))
    clients = [start() for _ in range(4)]
    code, statuses = code_of(secret, 1), []

    def go(client: Client) -> None:
        statuses.append(client.post(reverse("mfa_authenticate"), {"code": code}).status_code)
        connection.close()

    threads = [threading.Thread(target=go, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 302]
