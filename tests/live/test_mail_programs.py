"""Mail programs that people really use, against a running service: mbsync, getmail, fetchmail."""

from __future__ import annotations

import mailbox
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stand import Box, Stand

#: Debian's uid and gid of nobody.
NOBODY = 65534

pytestmark = pytest.mark.live


@pytest.fixture
def box(stand: Stand) -> Box:
    """A mailbox with two messages besides the welcome."""
    box = stand.new_mailbox()
    box.deliver("First", "é and a line\n.with a dot")
    box.deliver("Second")
    return box


@pytest.fixture
def home(box: Box) -> Iterator[Path]:
    """A person's home, with the host's certificate authority and their password in it."""
    home = Path(tempfile.mkdtemp(prefix="rt-home-"))
    (home / "ca.crt").write_bytes((box.stand.data_dir.tls / "ca.crt").read_bytes())
    (home / "password").touch(mode=0o600)
    (home / "password").write_text(box.password)
    yield home
    shutil.rmtree(home)


def run(*command: str, home: Path) -> str:
    """Run a mail program in a home of its own; not as root, which some of them refuse."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        command = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *command)
    done = subprocess.run(
        command, env=environment, cwd=home, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def subjects(folder: Path) -> list[str]:
    """Return the subjects in a Maildir."""
    return sorted(str(message["Subject"]) for message in mailbox.Maildir(folder, create=False))


def test_mbsync_mirrors_all_folders_and_sends_flags_back(box: Box, home: Path) -> None:
    (home / "mail").mkdir()
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


def test_getmail_fetches_over_pop_and_each_message_once(box: Box, home: Path) -> None:
    for part in ("cur", "new", "tmp"):
        (home / "mail" / part).mkdir(parents=True)
    # getmail breaks on a child that ends before its own fork() has returned ("no attribute 'childpid'", 6.19.07),
    # as its own way to store a message can: this one takes its time.
    store = home / "store"
    store.write_text(
        f"#!/bin/sh\ncat > {home}/mail/tmp/$$ && mv {home}/mail/tmp/$$ {home}/mail/new/ && sleep 0.5\n"
    )
    store.chmod(0o700)
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
path = {store}

[options]
read_all = false
delete = false
"""
    )
    for _again in range(2):
        run("getmail", "--getmaildir", str(home), home=home)
        assert subjects(home / "mail") == ["First", "Second", "Welcome to your mailbox"]


def test_fetchmail_fetches_over_pop_and_deletes(box: Box, home: Path) -> None:
    store = home / "store"
    store.write_text(f"#!/bin/sh\ncat >> {home}/inbox\necho >> {home}/inbox\n")
    store.chmod(0o700)
    config = home / "fetchmailrc"
    config.touch(mode=0o600)
    config.write_text(
        f"""
poll localhost protocol pop3 service {box.stand.ports["pop3s"]}
  username "{box.address}" password "{box.password}"
  options ssl sslcertck sslcertfile "{home}/ca.crt"
  mda "{store}"
"""
    )
    run("fetchmail", "-f", str(config), "--nodetach", "--pidfile", str(home / "pid"), home=home)
    fetched = (home / "inbox").read_text()
    assert [subject in fetched for subject in ("Subject: First", "Subject: Second")] == [True, True]
    with box.pop() as client:
        assert client.stat()[0] == 0
    assert sorted(box.subjects()) == ["First", "Second", "Welcome to your mailbox"]
