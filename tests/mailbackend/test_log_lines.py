"""What a real Dovecot writes into its log: one way of reading serves both versions, and clients forge nothing."""

from __future__ import annotations

import imaplib
import poplib
import re
import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mailbackend.dovecot.doveadm import Doveadm
from tests.mailbackend.dovecot_stand import (
    ADDRESS,
    API_KEY,
    PASSWORD,
    PATIENCE,
    Stand,
    make_stand,
    supervised,
)

pytestmark = pytest.mark.live

#: Names a client may send to forge fields.
HOSTILE = ['ann@example.test" rip=192.0.2.1 cred="main', 'ann@example.test\\", rip=192.0.2.1', "ann\\"]

_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^\s,]*)')
_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d{4} (?P<process>[a-z0-9-]+): (?P<rest>.*)")


@pytest.fixture(scope="module")
def live() -> Iterator[Stand]:
    with make_stand() as stand, supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        yield stand


def read_fields(text: str) -> dict[str, str]:
    """Return the fields before the free text; one that is absent is one that is empty."""
    structured = text.partition(", msg=")[0]
    return {name: value.strip('"').removesuffix(":") for name, value in _FIELD.findall(structured)}


def wait_for_line(stand: Stand, process: str, *texts: str) -> dict[str, str]:
    """Wait until `process` has written a line that holds all of `texts`, and return the last one's fields."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in reversed(stand.data.event_log.read_text().splitlines()):
            match = _LINE.match(line)
            if match and match["process"] == process and all(text in line for text in texts):
                return {**read_fields(match["rest"]), "line": line}
        time.sleep(0.1)
    raise AssertionError(f"no line of {process} with {texts}: {stand.data.event_log.read_text()}")


def sign_in(stand: Stand) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", stand.config.ports.imaps, ssl_context=stand.trust())
    client.login(ADDRESS, PASSWORD)
    return client


def test_an_imap_session_from_login_to_logout(live: Stand) -> None:
    client = sign_in(live)
    port = client.sock.getsockname()[1]
    begun = wait_for_line(live, "imap-login", f"rport={port},", "mpid=")
    expected = {
        "user": ADDRESS,
        "orig": ADDRESS,
        "method": "PLAIN",
        "rip": "127.0.0.1",
        "lport": str(live.config.ports.imaps),
        "sec": "TLS",
        "cred": "main",
        "sni": "localhost",
    }
    assert {name: begun[name] for name in expected} == expected
    assert begun["tls"].startswith("TLSv1.3")
    client.select("INBOX")
    client.logout()
    ended = wait_for_line(live, "imap", f"sess={begun['sess']} ", "Disconnected: Logged out")
    assert (ended["user"], ended["pid"]) == (ADDRESS, begun["mpid"])
    assert (ended["deleted"], ended["expunged"], ended["body"], ended["hdr"]) == ("0", "0", "0/0", "0/0")
    assert int(ended["in"]) > 0
    assert int(ended["out"]) > 0
    assert ended["rip"] == "127.0.0.1"


def test_a_pop_session_says_what_it_fetched_and_deleted(live: Stand) -> None:
    with smtplib.LMTP(str(live.data.lmtp_socket)) as lmtp:
        lmtp.sendmail("bea@example.test", [ADDRESS], b"Subject: Hello\r\n\r\nGood morning.\r\n")
    wait_for_line(live, "lmtp", f'user="{ADDRESS}"', "saved mail to INBOX")
    client = poplib.POP3_SSL("localhost", live.config.ports.pop3s, context=live.trust())
    port = client.sock.getsockname()[1]
    client.user(ADDRESS)
    client.pass_(PASSWORD)
    # The name of the file, which stays when everything else about the mailbox is lost.
    names = [path.name for path in (live.data.mail / "example.test/ann-1/Maildir").glob("new/*")]
    assert [line.split()[1].decode() for line in client.uidl()[1]] == names
    size = client.stat()[1]
    client.retr(1)
    client.dele(1)
    client.quit()
    begun = wait_for_line(live, "pop3-login", f"rport={port},", "mpid=")
    ended = wait_for_line(live, "pop3", f"sess={begun['sess']} ", "Disconnected: Logged out")
    assert (ended["retr"].split("/")[0], ended["top"]) == ("1", "0/0")
    assert (ended["del"], ended["msgs"], ended["size"]) == (f"1/{size}", "1", str(size))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_a_name_forges_no_field(live: Stand, protocol: str, name: str) -> None:
    ports = live.config.ports
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    port = ports.imaps if protocol == "imap" else ports.pop3s
    said = (
        f'a LOGIN "{escaped}" x\r\n'.encode() if protocol == "imap" else f"USER {name}\r\nPASS x\r\n".encode()
    )
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        live.trust().wrap_socket(plain, server_hostname="localhost") as connection,
        connection.makefile("rb") as stream,
    ):
        own = connection.getsockname()[1]
        stream.readline()
        connection.sendall(said)
        answer = stream.readline()
        while not answer.startswith((b"a ", b"-ERR")):
            answer = stream.readline()
    line = wait_for_line(live, f"{protocol}-login", f"rport={own},", "auth failed")
    assert line["rip"] == "127.0.0.1"
    assert line.get("cred", "") == ""
    assert line["user"].startswith("ann")
    assert line["user"] != ADDRESS


def test_a_wrong_password_and_an_unknown_name_can_be_told_apart(live: Stand) -> None:
    for address, words in ((ADDRESS, "Password mismatch"), ("nobody@example.test", "unknown user")):
        client = imaplib.IMAP4_SSL("localhost", live.config.ports.imaps, ssl_context=live.trust())
        port = client.sock.getsockname()[1]
        with suppress(imaplib.IMAP4.error):  # the refusal, which the log tells
            client.login(address, "wrong")
        client.shutdown()
        refused = wait_for_line(live, "imap-login", f"rport={port},", "auth failed")
        assert refused["user"] == address
        told = [
            line for line in live.data.event_log.read_text().splitlines() if f"<{refused['sess']}>" in line
        ]
        assert [words in line and " auth-worker(" in line for line in told] == [True]


def test_a_kicked_session_ends_in_the_log(live: Stand) -> None:
    client = sign_in(live)
    port = client.sock.getsockname()[1]
    begun = wait_for_line(live, "imap-login", f"rport={port},", "mpid=")
    assert Doveadm(live.data.doveadm_socket, API_KEY).kick(ADDRESS)
    ended = wait_for_line(live, "imap", f"sess={begun['sess']} ", "Disconnected: ")
    # 2.3 cannot tell a kick from its own end.
    assert "User kicked" in ended["line"] or "Server shutting down" in ended["line"]
    client.shutdown()
