"""The log as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from django.test import Client

from panel.accounts.models import User
from panel.connections import planning
from panel.connections.export import COLUMNS, as_json
from tests.cast import Cast
from tests.panel.connections.rows import refusal, row

SignIn = Callable[[User], Client]


def body(client: Client, url: str) -> str:
    """Return a file, read to its end."""
    answer = client.get(url)
    assert answer.status_code == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    return b"".join(answer).decode()


def test_one_connection_as_the_contract_says(cast: Cast) -> None:
    found = row(cast.mailbox, session="s", client_name="Thunderbird", client_version="128", retrieved=2)
    assert next(as_json([found])) == {
        "session": "s",
        "address": cast.mailbox.address,
        "protocol": "imap",
        "outcome": "accepted",
        "reason": "logged_out",
        "device": "main",
        "remote_ip": "192.0.2.7",
        "tls": "TLSv1.3",
        "client": "Thunderbird 128",
        "started_at": "2026-11-20T12:00:00+00:00",
        "ended_at": "2026-11-20T12:01:00+00:00",
        "bytes_in": 1000,
        "bytes_out": 5000,
        "retrieved": 2,
        "deleted": None,
        "expunged": None,
    }
    assert tuple(next(as_json([found]))) == COLUMNS


@pytest.mark.parametrize("number", [0, 1, 7, 8, 23])
def test_files_hold_all_rows_that_fit_however_many(
    cast: Cast, signed_in: SignIn, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(planning, "EXPORT_PAGE", 7)
    for minute in range(number):
        row(cast.mailbox, session=f"x{minute}", minutes=minute)
        row(cast.mailbox, session=f"y{minute}", protocol="pop3", minutes=minute)
    row(None, session="not theirs")
    wanted = [f"x{minute}" for minute in reversed(range(number))]
    client = signed_in(cast.owner)
    rows = list(csv.DictReader(io.StringIO(body(client, "/connections/connections.csv?protocol=imap"))))
    assert [each["session"] for each in rows] == wanted
    found = json.loads(body(client, "/connections/connections.json?protocol=imap"))
    assert [each["session"] for each in found] == wanted


def test_cells_are_no_formulas(cast: Cast, signed_in: SignIn) -> None:
    refusal(None, "unknown_address", address="=cmd|' /C calc'!A0", client_name="@SUM(1)")
    refusal(None, "unknown_address", address='a"b,c\r\n=1')
    rows = list(csv.DictReader(io.StringIO(body(signed_in(cast.admin), "/connections/connections.csv"))))
    assert {each["address"] for each in rows} == {"'=cmd|' /C calc'!A0", 'a"b,c\r\n=1'}
    assert {each["client"] for each in rows} == {"'@SUM(1)", ""}


def test_what_cannot_be_looked_for_gives_an_empty_file(cast: Cast, signed_in: SignIn) -> None:
    row(cast.mailbox)
    client = signed_in(cast.admin)
    assert json.loads(body(client, "/connections/connections.json?ip=nonsense")) == []
    assert body(client, "/connections/connections.csv?ip=nonsense").splitlines() == [",".join(COLUMNS)]
