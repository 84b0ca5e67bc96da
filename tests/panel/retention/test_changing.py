"""Changing rules: what ends less counts at once, what ends more is counted, confirmed, and waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from panel.accounts.models import Customer
from panel.addresses.inherited import what_counts
from panel.addresses.models import Domain, Mailbox
from panel.addresses.services import create_mailbox
from panel.connections.models import RemovedMessage
from panel.core.errors import Conflict, Problem
from panel.core.models import AuditEntry, Installation
from panel.retention import changing
from panel.retention.changing import Figures
from panel.retention.models import PurgeRun, RetentionRule, RuleChange
from tests.cast import PASSWORD, Cast
from tests.panel.retention.rule_rows import DAY, confirmed, counted, rule


def rules() -> list[tuple[str, int | None]]:
    return list(RetentionRule.objects.order_by("pk").values_list("folder", "days"))


def told(action: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return list(AuditEntry.objects.filter(action=action).order_by("pk").values_list("before", "after"))


def waiting(level: Any = None) -> list[RuleChange]:
    return changing.waiting_at(level)


def test_a_new_rule_is_counted_confirmed_and_starts_after_its_time(cast: Cast) -> None:
    change = changing.propose(None, "Trash", 30, by=cast.admin)
    assert change is not None
    assert change.asked_by == cast.admin
    grace = change.starts_at - change.asked_at
    assert settings.RULE_STARTS_AFTER - timedelta(minutes=1) < grace <= settings.RULE_STARTS_AFTER
    run = PurgeRun.objects.get(change=change)
    assert (run.kind, run.now, run.state) == ("change", change.starts_at, "counting")
    assert changing.figures_of(change) is None
    with pytest.raises(Problem, match="still being counted"):
        changing.confirm(change, Figures(0, 0, 0))
    counted(change, cast.mailbox)
    figures = changing.figures_of(change)
    assert figures is not None
    assert (figures.mailboxes, figures.messages, figures.bytes) == (1, 3, 3000)
    changing.confirm(change, Figures(1, 3, 3000))
    assert rules() == []
    assert changing.start_due(change.starts_at - timedelta(microseconds=1)) == []
    assert rules() == []
    assert changing.start_due(change.starts_at) == [change]
    assert rules() == [("Trash", 30)]
    assert changing.start_due(change.starts_at) == []
    change.refresh_from_db()
    assert change.done_at == change.starts_at
    assert waiting() == []
    assert told("rule.started") == [
        ({"rule_folder": "Trash", "rule_days": "inherit"}, {"rule_folder": "Trash", "rule_days": 30})
    ]


@pytest.mark.parametrize("shown", [(1, 2, 3000), (1, 4, 3000), (1, 3, 2999), (2, 3, 3000), (1, 3, None)])
def test_other_figures_confirm_nothing(cast: Cast, shown: tuple[int, int, int | None]) -> None:
    change = changing.propose(None, "Trash", 30)
    assert change is not None
    counted(change)
    with pytest.raises(Conflict, match="changed meanwhile"):
        changing.confirm(change, Figures(*shown))
    change.refresh_from_db()
    assert change.confirmed_at is None


def test_whoever_it_concerns_keeps_time_to_cancel(cast: Cast) -> None:
    change = changing.propose(None, "Trash", 30)
    assert change is not None
    counted(change)
    moved = change.asked_at - settings.RULE_STARTS_AFTER / 2 - timedelta(minutes=1)
    RuleChange.objects.filter(pk=change.pk).update(
        asked_at=moved, starts_at=moved + settings.RULE_STARTS_AFTER
    )
    with pytest.raises(Problem, match="waited too long"):
        changing.confirm(change, Figures(1, 3, 3000))
    assert waiting() == []
    # It lapses with the next look, and its run purges nothing.
    assert changing.start_due(timezone.now() + 2 * DAY) == []
    change.refresh_from_db()
    assert change.cancelled_at is not None
    assert PurgeRun.objects.get(change=change).state == "cancelled"
    assert rules() == []
    assert len(told("rule.lapsed")) == 1


def test_what_ends_less_counts_at_once(cast: Cast) -> None:
    rule(None, "Trash", 30)
    assert changing.propose(None, "Trash", 60) is None
    assert rules() == [("Trash", 60)]
    assert changing.propose(cast.mailbox, "Trash", None) is None
    assert changing.propose(cast.domain, "Junk", None) is None
    assert changing.propose(None, "Trash", None, inherit=True) is None
    assert rules() == [("Trash", None), ("Junk", None)]
    assert told("rule.changed")[0] == (
        {"rule_folder": "Trash", "rule_days": 30},
        {"rule_folder": "Trash", "rule_days": 60},
    )
    entries = AuditEntry.objects.filter(action="rule.changed").order_by("pk")
    assert [(each.target_kind, each.customer_id) for each in entries] == [
        ("installation", None),
        ("mailbox", cast.customer.pk),
        ("domain", cast.customer.pk),
        ("installation", None),
    ]
    assert not PurgeRun.objects.exclude(state="counting").exists()


def test_saying_the_same_again_changes_nothing(cast: Cast) -> None:
    rule(None, "Trash", 30)
    entries = AuditEntry.objects.count()
    assert changing.propose(None, "Trash", 30) is None
    assert AuditEntry.objects.count() == entries
    assert RetentionRule.objects.get().version == 1


def test_a_stricter_rule_comes_back_when_ones_own_goes(cast: Cast) -> None:
    rule(None, "Trash", 7)
    assert changing.propose(cast.mailbox, "Trash", 90) is None
    change = confirmed(cast.mailbox, "Trash", None, inherit=True)
    assert rules() == [("Trash", 7), ("Trash", 90)]
    assert changing.start_due(change.starts_at) == [change]
    assert rules() == [("Trash", 7)]


def test_one_change_of_a_folder_waits_at_a_time(cast: Cast) -> None:
    first = changing.propose(None, "Trash", 30)
    second = changing.propose(None, "Trash", 20)
    assert first is not None
    assert second is not None
    first.refresh_from_db()
    assert first.cancelled_at is not None
    assert PurgeRun.objects.get(change=first).state == "cancelled"
    assert waiting() == [second]
    # Another folder, and another level, are others.
    assert changing.propose(None, "Junk", 20) is not None
    assert changing.propose(cast.domain, "Trash", 20) is not None
    counted(second)
    changing.confirm(second, Figures(1, 3, 3000))
    for days in (10, None):
        with pytest.raises(Problem, match="Cancel it first"):
            changing.propose(None, "Trash", days)
    changing.cancel(second)
    assert changing.propose(None, "Trash", 10) is not None


def test_what_would_be_inherited_and_waits_was_not_counted_for_who_gives_up_its_own(cast: Cast) -> None:
    rule(cast.mailbox, "Trash", None)
    rule(cast.mailbox, "Projects", None)
    rule(cast.mailbox, "Junk", 30)
    above = confirmed(cast.domain, "Trash", 7)
    below = confirmed(cast.domain, "Projects/2024", 7)
    for folder in ("Trash", "Projects"):
        with pytest.raises(Problem, match="nobody has counted"):
            changing.propose(cast.mailbox, folder, None, inherit=True)
    # What nobody else changes does.
    assert changing.propose(cast.mailbox, "Junk", None, inherit=True) is None
    assert changing.propose(cast.mailbox, "Trash", 3) is not None
    changing.cancel(below)
    assert changing.propose(cast.mailbox, "Projects", None, inherit=True) is None
    changing.start_due(above.starts_at)
    # By now it ends more, and is counted.
    assert changing.propose(cast.mailbox, "Trash", None, inherit=True) is not None


def test_recovery_that_waits_above_was_not_counted_for_who_gives_up_its_own(cast: Cast) -> None:
    for row, days in ((cast.domain, 14), (cast.customer, 90)):
        changing.propose_recovery(row, days)
    cast.mailbox.refresh_from_db()
    changing.propose_recovery(cast.mailbox, 30)
    domain = Domain.objects.select_related("customer").get(pk=cast.domain.pk)
    waits = changing.propose_recovery(domain.customer, 3)
    assert waits is not None
    with pytest.raises(Problem, match="nobody has counted"):
        changing.propose_recovery(domain, None)
    # The domain says something itself, which the mailbox then inherits.
    mailbox = Mailbox.objects.select_related("domain__customer").get()
    assert changing.propose_recovery(mailbox, None) is not None
    changing.cancel(waits)
    assert changing.propose_recovery(domain, None) is None


def test_a_level_has_so_many_rules_and_no_more(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is read for every mailbox, each night: nobody makes the others wait by thousands of them."""
    monkeypatch.setattr(changing, "RULES_MAX", 2)
    rule(cast.domain, "A", None)
    waits = changing.propose(cast.domain, "B", 7)
    assert waits is not None
    with pytest.raises(Problem, match="the most there can be"):
        changing.propose(cast.domain, "C", None)
    # Those that are there change, and other levels have their own.
    assert changing.propose(cast.domain, "A", 300) is not None
    assert changing.propose(cast.mailbox, "C", None) is None
    changing.cancel(waits)
    assert changing.propose(cast.domain, "C", None) is None


def test_it_can_be_cancelled_until_it_starts(cast: Cast) -> None:
    change = confirmed(None, "Trash", 30)
    changing.cancel(change)
    assert change.cancelled_at is not None
    assert PurgeRun.objects.get(change=change).state == "cancelled"
    assert changing.start_due(change.starts_at + DAY) == []
    assert rules() == []
    with pytest.raises(Conflict):
        changing.cancel(change)
    with pytest.raises(Conflict):
        changing.confirm(change, Figures(1, 3, 3000))
    other = confirmed(None, "Trash", 30)
    changing.start_due(other.starts_at)
    with pytest.raises(Conflict):
        changing.cancel(other)
    assert rules() == [("Trash", 30)]


def test_confirming_twice_is_told(cast: Cast) -> None:
    change = confirmed(None, "Trash", 30)
    with pytest.raises(Conflict, match="confirmed already"):
        changing.confirm(change, Figures(1, 3, 3000))


def test_changes_that_wait_are_seen_from_below_and_not_from_beside(cast: Cast) -> None:
    above = changing.propose(None, "Trash", 30)
    own = changing.propose(cast.mailbox, "Trash", 20)
    assert changing.propose(cast.other_customer, "Trash", 10) is not None
    assert waiting(cast.mailbox) == [above, own]
    assert waiting(cast.domain) == [above]


def test_somebody_else_changed_it(cast: Cast) -> None:
    rule(None, "Trash", 30)
    for version in (0, 2):
        with pytest.raises(Conflict):
            changing.propose(None, "Trash", 60, version=version)
    assert changing.propose(None, "Trash", 60, version=1) is None
    assert RetentionRule.objects.get().version == 2
    with pytest.raises(Conflict):
        changing.propose(None, "Junk", 60, version=1)
    assert changing.propose(None, "Junk", 60, version=0) is not None


def test_there_is_nothing_to_remove(cast: Cast) -> None:
    with pytest.raises(Problem, match="no rule"):
        changing.propose(cast.domain, "Trash", None, inherit=True)


@pytest.mark.parametrize("days", [0, -1, 3651, 10**12])
def test_days_have_bounds(cast: Cast, days: int) -> None:
    with pytest.raises(Problem, match="1 to 3650"):
        changing.propose(None, "Trash", days)
    with pytest.raises(Problem, match="1 to 3650"):
        changing.propose_recovery(None, days)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("inbox", "INBOX"),
        ("InBox", "INBOX"),
        (" Trash ", "Trash"),
        ("inbox/Old", "INBOX/Old"),
        ("Projets/Été", "Projets/Été"),
        ("E\u0301te\u0301", "\u00c9t\u00e9"),
        ("x" * 255, "x" * 255),
        ("~root", "~root"),
    ],
)
def test_names_of_folders(text: str, folder: str) -> None:
    assert changing.clean_folder(text) == folder


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "a\x00b",
        "a\nb",
        "a\x7fb",
        "a\u0085b",
        "*",
        "Tr%",
        ".EXPUNGED/all",
        ".EXPUNGED",
        "a/.b",
        "..",
        "a.b",
        "/Trash",
        "Trash/",
        "a//b",
        "a/ /b",
        "x" * 256,
        "a\ud800",
    ],
)
def test_what_names_no_folder(text: str) -> None:
    with pytest.raises(Problem) as found:
        changing.clean_folder(text)
    assert found.value.field == "folder"


def removed(mailbox: Mailbox, uid: int, days: float) -> None:
    RemovedMessage.objects.create(
        mailbox=mailbox,
        node="n",
        session="s",
        protocol="imap",
        folder="INBOX",
        uid=uid,
        removed_at=timezone.now() - days * DAY,
    )


def recovery(cast: Cast) -> int:
    row = Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)
    return what_counts(row).recovery_days


def test_more_days_of_recovery_count_at_once_and_the_nearest_wins(cast: Cast) -> None:
    assert recovery(cast) == 14
    for level, days in ((None, 20), (cast.customer, 30), (cast.domain, 40), (cast.mailbox, 50)):
        assert changing.propose_recovery(level, days) is None
        assert recovery(cast) == days
    assert Installation.objects.get().recovery_days == 20
    assert told("recovery.changed")[0] == ({"recovery_days": 14}, {"recovery_days": 20})


def test_fewer_days_of_recovery_are_confirmed_and_wait(cast: Cast) -> None:
    other = create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD)
    held = create_mailbox(domain=cast.domain, local_part="claire", password=PASSWORD)
    Mailbox.objects.filter(pk=held.pk).update(held_at=timezone.now())
    for uid, days in enumerate((5.9, 6.1, 8, 13), 1):
        removed(cast.mailbox, uid, days)
        removed(held, uid, days)
    removed(other, 1, 10)
    changing.propose_recovery(other, 30)
    change = changing.propose_recovery(cast.customer, 7)
    assert change is not None
    assert not PurgeRun.objects.exists()
    # The other mailbox has its own, and the held one loses nothing. Counted for tomorrow.
    figures = changing.figures_of(change)
    assert figures is not None
    assert (figures.mailboxes, figures.messages, figures.bytes) == (1, 3, None)
    with pytest.raises(Conflict):
        changing.confirm(change, Figures(1, 2, None))
    changing.confirm(change, figures)
    assert recovery(cast) == 14
    assert changing.start_due(change.starts_at) == []
    assert recovery(cast) == 7
    assert Customer.objects.get(pk=cast.customer.pk).recovery_days == 7
    assert changing.start_due(change.starts_at) == []
    assert told("recovery.started") == [({"recovery_days": None}, {"recovery_days": 7})]
    assert rules() == []


def test_falling_back_to_fewer_days_waits_too(cast: Cast) -> None:
    changing.propose_recovery(cast.domain, 60)
    removed(cast.mailbox, 1, 20)
    change = changing.propose_recovery(cast.domain, None)
    assert change is not None
    figures = changing.figures_of(change)
    assert figures is not None
    assert figures.messages == 1
    changing.confirm(change, figures)
    changing.start_due(change.starts_at)
    assert recovery(cast) == 14


def test_the_platform_inherits_from_nobody(cast: Cast) -> None:
    with pytest.raises(Problem, match="inherits from nobody"):
        changing.propose_recovery(None, None)


def test_a_level_that_was_changed_meanwhile(cast: Cast) -> None:
    with pytest.raises(Conflict):
        changing.propose_recovery(cast.mailbox, 30, version=cast.mailbox.version + 1)
    assert changing.propose_recovery(cast.mailbox, 30, version=cast.mailbox.version) is None
