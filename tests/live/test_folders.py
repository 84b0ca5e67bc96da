"""Two mail programs see the same folders, flags and moves, whatever the folders are called."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.stand import Box, Stand, wait_for

pytestmark = pytest.mark.live

#: The special folders and their roles (RFC 6154).
ROLES = {
    "Sent": r"\Sent",
    "Drafts": r"\Drafts",
    "Junk": r"\Junk",
    "Trash": r"\Trash",
    "Archive": r"\Archive",
}
#: Names that people give, and what goes over the wire for them: modified UTF-7 (RFC 3501, 5.1.3).
EVENTS, RENAMED = "Événements été", "Fêtes & congés ~ 2026"
WIRE = {
    EVENTS: "&AMk-v&AOk-nements &AOk-t&AOk-",
    RENAMED: "F&AOo-tes &- cong&AOk-s ~ 2026",
    "日本語 ✓": "&ZeVnLIqe- &JxM-",
    "😀": "&2D3eAA-",
    "&AOk-": "&-AOk-",
    "R&D": "R&-D",
    "a-b_c+d,e": "a-b_c+d,e",
}
#: One line of LIST: attributes, separator and name, quoted or not.
_LISTED = re.compile(rb'\((?P<attributes>[^)]*)\) "/" (?P<name>.+)')


def on_the_wire(name: str) -> str:
    """Return how a folder's name is written in a command."""
    return f'"{WIRE.get(name, name)}"'


def folders(client: imaplib.IMAP4, command: str = '"" "*"') -> dict[str, set[str]]:
    """Return the attributes of each folder that LIST answers, by its name on the wire."""
    status, _ = client._simple_command("LIST", *command.split(" ", 1))
    assert status == "OK"
    found = {}
    for line in client._untagged_response(status, [None], "LIST")[1]:
        # A name that is not plain comes as a literal, in two parts.
        text = line if isinstance(line, bytes) else line[0].rpartition(b"{")[0] + line[1]
        if text and (match := _LISTED.fullmatch(text.strip())):
            found[match["name"].decode().strip('"')] = set(match["attributes"].decode().split())
    return found


@contextmanager
def idling(box: Box, folder: str = "INBOX") -> Iterator[imaplib.IMAP4_SSL]:
    """A program that shows a folder and waits for what happens to it (RFC 2177)."""
    with box.imap() as client:
        assert client.select(folder)[0] == "OK"
        client.send(b"I1 IDLE\r\n")
        while not client.readline().startswith(b"+"):
            pass
        yield client
        client.send(b"DONE\r\n")
        while not client.readline().startswith(b"I1 OK"):
            pass


def told(client: imaplib.IMAP4, pattern: str) -> str:
    """Return the first line that an idling program is told which fits; the connection's own patience ends it."""
    while True:
        line = client.readline().decode()
        assert line, "the session ended"
        if re.search(pattern, line):
            return line


def marks_in(client: imaplib.IMAP4, folder: str = "INBOX") -> dict[str, set[str]]:
    """Return the flags and keywords of each message of a folder, by its subject."""
    assert client.select(folder, readonly=True)[0] == "OK"
    _status, rows = client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    found = {}
    for row in rows:
        if isinstance(row, tuple):
            marks = re.findall(rb"FLAGS \(([^)]*)\)", row[0])[0].decode().split()
            found[row[1].decode().partition(": ")[2].strip()] = set(marks) - {r"\Recent"}
    client.unselect()
    return found


def uid_of(client: imaplib.IMAP4, subject: str) -> str:
    """Return a message's number in the folder that is open."""
    found: bytes = client.uid("SEARCH", "SUBJECT", f'"{subject}"')[1][0]
    return found.decode()


@pytest.fixture
def box(stand: Stand) -> Box:
    """A mailbox with a message besides the welcome."""
    box = stand.new_mailbox()
    with box.imap() as client:
        client.append("INBOX", "", "", b"Subject: First\r\n\r\nText\r\n")
    return box


def test_what_is_read_on_one_device_is_read_on_the_other(box: Box) -> None:
    with idling(box) as phone, box.imap() as office:
        office.select("INBOX")
        number = office.search(None, "SUBJECT", "First")[1][0].decode()
        office.fetch(number, "(RFC822)")
        assert re.match(rf"\* {number} FETCH", told(phone, r"FETCH .*\\Seen"))
        office.store(number, "-FLAGS", r"(\Seen)")
        line = told(phone, r"FETCH ")
        assert r"\Seen" not in line
        office.store(number, "+FLAGS", r"(\Flagged $Label1 Later)")
        line = told(phone, r"FETCH ")
        assert all(mark in line for mark in (r"\Flagged", "$Label1", "Later"))
    with box.imap() as phone:
        assert marks_in(phone)["First"] == {r"\Flagged", "$Label1", "Later"}


def test_new_mail_is_told_to_both(box: Box) -> None:
    with idling(box) as phone, idling(box) as office:
        box.deliver("Second")
        for program in (phone, office):
            assert told(program, r"EXISTS").startswith("* 3 ")


def test_a_move_to_the_archive_is_a_move_on_both(box: Box) -> None:
    with box.imap() as office, idling(box, "Archive") as archive, idling(box) as phone:
        office.select("INBOX")
        number = office.search(None, "SUBJECT", "First")[1][0].decode()
        office.store(number, "+FLAGS", r"(\Seen \Flagged $Label2)")
        assert office.uid("MOVE", uid_of(office, "First"), "Archive")[0] == "OK"
        assert told(phone, "EXPUNGE").startswith(f"* {number} ")
        assert told(archive, "EXISTS").startswith("* 1 ")
    with box.imap() as phone:
        assert set(marks_in(phone)) == {"Welcome to your mailbox"}
        assert marks_in(phone, "Archive") == {"First": {r"\Seen", r"\Flagged", "$Label2"}}
    # Nothing was deleted by it.
    assert box.stand.must("removedmail", box.address) == []


def test_special_folders_have_their_roles_and_are_subscribed(box: Box) -> None:
    with box.imap() as client:
        assert b"SPECIAL-USE" in client.capability()[1][0]
        everywhere = folders(client, '"" "*" RETURN (SPECIAL-USE SUBSCRIBED)')
        roles = {name: marks for name, marks in everywhere.items() if name != "INBOX"}
        assert set(roles) == set(ROLES)
        for name, role in ROLES.items():
            assert {role, r"\Subscribed"} <= roles[name], name
        # A program may ask for these alone, and finds them whatever it calls them itself.
        found = folders(client, '(SPECIAL-USE) "" "*" RETURN (SPECIAL-USE)')
        assert {name: marks & set(ROLES.values()) for name, marks in found.items()} == {
            name: {role} for name, role in ROLES.items()
        }


def test_folders_made_on_one_device_are_there_on_the_other_under_any_name(box: Box) -> None:
    with box.imap() as office, box.imap() as phone:
        for name, wire in WIRE.items():
            if name == RENAMED:
                continue
            assert office.create(on_the_wire(name))[0] == "OK", name
            assert office.subscribe(on_the_wire(name))[0] == "OK", name
            assert wire in folders(phone, '"" "*"'), name
        below = f'"{WIRE[EVENTS]}/{WIRE["R&D"]}"'
        assert office.create(below)[0] == "OK"
        message = f"Subject: Inside\r\n\r\n{EVENTS}\r\n".encode()
        assert phone.append(on_the_wire(EVENTS), r"(\Seen \Answered Work)", "", message)[0] == "OK"
        assert marks_in(office, on_the_wire(EVENTS)) == {"Inside": {r"\Seen", r"\Answered", "Work"}}
        assert office.rename(on_the_wire(EVENTS), on_the_wire(RENAMED))[0] == "OK"
        assert WIRE[EVENTS] not in folders(phone)
        before = folders(phone)
        assert {WIRE[RENAMED], f"{WIRE[RENAMED]}/{WIRE['R&D']}"} <= set(before)
        assert marks_in(phone, on_the_wire(RENAMED)) == {"Inside": {r"\Seen", r"\Answered", "Work"}}

    pid = box.stand.must("servicectl", "status")["pid"]
    box.stand.must("servicectl", "restart")
    wait_for(lambda: box.stand.must("servicectl", "status")["pid"] not in (pid, None), "a new Dovecot")
    wait_for(box.stand.works, "all parts to work again")
    with box.imap() as phone:
        after = folders(phone)
        assert set(after) == set(before)
        subscribed = folders(phone, '(SUBSCRIBED) "" "*"')
        assert {WIRE[name] for name in WIRE if name not in (EVENTS, RENAMED)} <= set(subscribed)
        assert marks_in(phone, on_the_wire(RENAMED)) == {"Inside": {r"\Seen", r"\Answered", "Work"}}
        phone.select(on_the_wire(RENAMED), readonly=True)
        text = phone.fetch("1", "(BODY.PEEK[TEXT])")[1][0]
        assert isinstance(text, tuple)
        assert text[1].decode().strip() == EVENTS


def test_what_is_emptied_from_a_renamed_folder_comes_back_to_it(box: Box) -> None:
    """The panel knows a folder by the name that people read, and restores into it."""
    with box.imap() as client:
        client.create(on_the_wire(RENAMED))
        client.append(on_the_wire(RENAMED), r"(\Seen)", "", b"Subject: Inside\r\n\r\nText\r\n")
        client.select(on_the_wire(RENAMED))
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
    found: list[str | None] = []

    def recorded() -> bool:
        found[:] = [row["folder"] for row in box.stand.must("removedmail", box.address)]
        return found != [] and None not in found

    wait_for(recorded, "the recorder to tell of it")
    assert found == [RENAMED]
    assert box.stand.must("restoremail", box.address) == {"restored": 1}
    with box.imap() as client:
        assert marks_in(client, on_the_wire(RENAMED)) == {"Inside": {r"\Seen"}}
