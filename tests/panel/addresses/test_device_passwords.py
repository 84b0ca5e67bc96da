"""Device passwords: what is made, who may have what, and what becomes of their POP slots."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from mailbackend.dovecot.doveadm import DoveadmError, MailServiceDown
from mailbackend.maildir import POP_KEYWORDS
from mailbackend.passwords import hash_device_password
from panel.accounts.models import User
from panel.addresses import draining, services, sessions, tasks
from panel.addresses.device_passwords import (
    MOST,
    SLOTS,
    NoFreeSlot,
    Slot,
    create_device,
    edit_device,
    free_slots,
    renew_device,
    require_devices,
    revoke_device,
    slots_of,
)
from panel.addresses.models import DevicePassword, Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.selectors import devices_for
from panel.core import jobs, mail
from panel.core.errors import Problem
from panel.core.models import Job
from tests.cast import PASSWORD, Cast, make_cast

pytestmark = pytest.mark.django_db


class Dovecot:
    """What is asked of doveadm's API, and the messages that bear a mark: (place, mark)."""

    def __init__(self) -> None:
        self.marked: set[tuple[str, str]] = set()
        self.fails: Exception | None = None
        self.moves = 0  # messages that a client moves back while it is cleaned
        self.cleared = 0

    def kick(self, _address: str) -> bool:
        return False

    def copy_mark(self, _address: str, mark: str, to: str) -> None:
        if self.fails:
            raise self.fails
        self.marked |= {(place, to) for place, of in self.marked if of == mark}

    def clear_mark(self, _address: str, mark: str, *, removed: bool) -> None:
        if self.fails:
            raise self.fails
        places = {"*", ".EXPUNGED/all"} if removed else {"*"}
        self.marked = {pair for pair in self.marked if pair[1] != mark or pair[0] not in places}
        self.cleared += 1
        if self.moves:
            self.moves -= 1
            self.marked.add(("*", mark))

    def is_marked(self, _address: str, mark: str, *, removed: bool) -> bool:
        places = {"*", ".EXPUNGED/all"} if removed else {"*"}
        return any((place, mark) in self.marked for place in places)


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> Dovecot:
    fake = Dovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_: fake)
    return fake


def view_rows(mailbox: Mailbox) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT secret_hash, slot, protocols, active, reason FROM mail_device WHERE address = %s ORDER BY id",
            [mailbox.address],
        )
        return list(cursor.fetchall())


def fill(mailbox: Mailbox) -> list[DevicePassword]:
    """Take every slot."""
    return [create_device(mailbox=mailbox, label=f"Device {slot}")[0] for slot in SLOTS]


def expire(device: DevicePassword) -> None:
    """Let its time be over, long enough for PostgreSQL too, to which now is when the test's transaction began."""
    device.expires_at = timezone.now() - timedelta(hours=1)
    device.save(update_fields=["expires_at"])


def test_dovecot_finds_what_was_made(cast: Cast) -> None:
    device, password = create_device(mailbox=cast.mailbox, label="  Office   PC ", by=cast.owner)
    assert (device.label, device.slot, device.created_by, device.pepper) == ("Office PC", 1, cast.owner, 1)
    hashed = hash_device_password(password, mail.pepper())
    assert view_rows(cast.mailbox) == [(hashed, 1, "|imap|pop3|", 1, None)]
    assert password not in repr(list(DevicePassword.objects.values()))
    new = renew_device(device=device)
    assert view_rows(cast.mailbox)[0][:2] == (hash_device_password(new, mail.pepper()), 1)
    revoke_device(device=device)
    assert view_rows(cast.mailbox)[0][3:] == (0, "device_revoked")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"label": " \n"}, "label"),
        ({"label": "x" * 61}, "label"),
        ({"label": "a\x00b"}, "label"),
        ({"label": "Main"}, "label"),
        ({"label": "office pc"}, "label"),
        ({"imap": False, "pop3": False}, "protocols"),
        ({"expires_at": timezone.now()}, "expires_at"),
    ],
)
def test_what_cannot_be_used_is_told(cast: Cast, values: dict[str, Any], field: str) -> None:
    create_device(mailbox=cast.mailbox, label="Office PC")
    with pytest.raises(Problem) as caught:
        create_device(mailbox=cast.mailbox, **({"label": "Phone"} | values))
    assert caught.value.field == field
    assert DevicePassword.objects.count() == 1


def test_a_revoked_ones_name_can_be_given_again(cast: Cast) -> None:
    first, _password = create_device(mailbox=cast.mailbox, label="PC")
    revoke_device(device=first)
    revoke_device(device=first)
    second, _password = create_device(mailbox=cast.mailbox, label="PC")
    assert (first.slot, second.slot) == (1, 2)
    for change in (renew_device, lambda *, device: edit_device(device=device, label="x")):
        with pytest.raises(Problem, match="revoked"):
            change(device=first)


def test_there_are_not_endlessly_many(cast: Cast) -> None:
    DevicePassword.objects.bulk_create(
        DevicePassword(mailbox=cast.mailbox, label=str(number), secret_hash=f"{number:064d}")
        for number in range(MOST)
    )
    with pytest.raises(Problem, match="at most 100"):
        create_device(mailbox=cast.mailbox, label="One more")


def test_slots_are_given_until_there_are_none(cast: Cast) -> None:
    fill(cast.mailbox)
    assert free_slots(cast.mailbox) == 0
    with pytest.raises(NoFreeSlot, match="share the view"):
        create_device(mailbox=cast.mailbox, label="Late")
    shared, _password = create_device(mailbox=cast.mailbox, label="Late", own_view=False)
    no_pop, _password = create_device(mailbox=cast.mailbox, label="Phone", pop3=False)
    assert (shared.slot, no_pop.slot) == (None, None)


def test_a_slot_is_free_when_its_marks_are_gone(
    cast: Cast, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailbackend.maildir.has_removed_mail", lambda *_: True)
    devices = fill(cast.mailbox)
    dovecot.marked = {("*", POP_KEYWORDS[3]), (".EXPUNGED/all", POP_KEYWORDS[3]), ("*", POP_KEYWORDS[2])}
    dovecot.moves = 1
    assert draining.drain(devices[2].pk) is False  # it is in use
    revoke_device(device=devices[2])
    states = slots_of(cast.mailbox)
    assert [slot.state for slot in states].count(Slot.USED) == len(SLOTS) - 1
    assert (states[2].state, states[2].device) == (Slot.DRAINING, devices[2])
    with pytest.raises(NoFreeSlot):
        create_device(mailbox=cast.mailbox, label="New")
    job = Job.objects.get(kind="drain_slot")
    assert job.due_at > timezone.now() + timedelta(seconds=sessions.KICKS_AFTER[-1])
    assert tasks.drain_slot(**job.arguments) == {"freed": True}
    assert tasks.drain_slot(**job.arguments) == {"freed": False}
    assert (dovecot.marked, dovecot.cleared) == ({("*", POP_KEYWORDS[2])}, 2)
    assert create_device(mailbox=cast.mailbox, label="New")[0].slot == 3


@pytest.mark.parametrize("trouble", [MailServiceDown("away"), DoveadmError("no")])
def test_a_slot_that_cannot_be_cleaned_stays_closed(cast: Cast, dovecot: Dovecot, trouble: Exception) -> None:
    device, _password = create_device(mailbox=cast.mailbox, label="PC")
    revoke_device(device=device)
    dovecot.fails = trouble
    job = Job.objects.get(kind="drain_slot")
    Job.objects.update(due_at=timezone.now())
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.attempts) == (Job.State.QUEUED, 1)
    dovecot.fails, dovecot.moves = None, 99
    with pytest.raises(Problem, match="moved"):
        draining.drain(device.pk)
    assert slots_of(cast.mailbox)[0].state == Slot.DRAINING


def test_a_message_that_was_removed_meanwhile_is_cleaned_too(
    cast: Cast, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first that was ever removed: there was no folder of removed messages when the cleaning began."""
    device, _password = create_device(mailbox=cast.mailbox, label="PC")
    revoke_device(device=device)
    mark = POP_KEYWORDS[1]
    dovecot.marked = {(".EXPUNGED/all", mark)}
    monkeypatch.setattr("mailbackend.maildir.has_removed_mail", lambda *_: dovecot.cleared > 0)
    assert draining.drain(device.pk) is True
    assert dovecot.marked == set()


@pytest.mark.parametrize("marked", [False, True])
def test_a_mailbox_that_got_another_address_meanwhile_keeps_its_slot_closed(
    cast: Cast, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, *, marked: bool
) -> None:
    device, _password = create_device(mailbox=cast.mailbox, label="PC")
    revoke_device(device=device)

    def rename(*_: object, **_more: object) -> bool:
        Mailbox.objects.filter(pk=cast.mailbox.pk).update(address=f"anne@{cast.domain.name}")
        return marked

    monkeypatch.setattr(dovecot, "is_marked", rename)
    assert draining.drain(device.pk) is False
    # Whoever has the old address by then keeps their marks.
    assert dovecot.cleared == 1
    assert slots_of(cast.mailbox)[0].state == Slot.DRAINING


def test_a_mailbox_that_was_deleted_meanwhile_gets_none(cast: Cast) -> None:
    """Whoever asks holds the row as it was before."""
    device, _password = create_device(mailbox=cast.mailbox, label="PC")
    services.delete_mailbox(mailbox=Mailbox.objects.get())
    assert cast.mailbox.deleted_at is None
    with pytest.raises(Problem, match="is deleted"):
        create_device(mailbox=cast.mailbox, label="Phone")
    with pytest.raises(Problem, match="is deleted"):
        renew_device(device=device)


def test_a_slot_whose_job_is_gone_is_found(cast: Cast, dovecot: Dovecot) -> None:
    device, _password = create_device(mailbox=cast.mailbox, label="PC")
    create_device(mailbox=cast.mailbox, label="In use")
    revoke_device(device=device)
    DevicePassword.objects.filter(pk=device.pk).update(revoked_at=timezone.now() - timedelta(minutes=1))
    assert draining.without_job() == []
    Job.objects.filter(kind="drain_slot").update(state=Job.State.FAILED)
    assert draining.without_job() == [device]
    # Nothing is done in a mailbox that is deleted; when it comes back, its slot is found.
    services.delete_mailbox(mailbox=cast.mailbox)
    assert draining.without_job() == []
    assert draining.drain(device.pk) is False
    services.restore_mailbox(mailbox=cast.mailbox)
    services.suspend_mailbox(mailbox=cast.mailbox)
    tasks.start_draining_left_over()
    assert draining.without_job() == []
    assert tasks.drain_slot(**Job.objects.get(kind="drain_slot", state=Job.State.QUEUED).arguments)["freed"]


def test_a_device_that_moves_begins_where_the_main_password_was(cast: Cast, dovecot: Dovecot) -> None:
    dovecot.marked = {("INBOX", "$PopMain")}
    device, _password = create_device(mailbox=cast.mailbox, label="PC", continues_main=True)
    assert device.slot == 1
    assert ("INBOX", "$Pop1") in dovecot.marked
    shared, _password = create_device(mailbox=cast.mailbox, label="B", continues_main=True, own_view=False)
    assert shared.slot is None
    dovecot.fails = MailServiceDown("away")
    with pytest.raises(Problem, match="revoked again"):
        create_device(mailbox=cast.mailbox, label="Late", continues_main=True)
    late = DevicePassword.objects.get(label="Late")
    assert (late.state, slots_of(cast.mailbox)[1].state) == (DevicePassword.State.REVOKED, Slot.DRAINING)
    assert Job.objects.get(kind="drain_slot").due_at > timezone.now() + timedelta(minutes=9)


def test_what_shuts_out_ends_sessions_of_mail_and_not_of_the_panel(cast: Cast) -> None:
    owner = owner_of(cast.mailbox)
    assert owner is not None
    device, _password = create_device(mailbox=cast.mailbox, label="PC")
    assert not Job.objects.filter(kind="kick_mailbox").exists()
    for change in (
        lambda: renew_device(device=device),
        lambda: edit_device(device=device, imap=False),
        lambda: require_devices(mailbox=cast.mailbox, required=True),
        lambda: revoke_device(device=device),
    ):
        change()
        assert Job.objects.filter(kind="kick_mailbox").count() == len(sessions.KICKS_AFTER)
        Job.objects.filter(kind="kick_mailbox").delete()
    edit = create_device(mailbox=cast.mailbox, label="Other")[0]
    edit_device(device=edit, label="Another", imap=True, expires_at=timezone.now() + timedelta(days=1))
    require_devices(mailbox=cast.mailbox, required=False)
    assert not Job.objects.filter(kind="kick_mailbox").exists()
    assert User.objects.get(pk=owner.pk).password == owner.password


def test_who_has_expired_is_ended_once(cast: Cast) -> None:
    device, _password = create_device(
        mailbox=cast.mailbox, label="Guest", expires_at=timezone.now() + timedelta(days=1)
    )
    tasks.start_ending_expired_devices()
    assert not Job.objects.filter(kind="end_expired_devices").exists()
    expire(device)
    assert view_rows(cast.mailbox)[0][3:] == (0, "device_expired")
    tasks.start_ending_expired_devices()
    assert Job.objects.filter(kind="end_expired_devices").count() == 1
    assert tasks.end_expired_devices() == {"ended": 1}
    assert tasks.end_expired_devices() == {"ended": 0}
    assert Job.objects.filter(kind="kick_mailbox").exists()
    assert slots_of(cast.mailbox)[0].state == Slot.USED
    device.refresh_from_db()
    with pytest.raises(Problem, match="expired"):
        renew_device(device=device)
    edit_device(device=device, expires_at=timezone.now() + timedelta(days=1))
    assert device.state == DevicePassword.State.ACTIVE
    expire(device)
    assert tasks.end_expired_devices() == {"ended": 1}


def test_the_main_password_can_be_shut_out_of_mail(cast: Cast) -> None:
    def login() -> tuple[Any, ...]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT active, reason FROM mail_login WHERE address = %s", [cast.mailbox.address])
            return tuple(cursor.fetchone())

    call_command("setmailbox", cast.mailbox.address, "--require-device-passwords", "--json")
    assert login() == (0, "device_required")
    call_command("setmailbox", cast.mailbox.address, "--allow-main-password", "--json")
    assert login() == (1, None)


def test_commands_make_and_revoke(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    address = cast.mailbox.address
    call_command("createdevice", address, "--label", "PC", "--protocols", "pop3", "--expires", "2999-12-31")
    device = DevicePassword.objects.get(label="PC")
    assert (device.protocols, device.slot) == (["pop3"], 1)
    assert device.expires_at == timezone.make_aware(datetime(3000, 1, 1))
    assert "password: " in capsys.readouterr().out
    call_command("createdevice", address, "--label", "Shared", "--shared-view")
    assert DevicePassword.objects.get(label="Shared").slot is None
    call_command("revokedevice", address, "--label", "PC")
    device.refresh_from_db()
    assert device.state == DevicePassword.State.REVOKED
    for arguments in (
        ("revokedevice", address, "--label", "PC"),
        ("createdevice", address, "--label", "x", "--expires", "yesterday"),
        ("createdevice", address, "--label", "x", "--expires", "9999-12-31T23:59:59-12:00"),
        ("createdevice", address, "--label", "x", "--protocols", "smtp"),
        ("createdevice", "nobody@nowhere.test", "--label", "x"),
    ):
        with pytest.raises(CommandError):
            call_command(*arguments)


def test_others_do_not_see_them(cast: Cast) -> None:
    device, _password = create_device(mailbox=cast.mailbox, label="PC")
    for person in (cast.admin, cast.owner, cast.reader):
        assert list(devices_for(person, cast.mailbox)) == [device]
    assert list(devices_for(cast.stranger, cast.mailbox)) == []
    other = services.create_mailbox(domain=cast.domain, local_part="ben", password=PASSWORD)
    ben = owner_of(other)
    assert ben is not None
    assert list(devices_for(ben, cast.mailbox)) == []


@pytest.mark.django_db(transaction=True)
def test_the_last_slot_is_given_once() -> None:
    """Two at once: one has it, the other is told that there is none."""
    mailbox = make_cast().mailbox
    for slot in SLOTS[:-1]:
        create_device(mailbox=mailbox, label=f"Device {slot}")
    made: list[str] = []
    barrier = threading.Barrier(2)

    def make(label: str) -> None:
        try:
            barrier.wait()
            create_device(mailbox=Mailbox.objects.get(pk=mailbox.pk), label=label)
            made.append(label)
        except NoFreeSlot:
            made.append("none")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=make, args=(label,)) for label in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made.count("none") == 1
