"""Secrets at rest: sealed by a key that is not in the database.

The keys of one purpose are numbered files in DATA_DIR/keys, such as `second-factor-1`. What was sealed bears the
number of its key, so that a new key (the next number) can be laid beside the old one at any time.
"""

from __future__ import annotations

import re

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from panel.core.keys import read, read_or_make


class SealBroken(Exception):
    """What was sealed cannot be opened: its key is missing, or it was changed."""


def seal(purpose: str, text: str) -> str:
    """Return `text` sealed with the newest key of a purpose; the first key is made when there is none.

    Raises:
        OSError: if the key can neither be read nor made.
    """
    number = max(_numbers(purpose), default=1)
    key = read_or_make(settings.DATA_DIR.keys / f"{purpose}-{number}")
    return f"{number}:{_fernet(key).encrypt(text.encode()).decode('ascii')}"


def unseal(purpose: str, sealed: str) -> str:
    """Return what was sealed for a purpose.

    Raises:
        SealBroken: if its key is not there, or fits not.
        OSError: if the key cannot be read.
    """
    number, _colon, token = sealed.partition(":")
    key = read(settings.DATA_DIR.keys / f"{purpose}-{number}") if number.isdecimal() else ""
    if not key:
        raise SealBroken(f"The key {purpose}-{number[:10]} is missing in {settings.DATA_DIR.keys}.")
    try:
        return _fernet(key).decrypt(token.encode()).decode()
    except InvalidToken as err:
        raise SealBroken(f"The key {purpose}-{number} does not open what was sealed with it.") from err


def _numbers(purpose: str) -> list[int]:
    names = (file.name for file in settings.DATA_DIR.keys.glob(f"{purpose}-*"))
    return [int(match[1]) for name in names if (match := re.fullmatch(rf"{purpose}-([0-9]+)", name))]


def _fernet(key: str) -> Fernet:
    """A key file holds 256 bits as URL-safe base64 without padding; Fernet wants it padded."""
    return Fernet(f"{key}=")
