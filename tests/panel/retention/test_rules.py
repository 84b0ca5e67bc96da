"""Which rule counts, and which change would end more."""

from __future__ import annotations

import pytest

from panel.retention.models import RetentionRule
from panel.retention.rules import (
    Level,
    effective_at,
    effective_rules,
    ends_more,
    folder_name,
    for_folder,
    said_at,
)
from tests.cast import Cast


def level_of(cast: Cast, name: str) -> Level:
    return {"platform": None, "customer": cast.customer, "domain": cast.domain, "mailbox": cast.mailbox}[name]


def say(cast: Cast, *rules: tuple[str, str, int | None]) -> None:
    for name, folder, days in rules:
        columns = {} if name == "platform" else {name: level_of(cast, name)}
        RetentionRule.objects.create(folder=folder, days=days, **columns)


def counts(cast: Cast, folder: str, at: str = "mailbox") -> tuple[str, int | None] | None:
    found = for_folder(said_at(level_of(cast, at)), folder)
    same = for_folder(effective_at(level_of(cast, at)), folder)
    assert (found and found.rule.pk) == (same and same.rule.pk)
    return (found.folder, found.days) if found else None


def test_the_nearest_level_wins(cast: Cast) -> None:
    say(cast, ("platform", "Trash", 90))
    assert counts(cast, "Trash") == ("Trash", 90)
    say(cast, ("customer", "Trash", 60))
    assert counts(cast, "Trash") == ("Trash", 60)
    assert counts(cast, "Trash", "platform") == ("Trash", 90)
    say(cast, ("domain", "Trash", None))
    assert counts(cast, "Trash") == ("Trash", None)
    say(cast, ("mailbox", "Trash", 7))
    assert counts(cast, "Trash") == ("Trash", 7)
    assert counts(cast, "Trash", "domain") == ("Trash", None)
    assert counts(cast, "Junk") is None
    (rules,) = effective_rules([cast.mailbox]).values()
    assert [(each.folder, each.days) for each in rules] == [("Trash", 7)]


def test_others_have_no_say(cast: Cast) -> None:
    RetentionRule.objects.create(folder="Trash", days=1, customer=cast.other_customer)
    assert counts(cast, "Trash") is None


def test_folders_below_follow_and_a_nearer_level_beats_a_nearer_name(cast: Cast) -> None:
    say(cast, ("customer", "Trash", 30), ("customer", "Trash/Old", 5), ("platform", "Trash/Old/Very", 1))
    assert counts(cast, "Trash/Other") == ("Trash", 30)
    assert counts(cast, "Trash/Old") == ("Trash/Old", 5)
    assert counts(cast, "Trash/Old/Very") == ("Trash/Old", 5)
    assert counts(cast, "Trashy") is None
    assert counts(cast, "My/Trash") is None
    say(cast, ("mailbox", "Trash", None))
    assert counts(cast, "Trash/Old") == ("Trash", None)


def test_what_is_named_as_if_in_the_inbox_does_not_follow_it(cast: Cast) -> None:
    say(cast, ("platform", "INBOX", 30))
    assert counts(cast, "INBOX") == ("INBOX", 30)
    assert counts(cast, "INBOX/Old") is None


@pytest.mark.parametrize(
    ("rules", "level", "folder", "days", "inherit", "more"),
    [
        ([], "platform", "Trash", 30, False, True),
        ([], "platform", "Trash", None, False, False),
        ([("platform", "Trash", 30)], "platform", "Trash", 60, False, False),
        ([("platform", "Trash", 30)], "platform", "Trash", 30, False, False),
        ([("platform", "Trash", 30)], "platform", "Trash", 29, False, True),
        ([("platform", "Trash", 30)], "platform", "Trash", None, False, False),
        ([("platform", "Trash", 30)], "platform", "Trash", None, True, False),
        ([("platform", "Trash", None)], "platform", "Trash", 3650, False, True),
        # What is inherited counts as before, and after.
        ([("platform", "Trash", 30)], "domain", "Trash", 60, False, False),
        ([("platform", "Trash", 30)], "domain", "Trash", 7, False, True),
        ([("platform", "Trash", 30), ("mailbox", "Trash", 60)], "mailbox", "Trash", None, True, True),
        ([("platform", "Trash", 30), ("mailbox", "Trash", None)], "mailbox", "Trash", None, True, True),
        ([("platform", "Trash", 30), ("mailbox", "Trash", 7)], "mailbox", "Trash", None, True, False),
        ([("mailbox", "Trash", None)], "mailbox", "Trash", None, True, False),
        # Folders below: the rule of the folder above counts before, or after.
        ([("platform", "Trash", 30)], "platform", "Trash/Old", 7, False, True),
        ([("platform", "Trash", 30)], "platform", "Trash/Old", 60, False, False),
        (
            [("platform", "Trash", 30), ("platform", "Trash/Old", None)],
            "platform",
            "Trash/Old",
            None,
            True,
            True,
        ),
        # Less for the folder itself, and more for one below that was spared until now.
        ([("platform", "Trash", 30), ("platform", "Trash/Old", None)], "domain", "Trash", 60, False, True),
        ([("platform", "Trash/Old", 7), ("domain", "Trash", None)], "domain", "Trash", None, True, True),
    ],
)
def test_what_ends_more(
    cast: Cast,
    rules: list[tuple[str, str, int | None]],
    level: str,
    folder: str,
    days: int | None,
    inherit: bool,
    more: bool,
) -> None:
    say(cast, *rules)
    assert ends_more(level_of(cast, level), folder, days, inherit=inherit) is more


def test_folders_have_names_for_people() -> None:
    assert [folder_name(folder) for folder in ("INBOX", "Trash", "Projects/2024")] == [
        "Inbox",
        "Trash",
        "Projects/2024",
    ]
