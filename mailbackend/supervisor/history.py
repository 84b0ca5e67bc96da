"""What happened to the supervised Dovecot, newest last: a short list in DATA_DIR/dovecot/history.json.

An entry has a code and a detail; who shows it to people finds the words.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
from collections import deque
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

log = logging.getLogger("mail")

#: Entries that are kept.
KEPT = 100
#: Characters of a detail.
_DETAIL_MAX = 1000

#: It came to serve. Detail: Dovecot's version.
STARTED = "started"
#: It ended by itself. Detail: its exit code, or the signal with a minus before it.
ENDED = "ended"
#: By command.
STOPPED = "stopped"
RESTARTED = "restarted"
RELOADED = "reloaded"
#: The supervisor was ended in peace, and Dovecot with it.
SHUT_DOWN = "shut_down"
#: A start failed, or a configuration was not taken. Detail: why.
FAILED = "failed"
RELOAD_REFUSED = "reload_refused"
#: Found at the supervisor's start: the one before was killed. Detail: the pid of the Dovecot that it left, if any.
SUPERVISOR_KILLED = "supervisor_killed"
#: Found at the supervisor's start: the machine went down while Dovecot served.
MACHINE_WENT_DOWN = "machine_went_down"
#: Dovecot's log process was killed, so lines of the log are missing.
LOG_KILLED = "log_killed"
#: Dovecot's anvil was killed, which knows the open sessions: none of them could have been ended any more.
ANVIL_KILLED = "anvil_killed"
#: The mail root is not there any more, so Dovecot was stopped. Detail: why.
MAIL_ROOT_GONE = "mail_root_gone"
#: Segments of the log were removed unread. Detail: the first number, the last, and their bytes.
LOG_GIVEN_UP = "log_given_up"


@dataclass(frozen=True)
class Entry:
    """Something that happened.

    Attributes:
        at: when, ISO 8601 in UTC.
        code: one of the codes of this module.
        detail: more of it: a reason, a pid, a number; may be empty.
    """

    at: str
    code: str
    detail: str


class History:
    """The list, in memory and on disk. That it cannot be written is no reason to stop serving mail."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a damaged file is an empty list."""
        self._path = path
        self._entries: deque[Entry] = deque(_read(path), maxlen=KEPT)

    def newest(self, count: int) -> list[Entry]:
        """Return the newest entries, newest first."""
        return list(self._entries)[: -count - 1 : -1]

    def add(self, code: str, detail: str = "") -> None:
        """Note that something happened now. The same failure again takes the place of the one before."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        entry = Entry(at, code, detail[:_DETAIL_MAX])
        last = self._entries[-1] if self._entries else None
        if last and code == FAILED and (last.code, last.detail) == (entry.code, entry.detail):
            return
        self._entries.append(entry)
        try:
            _write(self._path, [asdict(kept) for kept in self._entries])
        except OSError as err:
            log.info("%s cannot be written: %s", self._path, err)


def read_entry(raw: dict[str, Any]) -> Entry:
    """Return the entry that a JSON object holds.

    Raises:
        KeyError, TypeError: if it holds none.
    """
    return Entry(**{item.name: str(raw[item.name]) for item in fields(Entry)})


def _read(path: Path) -> list[Entry]:
    try:
        return [read_entry(raw) for raw in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as err:
        log.info("%s cannot be read, a new list is begun: %s", path, err)
        return []


def _write(path: Path, entries: list[dict[str, str]]) -> None:
    """Write beside and rename: the file is there whole or as it was."""
    beside = path.with_name(f".{path.name}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(beside, flags, 0o600), "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        json.dump(entries, stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.rename(path)
