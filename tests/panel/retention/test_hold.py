"""The legal hold: each way in which something of a mailbox could end, and that it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from panel.accounts.models import User
from panel.addresses import customers, holding, purging, services
from panel.addresses.models import Domain, Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.services import create_mailbox
from panel.connections import recoverable, restoring
from panel.connections.models import RemovedMessage
from panel.connections.restoring import Choice
from panel.core import mail
from panel.core.errors import Conflict, Problem
from panel.core.models import AuditEntry
from panel.retention import following, kept_copies, making_room, switching
from panel.retention.models import KeptCopy
from tests.cast import PASSWORD, Cast
from tests.panel.connections.test_recoverable import FakeDovecot
from tests.panel.retention.dovecot import HidingDovecot

SignedIn = Callable[[User], Client]
DAY = timedelta(days=1)
LATER = timezone.now() + 400 * DAY


@pytest.fixture
def held(cast: Cast) -> Mailbox:
    """A mailbox under a legal hold."""
    holding.hold(mailbox=cast.mailbox, reason="Case 12/2026")
    return current(cast)


@pytest.fixture
def removed(held: Mailbox, monkeypatch: pytest.MonkeyPatch) -> FakeDovecot:
    """A mail service that keeps messages which were removed from the held mailbox long ago, far above its quota."""
    fake = FakeDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    for uid in (1, 2):
        fake.remove(held, uid, timezone.now() - 100 * DAY)
    Mailbox.objects.filter(pk=held.pk).update(quota_bytes=10)
    return fake


def current(cast: Cast) -> Mailbox:
    return Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)


def owner(cast: Cast) -> User:
    """Return the owner of the mailbox."""
    found = owner_of(current(cast))
    assert found is not None
    return found


def released(cast: Cast) -> Mailbox:
    holding.release(mailbox=cast.mailbox)
    return current(cast)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Purge without sessions, and without looking for late deliveries."""
    monkeypatch.setattr(purging, "LOOK_AGAIN_AFTER", 0.0)
    monkeypatch.setattr("panel.addresses.sessions.online", set)


def test_it_is_set_and_released_and_told(cast: Cast) -> None:
    holding.hold(mailbox=cast.mailbox, reason=" Case 12 ")
    since = current(cast).held_at
    assert since is not None
    assert current(cast).hold_reason == "Case 12"
    holding.hold(mailbox=cast.mailbox, reason="Case 13")
    assert current(cast).held_at == since
    released(cast)
    holding.release(mailbox=cast.mailbox)
    assert (current(cast).held_at, current(cast).hold_reason) == (None, "")
    entries = AuditEntry.objects.filter(action__in=["mailbox.held", "mailbox.released"]).order_by("pk")
    assert [(each.action, each.after.get("hold_reason")) for each in entries] == [
        ("mailbox.held", "Case 12"),
        ("mailbox.held", "Case 13"),
        ("mailbox.released", ""),
    ]
    assert {each.customer_id for each in entries} == {cast.customer.pk}


@pytest.mark.parametrize("reason", ["", "   ", "a\nb", "x" * 201, "a\x00b"])
def test_it_needs_a_reason_in_a_line(cast: Cast, reason: str) -> None:
    with pytest.raises(Problem):
        holding.hold(mailbox=cast.mailbox, reason=reason)
    assert current(cast).held_at is None


def test_somebody_else_changed_the_mailbox(cast: Cast) -> None:
    with pytest.raises(Conflict):
        holding.hold(mailbox=cast.mailbox, reason="Case", version=cast.mailbox.version + 1)
    holding.hold(mailbox=cast.mailbox, reason="Case", version=cast.mailbox.version)
    with pytest.raises(Conflict):
        holding.release(mailbox=cast.mailbox, version=current(cast).version - 1)


def test_nothing_of_it_is_deleted(cast: Cast, held: Mailbox) -> None:
    with pytest.raises(Problem, match="legal hold"):
        services.delete_mailbox(mailbox=held)
    with pytest.raises(Problem, match="legal hold"):
        services.delete_domain(domain=cast.domain)
    with pytest.raises(Problem):
        customers.delete_customer(customer=cast.customer)
    with pytest.raises(CommandError, match="legal hold"):
        call_command("deletemailbox", held.address)
    assert current(cast).deleted_at is None
    assert Domain.objects.get(pk=cast.domain.pk).deleted_at is None
    services.delete_mailbox(mailbox=released(cast))
    services.delete_domain(domain=cast.domain)


def test_nor_by_pages(cast: Cast, held: Mailbox, signed_in: SignedIn) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    client = signed_in(cast.owner)
    answer = client.post(f"/mailboxes/{held.pk}/delete/", {"confirm": held.address})
    assert answer.status_code in (200, 422)
    assert "legal hold" in answer.content.decode()
    answer = client.post("/mailboxes/delete/", {"id": [held.pk, other.pk], "confirm": "2"})
    assert "legal hold" in answer.content.decode()
    assert current(cast).deleted_at is None
    assert Mailbox.objects.get(pk=other.pk).deleted_at is not None
    answer = signed_in(cast.admin).post(f"/domains/{cast.domain.name}/delete/", {"confirm": cast.domain.name})
    assert answer.status_code == 422
    assert held.address in answer.content.decode()


def test_deleted_before_it_stays_restorable(cast: Cast) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    for box in (cast.mailbox, other):
        services.delete_mailbox(mailbox=box)
    holding.hold(mailbox=cast.mailbox, reason="Case")
    report = purging.purge(now=LATER)
    assert (report.mailboxes, report.failures) == (1, [])
    assert not Mailbox.objects.filter(pk=other.pk).exists()
    assert purging.purge_mailbox(mailbox=cast.mailbox, now=LATER).mailboxes == 0
    assert (settings.DATA_DIR.mail / cast.mailbox.home).is_dir()
    services.restore_mailbox(mailbox=current(cast))
    assert current(cast).deleted_at is None
    services.delete_mailbox(mailbox=released(cast))
    assert purging.purge(now=LATER).mailboxes == 1


def test_a_deleted_domain_of_it_stays_restorable(cast: Cast) -> None:
    services.delete_domain(domain=cast.domain)
    holding.hold(mailbox=cast.mailbox, reason="Case")
    assert purging.purge(now=LATER).mailboxes == 0
    assert Domain.objects.get(pk=cast.domain.pk).purging_at is None
    with pytest.raises(Problem, match="under a legal hold"):
        customers.delete_customer(customer=cast.customer)
    services.restore_domain(domain=Domain.objects.get(pk=cast.domain.pk))
    assert current(cast).state == Mailbox.State.ACTIVE
    holding.release(mailbox=cast.mailbox)
    services.delete_domain(domain=Domain.objects.get(pk=cast.domain.pk))
    assert purging.purge(now=LATER).mailboxes == 1
    assert not Domain.objects.filter(pk=cast.domain.pk).exists()


def test_what_is_being_removed_for_good_cannot_be_held(cast: Cast) -> None:
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(deleted_at=timezone.now(), purging_at=timezone.now())
    with pytest.raises(Problem, match="removed for good"):
        holding.hold(mailbox=cast.mailbox, reason="Case")
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(purging_at=None)
    Domain.objects.filter(pk=cast.domain.pk).update(deleted_at=timezone.now(), purging_at=timezone.now())
    with pytest.raises(Problem, match="removed for good"):
        holding.hold(mailbox=cast.mailbox, reason="Case")


def test_recovery_does_not_end(cast: Cast, held: Mailbox, removed: FakeDovecot) -> None:
    assert recoverable.end_old(now=LATER)[0].messages == 0
    assert recoverable.end_old(now=LATER, dry_run=True)[0].messages == 0
    assert recoverable.end_too_much(now=timezone.now()).messages == 0
    assert removed.uids(held) == [1, 2]
    assert [found.until for found in recoverable.listed(current(cast))] == [None, None]
    holding.release(mailbox=held)
    assert recoverable.end_old(now=LATER)[0].messages == 2


def test_a_hold_in_the_middle_of_ending_counts(
    cast: Cast, held: Mailbox, removed: FakeDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding.release(mailbox=held)
    monkeypatch.setattr(recoverable, "AT_ONCE", 1)
    end = removed.end_messages

    def end_and_hold(address: str, uids: Any) -> None:
        end(address, uids)
        holding.hold(mailbox=held, reason="Just in time")

    monkeypatch.setattr(removed, "end_messages", end_and_hold)
    recoverable.end_old(now=LATER)
    assert len(removed.uids(held)) == 1


def test_nobody_erases(cast: Cast, held: Mailbox, removed: FakeDovecot, signed_in: SignedIn) -> None:
    with pytest.raises(Problem, match="legal hold"):
        restoring.erase(current(cast), Choice())
    url = f"/mailboxes/{held.pk}/recover/erase/"
    for person in (cast.admin, cast.owner, owner(cast)):
        client = signed_in(person)
        for answer in (client.get(url, {"id": "1"}, follow=True), client.post(url, {"id": "1"}, follow=True)):
            assert "legal hold" in answer.content.decode()
        listing = client.get(f"/mailboxes/{held.pk}/recover/").content.decode()
        assert "It does not end" in listing
        assert "Erase for good" not in listing
    assert removed.uids(held) == [1, 2]
    assert restoring.erase(released(cast), Choice()) == 2


def test_kept_copies_do_not_end(cast: Cast, held: Mailbox, dovecot: HidingDovecot) -> None:
    dovecot.hide(held, 1, timezone.now() - 400 * DAY)
    kept_copies.end_due(now=timezone.now())
    assert KeptCopy.objects.filter(mailbox=held).count() == 1
    assert kept_copies.end_due(now=LATER)[0].messages == 0
    copies = kept_copies.copies_of(held, kept_copies.hidden_in(held), seen_at=timezone.now())
    assert kept_copies.end_copies(held, copies, kept_copies.ENDED, only_if_kept=False) == []
    # Nor for room.
    Mailbox.objects.filter(pk=held.pk).update(quota_bytes=100)
    dovecot.used[held.address] = 1000 * 1024
    assert making_room.start_where_needed() is None
    assert making_room.make_room([held.pk]).messages == 0
    assert dovecot.uids(held) == [1]
    holding.release(mailbox=held)
    assert kept_copies.end_due(now=LATER)[0].messages == 1


def test_what_pop_hides_is_offered_again_and_not_ended(
    cast: Cast, held: Mailbox, dovecot: HidingDovecot
) -> None:
    dovecot.hide(held, 1, timezone.now())
    with pytest.raises(Problem, match="legal hold"):
        services.set_pop_policy(mailbox=held, policy="delete", end_hidden=True)
    services.set_pop_policy(mailbox=held, policy="delete")
    # A job that was asked for before the hold.
    assert following.follow(current(cast), end_hidden=True) == {"ended": 0, "shown": 1}
    assert dovecot.ended == []


def test_all_that_pop_removed_comes_back(cast: Cast, held: Mailbox, removed: FakeDovecot) -> None:
    RemovedMessage.objects.filter(mailbox=held).update(protocol="pop3")
    assert switching.removed_by_pop(current(cast)).count() == 2
    assert switching.removed_by_pop(released(cast)).count() == 0


def test_commands(cast: Cast) -> None:
    box = cast.mailbox

    def run(*options: str) -> Any:
        out = StringIO()
        call_command("setmailbox", box.address, *options, "--json", stdout=out)
        return json.loads(out.getvalue())["hold"]

    assert run("--quota", "2G") is None
    assert run("--hold", "Case 12")["reason"] == "Case 12"
    out = StringIO()
    call_command("showmailbox", box.address, "--json", stdout=out)
    assert json.loads(out.getvalue())["hold"]["reason"] == "Case 12"
    assert run("--release-hold") is None
    with pytest.raises(CommandError, match="why"):
        run("--hold", " ")


def test_pages_and_badges(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.owner), f"/mailboxes/{cast.mailbox.pk}/"
    assert "Put under a legal hold" in client.get(f"{url}settings/").content.decode()
    assert client.get(f"{url}hold/").status_code == 200
    assert client.post(f"{url}hold/", {"reason": ""}).status_code == 422
    stale = {"reason": "Case <12>", "version": str(cast.mailbox.version + 7)}
    assert client.post(f"{url}hold/", stale).status_code == 422
    assert client.post(f"{url}hold/", {"reason": "Case <12>"}).status_code == 302
    page = client.get(url).content.decode()
    assert "Case &lt;12&gt;" in page
    assert "badge-held" in page
    for lists in ("/mailboxes/", f"/domains/{cast.domain.name}/"):
        assert "badge-held" in client.get(lists).content.decode()
    settings_page = client.get(f"{url}settings/").content.decode()
    assert "Release" in settings_page
    assert "/delete/" not in settings_page
    # A manager sees it and cannot change it.
    manager = signed_in(cast.manager)
    assert "Case &lt;12&gt;" in manager.get(url).content.decode()
    assert f"{url}release/" not in manager.get(url).content.decode()
    # The owner of the mailbox is not told why.
    mine = signed_in(owner(cast))
    assert "Case" not in mine.get(url).content.decode()
    assert client.get(f"{url}release/").status_code == 200
    version = str(current(cast).version)
    assert client.post(f"{url}release/", {"version": "1"}).status_code == 422
    assert client.post(f"{url}release/", {"version": version}).status_code == 302
    assert "badge-held" not in client.get(url).content.decode()


@pytest.mark.parametrize("verb", ["hold", "release"])
def test_only_owners_and_administrators(cast: Cast, signed_in: SignedIn, verb: str) -> None:
    url = f"/mailboxes/{cast.mailbox.pk}/{verb}/"
    expected = [
        (cast.manager, 403),
        (cast.reader, 403),
        (cast.stranger, 404),
        (owner(cast), 403),
    ]
    for person, status in expected:
        client = signed_in(person)
        assert client.get(url).status_code == status
        assert client.post(url, {"reason": "Case"}).status_code == status
    assert current(cast).held_at is None
    assert signed_in(cast.admin).post(url, {"reason": "Case"}).status_code == 302


def test_a_deleted_mailbox_is_held_by_its_page(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.owner), f"/mailboxes/{cast.mailbox.pk}/"
    services.delete_mailbox(mailbox=cast.mailbox)
    assert f"{url}hold/" in client.get(url).content.decode()
    assert client.post(f"{url}hold/", {"reason": "Case"}).status_code == 302
    assert "It stays restorable for as long as it is held" in client.get(url).content.decode()
