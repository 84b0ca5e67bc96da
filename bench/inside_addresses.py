"""The panel's side of what is measured of questions about addresses."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from django.test import Client

_REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_BODY = f'<Autodiscover xmlns="{_REQUEST}"><Request><EMailAddress>%s</EMailAddress></Request></Autodiscover>'


def ask_formats(what: str, addresses: Sequence[str], seconds: float) -> dict[str, Any]:
    """Ask about one address after another as often as it goes, through Django's handler; return answers/s.

    Args:
        what: "autoconfig", "autodiscover" or "profile".
        addresses: which, in turn.
        seconds: how long.
    """
    client = Client(headers={"host": "localhost"})
    _ask(client, what, addresses[0])
    turn = itertools.cycle(addresses)
    number = 0
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        _ask(client, what, next(turn))
        number += 1
    return {"rate": number / passed}


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
