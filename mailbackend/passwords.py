"""Passwords: hashes in Dovecot's schemes, and random ones."""

from __future__ import annotations

import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

#: Argon2id with 19 MiB, two passes, one lane: OWASP's least, chosen because Dovecot verifies it at each login
#: (12 ms of one core). Memory in KiB.
MEMORY_KIB, PASSES, LANES = 19456, 2, 1

SCHEME = "{ARGON2ID}"

#: Letters and digits that nobody confuses when reading them aloud: no i, l, o, 0, 1.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

_hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


def hash_password(password: str) -> str:
    """Return the Argon2id hash of `password` with Dovecot's scheme before it (RFC 9106)."""
    return SCHEME + _hasher.hash(password)


def is_hash(stored: str) -> bool:
    """Return whether `stored` has the form and the cost that `hash_password` gives: a dearer one stops logins."""
    if not stored.startswith(SCHEME):
        return False
    try:
        return not _hasher.check_needs_rehash(stored.removeprefix(SCHEME))
    except InvalidHashError:
        return False


def verify_password(password: str, stored: str) -> bool:
    """Return whether `stored`, as `hash_password` gives it, is of `password`. A damaged hash fits nothing."""
    if not stored.startswith(SCHEME):
        return False
    try:
        return _hasher.verify(stored.removeprefix(SCHEME), password)
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        return False


def hash_device_password(password: str, pepper: str) -> str:
    """Return the hash by which Dovecot finds a device password: SHA-256 of pepper and password, in hexadecimal.

    No slow hash: the password is random (`generate_password`), and whoever has the hashes alone lacks the pepper.
    """
    return hashlib.sha256((pepper + password).encode()).hexdigest()


def generate_password(groups: int = 4, letters: int = 5) -> str:
    """Return a random password such as `k7wqd-9xhmt-…`: 4 groups of 5 letters are 99 bits."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(letters)) for _ in range(groups))
