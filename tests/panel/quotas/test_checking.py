"""The check of quotas: what changed is asked about, what is kept is true, what is wrong is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from mailbackend import maildir
from mailbackend.dovecot.doveadm import (
    Answer,
    Command,
    DoveadmError,
    MailServiceDown,
    NobodyListens,
    Quota,
    UnknownMailbox,
)
from panel.addresses import services
from panel.addresses.models import Mailbox
from panel.addresses.report import Report
from panel.addresses.usage import file_state, refresh_usage
from panel.core import mail
from panel.core.clock import TEST_CLOCK
from panel.core.errors import Problem
from panel.core.models import Installation, Job
from panel.quotas import checking, looking
from panel.quotas.looking import Change, Looking
from panel.quotas.models import MailboxLook
from tests.cast import PASSWORD, Cast

KB = 1024
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@dataclass
class CountingDovecot:
    """A mail service in memory that counts what mailboxes hold.

    Attributes:
        holds: messages and bytes by address; what is not named is what the files hold.
        asked: the addresses of each question about several.
        trouble: what asking about an address ends with.
        down: what every question ends with; with `silent` so many questions do.
        meanwhile: called when it is asked, before it answers.
        recounts: whether counting anew helps.
    """

    holds: dict[str, tuple[int, int]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    trouble: dict[str, Answer] = field(default_factory=dict)
    down: DoveadmError | None = None
    silent: int = 0
    meanwhile: Callable[[], object] = lambda: None
    recounts: bool = True
    recounted: list[str] = field(default_factory=list)

    @property
    def all_asked(self) -> list[str]:
        """All addresses that were asked about together with others."""
        return [address for question in self.asked for address in question]

    def batch(self, commands: Sequence[Command]) -> list[Answer]:
        addresses = [str(command.parameters["user"]) for command in commands]
        self._answer()
        self.asked.append(addresses)
        self.meanwhile()
        return [self.trouble.get(address) or self._rows(address) for address in addresses]

    def quota(self, address: str) -> Quota:
        self._answer()
        if address in self.trouble:
            raise UnknownMailbox(f"The mail service knows no mailbox {address}.")
        messages, used = self._held(address)
        return Quota(used, None, messages)

    def recalculate(self, address: str) -> None:
        self.recounted.append(address)
        if self.recounts:
            self.holds.pop(address, None)

    def _rows(self, address: str) -> Answer:
        messages, used = self._held(address)
        storage = {"type": "STORAGE", "value": str(used // KB), "limit": "-"}
        return Answer((storage, {"type": "MESSAGE", "value": str(messages), "limit": "-"}))

    def _held(self, address: str) -> tuple[int, int]:
        if address in self.holds:
            return self.holds[address]
        home = Mailbox.objects.get(address=address, deleted_at=None).home_path
        usage = maildir.measure(settings.DATA_DIR.mail, home)
        return usage.messages, -(-usage.used_bytes // KB) * KB

    def _answer(self) -> None:
        if self.down is not None:
            raise self.down
        if self.silent:
            self.silent -= 1
            raise MailServiceDown("The mail service does not answer on /x: see whether it is running.")


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> CountingDovecot:
    """A mail service in memory."""
    fake = CountingDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    return fake


@pytest.fixture
def several(cast: Cast) -> list[Mailbox]:
    """Five mailboxes."""
    made = [
        services.create_mailbox(domain=cast.domain, local_part=f"box{number}", password=PASSWORD)
        for number in range(4)
    ]
    return [cast.mailbox, *made]


@pytest.fixture
def clock_of_tests() -> Iterator[None]:
    """Have commands take another time for now."""
    file: Path = settings.DATA_DIR.root / TEST_CLOCK
    file.touch()
    yield
    file.unlink()


def touch(mailbox: Mailbox, size: int = 1) -> None:
    """Do to a mailbox's file what Dovecot does when something changes."""
    file = settings.DATA_DIR.mail / mailbox.home / "Maildir" / "dovecot.list.index.log"
    file.write_bytes(b"x" * size)


def message(mailbox: Mailbox, name: str, size: int = 5 * KB, folder: str = "cur") -> Path:
    """Put a message into a mailbox without Dovecot."""
    file: Path = settings.DATA_DIR.mail / mailbox.home / "Maildir" / folder / name
    file.write_bytes(b"x" * size)
    return file


def check(**options: Any) -> Report:
    """Check, without comparing with files, which has its own tests."""
    return checking.check_quotas(**{"now": NOW, **options})


@pytest.fixture
def only_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare nothing with the files."""
    monkeypatch.setattr(checking, "COMPARED", 0)


@pytest.mark.usefixtures("only_looking")
def test_what_mailboxes_hold_is_kept(several: list[Mailbox], dovecot: CountingDovecot) -> None:
    version = several[0].version
    for number, mailbox in enumerate(several):
        dovecot.holds[mailbox.address] = (number, number * KB)
    report = check()
    assert (report.mailboxes, report.messages, report.bytes) == (5, 10, 10 * KB)
    assert report.failures == []
    for number, mailbox in enumerate(several):
        mailbox.refresh_from_db()
        assert (mailbox.used_bytes, mailbox.look.messages) == (number * KB, number)
        assert mailbox.look.looked_at == NOW
    assert several[0].version == version


@pytest.mark.usefixtures("only_looking")
def test_only_what_changed_is_asked_about(several: list[Mailbox], dovecot: CountingDovecot) -> None:
    check()
    dovecot.asked.clear()
    assert check().mailboxes == 5
    assert dovecot.asked == []
    touch(several[2])
    dovecot.holds[several[2].address] = (7, 70 * KB)
    report = check()
    assert dovecot.asked == [[several[2].address]]
    assert report.messages == 4 + 7
    # A quota that changed is a change too: what may be held is another share.
    services.edit_mailbox(mailbox=several[1], quota_bytes=100 * KB)
    check()
    assert dovecot.asked[1:] == [[several[1].address]]


@pytest.mark.usefixtures("only_looking")
def test_what_changes_while_it_is_asked_is_asked_again(
    several: list[Mailbox], dovecot: CountingDovecot
) -> None:
    check()
    dovecot.asked.clear()
    touch(several[0])
    dovecot.meanwhile = lambda: touch(several[0], size=2)
    check()
    dovecot.meanwhile = lambda: None
    check()
    check()
    assert dovecot.asked == [[several[0].address]] * 2


@pytest.mark.usefixtures("only_looking")
def test_few_queries_however_many_mailboxes_are_unchanged(
    several: list[Mailbox], dovecot: CountingDovecot, django_assert_max_num_queries: Any
) -> None:
    check()
    # The mail root, two pages of rows (the second is empty), and those to compare.
    with django_assert_max_num_queries(4):
        check()


@pytest.mark.usefixtures("only_looking")
def test_pages_and_questions_leave_none_out(
    several: list[Mailbox], dovecot: CountingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "PAGE", 3)
    for module in (looking, checking):
        monkeypatch.setattr(module, "TOGETHER", 2)
    assert check().mailboxes == 5
    assert [len(question) for question in dovecot.asked] == [2, 1, 2]
    assert sorted(dovecot.all_asked) == sorted(mailbox.address for mailbox in several)


@pytest.mark.usefixtures("only_looking")
def test_deleted_ones_are_left_out_and_suspended_ones_are_not(
    cast: Cast, several: list[Mailbox], dovecot: CountingDovecot
) -> None:
    services.delete_mailbox(mailbox=several[0])
    services.suspend_mailbox(mailbox=several[1])
    assert check().mailboxes == 4
    assert several[0].address not in dovecot.all_asked
    assert several[1].address in dovecot.all_asked
    services.delete_domain(domain=cast.domain)
    assert check().mailboxes == 0


@pytest.mark.usefixtures("only_looking")
def test_changes_are_told_once(several: list[Mailbox], dovecot: CountingDovecot) -> None:
    states = {
        mailbox.pk: file_state(settings.DATA_DIR.mail, mailbox.home, mailbox.quota_bytes)
        for mailbox in several
    }

    def changes() -> list[tuple[int, int | None, int]]:
        found: list[Change] = Looking(NOW).look_at(states).changes
        return [(change.mailbox.pk, change.used_before, change.used_now) for change in found]

    dovecot.holds = {mailbox.address: (1, 10 * KB) for mailbox in several}
    assert changes() == [(mailbox.pk, None, 10 * KB) for mailbox in several]
    assert changes() == []
    dovecot.holds[several[0].address] = (2, 90 * KB)
    # A page that asked meanwhile hides nothing.
    refresh_usage([several[0]])
    assert changes() == [(several[0].pk, 10 * KB, 90 * KB)]
    assert changes() == []
    states[several[0].pk] = "1:1:102400"
    assert changes() == [(several[0].pk, 90 * KB, 90 * KB)]


@pytest.mark.usefixtures("only_looking")
def test_a_dry_run_keeps_nothing(several: list[Mailbox], dovecot: CountingDovecot) -> None:
    dovecot.holds = {mailbox.address: (1, KB) for mailbox in several}
    assert check(dry_run=True).bytes == 5 * KB
    assert not MailboxLook.objects.exists()
    assert not Mailbox.objects.filter(used_bytes__isnull=False).exists()


@pytest.mark.usefixtures("only_looking")
def test_a_home_that_is_gone_is_reported_and_not_asked_about(
    several: list[Mailbox], dovecot: CountingDovecot
) -> None:
    shutil.rmtree(settings.DATA_DIR.mail / several[0].home)
    report = check()
    (failure,) = report.failures
    assert failure.subject == several[0].address
    assert "is gone: bring it back from a backup" in failure.problem
    assert (failure.mended, failure.mendable, report.mailboxes) == (False, False, 5)
    assert several[0].address not in dovecot.all_asked
    assert not (settings.DATA_DIR.mail / several[0].home).exists()


@pytest.mark.usefixtures("only_looking")
def test_one_that_dovecot_refuses_keeps_no_other_from_being_known(
    several: list[Mailbox], dovecot: CountingDovecot
) -> None:
    dovecot.trouble[several[1].address] = Answer(exit_code=75, error="exitCode")
    report = check()
    (failure,) = report.failures
    assert failure.subject == several[1].address
    assert "refused 'quotaGet' (exitCode, code 75)" in failure.problem
    assert MailboxLook.objects.count() == 4
    # It is asked about again, and known then.
    dovecot.trouble.clear()
    assert check().failures == []
    assert MailboxLook.objects.count() == 5


@pytest.mark.usefixtures("only_looking")
def test_one_that_was_renamed_meanwhile_is_no_failure(
    several: list[Mailbox], dovecot: CountingDovecot
) -> None:
    dovecot.trouble[several[1].address] = Answer(exit_code=67, error="exitCode")
    assert len(check().failures) == 1
    dovecot.meanwhile = lambda: Mailbox.objects.filter(pk=several[1].pk).update(
        local_part="new", address=several[1].address.replace("box0", "new")
    )
    assert check().failures == []


@pytest.mark.usefixtures("only_looking")
def test_without_the_mail_service_it_says_so(several: list[Mailbox], dovecot: CountingDovecot) -> None:
    dovecot.down = NobodyListens("The mail service does not answer on /x: see whether it is running.")
    with pytest.raises(Problem, match="does not answer"):
        check()


@pytest.mark.usefixtures("only_looking")
def test_a_question_that_takes_too_long_does_not_end_the_check(
    several: list[Mailbox], dovecot: CountingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "TOGETHER", 1)
    dovecot.silent = looking.SILENCES - 1
    report = check()
    assert [failure.mendable for failure in report.failures] == [True] * (looking.SILENCES - 1)
    assert "asked about again at the next check" in report.failures[0].problem
    dovecot.silent = looking.SILENCES
    for mailbox in several:
        touch(mailbox, size=9)
    with pytest.raises(Problem, match="does not answer"):
        check()


@pytest.mark.usefixtures("only_looking")
def test_without_the_mail_root_nothing_is_looked_at(several: list[Mailbox], dovecot: CountingDovecot) -> None:
    Installation.objects.update(mail_root_id="another")
    with pytest.raises(Problem, match="marker"):
        check()
    assert dovecot.asked == []


def test_files_without_the_virtual_size_in_their_names_are_no_drift(
    cast: Cast, dovecot: CountingDovecot
) -> None:
    message(cast.mailbox, "1.plain", size=8 * KB)
    message(cast.mailbox, ".not-a-message")
    held = maildir.measure(settings.DATA_DIR.mail, cast.mailbox.home_path)
    assert (held.messages, held.inexact_bytes) == (2, 8 * KB)
    dovecot.holds[cast.mailbox.address] = (2, held.used_bytes + 4 * KB)
    assert check().failures == []
    dovecot.holds[cast.mailbox.address] = (2, held.used_bytes + 10 * KB)
    assert [failure.mended for failure in check().failures] == [True]


def test_drift_is_mended_and_told(cast: Cast, dovecot: CountingDovecot) -> None:
    dovecot.holds[cast.mailbox.address] = (7, 70 * KB)
    message(cast.mailbox, "1.x,S=5120,W=5120:2,S")
    report = check()
    (failure,) = report.failures
    assert failure.problem.startswith(f"Dovecot counted 7 messages and {70 * KB} bytes, its files are 2 m")
    assert failure.problem.endswith("It has counted anew.")
    assert (failure.mended, report.found, report.mended, report.thorough) == (True, 1, 1, 1)
    assert dovecot.recounted == [cast.mailbox.address]
    cast.mailbox.refresh_from_db()
    assert cast.mailbox.used_bytes is not None
    assert cast.mailbox.used_bytes < 70 * KB
    assert cast.mailbox.look.messages == 2


def test_what_cannot_be_mended_is_told_as_such(cast: Cast, dovecot: CountingDovecot) -> None:
    dovecot.holds[cast.mailbox.address] = (7, 70 * KB)
    dovecot.recounts = False
    (failure,) = check().failures
    assert failure.problem.endswith("It counted anew and still says so: see its log.")
    assert (failure.mended, failure.mendable) == (False, False)


def test_a_dry_run_mends_nothing(cast: Cast, dovecot: CountingDovecot) -> None:
    check()
    dovecot.holds[cast.mailbox.address] = (7, 70 * KB)
    (failure,) = check(dry_run=True).failures
    assert (failure.mended, failure.mendable, dovecot.recounted) == (False, True, [])


def test_the_panels_copy_is_made_true_where_dovecots_own_file_did_not_change(
    cast: Cast, dovecot: CountingDovecot
) -> None:
    check()
    message(cast.mailbox, "1.x,S=5120,W=5120:2,S")
    assert check().failures == []
    assert MailboxLook.objects.get().messages == 2


def test_traffic_meanwhile_is_no_drift(
    cast: Cast, dovecot: CountingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter(range(100))

    def grows(_root: Path, _home: Any) -> maildir.Usage:
        return maildir.Usage(next(measured), 0)

    monkeypatch.setattr(maildir, "measure", grows)
    dovecot.holds[cast.mailbox.address] = (1000, KB)
    assert check().failures == []


def test_each_is_compared_in_its_turn_and_those_that_are_asked_for(
    several: list[Mailbox], dovecot: CountingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "COMPARED", 2)
    for days in range(3):
        assert check(now=NOW + timedelta(days=days)).thorough == 2
    compared = sorted(look.compared_at - NOW for look in MailboxLook.objects.all() if look.compared_at)
    assert [age.days for age in compared] == [0, 1, 1, 2, 2]
    assert check(also=[several[0]]).thorough == 3


def test_a_mailbox_is_not_reported_twice(cast: Cast, dovecot: CountingDovecot) -> None:
    check()
    touch(cast.mailbox)
    dovecot.trouble[cast.mailbox.address] = Answer(exit_code=75, error="exitCode")
    assert len(check().failures) == 1


def test_the_command_answers_as_the_contract_says(
    several: list[Mailbox], dovecot: CountingDovecot, capsys: pytest.CaptureFixture[str]
) -> None:
    dovecot.recounts = False
    dovecot.holds = {mailbox.address: (9, 9 * KB) for mailbox in several}
    with pytest.raises(CommandError, match="5 problems"):
        call_command("checkquotas", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["mailboxes"], answer["messages"], answer["bytes"]) == (5, 45, 45 * KB)
    assert {failure["subject"] for failure in answer["failures"]} == set(dovecot.holds)
    job = Job.objects.get(kind="check_quotas")
    assert (job.state, job.report) == (Job.State.DONE, answer)


def test_named_mailboxes_are_compared(
    several: list[Mailbox], dovecot: CountingDovecot, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(checking, "COMPARED", 0)
    call_command("checkquotas", "--json", several[1].address)
    assert json.loads(capsys.readouterr().out)["thorough"] == 1
    with pytest.raises(CommandError, match="There is no mailbox"):
        call_command("checkquotas", "nobody@martin.test")


def test_another_time_needs_a_dry_run_or_the_clock_of_tests(cast: Cast, dovecot: CountingDovecot) -> None:
    at = "2027-01-01T00:00:00+00:00"
    with pytest.raises(CommandError, match="--dry-run"):
        call_command("checkquotas", "--at", at)
    assert not Job.objects.filter(kind="check_quotas").exists()
    call_command("checkquotas", "--at", at, "--dry-run", "--json")
    assert not MailboxLook.objects.exists()


@pytest.mark.usefixtures("clock_of_tests")
def test_another_time_counts(cast: Cast, dovecot: CountingDovecot) -> None:
    call_command("checkquotas", "--at", "2027-01-01T00:00:00+00:00", "--json")
    look = MailboxLook.objects.get()
    assert look.looked_at == look.compared_at == datetime(2027, 1, 1, tzinfo=UTC)
