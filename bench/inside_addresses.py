"""The panel's side of what is measured of questions about addresses."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from typing import Any

from django.test import Client

_REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_BODY = f'<Autodiscover xmlns="{_REQUEST}"><Request><EMailAddress>%s</EMailAddress></Request></Autodiscover>'


def ask_formats(what: str, known: Sequence[str], unknown: Sequence[str], seconds: float) -> dict[str, Any]:
    """Ask about addresses through Django's handler as often as it goes: one that exists, one that does not, in turn.

    Args:
        what: "autoconfig", "autodiscover" or "profile".
        known: addresses that exist.
        unknown: as many that do not.
        seconds: how long.

    Returns:
        how many answers about each kind are made in a second of the processor's time, by the median of all: neither
        what other programs do meanwhile counts, nor when Python happens to clear its memory.
    """
    client = Client(headers={"host": "localhost"})
    pairs = itertools.cycle(zip(known, unknown, strict=True))
    used: tuple[list[float], list[float]] = ([], [])
    for address in next(pairs):
        _ask(client, what, address)
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        # Whoever comes second finds the processor's caches warm: each does half the time.
        order = (0, 1) if len(used[0]) % 2 else (1, 0)
        pair = next(pairs)
        for kind in order:
            began = time.process_time()
            _ask(client, what, pair[kind])
            used[kind].append(time.process_time() - began)
    return {"known": 1 / statistics.median(used[0]), "unknown": 1 / statistics.median(used[1])}


def _ask(client: Client, what: str, address: str) -> None:
    answer: Any
    if what == "autodiscover":
        body = _BODY % address
        answer = client.post("/autodiscover/autodiscover.xml", body, content_type="text/xml")
    elif what == "profile":
        answer = client.get("/setup/profile.mobileconfig", {"address": address})
    else:
        answer = client.get("/mail/config-v1.1.xml", {"emailaddress": address})
    if answer.status_code != 200:
        raise RuntimeError(f"{what} of {address} gave {answer.status_code}.")
