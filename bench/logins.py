"""Logins per second over TLS, against the same Dovecot without Restante."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from bench import reference
from bench.client import Target, login_rate
from bench.frame import Aim, Better, Row, Side
from bench.product import PASSWORD
from bench.setup import Setup

#: Connections at a time: enough that both cores never wait.
CLIENTS = 16

_OURS = "the mail service as `make run` starts it: rows in the database, the quota plugin on"
_REFERENCE = (
    "the same Dovecot, passwd-file, no plugin, login processes in the same mode, the same certificate"
)


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: with the hash that mailboxes have, and without one, which shows what the rest costs."""
    product = setup.product
    shares: list[float] = []

    def side(what: str, target: Target, addresses: Sequence[str]) -> Side:
        def measure() -> float:
            reached = login_rate(target, addresses, PASSWORD, clients=CLIENTS, seconds=setup.scale.seconds)
            shares.append(reached.client_share)
            return reached.per_second

        return Side(what, measure)

    def row(
        name: str, work: str, addresses: Sequence[str], aim: Aim | None, remark: Callable[[], str]
    ) -> Row:
        return Row(
            name=name,
            work=work,
            unit="logins/s",
            better=Better.HIGHER,
            ours=side(_OURS, product.target, addresses),
            reference=side(_REFERENCE, other.target, addresses),
            aim=aim,
            remark=remark,
        )

    def clients() -> str:
        return (
            f"{CLIENTS} clients at a time, full handshakes; they took at most {max(shares):.0%} of the machine's "
            "processors."
        )

    with (
        reference.prepared(product, reference.MANY_EACH) as other,
        product.running(),
        other.running(),
    ):
        yield [
            row(
                "logins",
                "Connect over TLS, LOGIN, LOGOUT; the password is stored as Argon2id (19 MiB, t = 2, p = 1) on both.",
                product.hashed,
                Aim(0.90, of_ratio=True),
                clients,
            ),
            row(
                "logins-without-hash",
                "The same with the password stored as it is ({PLAIN}) on both: no hash hides what the rest costs.",
                product.plain,
                None,
                lambda: "",
            ),
        ]
