"""Mail programs that people really use, against a running service: mbsync, getmail, fetchmail, mutt."""

from __future__ import annotations

import contextlib
import mailbox
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mail_programs import ALL, as_nobody, run_on_a_terminal, subjects
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live


@pytest.fixture
def box(stand: Stand) -> Box:
    """A mailbox with two messages besides the welcome."""
    box = stand.new_mailbox()
    box.deliver("First", "é and a line\n.with a dot")
    box.deliver("Second")
    return box


@pytest.fixture
def make_home(box: Box) -> Iterator[Callable[[], Path]]:
    """Make people's homes, with the host's certificate authority and their password in each."""
    with contextlib.ExitStack() as homes:

        def make() -> Path:
            home = Path(tempfile.mkdtemp(prefix="rt-home-"))
            homes.callback(shutil.rmtree, home)
            (home / "ca.crt").write_bytes((box.stand.data_dir.tls / "ca.crt").read_bytes())
            (home / "password").touch(mode=0o600)
            (home / "password").write_text(box.password)
            for part in ("cur", "new", "tmp"):
                (home / "mail" / part).mkdir(parents=True)
            # getmail breaks on a child that ends before its own fork() has returned ("no attribute 'childpid'",
            # 6.19.07), as its own way to store a message can: this one takes its time.
            store = home / "store"
            mail = home / "mail"
            store.write_text(f"#!/bin/sh\ncat > {mail}/tmp/$$ && mv {mail}/tmp/$$ {mail}/new/ && sleep 0.5\n")
            store.chmod(0o700)
            return home

        yield make


@pytest.fixture
def home(make_home: Callable[[], Path]) -> Path:
    """One person's home."""
    return make_home()


def run(*command: str, home: Path, fine: tuple[int, ...] = (0,)) -> str:
    """Run a mail program in a home of its own; not as root, which some of them refuse.

    Args:
        command: the program and its arguments.
        home: where it finds its settings, and leaves mail.
        fine: the exit codes that are no failure.
    """
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    done = subprocess.run(
        as_nobody(*command, home=home),
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in fine, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_mbsync_mirrors_all_folders_and_sends_flags_back(box: Box, home: Path) -> None:
    (home / "mbsyncrc").write_text(
        f"""
IMAPAccount host
Host localhost
Port {box.stand.ports["imaps"]}
User {box.address}
PassCmd "cat {home}/password"
SSLType IMAPS
SystemCertificates no
CertificateFile {home}/ca.crt

IMAPStore remote
Account host

MaildirStore local
Path {home}/mail/
Inbox {home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :remote:
Near :local:
Patterns *
Create Both
SyncState *
"""
    )
    run("mbsync", "-c", "mbsyncrc", "-a", home=home)
    assert subjects(home / "mail/INBOX") == ["First", "Second", "Welcome to your mailbox"]
    assert {path.name for path in (home / "mail").iterdir()} >= {"Sent", "Drafts", "Junk", "Trash", "Archive"}
    local = mailbox.Maildir(home / "mail/INBOX", create=False)
    for key, message in local.items():
        message.set_subdir("cur")
        message.add_flag("S")
        local[key] = message
    run("mbsync", "-c", "mbsyncrc", "-a", home=home)
    with box.imap() as client:
        client.select("INBOX", readonly=True)
        assert client.search(None, "UNSEEN") == ("OK", [b""])


def getmail(box: Box, home: Path, *, keep: bool) -> None:
    """Fetch over POP by getmail, into the Maildir of a home."""
    (home / "getmailrc").write_text(
        f"""
[retriever]
type = SimplePOP3SSLRetriever
server = localhost
port = {box.stand.ports["pop3s"]}
username = {box.address}
password_command = ("cat", "{home}/password")
ca_certs = {home}/ca.crt

[destination]
type = MDA_external
path = {home}/store

[options]
read_all = false
delete = {str(not keep).lower()}
"""
    )
    run("getmail", "--getmaildir", str(home), home=home)


def fetchmail(box: Box, home: Path, *, keep: bool) -> None:
    """Fetch over POP by fetchmail, into the Maildir of a home."""
    config = home / "fetchmailrc"
    config.touch(mode=0o600)
    config.write_text(
        f"""
poll localhost protocol pop3 uidl service {box.stand.ports["pop3s"]}
  username "{box.address}" password "{box.password}"
  options {"keep" if keep else "nokeep"} ssl sslcertck sslcertfile "{home}/ca.crt"
  mda "{home}/store"
"""
    )
    # 1 says that there was nothing new.
    run(
        *("fetchmail", "-f", str(config), "--nodetach", "--pidfile", str(home / "pid")),
        *("--idfile", str(home / "ids")),
        home=home,
        fine=(0, 1),
    )


def mutt(box: Box, home: Path, *, keep: bool) -> None:
    """Fetch over POP by mutt, into the Maildir of a home: all that there is, each time."""
    config = home / "muttrc"
    config.touch(mode=0o600)
    config.write_text(
        f"""
set pop_host = "pops://localhost:{box.stand.ports["pop3s"]}/"
set pop_user = "{box.address}"
set pop_pass = "{box.password}"
set pop_delete = {"no" if keep else "yes"}
set ssl_ca_certificates_file = "{home}/ca.crt"
set mbox_type = Maildir
set spoolfile = "{home}/mail"
set folder = "{home}"
set move = no
set quit = yes
push "<fetch-mail><quit>"
"""
    )
    run_on_a_terminal("mutt", "-n", "-F", str(config), home=home)


@pytest.mark.parametrize(
    ("program", "policy"),
    [
        (getmail, "keep:30"),
        pytest.param(getmail, "delete", marks=pytest.mark.long),
        pytest.param(fetchmail, "keep:30", marks=pytest.mark.long),
        (fetchmail, "delete"),
    ],
)
def test_one_program_keeps_and_another_does_not(
    box: Box, make_home: Callable[[], Path], program: Callable[..., None], policy: str
) -> None:
    box.stand.must("setmailbox", box.address, "--pop-deletes", policy)
    laptop, office = make_home(), make_home()
    for _again in range(2):
        program(box, laptop, keep=True)
        assert subjects(laptop / "mail") == ALL
    assert sorted(box.subjects()) == ALL
    assert box.stand.must("removedmail", box.address) == []
    program(box, office, keep=False)
    assert subjects(office / "mail") == ALL
    row = last_pop_session(box)
    assert (row["retrieved"], row["deleted"]) == (3, 3)
    assert_gone_from_pop(box, policy, row["session"])
    # Nothing comes twice, to neither.
    for home, keep in ((laptop, True), (office, False)):
        program(box, home, keep=keep)
        assert subjects(home / "mail") == ALL
    assert last_pop_session(box, after=row["session"])["retrieved"] == 0


@pytest.mark.parametrize("policy", ["keep:30", pytest.param("delete", marks=pytest.mark.long)])
def test_mutt_fetches_over_pop_and_deletes(box: Box, make_home: Callable[[], Path], policy: str) -> None:
    box.stand.must("setmailbox", box.address, "--pop-deletes", policy)
    first, second, third = make_home(), make_home(), make_home()
    mutt(box, first, keep=True)
    assert subjects(first / "mail") == ALL
    row = last_pop_session(box)
    assert (row["retrieved"], row["deleted"]) == (3, 0)
    assert sorted(box.subjects()) == ALL
    mutt(box, second, keep=False)
    assert subjects(second / "mail") == ALL
    row = last_pop_session(box, after=row["session"])
    assert (row["retrieved"], row["deleted"]) == (3, 3)
    assert_gone_from_pop(box, policy, row["session"])
    mutt(box, third, keep=True)
    assert subjects(third / "mail") == []


@pytest.mark.parametrize("offer", [True, False], ids=["offered again", "not offered again"])
@pytest.mark.long
def test_what_is_restored_is_offered_to_pop_again_where_that_is_asked_for(
    box: Box, make_home: Callable[[], Path], *, offer: bool
) -> None:
    """A POP program deleted it, and then an IMAP program too: brought back, it is hidden from POP or not."""
    office, other = make_home(), make_home()
    getmail(box, office, keep=False)
    assert_gone_from_pop(box, "keep:30", "")
    with box.imap() as client:
        client.select("INBOX")
        number = client.search(None, "SUBJECT", "First")[1][0].decode()
        client.store(number, "+FLAGS", r"(\Deleted)")
        client.expunge()
    wait_for(lambda: [row["subject"] for row in removed(box)] == ["First"], "what was removed to be listed")
    asked = ["--offer-to-pop"] if offer else []
    assert box.stand.must("restoremail", box.address, *asked) == {"restored": 1}
    assert sorted(box.subjects()) == ALL
    fetchmail(box, other, keep=False)
    assert subjects(other / "mail") == (["First"] if offer else [])
    # The program that had it already knows it by its UIDL, and does not fetch it twice.
    getmail(box, office, keep=False)
    assert subjects(office / "mail") == ALL


def assert_gone_from_pop(box: Box, policy: str, session: str) -> None:
    """Check that POP shows nothing any more, and that IMAP and what can be brought back tell of the policy."""
    with box.pop() as client:
        assert client.stat()[0] == 0
    if policy == "delete":
        wait_for(
            lambda: len([row for row in removed(box) if row["folder"]]) == 3, "what was removed to be told"
        )
        assert sorted(row["subject"] for row in removed(box)) == ALL
        assert {(row["folder"], row["protocol"], row["session"]) for row in removed(box)} == {
            ("INBOX", "pop3", session)
        }
        with box.imap() as client:
            assert client.select("INBOX", readonly=True)[1] == [b"0"]
        return
    assert removed(box) == []
    with box.imap() as client:
        assert client.select("INBOX", readonly=True)[1] == [b"3"]
        # What POP fetched and deleted is unread to whoever has not read it.
        assert client.search(None, "UNSEEN") == ("OK", [b"1 2 3"])
        assert client.search(None, "KEYWORD", "$PopMain") == ("OK", [b"1 2 3"])


def removed(box: Box) -> list[dict[str, Any]]:
    """Return what can be brought back."""
    return list(box.stand.must("removedmail", box.address))


def last_pop_session(box: Box, *, after: str = "") -> dict[str, Any]:
    """Wait until the latest POP session is another than `after`, and ended; return its row of the log."""
    found: dict[str, Any] = {}

    def ended() -> bool:
        rows = box.stand.must("connections", "--address", box.address)
        found.update(next((row for row in rows if row["protocol"] == "pop3"), {}))
        return bool(found) and found["session"] != after and found["ended_at"] is not None

    wait_for(ended, "the POP session to be in the log")
    return found
