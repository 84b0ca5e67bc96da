"""Which message was removed, by whom: read from the lines that both Dovecots write, and forged by nobody."""

from __future__ import annotations

import pytest

from mailbackend.dovecot.removals import Removed, read_removal

AT = "2026-11-28T12:46:17.123456+0000"
SESSION = "yzGlAETNCmtpZgAAg+zDdQ"


def line(message: str, service: str = "imap", session: str = SESSION) -> str:
    return f'{AT} {service}: sess={session} user="ann@example.test" pid=26217: Info: {message}'


def removed(folder: str = "INBOX", uid: int = 3, protocol: str = "imap", session: str = SESSION) -> Removed:
    return Removed(AT, session, "ann@example.test", protocol, folder, uid)


@pytest.mark.parametrize("before", ["", "Mailbox .EXPUNGED/all: "], ids=["2.3", "2.4"])
@pytest.mark.parametrize(
    "folder",
    [
        "INBOX",
        "a/b/c",
        "été",
        'q"uo\\te',
        "x, uid=77",
        "uid=5: box=Trash",
        "L" * 61 + "...",
        "?[31m",
        "copy from INBOX",
        "Mailbox INBOX: copy from INBOX",
    ],
)
def test_the_folder_is_what_the_client_called_it(before: str, folder: str) -> None:
    assert read_removal(line(f"{before}copy from {folder}: box=.EXPUNGED/all, uid=3") + "\n") == removed(
        folder
    )


def test_each_way_of_removing() -> None:
    message = "copy from INBOX: box=.EXPUNGED/all, uid=3"
    assert read_removal(line(message, "pop3")) == removed(protocol="pop3")
    # A session of doveadm's is nobody's connection.
    assert read_removal(line(message, "doveadm")) == removed(protocol="doveadm", session="")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a line of Dovecot's",
        line("Disconnected: Logged out in=1 out=2"),
        # Copies that a person made.
        line("copy from INBOX: box=Archive, uid=1"),
        line("copy from .EXPUNGED/all: box=INBOX, uid=4"),
        line("Mailbox x, uid=77: copy from INBOX: box=x, uid=77, uid=1"),
        # What a client says of itself, or is refused.
        line('ID sent: name="copy from INBOX: box=.EXPUNGED/all, uid=3"'),
        line("ID sent: name=copy from INBOX: box=.EXPUNGED/all, uid=3"),
        line("copy from INBOX: box=.EXPUNGED/all, uid=3 and more"),
        line("copy from INBOX: box=.EXPUNGED/all, uid=error"),
        line("copy from INBOX: box=.EXPUNGED/all, uid=12345678901"),
        line("copy from INBOX: box=.EXPUNGED/all, uid=3", "imap-login"),
        line("copy from INBOX: box=.EXPUNGED/all, uid=3").replace("Info", "Error"),
        f"{AT} auth: Info: copy from INBOX: box=.EXPUNGED/all, uid=3",
        f'{AT} imap: sess=a user="x" y" pid=1: Info: copy from INBOX: box=.EXPUNGED/all, uid=3',
    ],
)
def test_no_other_line_is_one(text: str) -> None:
    assert read_removal(text) is None
