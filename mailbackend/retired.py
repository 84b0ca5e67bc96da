"""Retired homes: where the homes of purged mailboxes wait to be erased, below a folder of their own.

A home is renamed away, never copied; nothing outside of the folder for retired homes is ever erased, and no
link is followed on the way.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from mailbackend import maildir
from mailbackend.maildir import HomeTaken, Usage, sync_folder, token_in

#: The folder for retired homes in a mail root that is a disk of its own. Its name begins with a dot: no domain's does.
HIDDEN = ".retired"
#: Names tried for one home: it may come back several times, each time by a delivery that was on its way.
_NAMES_MAX = 10_000


class OtherFileSystem(OSError):
    """Mail root and retired homes are not on one file system: a home cannot be renamed from one into the other."""


def folders(root: Path, retired: Path) -> list[Path]:
    """Return the folders for retired homes, the one to use now first.

    Where a disk of its own is mounted as the mail root, homes are retired in a hidden folder of that disk.

    Args:
        root: the mail root.
        retired: `DataDir.retired`.

    Raises:
        OSError: if one of the two is not there, or the hidden folder cannot be made.
    """
    hidden = root / HIDDEN
    if root.stat().st_dev == retired.stat().st_dev:
        return [retired, hidden]
    hidden.mkdir(mode=0o700, exist_ok=True)
    return [hidden, retired]


def retire(root: Path, retired: Path, home: PurePosixPath, token: str) -> Path | None:
    """Rename a purged mailbox's home out of the mail root.

    A delivery that was on its way makes the path again, without a token: call this again then.

    Args:
        root: the mail root; the caller has checked its marker.
        retired: the folder for retired homes.
        home: relative to the mail root.
        token: the mailbox's.

    Returns:
        where it lies now, or None if there was nothing at its path.

    Raises:
        HomeTaken: if the folder has another mailbox's token.
        OtherFileSystem: if it would have to be copied.
        OSError: if the disk refuses.
    """
    place = root / home
    if not os.path.lexists(place):
        return None
    if token_in(place) not in ("", token):
        raise HomeTaken(f"{place} has another mailbox's token: it is left as it is.")
    parent = retired / home.parent
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, _NAMES_MAX):
        target = parent / f"{home.name}.{number}"
        if os.path.lexists(target):
            continue
        try:
            place.rename(target)
        except FileNotFoundError:
            # Somebody else retired it at this moment.
            return None
        except OSError as err:
            if err.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue
            if err.errno == errno.EXDEV:
                raise OtherFileSystem(_apart(root, retired)) from err
            raise
        sync_folder(place.parent)
        sync_folder(parent)
        return target
    raise OSError(errno.EEXIST, f"{place} was made again too many times: erase what is in {parent} first")


def measure_retired(retired: Path, home: PurePosixPath) -> Usage:
    """Return what all the retired folders of one home hold together."""
    messages = used = 0
    for entry in _entries(retired / home.parent):
        if entry.name.rpartition(".")[0] == home.name:
            usage = maildir.measure(retired, PurePosixPath(home.parent, entry.name))
            messages += usage.messages
            used += usage.used_bytes
    return Usage(messages, used)


def retired_homes(retired: Path) -> Iterator[PurePosixPath]:
    """Yield what waits to be erased, relative to the folder for retired homes."""
    for domain in _entries(retired):
        if domain.is_dir(follow_symlinks=False):
            for home in _entries(retired / domain.name):
                yield PurePosixPath(domain.name, home.name)
        else:
            yield PurePosixPath(domain.name)


def erase(retired: Path, path: PurePosixPath) -> None:
    """Erase one retired home. What is gone already is erased.

    Args:
        retired: the folder for retired homes.
        path: relative to it, as `retired_homes` gives it.

    Raises:
        ValueError: if the path leads out of the folder.
        OSError: if the disk refuses; what could be erased is.
    """
    if path.is_absolute() or not 1 <= len(path.parts) <= 2 or ".." in path.parts:
        raise ValueError(f"{path} is not a retired home.")
    # Opened step by step: a link in the place of a folder is refused, not followed.
    folder = os.open(retired, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in path.parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        _erase(folder, path.name)
    except FileNotFoundError:
        return
    finally:
        os.close(folder)


def forget_empty_domains(retired: Path) -> None:
    """Remove the folders of domains in which nothing waits any more."""
    if retired.is_symlink():
        return
    for domain in _entries(retired):
        if domain.is_dir(follow_symlinks=False):
            try:
                os.rmdir(domain.path)  # noqa: PTH106 - an entry's path is a text
            except OSError as err:
                if err.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise


def _erase(folder: int, name: str) -> None:
    first: list[BaseException] = []

    def note(
        _function: Callable[..., object], _path: str, info: tuple[object, BaseException, object]
    ) -> None:
        if not isinstance(info[1], FileNotFoundError):
            first.append(info[1])

    try:
        os.unlink(name, dir_fd=folder)
        return
    except (IsADirectoryError, PermissionError):
        # Linux says EISDIR for a folder, POSIX EPERM.
        pass
    # With a descriptor rmtree follows no link, whoever puts one there meanwhile.
    shutil.rmtree(name, dir_fd=folder, onerror=note)
    if first:
        raise first[0]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return


def _apart(root: Path, retired: Path) -> str:
    return (
        f"{retired} is on another mount than {root}, and homes are never copied: mount the disk on their common "
        "folder instead."
    )
