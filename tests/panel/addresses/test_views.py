"""Pages of domains and mailboxes: who may, who may not, and what a form says to bad input."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from panel.accounts.models import Customer, User
from panel.addresses import selectors, services
from panel.addresses.models import Domain, Mailbox
from tests.cast import PASSWORD, Cast

SignedIn = Callable[[User], Client]

STRONG = "violet tractor under 9 moons"

MAILBOX_PAGES = ["show_mailbox", "edit_mailbox", "set_mailbox_password", "suspend_mailbox", "delete_mailbox"]
DOMAIN_PAGES = ["edit_domain", "suspend_domain", "delete_domain"]
MAILBOX_BUTTONS = ["resume_mailbox", "restore_mailbox"]
DOMAIN_BUTTONS = ["resume_domain", "restore_domain"]
LISTS = ["home", "list_domains", "list_mailboxes", "create_mailbox"]


def new_mailbox(cast: Cast, **changes: str) -> dict[str, str]:
    """Return a filled-in form."""
    form = {
        "local_part": "bob",
        "domain": str(cast.domain.pk),
        "display_name": "Bob",
        "quota_preset": str(2 * 1024**3),
        "quota_other": "",
        "password": STRONG,
    }
    return form | changes


@pytest.mark.parametrize("name", LISTS)
def test_lists_open_for_admin_and_customer(cast: Cast, signed_in: SignedIn, name: str) -> None:
    assert signed_in(cast.admin).get(reverse(name)).status_code == 200
    assert signed_in(cast.owner).get(reverse(name)).status_code == 200
    assert Client().get(reverse(name))["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("name", MAILBOX_PAGES)
def test_mailbox_pages_open_for_those_who_own_them(cast: Cast, signed_in: SignedIn, name: str) -> None:
    url = reverse(name, args=[cast.mailbox.pk])
    assert signed_in(cast.admin).get(url).status_code == 200
    assert signed_in(cast.owner).get(url).status_code == 200
    assert signed_in(cast.stranger).get(url).status_code == 404
    assert Client().get(url).status_code == 302


@pytest.mark.parametrize("name", [*MAILBOX_PAGES[1:], *MAILBOX_BUTTONS])
def test_stranger_changes_nothing(cast: Cast, signed_in: SignedIn, name: str) -> None:
    services.suspend_mailbox(mailbox=cast.mailbox)
    form = {"confirm": cast.mailbox.address, "password": STRONG, "reason": "x", "imap": "on"}
    answer = signed_in(cast.stranger).post(reverse(name, args=[cast.mailbox.pk]), form)
    assert answer.status_code == 404
    version = cast.mailbox.version
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.version == version


@pytest.mark.parametrize("name", MAILBOX_BUTTONS)
def test_buttons_take_post_only(cast: Cast, signed_in: SignedIn, name: str) -> None:
    assert signed_in(cast.admin).get(reverse(name, args=[cast.mailbox.pk])).status_code == 405


@pytest.mark.parametrize("name", DOMAIN_PAGES)
def test_domains_are_changed_by_admins(cast: Cast, signed_in: SignedIn, name: str) -> None:
    url = reverse(name, args=[cast.domain.name])
    assert signed_in(cast.admin).get(url).status_code == 200
    assert signed_in(cast.owner).get(url).status_code == 403
    assert signed_in(cast.owner).post(url, {"confirm": cast.domain.name}).status_code == 403
    cast.domain.refresh_from_db()
    assert cast.domain.state == Domain.State.ACTIVE


@pytest.mark.parametrize("name", DOMAIN_BUTTONS)
def test_domain_buttons_are_admins_and_post(cast: Cast, signed_in: SignedIn, name: str) -> None:
    url = reverse(name, args=[cast.domain.name])
    assert signed_in(cast.admin).get(url).status_code == 405
    assert signed_in(cast.owner).post(url).status_code == 403


def test_domain_is_seen_by_its_own_people(cast: Cast, signed_in: SignedIn) -> None:
    url = reverse("show_domain", args=[cast.domain.name])
    assert signed_in(cast.owner).get(url).status_code == 200
    assert signed_in(cast.stranger).get(url).status_code == 404
    assert signed_in(cast.admin).get(reverse("show_domain", args=["nowhere.test"])).status_code == 404


@pytest.mark.parametrize("pk", [0, 999999, 10**19, 10**30])
def test_mailbox_that_is_not_there_is_404(cast: Cast, signed_in: SignedIn, pk: int) -> None:
    assert signed_in(cast.admin).get(f"/mailboxes/{pk}/").status_code == 404


@pytest.mark.parametrize(
    "path", ["/mailboxes/x/", "/domains/../", "/domains/%00/", "/domains/a%0ab/", "/nowhere"]
)
def test_odd_addresses_are_404(cast: Cast, signed_in: SignedIn, path: str) -> None:
    assert signed_in(cast.admin).get(path).status_code == 404


def test_create_a_domain(cast: Cast, signed_in: SignedIn) -> None:
    form = {
        "name": "Café.test",
        "customer": str(cast.customer.pk),
        "default_quota_0": "",
        "default_quota_1": "",
    }
    answer = signed_in(cast.admin).post(reverse("create_domain"), form)
    assert answer["Location"] == reverse("show_domain", args=["xn--caf-dma.test"])
    page = signed_in(cast.admin).get(answer["Location"]).content.decode()
    assert "café.test" in page
    assert "xn--caf-dma.test" in page


@pytest.mark.parametrize(
    "name", ["", "localhost", "a b.test", "../x", "x\x00.test", "😀" * 300, "192.0.2.1", "%.test"]
)
def test_bad_domain_is_said_at_its_field(cast: Cast, signed_in: SignedIn, name: str) -> None:
    form = {"name": name, "customer": str(cast.customer.pk)}
    answer = signed_in(cast.admin).post(reverse("create_domain"), form)
    assert answer.status_code == 422
    assert answer.context["form"].errors["name"]
    assert Domain.objects.count() == 1


def test_create_a_mailbox(cast: Cast, signed_in: SignedIn) -> None:
    answer = signed_in(cast.owner).post(reverse("create_mailbox"), new_mailbox(cast))
    mailbox = Mailbox.objects.get(local_part="bob")
    assert answer["Location"] == reverse("show_mailbox", args=[mailbox.pk])
    assert mailbox.quota_bytes == 2 * 1024**3
    assert mailbox.state == Mailbox.State.ACTIVE


def test_second_submit_says_that_it_exists(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    assert client.post(reverse("create_mailbox"), new_mailbox(cast)).status_code == 302
    answer = client.post(reverse("create_mailbox"), new_mailbox(cast))
    assert answer.status_code == 422
    assert "exists already" in str(answer.context["form"].errors["local_part"])


@pytest.mark.parametrize(
    ("field", "value", "error_at"),
    [
        ("local_part", "", "local_part"),
        ("local_part", "émile", "local_part"),
        ("local_part", "a+b", "local_part"),
        ("local_part", "a\x00b", "local_part"),
        ("local_part", "x" * 10_000, "local_part"),
        ("local_part", "<script>", "local_part"),
        ("display_name", "x" * 101, "display_name"),
        ("display_name", "a\x00b", "display_name"),
        ("password", "", "password"),
        ("password", "password", "password"),
        ("password", "bobbobbob", "password"),
        ("password", "pässwörd-lang-genug", "password"),
        ("password", "x" * 5000, "password"),
        ("domain", "999999", "domain"),
        ("domain", "x'; DROP TABLE", "domain"),
        ("quota_preset", "17", "quota"),
        ("quota_preset", "", "quota"),
    ],
)
def test_bad_value_is_said_at_its_field(
    cast: Cast, signed_in: SignedIn, field: str, value: str, error_at: str
) -> None:
    answer = signed_in(cast.admin).post(reverse("create_mailbox"), new_mailbox(cast, **{field: value}))
    assert answer.status_code == 422
    assert error_at in answer.context["form"].errors
    assert Mailbox.objects.count() == 1
    assert b"<script>" not in answer.content.replace(b"<script src=", b"")


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("1.5 GB", 3 * 1024**3 // 2), ("500M", 500 * 1024**2), ("0", None), ("x", None), ("9999T", None)],
)
def test_quota_of_another_size(cast: Cast, signed_in: SignedIn, typed: str, stored: int | None) -> None:
    form = new_mailbox(cast, quota_preset="other", quota_other=typed)
    answer = signed_in(cast.admin).post(reverse("create_mailbox"), form)
    if stored is None:
        assert answer.status_code == 422
        assert "quota" in answer.context["form"].errors
    else:
        assert Mailbox.objects.get(local_part="bob").quota_bytes == stored


def test_password_is_never_shown_again(cast: Cast, signed_in: SignedIn) -> None:
    answer = signed_in(cast.admin).post(reverse("create_mailbox"), new_mailbox(cast, local_part="a+b"))
    assert STRONG not in answer.content.decode()


def test_nobody_creates_in_anothers_domain(cast: Cast, signed_in: SignedIn) -> None:
    answer = signed_in(cast.stranger).post(reverse("create_mailbox"), new_mailbox(cast))
    assert answer.status_code == 422
    assert "domain" in answer.context["form"].errors
    assert Mailbox.objects.count() == 1


def test_stale_form_is_refused_and_says_so(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    url = reverse("edit_mailbox", args=[cast.mailbox.pk])
    version = str(cast.mailbox.version)
    form = {"version": version, "quota_preset": "none", "quota_other": "", "imap": "on", "pop3": "on"}
    assert client.post(url, form | {"display_name": "First"}).status_code == 302
    answer = client.post(url, form | {"display_name": "Second"})
    assert answer.status_code == 422
    assert "Somebody else changed this" in answer.content.decode()
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.display_name == "First"


def test_delete_wants_the_address(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    url = reverse("delete_mailbox", args=[cast.mailbox.pk])
    assert client.post(url, {"confirm": "anna"}).status_code == 422
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.deleted_at is None
    assert client.post(url, {"confirm": f" {cast.mailbox.address.upper()} "}).status_code == 302
    assert Mailbox.objects.filter(pk=cast.mailbox.pk, deleted_at__isnull=False).exists()
    client.post(reverse("restore_mailbox", args=[cast.mailbox.pk]))
    assert Mailbox.objects.filter(pk=cast.mailbox.pk, deleted_at=None).exists()


def test_domain_is_deleted_by_name_and_restored(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    assert (
        client.post(reverse("delete_domain", args=[cast.domain.name]), {"confirm": "x.test"}).status_code
        == 422
    )
    answer = client.post(reverse("delete_domain", args=[cast.domain.name]), {"confirm": cast.domain.name})
    assert answer.status_code == 302
    assert client.get(reverse("show_domain", args=[cast.domain.name])).status_code == 200
    client.post(reverse("restore_domain", args=[cast.domain.name]))
    cast.domain.refresh_from_db()
    assert cast.domain.state == Domain.State.ACTIVE


@pytest.mark.parametrize("q", ["anna", "ANNA@", "Martin", "", "a" * 5000, "%", "_", "'", "\x00", "é@", "@"])
def test_search_takes_anything(cast: Cast, signed_in: SignedIn, q: str) -> None:
    answer = signed_in(cast.owner).get(
        reverse("list_mailboxes"), {"q": q, "sort": "'; --", "page": "x", "state": "?"}
    )
    assert answer.status_code == 200
    found = cast.mailbox in answer.context["page_obj"].object_list
    assert found == (q in ("anna", "ANNA@", "Martin", "", "\x00", "@"))


def test_search_finds_a_domain_in_its_own_letters(cast: Cast) -> None:
    domain = services.create_domain(name="café.test", customer=cast.customer)
    box = services.create_mailbox(domain=domain, local_part="zoe", password=PASSWORD)
    assert list(selectors.search_mailboxes(selectors.mailboxes_for(cast.admin), "zoe@café.test")) == [box]
    assert list(selectors.search_domains(selectors.domains_for(cast.admin), "Café.test")) == [domain]


def test_list_shows_a_stranger_nothing(cast: Cast, signed_in: SignedIn) -> None:
    answer = signed_in(cast.stranger).get(reverse("list_mailboxes"))
    assert cast.mailbox.address not in answer.content.decode()


def test_list_takes_few_queries(cast: Cast, signed_in: SignedIn, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        Mailbox.objects.create(
            domain=cast.domain,
            local_part=f"m{number}",
            address=f"m{number}@{cast.domain.name}",
            home=f"x/{number}",
        )
    client = signed_in(cast.admin)
    client.get(reverse("list_mailboxes"))  # the first request of a session notes it
    with django_assert_max_num_queries(10):
        answer = client.get(reverse("list_mailboxes"))
    assert len(answer.context["page_obj"].object_list) == 50


def test_strength_is_said_while_typing(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.owner)
    url = reverse("password_strength")
    assert "weak" in client.post(url, {"password": "password"}).content.decode().lower()
    assert "strong" in client.post(url, {"password": STRONG}).content.decode().lower()
    assert client.post(url, {"password": "\x00" * 9999}).status_code == 200


def test_foreign_host_is_refused(cast: Cast) -> None:
    answer = Client().get(reverse("account_login"), headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert b"evil.example" not in answer.content


def test_database_that_is_gone_is_503(
    cast: Cast, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_person: User) -> None:
        raise OperationalError("database is locked")

    client = signed_in(cast.admin)
    monkeypatch.setattr(selectors, "mailboxes_for", locked)
    answer = client.get(reverse("list_mailboxes"))
    assert answer.status_code == 503
    assert "database" in answer.content.decode()


def test_every_page_has_the_strict_policy(cast: Cast, signed_in: SignedIn) -> None:
    answer = signed_in(cast.admin).get(reverse("home"))
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    page = answer.content.decode()
    assert " style=" not in page
    assert "onclick" not in page


def test_head_is_answered_like_get(cast: Cast, signed_in: SignedIn) -> None:
    assert signed_in(cast.admin).head(reverse("list_mailboxes")).status_code == 200


@pytest.mark.parametrize("quota", [1500 * 1024**2, 1_234_567_890, 999])
def test_a_form_that_is_saved_as_it_is_shown_changes_no_size(
    cast: Cast, signed_in: SignedIn, quota: int
) -> None:
    Mailbox.objects.update(quota_bytes=quota)
    Domain.objects.update(max_storage_bytes=quota)
    Customer.objects.filter(pk=cast.customer.pk).update(max_storage_bytes=quota)
    client = signed_in(cast.admin)
    for name, of, other, more in (
        ("edit_mailbox", cast.mailbox.pk, "quota_other", {"quota_preset": "other", "imap": "on"}),
        ("limit_domain_storage", cast.domain.name, "max_storage_bytes", {}),
        ("edit_customer", cast.customer.pk, "max_storage_bytes", {"name": cast.customer.name}),
    ):
        url = reverse(name, args=[of])
        shown = re.search(rf'name="{other}" value="([^"]*)"', client.get(url).content.decode())
        assert shown is not None
        assert client.post(url, {other: shown[1], **more}).status_code == 302
    assert Mailbox.objects.get().quota_bytes == quota
    assert Domain.objects.get().max_storage_bytes == quota
    assert Customer.objects.get(pk=cast.customer.pk).max_storage_bytes == quota
