"""The list of what happened: kept, bounded, and never a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbackend.supervisor import history
from mailbackend.supervisor.history import History


def codes(kept: History, count: int = 100) -> list[str]:
    return [entry.code for entry in kept.newest(count)]


def test_newest_first_and_there_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    first = History(path)
    first.add(history.STARTED, "2.3.19.1")
    first.add(history.ENDED, "ended by SIGKILL")
    again = History(path)
    assert again.newest(1)[0].detail == "ended by SIGKILL"
    assert codes(again) == [history.ENDED, history.STARTED]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_same_failure_over_and_over_is_one(tmp_path: Path) -> None:
    kept = History(tmp_path / "history.json")
    for reason in ("full", "full", "still full", "full"):
        kept.add(history.FAILED, reason)
    assert [entry.detail for entry in kept.newest(9)] == ["full", "still full", "full"]


def test_it_is_bounded(tmp_path: Path) -> None:
    kept = History(tmp_path / "history.json")
    for number in range(history.KEPT + 5):
        kept.add(history.ENDED, f"{number} " + "x" * 5000)
    assert len(codes(kept, 1000)) == history.KEPT
    assert (tmp_path / "history.json").stat().st_size < 200_000


@pytest.mark.parametrize("content", ["", "[", "{}", "[1]", '[{"at": "x"}]', "\x00"])
def test_a_damaged_list_is_begun_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "history.json"
    path.write_text(content)
    kept = History(path)
    assert codes(kept) == []
    kept.add(history.STARTED)
    assert codes(History(path)) == [history.STARTED]


def test_what_cannot_be_written_is_remembered_all_the_same(tmp_path: Path) -> None:
    kept = History(tmp_path / "nowhere" / "history.json")
    kept.add(history.STARTED)
    assert codes(kept) == [history.STARTED]
