"""Secrets that the installation makes for itself: one file each in DATA_DIR/keys, mode 0600."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def read(file: Path) -> str:
    """Return the secret in `file`, or an empty string where there is none yet (before the first start).

    Raises:
        OSError: if it is there and cannot be read.
    """
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        return ""


def read_or_make(file: Path) -> str:
    """Return the secret in `file`, making a random one of 256 bits if there is none.

    Two processes that make it at once agree on one.

    Raises:
        OSError: if the file can neither be read nor made.
    """
    if not file.exists():
        _make(file, secrets.token_urlsafe(32))
    return read(file)


def _make(file: Path, secret: str) -> None:
    """Write beside and link: the file appears whole, and the first of two writers wins."""
    beside = file.with_name(f".{file.name}-{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"{secret}\n")
        stream.flush()
        os.fsync(descriptor)
    try:
        os.link(beside, file)
    except FileExistsError:
        return
    finally:
        beside.unlink()
