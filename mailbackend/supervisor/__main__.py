"""`python -m mailbackend.supervisor --data-dir DIR [--account NAME]`: launch Dovecot and keep it running.

It answers on the control socket. Exit codes: 0 after SIGTERM or SIGINT, 2 if it cannot be started so, 3 if
another one runs on the same DATA_DIR.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import grp
import logging
import os
import pwd
import resource
import signal
import sys
from pathlib import Path

from mailbackend.dovecot.render import Identity
from mailbackend.paths import DataDir, PathError
from mailbackend.supervisor.control import ControlServer
from mailbackend.supervisor.process import Problem, check_only_root_writes
from mailbackend.supervisor.service import MailService, Setup

EXIT_UNUSABLE = 2
EXIT_LOCKED = 3

#: Open files: each login process holds thousands of connections.
_OPEN_FILES = 65536


class Locked(Exception):
    """Another supervisor has this DATA_DIR."""


def main(arguments: list[str]) -> int:
    """Run the supervisor and return its exit code."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="mail: %(message)s")
    parser = argparse.ArgumentParser(prog="python -m mailbackend.supervisor", allow_abbrev=False)
    parser.add_argument("--data-dir", required=True, help="DATA_DIR, absolute")
    parser.add_argument("--account", help="the account that owns the mail; needed as root")
    options = parser.parse_args(arguments)
    try:
        data = DataDir.at(options.data_dir)
        entry = _account(options.account)
        as_root = os.geteuid() == 0
        _make_folders(data, entry, as_root=as_root)
        lock = _take_lock(data)
    except (PathError, Problem, OSError) as err:
        sys.stderr.write(f"{err}\n")
        return EXIT_UNUSABLE
    except Locked as err:
        sys.stderr.write(f"{err}\n")
        return EXIT_LOCKED
    _raise_open_files()
    setup = Setup(
        data=data,
        identity=Identity(entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name, as_root),
        owner=(entry.pw_uid, entry.pw_gid),
        dovecot_bin=os.environ.get("DOVECOT_BIN", ""),
        environment=dict(os.environ),
    )
    try:
        asyncio.run(_supervise(setup))
    finally:
        os.close(lock)
    return 0


async def _supervise(setup: Setup) -> None:
    service = MailService(setup)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.quit)
    loop.add_signal_handler(signal.SIGHUP, service.hang_up)
    uids = {0, os.geteuid(), setup.owner[0]}
    server = ControlServer(setup.data.control_socket, service.handle, service.status, service.report, uids)
    await server.listen(setup.owner if setup.identity.as_root else None)
    try:
        await service.run()
    finally:
        server.close()


def _account(name: str | None) -> pwd.struct_passwd:
    """Return the account that owns the mail.

    Raises:
        Problem: if it does not exist, or is not possible.
    """
    uid = os.geteuid()
    if uid == 0 and not name:
        raise Problem("As root, say which account owns the mail: --account restante.")
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(uid)
    except KeyError as err:
        raise Problem(
            f"There is no account {name!r}: useradd --system {name}."
            if name
            else f"The user with the id {uid} has no name, which Dovecot needs: add one to /etc/passwd."
        ) from err
    if entry.pw_uid == 0 and uid == 0:
        raise Problem("The mail cannot belong to root: give --account the name of an ordinary account.")
    if uid not in (0, entry.pw_uid):
        raise Problem(f"--account is {name!r}: only root can start the mail service for another account.")
    return entry


def _make_folders(data: DataDir, entry: pwd.struct_passwd, *, as_root: bool) -> None:
    """Make what the supervisor writes into. As root, nobody else may be able to put something else there.

    Raises:
        Problem: if one is there and is not a folder, or belongs to somebody else.
        OSError: if one cannot be made.
    """
    if not data.root.is_dir():
        raise Problem(f"DATA_DIR {data.root} is not a folder: make it, or set DATA_DIR.")
    if as_root:
        check_only_root_writes(data.root, "DATA_DIR")
        _check_open_to_pass(data.root)
    group = entry.pw_gid if as_root else os.getegid()
    wanted = (
        (data.dovecot, 0o755, 0 if as_root else group),
        (data.configurations, 0o700, 0 if as_root else group),
        (data.events, 0o750, group),
    )
    for folder, mode, gid in wanted:
        _make_folder(folder, mode, gid)


def _check_open_to_pass(folder: Path) -> None:
    """Dovecot's own users and the account must get to their sockets below `folder`.

    Raises:
        Problem: naming the first folder that is closed.
    """
    real = folder.resolve()
    for place in (real, *real.parents):
        if not place.stat().st_mode & 0o001:
            raise Problem(
                f"Dovecot's users cannot pass {place}: chmod o+x {place}, or choose another DATA_DIR."
            )


def _make_folder(folder: Path, mode: int, gid: int) -> None:
    if not folder.exists():
        folder.mkdir(mode=0o700)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise Problem(f"{folder} belongs to somebody else: chown it to the user that starts this.")
        os.fchown(handle, -1, gid)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def _take_lock(data: DataDir) -> int:
    """Hold DATA_DIR for this process, as long as it lives, and return the descriptor that does.

    Raises:
        Locked: if another one holds it.
    """
    path = data.dovecot / "supervisor.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        os.close(handle)
        raise Locked(
            f"Another mail supervisor runs on {data.root}: stop that one first, or use another DATA_DIR."
        ) from err
    return handle


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
