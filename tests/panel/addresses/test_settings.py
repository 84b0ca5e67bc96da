"""Settings of platform, customer and domain: who may say them, who inherits what, and that Dovecot sees the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from panel.accounts.models import Customer, User
from panel.addresses import services
from panel.addresses.inherited import Level, PopPolicy, read_pop_policy, what_counts
from panel.addresses.inheriting import set_inherited
from panel.addresses.models import Domain, Mailbox
from panel.core.errors import Conflict, Problem
from panel.core.models import AuditEntry, Installation
from tests.cast import PASSWORD, Cast

SignIn = Callable[[User], Client]
GB = 1024**3
INHERIT = {
    "default_quota_preset": "",
    "default_quota_other": "",
    "pop_deletes": "inherit",
    "days": "",
    "connection_days": "90",
}


def level_of(cast: Cast, name: str) -> Level:
    """Return a level as it is now."""
    if name == "platform":
        return Installation.objects.get()
    if name == "customer":
        return Customer.objects.get(pk=cast.customer.pk)
    return Domain.objects.select_related("customer").get(pk=cast.domain.pk)


def mailbox_of(cast: Cast) -> Mailbox:
    """Return the mailbox as it is now."""
    return Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)


def urls(cast: Cast) -> dict[str, str]:
    """Return where each level's settings are."""
    return {
        "platform": "/settings/",
        "customer": f"/customers/{cast.customer.pk}/settings/",
        "domain": f"/domains/{cast.domain.name}/settings/",
    }


def dovecot_sees(mailbox: Mailbox) -> str:
    """Return what the view says of messages that POP deletes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pop3_delete_type FROM mail_user WHERE address = %s", [mailbox.address])
        return str(cursor.fetchone()[0])


def say(cast: Cast, name: str, quota: int | None, pop: str) -> None:
    """Have a level say something."""
    set_inherited(level=level_of(cast, name), default_quota_bytes=quota, pop=read_pop_policy(pop))


def test_what_is_nearer_wins_and_says_where_it_is_from(cast: Cast) -> None:
    domain = level_of(cast, "domain")
    assert what_counts(domain).quota_bytes == 5 * GB
    assert what_counts(domain).quota_from.in_words == "built in"
    for name, quota, words in (
        ("platform", 4 * GB, "from the platform"),
        ("customer", 3 * GB, "from Martin SA"),
        ("domain", 2 * GB, "set here"),
    ):
        say(cast, name, quota, "inherit")
        counts = what_counts(level_of(cast, "domain"))
        assert (counts.quota_bytes, counts.quota_from.in_words) == (quota, words)
    say(cast, "domain", 0, "inherit")
    assert what_counts(level_of(cast, "domain")).quota_bytes is None
    say(cast, "domain", None, "inherit")
    assert what_counts(level_of(cast, "domain")).quota_bytes == 3 * GB
    # What another customer says is not theirs.
    other = services.create_domain(name="other.test", customer=cast.other_customer)
    assert what_counts(other).quota_bytes == 4 * GB


def test_what_pop_deletes_is_inherited_by_dovecot_too(cast: Cast) -> None:
    other = services.create_domain(name="other.test", customer=cast.other_customer)
    theirs = services.create_mailbox(domain=other, local_part="x", password=PASSWORD)

    def both() -> tuple[str, str]:
        return what_counts(mailbox_of(cast)).pop.as_command, dovecot_sees(cast.mailbox)

    assert both() == ("keep:30", "flag")
    say(cast, "platform", None, "delete")
    assert both() == ("delete", "expunge")
    say(cast, "customer", None, "keep")
    assert both() == ("keep", "flag")
    say(cast, "domain", None, "delete")
    assert both() == ("delete", "expunge")
    services.set_pop_policy(mailbox=mailbox_of(cast), policy="keep:7")
    assert both() == ("keep:7", "flag")
    assert what_counts(mailbox_of(cast)).pop_from.is_own
    services.set_pop_policy(mailbox=mailbox_of(cast), policy="inherit")
    assert both() == ("delete", "expunge")
    for name in ("domain", "customer", "platform"):
        say(cast, name, None, "inherit")
    assert both() == ("keep:30", "flag")
    say(cast, "customer", None, "delete")
    assert dovecot_sees(theirs) == "flag"


def test_a_new_mailbox_gets_the_quota_and_keeps_it(cast: Cast, signed_in: SignIn) -> None:
    say(cast, "customer", 3 * GB, "inherit")
    client = signed_in(cast.manager)
    for url in ("/mailboxes/new/", "/mailboxes/new/several/"):
        form = client.get(url).context["form"]
        assert form.initial["quota"] == 3 * GB
    mailbox = services.create_mailbox(
        domain=cast.domain, local_part="new", password=PASSWORD, quota_bytes=3 * GB
    )
    say(cast, "customer", 1 * GB, "inherit")
    mailbox.refresh_from_db()
    assert mailbox.quota_bytes == 3 * GB
    page = client.get(f"/mailboxes/{mailbox.pk}/settings/").content.decode()
    assert "its own" in page
    assert "from Martin SA" in page


@pytest.mark.parametrize(
    ("name", "may", "may_read", "may_not"),
    [
        ("platform", ["admin"], [], ["owner", "manager", "reader", "stranger"]),
        ("customer", ["admin", "owner"], ["manager", "reader"], []),
        ("domain", ["admin", "owner", "manager"], ["reader"], []),
    ],
)
def test_who_may_say_what(
    cast: Cast, signed_in: SignIn, name: str, may: list[str], may_read: list[str], may_not: list[str]
) -> None:
    url = urls(cast)[name]
    said = INHERIT | {"default_quota_preset": str(2 * GB)}
    for role in may:
        client = signed_in(getattr(cast, role))
        assert client.get(url).status_code == 200
        version = level_of(cast, name).version
        assert client.post(url, said | {"version": str(version)})["Location"] == url
        assert level_of(cast, name).default_quota_bytes == 2 * GB
        assert client.post(url, INHERIT).status_code == 302
        assert level_of(cast, name).default_quota_bytes is None
    for role in may_read:
        client = signed_in(getattr(cast, role))
        page = client.get(url)
        assert page.status_code == 200
        assert "<textarea" not in page.content.decode()
        assert "Change it" not in page.content.decode()
        assert client.post(url, said).status_code == 403
    for role in may_not:
        client = signed_in(getattr(cast, role))
        assert client.get(url).status_code == client.post(url, said).status_code == 403
    if name != "platform":
        assert signed_in(cast.stranger).get(url).status_code == 404
        assert signed_in(cast.stranger).post(url, said).status_code == 404
    assert Client().get(url)["Location"].startswith("/sign-in/")
    assert level_of(cast, name).default_quota_bytes is None


@pytest.mark.parametrize("name", ["platform", "customer", "domain"])
def test_forms_override_and_go_back(cast: Cast, signed_in: SignIn, name: str) -> None:
    client, url = signed_in(cast.admin), urls(cast)[name]
    client.post(url, {**INHERIT, "default_quota_preset": "none", "pop_deletes": "keep_days", "days": "9"})
    level = level_of(cast, name)
    assert (level.default_quota_bytes, level.pop_deletes, level.pop_keep_days) == (0, "keep_days", 9)
    page = client.get(url).content.decode()
    assert "Keep a copy for 9 days" in page
    assert "set here" in page
    client.post(
        url,
        {
            **INHERIT,
            "default_quota_preset": "other",
            "default_quota_other": "1.5 GB",
            "pop_deletes": "delete",
        },
    )
    level = level_of(cast, name)
    assert (level.default_quota_bytes, level.pop_deletes, level.pop_keep_days) == (
        GB * 3 // 2,
        "delete",
        None,
    )
    client.post(url, INHERIT)
    assert "set here" not in client.get(url).content.decode()
    entries = AuditEntry.objects.filter(action=f"{name}.settings_changed").order_by("pk")
    assert [entry.after["default_quota_bytes"] for entry in entries] == [0, GB * 3 // 2, None]
    assert entries[0].customer_id == (None if name == "platform" else cast.customer.pk)
    assert "No limit" in client.get(reverse("list_audit")).content.decode()


@pytest.mark.parametrize(
    "bad",
    [
        {"default_quota_preset": "other", "default_quota_other": "much"},
        {"default_quota_preset": "x"},
        {"pop_deletes": "x"},
        {"pop_deletes": "keep_days", "days": ""},
        {"pop_deletes": "keep_days", "days": "99999"},
        {"version": "999"},
    ],
)
def test_bad_forms_change_nothing(cast: Cast, signed_in: SignIn, bad: dict[str, str]) -> None:
    client = signed_in(cast.admin)
    for url in urls(cast).values():
        assert client.post(url, INHERIT | bad).status_code == 422
    assert not AuditEntry.objects.filter(action__endswith=".settings_changed").exists()


def test_services_refuse_what_is_no_quota_and_what_is_old(cast: Cast) -> None:
    level = level_of(cast, "domain")
    for quota in (-1, 1024**6):
        with pytest.raises(Problem):
            set_inherited(level=level, default_quota_bytes=quota, pop=None)
    set_inherited(level=level, default_quota_bytes=GB, pop=PopPolicy("keep"))
    with pytest.raises(Conflict):
        set_inherited(level=level, default_quota_bytes=GB, pop=None, version=1)
    services.delete_domain(domain=cast.domain)
    with pytest.raises(Conflict):
        set_inherited(level=level, default_quota_bytes=GB, pop=None)


def test_a_deleted_domain_has_no_settings(cast: Cast, signed_in: SignIn) -> None:
    services.delete_domain(domain=cast.domain)
    assert signed_in(cast.admin).get(urls(cast)["domain"]).status_code == 404


def test_a_mailbox_overrides_and_inherits_again(cast: Cast, signed_in: SignIn) -> None:
    say(cast, "customer", None, "keep:9")
    client = signed_in(cast.manager)
    url = f"/mailboxes/{cast.mailbox.pk}/pop/"
    assert "As inherited: keep a copy for 9 days (from Martin SA)." in client.get(url).content.decode()
    client.post(url, {"pop_deletes": "keep", "days": ""})
    page = client.get(f"/mailboxes/{cast.mailbox.pk}/settings/").content.decode()
    assert "set here" in page
    client.post(url, {"pop_deletes": "inherit", "days": ""})
    assert (
        "inherited from Martin SA" in client.get(f"/mailboxes/{cast.mailbox.pk}/settings/").content.decode()
    )


def test_the_form_of_a_domain_can_say_no_limit(cast: Cast, signed_in: SignIn) -> None:
    """It said "the usual one" once where "no limit" was chosen."""
    client = signed_in(cast.admin)
    url = f"/domains/{cast.domain.name}/edit/"
    answer: Any = client.post(url, {"customer": cast.customer.pk, "default_quota_preset": "none"})
    assert answer.status_code == 302
    assert level_of(cast, "domain").default_quota_bytes == 0
    assert 'value="none" selected' in client.get(url).content.decode()
    assert "No limit" in client.get(f"/domains/{cast.domain.name}/").content.decode()
