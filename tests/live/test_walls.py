"""What must not happen whatever is asked: files read through doveadm's API, mail put where its disk should be."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mailbackend.maildir import MARKER
from tests.lmtp_load import Outcome, assert_kept, running_load
from tests.stand import PATIENCE, Answer, Box, Stand, wait_for

pytestmark = [pytest.mark.live, pytest.mark.long]

#: What the panel calls; all else that doveadm can do is refused.
ALLOWED = {
    "who",
    "kick",
    "quotaGet",
    "forceResync",
    "mailboxStatus",
    "mailboxList",
    "mailboxCreate",
    "fetch",
    "flagsAdd",
    "flagsRemove",
    "move",
    "expunge",
}


class Api(http.client.HTTPConnection):
    """doveadm's HTTP API as whoever holds its key can use it, without the product's own client."""

    def __init__(self, stand: Stand) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = stand.data_dir.doveadm_socket
        key = (stand.data_dir.keys / "doveadm-api").read_bytes().strip()
        self._headers = {"Authorization": f"X-Dovecot-API {base64.b64encode(key).decode('ascii')}"}

    def connect(self) -> None:
        """Connect to the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def commands(self) -> list[str]:
        """Return what doveadm says it can do."""
        self.request("GET", "/doveadm/v1", headers=self._headers)
        return [command["command"] for command in json.load(self.getresponse())]

    def ask(self, *commands: tuple[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        """Send commands and return kind and content of each answer."""
        body = json.dumps([[name, parameters, name] for name, parameters in commands])
        self.request("POST", "/doveadm/v1", body, self._headers)
        return [(kind, content) for kind, content, _tag in json.load(self.getresponse())]


def test_doveadms_api_does_what_the_panel_calls_and_no_more(stand: Stand) -> None:
    box = stand.new_mailbox()
    names = Api(stand).commands()
    assert set(names) >= ALLOWED | {"fsGet", "fsPut", "mailboxDelete", "copy"}
    for name in set(names) - ALLOWED:
        # One request each: Dovecot 2.3 forgets the commas between several refusals.
        ((kind, content),) = Api(stand).ask((name, {}))
        assert (kind, content["type"]) == ("error", "unAuthorized"), (name, content)
    user = {"user": box.address}
    removed = {**user, "query": ["mailbox", ".EXPUNGED/all", "all"]}
    for command in (("who", {}), ("quotaGet", user), ("fetch", {**removed, "field": ["uid"]})):
        assert Api(stand).ask(command)[0][0] == "doveadmResponse", command
    ((kind, content),) = Api(stand).ask(("kick", {"mask": [box.address]}))
    # Nobody is signed in: to Dovecot 2.3 that is an error (68), to 2.4 it is none.
    assert kind == "doveadmResponse" or content == {"type": "exitCode", "exitCode": 68}
    assert box.subjects() == ["Welcome to your mailbox"]


def test_doveadms_api_neither_reads_nor_writes_files(stand: Stand, tmp_path: Path) -> None:
    secret, target = tmp_path / "secret", stand.data_dir.mail / "put"
    secret.write_text("only its owner may read this\n")
    secret.chmod(0o600)
    box = stand.new_mailbox()
    posix = {"fsDriver": "posix", "fsArgs": ""}
    private = stand.data_dir.keys / "secret-key"
    commands: list[tuple[str, dict[str, Any]]] = [
        ("fsGet", {**posix, "path": str(secret)}),
        ("fsGet", {**posix, "path": str(private)}),
        ("fsGet", {"fsDriver": "posix", "fsArgs": "prefix=/", "path": str(secret)[1:]}),
        ("fsPut", {**posix, "inputPath": str(secret), "path": str(target)}),
        ("fsDelete", {**posix, "path": [str(private)]}),
        ("fsIter", {**posix, "path": str(stand.data_dir.keys)}),
        ("dump", {"path": str(secret)}),
        ("mailboxDelete", {"user": box.address, "mailbox": ["Trash"]}),
        ("copy", {"user": box.address, "destinationMailbox": "Trash", "query": ["ALL"]}),
        ("backup", {"user": box.address, "destination": [f"maildir:{tmp_path}"]}),
        ("import", {"user": box.address, "sourceLocation": f"maildir:{tmp_path}", "query": ["ALL"]}),
    ]
    for command in commands:
        # One request each: what is malformed ends doveadm's process, and with it the answers to the rest.
        ((kind, content),) = Api(stand).ask(command)
        assert kind == "error", command
        assert content["type"] in ("unAuthorized", "unknownMethod", "invalidRequest"), (command, content)
    assert private.exists()
    assert not target.exists()
    assert box.subjects() == ["Welcome to your mailbox"]


@pytest.fixture(scope="module")
def own_stand(make_stand: Callable[..., Stand]) -> Iterator[Stand]:
    """A stand whose mail root can be taken away."""
    stand = make_stand()
    stand.start()
    yield stand
    stand.remove()


@contextmanager
def without_marker(stand: Stand) -> Iterator[None]:
    """Take the mail root's marker away while the block runs."""
    marker, aside = stand.data_dir.mail / MARKER, stand.data_dir.mail.parent / "run" / MARKER
    marker.rename(aside)
    try:
        yield
    finally:
        aside.rename(marker)


@contextmanager
def without_disk(stand: Stand) -> Iterator[None]:
    """Leave the mail root an empty folder, as a disk that is not mounted does, while the block runs."""
    root = stand.data_dir.mail
    aside = root.with_name("elsewhere")
    owner = root.stat()
    root.rename(aside)
    root.mkdir(mode=0o700)
    os.chown(root, owner.st_uid, owner.st_gid)
    try:
        yield
    finally:
        # rmdir only: whatever was put into it would be hidden by the disk, and makes the test fail.
        root.rmdir()
        aside.rename(root)


def status(stand: Stand) -> dict[str, Any]:
    """Return what the mail service says of itself; {} while its supervisor does not answer."""
    answer = stand.command("servicectl", "status")
    return dict(answer.json) if answer.code == 0 else {}


def wait_until_stopped(stand: Stand) -> None:
    """Wait until nothing runs, and check that the status says why."""
    wait_for(lambda: status(stand).get("state") == "FATAL", "the mail service to stop")
    said = status(stand)
    assert said["pid"] is None
    assert MARKER in said["error"]
    assert "mount" in said["error"]
    assert stand.health()["parts"]["mail"] == "fatal"


def refused(answer: Answer) -> None:
    """Check that a command failed with one line that names the marker."""
    assert answer.code != 0, answer.stdout
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert MARKER in answer.stderr, answer.stderr


def assert_nothing_is_done(stand: Stand, box: Box) -> None:
    """Check that nothing is created, mended, started or taken in."""
    before = tree(stand)
    domain = box.address.partition("@")[2]
    refused(stand.command("createmailbox", f"new@{domain}", stdin="a-good-passw0rd\n"))
    refused(stand.command("checkmail", "--repair"))
    refused(stand.command("servicectl", "start"))
    delivered = stand.command("deliver", box.address, stdin="Subject: Into the void\n\nx\n")
    assert delivered.code != 0
    assert len(delivered.stderr.splitlines()) == 1
    assert "no mailbox" in stand.command("showmailbox", f"new@{domain}").stderr
    assert tree(stand) == before


def tree(stand: Stand) -> set[Path]:
    """Return the homes, and whatever else lies in the mail root."""
    return {*stand.data_dir.mail.glob("*"), *stand.data_dir.mail.glob("*/*")}


def assert_all_is_well(stand: Stand, box: Box, *subjects: str) -> None:
    """Check that the mail service comes back by itself, and works as before."""
    wait_for(stand.works, "the mail service to come back")
    box.deliver("After")
    assert box.subjects() == ["Welcome to your mailbox", *subjects, "After"]
    assert stand.must("checkmail")["failures"] == []


def test_marker_vanishes_while_dovecot_runs(own_stand: Stand) -> None:
    box, loaded = own_stand.new_mailbox(), own_stand.new_mailbox()
    box.deliver("Before")
    outcome = Outcome()
    with running_load(own_stand.data_dir.lmtp_socket, [loaded.address], outcome) as load:
        wait_for(lambda: load.acknowledged > 10, "deliveries")
        with without_marker(own_stand):
            wait_until_stopped(own_stand)
            assert_nothing_is_done(own_stand, box)
            refused(own_stand.command("servicectl", "restart"))
            refused(own_stand.command("servicectl", "reload"))
            with pytest.raises(OSError), box.imap():
                pass
        assert_all_is_well(own_stand, box, "Before")
    assert not outcome.bounced
    assert_kept(outcome, [loaded])


def test_disk_of_the_mail_is_absent_at_the_start(own_stand: Stand) -> None:
    box = own_stand.new_mailbox()
    marker = own_stand.data_dir.mail / MARKER
    own_stand.stop()
    with without_disk(own_stand):
        own_stand.start(wait=False)
        wait_for(lambda: "mail" in own_stand.health()["parts"], "the panel")
        wait_until_stopped(own_stand)
        assert_nothing_is_done(own_stand, box)
        # Another installation's disk is not taken either.
        marker.write_text("0" * 32)
        refused(own_stand.command("servicectl", "start"))
        marker.unlink()
        assert not list(own_stand.data_dir.mail.iterdir())
    assert_all_is_well(own_stand, box)
