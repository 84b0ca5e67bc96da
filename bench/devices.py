"""Device passwords: logins per second by them, and how long a POP program waits for its list in a large inbox."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from bench import reference
from bench.client import Target, make_context
from bench.frame import Aim, Better, Row, Side
from bench.logins import CLIENTS, Load
from bench.product import DOMAIN
from bench.setup import Setup

#: Seconds in which each answer must come.
_TIMEOUT = 60.0

_REFERENCE = (
    "the same Dovecot, passwd-file with the password as it is ({PLAIN}), no plugin, login processes in the same "
    "mode, the same certificate"
)


@contextlib.contextmanager
def rows(setup: Setup) -> Iterator[list[Row]]:
    """Yield the rows: logins by device passwords, and the list of a POP device beside six others."""
    product, scale = setup.product, setup.scale
    with reference.prepared(product, reference.MANY_EACH) as other:
        # Afterwards, so that the large mailboxes are not copied.
        passwords = product.worker.ask("add_devices", addresses=product.hashed)["passwords"]
        large = product.worker.ask("fill_inboxes", domain=DOMAIN, messages=scale.pop_messages)
        with product.running() as our_master, other.running() as their_master:
            ours = Load(product.target, our_master, product.hashed, scale.seconds, passwords)
            theirs = Load(other.target, their_master, product.plain, scale.seconds)
            pop = Target(product.stand.ports["pop3s"], product.target.authority)
            for account in large.values():
                _list_time(pop, account, scale.pop_messages)  # Dovecot makes its indexes, once
            yield [
                Row(
                    name="logins-device",
                    work="Connect over TLS (full handshake), LOGIN with a device password, LOGOUT. "
                    f"{CLIENTS} clients at a time; each mailbox has three device passwords. One is found by its "
                    "hash, so the reference has no slow hash either: the difference is the quota plugin and the "
                    "rows from the database.",
                    unit="logins/s",
                    better=Better.HIGHER,
                    ours=Side("the mail service as `make run` starts it", ours.measure),
                    reference=Side(_REFERENCE, theirs.measure),
                    aim=None,
                ),
                Row(
                    name="pop-list-of-seven",
                    work=f"A POP program connects over TLS, signs in and asks for the UIDL of {scale.pop_messages} "
                    "messages, each of which six other devices have taken and deleted.",
                    unit="ms",
                    better=Better.LOWER,
                    ours=Side(
                        "seven devices, each with its own view",
                        lambda: _list_time(pop, large["seven"], scale.pop_messages),
                    ),
                    reference=Side(
                        "one device: the same inbox, which no other has touched",
                        lambda: _list_time(pop, large["one"], scale.pop_messages),
                    ),
                    aim=Aim(0.80, of_ratio=True),
                ),
            ]


def _list_time(target: Target, account: list[str], expected: int) -> float:
    """Return how many milliseconds it takes from connecting to the last line of the list."""
    address, password = account
    context = make_context(target)
    started = time.perf_counter()
    with (
        socket.create_connection(("127.0.0.1", target.port), timeout=_TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
        connection.makefile("rb") as stream,
    ):
        stream.readline()
        for command in (f"USER {address}", f"PASS {password}", "UIDL"):
            connection.sendall(f"{command}\r\n".encode())
            answer = stream.readline()
            if not answer.startswith(b"+OK"):
                raise RuntimeError(answer.decode("utf-8", "replace"))
        count = 0
        while stream.readline() != b".\r\n":
            count += 1
        passed = time.perf_counter() - started
        connection.sendall(b"QUIT\r\n")
        stream.readline()
    if count != expected:
        raise RuntimeError(f"{count} messages were listed, not {expected}.")
    return passed * 1000
