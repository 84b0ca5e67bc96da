"""The tab of a mailbox's devices: who may do what, a password shown once, hostile names, what was recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbackend.passwords import hash_device_password
from panel.accounts.models import User
from panel.addresses import device_passwords, draining, services, sessions
from panel.addresses.models import DevicePassword, Mailbox
from panel.connections import recognised
from panel.connections.recognised import recognised_in
from panel.core import mail
from panel.core.models import AuditEntry, Job
from tests.cast import PASSWORD, Cast
from tests.panel.connections.mailbox_rows import a_refusal, a_session, an_open_session
from tests.panel.connections.test_mailbox_connections import text_of
from tests.panel.connections.test_recover_pages import owner_client

SignIn = Callable[[User], Client]
NEW = {"label": "Office PC", "imap": "on", "pop3": "on", "view": "own"}
EVIL = "<script>alert(1)</script>"


def url_of(name: str, mailbox: Mailbox, *more: Any) -> str:
    """Return a page's address."""
    return reverse(name, args=[mailbox.pk, *more])


def a_device(cast: Cast, label: str = "Office PC", **values: Any) -> DevicePassword:
    """Make a device password."""
    return device_passwords.create_device(mailbox=cast.mailbox, label=label, **values)[0]


def password_in(page: str) -> str:
    """Return the device password that a page shows."""
    match = re.search(r'id="device-password">([^<]+)<', page)
    assert match, page
    return match[1]


def test_a_password_is_made_and_shown_once(cast: Cast) -> None:
    client = owner_client(cast.mailbox)
    assert "No device password yet" in text_of(client, url_of("list_devices", cast.mailbox))
    assert "7 of 7 POP views are free" in text_of(client, url_of("list_devices", cast.mailbox))
    answer = client.post(url_of("create_device", cast.mailbox), {**NEW, "last_day": "2099-12-31"})
    assert (answer.status_code, answer.headers["Cache-Control"].count("no-store")) == (200, 1)
    device = DevicePassword.objects.get()
    password = password_in(answer.content.decode())
    assert device.secret_hash == hash_device_password(password, mail.pepper())
    assert (device.slot, device.protocols) == (1, ["imap", "pop3"])
    assert device.created_by is not None
    assert device.created_by.is_mailbox
    assert device.expires_at is not None
    assert timezone.localtime(device.expires_at).isoformat().startswith("2100-01-01T00:00")
    page = client.get(url_of("list_devices", cast.mailbox)).content.decode()
    assert password not in page
    assert "6 of 7 POP views are free" in page
    # The same form sent twice makes no second one.
    again = client.post(url_of("create_device", cast.mailbox), NEW)
    assert (again.status_code, DevicePassword.objects.count()) == (422, 1)


@pytest.mark.parametrize(
    ("label", "status"),
    [
        (EVIL, 200),
        ("Büro-PC № 1", 200),
        ("  two  words ", 200),
        ("x" * 60, 200),
        ("x" * 61, 422),
        ("", 422),
        ("main", 422),
        ("a\x00b", 422),
        ("a\u202eb", 422),
        ("a\u2028b", 200),
        ("a\x1bb", 422),
    ],
)
def test_names_of_all_kinds(cast: Cast, signed_in: SignIn, label: str, status: int) -> None:
    client = signed_in(cast.manager)
    answer = client.post(url_of("create_device", cast.mailbox), {**NEW, "label": label})
    assert answer.status_code == status
    assert EVIL not in answer.content.decode()
    assert DevicePassword.objects.count() == (status == 200)
    page = client.get(url_of("list_devices", cast.mailbox)).content.decode()
    assert EVIL not in page
    device = DevicePassword.objects.first()
    if device is not None:
        a_session(cast.mailbox, device=device, credential="device")
        names = ("list_devices", "mailbox_connections", "show_mailbox")
        assert not any(EVIL in client.get(url_of(name, cast.mailbox)).content.decode() for name in names)
        for name in ("edit_device", "renew_device", "revoke_device"):
            assert EVIL not in client.get(url_of(name, cast.mailbox, device.pk)).content.decode()
        revoked = client.post(url_of("revoke_device", cast.mailbox, device.pk), follow=True)
        assert EVIL not in revoked.content.decode()


def test_a_line_break_in_a_name_is_a_space(cast: Cast, signed_in: SignIn) -> None:
    signed_in(cast.manager).post(url_of("create_device", cast.mailbox), {**NEW, "label": "a\r\nb"})
    assert DevicePassword.objects.get().label == "a b"


def test_what_cannot_be_is_said_at_its_field(cast: Cast, signed_in: SignIn) -> None:
    client, url = signed_in(cast.manager), url_of("create_device", cast.mailbox)
    for values, words in (
        ({"label": "A", "view": "own"}, "Choose IMAP, POP or both"),
        ({**NEW, "last_day": "2020-01-01"}, "Choose a time that is still to come."),
        ({**NEW, "last_day": "9999-12-31"}, "Choose a day that is still to come."),
        ({**NEW, "view": "x"}, "view"),
    ):
        answer = client.post(url, values)
        assert (answer.status_code, words in answer.content.decode()) == (422, True)
    assert not DevicePassword.objects.exists()


def test_when_all_views_are_taken_the_shared_one_is_offered(cast: Cast, signed_in: SignIn) -> None:
    for number in range(7):
        a_device(cast, f"d{number}")
    client, url = signed_in(cast.owner), url_of("create_device", cast.mailbox)
    text = text_of(client, url)
    assert "0 of 7 POP views are free." in text
    assert "Let another POP device use the shared view" in text
    refused = client.post(url, NEW)
    assert (refused.status_code, "share the view of the main password" in refused.content.decode()) == (
        422,
        True,
    )
    assert client.post(url, {**NEW, "view": "shared"}).status_code == 200
    assert DevicePassword.objects.get(label="Office PC").slot is None
    first = DevicePassword.objects.get(label="d0")
    assert client.post(url_of("revoke_device", cast.mailbox, first.pk)).status_code == 302
    assert "1 more is being cleaned" in text_of(client, url_of("list_devices", cast.mailbox))


def test_it_goes_on_where_the_main_password_was(
    cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[DevicePassword] = []
    monkeypatch.setattr(draining, "copy_main", copied.append)
    values = {**NEW, "continues_main": "on"}
    assert signed_in(cast.admin).post(url_of("create_device", cast.mailbox), values).status_code == 200
    assert copied == [DevicePassword.objects.get()]


def test_renewed_edited_and_revoked(cast: Cast, signed_in: SignIn) -> None:
    client, device = signed_in(cast.manager), a_device(cast)
    hashed = device.secret_hash
    asked = client.get(url_of("renew_device", cast.mailbox, device.pk))
    assert "The present one stops working at once." in asked.content.decode()
    shown = client.post(url_of("renew_device", cast.mailbox, device.pk))
    device.refresh_from_db()
    assert device.secret_hash == hash_device_password(password_in(shown.content.decode()), mail.pepper())
    assert (device.secret_hash != hashed, "no-store" in shown.headers["Cache-Control"]) == (True, True)
    # Changing the name leaves a time that no day ends at.
    odd = timezone.now() + timedelta(days=3)
    device_passwords.edit_device(device=device, expires_at=odd)
    form = client.get(url_of("edit_device", cast.mailbox, device.pk)).context["form"]
    changed = {"label": "Old PC", "imap": "on", "last_day": form["last_day"].value().isoformat()}
    assert client.post(url_of("edit_device", cast.mailbox, device.pk), changed).status_code == 302
    device.refresh_from_db()
    assert (device.label, device.protocols, device.expires_at) == ("Old PC", ["imap"], odd)
    for _twice in range(2):
        assert client.post(url_of("revoke_device", cast.mailbox, device.pk)).status_code == 302
    assert AuditEntry.objects.filter(action="mailbox.device_revoked").count() == 1
    # From a page that is stale by now.
    for name in ("edit_device", "renew_device"):
        stale = client.post(url_of(name, cast.mailbox, device.pk), changed)
        assert (stale.status_code, "is revoked" in stale.content.decode()) == (422, True)


def test_who_may_only_look_and_who_may_not(cast: Cast, signed_in: SignIn) -> None:
    device, row = a_device(cast), a_session(cast.mailbox)
    other = services.create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    theirs = device_passwords.create_device(mailbox=other, label="Theirs")[0]
    places = [
        url_of("create_device", cast.mailbox),
        url_of("require_devices", cast.mailbox),
        *(url_of(name, cast.mailbox, device.pk) for name in ("edit_device", "renew_device", "revoke_device")),
    ]
    reader = signed_in(cast.reader)
    page = reader.get(url_of("list_devices", cast.mailbox)).content.decode()
    assert "Office PC" in page
    assert not any(place in page for place in (*places, "This is not me"))
    for client, status in ((reader, 403), (signed_in(cast.stranger), 404), (owner_client(other), 404)):
        for place in places:
            assert {client.get(place).status_code, client.post(place, NEW).status_code} == {status}
        assert client.get(url_of("report_device", cast.mailbox, row.pk)).status_code == status
        assert client.post(url_of("end_mailbox_sessions", cast.mailbox)).status_code == status
    # A device of another mailbox is none of this one, whoever asks.
    for name in ("edit_device", "renew_device", "revoke_device"):
        assert signed_in(cast.admin).post(url_of(name, cast.mailbox, theirs.pk), NEW).status_code == 404
    assert signed_in(cast.admin).get(url_of("report_device", other, row.pk)).status_code == 404
    assert DevicePassword.objects.filter(revoked_at=None).count() == 2


def test_device_passwords_are_required_after_it_was_said_what_stops(cast: Cast, signed_in: SignIn) -> None:
    client, url = signed_in(cast.owner), url_of("require_devices", cast.mailbox)
    assert "No mail program used it in the last 30 days." in text_of(client, url)
    for _times in range(2):
        a_session(cast.mailbox, client_name="Thunderbird")
    a_session(cast.mailbox, device=a_device(cast), credential="device", client_name="K-9")
    text = text_of(client, url)
    assert "there were 2 sessions with it. This stops working:" in text
    assert ("Thunderbird" in text, "K-9" in text) == (True, False)
    for _twice in range(2):
        client.post(url, {"required": "yes"})
        assert Mailbox.objects.get(pk=cast.mailbox.pk).device_required
    assert "It opens this panel only" in text_of(client, url_of("list_devices", cast.mailbox))
    set_up = f"{url_of('set_up_mailbox', cast.mailbox)}?device=windows&use=several"
    assert "wants a password for each device: its own opens this panel only" in text_of(client, set_up)
    assert "again?" in text_of(client, url)
    client.post(url, {"required": "no"})
    assert not Mailbox.objects.get(pk=cast.mailbox.pk).device_required
    assert client.post(url).status_code in (200, 422)


def test_devices_are_recognised(cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    now, device = timezone.now(), a_device(cast)
    a_session(cast.mailbox, device=device, credential="device", protocol="pop3", remote_net="192.0.2.0/24")
    an_open_session(cast.mailbox, device=device, credential="device", remote_net="198.51.100.0/24")
    for net in ("192.0.2.0/24", "192.0.2.0/24", "203.0.113.0/24"):
        a_session(cast.mailbox, client_name="Thunderbird", remote_net=net)
    for protocol in ("pop3", "pop3", "imap"):
        a_session(cast.mailbox, protocol=protocol, remote_net="192.0.2.0/24")
    a_session(cast.mailbox, client_name="Old", started_at=now - timedelta(days=91))
    a_refusal(cast.mailbox)
    found = {
        (
            each.device.label if each.device else each.client,
            each.last.remote_net,
            tuple(sorted(each.protocols)),
        ): (
            each.sessions,
            each.open_now,
        )
        for each in recognised_in(cast.mailbox, timezone.now())
    }
    assert found == {
        ("Office PC", "198.51.100.0/24", ("imap", "pop3")): (2, 1),
        ("Thunderbird", "192.0.2.0/24", ("imap",)): (2, 0),
        ("Thunderbird", "203.0.113.0/24", ("imap",)): (1, 0),
        ("", "192.0.2.0/24", ("pop3",)): (2, 0),
        ("", "192.0.2.0/24", ("imap",)): (1, 0),
    }
    text = text_of(signed_in(cast.reader), url_of("list_devices", cast.mailbox))
    assert "A POP program" in text
    assert "An IMAP program that gives no name" in text
    assert "Old" not in text
    monkeypatch.setattr(recognised, "LOOKED_THROUGH", 3)
    assert sum(each.sessions for each in recognised_in(cast.mailbox, timezone.now())) == 2


def test_this_is_not_me(cast: Cast, signed_in: SignIn) -> None:
    device = a_device(cast)
    with_device = a_session(cast.mailbox, device=device, credential="device")
    with_main = a_session(cast.mailbox, client_name="Thunderbird")
    owner, manager = owner_client(cast.mailbox), signed_in(cast.manager)
    page = owner.get(url_of("report_device", cast.mailbox, with_device.pk)).content.decode()
    assert url_of("revoke_device", cast.mailbox, device.pk) in page
    page = owner.get(url_of("report_device", cast.mailbox, with_main.pk)).content.decode()
    assert "Thunderbird is not you?" in page
    assert reverse("change_own_mailbox_password") in page
    assert (
        url_of("set_mailbox_password", cast.mailbox)
        in manager.get(url_of("report_device", cast.mailbox, with_main.pk)).content.decode()
    )
    device_passwords.revoke_device(device=device)
    Job.objects.all().delete()
    page = owner.get(url_of("report_device", cast.mailbox, with_device.pk)).content.decode()
    assert "revoked already" in page
    answer = owner.post(url_of("end_mailbox_sessions", cast.mailbox), follow=True)
    assert "Whatever was signed in is disconnected." in answer.content.decode()
    assert Job.objects.filter(kind="kick_mailbox").count() == len(sessions.KICKS_AFTER)
    assert AuditEntry.objects.filter(action="mailbox.sessions_ended").count() == 1


def test_a_deleted_mailbox_gets_none(cast: Cast, signed_in: SignIn) -> None:
    device = a_device(cast)
    services.delete_mailbox(mailbox=cast.mailbox)
    client = signed_in(cast.manager)
    assert "New device password" not in client.get(url_of("list_devices", cast.mailbox)).content.decode()
    for name, more in (("create_device", ()), ("renew_device", (device.pk,)), ("edit_device", (device.pk,))):
        assert client.post(url_of(name, cast.mailbox, *more), NEW).status_code == 422
    assert (
        "is deleted"
        in client.post(url_of("end_mailbox_sessions", cast.mailbox), follow=True).content.decode()
    )


def test_the_log_names_the_device_and_is_searched_by_it(cast: Cast, signed_in: SignIn) -> None:
    device = a_device(cast)
    mine = a_session(cast.mailbox, device=device, credential="device", remote_ip="192.0.2.77")
    a_session(cast.mailbox, remote_ip="192.0.2.88")
    client = signed_in(cast.manager)
    assert "192.0.2.77 (Office PC)" in text_of(client, url_of("mailbox_connections", cast.mailbox))
    assert "192.0.2.77 (Office PC)" in text_of(client, reverse("show_connection", args=[mine.pk]))
    for value, there in (("main", (False, True)), ("device", (True, False)), (str(device.pk), (True, False))):
        page = client.get(reverse("list_connections"), {"device": value}).content.decode()
        assert ("192.0.2.77" in page, "192.0.2.88" in page) == there, value
    # Another customer's people are not told its name.
    page = (
        signed_in(cast.stranger).get(reverse("list_connections"), {"device": str(device.pk)}).content.decode()
    )
    assert "Office PC" not in page
