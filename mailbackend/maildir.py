"""Maildirs on disk: provision, check, measure. Messages of a mailbox in use are changed by Dovecot alone.

A home is built beside its place and renamed into it, so it is there whole or not at all, and it carries a token
that only its database row knows: a folder without it is never taken for this mailbox's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

#: Folders besides INBOX, with the roles that RFC 6154 gives them; Dovecot's configuration names the same.
SPECIAL_FOLDERS = ("Sent", "Drafts", "Junk", "Trash", "Archive")

#: Keyword names written ahead into the inbox, so that POP's marks keep a letter of Maildir's 26 even when a
#: person's own labels take the rest. The first is the main password's.
POP_KEYWORDS = ("$PopMain", *(f"$Pop{slot}" for slot in range(1, 8)))

MARKER = ".restante-mail-root"
OWNER_FILE = ".mailbox"
_BUILDING = ".new-"
#: A build older than this was left by a process that died. Seconds.
_BUILD_MAX_AGE = 3600

#: What each folder of a Maildir holds.
_PARTS = ("cur", "new", "tmp")
#: The folders below a home, each after the one that holds it.
_FOLDERS = [
    f"Maildir{folder}{part}"
    for folder in ("", *(f"/.{name}" for name in SPECIAL_FOLDERS))
    for part in ("", *(f"/{part}" for part in _PARTS))
]
_SUBSCRIPTIONS = "".join(f"{name}\n" for name in SPECIAL_FOLDERS).encode()
_KEYWORDS = "".join(f"{number} {name}\n" for number, name in enumerate(POP_KEYWORDS)).encode()
#: This machine in the names of messages, which are their UIDLs.
_HOST = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())[:16] or "localhost"

_libc = ctypes.CDLL(None, use_errno=True)

_SIZE_IN_NAME = re.compile(r",W=([0-9]+)(?:[,:]|\Z)")
_NAME_OF_MESSAGE = re.compile(r"[A-Za-z0-9.]{1,40}\Z")
_FILE_SIZE_IN_NAME = re.compile(r",S=([0-9]+)(?:[,:]|\Z)")


class MailRootMissing(OSError):
    """The mail root does not hold the marker of this installation: a mount is missing, or it is another's."""


class HomeTaken(OSError):
    """There is a folder at a mailbox's home that is not this mailbox's. It is never adopted."""


@dataclass(frozen=True)
class NewHome:
    """A home to make.

    Attributes:
        path: relative to the mail root, as `addresses.home_path` gives it.
        token: what the mailbox's row holds to recognise its home.
        welcome: messages (RFC 5322, any line endings) that the inbox starts with.
    """

    path: PurePosixPath
    token: str
    welcome: Sequence[bytes] = ()


@dataclass(frozen=True)
class Usage:
    """What a home holds: messages of all folders, and their virtual size in bytes, as Dovecot's quota counts.

    Attributes:
        messages: how many there are.
        used_bytes: their size.
        inexact_bytes: by how much more it may be at most: of messages whose names do not tell the virtual size, only
            that of the file is known, in which each line may be a byte shorter.
    """

    messages: int
    used_bytes: int
    inexact_bytes: int = 0


@dataclass(frozen=True)
class Finding:
    """Something wrong with a home, and whether `mend` can put it right."""

    problem: str
    mendable: bool


def create_mail_root(root: Path, root_id: str) -> None:
    """Write the marker into the mail root, which must exist: whole, or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    beside = root / f"{MARKER}-{secrets.token_hex(6)}"
    try:
        _write(beside, f"{root_id}\n".encode())
        beside.rename(root / MARKER)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(root)


def read_marker(root: Path) -> str | None:
    """Return the id in the mail root's marker, or None where there is none."""
    try:
        return (root / MARKER).read_text("ascii").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def check_mail_root(root: Path, root_id: str) -> None:
    """Check that `root` is the mail root that the database means.

    Raises:
        MailRootMissing: if its marker is absent or another's.
    """
    if read_marker(root) != root_id:
        raise MailRootMissing(
            f"The mail root {root} does not hold this installation's marker ({MARKER}): "
            "is its disk mounted? Nothing is created or changed until it is back."
        )


def provision(root: Path, home: PurePosixPath, token: str, welcome: Sequence[bytes] = ()) -> None:
    """Make a mailbox's home, whole or not at all. Doing it again does nothing.

    Layout: Maildir++ with the special folders, subscribed, mode 0700, the POP keywords reserved.

    Args:
        root: the mail root; the caller has checked its marker.
        home: as `addresses.home_path` gives it.
        token: what the mailbox's row holds to recognise its home.
        welcome: messages (RFC 5322, any line endings) that the inbox starts with.

    Raises:
        HomeTaken: if the place holds a folder without this token.
        OSError: if the disk refuses; nothing is left at the place.
    """
    _provision(root, [NewHome(home, token, welcome)], sync_all=False)


def provision_all(root: Path, homes: Sequence[NewHome]) -> None:
    """Make several mailboxes' homes, each whole or not at all. Doing it again does nothing.

    The whole file system is synchronised once, not file by file: for thousands of homes, not for one.

    Args:
        root: the mail root; the caller has checked its marker.
        homes: which.

    Raises:
        HomeTaken: if a place holds a folder that is not the mailbox's.
        OSError: if the disk refuses; some of the homes may be there then.
    """
    _provision(root, homes, sync_all=True)


def undo_provision(root: Path, home: PurePosixPath, token: str) -> None:
    """Remove a home that was just made and that nobody could use yet. Without one, or with another's, nothing is done.

    Raises:
        OSError: if the disk refuses.
    """
    place = root / home
    if not os.path.lexists(place) or token_in(place) != token:
        return
    building = _building(place)
    place.rename(building)
    shutil.rmtree(building)


def _provision(root: Path, homes: Sequence[NewHome], *, sync_all: bool) -> None:
    built: list[tuple[Path, Path]] = []
    found: list[Path] = []
    try:
        for home in homes:
            place = root / home.path
            if os.path.lexists(place):
                _check_token(place, home.token)
                found.append(place)
                continue
            _make_folder(place.parent)
            building = _building(place)
            built.append((building, place))
            _build(building, home.token, home.welcome, sync=not sync_all)
        # One that was there may have been built a moment ago by a process that died before it was on the disk.
        if (sync_all and built) or found:
            _sync_file_system(root)
        for building, place in built:
            _move_in(building, place)
        for parent in {place.parent for _building, place in built}:
            sync_folder(parent)
    finally:
        for building, _place in built:
            if os.path.lexists(building):
                shutil.rmtree(building, ignore_errors=True)


def _move_in(building: Path, place: Path) -> None:
    try:
        # rename(2) onto a folder that is not empty fails: it cannot swallow another's mail.
        building.rename(place)
    except OSError:
        if not os.path.lexists(place):
            raise
        # Somebody built it meanwhile: us, in another process, or nobody we know. Both were given one token.
        if token_in(place) != token_in(building):
            raise HomeTaken(_taken(place)) from None


def has_home(root: Path, home: PurePosixPath, token: str) -> bool:
    """Return whether the mailbox's own home is at its place.

    Raises:
        HomeTaken: if something else is.
    """
    place = root / home
    if not os.path.lexists(place):
        return False
    _check_token(place, token)
    return True


def seems_there(root: Path, home: str) -> bool:
    """Return whether a home has a token, whichever, by one look at the disk."""
    try:
        os.lstat(f"{root}/{home}/{OWNER_FILE}")
    except OSError:
        return False
    return True


def put_message(root: Path, home: PurePosixPath, token: str, message: bytes, *, name: str) -> bool:
    """Put a message into a mailbox's inbox as Maildir says (tmp, fsync, new), whatever the quota says of it.

    Dovecot finds it as it finds what any program delivers into a Maildir, and tells who waits in IDLE. One that was put
    there under the same name, and that nobody moved or deleted since, is not put there again.

    Args:
        root: the mail root; the caller has checked its marker.
        home: as `addresses.home_path` gives it.
        token: what the mailbox's row holds to recognise its home.
        message: RFC 5322, any line endings.
        name: what tells it from all others that are put there; letters, digits and dots, at most 40 of them.

    Returns:
        Whether it was put there now.

    Raises:
        HomeTaken: if what is at the home's place is not this mailbox's.
        OSError: if there is no home, or the disk refuses; nothing is delivered then.
    """
    if not _NAME_OF_MESSAGE.match(name):
        raise ValueError(f"{name!r} cannot be part of a message's name.")
    place = root / home
    if not has_home(root, home, token):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place))
    unique = f"{name}.{_HOST}"
    if _is_in(place / "Maildir", unique):
        return False
    text, sizes = _prepared(message)
    inbox = place / "Maildir"
    # A name of its own: two that do the same at once do not write into one file.
    beside = inbox / "tmp" / f"{unique}.{secrets.token_hex(6)}"
    try:
        _write(beside, text)
        beside.rename(inbox / "new" / f"{unique},{sizes}")
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(inbox / "new")
    return True


def _is_in(inbox: Path, unique: str) -> bool:
    return any(
        entry.name.startswith(f"{unique},") for part in ("new", "cur") for entry in _scan(inbox / part)
    )


def check_home(root: Path, home: PurePosixPath) -> list[Finding]:
    """Return what is wrong with a home that exists: missing folders, modes, owner."""
    place = root / home
    findings = []
    for folder in _folders(place):
        try:
            status = folder.lstat()
        except FileNotFoundError:
            findings.append(Finding(f"{folder.relative_to(root)} is missing", mendable=True))
            continue
        if not stat.S_ISDIR(status.st_mode):
            findings.append(Finding(f"{folder.relative_to(root)} is not a folder", mendable=False))
        elif status.st_uid != os.geteuid():
            findings.append(Finding(f"{folder.relative_to(root)} belongs to another user", mendable=False))
        elif stat.S_IMODE(status.st_mode) != 0o700:
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            findings.append(Finding(f"{folder.relative_to(root)} has mode {mode}", mendable=True))
    return findings


def mend_home(root: Path, home: PurePosixPath) -> None:
    """Make the folders that a home lacks and set the modes. Nothing is removed.

    Raises:
        OSError: if the disk refuses.
    """
    for folder in _folders(root / home):
        _make_folder(folder)
        status = folder.lstat()
        # A link is never followed: what it names is not ours to change.
        if stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) != 0o700:
            folder.chmod(0o700)


def measure(root: Path, home: PurePosixPath) -> Usage:
    """Return what a home holds, from the sizes that Maildir file names carry (`,W=`, else `,S=`, else a stat).

    A file that a mail program removes meanwhile is not counted.
    """
    messages = used = inexact = 0
    for folder in _message_folders(root / home / "Maildir"):
        for entry in _scan(folder):
            if entry.name.startswith("."):
                continue  # no message to Dovecot either
            size = _message_size(entry)
            if size is not None:
                messages += 1
                used += size
                inexact += 0 if _SIZE_IN_NAME.search(entry.name) else size
    return Usage(messages, used, inexact)


def has_removed_mail(root: Path, home: PurePosixPath) -> bool:
    """Return whether something was ever removed from a mailbox: Dovecot makes the folder for it with the first."""
    return (root / home / "expunged" / ".all").is_dir()


def homes_on_disk(root: Path) -> Iterator[PurePosixPath]:
    """Yield every home-like folder below the mail root, relative to it, builds in progress left out.

    A folder that cannot be read stands for what is in it.
    """
    for domain in _domain_folders(root):
        try:
            with os.scandir(domain.path) as homes:
                for home in homes:
                    if not home.name.startswith(_BUILDING):
                        yield PurePosixPath(domain.name, home.name)
        except PermissionError:
            yield PurePosixPath(domain.name)
        except FileNotFoundError:
            continue


def abandoned_builds(root: Path, now: float) -> Iterator[Path]:
    """Yield builds that a process left when it died: an hour old at `now` (seconds since 1970)."""
    for domain in _domain_folders(root):
        if not os.access(domain.path, os.R_OK | os.X_OK):
            continue
        with os.scandir(domain.path) as entries:
            builds = [Path(entry.path) for entry in entries if entry.name.startswith(_BUILDING)]
        yield from (build for build in builds if _age(build, now) > _BUILD_MAX_AGE)


def remove_build(building: Path) -> None:
    """Remove an abandoned build.

    Raises:
        ValueError: if the path is not one: nothing else is ever removed here.
    """
    if not building.name.startswith(_BUILDING) or building.is_symlink():
        raise ValueError(f"{building} is not a build.")
    shutil.rmtree(building)


def _building(place: Path) -> Path:
    return place.parent / f"{_BUILDING}{place.name}-{secrets.token_hex(6)}"


def _build(building: Path, token: str, welcome: Sequence[bytes], *, sync: bool) -> None:
    building.mkdir(mode=0o700)
    home = os.open(building, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Plain calls relative to the home: with Path objects and long paths a batch would take twice the time.
        for folder in _FOLDERS:
            os.mkdir(folder, 0o700, dir_fd=home)
        for name in SPECIAL_FOLDERS:
            _write(f"Maildir/.{name}/maildirfolder", b"", below=home, sync=False)
        _write("Maildir/subscriptions", _SUBSCRIPTIONS, below=home, sync=sync)
        _write("Maildir/dovecot-keywords", _KEYWORDS, below=home, sync=sync)
        for number, message in enumerate(welcome):
            _write_message("Maildir/new", message, number, below=home, sync=sync)
        _write(OWNER_FILE, f"{token}\n".encode(), below=home, sync=sync)
    finally:
        os.close(home)


def _write_message(folder: str, message: bytes, number: int, *, below: int, sync: bool) -> None:
    text, sizes = _prepared(message)
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    # The name is the message's UIDL, which has at most 70 characters (RFC 1939 section 7).
    unique = f"{seconds}.M{nanoseconds // 1000}P{os.getpid()}Q{number}.{_HOST}"
    _write(f"{folder}/{unique},{sizes}", text, below=below, sync=sync)


def _prepared(message: bytes) -> tuple[bytes, str]:
    """Return a message as Maildir keeps it, and its sizes as Dovecot writes them into the name of its file."""
    text = message.replace(b"\r\n", b"\n")
    lines = text.count(b"\n")
    return text, f"S={len(text)},W={len(text) + lines}"


def _folders(home: Path) -> Iterator[Path]:
    yield home
    yield from (home / folder for folder in _FOLDERS)


def _domain_folders(root: Path) -> list[os.DirEntry[str]]:
    """Return the folders of domains. A disk mounted as the mail root brings a lost+found of its own."""
    return [
        entry
        for entry in _scan(root)
        if entry.is_dir(follow_symlinks=False)
        and not entry.name.startswith(".")
        and entry.name != "lost+found"
    ]


def _age(path: Path, now: float) -> float:
    """Return how long ago a path was changed, or 0 if it is gone. Seconds."""
    try:
        return now - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _message_folders(maildir: Path) -> Iterator[Path]:
    yield from (maildir / "cur", maildir / "new")
    for entry in _scan(maildir):
        if entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from (Path(entry.path) / "cur", Path(entry.path) / "new")


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _message_size(entry: os.DirEntry[str]) -> int | None:
    match = _SIZE_IN_NAME.search(entry.name) or _FILE_SIZE_IN_NAME.search(entry.name)
    if match:
        return int(match[1])
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def _check_token(place: Path, token: str) -> None:
    if not secrets.compare_digest(token_in(place), token):
        raise HomeTaken(_taken(place))


def token_in(place: Path) -> str:
    """Return the token in a home, or an empty string where there is none that can be read."""
    try:
        return (place / OWNER_FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _taken(place: Path) -> str:
    return f"{place} exists and is not this mailbox's: it is left as it is."


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)


def _write(path: str | Path, content: bytes, *, below: int | None = None, sync: bool = True) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=below)
    try:
        if content and os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file_system(folder: Path) -> None:
    """Have everything written so far to the file system of `folder` survive a power cut (syncfs(2)).

    Raises:
        OSError: if the disk reports an error.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
