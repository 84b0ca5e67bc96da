"""Lines of Dovecot's log → messages that were removed. Pure: text in, values out.

Whatever removes a message, the plugin lazy_expunge copies it to the recoverable mail, and mail_log says so in the name
of the session that did it: `copy from FOLDER: box=.EXPUNGED/all, uid=N`. A client chooses the folder's name, and the
name of the folder that it copies to itself; but neither can hold a dot, so neither can end a line as Dovecot does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbackend.dovecot.names import RECOVERABLE

#: The protocol of what a job of the panel, or an administrator, did.
DOVEADM = "doveadm"

#: What a line must hold to be looked at; nearly all others are told by it alone.
_SIGN = f": box={RECOVERABLE}, uid="

_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\S{1,24}) "
    r"(?P<protocol>imap|pop3|doveadm): "
    # `mail_log_prefix` of the configuration; the name is a mailbox's, which holds no quote.
    r"sess=(?P<session>\S{0,80}) user=\"(?P<address>[^\"\\]{1,300})\" pid=\d{1,10}: Info: "
    # 2.4 says first which folder it is in.
    rf"(?:Mailbox {re.escape(RECOVERABLE)}: )?copy from (?P<folder>.+)"
    rf"{re.escape(_SIGN)}(?P<uid>[0-9]{{1,10}})",
    re.DOTALL,
)


@dataclass(frozen=True)
class Removed:
    """A message that was removed from a folder, and lies in the recoverable mail.

    Attributes:
        at: when, ISO 8601 with the zone's offset.
        session: Dovecot's session that removed it; empty for doveadm, whose sessions are in no log.
        address: whose mailbox.
        protocol: "imap", "pop3" or "doveadm".
        folder: where it was, UTF-8. Dovecot cuts a name of more than 64 bytes and ends it with "...", and writes a
            question mark for what cannot be printed.
        uid: its UID (RFC 3501) in the recoverable mail.
    """

    at: str
    session: str
    address: str
    protocol: str
    folder: str
    uid: int


def read_removal(line: str) -> Removed | None:
    """Return the removal that a line of the log tells, or None for any other line.

    Args:
        line: the whole line, with or without its newline.
    """
    if _SIGN not in line:
        return None
    match = _LINE.fullmatch(line.rstrip("\n"))
    if match is None:
        return None
    return Removed(
        at=match["at"],
        session="" if match["protocol"] == DOVEADM else match["session"],
        address=match["address"],
        protocol=match["protocol"],
        folder=match["folder"],
        uid=int(match["uid"]),
    )
