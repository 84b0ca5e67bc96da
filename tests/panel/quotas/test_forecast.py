"""What is said of when a mailbox will be full, and what is not."""

from __future__ import annotations

from datetime import date

import pytest

from panel.quotas import forecast
from panel.quotas.forecast import State

TODAY = date(2026, 11, 28)
GB = 1024**3


def test_a_steady_pace_says_when() -> None:
    daily = [number * GB // 10 for number in range(31)]  # 3 of 5 GB, a tenth a day
    found = forecast.outlook(daily, 5 * GB, TODAY)
    assert (found.state, found.days, found.full_on) == (State.FILLING, 20, date(2026, 12, 18))
    assert forecast.in_words(found) == "full in about 20 days at this pace"
    assert forecast.pace_in_words(found.pace) == "It grows by about 102\N{NO-BREAK SPACE}MB a day."


@pytest.mark.parametrize("days", [0, 1, 7])
def test_too_few_days_say_nothing(days: int) -> None:
    found = forecast.outlook(list(range(days)), GB, TODAY)
    assert found.state is State.UNKNOWN
    assert forecast.in_words(found) == forecast.pace_in_words(found.pace) == ""
    assert forecast.outlook(list(range(8)), GB, TODAY).state is not State.UNKNOWN


def test_one_day_does_not_turn_it_over() -> None:
    # Flat, but for one large message three days ago.
    assert forecast.pace_of([GB] * 28 + [2 * GB] * 3) == 0
    # Growing, but for a day on which the trash was emptied.
    pace = forecast.pace_of(
        [number * 100 for number in range(16)] + [number * 100 - 900 for number in range(16, 31)]
    )
    assert pace is not None
    assert 0 < pace <= 100


def test_what_shrinks_rests_or_takes_more_than_a_year() -> None:
    shrinking = forecast.outlook([GB - number * 10**7 for number in range(31)], 2 * GB, TODAY)
    resting = forecast.outlook([GB] * 31, 2 * GB, TODAY)
    assert shrinking.state is resting.state is State.STEADY
    assert forecast.pace_in_words(shrinking.pace).startswith("It shrinks by about")
    assert forecast.pace_in_words(resting.pace) == "It holds about as much as a month ago."
    slow = forecast.outlook([number * 1024 for number in range(31)], GB, TODAY)
    assert (slow.state, slow.full_on) == (State.FAR, None)
    assert forecast.in_words(slow) == "full in more than a year at this pace"


def test_what_is_full_or_has_no_limit_has_no_day() -> None:
    daily = [number * GB for number in range(31)]
    assert forecast.outlook(daily, 30 * GB, TODAY).state is State.FULL
    assert forecast.outlook(daily, 29 * GB, TODAY).state is State.FULL
    for unlimited in (None, 0):
        found = forecast.outlook(daily, unlimited, TODAY)
        assert (found.state, found.days) == (State.UNLIMITED, None)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (1, "full in about 1 day at this pace"),
        (14, "full in about 14 days at this pace"),
        (42, "full in about 40 days at this pace"),
        (92, "full in about 3 months at this pace"),
        (365, "full in about 12 months at this pace"),
    ],
)
def test_it_is_said_as_exactly_as_it_can_be_known(days: int, words: str) -> None:
    assert forecast.full_in(days) == words
