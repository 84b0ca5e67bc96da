"""The second stage, inside the venv: DATA_DIR, the first run, and then the processes."""

from __future__ import annotations

import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

from launch.account import Account, find_account, open_the_way, own_account
from launch.folders import make_folders
from launch.leftovers import end_leftovers, is_our_dovecot
from launch.lock import keep_over_exec, take_lock
from launch.ports import port_problems
from launch.problem import LaunchProblem, become_program, say
from launch.programs import manage, programs
from launch.render import account_environment, supervisord_conf
from mailbackend.paths import SERVICE_ACCOUNT
from panel.environment import CHECKOUT, Environment, EnvironmentProblem, read_environment

#: Dovecot's high-performance logins and the panel hold a descriptor for each connection.
_FILES = 65536
#: Besides ours, the accounts of Debian's Dovecot, which meet in sockets below DATA_DIR.
_DOVECOT_ACCOUNTS = ("dovecot", "dovenull")


@dataclass(frozen=True)
class _Start:
    """Who starts with which settings.

    Attributes:
        settings: the environment.
        starter: who this process is: root or an ordinary user.
        handed_to: the account that root hands the work to; None for an ordinary user.
        lock: the descriptor that holds DATA_DIR for this process.
    """

    settings: Environment
    starter: Account
    handed_to: Account | None
    lock: int


def start() -> int:
    """Bring DATA_DIR to where it must be, then become the supervisor of all processes.

    Raises:
        LaunchProblem: saying what to do; exit code 2 for a setting, the first run's when that has failed.
    """
    begun = _begin()
    settings, data_dir = begun.settings, begun.settings.data_dir
    end_leftovers(data_dir)
    problems = port_problems(
        settings,
        as_root=begun.handed_to is not None,
        is_ours=lambda pid: is_our_dovecot(pid, data_dir),
    )
    if problems:
        raise LaunchProblem("\n".join(problems))
    _first_run(begun)
    kept = programs(settings, CHECKOUT, begun.handed_to)
    conf = data_dir.processes / "supervisord.conf"
    _write(conf, supervisord_conf(data_dir, CHECKOUT, kept, begun.handed_to))
    say(f"Starting {', '.join(program.name for program in kept)}. Ctrl-C stops all.")
    say(f"The panel: {settings.panel_url}")
    say(f"The logs:  {data_dir.logs}")
    _raise_file_limit()
    keep_over_exec(begun.lock)
    supervisord = str(CHECKOUT / ".venv" / "bin" / "supervisord")
    become_program([supervisord, "-c", str(conf)])


def setup() -> int:
    """Make DATA_DIR and what stands in it, and start nothing: for those who run the processes by systemd.

    Raises:
        LaunchProblem: as `start`.
    """
    _first_run(_begin())
    return 0


def become(name: str) -> int:
    """Become one of the processes, as the account that this process has: for systemd's units.

    Returns:
        0 if it need not run (the private Redis, when there is another); else the process has become it.

    Raises:
        LaunchProblem: if there is no such process or a setting cannot be used.
    """
    settings = _settings()
    _export(settings)
    handed_to = find_account(SERVICE_ACCOUNT) if os.geteuid() == 0 else None
    kept = {program.name: program for program in programs(settings, CHECKOUT, handed_to)}
    if name == "redis" and name not in kept:
        say("REDIS_URL is set: the private Redis is not needed.")
        return 0
    if name not in kept:
        raise LaunchProblem(f"There is no process {name!r}: choose one of {', '.join(kept)}.", exit_code=2)
    if handed_to and not kept[name].as_root:
        raise LaunchProblem(f"{name} is not run as root: run it as {SERVICE_ACCOUNT}.")
    os.umask(0o077)
    os.chdir(CHECKOUT)
    _raise_file_limit()
    return become_program(kept[name].command)


def _begin() -> _Start:
    """Read the settings, make the folders and take the lock."""
    settings = _settings()
    _export(settings)
    starter = own_account()
    handed_to = None
    if starter.uid == 0:
        handed_to = find_account(SERVICE_ACCOUNT)
        if handed_to is None:
            raise LaunchProblem(f"The account {SERVICE_ACCOUNT} is missing: run python3 -m launch prepare")
    data_dir = settings.data_dir
    os.umask(0o022)  # for DATA_DIR and what is above it; every folder in it gets its own mode
    make_folders(data_dir, starter, handed_to or starter)
    os.umask(0o077)
    if handed_to:
        others = [account for name in _DOVECOT_ACCOUNTS if (account := find_account(name))]
        for account in (handed_to, *others):
            open_the_way(data_dir.root, account)
    return _Start(settings, starter, handed_to, take_lock(data_dir.processes))


def _settings() -> Environment:
    try:
        return read_environment()
    except EnvironmentProblem as problem:
        raise LaunchProblem(str(problem), exit_code=2) from problem


def _export(settings: Environment) -> None:
    """Let every process see the same DATA_DIR, whoever it runs as, and write its log at once."""
    os.environ["DATA_DIR"] = str(settings.data_dir.root)
    os.environ["PYTHONUNBUFFERED"] = "1"
    # The account cannot write into root's checkout, and need not try.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def _first_run(begun: _Start) -> None:
    environment = dict(os.environ)
    if begun.handed_to:
        environment |= account_environment(begun.settings.data_dir, begun.handed_to)
    command = manage(CHECKOUT, begun.handed_to, ["firstrun"])
    code = subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode
    if code:
        raise LaunchProblem(
            "The first run did not succeed; its message is above.", exit_code=code if code > 0 else 1
        )


def _write(conf: Path, text: str) -> None:
    beside = conf.with_suffix(".new")
    beside.write_text(text, "utf-8")
    beside.replace(conf)


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
