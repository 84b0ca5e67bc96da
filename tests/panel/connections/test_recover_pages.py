"""The page of removed mail: who sees what, and what its buttons do, with a mail service in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from mailbackend.dovecot.doveadm import DoveadmError, Headers, NobodyListens, Quota
from mailbackend.maildir import POP_KEYWORDS
from panel.accounts.models import User
from panel.addresses.models import Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.services import suspend_mailbox
from panel.connections import recovering, restoring, tasks
from panel.connections.models import RemovedMessage
from panel.connections.restoring import Choice, restore
from panel.core import mail
from panel.core.jobs import run_in_foreground
from panel.core.models import AuditEntry, Job
from tests.cast import Cast
from tests.panel.connections.rows import row as connection_row
from tests.panel.connections.test_recoverable import FakeDovecot

NOW = timezone.now().replace(microsecond=0)
HOUR = timedelta(hours=1)
EVIL = "<script>alert(1)</script>"


@dataclass
class Dovecot(FakeDovecot):
    """The same, with folders that messages are put back to."""

    back: dict[int, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=lambda: {"INBOX", "Archive"})
    unflagged: set[str] = field(default_factory=set)
    refuses: tuple[str, ...] = ()
    room: Quota = field(default_factory=lambda: Quota(0, None, 0))
    heads: dict[int, Headers] = field(default_factory=dict)

    def kept_headers(self, address: str, uids: Iterable[int]) -> dict[int, Headers]:
        return super().kept_headers(address, uids) | {
            uid: self.heads[uid] for uid in uids if uid in self.heads
        }

    def quota(self, _address: str) -> Quota:
        return self.room

    def folders(self, _address: str) -> set[str]:
        return set(self.names)

    def create_folder(self, _address: str, folder: str) -> bool:
        if "\n" in folder:
            raise ValueError(folder)
        if "." in folder:
            return False
        self.names.add(folder)
        return True

    def put_back(
        self, address: str, uids: Iterable[int], folder: str, *, without: Sequence[str] = ()
    ) -> None:
        assert folder in self.names
        self.unflagged |= set(without)
        for number, uid in enumerate(uids):
            if folder in self.refuses and number:
                raise DoveadmError("The mail service refused 'move'.")
            if self._of(address).pop(uid, None):
                self.back[uid] = folder


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> Dovecot:
    fake = Dovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    return fake


@pytest.fixture
def three(cast: Cast, dovecot: Dovecot) -> Mailbox:
    """Three messages, removed one after the other from INBOX."""
    for uid in (1, 2, 3):
        dovecot.remove(cast.mailbox, uid, NOW - (4 - uid) * HOUR)
    return cast.mailbox


def page(client: Client, mailbox: Mailbox, **query: Any) -> str:
    answer = client.get(reverse("list_removed_mail", args=[mailbox.pk]), query)
    assert answer.status_code == 200
    return answer.content.decode()


def press(client: Client, name: str, mailbox: Mailbox, **values: Any) -> str:
    answer = client.post(reverse(name, args=[mailbox.pk]), values, follow=True)
    return str(answer.content.decode())


def moved_from(mailbox: Mailbox, uid: int, folder: str) -> None:
    RemovedMessage.objects.filter(mailbox=mailbox, uid=uid).update(folder=folder)


def row_uids(mailbox: Mailbox) -> list[int]:
    return sorted(RemovedMessage.objects.filter(mailbox=mailbox).values_list("uid", flat=True))


def owner_client(mailbox: Mailbox) -> Client:
    owner = owner_of(mailbox)
    assert owner is not None
    client = Client()
    client.force_login(owner, settings.AUTHENTICATION_BACKENDS[-1])
    return client


def test_each_goes_back_to_its_folder_which_is_made_again(three: Mailbox, dovecot: Dovecot) -> None:
    for uid in range(4, 9):
        dovecot.remove(three, uid, NOW)
    dovecot.names.add("L" * 70)
    for uid, folder in (
        (2, "Gone/Été"),
        (3, "L" * 61 + "..."),
        (4, "Unknown..."),
        (5, "with.dot"),
        (6, "new\nline"),
        (7, "Archive"),
    ):
        moved_from(three, uid, folder)
    RemovedMessage.objects.filter(uid=8).delete()
    assert restore(three, Choice()).restored == 8
    assert dovecot.back == {
        1: "INBOX",
        2: "Gone/Été",
        3: "L" * 70,
        4: "INBOX",
        5: "INBOX",
        6: "INBOX",
        7: "Archive",
        8: "INBOX",
    }
    assert dovecot.unflagged == {r"\Deleted"}
    assert row_uids(three) == []
    assert restore(three, Choice()).restored == 0


def test_what_has_no_room_stays_with_its_row(three: Mailbox, dovecot: Dovecot) -> None:
    three.quota_bytes = 1250
    dovecot.room = Quota(1000, 1250, 9)
    result = restore(three, Choice())
    assert (result.restored, result.no_room) == (2, 1)
    assert dovecot.uids(three) == row_uids(three) == [1]
    assert "no room" in result.problems(three)[0]
    dovecot.room = Quota(1300, 1250, 9)
    assert restore(three, Choice()).restored == 0


def test_what_one_folder_refuses_keeps_no_other_from_it(three: Mailbox, dovecot: Dovecot) -> None:
    moved_from(three, 2, "Archive")
    dovecot.refuses = ("INBOX",)
    result = restore(three, Choice())
    assert result.restored == 2
    assert dovecot.uids(three) == row_uids(three) == [1]
    assert result.problems(three) == ["The mail service refused 'move'."]


def test_cut_off_it_goes_on_with_the_rest(
    three: Mailbox, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "AT_ONCE", 1)
    put_back = dovecot.put_back

    def breaks(address: str, uids: Iterable[int], folder: str, **values: Any) -> None:
        put_back(address, uids, folder, **values)
        if dovecot.uids(three) == [1]:
            raise NobodyListens("The mail service does not answer.")

    monkeypatch.setattr(dovecot, "put_back", breaks)
    with pytest.raises(NobodyListens):
        restore(three, Choice())
    monkeypatch.setattr(dovecot, "put_back", put_back)
    assert restore(three, Choice()).restored == 1
    assert set(dovecot.back) == {1, 2, 3}


def test_the_page_tells_what_it_was_and_what_removed_it(
    three: Mailbox, dovecot: Dovecot, cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    dovecot.heads[2] = Headers(EVIL, EVIL, "then")
    moved_from(three, 2, EVIL)
    session = connection_row(three, node="n", session="s3", client_name="Thunderbird", client_version="140")
    shown = page(signed_in(cast.manager), three)
    assert shown.index("Subject 3") < shown.index("Subject 1")
    assert EVIL not in shown
    assert "&lt;script&gt;" in shown
    assert "Thunderbird 140" in shown
    assert reverse("show_connection", args=[session.pk]) in shown
    assert reverse("show_connection", args=[session.pk]) not in page(owner_client(three), three)
    assert "Subject 1" not in page(signed_in(cast.manager), three, q="subject 3")
    assert "No deleted message fits" in page(signed_in(cast.manager), three, q="zzzz")


def test_who_may_only_read_sees_no_button_and_presses_none(
    three: Mailbox, dovecot: Dovecot, cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(cast.reader)
    shown = page(client, three)
    assert "Subject 3" in shown
    assert reverse("erase_removed_mail", args=[three.pk]) not in shown
    for name in ("restore_removed_mail", "erase_removed_mail"):
        assert client.post(reverse(name, args=[three.pk]), {"id": "1"}).status_code == 403
    stranger = signed_in(cast.stranger)
    assert stranger.get(reverse("list_removed_mail", args=[three.pk])).status_code == 404
    assert dovecot.uids(three) == [1, 2, 3]


def test_ticked_messages_come_back_and_the_trail_has_numbers_alone(three: Mailbox, dovecot: Dovecot) -> None:
    client = owner_client(three)
    assert "2 messages are back" in press(
        client, "restore_removed_mail", three, id=["1", "3", "x", "9" * 30], offer_to_pop="on"
    )
    assert dovecot.uids(three) == [2]
    assert dovecot.unflagged == {r"\Deleted", *POP_KEYWORDS}
    entry = AuditEntry.objects.get(action="mailbox.mail_restored")
    assert (entry.after, entry.customer_id) == ({"restored_messages": 2}, three.domain.customer_id)
    assert "Tick the messages" in press(client, "restore_removed_mail", three)


def test_a_few_since_a_time_come_back_at_once_and_many_by_a_job(
    three: Mailbox, dovecot: Dovecot, cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(cast.manager)
    since = timezone.localtime(NOW - 2 * HOUR).strftime("%Y-%m-%dT%H:%M:%S")
    assert "2 messages are back" in press(client, "restore_removed_mail", three, since=since)
    assert dovecot.uids(three) == [1]
    for uid in range(4, 60):
        dovecot.remove(three, uid, NOW - 1 * HOUR)
    assert "being brought back" in press(client, "restore_removed_mail", three, since=since)
    job = Job.objects.get(kind="restore_removed_mail")
    assert tasks.restore_removed_mail(**job.arguments) == {"asked": 56, "restored": 56}
    assert AuditEntry.objects.filter(action="mailbox.mail_restore_asked").count() == 1
    done = run_in_foreground("restore_removed_mail", **job.arguments)
    assert "0 messages are back" in page(client, three, job=done.pk)
    for bad in ("", "x", "9999-99-99T00:00"):
        assert "Choose a day and a time" in press(client, "restore_removed_mail", three, since=bad)


def test_erasing_asks_first_and_is_written_down(
    three: Mailbox, dovecot: Dovecot, cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(cast.manager)
    asked = client.get(reverse("erase_removed_mail", args=[three.pk]), {"id": ["1", "2", "77"]})
    assert "Erase 2 messages for good?" in asked.content.decode()
    assert dovecot.uids(three) == [1, 2, 3]
    assert "2 messages are erased" in press(client, "erase_removed_mail", three, id=["1", "2", "77"])
    assert dovecot.uids(three) == row_uids(three) == [3]
    assert AuditEntry.objects.get(action="mailbox.mail_erased").after == {"erased_messages": 2}


def test_without_the_mail_service_the_page_says_so(
    three: Mailbox, dovecot: Dovecot, cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    dovecot.trouble[three.address] = NobodyListens("The mail service does not answer: see whether it runs.")
    client = signed_in(cast.manager)
    answer = client.get(reverse("list_removed_mail", args=[three.pk]))
    assert answer.status_code == 503
    assert "cannot be listed now" in answer.content.decode()
    for name in ("restore_removed_mail", "erase_removed_mail"):
        assert client.post(reverse(name, args=[three.pk]), {"id": "1"}).status_code == 302


def test_nothing_removed_teaches_and_a_long_list_has_pages(
    cast: Cast, dovecot: Dovecot, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(cast.owner)
    assert "Nothing to recover" in page(client, cast.mailbox)
    for uid in range(1, 121):
        dovecot.remove(cast.mailbox, uid, NOW - HOUR)
    shown = page(client, cast.mailbox, page=3)
    assert shown.count('name="id"') == 20


def test_nothing_to_recover_of_a_suspended_mailbox_leads_nowhere(
    cast: Cast, dovecot: Dovecot, signed_in: Callable[[User], Client]
) -> None:
    suspend_mailbox(mailbox=cast.mailbox)
    shown = page(signed_in(cast.owner), cast.mailbox)
    assert "Nothing to recover" in shown
    assert f'href="{reverse("resume_mailbox", args=[cast.mailbox.pk])}"' not in shown


def test_a_deleted_mailbox_gives_nothing_back(
    three: Mailbox, dovecot: Dovecot, cast: Cast, signed_in: Callable[[User], Client]
) -> None:
    Mailbox.objects.filter(pk=three.pk).update(deleted_at=NOW)
    client = signed_in(cast.manager)
    assert "Once the mailbox is restored" in page(client, three)
    since = timezone.localtime(NOW - 5 * HOUR).strftime("%Y-%m-%dT%H:%M")
    for values in ({"id": "1"}, {"since": since}):
        assert "restore it first" in press(client, "restore_removed_mail", three, **values)
    assert dovecot.uids(three) == [1, 2, 3]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Thu, 3 Sep 2026 10:02:00 +0200", "09/03/2026 10:02 a.m."),
        ("3 Sep 2026 08:02:00 -0000", "09/03/2026 10:02 a.m."),
        ("Fri, 31 Dec 9999 23:59:00 -2300", "Fri, 31 Dec 9999 23:59:00 -2300"),
        ("yesterday\x1b[31m", "yesterday?[31m"),
        ("", ""),
    ],
)
def test_when_a_message_was_written_is_told_in_words(said: str, shown: str) -> None:
    with timezone.override("Europe/Paris"), translation.override("en"):
        assert recovering._written(said) == shown
