"""The processes of Restante: their command lines, in one place."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.account import Account, as_account
from launch.problem import LaunchProblem
from panel.environment import Environment

#: Path without the query, which can hold what is private; no user name, which comes from Authorization.
_ACCESS_LOG = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s %(L)s'


@dataclass(frozen=True)
class Program:
    """One process that is kept running.

    Attributes:
        name: of the process and its log.
        command: program and arguments, without what changes the account.
        stop_seconds: how long it may take to end after SIGTERM, before SIGKILL.
        kill_group: whether SIGKILL then goes to its children too.
        as_root: whether it stays root when root starts it.
    """

    name: str
    command: tuple[str, ...]
    stop_seconds: int
    kill_group: bool = True
    as_root: bool = False

    def supervised(self, account: Account | None) -> list[str]:
        """Return the command line under supervisord: it ends with its parent, and as `account`.

        The parent's death signal is set after the change of account, which would clear it
        (PR_SET_PDEATHSIG in prctl(2)): setpriv keeps that order, supervisord's `user=` could not.

        Args:
            account: what root hands the work to; None when started by an ordinary user.
        """
        change = as_account(account) if account and not self.as_root else ["/usr/bin/setpriv"]
        return [*change, "--pdeathsig", "TERM", *self.command]


def programs(settings: Environment, checkout: Path, account: Account | None) -> list[Program]:
    """Return the processes in the order in which they start; they stop in the opposite one.

    Args:
        settings: the environment.
        checkout: the folder with manage.py and .venv.
        account: what root hands the work to; None when started by an ordinary user.

    Raises:
        LaunchProblem: if redis-server is needed and missing.
    """
    found = [
        Program("mail", _mail(settings, checkout, account), stop_seconds=30, kill_group=False, as_root=True),
        Program("recorder", _recorder(checkout), stop_seconds=10),
        Program("web", _web(settings, checkout), stop_seconds=15),
        Program("worker", _worker(checkout), stop_seconds=30),
        Program("beat", _beat(settings, checkout), stop_seconds=10),
    ]
    if settings.redis_url:
        return found
    return [Program("redis", _redis(settings), stop_seconds=15), *found]


def _redis(settings: Environment) -> tuple[str, ...]:
    program = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
    if program is None:
        raise LaunchProblem("redis-server was not found: run apt-get install redis-server, or set REDIS_URL.")
    socket = settings.data_dir.redis_socket
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(socket.parent),
        "daemonize": "no",
        "appendonly": "no",
        "save": "300 1",
        "maxmemory": "256mb",
        # Jobs wait in it: rather refuse new ones than throw away old ones.
        "maxmemory-policy": "noeviction",
        # The title would be written over the environment, by which a left-over one is known.
        "set-proc-title": "no",
    }
    return (program, *(part for name, value in options.items() for part in (f"--{name}", value)))


def _mail(settings: Environment, checkout: Path, account: Account | None) -> tuple[str, ...]:
    command = (
        _bin(checkout, "python"),
        "-m",
        "mailbackend.supervisor",
        "--data-dir",
        str(settings.data_dir.root),
    )
    return (*command, "--account", account.name) if account else command


def _recorder(checkout: Path) -> tuple[str, ...]:
    return (_bin(checkout, "python"), str(checkout / "manage.py"), "recordconnections")


def _web(settings: Environment, checkout: Path) -> tuple[str, ...]:
    return (
        _bin(checkout, "gunicorn"),
        "panel.wsgi:application",
        *("--bind", settings.panel_bind),
        *("--worker-class", "gthread", "--workers", "2", "--threads", "16"),
        *("--graceful-timeout", "10"),
        *("--access-logfile", "-", "--access-logformat", _ACCESS_LOG),
        *("--logger-class", "panel.core.logs.QuotingLogger"),
        # The panel itself judges X-Forwarded-For by TRUSTED_PROXIES; gunicorn believes nobody.
        *("--forwarded-allow-ips", ""),
        "--no-control-socket",
    )


def _worker(checkout: Path) -> tuple[str, ...]:
    options = ("--concurrency", "2", "--loglevel", "INFO", "--without-gossip", "--without-mingle")
    return (_bin(checkout, "celery"), "-A", "panel", "worker", *options, "-n", "worker@restante")


def _beat(settings: Environment, checkout: Path) -> tuple[str, ...]:
    schedule = settings.data_dir.run / "beat-schedule"
    # An empty pidfile: a stale one would keep it from starting again after kill -9.
    return (_bin(checkout, "celery"), "-A", "panel", "beat", "--schedule", str(schedule), "--pidfile=")


def manage(checkout: Path, account: Account | None, arguments: Sequence[str]) -> list[str]:
    """Return the command line of a manage.py command, as `account` if given, ending with its parent."""
    change = as_account(account) if account else ["/usr/bin/setpriv"]
    return [*change, "--pdeathsig", "TERM", _bin(checkout, "python"), str(checkout / "manage.py"), *arguments]


def _bin(checkout: Path, name: str) -> str:
    return str(checkout / ".venv" / "bin" / name)
