"""Every move of the table is possible, and no other."""

from __future__ import annotations

import itertools

import pytest

from mailbackend.supervisor.states import MOVES, ForbiddenMove, State, checked_move

ALLOWED = {
    ("STOPPED", "STARTING"),
    ("STARTING", "RUNNING"),
    ("STARTING", "BACKOFF"),
    ("STARTING", "FATAL"),
    ("STARTING", "STOPPING"),
    ("RUNNING", "STOPPING"),
    ("RUNNING", "BACKOFF"),
    ("RUNNING", "FATAL"),
    ("BACKOFF", "STARTING"),
    ("BACKOFF", "STOPPED"),
    ("STOPPING", "STOPPED"),
    ("FATAL", "STARTING"),
    ("FATAL", "STOPPED"),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_each_move_is_in_the_table_or_refused(old: State, new: State) -> None:
    if (old.value, new.value) in ALLOWED:
        assert checked_move(old, new) is new
    else:
        with pytest.raises(ForbiddenMove, match=f"from {old.value} to {new.value}"):
            checked_move(old, new)


def test_each_state_can_be_left_and_come_to() -> None:
    assert set(MOVES) == set(State)
    assert all(MOVES.values())
    assert set().union(*MOVES.values()) == set(State)
