"""Logins per second over TLS, against the same Dovecot without Restante."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence

from bench import reference
from bench.client import Target, login_rate
from bench.frame import Aim, Better, Row, Side, number_text
from bench.processes import session_cpu
from bench.product import PASSWORD
from bench.setup import Setup

#: Connections at a time: enough that both cores never wait.
CLIENTS = 16

_OURS = "the mail service as `make run` starts it: rows in the database, the quota plugin on"
_REFERENCE = (
    "the same Dovecot, passwd-file, no plugin, login processes in the same mode, the same certificate"
)


class Load:
    """Signs in on one server with one kind of hash, and notes what it cost."""

    def __init__(
        self,
        target: Target,
        master: int,
        addresses: Sequence[str],
        seconds: float,
        passwords: str | Sequence[str] = PASSWORD,
    ) -> None:
        self._target = target
        self._master = master
        self._addresses = addresses
        self._passwords = passwords
        self._seconds = seconds
        self._costs: list[float] = []
        self._shares: list[float] = []

    def measure(self) -> float:
        """Return logins per second."""
        before = session_cpu(self._master)
        reached = login_rate(
            self._target, self._addresses, self._passwords, clients=CLIENTS, seconds=self._seconds
        )
        self._costs.append((session_cpu(self._master) - before) * 1000 / reached.logins)
        self._shares.append(reached.client_share)
        return reached.per_second

    @property
    def cost(self) -> float:
        """Milliseconds of processor time that Dovecot's processes took for each login: the median of the rounds."""
        return statistics.median(self._costs)

    @property
    def client_share(self) -> float:
        """The most that the clients took of the machine's processors, 0 to 1."""
        return max(self._shares)


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: with the hash that mailboxes have, and without one, which shows what the rest costs."""
    product, seconds = setup.product, setup.scale.seconds
    with (
        reference.prepared(product, reference.MANY_EACH) as other,
        product.running() as our_master,
        other.running() as their_master,
    ):

        def row(name: str, work: str, addresses: Sequence[str], aim: Aim | None) -> Row:
            ours = Load(product.target, our_master, addresses, seconds)
            theirs = Load(other.target, their_master, addresses, seconds)
            return Row(
                name=name,
                work=work,
                unit="logins/s",
                better=Better.HIGHER,
                ours=Side(_OURS, ours.measure),
                reference=Side(_REFERENCE, theirs.measure),
                aim=aim,
                remark=lambda: _remark(ours, theirs),
            )

        yield [
            row(
                "logins",
                "Connect over TLS (full handshake), LOGIN, LOGOUT; the password is stored as Argon2id (19 MiB, t = 2, "
                f"p = 1) on both. {CLIENTS} clients at a time. With SQLite Dovecot checks hashes in several workers, "
                "with PostgreSQL and a passwd-file in its one authentication process: on SQLite the "
                "ratio can be above 1, though each login costs more.",
                product.hashed,
                Aim(0.90, of_ratio=True),
            ),
            row(
                "logins-without-hash",
                "The same with the password stored as it is ({PLAIN}) on both: nothing hides what the rest costs. "
                "The difference is the quota plugin, with the libraries that it brings into each session's process, "
                "and two rows from the database.",
                product.plain,
                None,
            ),
        ]


def _remark(ours: Load, theirs: Load) -> str:
    share = max(ours.client_share, theirs.client_share)
    return (
        f"Dovecot's processes take {number_text(ours.cost)} ms of processor time for each login, the "
        f"reference's {number_text(theirs.cost)} ms (ratio {theirs.cost / ours.cost:.2f}: "
        "others on the machine disturb this less); "
        f"the clients took at most {share:.0%} of the processors."
    )
