"""What an authenticator app does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time

STEP = 30  # seconds


def code_of(secret: str, steps: int = 0) -> str:
    """Return the code (RFC 6238) that an app shows now, or some steps from now.

    Steps 0 and 1 are taken for half a minute at least; -1 no longer when the step ends in between.
    """
    counter = struct.pack(">Q", int(time.time()) // STEP + steps)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    at = digest[-1] & 15
    number = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"
