"""What lies in Maildirs, read from the files themselves: no Dovecot, no index, no database is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Lying:
    """A message as a file.

    Attributes:
        folder: as IMAP names it, in modified UTF-7.
        subject: what its head says.
        size: its bytes with line ends as mail has them, CR LF, as a quota counts it.
        saved: when the file came to be, in whole seconds since 1970, if nothing changed its name since.
    """

    folder: str
    subject: str
    size: int
    saved: int


def lying_in(home: Path) -> list[Lying]:
    """Return the messages in all folders of a mailbox's home; not what was removed."""
    return _below(home / "Maildir")


def removed_in(home: Path) -> list[Lying]:
    """Return the messages that were removed and can be recovered."""
    return [
        message for folder in sorted((home / "expunged").glob("*")) for message in _in(folder, folder.name)
    ]


def _below(maildir: Path) -> list[Lying]:
    found = _in(maildir, "INBOX")
    for folder in sorted(maildir.iterdir()):
        if folder.name.startswith(".") and (folder / "cur").is_dir():
            found += _in(folder, folder.name[1:].replace(".", "/"))
    return found


def _in(folder: Path, name: str) -> list[Lying]:
    files = [file for place in ("cur", "new") for file in sorted((folder / place).glob("*"))]
    return [_read(file, name) for file in files if file.is_file()]


def _read(file: Path, folder: str) -> Lying:
    content = file.read_bytes()
    size = len(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    lines = content.split(b"\n\n", 1)[0].replace(b"\r", b"").split(b"\n")
    subject = next((line[9:] for line in lines if line.lower().startswith(b"subject: ")), b"")
    return Lying(folder, subject.decode(), size, int(file.stat().st_ctime))
