"""Writes of domains and mailboxes: what they do, what they refuse, and that nothing is left half-made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from mailbackend import maildir
from mailbackend.passwords import verify_password
from panel.accounts.models import Customer
from panel.addresses import services, sessions
from panel.addresses.inherited import what_counts
from panel.addresses.models import Domain, Mailbox
from panel.core.errors import Conflict, Problem
from panel.core.models import Job
from tests.cast import PASSWORD, Cast, make_cast

GB = 1024**3


def view_row(name: str, address: str) -> dict[str, Any] | None:
    """Return a row of one of Dovecot's views."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {name} WHERE address = %s", [address])  # noqa: S608 - a constant of these tests
        row = cursor.fetchone()
        return dict(zip([column[0] for column in cursor.description], row, strict=True)) if row else None


def test_mailbox_has_row_home_and_login(cast: Cast) -> None:
    mailbox = cast.mailbox
    assert mailbox.state == Mailbox.State.ACTIVE
    assert mailbox.home == f"{cast.domain.name}/anna-{mailbox.pk}"
    assert maildir.has_home(settings.DATA_DIR.mail, mailbox.home_path, mailbox.home_token)
    login = view_row("mail_login", mailbox.address)
    assert login is not None
    assert verify_password(PASSWORD, login.pop("password"))
    assert login == {"address": mailbox.address, "protocols": "|imap|pop3|", "active": 1, "reason": None}
    assert view_row("mail_user", mailbox.address) == {
        "address": mailbox.address,
        "home": mailbox.home,
        "quota_bytes": None,
        "pop3_delete_type": "flag",
    }


def test_home_starts_with_a_welcome_message(cast: Cast) -> None:
    inbox = settings.DATA_DIR.mail / cast.mailbox.home / "Maildir" / "new"
    (message,) = [path.read_text() for path in inbox.iterdir()]
    assert "Subject: Welcome to your mailbox" in message
    assert cast.mailbox.address in message


@pytest.mark.parametrize(
    ("local_part", "password", "quota", "field"),
    [
        ("", PASSWORD, None, "local_part"),
        ("../../etc", PASSWORD, None, "local_part"),
        ("a\x00b", PASSWORD, None, "local_part"),
        ("x" * 10_000, PASSWORD, None, "local_part"),
        ("anna+news", PASSWORD, None, "local_part"),
        ("ok", "short", None, "password"),
        ("ok", "x" * 129, None, "password"),
        ("ok", "motdepassé-long", None, "password"),
        ("ok", "with\nnewline-in-it", None, "password"),
        ("ok", " spaces-around ", None, "password"),
        ("ok", PASSWORD, 0, "quota"),
        ("ok", PASSWORD, -5, "quota"),
        ("ok", PASSWORD, 2**60, "quota"),
    ],
)
def test_bad_values_create_nothing(
    cast: Cast, local_part: str, password: str, quota: int | None, field: str
) -> None:
    before = (Mailbox.objects.count(), sorted(settings.DATA_DIR.mail.rglob("*")))
    with pytest.raises(Problem) as problem:
        services.create_mailbox(
            domain=cast.domain, local_part=local_part, password=password, quota_bytes=quota
        )
    assert problem.value.field == field
    assert (Mailbox.objects.count(), sorted(settings.DATA_DIR.mail.rglob("*"))) == before


def test_address_is_taken_whatever_its_letter_case(cast: Cast) -> None:
    with pytest.raises(Problem, match="exists already"):
        services.create_mailbox(domain=cast.domain, local_part="ANNA", password=PASSWORD)


def test_disk_that_refuses_leaves_no_row(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maildir, "provision", full)
    with pytest.raises(Problem, match=r"No space left on device\. Nothing was created"):
        services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    assert not Mailbox.objects.filter(local_part="bob").exists()


def test_nothing_is_created_without_the_mail_root(cast: Cast) -> None:
    marker = settings.DATA_DIR.mail / maildir.MARKER
    kept = marker.read_text()
    marker.unlink()
    try:
        with pytest.raises(Problem, match="is its disk mounted"):
            services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    finally:
        marker.write_text(kept)
    assert not Mailbox.objects.filter(local_part="bob").exists()


def test_a_home_is_never_used_twice(cast: Cast) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    again = services.create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD)
    assert again.home != cast.mailbox.home
    assert (settings.DATA_DIR.mail / cast.mailbox.home).is_dir()


def test_suspended_mailbox_still_receives(cast: Cast) -> None:
    services.suspend_mailbox(mailbox=cast.mailbox, reason="unpaid")
    login = view_row("mail_login", cast.mailbox.address)
    assert login is not None
    assert (login["active"], login["reason"]) == (0, "suspended")
    assert view_row("mail_user", cast.mailbox.address) is not None
    services.resume_mailbox(mailbox=cast.mailbox)
    login = view_row("mail_login", cast.mailbox.address)
    assert login is not None
    assert (login["active"], login["reason"]) == (1, None)


def test_suspended_domain_suspends_its_mailboxes(cast: Cast) -> None:
    services.suspend_domain(domain=cast.domain, reason="unpaid")
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.state == Mailbox.State.SUSPENDED
    login = view_row("mail_login", cast.mailbox.address)
    assert login is not None
    assert login["active"] == 0
    services.resume_domain(domain=cast.domain)
    assert Mailbox.objects.get(pk=cast.mailbox.pk).state == Mailbox.State.ACTIVE


def test_deleted_mailbox_is_in_no_view_and_comes_back_whole(cast: Cast) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    assert view_row("mail_login", cast.mailbox.address) is None
    assert view_row("mail_user", cast.mailbox.address) is None
    with pytest.raises(Problem, match="is deleted"):
        services.set_mailbox_password(mailbox=cast.mailbox, password=PASSWORD)
    services.restore_mailbox(mailbox=cast.mailbox)
    assert cast.mailbox.state == Mailbox.State.ACTIVE
    assert view_row("mail_login", cast.mailbox.address) is not None


def test_mailbox_is_not_restored_over_its_successor(cast: Cast) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    services.create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD)
    with pytest.raises(Problem, match="created again meanwhile"):
        services.restore_mailbox(mailbox=cast.mailbox)
    assert cast.mailbox.deleted_at is not None


def test_deleted_domain_hides_its_mailboxes_and_comes_back(cast: Cast) -> None:
    services.delete_domain(domain=cast.domain)
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.state == Mailbox.State.DELETED
    assert view_row("mail_user", cast.mailbox.address) is None
    services.restore_domain(domain=cast.domain)
    assert view_row("mail_user", cast.mailbox.address) is not None


def test_deleted_domain_can_be_given_to_somebody_else(cast: Cast) -> None:
    services.delete_domain(domain=cast.domain)
    again = services.create_domain(name=cast.domain.name, customer=cast.other_customer)
    mailbox = services.create_mailbox(domain=again, local_part="anna", password=PASSWORD)
    assert mailbox.home != cast.mailbox.home
    with pytest.raises(Problem, match="created again meanwhile"):
        services.restore_domain(domain=cast.domain)


def test_domain_is_unique_in_either_form(cast: Cast) -> None:
    services.create_domain(name="café.test", customer=cast.customer)
    with pytest.raises(Problem, match="hosted here already") as problem:
        services.create_domain(name="XN--CAF-DMA.test", customer=cast.other_customer)
    assert problem.value.field == "name"


def test_limit_of_mailboxes_holds(cast: Cast) -> None:
    Customer.objects.filter(pk=cast.customer.pk).update(max_mailboxes=1)
    with pytest.raises(Problem, match="may have 1 mailboxes"):
        services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    services.delete_mailbox(mailbox=cast.mailbox)
    services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    with pytest.raises(Problem, match="may have 1 mailboxes"):
        services.restore_mailbox(mailbox=cast.mailbox)


def test_limit_of_storage_holds(cast: Cast) -> None:
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=3 * GB)
    Customer.objects.filter(pk=cast.customer.pk).update(max_storage_bytes=5 * GB)
    with pytest.raises(Problem, match="choose a smaller one"):
        services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD, quota_bytes=3 * GB)
    with pytest.raises(Problem, match="give the mailbox a quota"):
        services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD, quota_bytes=None)
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=5 * GB)
    with pytest.raises(Problem, match="choose a smaller one"):
        services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=6 * GB)
    assert cast.mailbox.quota_bytes == 5 * GB


def test_domain_moves_only_where_there_is_room(cast: Cast) -> None:
    Customer.objects.filter(pk=cast.other_customer.pk).update(max_mailboxes=0)
    with pytest.raises(Problem, match="no room for more"):
        services.edit_domain(domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None)
    cast.domain.refresh_from_db()
    assert cast.domain.customer == cast.customer


def test_stale_change_is_refused(cast: Cast) -> None:
    version = cast.mailbox.version
    services.edit_mailbox(mailbox=cast.mailbox, version=version, display_name="First")
    with pytest.raises(Conflict, match="Somebody else changed this"):
        services.edit_mailbox(mailbox=cast.mailbox, version=version, display_name="Second")
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.display_name == "First"


@pytest.mark.parametrize(
    ("policy", "shown", "dovecot"),
    [("keep:7", "keep:7", "flag"), ("keep", "keep", "flag"), ("delete", "delete", "expunge")],
)
def test_pop_policy_reaches_dovecot(cast: Cast, policy: str, shown: str, dovecot: str) -> None:
    services.set_pop_policy(mailbox=cast.mailbox, policy=policy)
    assert what_counts(cast.mailbox).pop.as_command == shown
    user = view_row("mail_user", cast.mailbox.address)
    assert user is not None
    assert user["pop3_delete_type"] == dovecot


@pytest.mark.parametrize(
    "policy", ["", "keep:", "keep:0", "keep:99999", "keep:-1", "KEEP", "delete ", "keep_days"]
)
def test_unknown_pop_policy_is_refused(cast: Cast, policy: str) -> None:
    with pytest.raises(Problem, match="keep:N"):
        services.set_pop_policy(mailbox=cast.mailbox, policy=policy)
    assert what_counts(cast.mailbox).pop.as_command == "keep:30"


@pytest.mark.parametrize(
    "change",
    [
        lambda box: services.suspend_mailbox(mailbox=box),
        lambda box: services.delete_mailbox(mailbox=box),
        lambda box: services.set_mailbox_password(mailbox=box, password="another-passw0rd"),
        lambda box: services.edit_mailbox(mailbox=box, pop3=False),
    ],
)
def test_whoever_is_shut_out_is_kicked_again_later(cast: Cast, change: Callable[[Mailbox], None]) -> None:
    change(cast.mailbox)
    kicks = Job.objects.filter(kind="kick_mailbox", arguments={"address": cast.mailbox.address})
    assert kicks.count() == len(sessions.KICKS_AFTER)


def test_a_new_name_ends_no_session(cast: Cast) -> None:
    services.edit_mailbox(mailbox=cast.mailbox, display_name="New", pop3=True, imap=True)
    assert not Job.objects.filter(kind="kick_mailbox").exists()


@pytest.mark.django_db(transaction=True)
def test_two_at_the_last_place_get_one() -> None:
    cast = make_cast()
    Customer.objects.filter(pk=cast.customer.pk).update(max_mailboxes=2)
    outcomes: list[str] = []

    def create(local_part: str) -> None:
        try:
            services.create_mailbox(
                domain=Domain.objects.get(pk=cast.domain.pk), local_part=local_part, password=PASSWORD
            )
            outcomes.append("created")
        except Problem as problem:
            outcomes.append(str(problem))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=create, args=(f"b{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("created") == 1, outcomes
    assert Mailbox.objects.filter(domain=cast.domain).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_domain_that_moves_meanwhile_takes_the_new_customers_room() -> None:
    cast = make_cast()
    Customer.objects.filter(pk=cast.other_customer.pk).update(max_mailboxes=1)
    outcomes: list[str] = []

    def create() -> None:
        try:
            domain = Domain.objects.get(pk=cast.domain.pk)
            services.create_mailbox(domain=domain, local_part="bob", password=PASSWORD)
            outcomes.append("created")
        except Problem as problem:
            outcomes.append(str(problem))
        finally:
            connections.close_all()

    thread = threading.Thread(target=create)
    with transaction.atomic():
        services.edit_domain(domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None)
        thread.start()
        time.sleep(1)  # It has read the domain as it was, and waits for this transaction.
    thread.join()
    assert ["Other may have 1 mailboxes" in outcome for outcome in outcomes] == [True], outcomes


def test_a_row_that_was_loaded_earlier_loses_no_change(cast: Cast) -> None:
    services.suspend_mailbox(mailbox=cast.mailbox)
    loaded_earlier = Mailbox.objects.get(pk=cast.mailbox.pk)
    services.resume_mailbox(mailbox=cast.mailbox)
    services.suspend_mailbox(mailbox=loaded_earlier)
    assert Mailbox.objects.get(pk=cast.mailbox.pk).state == Mailbox.State.SUSPENDED
    services.delete_mailbox(mailbox=cast.mailbox)
    with pytest.raises(Conflict):
        services.set_mailbox_password(mailbox=loaded_earlier, password=PASSWORD)


def test_a_domain_that_was_loaded_earlier_takes_nothing(cast: Cast) -> None:
    loaded_earlier = Domain.objects.get(pk=cast.domain.pk)
    services.delete_domain(domain=cast.domain)
    with pytest.raises(Problem, match="is deleted"):
        services.create_mailbox(domain=loaded_earlier, local_part="bob", password=PASSWORD)
    assert Mailbox.objects.count() == 1


def test_limit_of_the_customer_that_has_the_domain_now_counts(cast: Cast) -> None:
    loaded_earlier = Domain.objects.select_related("customer").get(pk=cast.domain.pk)
    Customer.objects.filter(pk=cast.other_customer.pk).update(max_mailboxes=1)
    services.edit_domain(domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None)
    with pytest.raises(Problem, match="no room for more"):
        services.create_mailbox(domain=loaded_earlier, local_part="bob", password=PASSWORD)


def test_smaller_quota_is_welcome_even_over_the_limit(cast: Cast) -> None:
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=10 * GB)
    Customer.objects.filter(pk=cast.customer.pk).update(max_storage_bytes=1 * GB)
    services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=6 * GB)
    assert cast.mailbox.quota_bytes == 6 * GB
