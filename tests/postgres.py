"""A PostgreSQL cluster of the tests' own, from Debian's package."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

#: From where ports are chosen.
FIRST_PORT, LAST_PORT = 11_000, 32_000


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses now.

    Below those that the kernel gives to connections (`ip_local_port_range`): one of them could take it before it is
    listened on, and keep it for as long as it lasts.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Cluster:
    """A running cluster; its superuser is `tests`, who needs no password on loopback."""

    folder: Path
    programs: Path
    port: int
    fsync: bool = False

    @property
    def url(self) -> str:
        """The superuser's address of the database `postgres`."""
        return f"postgres://tests:unused@127.0.0.1:{self.port}/postgres"

    @classmethod
    def start(cls, *, fsync: bool = False) -> Cluster:
        """Make a cluster in a temporary folder and start it on loopback.

        Args:
            fsync: whether it survives a power cut, which is not what tests test, but costs what is measured.
        """
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        folder = Path(tempfile.mkdtemp(prefix="rt-pg-"))
        cluster = cls(folder, programs, free_port(), fsync)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
        cluster._run(
            "initdb", "-D", f"{folder}/data", "-U", "tests", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"
        )
        cluster._start()
        return cluster

    def kill(self) -> None:
        """Kill it with signal 9, as a crash does. What was committed is there when it is `revive`d."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)

    def revive(self) -> None:
        """Start it again after `kill`, once the last of its processes is gone."""
        for _ in range(50):
            try:
                self._start()
                return
            except RuntimeError:
                time.sleep(0.2)
        self._start()

    def _start(self) -> None:
        options = (
            f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} "
            f"-c fsync={'on' if self.fsync else 'off'} -c max_connections=300"
        )
        self._run(
            "pg_ctl", "-D", f"{self.folder}/data", "-l", f"{self.folder}/log", "-w", "-o", options, "start"
        )

    def stop(self) -> None:
        """Stop the cluster and remove it."""
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *command]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
