"""Kept copies: from when their days count, when they end, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens, UnknownMailbox
from panel.addresses import services
from panel.addresses.models import Domain, Mailbox
from panel.addresses.services import create_mailbox
from panel.connections.models import Connection
from panel.core import mail
from panel.core.models import AuditEntry, Job
from panel.retention import kept_copies, purging, tasks
from panel.retention.models import KeptCopy
from tests.cast import PASSWORD, Cast
from tests.panel.connections.mailbox_rows import a_session
from tests.panel.retention.dovecot import HidingDovecot, Killed
from tests.panel.retention.folders import FolderDovecot
from tests.panel.retention.rule_rows import rule

DAY = timedelta(days=1)


def run(days: float = 0, **options: Any) -> tuple[int, int, int]:
    """End what is over so many days from now; return mailboxes, messages and bytes."""
    report, last = kept_copies.end_due(now=timezone.now() + days * DAY, **options)
    assert last is None
    assert report.failures == []
    return report.mailboxes, report.messages, report.bytes


def noted(mailbox: Mailbox) -> set[str]:
    return set(KeptCopy.objects.filter(mailbox=mailbox).values_list("guid", flat=True))


def told(action: str = kept_copies.ENDED) -> list[dict[str, Any]]:
    return list(AuditEntry.objects.filter(action=action).values_list("after", flat=True))


def test_days_count_from_when_it_was_first_seen_hidden(cast: Cast, dovecot: HidingDovecot) -> None:
    # An old mailbox that a POP program fetches for the first time loses nothing that night.
    dovecot.hide(cast.mailbox, 1, timezone.now() - 400 * DAY)
    assert run() == (0, 0, 0)
    assert run(29.9) == (0, 0, 0)
    assert dovecot.uids(cast.mailbox) == [1]
    assert run(30.1) == (1, 1, 100)
    assert dovecot.uids(cast.mailbox) == []
    assert noted(cast.mailbox) == set()
    assert told() == [{"ended_messages": 1}]
    assert run(60) == (0, 0, 0)


def test_what_is_new_is_new_now_whatever_time_a_command_names(cast: Cast, dovecot: HidingDovecot) -> None:
    dovecot.hide(cast.mailbox, 1, timezone.now() - DAY)
    assert run(30.1, dry_run=True) == (1, 1, 100)
    assert noted(cast.mailbox) == set()
    assert dovecot.uids(cast.mailbox) == [1]
    assert run(30.1) == (1, 1, 100)


def test_days_count_from_a_later_arrival(cast: Cast, dovecot: HidingDovecot) -> None:
    dovecot.hide(cast.mailbox, 1, timezone.now() - DAY)
    run()
    KeptCopy.objects.update(first_seen_at=timezone.now() - 40 * DAY, ends_from=timezone.now() - 40 * DAY)
    # Put back into the inbox yesterday, with its mark.
    assert run() == (0, 0, 0)
    assert run(28.9) == (0, 0, 0)
    assert run(29.1) == (1, 1, 100)


def test_the_days_are_those_of_the_nearest_that_says_some(cast: Cast, dovecot: HidingDovecot) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    Domain.objects.update(pop_deletes="keep_days", pop_keep_days=7)
    services.set_pop_policy(mailbox=other, policy="keep:3")
    for box in (cast.mailbox, other):
        dovecot.hide(box, 1, timezone.now())
    run()
    assert run(3.1) == (1, 1, 100)
    assert dovecot.uids(other) == []
    assert run(6.9) == (0, 0, 0)
    assert run(7.1) == (1, 1, 100)


def test_what_is_gone_or_not_hidden_any_more_is_forgotten(cast: Cast, dovecot: HidingDovecot) -> None:
    for uid in (1, 2):
        dovecot.hide(cast.mailbox, uid, timezone.now() - 400 * DAY)
    run()
    assert noted(cast.mailbox) == {"guid1", "guid2"}
    message = dovecot.hidden[cast.mailbox.address].pop(1)
    run()
    assert noted(cast.mailbox) == {"guid2"}
    # Hidden again later, its days begin anew.
    dovecot.hidden[cast.mailbox.address][1] = message
    KeptCopy.objects.update(first_seen_at=timezone.now() - 29 * DAY)
    assert run(1.1) == (1, 1, 100)
    assert dovecot.uids(cast.mailbox) == [1]


@pytest.mark.parametrize("policy", ["keep", "delete"])
def test_where_copies_are_not_kept_for_days_nothing_ends(
    cast: Cast, dovecot: HidingDovecot, policy: str
) -> None:
    dovecot.hide(cast.mailbox, 1, timezone.now())
    run()
    services.set_pop_policy(mailbox=cast.mailbox, policy=policy)
    assert run(100) == (0, 0, 0)
    assert dovecot.uids(cast.mailbox) == [1]
    assert noted(cast.mailbox) == set()


def test_suspended_mailboxes_go_on_and_deleted_ones_are_left_alone(
    cast: Cast, dovecot: HidingDovecot
) -> None:
    deleted = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    for box in (cast.mailbox, deleted):
        dovecot.hide(box, 1, timezone.now())
    services.suspend_mailbox(mailbox=cast.mailbox)
    services.delete_mailbox(mailbox=deleted)
    assert run(31) == (1, 1, 100)
    assert deleted.address not in dovecot.asked


def test_one_that_is_cut_off_neither_loses_nor_repeats(
    cast: Cast, dovecot: HidingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_copies, "AT_ONCE", 2)
    for uid in range(1, 6):
        dovecot.hide(cast.mailbox, uid, timezone.now())
    run()
    ends = dovecot.end_hidden

    def killed(address: str, uids: Any) -> None:
        if len(dovecot.ended) >= 2:
            raise Killed("killed")
        ends(address, uids)

    monkeypatch.setattr(dovecot, "end_hidden", killed)
    report, _last = kept_copies.end_due(now=timezone.now() + 31 * DAY)
    assert [failure.mendable for failure in report.failures] == [True]
    # What ended is forgotten, and recorded; what did not is as it was.
    assert noted(cast.mailbox) == {"guid3", "guid4", "guid5"}
    assert told() == [{"ended_messages": 2}]
    monkeypatch.undo()
    monkeypatch.setattr("panel.core.mail.doveadm", lambda **_timeout: dovecot)
    assert run(31) == (1, 3, 300)
    assert dovecot.ended == [1, 2, 3, 4, 5]


def test_who_comes_second_ends_nothing_twice(cast: Cast, dovecot: HidingDovecot) -> None:
    dovecot.hide(cast.mailbox, 1, timezone.now())
    hidden = kept_copies.hidden_in(cast.mailbox)
    copies = kept_copies.note_copies(cast.mailbox, hidden, seen_at=timezone.now())
    assert kept_copies.end_copies(cast.mailbox, copies, kept_copies.ENDED) == copies
    assert kept_copies.end_copies(cast.mailbox, copies, kept_copies.ENDED) == []
    assert dovecot.ended == [1]


def test_two_purges_at_once_count_a_copy_once(cast: Cast, dovecot: HidingDovecot) -> None:
    """The other one ends it between what the first has read and what it writes."""
    dovecot.hide(cast.mailbox, 1, timezone.now())
    run()
    KeptCopy.objects.update(first_seen_at=timezone.now() - 40 * DAY, ends_from=timezone.now() - 40 * DAY)
    hidden = dovecot.hidden[cast.mailbox.address]
    hidden[1] = replace(hidden[1], saved_at=timezone.now() - 50 * DAY)
    others: list[str] = []

    def other_after(execute: Any, sql: str, *rest: Any) -> Any:
        answer = execute(sql, *rest)
        if not others and sql.startswith("SELECT") and "keptcopy" in sql:
            others.append(sql)
            with connection.cursor() as cursor:  # of its own, for the one that asks reads on
                cursor.execute("DELETE FROM retention_keptcopy")
            dovecot.end_hidden(cast.mailbox.address, [1])
        return answer

    with connection.execute_wrapper(other_after):
        report, _last = kept_copies.end_due(now=timezone.now())
    assert others
    assert (report.messages, report.mailboxes) == (0, 0)
    assert not AuditEntry.objects.filter(action=kept_copies.ENDED).exists()


def test_a_dry_run_does_not_count_a_copy_again_by_the_rule_of_the_inbox(
    cast: Cast, dovecot: HidingDovecot, folders: FolderDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = timezone.now() + 40 * DAY
    for uid in (1, 2):
        dovecot.hide(cast.mailbox, uid, at - 35 * DAY)
    folders.save(cast.mailbox, "INBOX", at - 35 * DAY, 5)
    folders.save(cast.mailbox, "Trash", at - 35 * DAY, 1)
    monkeypatch.setattr(folders, "hidden_messages", dovecot.hidden_messages, raising=False)
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: folders)
    rule(cast.domain, "INBOX", 30)
    rule(cast.domain, "Trash", 30)
    said = tasks.purge(at=at.isoformat(), dry_run=True)
    assert (said["messages"], said["bytes"]) == (6, 600)
    # Copies that are kept longer than the rule says end by the rule.
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep:90")
    assert tasks.purge(at=at.isoformat(), dry_run=True)["messages"] == 6


def test_days_that_were_made_more_meanwhile_count(
    cast: Cast, dovecot: HidingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policies of many mailboxes are read at once; one is changed before its turn comes."""
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep:7")
    dovecot.hide(cast.mailbox, 1, timezone.now())
    noted = kept_copies.note_copies

    def change_then_note(*args: Any, **more: Any) -> Any:
        services.set_pop_policy(mailbox=Mailbox.objects.get(), policy="keep:365")
        return noted(*args, **more)

    monkeypatch.setattr(kept_copies, "note_copies", change_then_note)
    report, _last = kept_copies.end_due(now=timezone.now() + timedelta(days=8))
    assert (report.messages, dovecot.ended) == (0, [])


def test_nothing_ends_where_the_mailbox_changed_meanwhile(cast: Cast, dovecot: HidingDovecot) -> None:
    dovecot.hide(cast.mailbox, 1, timezone.now())
    copies = kept_copies.note_copies(
        cast.mailbox, kept_copies.hidden_in(cast.mailbox), seen_at=timezone.now()
    )
    as_read = Mailbox.objects.select_related("domain__customer").get()
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep")
    assert kept_copies.end_copies(as_read, copies, kept_copies.ENDED) == []
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep:3")
    Mailbox.objects.update(address=f"anne@{cast.domain.name}")
    assert kept_copies.end_copies(as_read, copies, kept_copies.ENDED) == []
    assert dovecot.ended == []


def test_trouble_with_one_mailbox_is_told_and_holds_nobody_up(cast: Cast, dovecot: HidingDovecot) -> None:
    boxes = [
        create_mailbox(domain=cast.domain, local_part=name, password=PASSWORD) for name in ("bob", "gone")
    ]
    for box in (cast.mailbox, *boxes):
        dovecot.hide(box, 1, timezone.now())
    dovecot.trouble = {
        cast.mailbox.address: DoveadmError("It is busy."),
        boxes[1].address: UnknownMailbox("No such mailbox."),
    }
    # One answer does not hold what two mailboxes hide.
    dovecot.most = 1
    report, _last = kept_copies.end_due(now=timezone.now() + 31 * DAY)
    assert (report.mailboxes, report.messages) == (1, 1)
    assert [failure.subject for failure in report.failures] == [cast.mailbox.address]


def test_one_run_is_bounded_and_another_job_goes_on(
    cast: Cast, dovecot: HidingDovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_copies, "PAGE", 1)
    monkeypatch.setattr(kept_copies, "AT_A_TIME", -1)
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    for box in (cast.mailbox, other):
        dovecot.hide(box, 1, timezone.now())
    assert tasks.purge()["mailboxes"] == 0
    assert noted(cast.mailbox)
    assert not noted(other)
    job = Job.objects.get(kind="end_kept_copies")
    assert job.arguments["after"] == cast.mailbox.pk
    tasks.end_kept_copies(**job.arguments)
    assert noted(other)


def test_the_frequent_look_is_at_those_where_pop_deleted(cast: Cast, dovecot: HidingDovecot) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    for box in (cast.mailbox, other):
        dovecot.hide(box, 1, timezone.now())
    a_session(other, protocol=Connection.Protocol.POP3, retrieved=3)
    a_session(other, protocol=Connection.Protocol.IMAP, deleted=3)
    tasks.start_noting_kept_copies()
    assert not Job.objects.filter(kind="note_kept_copies").exists()
    a_session(cast.mailbox, protocol=Connection.Protocol.POP3, deleted=3)
    tasks.start_noting_kept_copies()
    tasks.note_kept_copies(**Job.objects.get(kind="note_kept_copies").arguments)
    assert noted(cast.mailbox) == {"guid1"}
    assert dovecot.asked == [cast.mailbox.address]


def test_a_purge_without_a_mail_service_tells_of_copies_that_are_over(
    cast: Cast, dovecot: HidingDovecot
) -> None:
    dovecot.hide(cast.mailbox, 1, timezone.now())
    run()
    dovecot.down = NobodyListens("It does not run.")
    assert purging.purge(now=timezone.now())[0].failures == []
    report, _last = purging.purge(now=timezone.now() + 31 * DAY)
    assert ["may be over" in failure.problem for failure in report.failures] == [True]
    assert noted(cast.mailbox) == {"guid1"}
