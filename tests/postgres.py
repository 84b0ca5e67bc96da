"""A PostgreSQL cluster of the tests' own, from Debian's package."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """A running cluster; its superuser is `tests`, who needs no password on loopback."""

    folder: Path
    programs: Path
    port: int

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
        cluster = cls(folder, programs, free_port())
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
        cluster._run(
            "initdb", "-D", f"{folder}/data", "-U", "tests", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"
        )
        options = (
            f"-c port={cluster.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
            f"-c fsync={'on' if fsync else 'off'} -c max_connections=300"
        )
        cluster._run("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", options, "start")
        return cluster

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
