"""What the supervisor reports in codes has a sentence each, whatever the detail."""

from __future__ import annotations

import re

import pytest

from mailbackend.dovecot import logs
from mailbackend.dovecot.logs import Trouble
from mailbackend.supervisor import history
from mailbackend.supervisor.history import Entry
from mailbackend.supervisor.states import State
from panel.service import words

CODES = [value for name, value in vars(history).items() if name.isupper() and isinstance(value, str)]
TROUBLES = [code for code, _words in logs._TROUBLES]


def said(code: str, detail: str = "") -> str:
    return words.happened(Entry("2026-01-01T00:00:00+00:00", code, detail))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("detail", ["", "x", "1 2 3", "100% <b>", "-99"])
def test_each_code_has_a_sentence(code: str, detail: str) -> None:
    sentence = said(code, detail)
    assert re.match(r"[A-Z].* ", sentence), sentence
    assert "%(" not in sentence


def test_a_code_of_tomorrow_is_shown_as_it_is() -> None:
    assert said("moved_house", "to 3") == "moved_house to 3"


@pytest.mark.parametrize(
    ("code", "expected"),
    [("-9", "SIGKILL"), ("-99", "99"), ("81", "disk may be full"), ("7", "exit code 7"), ("odd", "odd")],
)
def test_how_it_ended(code: str, expected: str) -> None:
    assert expected in said(history.ENDED, code)


def test_what_was_given_up_has_a_size() -> None:
    assert "Parts 3 to 5 of the log (2\N{NO-BREAK SPACE}MB)" in said(
        history.LOG_GIVEN_UP, f"3 5 {2 * 1024**2}"
    )


@pytest.mark.parametrize("code", [*TROUBLES, "other", "of tomorrow"])
@pytest.mark.parametrize("service", ["imap-login", "auth", "100%s"])
def test_each_trouble_has_a_sentence_and_advice(code: str, service: str) -> None:
    what, advice = words.went_wrong(Trouble("2026-01-01T00:00:00", code, service, "its words"))
    assert what.endswith(".")
    assert advice[-1] in ".?"
    assert "%(" not in what


@pytest.mark.parametrize("state", State)
def test_each_state_has_a_name_and_a_meaning(state: State) -> None:
    badge, label, meaning = words.state_words(state.value)
    assert badge
    assert label != state.value
    assert meaning.endswith(".")
