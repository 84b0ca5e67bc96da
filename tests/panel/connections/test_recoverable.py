"""Ending removed mail: what is over and what is too much, nothing before, whatever the mail service does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from mailbackend.dovecot.doveadm import (
    DoveadmError,
    Headers,
    KeptMessage,
    NobodyListens,
    Recoverable,
    UnknownMailbox,
)
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.addresses.services import create_mailbox
from panel.connections import recoverable, tasks
from panel.connections.models import RemovedMessage
from panel.core import mail
from panel.core.models import Installation, Job
from tests.cast import PASSWORD, Cast

NOW = timezone.now().replace(microsecond=0)
DAY = timedelta(days=1)


@dataclass
class FakeDovecot:
    """The part of doveadm's client that is used, about mailboxes in memory."""

    kept: dict[str, dict[int, KeptMessage]] = field(default_factory=dict)
    trouble: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def remove(self, mailbox: Mailbox, uid: int, at: datetime, size: int = 100) -> None:
        """Have something removed, and the recorder store its row."""
        (settings.DATA_DIR.mail / mailbox.home / "expunged" / ".all").mkdir(parents=True, exist_ok=True)
        self.kept.setdefault(mailbox.address, {})[uid] = KeptMessage(uid, at, size)
        RemovedMessage.objects.create(
            mailbox=mailbox,
            node="n",
            session=f"s{uid}",
            protocol="imap",
            folder="INBOX",
            uid=uid,
            removed_at=at,
        )

    def recoverable(self, address: str) -> Recoverable:
        messages = self._of(address)
        size = sum(message.size for message in messages.values())
        return Recoverable(len(messages), size, max(messages, default=0) + 1)

    def kept_messages(
        self, address: str, uids: range, *, before: datetime | None = None
    ) -> list[KeptMessage]:
        return [
            message
            for uid, message in sorted(self._of(address).items())
            if uid in uids and (before is None or message.removed_at < before)
        ]

    def kept_headers(self, address: str, uids: Iterable[int]) -> dict[int, Headers]:
        return {uid: Headers("Bea", f"Subject {uid}", "then") for uid in uids if uid in self._of(address)}

    def end_messages(self, address: str, uids: Iterable[int]) -> None:
        for uid in uids:
            del self._of(address)[uid]

    def uids(self, mailbox: Mailbox) -> list[int]:
        return sorted(self.kept[mailbox.address])

    def _of(self, address: str) -> dict[int, KeptMessage]:
        self.asked.append(address)
        if address in self.trouble:
            raise self.trouble[address]
        return self.kept[address]


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> FakeDovecot:
    fake = FakeDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    return fake


def row_uids(mailbox: Mailbox) -> list[int]:
    return sorted(RemovedMessage.objects.filter(mailbox=mailbox).values_list("uid", flat=True))


def test_what_is_over_ends_with_its_row_and_nothing_before(cast: Cast, dovecot: FakeDovecot) -> None:
    box = cast.mailbox
    for uid, age in enumerate((20 * DAY, 14 * DAY + timedelta(seconds=1), 14 * DAY, 13 * DAY, 0 * DAY), 1):
        dovecot.remove(box, uid, NOW - age)
    report, last = recoverable.end_old(now=NOW)
    assert (report.mailboxes, report.messages, report.bytes, report.failures) == (1, 2, 200, [])
    assert last is None
    assert dovecot.uids(box) == row_uids(box) == [3, 4, 5]
    assert recoverable.end_old(now=NOW)[0].messages == 0


def test_how_long_is_a_setting(cast: Cast, dovecot: FakeDovecot) -> None:
    dovecot.remove(cast.mailbox, 1, NOW - 20 * DAY)
    Installation.objects.update(recovery_days=30)
    assert recoverable.end_old(now=NOW)[0].messages == 0
    assert recoverable.end_old(now=NOW + 11 * DAY)[0].messages == 1


def test_a_dry_run_ends_nothing(cast: Cast, dovecot: FakeDovecot) -> None:
    dovecot.remove(cast.mailbox, 1, NOW - 20 * DAY)
    assert recoverable.end_old(now=NOW, dry_run=True)[0].messages == 1
    assert dovecot.uids(cast.mailbox) == row_uids(cast.mailbox) == [1]


def test_what_is_more_than_the_quota_ends_oldest_first(cast: Cast, dovecot: FakeDovecot) -> None:
    box = cast.mailbox
    # Not in the order of UIDs, which a lost index can change.
    for uid, hours in ((1, 1), (2, 5), (3, 3), (4, 2), (5, 4)):
        dovecot.remove(box, uid, NOW - timedelta(hours=hours))
    assert recoverable.end_old(now=NOW)[0].messages == 0
    for quota, left in ((500, [1, 2, 3, 4, 5]), (499, [1, 3, 4, 5]), (250, [1, 4]), (1, [])):
        Mailbox.objects.filter(pk=box.pk).update(quota_bytes=quota)
        recoverable.end_old(now=NOW)
        assert dovecot.uids(box) == row_uids(box) == left, quota


def test_what_is_over_ends_first_and_counts_for_the_bound(cast: Cast, dovecot: FakeDovecot) -> None:
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=200)
    for uid, age in enumerate((20 * DAY, 19 * DAY, 2 * DAY, 1 * DAY), 1):
        dovecot.remove(cast.mailbox, uid, NOW - age)
    assert recoverable.end_old(now=NOW)[0].messages == 2
    assert dovecot.uids(cast.mailbox) == [3, 4]


def test_whoever_has_the_address_by_then_loses_nothing(
    cast: Cast, dovecot: FakeDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mailbox without a bound gets the address of a small one while that is looked at."""
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=1)
    dovecot.remove(cast.mailbox, 1, NOW - DAY)
    asked = dovecot.recoverable

    def renamed(address: str) -> Recoverable:
        Mailbox.objects.filter(pk=cast.mailbox.pk).update(address=f"anne@{cast.domain.name}")
        return asked(address)

    monkeypatch.setattr(dovecot, "recoverable", renamed)
    report, _last = recoverable.end_old(now=NOW)
    assert (report.messages, report.failures) == (0, [])
    assert dovecot.uids(cast.mailbox) == row_uids(cast.mailbox) == [1]


def test_a_large_folder_is_gone_through_in_parts(
    cast: Cast, dovecot: FakeDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverable, "UIDS_AT_ONCE", 3)
    for uid in range(1, 11):
        dovecot.remove(cast.mailbox, uid, NOW - 20 * DAY)
    assert recoverable.end_old(now=NOW)[0].messages == 10


def test_trouble_with_one_mailbox_is_told_and_holds_nobody_up(cast: Cast, dovecot: FakeDovecot) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    gone = create_mailbox(domain=cast.domain, local_part="gone", password=PASSWORD)
    for box in (cast.mailbox, other, gone):
        dovecot.remove(box, 1, NOW - 20 * DAY)
    dovecot.trouble = {
        cast.mailbox.address: DoveadmError("It is busy."),
        gone.address: UnknownMailbox("No such mailbox."),
    }
    report, _last = recoverable.end_old(now=NOW)
    assert (report.mailboxes, report.messages) == (1, 1)
    assert [(failure.subject, failure.mendable) for failure in report.failures] == [
        (cast.mailbox.address, True)
    ]
    # What is still there keeps its row.
    assert (row_uids(cast.mailbox), row_uids(other), row_uids(gone)) == ([1], [], [1])


def test_without_a_mail_service_the_job_fails_and_is_tried_again(cast: Cast, dovecot: FakeDovecot) -> None:
    dovecot.remove(cast.mailbox, 1, NOW - 20 * DAY)
    dovecot.trouble = {cast.mailbox.address: NobodyListens("It does not run.")}
    with pytest.raises(NobodyListens):
        recoverable.end_old(now=NOW)
    assert row_uids(cast.mailbox) == [1]


def test_rows_left_over_by_a_run_that_was_cut_off_go(cast: Cast, dovecot: FakeDovecot) -> None:
    dovecot.remove(cast.mailbox, 1, NOW - 20 * DAY)
    dovecot.remove(cast.mailbox, 2, NOW)
    del dovecot.kept[cast.mailbox.address][1]
    recoverable.end_old(now=NOW)
    assert row_uids(cast.mailbox) == [2]


def test_mailboxes_without_removed_mail_and_deleted_ones_are_left_alone(
    cast: Cast, dovecot: FakeDovecot
) -> None:
    deleted = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    dovecot.remove(deleted, 1, NOW - 20 * DAY)
    services.delete_mailbox(mailbox=deleted)
    recoverable.end_old(now=NOW)
    assert dovecot.asked == []
    assert row_uids(deleted) == [1]


def test_one_run_is_bounded_and_another_job_goes_on(
    cast: Cast, dovecot: FakeDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverable, "PAGE", 1)
    monkeypatch.setattr(recoverable, "AT_A_TIME", -1)
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    for box in (cast.mailbox, other):
        dovecot.remove(box, 1, NOW - 20 * DAY)
    assert tasks.end_removed_mail()["mailboxes"] == 1
    job = Job.objects.get(kind="end_removed_mail")
    assert job.arguments == {"at": None, "dry_run": False, "after": cast.mailbox.pk}
    assert tasks.end_removed_mail(**job.arguments)["mailboxes"] == 1
    assert dovecot.uids(other) == []


def test_too_much_does_not_wait_for_the_night(cast: Cast, dovecot: FakeDovecot) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    Mailbox.objects.filter(pk=cast.mailbox.pk).update(quota_bytes=250)
    for uid in range(1, 5):
        dovecot.remove(cast.mailbox, uid, timezone.now() - timedelta(hours=1))
        dovecot.remove(other, uid, timezone.now())
    tasks.start_ending_too_much()
    assert not Job.objects.filter(kind="end_too_much_removed_mail").exists()
    dovecot.remove(cast.mailbox, 5, timezone.now())
    tasks.start_ending_too_much()
    job = Job.objects.get(kind="end_too_much_removed_mail")
    assert tasks.end_too_much_removed_mail(**job.arguments)["messages"] == 3
    assert dovecot.uids(cast.mailbox) == [4, 5]
    assert other.address not in dovecot.asked


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_command_lists_what_can_be_brought_back(cast: Cast, dovecot: FakeDovecot) -> None:
    box = cast.mailbox
    assert run("removedmail", box.address) == []
    dovecot.remove(box, 1, NOW - DAY)
    dovecot.remove(box, 2, NOW)
    RemovedMessage.objects.filter(uid=1).delete()
    late, early = run("removedmail", box.address)
    assert late == {
        "id": 2,
        "folder": "INBOX",
        "removed_at": NOW.isoformat(),
        "protocol": "imap",
        "session": "s2",
        "size": 100,
        "from": "Bea",
        "subject": "Subject 2",
        "date": "then",
        "until": (NOW + 14 * DAY).isoformat(),
    }
    # Removed while the log was lost: it can be brought back all the same.
    assert (early["id"], early["folder"], early["session"]) == (1, None, None)
    assert early["removed_at"] == (NOW - DAY).isoformat()
    out = StringIO()
    call_command("removedmail", box.address, stdout=out)
    assert len(out.getvalue().splitlines()) == 2


def test_the_command_says_what_is_wrong(cast: Cast, dovecot: FakeDovecot) -> None:
    with pytest.raises(CommandError, match="no mailbox"):
        run("removedmail", f"nobody@{cast.domain.name}")
    dovecot.remove(cast.mailbox, 1, NOW)
    dovecot.trouble = {cast.mailbox.address: DoveadmError("It is busy.")}
    with pytest.raises(CommandError, match="busy"):
        run("removedmail", cast.mailbox.address)


def test_another_time_needs_a_dry_run(cast: Cast, dovecot: FakeDovecot) -> None:
    dovecot.remove(cast.mailbox, 1, NOW)
    later = (NOW + 15 * DAY).isoformat()
    with pytest.raises(CommandError, match="dry-run"):
        run("endremovedmail", "--at", later)
    assert run("endremovedmail", "--at", later, "--dry-run")["messages"] == 1
    assert run("endremovedmail")["messages"] == 0
    assert dovecot.uids(cast.mailbox) == [1]
