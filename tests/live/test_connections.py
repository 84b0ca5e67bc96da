"""What mail clients really did, and the rows that say so."""

from __future__ import annotations

import imaplib
import os
import poplib
import signal
import socket
import ssl
from contextlib import suppress
from typing import Any

import pytest

from tests.stand import PATIENCE, Box, Stand, wait_for

pytestmark = pytest.mark.live


def rows_of(stand: Stand, address: str, count: int, *, ended: bool = True) -> list[dict[str, Any]]:
    """Wait for so many rows of an address, all of them ended, and return them, the oldest first."""
    found: list[list[dict[str, Any]]] = [[]]

    def complete() -> bool:
        found[0] = stand.must("connections", "--address", address, "--limit", "100")
        return len(found[0]) >= count and (not ended or all(row["ended_at"] for row in found[0]))

    wait_for(complete, f"{count} connections of {address}")
    assert len(found[0]) == count, found[0]
    return found[0][::-1]


def try_imap(box: Box, name: str, password: str) -> None:
    """Try to sign in over IMAPS, and go away."""
    client = imaplib.IMAP4_SSL("localhost", box.stand.ports["imaps"], ssl_context=box.stand.authority)
    with suppress(imaplib.IMAP4.error):  # the refusal, which the rows tell
        client.login(name, password)
    client.shutdown()


def test_an_imap_session_is_one_row(stand: Stand) -> None:
    box = stand.new_mailbox()
    client = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority)
    client.xatom("ID", '("name" "Test \\"Mail\\"" "version" "1.2")')
    client.login(box.address.upper(), box.password)
    (row,) = rows_of(stand, box.address, 1, ended=False)
    assert (row["outcome"], row["reason"], row["ended_at"], row["bytes_in"]) == ("accepted", None, None, None)
    client.select("INBOX")
    client.fetch("1", "(BODY.PEEK[])")
    client.store("1", "+FLAGS", r"\Deleted")
    client.expunge()
    client.logout()
    (row,) = rows_of(stand, box.address, 1)
    assert (row["protocol"], row["device"], row["remote_ip"], row["tls"]) == (
        "imap",
        "main",
        "127.0.0.1",
        "TLSv1.3",
    )
    assert row["client"] == 'Test "Mail" 1.2'
    assert (row["reason"], row["retrieved"], row["deleted"], row["expunged"]) == ("logged_out", 1, 1, 1)
    assert row["bytes_in"] > 0
    assert row["bytes_out"] > 0


def test_a_pop_session_says_what_it_took(stand: Stand) -> None:
    box = stand.new_mailbox()
    box.deliver("Second")
    with box.pop() as client:
        for number in (1, 2):
            client.retr(number)
        client.dele(1)
    (row,) = rows_of(stand, box.address, 1)
    assert (row["protocol"], row["reason"], row["retrieved"], row["deleted"]) == ("pop3", "logged_out", 2, 1)


def test_each_refusal_has_its_reason(stand: Stand) -> None:
    box = stand.new_mailbox()
    try_imap(box, box.address, "wrong")
    (row,) = rows_of(stand, box.address, 1)
    assert (row["outcome"], row["reason"], row["protocol"]) == ("refused", "wrong_password", "imap")
    stand.must("setmailbox", box.address, "--protocols", "imap")
    with pytest.raises(poplib.error_proto), box.pop():
        pass
    stand.must("setmailbox", box.address, "--suspend")
    try_imap(box, box.address, box.password)
    reasons = [(row["protocol"], row["reason"]) for row in rows_of(stand, box.address, 3)]
    assert reasons == [("imap", "wrong_password"), ("pop3", "protocol_off"), ("imap", "suspended")]
    nobody = box.address.replace("anna", "zed")
    try_imap(box, nobody, box.password)
    assert [row["reason"] for row in rows_of(stand, nobody, 1)] == ["unknown_address"]
    spaced = f'" {box.address} "'
    try_imap(box, spaced, box.password)
    assert [row["reason"] for row in rows_of(stand, f" {box.address} ", 1)] == ["unknown_address"]


def test_several_attempts_on_one_connection(stand: Stand) -> None:
    box = stand.new_mailbox()
    client = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority)
    for password in ("one", "two"):
        with pytest.raises(imaplib.IMAP4.error):
            client.login(box.address, password)
    # Told while the connection goes on.
    rows_of(stand, box.address, 2)
    client.login(box.address, box.password)
    client.logout()
    rows = rows_of(stand, box.address, 3)
    assert [row["reason"] for row in rows] == ["wrong_password", "wrong_password", "logged_out"]
    assert len({row["session"] for row in rows}) == 1


def test_a_password_in_the_clear_is_refused_and_told(stand: Stand) -> None:
    box = stand.new_mailbox()
    # Between two ends of the same address Dovecot sees no danger.
    with (
        socket.create_connection(
            ("127.0.0.1", stand.ports["pop3"]), PATIENCE, source_address=("127.0.0.2", 0)
        ) as plain,
        plain.makefile("rb") as stream,
    ):
        stream.readline()
        plain.sendall(f"USER {box.address}\r\n".encode())
        assert stream.readline().startswith(b"-ERR")
    (row,) = rows_of(stand, box.address, 1)
    assert (row["reason"], row["remote_ip"], row["tls"]) == ("no_tls", "127.0.0.2", None)


def test_who_says_nothing_gave_up(stand: Stand) -> None:
    known = {row["session"] for row in stand.must("connections", "--limit", "1000")}

    def fresh() -> list[dict[str, Any]]:
        rows = stand.must("connections", "--limit", "1000")
        return [row for row in rows if row["session"] not in known and row["remote_ip"] == "127.0.0.3"]

    server = ("127.0.0.1", stand.ports["imaps"])
    socket.create_connection(server, PATIENCE, source_address=("127.0.0.3", 0)).close()
    with socket.create_connection(server, PATIENCE, source_address=("127.0.0.3", 0)) as plain:
        plain.sendall(b"a LOGIN anna x\r\n")
        with suppress(OSError):
            plain.recv(100)
    with (
        socket.create_connection(server, PATIENCE, source_address=("127.0.0.3", 0)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
    wait_for(lambda: len(fresh()) == 3, "three rows")
    assert sorted(row["reason"] for row in fresh()) == ["gave_up", "tls_failed", "tls_failed"]


@pytest.mark.long
def test_a_kick_and_a_stop_end_sessions_each_with_its_reason(stand: Stand) -> None:
    box = stand.new_mailbox()
    client = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority)
    client.login(box.address, box.password)
    stand.must("setmailbox", box.address, "--suspend")
    (row,) = rows_of(stand, box.address, 1)
    assert row["reason"] == "kicked"
    client.shutdown()
    # Another one: who was shut out is kicked again some seconds later.
    box = stand.new_mailbox()
    client = imaplib.IMAP4_SSL("localhost", stand.ports["imaps"], ssl_context=stand.authority)
    client.login(box.address, box.password)
    rows_of(stand, box.address, 1, ended=False)
    stand.must("servicectl", "restart")
    assert rows_of(stand, box.address, 1)[0]["reason"] == "server_stopped"
    client.shutdown()


@pytest.mark.long
def test_a_recorder_that_was_killed_goes_on_where_it_was(stand: Stand) -> None:
    box = stand.new_mailbox()
    for _ in range(3):
        with box.imap():
            pass
        for pid in stand.pids(r"manage.py recordconnections"):
            os.kill(pid, signal.SIGKILL)
        try_imap(box, box.address, "wrong")
    rows = rows_of(stand, box.address, 6)
    assert [row["outcome"] for row in rows] == ["accepted", "refused"] * 3
    wait_for(stand.works, "the recorder to be back")


@pytest.mark.parametrize(
    "name",
    [
        'anna"@x.test\\", rip=192.0.2.1',
        pytest.param("annä@x.test", marks=pytest.mark.long),
        pytest.param("%s%(a)s@x.test", marks=pytest.mark.long),
    ],
)
def test_a_hostile_name_is_stored_and_forges_nothing(stand: Stand, name: str) -> None:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    before = {row["session"] for row in stand.must("connections", "--limit", "1000")}
    with (
        socket.create_connection(("localhost", stand.ports["imaps"]), PATIENCE) as plain,
        stand.authority.wrap_socket(plain, server_hostname="localhost") as connection,
        connection.makefile("rb") as stream,
    ):
        stream.readline()
        connection.sendall(f'a LOGIN "{escaped}" x\r\n'.encode())
        while not stream.readline().startswith(b"a "):
            pass

    def fresh() -> list[dict[str, Any]]:
        rows = stand.must("connections", "--limit", "1000")
        return [row for row in rows if row["session"] not in before and row["address"].startswith(name[:3])]

    wait_for(lambda: len(fresh()) == 1, "the row")
    (row,) = fresh()
    assert (row["remote_ip"], row["reason"], row["device"]) == ("127.0.0.1", "unknown_address", None)


def test_the_command_refuses_what_it_cannot_do(stand: Stand) -> None:
    for arguments in (("--limit", "0"), ("--limit", "x"), ("--limit", "99999999")):
        answer = stand.command("connections", *arguments)
        assert answer.code != 0
        assert answer.stderr.count("\n") == 1
    assert stand.must("connections", "--address", "'; DROP TABLE x; --\x01") == []
