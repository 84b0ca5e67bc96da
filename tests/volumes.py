"""Small filesystems for a test: folders of a stand that can be filled up and emptied again. Mounting needs root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mailbackend.paths import SERVICE_ACCOUNT
from tests.stand import Stand

#: What fills a volume; its name begins with a dot, as things that are not mail do.
_FILLER = ".filler"
#: Bytes written at a time, so that not one is left.
_STEPS = (1024 * 1024, 4096, 1)


@dataclass(frozen=True)
class Volume:
    """A filesystem in memory, mounted on a folder."""

    folder: Path

    @classmethod
    def mount(cls, folder: Path, *, size: str, owner: tuple[int, int], mode: int) -> Volume:
        """Make a folder and mount a filesystem on it.

        Args:
            folder: where.
            size: such as "8m".
            owner: uid and gid of its root.
            mode: of its root.
        """
        folder.mkdir()
        options = f"size={size},uid={owner[0]},gid={owner[1]},mode={mode:o}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        return cls(folder)

    def fill(self) -> None:
        """Fill it to the last byte."""
        with (self.folder / _FILLER).open("ab", buffering=0) as filler:
            for step in _STEPS:
                _write_until_full(filler.fileno(), step)

    def free(self) -> None:
        """Make room again."""
        (self.folder / _FILLER).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Take it away, whoever still has files open on it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def mount_data_dir(stand: Stand) -> dict[str, Volume]:
    """Give a stand that was not started yet a DATA_DIR on small volumes, with the owners that it expects.

    Returns:
        the volumes by folder: mail, events, database, and "data" for all else.
    """
    account = _ids(SERVICE_ACCOUNT)
    starter = account if stand.hands_over else (0, 0)
    data = stand.data_dir
    return {
        "data": Volume.mount(data.root, size="48m", owner=starter, mode=0o755),
        "mail": Volume.mount(data.mail, size="8m", owner=account, mode=0o700),
        "events": Volume.mount(data.events, size="4m", owner=(starter[0], account[1]), mode=0o750),
        "database": Volume.mount(data.sqlite.parent, size="16m", owner=account, mode=0o700),
    }


def unmount(volumes: dict[str, Volume]) -> None:
    """Take volumes away, the inner ones first."""
    for volume in reversed(volumes.values()):
        volume.unmount()


def _write_until_full(descriptor: int, step: int) -> None:
    while True:
        try:
            written = os.write(descriptor, b"x" * step)
        except OSError:
            return
        if written < step:
            return


def _ids(name: str) -> tuple[int, int]:
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid
