"""The service account that root hands the work to, and its way to its files. Standard library only."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.problem import LaunchProblem, say

#: The same name as in mailbackend.paths, which a Python without the venv must not need.
SERVICE_ACCOUNT = "restante"

#: Prints the first file below the checkout that this process cannot read; walks nothing else.
_FIND_UNREADABLE = """
import os, sys
checkout = sys.argv[1]
packages = [p for p in sys.path if p.endswith("site-packages")]
def check(path, mode):
    if not os.access(path, mode):
        print(path)
        sys.exit()
def stop(error):
    print(error.filename)
    sys.exit()
check(checkout, os.R_OK | os.X_OK)
for folder in packages:
    for entry in os.scandir(folder):
        check(entry.path, os.R_OK | (os.X_OK if entry.is_dir() else 0))
for folder, folders, files in os.walk(checkout, onerror=stop):
    if folder == checkout:
        folders[:] = [name for name in folders if name not in (".git", ".venv", "var")]
    folders[:] = [name for name in folders if not name.endswith("cache") and name != "__pycache__"]
    for name in files:
        check(os.path.join(folder, name), os.R_OK)
"""


@dataclass(frozen=True)
class Account:
    """An account of the machine."""

    name: str
    uid: int
    gid: int


def find_account(name: str = SERVICE_ACCOUNT) -> Account | None:
    """Return the account of that name, or None."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def own_account() -> Account:
    """Return the account of this process; one without a name is called by its number."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name, uid, os.getegid())


def ensure_account(name: str = SERVICE_ACCOUNT) -> Account:
    """Return the service account, made as a system account if it is missing. Root only.

    Raises:
        LaunchProblem: if useradd fails, or the name is root's by another number.
    """
    account = find_account(name)
    if account is None:
        say(f"Making the system account {name}.")
        command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/usr/sbin/nologin", "--gid" if _group_exists(name) else "--user-group"]
        command += [name, name] if _group_exists(name) else [name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        account = find_account(name)
        if done.returncode or account is None:
            raise LaunchProblem(
                f"The account {name} could not be made: {done.stderr.strip()}. Make it and start again."
            )
    if account.uid == 0:
        raise LaunchProblem(f"The account {name} has root's number 0: remove it and start again.")
    return account


def _group_exists(name: str) -> bool:
    return any(entry.gr_name == name for entry in grp.getgrall())


def as_account(account: Account) -> list[str]:
    """Return the beginning of a command line that runs the rest of it as `account`, for good."""
    ids = ["--reuid", account.name, "--regid", str(account.gid), "--init-groups"]
    return ["/usr/bin/setpriv", *ids, "--no-new-privs"]


def open_the_way(path: Path, account: Account) -> None:
    """Let `account` pass through the folders above `path` that are closed to it, and nothing more.

    Passing (x) lets it open what it knows the name of; it cannot list the folder. Root only.

    Args:
        path: the folder to be reached; it is not changed itself, and need not exist yet.

    Raises:
        LaunchProblem: if the file system has no access lists.
    """
    above = [*reversed(path.parents), *reversed(path.resolve().parents)]
    for folder in dict.fromkeys(above):
        if not folder.is_dir() or _may_pass(folder, account):
            continue
        entry = f"u:{account.name}:--x"
        done = subprocess.run(
            ["setfacl", "-m", entry, str(folder)], capture_output=True, text=True, check=False
        )
        if done.returncode or not _may_pass(folder, account):
            raise LaunchProblem(
                f"{folder} is closed to the account {account.name} and setfacl could not let it pass"
                f"{': ' + done.stderr.strip() if done.stderr.strip() else ''}. "
                f"Run: chmod o+x {folder}  (or keep Restante somewhere else, such as /opt/restante)"
            )
        say(
            f"{folder} is closed: the account {account.name} may now pass through it, "
            f"but not list it (setfacl -m {entry})."
        )


def _may_pass(folder: Path, account: Account) -> bool:
    command = [*as_account(account), "test", "-x", str(folder)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def verify_readable(checkout: Path, python: Path, account: Account) -> None:
    """Make sure that `account` can run `python` and read the checkout. Root only.

    Args:
        checkout: the folder with manage.py.
        python: the interpreter of the venv.

    Raises:
        LaunchProblem: naming the first file that is closed, and the command that opens it.
    """
    command: Sequence[str] = [
        *as_account(account),
        str(python),
        "-I",
        "-B",
        "-c",
        _FIND_UNREADABLE,
        str(checkout),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    closed = done.stdout.strip()
    if done.returncode == 0 and not closed:
        return
    what = f"{closed} cannot be read" if closed else f"{python} cannot be run ({_last_line(done.stderr)})"
    rights = f"u:{account.name}:rX"
    raise LaunchProblem(
        f"As the account {account.name}, {what}: were the files made with umask 077? "
        f"Run: setfacl -R -m {rights},d:{rights} {checkout}"
    )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
