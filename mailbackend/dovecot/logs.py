"""Lines of Dovecot's log → what they say. Pure: text in, values out.

A line begins with what nobody outside can write: time, service and level. Only these are trusted to classify
it; a client's words (a name, a mail program's ID) come later in the line and are never looked at for that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Levels that somebody should hear of. `Warning` is not among them: Dovecot warns of what it mends itself.
SERIOUS = frozenset({"Error", "Fatal", "Panic"})

#: Characters of a message that are kept.
MESSAGE_MAX = 500

_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\S{1,24}) "
    r"(?P<service>[a-z0-9-]{1,40})(?:\([^()\"]{0,300}\))*"
    # `mail_log_prefix` of the configuration; the name is a mailbox's, which holds no quote.
    r"(?:: sess=\S{0,80} user=\"[^\"\\]{0,300}\" pid=\d{1,10})?"
    r": (?P<level>Debug|Info|Warning|Error|Fatal|Panic): "
    r"(?P<message>.*)",
    re.DOTALL,
)

#: What an error is about, by words of the message, the first that fits. Where a cause can show in several
#: ways, the one that an administrator acts on comes first.
_TROUBLES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("disk_full", re.compile(r"No space left on device|Disk quota exceeded|ENOSPC", re.IGNORECASE)),
    ("too_many_files", re.compile(r"Too many open files")),
    (
        "out_of_memory",
        re.compile(r"Out of memory|Cannot allocate memory|(?:vsz|memory) limit", re.IGNORECASE),
    ),
    ("log_killed", re.compile(r"\Aservice\(log\): child \d+ (?:killed|returned|dumped)")),
    ("killed", re.compile(r"service\([a-z0-9-]+\): child \d+ killed with signal (?:2|9|15)\b")),
    (
        "crashed",
        re.compile(r"service\([a-z0-9-]+\): child \d+ (?:killed with signal|returned error)|Raw backtrace"),
    ),
    (
        "limit_reached",
        re.compile(
            r"(?:process|client)_limit (?:\(\d+\) )?reached|connections are being dropped", re.IGNORECASE
        ),
    ),
    (
        "database",
        re.compile(
            r"\bsql(?:ite)?\b|\bpgsql\b|Query failed|database (?:is locked|disk image)|unable to open database",
            re.IGNORECASE,
        ),
    ),
    ("certificate", re.compile(r"ssl_(?:server_)?(?:cert|key)|SSL context|Can't load (?:SSL|private key)")),
    ("permission", re.compile(r"Permission denied|EACCES|Operation not permitted")),
    ("damaged_index", re.compile(r"[Cc]orrupted|broken (?:cache|index)|index is broken", re.IGNORECASE)),
)

#: The service that `killed` and `crashed` are about.
_CHILD = re.compile(r"service\(([a-z0-9-]+)\): child")


@dataclass(frozen=True)
class LogLine:
    """One line of Dovecot's log.

    Attributes:
        at: when it was written, ISO 8601 with the zone's offset.
        service: who wrote it, such as "imap-login" or "master".
        level: Debug, Info, Warning, Error, Fatal or Panic.
        message: the rest.
    """

    at: str
    service: str
    level: str
    message: str


@dataclass(frozen=True)
class Trouble:
    """An error in the log, and what it is about.

    Attributes:
        at: when, ISO 8601.
        code: one of the names of `_TROUBLES`, or "other".
        service: the part of Dovecot that it is about.
        message: Dovecot's own words, one line, shortened.
    """

    at: str
    code: str
    service: str
    message: str


def parse_line(text: str) -> LogLine | None:
    """Return what a line says, or None if it is not a whole line as Dovecot writes it."""
    match = _LINE.fullmatch(text.rstrip("\n"))
    return LogLine(**match.groupdict()) if match else None


def read_trouble(line: LogLine) -> Trouble | None:
    """Return the trouble that a line reports, or None if it reports none."""
    if line.level not in SERIOUS:
        return None
    code = next((code for code, words in _TROUBLES if words.search(line.message)), "other")
    child = _CHILD.search(line.message) if code in ("killed", "crashed") else None
    return Trouble(
        at=line.at,
        code=code,
        service=child[1] if child else line.service,
        message=" ".join(line.message.split())[:MESSAGE_MAX],
    )
