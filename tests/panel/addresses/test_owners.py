"""Owners of mailboxes in the panel: who gets in, what they see and may do, and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbackend import passwords
from mailbackend.passwords import verify_password
from panel.accounts.models import Customer, User
from panel.accounts.services import create_person
from panel.addresses import customers, owners, purging, services
from panel.addresses.models import Mailbox
from panel.core.models import AuditEntry
from tests.cast import PASSWORD, Cast, make_cast

SignedIn = Callable[[User], Client]
pytestmark = pytest.mark.django_db

STRONG = "violet tractor under 9 moons"
WRONG = "do not fit together"


def sign_in(client: Client, name: str, password: str = PASSWORD) -> Any:
    """Try to sign in, and return the answer."""
    return client.post(reverse("account_login"), {"username": name, "password": password})


def is_in(client: Client) -> bool:
    """Whether somebody is signed in."""
    return client.get(reverse("show_account")).status_code == 200


@pytest.fixture
def inside(cast: Cast) -> Client:
    """The browser of the mailbox's owner, signed in as they do it."""
    client = Client()
    assert sign_in(client, cast.mailbox.address)["Location"] == reverse("home")
    return client


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets a line for every hash that is computed, of people's and of mailboxes' passwords."""
    computed: list[str] = []

    def count(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            computed.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(Argon2PasswordHasher, "encode")
    # A person's password is verified by argon2's own hasher too.
    for name in ("hash", "verify"):
        count(type(passwords._hasher), name)
    computed.clear()
    return computed


def change(client: Client, old: str = PASSWORD, new: str = STRONG, **values: str) -> Any:
    """Send the form of one's own password."""
    form = {"old_password": old, "password": new, "password_again": new} | values
    return client.post(reverse("change_own_mailbox_password"), form)


def test_first_sign_in_makes_one_user_and_leads_to_the_mailbox(cast: Cast) -> None:
    for _time in range(2):
        client = Client()
        sign_in(client, f" {cast.mailbox.address.upper()}")
        assert client.get(reverse("home"))["Location"] == reverse("show_mailbox", args=[cast.mailbox.pk])
    owner = User.objects.get(kind=User.Kind.MAILBOX)
    assert (owner.email, owner.name, owner.has_usable_password()) == (None, cast.mailbox.address, False)
    assert owner == Mailbox.objects.get(pk=cast.mailbox.pk).user
    entry = AuditEntry.objects.filter(action="sign_in.succeeded").latest("pk")
    assert (entry.actor, entry.target) == (cast.mailbox.address, cast.mailbox.address)
    assert entry.customer_id == cast.customer.pk


def test_wrong_and_unknown_cost_one_hash_and_look_alike(cast: Cast, hashes: list[str]) -> None:
    pages, costs = [], []
    for name in (cast.mailbox.address, f"nobody@{cast.domain.name}", "admin@host.test", "no address"):
        hashes.clear()
        page = sign_in(Client(), name, "wrong-password").content.decode()
        assert WRONG in page
        pages.append(page.partition("<form")[0])
        costs.append(len(hashes))
    assert costs == [1, 1, 1, 1]
    assert len(set(pages)) == 1
    failed = AuditEntry.objects.filter(action="sign_in.failed", customer_id=cast.customer.pk)
    assert failed.get().target == cast.mailbox.address


def test_guessing_ends_before_the_hash(cast: Cast, hashes: list[str]) -> None:
    names = [cast.mailbox.address, cast.mailbox.address.upper()]
    answers = [sign_in(Client(), names[n % 2], f"guess-{n}").status_code for n in range(14)]
    assert answers == [200] * 10 + [429] * 4
    assert len(hashes) == 10


SHUT_OUT: dict[str, tuple[Callable[[Cast], Any], str]] = {
    "suspended": (lambda cast: services.suspend_mailbox(mailbox=cast.mailbox, reason="Unpaid"), "suspended"),
    "deleted": (lambda cast: services.delete_mailbox(mailbox=cast.mailbox), "deleted"),
    "domain suspended": (lambda cast: services.suspend_domain(domain=cast.domain), "suspended"),
    "domain deleted": (lambda cast: services.delete_domain(domain=cast.domain), "deleted"),
    "customer suspended": (lambda cast: customers.suspend_customer(customer=cast.customer), "suspended"),
    "being created": (
        lambda cast: Mailbox.objects.filter(pk=cast.mailbox.pk).update(provisioned_at=None),
        "being created",
    ),
}


@pytest.mark.parametrize("what", SHUT_OUT)
def test_shut_out_is_told_why_after_the_right_password_alone(cast: Cast, what: str) -> None:
    act, words = SHUT_OUT[what]
    act(cast)
    assert words not in sign_in(Client(), cast.mailbox.address, "wrong-password").content.decode()
    client = Client()
    assert sign_in(client, cast.mailbox.address)["Location"] == reverse("account_login")
    page = client.get(reverse("account_login")).content.decode()
    assert words in page
    assert "Unpaid" not in page
    assert not is_in(client)


@pytest.mark.parametrize("what", [*SHUT_OUT, "password set"])
def test_session_ends_at_once(cast: Cast, inside: Client, what: str) -> None:
    assert is_in(inside)
    if what == "password set":
        services.set_mailbox_password(mailbox=cast.mailbox, password=STRONG)
    else:
        SHUT_OUT[what][0](cast)
    assert not is_in(inside)
    answer = inside.get(reverse("show_mailbox", args=[cast.mailbox.pk]))
    assert answer["Location"].startswith(reverse("account_login"))


def test_resuming_brings_no_session_back(cast: Cast, inside: Client) -> None:
    customers.suspend_customer(customer=cast.customer)
    Customer.objects.update(suspended_at=None)
    assert not is_in(inside)
    assert sign_in(inside, cast.mailbox.address).status_code == 302
    assert is_in(inside)


def test_purge_leaves_no_user(cast: Cast, inside: Client) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    purging.purge(now=timezone.now() + timedelta(days=15))
    assert not Mailbox.objects.filter(pk=cast.mailbox.pk).exists()
    assert not User.objects.filter(kind=User.Kind.MAILBOX).exists()
    assert not is_in(inside)


def test_next_owner_of_an_address_is_another(cast: Cast, inside: Client) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    new = services.create_mailbox(domain=cast.domain, local_part="anna", password=STRONG)
    assert WRONG in sign_in(Client(), new.address).content.decode()
    client = Client()
    assert sign_in(client, new.address, STRONG).status_code == 302
    assert client.get(reverse("home"))["Location"] == reverse("show_mailbox", args=[new.pk])
    assert client.get(reverse("show_mailbox", args=[cast.mailbox.pk])).status_code == 404
    assert not is_in(inside)


@pytest.mark.django_db(transaction=True)
def test_two_first_sign_ins_at_once_make_one_user() -> None:
    cast = make_cast()
    both = threading.Barrier(2)
    made: list[int] = []

    def come_in() -> None:
        try:
            read = owners.mailbox_named(cast.mailbox.address)
            assert read is not None
            both.wait()
            owner = owners.owner_of(read)
            assert owner is not None
            made.append(owner.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=come_in) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0] == made[1]
    assert User.objects.filter(kind=User.Kind.MAILBOX).count() == 1


def test_password_that_changed_meanwhile_makes_no_user(cast: Cast) -> None:
    read = owners.mailbox_named(cast.mailbox.address)
    assert read is not None
    services.set_mailbox_password(mailbox=cast.mailbox, password=STRONG)
    assert owners.owner_of(read) is None
    assert not User.objects.filter(kind=User.Kind.MAILBOX).exists()


def test_owner_sees_their_own_mailbox_and_nothing_else(cast: Cast, inside: Client) -> None:
    page = inside.get(reverse("show_mailbox", args=[cast.mailbox.pk])).content.decode()
    assert cast.mailbox.address in page
    set_up = inside.get(reverse("set_up_mailbox", args=[cast.mailbox.pk])).content.decode()
    assert "Which device do you set up?" in set_up
    hidden = ["list_mailboxes", "list_domains", "list_audit", "list_customers", "list_jobs", "show_service"]
    for url in (
        *(reverse(name) for name in hidden),
        reverse("edit_mailbox", args=[cast.mailbox.pk]),
        reverse("delete_mailbox", args=[cast.mailbox.pk]),
        reverse("show_domain", args=[cast.domain.name]),
        "Martin SA",
    ):
        assert f'href="{url}"' not in page
    assert "Martin SA" not in page


def test_every_other_page_is_closed(cast: Cast, inside: Client) -> None:
    other = services.create_mailbox(domain=cast.domain, local_part="bob", password=STRONG)
    mine, its = [cast.mailbox.pk], [other.pk]
    assert inside.get(reverse("show_mailbox", args=its)).status_code == 404
    pages: list[tuple[str, list[Any]]] = [
        *((name, []) for name in ("list_mailboxes", "create_mailbox", "list_domains", "create_domain")),
        *(
            (name, [])
            for name in ("list_customers", "list_audit", "export_audit", "list_jobs", "show_service")
        ),
        *((name, []) for name in ("change_password", "mfa_activate_totp", "mfa_list_webauthn")),
        *((name, pk) for name in ("edit_mailbox", "set_mailbox_password") for pk in (mine, its)),
        *((name, pk) for name in ("suspend_mailbox", "delete_mailbox") for pk in (mine, its)),
        ("show_domain", [cast.domain.name]),
        ("show_customer", [cast.customer.pk]),
        ("list_members", [cast.customer.pk]),
    ]
    for name, arguments in pages:
        assert inside.get(reverse(name, args=arguments)).status_code == 403, name
    form = {
        "confirm": cast.mailbox.address,
        "password": STRONG,
        "reason": "x",
        "imap": "on",
        "quota_0": "none",
    }
    for name in (
        "edit_mailbox",
        "set_mailbox_password",
        "suspend_mailbox",
        "delete_mailbox",
        "make_password_link",
    ):
        assert inside.post(reverse(name, args=mine), form).status_code == 403, name
    version = cast.mailbox.version
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.version == version


def test_own_password(cast: Cast, inside: Client) -> None:
    elsewhere = Client()
    sign_in(elsewhere, cast.mailbox.address)
    assert inside.get(reverse("change_own_mailbox_password")).status_code == 200
    assert change(inside)["Location"] == reverse("show_mailbox", args=[cast.mailbox.pk])
    cast.mailbox.refresh_from_db()
    assert verify_password(STRONG, cast.mailbox.password)
    assert is_in(inside)
    assert not is_in(elsewhere)
    assert WRONG in sign_in(Client(), cast.mailbox.address).content.decode()
    assert sign_in(Client(), cast.mailbox.address, STRONG).status_code == 302
    entry = AuditEntry.objects.get(action="mailbox.own_password_set")
    assert (entry.actor, entry.customer_id) == (cast.mailbox.address, cast.customer.pk)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"old": "wrong-password"}, "old_password"),
        ({"old": ""}, "old_password"),
        ({"new": "short"}, "password"),
        ({"new": "password"}, "password"),
        ({"new": PASSWORD}, "password"),
        ({"new": "pässword-with-an-accent"}, "password"),
        ({"password_again": "another one entirely"}, "password_again"),
    ],
)
def test_own_password_refused(cast: Cast, inside: Client, values: dict[str, str], field: str) -> None:
    answer = change(inside, **values)
    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    cast.mailbox.refresh_from_db()
    assert verify_password(PASSWORD, cast.mailbox.password)


def test_guessing_the_old_password_ends(cast: Cast, inside: Client, hashes: list[str]) -> None:
    statuses = [change(inside, old=f"guess-{n}").status_code for n in range(12)]
    assert statuses == [422] * 10 + [429] * 2
    assert len(hashes) == 10


def test_own_password_page_is_for_owners(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("change_own_mailbox_password")
    for person in (cast.admin, cast.owner, cast.manager, cast.reader, cast.stranger):
        assert signed_in(person).get(url).status_code == 404
    assert Client().get(url)["Location"].startswith(reverse("account_login"))


def test_language_is_theirs(cast: Cast, inside: Client) -> None:
    assert inside.post(reverse("show_account"), {"language": "fr"}).status_code == 302
    assert '<html lang="fr"' in inside.get(reverse("show_account")).content.decode()


@pytest.fixture
def both(cast: Cast) -> User:
    """A person whose e-mail is the mailbox's address too."""
    return create_person(email=cast.mailbox.address, password="the-persons-own")


def test_password_says_which_of_the_two(cast: Cast, both: User) -> None:
    person, mailbox = Client(), Client()
    assert sign_in(person, cast.mailbox.address, "the-persons-own").status_code == 302
    assert sign_in(mailbox, cast.mailbox.address).status_code == 302
    assert person.get(reverse("home")).status_code == 200
    assert mailbox.get(reverse("home"))["Location"] == reverse("show_mailbox", args=[cast.mailbox.pk])


def test_same_password_for_both_is_the_persons_and_the_owner_keeps_theirs(cast: Cast, inside: Client) -> None:
    person = create_person(email=cast.mailbox.address, password=PASSWORD)
    client = Client()
    sign_in(client, cast.mailbox.address)
    assert int(client.session["_auth_user_id"]) == person.pk
    assert change(inside).status_code == 302


def test_switch_is_shown_and_fills_in_the_name(cast: Cast, both: User, inside: Client) -> None:
    person = Client()
    sign_in(person, cast.mailbox.address, "the-persons-own")
    for client, words, url in (
        (person, "Switch to your mailbox", reverse("show_account")),
        (inside, "Switch to your panel account", reverse("show_account")),
    ):
        assert words in client.get(url).content.decode()
        there = f"{reverse('account_login')}?name={cast.mailbox.address.replace('@', '%40')}"
        assert there in client.get(url).content.decode()
        assert client.post(reverse("account_logout"), {"next": there})["Location"] == there
        page = client.get(there).content.decode()
        assert f'value="{cast.mailbox.address}"' in page
        assert not is_in(client)


def test_no_switch_without_the_other(cast: Cast, inside: Client, signed_in: SignedIn) -> None:
    for client in (inside, signed_in(cast.owner), signed_in(cast.admin)):
        assert "Switch to" not in client.get(reverse("show_account")).content.decode()


def test_no_mailed_reset_for_owners(cast: Cast, inside: Client) -> None:
    page = Client().get(reverse("account_reset_password")).content.decode()
    assert "ask whoever gave you the mailbox" in page
