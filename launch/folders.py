"""The folders of DATA_DIR, with their owners and modes. Folders only: nothing inside them is touched."""

from __future__ import annotations

import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launch.account import Account
from launch.problem import LaunchProblem
from mailbackend.paths import DataDir

_MODES = {"events": 0o750, "logs": 0o755, "dovecot": 0o755, "static": 0o755}
_PRIVATE = 0o700


@dataclass(frozen=True)
class Folder:
    """What one folder must be: numbers of its owner and group, and its mode."""

    path: Path
    uid: int
    gid: int
    mode: int


def layout(data_dir: DataDir, starter: Account, account: Account) -> list[Folder]:
    """Return the folders below DATA_DIR as they must be.

    Args:
        data_dir: the layout's names.
        starter: who starts Restante: root or an ordinary user.
        account: who does the work: the service account, or the same ordinary user.
    """
    folders = []
    for name in data_dir.ROOT_OWNED:
        gid = account.gid if name == "events" else starter.gid
        folders.append(Folder(data_dir.root / name, starter.uid, gid, _MODES.get(name, _PRIVATE)))
    for name in data_dir.ACCOUNT_OWNED:
        folders.append(Folder(data_dir.root / name, account.uid, account.gid, _MODES.get(name, _PRIVATE)))
    return folders


def make_folders(data_dir: DataDir, starter: Account, account: Account) -> None:
    """Make DATA_DIR and the folders in it, or set the modes of those that are there.

    Raises:
        LaunchProblem: if DATA_DIR cannot be written, or something in it is a link, no folder, or of another
            owner; nothing that belongs to somebody else is changed.
    """
    _make_root(data_dir.root, starter, account)
    for folder in layout(data_dir, starter, account):
        try:
            _make(folder, starter)
        except PermissionError as err:
            raise _not_writable(data_dir.root, starter) from err


def _make_root(root: Path, starter: Account, account: Account) -> None:
    try:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
    except FileExistsError as err:
        raise LaunchProblem(f"DATA_DIR {root} is not a folder: remove it or set another DATA_DIR.") from err
    except OSError as err:
        raise _not_writable(root, starter, err.strerror) from err
    if not os.access(root, os.W_OK | os.X_OK):
        raise _not_writable(root, starter)
    if starter.uid == account.uid:
        return
    found = root.stat()
    if found.st_uid != starter.uid or found.st_mode & 0o022:
        # Whoever can rename the folders that root writes into could have root write anywhere.
        raise LaunchProblem(
            f"DATA_DIR {root} belongs to {_name(found.st_uid)} or can be written by others; started by root "
            f"it must be root's alone. Run: chown {starter.name}: {root} && chmod 755 {root}"
        )
    root.chmod(0o755)


def _make(folder: Folder, starter: Account) -> None:
    """Make one folder. Through its descriptor, so that no link can be put in its place meanwhile."""
    with suppress(FileExistsError):  # looked at below
        folder.path.mkdir(mode=0o700)
    try:
        descriptor = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as err:
        what = "a link" if folder.path.is_symlink() else "not a folder"
        raise LaunchProblem(
            f"{folder.path} is {what}: put a folder there (another disk can be mounted on it), then start."
        ) from err
    try:
        found = os.fstat(descriptor)
        owner = found.st_uid
        is_empty = not os.listdir(descriptor)  # noqa: PTH208  pathlib has no descriptors
        if owner == starter.uid != folder.uid and is_empty:
            os.fchown(descriptor, folder.uid, folder.gid)  # just made, here or by a start that was killed
        elif owner != folder.uid:
            raise _foreign(folder, owner, starter)
        elif found.st_gid != folder.gid and os.geteuid() == 0:
            os.fchown(descriptor, -1, folder.gid)
        if stat.S_IMODE(found.st_mode) != folder.mode:
            os.fchmod(descriptor, folder.mode)
    finally:
        os.close(descriptor)


def _foreign(folder: Folder, owner: int, starter: Account) -> LaunchProblem:
    wanted = _name(folder.uid)
    if starter.uid == 0:
        advice = f"If it was made by mistake, run: chown -R -h {wanted}: {folder.path}"
    else:
        advice = f"Start Restante as {_name(owner)}, or set another DATA_DIR"
    return LaunchProblem(f"{folder.path} belongs to {_name(owner)}, not to {wanted}. {advice}")


def _not_writable(root: Path, starter: Account, reason: str | None = None) -> LaunchProblem:
    if root.is_dir():
        owner = _name(root.stat().st_uid)
        return LaunchProblem(
            f"DATA_DIR {root} belongs to {owner} and cannot be written by {starter.name}. "
            f"Start Restante as {owner}, or set another DATA_DIR."
        )
    return LaunchProblem(
        f"DATA_DIR {root} cannot be made by {starter.name}{f' ({reason})' if reason else ''}. "
        f"As root, run: install -d -o {starter.name} {root}  (or set another DATA_DIR)"
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
