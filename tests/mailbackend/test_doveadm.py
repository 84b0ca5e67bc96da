"""The client of doveadm's API: what it sends, what it makes of answers, and a real Dovecot."""

from __future__ import annotations

import base64
import http.client
import imaplib
import json
import shutil
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from mailbackend.dovecot.doveadm import (
    Answer,
    Command,
    Doveadm,
    DoveadmError,
    MailServiceDown,
    Quota,
    UnknownMailbox,
    read_quota,
    uid_sets,
)
from mailbackend.supervisor.process import find_programs
from tests.mailbackend.dovecot_stand import ADDRESS, API_KEY, PASSWORD, Stand, make_stand, supervised

QUOTA_ROWS = [
    {"root": "User quota", "type": "STORAGE", "value": "3", "limit": "98", "percent": "3"},
    {"root": "User quota", "type": "MESSAGE", "value": "2", "limit": "-", "percent": "0"},
]
#: A question about removed messages, well formed.
REMOVED = ["mailbox", ".EXPUNGED/all", "uid", "1:2"]
#: A question about messages that POP's programs deleted, well formed.
MARKED = ["mailbox", "INBOX", "KEYWORD", "$PopMain"]


@contextmanager
def fake_api(status: int, body: bytes, seen: list[tuple[str, Any]] | None = None) -> Iterator[Path]:
    """Answer every request the same, over a unix socket."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if seen is not None:
                seen.append((self.headers["Authorization"], json.loads(sent)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

        def address_string(self) -> str:
            return "unix"

    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    server = socketserver.ThreadingUnixStreamServer(str(folder / "http"), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield folder / "http"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        shutil.rmtree(folder)


def test_sends_key_and_commands() -> None:
    seen: list[tuple[str, Any]] = []
    with fake_api(200, b'[["doveadmResponse",[{"result":"a"}],"t0"]]', seen) as path:
        assert Doveadm(path, API_KEY).kick(ADDRESS) is True
    key = base64.b64encode(API_KEY.encode()).decode()
    assert seen == [(f"X-Dovecot-API {key}", [["kick", {"mask": [ADDRESS]}, "t0"]])]


def test_answers_come_back_in_order() -> None:
    body = b'[["doveadmResponse",[],"t1"],["error",{"type":"exitCode","exitCode":67},"t0"]]'
    with fake_api(200, body) as path:
        answers = Doveadm(path, API_KEY).batch([Command("quotaGet", {"user": ADDRESS}), Command("who")])
    assert answers == [Answer(exit_code=67, error="exitCode"), Answer()]


@pytest.mark.parametrize(
    ("answer", "kicked"),
    [
        # Dovecot 2.3
        (b'["error",{"type":"exitCode","exitCode":68},"t0"]', False),
        (b'["doveadmResponse",[{"result":"ann@example.test "}],"t0"]', True),
        # Dovecot 2.4
        (b'["doveadmResponse",[{"count":"0"}],"t0"]', False),
        (b'["doveadmResponse",[{"count":"2"}],"t0"]', True),
    ],
)
def test_no_session_is_no_error(answer: bytes, kicked: bool) -> None:
    with fake_api(200, b"[" + answer + b"]") as path:
        assert Doveadm(path, API_KEY).kick(ADDRESS) is kicked


def test_unknown_mailbox() -> None:
    with (
        fake_api(200, b'[["error",{"type":"exitCode","exitCode":67},"t0"]]') as path,
        pytest.raises(UnknownMailbox, match=ADDRESS),
    ):
        Doveadm(path, API_KEY).quota(ADDRESS)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b"", "API key"),
        (400, b"", "HTTP 400"),
        (200, b"not json", "understood"),
        (200, b"[]", "understood"),
        (200, b'{"a": 1}', "understood"),
        (200, b'[["doveadmResponse", [1], "t0"]]', "understood"),
        (200, b'[["error",{"type":"unAuthorized","exitCode":0},"t0"]]', "unAuthorized"),
        (200, b'[["doveadmResponse", [{"username": "a"}], "t0"]]', "understood"),
    ],
)
def test_bad_answers_are_told(status: int, body: bytes, message: str) -> None:
    with fake_api(status, body) as path, pytest.raises(DoveadmError, match=message):
        Doveadm(path, API_KEY).who()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(MailServiceDown) as caught:
        Doveadm(tmp_path / "http", API_KEY).who()
    assert isinstance(caught.value.__cause__, OSError)


def test_the_key_is_not_shown() -> None:
    assert API_KEY not in repr(Doveadm(Path("/x"), API_KEY))


@pytest.mark.parametrize(
    "command",
    [
        Command("fsGet", {"path": "/etc/shadow"}),
        Command("reload"),
        Command("who", {"mask": ["a\nb"]}),
        Command("who", {"mask": ["a\0b"]}),
        Command("who", {"m ask": "a"}),
        Command("who", {"mask": [1]}),  # type: ignore[list-item]  # what the check is for
        Command("who", {"mask": "x" * 1001}),
        # What can reach any message is sent about removed ones alone.
        Command("expunge", {"user": ADDRESS, "query": ["mailbox", "INBOX", "uid", "1"]}),
        Command("expunge", {"user": ADDRESS, "query": ["mailbox", ".EXPUNGED/all", "all"]}),
        Command("expunge", {"user": ADDRESS, "query": ["mailbox", ".EXPUNGED/all", "uid", "1", "or", "all"]}),
        Command("expunge", {"user": ADDRESS, "query": ["mailbox", ".EXPUNGED/all", "uid", "1 or all"]}),
        Command("expunge", {"user": ADDRESS, "query": ["mailbox", ".EXPUNGED/all", "uid", "1:"]}),
        Command("expunge", {"user": "*", "query": ["mailbox", ".EXPUNGED/all", "uid", "1"]}),
        Command("expunge", {"query": ["mailbox", ".EXPUNGED/all", "uid", "1"]}),
        Command("expunge", {"user": ADDRESS, "deleteEmptyMailbox": "1", "query": REMOVED}),
        Command("fetch", {"user": ADDRESS, "field": ["text"], "query": REMOVED}),
        Command("fetch", {"user": ADDRESS, "query": REMOVED}),
        Command("mailboxStatus", {"user": ADDRESS, "field": ["messages"], "mailboxMask": ["*"]}),
        Command(
            "mailboxStatus",
            {"user": ADDRESS, "field": ["messages", "uidnext"], "mailboxMask": ["Trash", ".EXPUNGED/all"]},
        ),
        Command("mailboxStatus", {"user": ADDRESS, "field": ["messages", "uidnext"], "mailboxMask": []}),
        Command("mailboxList", {"user": "*"}),
        Command("forceResync", {"user": "*", "mailboxMask": "*"}),
        Command("forceResync", {"mailboxMask": "*"}),
        Command("forceResync", {"user": ADDRESS, "mailboxMask": "*", "fsck": True}),
        Command("forceResync", {"user": ADDRESS, "mailboxMask": ".EXPUNGED/*"}),
        Command("mailboxCreate", {"user": ADDRESS, "mailbox": [".EXPUNGED/x"], "subscriptions": True}),
        Command("mailboxCreate", {"user": ADDRESS, "mailbox": ["a", "b"], "subscriptions": True}),
        Command("mailboxCreate", {"user": ADDRESS, "mailbox": ["a"], "guid": "0", "subscriptions": True}),
        Command(
            "move", {"user": ADDRESS, "destinationMailbox": "a", "query": ["mailbox", "INBOX", "uid", "1"]}
        ),
        Command("move", {"user": ADDRESS, "destinationMailbox": ".EXPUNGED/all", "query": REMOVED}),
        Command(
            "move", {"user": ADDRESS, "destinationMailbox": "a", "sourceUser": ADDRESS, "query": REMOVED}
        ),
        Command("move", {"user": ADDRESS, "destinationMailbox": "", "query": REMOVED}),
        Command("flagsRemove", {"user": ADDRESS, "flag": ["\\Seen"], "query": REMOVED}),
        Command("flagsRemove", {"user": ADDRESS, "flag": [], "query": REMOVED}),
        # POP's marks are set and cleared where there is one, and no other flag is.
        Command("flagsAdd", {"user": ADDRESS, "flag": ["$Pop1"], "query": REMOVED}),
        Command("flagsAdd", {"user": ADDRESS, "flag": ["\\Deleted"], "query": MARKED}),
        Command("flagsAdd", {"user": ADDRESS, "flag": ["$Pop1", "x"], "query": MARKED}),
        Command("flagsAdd", {"user": ADDRESS, "flag": ["$Pop1"], "query": ["mailbox", "INBOX", "all"]}),
        Command(
            "flagsAdd", {"user": ADDRESS, "flag": ["$Pop1"], "query": ["mailbox", "*", "KEYWORD", "$Pop1"]}
        ),
        Command("flagsRemove", {"user": ADDRESS, "flag": ["$Pop1"], "query": MARKED}),
        Command("flagsRemove", {"user": ADDRESS, "flag": ["$PopMain", "x"], "query": MARKED}),
        Command("expunge", {"user": ADDRESS, "query": MARKED}),
        Command("fetch", {"user": ADDRESS, "field": ["text"], "query": MARKED}),
        Command("fetch", {"user": ADDRESS, "field": ["uid"], "query": [*MARKED, "or", "all"]}),
    ],
)
def test_nothing_malformed_is_sent(tmp_path: Path, command: Command) -> None:
    with pytest.raises(ValueError):
        Doveadm(tmp_path / "nobody", API_KEY).batch([command])


@pytest.mark.parametrize(
    "address", ["*", "*@example.test", "ann", "", "Ann@Example.test", "a?b@example.test", "a b@c.d"]
)
def test_a_mask_is_not_an_address(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError):
        Doveadm(tmp_path / "nobody", API_KEY).kick(address)


def test_batch_is_bounded(tmp_path: Path) -> None:
    assert Doveadm(tmp_path / "nobody", API_KEY).batch([]) == []
    with pytest.raises(ValueError, match="1000"):
        Doveadm(tmp_path / "nobody", API_KEY).batch([Command("who")] * 1001)


def test_sets_of_uids_hold_all_and_no_more() -> None:
    assert list(uid_sets([])) == []
    assert list(uid_sets([7, 1, 2, 3, 2])) == ["1:3,7"]
    odd = list(uid_sets(range(1, 4_000_000_001, 44_444_444)))
    assert len(odd) == 3
    assert max(map(len, odd)) <= 1000
    assert list(uid_sets(range(1, 12_001))) == ["1:5000", "5001:10000", "10001:12000"]
    assert list(uid_sets([*range(1, 5_000), *range(6_000, 7_000)])) == ["1:4999,6000:6999"]
    for wrong in ([0], [-1], [2**32]):
        with pytest.raises(ValueError, match="UID"):
            list(uid_sets(wrong))


def test_nothing_younger_is_taken_for_old() -> None:
    row = {"uid": "1", "date.saved.unixtime": "1795870117", "size.virtual": "28"}
    rows = [row, {**row, "uid": "2", "date.saved.unixtime": "1795870118"}]
    seen: list[tuple[str, Any]] = []
    before = datetime.fromtimestamp(1795870118, UTC)
    with fake_api(200, json.dumps([["doveadmResponse", rows, "t0"]]).encode(), seen) as path:
        found = Doveadm(path, API_KEY).kept_messages(ADDRESS, range(1, 10), before=before)
    assert [(message.uid, message.size) for message in found] == [(1, 28)]
    query = ["mailbox", ".EXPUNGED/all", "uid", "1:9", "savedbefore", "1795870118"]
    assert seen[0][1] == [
        [
            "fetch",
            {"user": ADDRESS, "field": ["uid", "date.saved.unixtime", "size.virtual"], "query": query},
            "t0",
        ]
    ]


@pytest.mark.parametrize("uids", [range(0), range(1, 50_002), range(1, 9, 2), range(0, 5)])
def test_what_is_no_range_of_uids_is_not_asked(tmp_path: Path, uids: range) -> None:
    with pytest.raises(ValueError):
        Doveadm(tmp_path / "nobody", API_KEY).kept_messages(ADDRESS, uids)


def test_heads_of_messages_are_harmless() -> None:
    row = {
        "uid": "4",
        "hdr.from.utf8": "a\nb",
        "hdr.subject.utf8": "\x1b[31m" + "x" * 600,
        "hdr.date.utf8": "",
    }
    body = json.dumps([["doveadmResponse", [row], "t0"]]).encode().replace(b"xxx", b"\xff\x07x", 1)
    with fake_api(200, body) as path:
        found = Doveadm(path, API_KEY).kept_headers(ADDRESS, [4])
    assert found[4].sender == "a b"
    assert found[4].subject.startswith("[31m\ufffd xxx")
    assert len(found[4].subject) == 500


def test_quota_is_in_bytes() -> None:
    assert read_quota(QUOTA_ROWS) == Quota(used_bytes=3072, limit_bytes=98 * 1024, messages=2)
    with pytest.raises(DoveadmError):
        read_quota(QUOTA_ROWS[:1])


@pytest.fixture(scope="module")
def live() -> Iterator[Stand]:
    with make_stand() as stand, supervised(stand) as supervisor:
        supervisor.wait_until("RUNNING")
        yield stand


def wait_for_end(client: imaplib.IMAP4) -> None:
    """Wait until the server has ended a session."""
    for _second in range(60):
        try:
            client.noop()
        except imaplib.IMAP4.abort:
            return
        time.sleep(1)
    pytest.fail("The session goes on.")


@pytest.mark.live
def test_who_and_kick(live: Stand) -> None:
    api = Doveadm(live.data.doveadm_socket, API_KEY)
    assert api.who() == []
    assert api.kick(ADDRESS) is False
    client = imaplib.IMAP4_SSL("localhost", live.config.ports.imaps, ssl_context=live.trust())
    client.login(ADDRESS, PASSWORD)
    sessions = api.who()
    assert [(s.address, s.protocol, s.connections, s.remote_ips) for s in sessions] == [
        (ADDRESS, "imap", 1, ("127.0.0.1",))
    ]
    assert api.kick(ADDRESS) is True
    # The kick is a signal to the session's process: it ends a moment after the answer.
    wait_for_end(client)


@pytest.mark.live
def test_quota_of_a_real_mailbox(live: Stand) -> None:
    api = Doveadm(live.data.doveadm_socket, API_KEY)
    assert api.quota(ADDRESS).limit_bytes is None
    assert api.quota("ben@example.test") == Quota(used_bytes=0, limit_bytes=98 * 1024, messages=0)
    with pytest.raises(UnknownMailbox):
        api.quota("nobody@example.test")


@pytest.mark.live
def test_a_wrong_key_is_refused(live: Stand) -> None:
    with pytest.raises(DoveadmError, match="API key"):
        Doveadm(live.data.doveadm_socket, "wrong" * 8).who()


@pytest.mark.live
@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("fsGet", {"path": "/etc/passwd"}),
        ("fsPut", {"inputPath": "/etc/passwd", "path": "/tmp/rx"}),
        ("copy", {"user": ADDRESS, "destinationMailbox": "Trash", "query": ["mailbox", "INBOX", "all"]}),
        ("mailboxDelete", {"user": ADDRESS, "mailbox": ["Trash"]}),
        ("stop", {}),
        ("reload", {}),
    ],
)
def test_dovecot_itself_refuses_all_other_commands(
    live: Stand, command: str, parameters: dict[str, object]
) -> None:
    if command.startswith("fs"):  # well formed, so that it is refused for what it is
        is_old = find_programs("", as_root=False).version.startswith("2.3")
        parameters |= {"fsDriver": "posix", "fsArgs": ""} if is_old else {"filterName": "posix"}
    answer = raw_post(live, json.dumps([[command, parameters, "t0"]]))
    assert answer == [["error", {"type": "unAuthorized", "exitCode": 0}, "t0"]]


def raw_post(stand: Stand, body: str) -> object:
    """Send what the client would not."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(stand.data.doveadm_socket))
    key = base64.b64encode(API_KEY.encode()).decode()
    headers = {"Authorization": f"X-Dovecot-API {key}", "Content-Type": "application/json"}
    connection.request("POST", "/doveadm/v1", body, headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer
