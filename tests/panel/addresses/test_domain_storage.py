"""A domain may have a limit of its own for the storage that is given on it; a limit below that takes nothing away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from panel.accounts.models import Customer, User
from panel.addresses import services
from panel.addresses.bulk import NewMailbox, create_mailboxes
from panel.addresses.limits import given_on
from panel.addresses.models import Domain, Mailbox
from panel.addresses.renaming import rename_mailbox
from panel.core.errors import Conflict, Problem
from tests.cast import PASSWORD, Cast

GB = 1024**3
SignedIn = Callable[[User], Client]


@pytest.fixture
def limited(cast: Cast) -> Domain:
    """A domain of 5 GB with a mailbox of 2 GB."""
    Mailbox.objects.update(quota_bytes=2 * GB)
    services.limit_domain_storage(domain=cast.domain, max_storage_bytes=5 * GB)
    cast.mailbox = Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)
    return cast.domain


def create(domain: Domain, quota_bytes: int | None, local_part: str = "new") -> Mailbox:
    return services.create_mailbox(
        domain=domain, local_part=local_part, password=PASSWORD, quota_bytes=quota_bytes
    )


def test_no_more_is_given_than_the_limit(cast: Cast, limited: Domain) -> None:
    with pytest.raises(Problem, match="has no room for this quota") as caught:
        create(limited, 4 * GB)
    assert caught.value.field == "quota"
    with pytest.raises(Problem, match="has a storage limit: give the mailbox a quota"):
        create(limited, None)
    create(limited, 3 * GB)
    assert given_on(limited).given_bytes == 5 * GB
    with pytest.raises(Problem, match="no room"):
        services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=2 * GB + 1)
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=1 * GB)
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=2 * GB)


def test_several_at_once_count_together(limited: Domain) -> None:
    def several(number: int) -> list[NewMailbox]:
        return [NewMailbox(f"box{each}", PASSWORD, quota_bytes=GB) for each in range(number)]

    with pytest.raises(Problem, match="no room"):
        create_mailboxes(domain=limited, mailboxes=several(4))
    assert len(create_mailboxes(domain=limited, mailboxes=several(3))) == 3


def test_what_is_restored_needs_room(cast: Cast, limited: Domain) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    assert given_on(limited).given_bytes == 0
    other = create(limited, 4 * GB)
    with pytest.raises(Problem, match="no room"):
        services.restore_mailbox(mailbox=cast.mailbox)
    services.edit_mailbox(mailbox=other, quota_bytes=3 * GB)
    services.restore_mailbox(mailbox=cast.mailbox)


def test_what_moves_in_by_another_address_needs_room(cast: Cast, limited: Domain) -> None:
    other = services.create_domain(name="other.test", customer=cast.customer)
    mailbox = create(other, 4 * GB)
    with pytest.raises(Problem, match="no room") as caught:
        rename_mailbox(mailbox=mailbox, local_part="new", domain=limited)
    assert caught.value.field == "domain"
    services.edit_mailbox(mailbox=mailbox, quota_bytes=3 * GB)
    rename_mailbox(mailbox=mailbox, local_part="new", domain=limited)
    # On its own domain it takes nothing more.
    rename_mailbox(mailbox=mailbox, local_part="newer")


def test_both_limits_count(cast: Cast, limited: Domain) -> None:
    Customer.objects.update(max_storage_bytes=3 * GB)
    with pytest.raises(Problem, match="Martin SA has no room"):
        create(limited, 2 * GB)
    create(limited, GB)


def test_a_limit_below_what_was_given_takes_nothing_away(cast: Cast, limited: Domain) -> None:
    services.limit_domain_storage(domain=limited, max_storage_bytes=GB)
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.quota_bytes == 2 * GB
    with pytest.raises(Problem, match="no room"):
        create(limited, 1)
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=GB + 1)
    with pytest.raises(Problem):
        services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=GB + 2)
    services.limit_domain_storage(domain=limited, max_storage_bytes=None)
    create(limited, None)


@pytest.mark.parametrize("size", [0, -1, 1024**5 + 1])
def test_what_is_no_size_is_refused(cast: Cast, size: int) -> None:
    with pytest.raises(Problem, match="at most 1024 TB"):
        services.limit_domain_storage(domain=cast.domain, max_storage_bytes=size)


def test_who_changed_it_first_wins(cast: Cast) -> None:
    services.limit_domain_storage(domain=cast.domain, max_storage_bytes=GB, version=cast.domain.version)
    with pytest.raises(Conflict):
        services.limit_domain_storage(domain=cast.domain, max_storage_bytes=2 * GB, version=1)


def test_the_host_and_owners_say_it(cast: Cast, limited: Domain, signed_in: SignedIn) -> None:
    url = reverse("limit_domain_storage", args=[limited.name])
    for person, code in ((cast.admin, 200), (cast.owner, 200), (cast.manager, 403), (cast.stranger, 404)):
        assert signed_in(person).get(url).status_code == code
    page = signed_in(cast.owner).get(url).content.decode()
    assert "Its mailboxes were given 2\N{NO-BREAK SPACE}GB in all" in page
    form = {"max_storage_bytes": "1 GB", "version": Domain.objects.get(pk=limited.pk).version}
    answer = signed_in(cast.owner).post(url, form, follow=True).content.decode()
    assert "were given 2\N{NO-BREAK SPACE}GB and keep it" in answer
    assert "No room for more." in answer
    assert (
        "Change the limit"
        not in signed_in(cast.manager).get(reverse("show_domain", args=[limited.name])).content.decode()
    )
    assert signed_in(cast.owner).post(url, {**form, "max_storage_bytes": "much"}).status_code == 422


def test_a_customers_limit_below_what_was_given_is_said(
    cast: Cast, limited: Domain, signed_in: SignedIn
) -> None:
    form = {"name": "Martin SA", "max_storage_bytes": "1 GB", "version": cast.customer.version}
    url = reverse("edit_customer", args=[cast.customer.pk])
    page = signed_in(cast.admin).post(url, form, follow=True).content.decode()
    assert "keep it: nothing more can be given" in page


def test_a_quota_below_what_is_held_is_said(
    cast: Cast, limited: Domain, signed_in: SignedIn, capsys: pytest.CaptureFixture[str]
) -> None:
    Mailbox.objects.update(used_bytes=2 * GB)
    url = reverse("edit_mailbox", args=[cast.mailbox.pk])
    client = signed_in(cast.owner)
    assert "It holds 2\N{NO-BREAK SPACE}GB now." in client.get(url).content.decode()
    version = Mailbox.objects.get().version
    form = {"quota_preset": "other", "quota_other": "1.5 GB", "imap": "on", "pop3": "on", "version": version}
    page = client.post(url, form, follow=True).content.decode()
    assert "nothing is lost, and new messages are refused" in page
    call_command("setmailbox", cast.mailbox.address, "--quota", "1G")
    assert "nothing is lost" in capsys.readouterr().err
    call_command("setmailbox", cast.mailbox.address, "--quota", "3G")
    assert capsys.readouterr().err == ""
