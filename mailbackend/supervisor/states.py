"""The states of the supervised Dovecot, and the moves between them."""

from enum import Enum


class State(Enum):
    """Where the supervised Dovecot stands."""

    #: Nothing runs, and nothing is to run: before the start, or after a stop by command.
    STOPPED = "STOPPED"
    #: The configuration is being prepared, or Dovecot is launched and not ready yet.
    STARTING = "STARTING"
    #: Dovecot serves.
    RUNNING = "RUNNING"
    #: Nothing runs; the next try comes by itself, after a growing pause.
    BACKOFF = "BACKOFF"
    #: Dovecot is being ended.
    STOPPING = "STOPPING"
    #: Nothing runs, and only a person can mend it. Looked at again from time to time.
    FATAL = "FATAL"


#: From each state, the states that may come next.
MOVES: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.RUNNING, State.BACKOFF, State.FATAL, State.STOPPING}),
    State.RUNNING: frozenset({State.STOPPING, State.BACKOFF, State.FATAL}),
    State.BACKOFF: frozenset({State.STARTING, State.STOPPED}),
    State.STOPPING: frozenset({State.STOPPED}),
    State.FATAL: frozenset({State.STARTING, State.STOPPED}),
}


class ForbiddenMove(AssertionError):
    """A move that the table does not have: a mistake in the supervisor."""


def checked_move(old: State, new: State) -> State:
    """Return `new` if one may come to it from `old`.

    Raises:
        ForbiddenMove: otherwise.
    """
    if new not in MOVES[old]:
        raise ForbiddenMove(f"There is no move from {old.value} to {new.value}.")
    return new
