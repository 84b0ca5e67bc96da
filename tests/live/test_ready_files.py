"""The configuration files that the panel hands out, unchanged, with the programs that read them: each step is done."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from panel.addresses.inherited import PopPolicy
from panel.addresses.mail_servers import STARTTLS, TLS, MailServer
from panel.clients.programs import ConfigurationFile, Facts, Guide, find_program, guide
from tests.mail_programs import ALL, run_on_a_terminal, subjects
from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live

#: Commands of the steps that are run as they stand; mail programs are started by each test itself.
PREPARING = ("mkdir", "curl", "chmod")


@pytest.fixture
def box(stand: Stand) -> Box:
    """A mailbox with two messages besides the welcome, of a person with a name full of what names may have."""
    box = stand.new_mailbox(local_part="_anna.o-k--x-")
    box.deliver("First", "é and a line\n.with a dot")
    box.deliver("Second")
    return box


@pytest.fixture
def home(box: Box) -> Iterator[Path]:
    """A person's home, whose password manager knows the mailbox's password: in place of `pass`, which asks a key."""
    home = Path(tempfile.mkdtemp(prefix="rt-home-"))
    (home / "bin").mkdir()
    (home / "bin" / "pass").write_text(
        f"#!/bin/sh\n[ \"$*\" = 'show mail/{box.address}' ] && echo '{box.password}'\n"
    )
    (home / "bin" / "pass").chmod(0o755)
    yield home
    shutil.rmtree(home)


def facts(box: Box, protocol: str, security: str = TLS) -> Facts:
    """Return what a guide to this mailbox is filled in with."""
    name = {
        ("imap", TLS): "imaps",
        ("imap", STARTTLS): "imap",
        ("pop3", TLS): "pop3s",
        ("pop3", STARTTLS): "pop3",
    }
    server = MailServer(protocol, "localhost", box.stand.ports[name[protocol, security]], security)
    outgoing = MailServer("smtp", "smtp.example.com", 465, TLS)
    return Facts(box.address, server, outgoing, PopPolicy("keep_days", 30), f"{box.stand.url}/setup/ca.crt")


def follow(slug: str, language: str, told: Facts, home: Path) -> Guide:
    """Do what a guide says, as a person would: its commands, and its files where it says.

    Returns:
        the guide, whose program is only to be started now.
    """
    program = find_program(slug, language)
    assert program is not None
    found = guide(program, told.server.protocol, told)
    assert found is not None
    commands = [command for step in found.steps for command in re.findall("`([^`]*)`", step)]
    for command in commands:
        if command.startswith(PREPARING) and not command.startswith("chmod"):
            run(command, home=home)
    for file in found.files:
        save(file, home)
    for command in commands:
        if command.startswith("chmod"):
            run(command, home=home)
    return found


def save(file: ConfigurationFile, home: Path) -> None:
    """Save a file where it says; its folder is there, or the steps forgot to have it made."""
    path = home / file.name.removeprefix("~/")
    path.write_text(file.text)


def run(command: str, *, home: Path, typed: str = "", fine: tuple[int, ...] = (0,)) -> str:
    """Run a shell's command as a person does, on a terminal; run_on_a_terminal() says the rest."""
    return run_on_a_terminal("sh", "-c", command, home=home, typed=typed, fine=fine)


def assert_seen(box: Box, protocol: str) -> None:
    """Check that the mail service accepted a connection by this protocol, encrypted, and refused none."""
    wait_for(lambda: bool(_connections(box, protocol)), "the connection to be in the log")
    rows = _connections(box, protocol)
    assert {row["outcome"] for row in rows} == {"accepted"}
    assert all(row["tls"] for row in rows)


def _connections(box: Box, protocol: str) -> list[dict[str, str]]:
    rows = box.stand.must("connections", "--address", box.address)
    return [row for row in rows if row["protocol"] == protocol]


@pytest.mark.parametrize(
    ("language", "security"), [("en", TLS), pytest.param("fr", STARTTLS, marks=pytest.mark.long)]
)
def test_mbsync(box: Box, home: Path, language: str, security: str) -> None:
    follow("mbsync", language, facts(box, "imap", security), home)
    run("mbsync -a", home=home)
    folder = home / "Mail" / box.address
    assert subjects(folder / "INBOX") == ALL
    assert {path.name for path in folder.iterdir()} >= {"Sent", "Drafts", "Junk", "Trash", "Archive"}
    assert_seen(box, "imap")
    assert sorted(box.subjects()) == ALL


@pytest.mark.parametrize("language", [pytest.param("en", marks=pytest.mark.long), "fr"])
def test_offlineimap(box: Box, home: Path, language: str) -> None:
    follow("offlineimap", language, facts(box, "imap"), home)
    run("offlineimap -o -u basic", home=home)
    folder = home / "Mail" / box.address
    assert subjects(folder / "INBOX") == ALL
    assert {path.name for path in folder.iterdir()} >= {"Sent", "Drafts", "Junk", "Trash", "Archive"}
    assert_seen(box, "imap")


@pytest.mark.parametrize(
    ("protocol", "language"), [("pop3", "en"), pytest.param("imap", "fr", marks=pytest.mark.long)]
)
def test_getmail(box: Box, home: Path, protocol: str, language: str) -> None:
    follow("getmail", language, facts(box, protocol), home)
    folder = home / "Mail" / box.address

    def fetched() -> bool:
        # getmail breaks on a child that ends before its own fork() has returned, and fetches that message next time.
        run("getmail", home=home, fine=(0, 1))
        return len(subjects(folder)) >= len(ALL)

    wait_for(fetched, "getmail to fetch all")
    assert subjects(folder) == ALL
    run("getmail", home=home)
    assert subjects(folder) == ALL, "nothing comes twice"
    assert_seen(box, protocol)
    assert sorted(box.subjects()) == ALL


@pytest.mark.parametrize(
    ("protocol", "language", "security"),
    [
        ("pop3", "fr", TLS),
        pytest.param("pop3", "en", STARTTLS, marks=pytest.mark.long),
        pytest.param("imap", "fr", TLS, marks=pytest.mark.long),
        pytest.param("imap", "en", STARTTLS, marks=pytest.mark.long),
    ],
)
def test_fetchmail(box: Box, home: Path, protocol: str, language: str, security: str) -> None:
    follow("fetchmail", language, facts(box, protocol, security), home)
    run("fetchmail", home=home, typed=box.password)
    assert subjects(home / "Mail" / box.address) == ALL
    # 1 says that there was nothing new.
    run("fetchmail", home=home, typed=box.password, fine=(1,))
    assert subjects(home / "Mail" / box.address) == ALL
    assert_seen(box, protocol)
    assert sorted(box.subjects()) == ALL


@pytest.mark.parametrize(
    ("protocol", "language", "security"),
    [
        ("imap", "en", TLS),
        pytest.param("imap", "fr", STARTTLS, marks=pytest.mark.long),
        pytest.param("pop3", "fr", TLS, marks=pytest.mark.long),
        pytest.param("pop3", "en", STARTTLS, marks=pytest.mark.long),
    ],
)
def test_mutt(box: Box, home: Path, protocol: str, language: str, security: str) -> None:
    follow("mutt", language, facts(box, protocol, security), home)
    kept = home / "kept"
    # All messages are marked and copied into a Maildir, which shows that they were read; nobody sits at the keys.
    keys = f"<tag-pattern>~A<enter><tag-prefix><copy-message>{kept}<enter><quit>"
    ask_nothing = "set confirmcreate=no confirmappend=no mbox_type=Maildir quit=yes move=no"
    run(f"mutt -e '{ask_nothing}' -e 'push \"{keys}\"'", home=home)
    assert subjects(kept) == ALL
    assert_seen(box, protocol)
    assert sorted(box.subjects()) == ALL


@pytest.mark.parametrize(
    "slug",
    [
        "mbsync",
        "getmail",
        *(pytest.param(slug, marks=pytest.mark.long) for slug in ("offlineimap", "fetchmail")),
    ],
)
def test_without_the_authority_nothing_connects(box: Box, home: Path, slug: str) -> None:
    """The files check certificates: without that of our authority, which no system knows, the password is not sent."""
    told = facts(box, "imap")
    trusting = Facts(told.address, told.server, told.outgoing, told.pop)
    follow(slug, "en", trusting, home)
    command = {"mbsync": "mbsync -a", "offlineimap": "offlineimap -o -u basic"}.get(slug, slug)
    said = run(command, home=home, typed=box.password, fine=tuple(range(256)))
    assert "certificate" in said.lower() or "verif" in said.lower(), said
    # Whoever signs in now is the first whom the log knows.
    with box.imap():
        assert_seen(box, "imap")
    assert len(_connections(box, "imap")) == 1
