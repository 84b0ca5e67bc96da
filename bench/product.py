"""Restante as it is started, in a temporary DATA_DIR on loopback, with mailboxes to sign in to."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.client import Target
from bench.processes import BenchProblem, become, end, launch, uninterrupted, wait_until
from mailbackend.paths import SERVICE_ACCOUNT
from mailbackend.supervisor.control import SupervisorDown, ask
from tests.stand import CHECKOUT, PYTHON, Stand

DOMAIN = "bench.test"
PASSWORD = "a sentence for the bench"  # noqa: S105 - of mailboxes that live for minutes

#: Mailboxes with each kind of hash.
BOXES = 50


class Worker:
    """A process of the panel (`bench.inside`) that does one request after another, as the account."""

    def __init__(self, stand: Stand) -> None:
        self._process = subprocess.Popen(
            [*become(), str(PYTHON), "-m", "bench.inside"],
            cwd=CHECKOUT,
            env=stand.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def ask(self, work: str, **arguments: Any) -> dict[str, Any]:
        """Have it do something, and return what it answers.

        Raises:
            BenchProblem: if it ended; its trace stands on standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"work": work, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchProblem(f"The panel's process ended at {work!r}: see above.")
        return dict(json.loads(line))

    def end(self) -> None:
        """End it."""
        end(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@dataclass
class Product:
    """A prepared DATA_DIR and what runs on it.

    Attributes:
        stand: the folder, its settings and database.
        worker: does what is done inside the panel.
        hashed: addresses whose passwords are stored as Argon2id.
        plain: addresses whose passwords are stored as they are, to see a login without its hash.
    """

    stand: Stand
    worker: Worker
    hashed: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)

    @property
    def target(self) -> Target:
        """Where its IMAPS listens."""
        return Target(self.stand.ports["imaps"], str(self.stand.data_dir.tls / "ca.crt"))

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the mail supervisor, and do not wait."""
        command = [str(PYTHON), "-m", "mailbackend.supervisor", "--data-dir", str(self.stand.data_dir.root)]
        return launch(command, self.stand.folder / "supervisor.log", cwd=CHECKOUT, env=self.stand.environment)

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Run the mail supervisor with its Dovecot, and end it afterwards. Yields the pid of Dovecot's master."""
        process = self.launch()
        try:
            wait_until(self._is_running, "the mail service", process)
            yield self._dovecot()
        finally:
            end(process)

    def _dovecot(self) -> int:
        pid = ask(self.stand.data_dir.control_socket, "status").pid
        if pid is None:
            raise BenchProblem("The mail service ended at once.")
        return pid

    def _is_running(self) -> bool:
        try:
            return ask(self.stand.data_dir.control_socket, "status").state == "RUNNING"
        except SupervisorDown:
            return False


@contextlib.contextmanager
def prepared(cluster_url: str) -> Iterator[Product]:
    """Make a DATA_DIR with mailboxes in it, and remove all of it afterwards.

    Args:
        cluster_url: a PostgreSQL cluster's superuser, or empty for SQLite.
    """
    stand = Stand(privileges="ordinary", cluster_url=cluster_url)
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, stand)
        _set_up(stand)
        worker = Worker(stand)
        stack.callback(worker.end)
        made = worker.ask("populate", domain=DOMAIN, password=PASSWORD, number=BOXES)
        yield Product(stand, worker, made["hashed"], made["plain"])


def _remove(stand: Stand) -> None:
    with uninterrupted():
        stand.remove()


def _set_up(stand: Stand) -> None:
    done = subprocess.run(
        [*become(), str(PYTHON), "-m", "launch", "setup"],
        cwd=CHECKOUT,
        env=stand.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout.decode("utf-8", "replace"))
        raise BenchProblem(f"Restante could not be set up as {SERVICE_ACCOUNT}.")
    stand.must("createdomain", DOMAIN, "--customer", "My organisation")
