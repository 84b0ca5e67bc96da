"""Pages of what POP deletes, and of the way to IMAP and back: what they say, ask and do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from mailbackend.dovecot.doveadm import NobodyListens
from panel.accounts.models import User
from panel.addresses import services
from panel.addresses.inherited import what_counts
from panel.addresses.models import Domain, Mailbox
from panel.addresses.owners import owner_of
from panel.connections.models import RemovedMessage
from panel.connections.restoring import Choice, Restored
from panel.core.models import AuditEntry, Job
from panel.retention import switching, tasks
from tests.cast import Cast
from tests.panel.retention.dovecot import HidingDovecot

SignedIn = Callable[[User], Client]


def page(client: Client, name: str, mailbox: Mailbox) -> str:
    answer = client.get(reverse(name, args=[mailbox.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def remove(mailbox: Mailbox, uid: int, **given: Any) -> None:
    values = {"protocol": "pop3", "folder": "INBOX", "removed_at": timezone.now(), **given}
    RemovedMessage.objects.create(mailbox=mailbox, node="n", session="", uid=uid, **values)


def current(cast: Cast) -> Mailbox:
    return Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)


def test_the_page_says_what_it_means_with_a_date(
    cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn
) -> None:
    client = signed_in(cast.manager)
    day = date_format(timezone.localdate() + timedelta(days=30), "DATE_FORMAT")
    assert f"your phone still sees over IMAP until {day}" in page(
        client, "set_mailbox_pop_policy", cast.mailbox
    )
    assert f"shown over IMAP until {day}" in page(client, "show_mailbox_settings", cast.mailbox)
    services.set_pop_policy(mailbox=cast.mailbox, policy="delete")
    assert "gone at once, from your phone too" in page(client, "set_mailbox_pop_policy", cast.mailbox)


@pytest.mark.parametrize(("choice", "ends"), [("show", False), ("end", True), ("", False)])
def test_it_asks_what_of_the_hidden_ones(
    cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn, choice: str, ends: bool
) -> None:
    client, url = signed_in(cast.manager), reverse("set_mailbox_pop_policy", args=[cast.mailbox.pk])
    assert "hidden from POP" not in page(client, "set_mailbox_pop_policy", cast.mailbox)
    for uid in (1, 2):
        dovecot.hide(cast.mailbox, uid, timezone.now())
    text = page(client, "set_mailbox_pop_policy", cast.mailbox)
    assert "2 messages are hidden from POP" in text
    assert "POP hides 2 messages" in text
    # It counts where messages are deleted at once, and nowhere else.
    client.post(url, {"pop_deletes": "keep", "hidden": choice})
    assert client.post(url, {"pop_deletes": "delete", "hidden": choice}).status_code == 302
    first, second = Job.objects.filter(kind="follow_pop_policy").order_by("pk")
    assert first.arguments["end_hidden"] is False
    assert second.arguments["end_hidden"] is ends


def test_while_the_mail_service_is_away_it_asks_all_the_same(
    cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn
) -> None:
    dovecot.down = NobodyListens("It does not run.")
    text = page(signed_in(cast.manager), "set_mailbox_pop_policy", cast.mailbox)
    assert "what of the messages that POP hides until now" in text
    assert "Not known now" in page(signed_in(cast.manager), "switch_mailbox_to_imap", cast.mailbox)


def test_to_imap(
    cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, client = cast.mailbox, signed_in(cast.manager)
    services.edit_mailbox(mailbox=box, imap=False)
    dovecot.hide(box, 9, timezone.now())
    remove(box, 1)
    remove(box, 2, folder="Archive")
    remove(box, 3, protocol="doveadm")  # a copy whose days were over
    remove(box, 4, protocol="imap")  # by a person
    remove(box, 5, protocol="doveadm", folder="Trash")
    remove(box, 6, removed_at=timezone.now() - timedelta(days=20))  # has ended by now
    text = page(client, "switch_mailbox_to_imap", box)
    for said in ("1 message, which IMAP shows", "3 messages, which can be recovered", "IMAP is switched on"):
        assert said in text
    assert str(settings.ENVIRONMENT.mail_ports.imaps) in text
    answer = client.post(reverse("switch_mailbox_to_imap", args=[box.pk]), {"pop_off": "on"})
    job = Job.objects.get(kind=switching.RESTORING)
    assert answer.headers["Location"].endswith(f"?job={job.pk}")
    now = current(cast)
    assert (now.imap, now.pop3, what_counts(now).pop.as_command) == (True, False, "keep")
    actions = set(AuditEntry.objects.filter(target_id=box.pk, actor_id=cast.manager.pk).values_list("action"))
    assert {("mailbox.switched_to_imap",), ("mailbox.pop_policy_set",), ("mailbox.edited",)} <= actions
    text = client.get(answer.headers["Location"]).content.decode()
    assert "Messages are being brought back" in text
    restored: list[Choice] = []

    def restore(_mailbox: Mailbox, choice: Choice) -> Restored:
        restored.append(choice)
        return Restored(asked=3, restored=2, no_room=1)

    monkeypatch.setattr(switching, "restore", restore)
    remove(box, 7, removed_at=timezone.now() + timedelta(minutes=1))
    report = tasks.restore_what_pop_deleted(**job.arguments)
    assert [choice.uids for choice in restored] == [frozenset({1, 2, 3})]
    Job.objects.filter(pk=job.pk).update(state=Job.State.DONE, report=report)
    text = client.get(answer.headers["Location"]).content.decode()
    assert "2 messages are back" in text
    assert "no room" in text


def test_to_imap_with_nothing_to_bring_back_starts_no_job(
    cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn
) -> None:
    url = reverse("switch_mailbox_to_imap", args=[cast.mailbox.pk])
    assert signed_in(cast.manager).post(url, {"version": ""}).status_code == 302
    assert what_counts(current(cast)).pop.as_command == "keep"
    assert not Job.objects.filter(kind=switching.RESTORING).exists()
    assert current(cast).pop3


def test_to_pop(cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn) -> None:
    box, client = cast.mailbox, signed_in(cast.manager)
    url = reverse("switch_mailbox_to_pop", args=[box.pk])
    services.edit_mailbox(mailbox=box, pop3=False)
    services.set_pop_policy(mailbox=box, policy="keep")
    assert "offer_again" not in page(client, "switch_mailbox_to_pop", box)
    dovecot.hide(box, 1, timezone.now())
    text = page(client, "switch_mailbox_to_pop", box)
    assert "1 message is hidden from POP" in text
    assert str(settings.ENVIRONMENT.mail_ports.pop3s) in text
    assert client.post(url, {"days": "0"}).status_code == 422
    assert client.post(url, {"days": "12", "offer_again": "on"}).status_code == 302
    now = current(cast)
    assert (now.pop3, what_counts(now).pop.as_command) == (True, "keep:12")
    tasks.show_hidden_messages(**Job.objects.get(kind="show_hidden_messages").arguments)
    assert dovecot.shown == [1]
    assert AuditEntry.objects.filter(action="mailbox.switched_to_pop").count() == 1


def test_what_is_off_for_the_domain_is_said(cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn) -> None:
    Domain.objects.update(imap=False, pop3=False)
    client = signed_in(cast.manager)
    for name, given in (
        ("switch_mailbox_to_imap", {"version": ""}),
        ("switch_mailbox_to_pop", {"days": "3"}),
    ):
        answer = client.post(reverse(name, args=[cast.mailbox.pk]), given)
        assert answer.status_code == 422
        assert "switched off for the whole domain" in answer.content.decode()
    assert what_counts(current(cast)).pop.as_command == "keep:30"


def test_who_may_only_see_it_switches_nothing(
    cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn
) -> None:
    owner = owner_of(cast.mailbox)
    assert owner is not None
    mailbox_owner = Client()
    mailbox_owner.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    for client in (signed_in(cast.reader), mailbox_owner):
        for name in ("switch_mailbox_to_imap", "switch_mailbox_to_pop"):
            text = page(client, name, cast.mailbox)
            assert "Whoever looks after this mailbox can switch it" in text
            assert 'type="submit">Switch' not in text
            assert client.post(reverse(name, args=[cast.mailbox.pk]), {"days": "3"}).status_code == 403
    # A job of another mailbox is nobody's to see here.
    job = Job.objects.create(
        kind=switching.RESTORING, arguments={"mailbox": 0, "until": ""}, due_at=timezone.now()
    )
    url = reverse("switch_mailbox_to_imap", args=[cast.mailbox.pk])
    assert "brought back" not in signed_in(cast.reader).get(f"{url}?job={job.pk}").content.decode()


def test_a_deleted_mailbox_is_not_switched(cast: Cast, dovecot: HidingDovecot, signed_in: SignedIn) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    client = signed_in(cast.manager)
    page(client, "switch_mailbox_to_imap", cast.mailbox)
    answer = client.post(reverse("switch_mailbox_to_imap", args=[cast.mailbox.pk]), {"version": ""})
    assert answer.status_code == 422
    assert dovecot.asked == []
