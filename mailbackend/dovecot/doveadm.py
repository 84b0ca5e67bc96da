"""Client of doveadm's HTTP API over its unix socket (Dovecot manual, "Doveadm HTTP API").

Only the commands in `ALLOWED_COMMANDS` are ever sent, and Dovecot is configured to refuse all others.
Everything is checked before it is sent: a query that doveadm cannot parse ends its process without an answer.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from mailbackend.addresses import AddressError, parse_address
from mailbackend.dovecot.names import RECOVERABLE, RECOVERABLE_PREFIX
from mailbackend.maildir import POP_KEYWORDS

#: What the panel calls, by the API's names.
ALLOWED_COMMANDS = frozenset(
    {
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
)

#: What is asked about a message that was removed; never what stands in it.
_MESSAGE_FIELDS = ("uid", "date.saved.unixtime", "size.virtual")
_HEADER_FIELDS = ("uid", "hdr.from.utf8", "hdr.subject.utf8", "hdr.date.utf8")
#: The mask that all folders of a mailbox fit; that of removed messages does not.
_ALL_FOLDERS = "*"
#: Of its folder as a whole.
_STATUS_FIELDS = ("messages", "vsize", "uidnext")
#: How messages of it are named: a set of UIDs, and the time (seconds since 1970) before which they came.
_QUERY = re.compile(
    rf"mailbox {re.escape(RECOVERABLE)} uid [0-9]{{1,10}}(:[0-9]{{1,10}})?(,[0-9]{{1,10}}(:[0-9]{{1,10}})?)*"
    r"( savedbefore [0-9]{1,11})?\Z"
)
#: Of every folder of a mailbox but that one, which no mask fits.
_FOLDER_FIELDS = ("messages", "uidnext")
#: How messages of a folder are named that came into it before a time: `mailbox FOLDER uid SET savedbefore SECONDS`.
_UID_SET = re.compile(r"[0-9]{1,10}(:[0-9]{1,10})?(,[0-9]{1,10}(:[0-9]{1,10})?)*\Z")
_SECONDS = re.compile(r"[0-9]{1,11}\Z")
#: To doveadm these stand for any letters: a folder that bears one cannot be named alone.
_WILDCARDS = frozenset("*%")
#: What a POP mark is called.
_MARK_NAME = r"\$Pop(?:Main|[1-9])"
_MARK = re.compile(rf"{_MARK_NAME}\Z")
#: How messages are named that a POP device deleted, or the main password's did: where they lie, and its mark.
_WITH_MARK = re.compile(rf"mailbox (INBOX|\*|{re.escape(RECOVERABLE)}) KEYWORD ({_MARK_NAME})\Z")
#: All that is asked about them is whether there is one.
_WITH_MARK_FIELDS = ("uid",)
#: What is asked about a message of the inbox that POP hides, and how such messages are named: by one of POP's marks.
_HIDDEN_FIELDS = ("uid", "guid", "date.saved.unixtime", "size.virtual")
_MARKED = ("(", *" OR ".join(f"KEYWORD {mark}" for mark in POP_KEYWORDS).split(), ")")
_HIDDEN_QUERY = re.compile(
    r"mailbox INBOX uid [0-9]{1,10}(:[0-9]{1,10})?(,[0-9]{1,10}(:[0-9]{1,10})?)* "
    rf"{re.escape(' '.join(_MARKED))}\Z"
)
#: What is asked about the folders of a mailbox, and about the first message of each: no more of it than when it came.
_USE_FIELDS, _FIRST_FIELDS = ("messages", "vsize"), ("mailbox", "date.saved.unixtime")
_FIRST = ("mailbox", "*", "1")
#: The highest UID (RFC 3501, section 2.3.1.1).
_UID_MAX = 2**32 - 1
#: UIDs that one question is about, and messages that one order ends: bounds the answer's length and the time until it.
UIDS_AT_ONCE, _ENDED_AT_ONCE = 50_000, 5_000
#: Ranges in a set of UIDs: the longest has 22 characters with its comma.
_RANGES_MAX = 45
#: Characters of a header that are kept.
_HEADER_MAX = 500

#: Flags that may be taken off removed messages: the one by which clients remove, and those that hide from POP.
_FLAGS = re.compile(r"(\\Deleted|\$Pop[A-Za-z0-9]{1,8})\Z")
#: Characters of a folder's name.
FOLDER_NAME_MAX = 255

#: Exit codes of sysexits.h as doveadm uses them (doveadm(1), "EXIT STATUS").
_EX_NOUSER = 67
_EX_NOHOST = 68  # or no such folder

_Row = TypeVar("_Row")

_PATH = "/doveadm/v1"
_KIBIBYTE = 1024
_PARAMETER = re.compile(r"[A-Za-z]{1,40}\Z")
_PLAIN_TEXT = re.compile(r"[^\x00-\x1f\x7f]{0,1000}\Z")
#: Commands of one batch: bounds the length of the request and the time until the answer.
_BATCH_MAX = 1000
#: Bytes of an answer. A row of `who` is about 120 bytes.
_ANSWER_MAX = 64 * 1024 * 1024


class DoveadmError(Exception):
    """Dovecot did not do what it was asked; the message says what and why."""


class UnknownMailbox(DoveadmError):
    """Dovecot knows no such mailbox."""


class MailServiceDown(DoveadmError):
    """Nobody answers: Dovecot is not running, or too busy."""


class NobodyListens(MailServiceDown):
    """Nobody listens on the socket: Dovecot's master process does not run."""


@dataclass(frozen=True)
class Command:
    """One command of a batch.

    Attributes:
        name: the API's name of it, one of `ALLOWED_COMMANDS`.
        parameters: names and values; a value is text, a sequence of texts, or whether to do something.
    """

    name: str
    parameters: Mapping[str, str | bool | Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What became of one command of a batch.

    Attributes:
        rows: the rows of the answer; empty after an error.
        exit_code: 0, or doveadm's exit code.
        error: None, or the kind of the error, such as "exitCode" or "unAuthorized".
    """

    rows: tuple[Mapping[str, str], ...] = ()
    exit_code: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Session:
    """The connections of one mailbox by one protocol.

    Attributes:
        address: the mailbox.
        protocol: "imap" or "pop3".
        connections: how many there are.
        remote_ips: where they come from.
    """

    address: str
    protocol: str
    connections: int
    remote_ips: tuple[str, ...]


@dataclass(frozen=True)
class Quota:
    """How full a mailbox is.

    Attributes:
        used_bytes: bytes in use, which Dovecot gives in whole KiB.
        limit_bytes: the limit in bytes, rounded up to whole KiB by Dovecot, or None for no limit.
        messages: number of messages.
    """

    used_bytes: int
    limit_bytes: int | None
    messages: int


@dataclass(frozen=True)
class Recoverable:
    """What was removed from a mailbox and can be brought back, as a whole.

    Attributes:
        messages: how many there are.
        used_bytes: their size, as a quota would count it.
        next_uid: higher than the UID of each.
    """

    messages: int
    used_bytes: int
    next_uid: int


@dataclass(frozen=True)
class FolderUse:
    """What a folder holds.

    Attributes:
        name: as Dovecot writes it in UTF-8.
        messages: how many there are.
        used_bytes: their size, as a quota counts it.
    """

    name: str
    messages: int
    used_bytes: int


@dataclass(frozen=True)
class KeptMessage:
    """A message that was removed and can be brought back.

    Attributes:
        uid: its UID (RFC 3501) in the recoverable mail.
        removed_at: when it came there, in whole seconds.
        size: its size in bytes, as a quota would count it.
    """

    uid: int
    removed_at: datetime
    size: int


@dataclass(frozen=True)
class HiddenMessage:
    """A message of the inbox that a POP program deleted and that was kept: POP hides it, IMAP shows it.

    Attributes:
        uid: its UID (RFC 3501) in the inbox.
        guid: what it is known by, whatever becomes of the folder's index.
        saved_at: when it came into the inbox, in whole seconds.
        size: its size in bytes, as a quota counts it.
    """

    uid: int
    guid: str
    saved_at: datetime
    size: int


@dataclass(frozen=True)
class Folder:
    """A folder of a mailbox.

    Attributes:
        name: as Dovecot writes it in UTF-8, with a slash between a folder and one in it.
        messages: how many there are.
        next_uid: higher than the UID of each.
    """

    name: str
    messages: int
    next_uid: int


@dataclass(frozen=True)
class Old:
    """Messages of a folder that came into it before a time, as a question.

    Attributes:
        address: the mailbox.
        folder: its folder.
        uids: where to look, at most `UIDS_AT_ONCE` of them, from 1 on.
        before: only what came into the folder before this moment, which is taken in whole seconds.
    """

    address: str
    folder: str
    uids: range
    before: datetime


@dataclass(frozen=True)
class OldMessage:
    """A message that came into its folder before a time.

    Attributes:
        uid: its UID (RFC 3501) in the folder.
        saved_at: when it came into the folder, in whole seconds.
        size: its size in bytes, as a quota counts it.
    """

    uid: int
    saved_at: datetime
    size: int


@dataclass(frozen=True)
class Ending:
    """Messages of a folder that are to be removed, as an order.

    Attributes:
        address: the mailbox.
        folder: its folder.
        uids: which messages.
        before: only what came into the folder before this moment, which is taken in whole seconds.
    """

    address: str
    folder: str
    uids: Sequence[int]
    before: datetime


@dataclass(frozen=True)
class Headers:
    """What the head of a message says of it (RFC 5322), in plain text, shortened; empty where it does not."""

    sender: str
    subject: str
    date: str


@dataclass(frozen=True)
class Doveadm:
    """The API of one running Dovecot.

    Attributes:
        socket: `DataDir.doveadm_socket`.
        api_key: the configuration's `doveadm_api_key`.
        timeout: seconds to wait for each step of the conversation.
    """

    socket: Path
    api_key: str = field(repr=False)
    timeout: float = 10

    def who(self) -> list[Session]:
        """Return who is connected at this moment.

        Raises:
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses.
        """
        return [_session(row) for row in self._one(Command("who")).rows]

    def kick(self, address: str) -> bool:
        """End all sessions of a mailbox. A login on its way survives: kick again a little later.

        Args:
            address: the whole address, in its stored form.

        Returns:
            Whether there was a session to end.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses.
        """
        command = Command("kick", {"mask": [_checked_address(address)]})
        answer = self.batch([command])[0]
        if answer.exit_code == _EX_NOHOST:
            return False
        raise_for(answer, command)
        # 2.3 tells by its exit code that there was none; 2.4 counts.
        return all(row.get("count") != "0" for row in answer.rows)

    def quota(self, address: str) -> Quota:
        """Return how full a mailbox is.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses or its answer cannot be understood.
        """
        rows = self._one(Command("quotaGet", {"user": _checked_address(address)})).rows
        return read_quota(rows)

    def recalculate(self, address: str) -> None:
        """Have Dovecot look at all folders of a mailbox as if for the first time, and count anew what it holds.

        `quota recalc` does not: it adds up what is known of the folders (2.3).

        Raises:
            ValueError: if `address` is not an address in its stored form.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers. Dovecot may go on with it.
            DoveadmError: if doveadm refuses.
        """
        self._one(Command("forceResync", {"user": _checked_address(address), "mailboxMask": _ALL_FOLDERS}))

    def recoverable(self, address: str) -> Recoverable:
        """Return what was removed from a mailbox and can be brought back, as a whole.

        Where nothing was ever removed there is no such folder: that is an error, which doveadm logs too.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses or its answer cannot be understood.
        """
        parameters = {"user": address, "field": _STATUS_FIELDS, "mailboxMask": [RECOVERABLE]}
        return _recoverable(self._one(Command("mailboxStatus", parameters)).rows)

    def kept_messages(
        self, address: str, uids: range, *, before: datetime | None = None
    ) -> list[KeptMessage]:
        """Return what was removed from a mailbox and can be brought back, by UID.

        Args:
            address: the mailbox.
            uids: where to look, at most `UIDS_AT_ONCE` of them, from 1 on.
            before: only what was removed before this moment; None is all.

        Raises:
            ValueError: if `address` is not an address in its stored form, or `uids` are none.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses or its answer cannot be understood.
        """
        if not 1 <= len(uids) <= UIDS_AT_ONCE or uids.step != 1 or uids[0] < 1:
            raise ValueError(f"{uids} are not 1 to {UIDS_AT_ONCE} UIDs.")
        query = _query(f"{uids[0]}:{min(uids[-1], _UID_MAX)}")
        if before is not None:
            query += ["savedbefore", str(int(before.timestamp()))]
        command = Command("fetch", {"user": address, "field": _MESSAGE_FIELDS, "query": query})
        messages = sorted(map(_kept_message, self._one(command).rows), key=lambda message: message.uid)
        # Whatever doveadm made of the query: nothing younger is ever taken for old.
        return [message for message in messages if before is None or message.removed_at < before]

    def kept_headers(self, address: str, uids: Iterable[int]) -> dict[int, Headers]:
        """Return what the heads of messages say that were removed; those that are gone are left out.

        Args:
            address: the mailbox.
            uids: which messages of its recoverable mail.

        Raises:
            ValueError: if `address` is not an address in its stored form, or a UID is none.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses or its answer cannot be understood.
        """
        found: dict[int, Headers] = {}
        for uid_set in uid_sets(uids):
            parameters = {"user": address, "field": _HEADER_FIELDS, "query": _query(uid_set)}
            found |= dict(map(_headers, self._one(Command("fetch", parameters)).rows))
        return found

    def end_messages(self, address: str, uids: Iterable[int]) -> None:
        """End messages for good that were removed. Those that are gone already are no error.

        Args:
            address: the mailbox.
            uids: which messages of its recoverable mail.

        Raises:
            ValueError: if `address` is not an address in its stored form, or a UID is none.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers. Some may have ended.
            DoveadmError: if doveadm refuses. Some may have ended.
        """
        for uid_set in uid_sets(uids):
            command = Command("expunge", {"user": address, "query": _query(uid_set)})
            answer = self.batch([command])[0]
            # To 2.3 it is an error where nothing was ever removed; to 2.4 it is none.
            if answer.exit_code != _EX_NOHOST:
                raise_for(answer, command)

    def hidden_messages(self, addresses: Sequence[str]) -> list[list[HiddenMessage] | DoveadmError]:
        """Return which messages of their inboxes POP hides from a device of some mailboxes, in one question.

        Args:
            addresses: the mailboxes, at most 1,000. What all of them hide is one answer, which has an end.

        Returns:
            what each hides, in the same order; or why it is not known.

        Raises:
            ValueError: if one is not an address in its stored form.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses the whole question or its answer cannot be understood.
        """
        query = ["mailbox", "INBOX", "uid", f"1:{_UID_MAX}", *_MARKED]
        commands = [
            Command("fetch", {"user": address, "field": _HIDDEN_FIELDS, "query": query})
            for address in addresses
        ]
        return [
            _each(_hidden_message, answer, command)
            for command, answer in zip(commands, self.batch(commands), strict=True)
        ]

    def end_hidden(self, address: str, uids: Iterable[int]) -> None:
        """Remove messages of the inbox that POP hides; they are put aside as whatever is removed. Others stay.

        Args:
            address: the mailbox.
            uids: which messages. One that POP does not hide any more, or that is gone, is no error.

        Raises:
            ValueError: if `address` is not an address in its stored form, or a UID is none.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers. Some may have been removed.
            DoveadmError: if doveadm refuses. Some may have been removed.
        """
        for uid_set in uid_sets(uids):
            self._one(Command("expunge", {"user": address, "query": _hidden_query(uid_set)}))

    def show_hidden(self, address: str, uids: Iterable[int]) -> None:
        """Take POP's marks off messages of the inbox: every POP program is offered them again.

        Args:
            address: the mailbox.
            uids: which messages. One that has no mark, or is gone, is no error.

        Raises:
            ValueError: if `address` is not an address in its stored form, or a UID is none.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers. Some may be shown.
            DoveadmError: if doveadm refuses. Some may be shown.
        """
        for uid_set in uid_sets(uids):
            parameters = {"user": address, "flag": list(POP_KEYWORDS), "query": _hidden_query(uid_set)}
            self._one(Command("flagsRemove", parameters))

    def folders_of(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[Folder] | DoveadmError]:
        """Return folders of some mailboxes with what they hold, in one question; not that of removed messages.

        Args:
            asked: the mailboxes, at most 1,000, each with the names of the folders that are wanted. In a name `*`
                stands for any letters and `%` for any but /. A name that no folder has is no error.

        Returns:
            the folders of each, in the same order; or why they are not known.

        Raises:
            ValueError: if one is not an address in its stored form.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses the whole question or its answer cannot be understood.
        """
        commands = [
            Command(
                "mailboxStatus",
                {"user": address, "field": _FOLDER_FIELDS, "mailboxMask": [*dict.fromkeys(names)]},
            )
            for address, names in asked
        ]
        return [
            _each(_folder, answer, command)
            for command, answer in zip(commands, self.batch(commands), strict=True)
        ]

    def old_messages(self, asked: Sequence[Old]) -> list[list[OldMessage] | DoveadmError]:
        """Return which messages came into their folders before a time, by UID, for some folders in one question.

        Args:
            asked: at most 1,000. What is found for all of them is one answer, which has an end.

        Returns:
            what was found for each, in the same order; or why it is not known.

        Raises:
            ValueError: if an address, a folder or a range of UIDs is none, or bears a wildcard (`can_be_named`).
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses the whole question or its answer cannot be understood.
        """
        commands = [
            Command("fetch", {"user": each.address, "field": _MESSAGE_FIELDS, "query": _old_query(each)})
            for each in asked
        ]
        answers = self.batch(commands)
        return [
            _old_messages(each, command, answer)
            for each, command, answer in zip(asked, commands, answers, strict=True)
        ]

    def end_old(self, asked: Sequence[Ending]) -> list[list[OldMessage] | DoveadmError]:
        """Remove messages of some folders, in one request; they are put aside as whatever is removed.

        One that is younger stays, and one that is gone already is no error.

        Args:
            asked: which messages, in at most 500 sets of UIDs (`uid_sets`) for all of them.

        Returns:
            for each, in the same order, which were there at that moment and went, by UID; or why that is not known:
            some may have been removed.

        Raises:
            ValueError: if an address is not in its stored form, a UID is none, or no folder can be named so.
            MailServiceDown: if nobody answers. Some may have been removed.
            DoveadmError: if doveadm refuses the whole request. None was removed then.
        """
        commands = [list(_end_commands(each)) for each in asked]
        answers = iter(self.batch([command for some in commands for command in some]))
        return [
            _ended(each, [(command, next(answers)) for command in some])
            for each, some in zip(asked, commands, strict=True)
        ]

    def folders(self, address: str) -> set[str]:
        """Return the names of a mailbox's folders, as Dovecot writes them in UTF-8.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses.
        """
        rows = self._one(Command("mailboxList", {"user": address})).rows
        return {row["mailbox"] for row in rows if "mailbox" in row}

    def folder_uses(self, address: str) -> list[FolderUse]:
        """Return what each folder of a mailbox holds, from Dovecot's indexes; removed mail is in none of them.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses or its answer cannot be understood.
        """
        parameters = {"user": address, "field": _USE_FIELDS, "mailboxMask": ["*"]}
        return [_folder_use(row) for row in self._one(Command("mailboxStatus", parameters)).rows]

    def oldest_saved(self, address: str) -> dict[str, datetime]:
        """Return since when the message is in each folder that came there first, in whole seconds.

        It is the one with the lowest UID (RFC 3501, section 2.3.1.1): one message is looked at in each folder,
        however many there are. Empty folders are left out.

        Raises:
            ValueError: if `address` is not an address in its stored form.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
            DoveadmError: if doveadm refuses or its answer cannot be understood.
        """
        command = Command("fetch", {"user": address, "field": _FIRST_FIELDS, "query": _FIRST})
        return dict(map(_first_saved, self._one(command).rows))

    def create_folder(self, address: str, folder: str) -> bool:
        """Create a folder and subscribe to it, and return whether Dovecot did: it refuses some names.

        Raises:
            ValueError: if `address` is not an address in its stored form, or a folder cannot be named so.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers.
        """
        command = Command("mailboxCreate", {"user": address, "mailbox": [folder], "subscriptions": True})
        answer = self.batch([command])[0]
        if answer.exit_code == _EX_NOUSER:
            raise_for(answer, command)
        return answer.error is None

    def put_back(
        self, address: str, uids: Iterable[int], folder: str, *, without: Sequence[str] = ()
    ) -> None:
        """Move removed messages to a folder. Those that are gone already are no error.

        Their flags and dates stay, but for flags that are taken off first.

        Args:
            address: the mailbox.
            uids: which messages of its recoverable mail.
            folder: an existing one.
            without: the flags to take off.

        Raises:
            ValueError: if `address` is not an address in its stored form, a UID is none, or no folder can be named so.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers. Some may have been moved.
            DoveadmError: if doveadm refuses; want of room is no reason to it. Some may have been moved, the rest stays.
        """
        for uid_set in uid_sets(uids):
            query = _query(uid_set)
            unflag = Command("flagsRemove", {"user": address, "flag": list(without), "query": query})
            move = Command("move", {"user": address, "destinationMailbox": folder, "query": query})
            if without:
                self._one(unflag)
            self._one(move)

    def copy_mark(self, address: str, mark: str, to: str) -> None:
        """Give the messages of the inbox that bear one POP mark another one too. Doing it again does nothing.

        Args:
            address: the mailbox.
            mark, to: two of `maildir.POP_KEYWORDS`.

        Raises:
            ValueError: if `address` is not an address in its stored form, or a mark is none.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers. Dovecot may go on with it.
            DoveadmError: if doveadm refuses.
        """
        self._one(Command("flagsAdd", {"user": address, "flag": [to], "query": _marked("INBOX", mark)}))

    def clear_mark(self, address: str, mark: str, *, removed: bool) -> None:
        """Take a POP mark off every message of a mailbox. Doing it again does nothing.

        Args:
            address: the mailbox.
            mark: one of `maildir.POP_KEYWORDS`.
            removed: whether there are removed messages too (`maildir.has_removed_mail`).

        Raises:
            ValueError: if `address` is not an address in its stored form, or the mark is none.
            UnknownMailbox: if there is no such mailbox.
            MailServiceDown: if nobody answers. Dovecot may go on with it.
            DoveadmError: if doveadm refuses. Some may have been cleared.
        """
        for place in _places(removed=removed):
            parameters = {"user": address, "flag": [mark], "query": _marked(place, mark)}
            self._one(Command("flagsRemove", parameters))

    def is_marked(self, address: str, mark: str, *, removed: bool) -> bool:
        """Say whether a message of a mailbox bears a POP mark; arguments and errors as of `clear_mark`."""
        for place in _places(removed=removed):
            parameters = {"user": address, "field": _WITH_MARK_FIELDS, "query": _marked(place, mark)}
            if self._one(Command("fetch", parameters)).rows:
                return True
        return False

    def batch(self, commands: Sequence[Command]) -> list[Answer]:
        """Run several commands in one request, in order; one that fails does not keep the next from running.

        Args:
            commands: at most 1,000.

        Returns:
            An answer for each command, in the same order.

        Raises:
            ValueError: if a command is not allowed or not well formed; nothing was sent then.
            MailServiceDown: if nobody answers.
            DoveadmError: if the whole request is refused, or the answer cannot be understood.
        """
        if not commands:
            return []
        if len(commands) > _BATCH_MAX:
            raise ValueError(f"A batch holds at most {_BATCH_MAX} commands, not {len(commands)}.")
        body = [[command.name, _checked(command), f"t{number}"] for number, command in enumerate(commands)]
        return _answers(self._post(json.dumps(body).encode("ascii")), len(commands))

    def _one(self, command: Command) -> Answer:
        answer = self.batch([command])[0]
        raise_for(answer, command)
        return answer

    def _post(self, body: bytes) -> bytes:
        key = base64.b64encode(self.api_key.encode()).decode("ascii")
        headers = {"Authorization": f"X-Dovecot-API {key}", "Content-Type": "application/json"}
        connection = _UnixConnection(self.socket, self.timeout)
        try:
            connection.request("POST", _PATH, body, headers)
            response = connection.getresponse()
            answer = response.read(_ANSWER_MAX + 1)
        except (OSError, http.client.HTTPException) as err:
            absent = isinstance(err, FileNotFoundError | ConnectionRefusedError)
            raise (NobodyListens if absent else MailServiceDown)(
                f"The mail service does not answer on {self.socket}: see whether it is running."
            ) from err
        finally:
            connection.close()
        if response.status in (401, 403):
            raise DoveadmError(
                "The mail service does not accept the API key: reload it, so that it reads the present one."
            )
        if response.status != 200:
            raise DoveadmError(
                f"The mail service refused a request: HTTP {response.status} {response.reason}."
            )
        if len(answer) > _ANSWER_MAX:
            raise DoveadmError("The mail service's answer is too long: ask for less at once.")
        return answer


def read_quota(rows: Sequence[Mapping[str, str]]) -> Quota:
    """Return what the rows of `quotaGet` say.

    Raises:
        DoveadmError: if the rows do not say it.
    """
    by_type = {row.get("type"): row for row in rows}
    try:
        storage, message = by_type["STORAGE"], by_type["MESSAGE"]
        limit = storage["limit"]
        return Quota(
            used_bytes=int(storage["value"]) * _KIBIBYTE,
            limit_bytes=None if limit == "-" else int(limit) * _KIBIBYTE,
            messages=int(message["value"]),
        )
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about a quota cannot be understood.") from err


def can_be_named(folder: str) -> bool:
    """Say whether messages of just this folder can be asked for: to doveadm `*` and `%` in a name are wildcards."""
    return _is_folder(folder) and not _WILDCARDS & set(folder)


def _recoverable(rows: Sequence[Mapping[str, str]]) -> Recoverable:
    try:
        (row,) = rows
        return Recoverable(int(row["messages"]), int(row["vsize"]), int(row["uidnext"]))
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about removed messages cannot be understood.") from err


def _folder_use(row: Mapping[str, str]) -> FolderUse:
    try:
        return FolderUse(row["mailbox"], int(row["messages"]), int(row["vsize"]))
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about folders cannot be understood.") from err


def _first_saved(row: Mapping[str, str]) -> tuple[str, datetime]:
    try:
        name, saved = (row[field] for field in _FIRST_FIELDS)
        return name, datetime.fromtimestamp(int(saved), UTC)
    except (KeyError, ValueError, OverflowError, OSError) as err:
        raise DoveadmError("The mail service's answer about folders cannot be understood.") from err


def uid_sets(uids: Iterable[int]) -> Iterator[str]:
    """Yield sets of UIDs (RFC 3501's sequence-set), each for one command, that hold all of `uids`.

    Raises:
        ValueError: if one is no UID.
    """
    ranges: list[str] = []
    count = 0
    for first, last in _ranges(sorted(set(uids))):
        ranges.append(str(first) if first == last else f"{first}:{last}")
        count += last - first + 1
        if len(ranges) == _RANGES_MAX or count >= _ENDED_AT_ONCE:
            yield ",".join(ranges)
            ranges, count = [], 0
    if ranges:
        yield ",".join(ranges)


def _ranges(uids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each run in `uids`, which ascend; a run is at most `_ENDED_AT_ONCE` long."""
    if uids and not 1 <= uids[0] <= uids[-1] <= _UID_MAX:
        raise ValueError(f"{uids[0]} to {uids[-1]} are not UIDs.")
    start = 0
    for index, uid in enumerate(uids, 1):
        full = index - start == _ENDED_AT_ONCE
        if full or index == len(uids) or uids[index] != uid + 1:
            yield uids[start], uid
            start = index


def _marked(place: str, mark: str) -> list[str]:
    return ["mailbox", place, "KEYWORD", mark]


def _places(*, removed: bool) -> tuple[str, ...]:
    """Return the masks that all folders fit, those of removed messages too: `*` does not fit these."""
    return ("*", RECOVERABLE) if removed else ("*",)


def _query(uid_set: str) -> list[str]:
    return ["mailbox", RECOVERABLE, "uid", uid_set]


def _hidden_query(uid_set: str) -> list[str]:
    return ["mailbox", "INBOX", "uid", uid_set, *_MARKED]


def _old_query(asked: Old) -> list[str]:
    uids = asked.uids
    if not 1 <= len(uids) <= UIDS_AT_ONCE or uids.step != 1 or uids[0] < 1:
        raise ValueError(f"{uids} are not 1 to {UIDS_AT_ONCE} UIDs.")
    return _before(asked.folder, f"{uids[0]}:{min(uids[-1], _UID_MAX)}", asked.before)


def _before(folder: str, uid_set: str, before: datetime) -> list[str]:
    return ["mailbox", folder, "uid", uid_set, "savedbefore", str(int(before.timestamp()))]


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _checked(command: Command) -> dict[str, str | bool | list[str]]:
    if command.name not in ALLOWED_COMMANDS:
        raise ValueError(f"{command.name!r} is not a command that may be sent.")
    _check_reach(command)
    return {_checked_name(name): _checked_value(value) for name, value in command.parameters.items()}


def _check_reach(command: Command) -> None:
    """Commands that can reach any message are sent about what was removed, bears one of POP's marks, or is old, alone.

    They read no more than the head of what was removed.
    """
    if command.name in ("who", "kick", "quotaGet"):
        return
    given = dict(command.parameters)
    user, query = given.pop("user", ""), given.pop("query", ())
    if not isinstance(user, str) or not user:
        raise ValueError(f"{command.name!r} needs a mailbox.")
    _checked_address(user)
    asked = " ".join(query) if isinstance(query, list | tuple) else ""
    if _is_old_query(query):
        may_be_sent = _may_be_sent_about_old(command.name, given)
    elif (marked := _WITH_MARK.match(asked)) is not None:
        may_be_sent = _may_mark(command.name, given, place=marked[1], mark=marked[2])
    elif _HIDDEN_QUERY.match(asked):
        may_be_sent = _may_be_sent_about_hidden(command.name, given)
    elif asked == " ".join(_FIRST):
        may_be_sent = command.name == "fetch" and given == {"field": _FIRST_FIELDS}
    else:
        may_be_sent = _may_be_sent(command.name, given, asks=bool(_QUERY.match(asked)), bare=not query)
    if not may_be_sent:
        raise ValueError(f"{command.name!r} may not be sent with {dict(command.parameters)}.")


def _may_be_sent(name: str, given: dict[str, Any], *, asks: bool, bare: bool) -> bool:
    """Say whether a command's parameters are ones that are sent.

    Args:
        name: the command's.
        given: its parameters, without the mailbox and the query.
        asks: whether its query is about removed messages alone.
        bare: whether it has none.
    """
    match name:
        case "mailboxStatus":
            names = given.get("mailboxMask", ())
            if given == {"field": _FOLDER_FIELDS, "mailboxMask": names}:
                return bare and bool(names) and all(map(_is_folder, names))
            return bare and given in (
                {"field": _STATUS_FIELDS, "mailboxMask": [RECOVERABLE]},
                {"field": _USE_FIELDS, "mailboxMask": ["*"]},
            )
        case "mailboxList":
            return bare and not given
        case "forceResync":
            return bare and given == {"mailboxMask": _ALL_FOLDERS}
        case "mailboxCreate":
            folders = given.pop("mailbox", ())
            return bare and given == {"subscriptions": True} and len(folders) == 1 and _is_folder(folders[0])
        case "fetch":
            return asks and given in ({"field": _MESSAGE_FIELDS}, {"field": _HEADER_FIELDS})
        case "flagsRemove":
            flags = given.pop("flag", ())
            return asks and not given and bool(flags) and all(map(_FLAGS.match, flags))
        case "move":
            return asks and _is_folder(given.pop("destinationMailbox", "")) and not given
        case _:
            return asks and not given


def _may_mark(name: str, given: dict[str, Any], *, place: str, mark: str) -> bool:
    """Say whether a command about the messages in `place` that bear `mark` is one that is sent."""
    match name:
        case "flagsAdd":
            flags = given.pop("flag", ())
            return place == "INBOX" and not given and len(flags) == 1 and bool(_MARK.match(flags[0]))
        case "flagsRemove":
            return given == {"flag": [mark]}
        case "fetch":
            return given == {"field": _WITH_MARK_FIELDS}
        case _:
            return False


def _may_be_sent_about_hidden(name: str, given: dict[str, Any]) -> bool:
    """Say whether a command's parameters are ones that are sent about messages that POP hides."""
    match name:
        case "fetch":
            return given == {"field": _HIDDEN_FIELDS}
        case "flagsRemove":
            return given == {"flag": list(POP_KEYWORDS)}
        case _:
            return name == "expunge" and not given


def _is_old_query(query: object) -> bool:
    """Say whether a query names messages of one folder, other than that of removed messages, that are old."""
    if not isinstance(query, list | tuple) or len(query) != 6:
        return False
    mailbox, folder, uid, uid_set, saved, seconds = query
    return (
        (mailbox, uid, saved) == ("mailbox", "uid", "savedbefore")
        and isinstance(folder, str)
        and can_be_named(folder)
        and bool(_UID_SET.match(uid_set))
        and bool(_SECONDS.match(seconds))
    )


def _may_be_sent_about_old(name: str, given: dict[str, Any]) -> bool:
    """Say whether a command's parameters are ones that are sent about messages that are old."""
    if name == "fetch":
        return given == {"field": _MESSAGE_FIELDS}
    return name == "expunge" and not given


def _is_folder(name: object) -> bool:
    """Say whether a name may be a folder's that messages are put back to: what was removed is in none of these."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= FOLDER_NAME_MAX
        and not name.startswith(RECOVERABLE_PREFIX.rstrip("/"))
    )


def _checked_name(name: str) -> str:
    if not _PARAMETER.match(name):
        raise ValueError(f"{name!r} is not the name of a parameter.")
    return name


def _checked_value(value: str | bool | Sequence[str]) -> str | bool | list[str]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return [_checked_text(item) for item in value]
    return _checked_text(value)


def _checked_text(value: str) -> str:
    if not isinstance(value, str) or not _PLAIN_TEXT.match(value):
        raise ValueError(f"{value!r} is not one line of plain text.")
    return value


def _checked_address(address: str) -> str:
    """doveadm takes masks: `*` would be everybody. An address in its stored form has no such character."""
    try:
        stored = str(parse_address(address))
    except AddressError as err:
        raise ValueError(f"{address!r} is not an address: {err}") from err
    if stored != address:
        raise ValueError(f"{address!r} is not in its stored form, {stored!r}.")
    return address


def _answers(text: bytes, count: int) -> list[Answer]:
    try:
        # What stands in a message's head comes as it is, characters of no encoding and of control among it.
        decoded = json.loads(text.decode("utf-8", "replace"), strict=False)
        by_tag = {tag: _answer(kind, value) for kind, value, tag in decoded}
        return [by_tag[f"t{number}"] for number in range(count)]
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise DoveadmError("The mail service's answer cannot be understood.") from err


def _answer(kind: str, value: Any) -> Answer:
    if kind == "doveadmResponse":
        return Answer(rows=tuple({str(name): str(text) for name, text in row.items()} for row in value))
    return Answer(exit_code=int(value.get("exitCode", 0)), error=str(value["type"]))


def raise_for(answer: Answer, command: Command) -> None:
    """Do nothing if an answer is none of an error.

    Raises:
        UnknownMailbox: if there is no such mailbox.
        DoveadmError: if doveadm refused the command.
    """
    if answer.error is None:
        return
    if answer.exit_code == _EX_NOUSER:
        raise UnknownMailbox(f"The mail service knows no mailbox {command.parameters.get('user', '')}.")
    raise DoveadmError(
        f"The mail service refused {command.name!r} ({answer.error}, code {answer.exit_code}): see its log."
    )


def _session(row: Mapping[str, str]) -> Session:
    try:
        return Session(
            address=row["username"],
            protocol=row["service"],
            connections=int(row["connections"]),
            remote_ips=tuple(row["ips"].strip("()").split()),
        )
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about sessions cannot be understood.") from err


def _kept_message(row: Mapping[str, str]) -> KeptMessage:
    try:
        return KeptMessage(*_message(row))
    except (KeyError, ValueError, OverflowError, OSError) as err:
        raise DoveadmError("The mail service's answer about removed messages cannot be understood.") from err


def _message(row: Mapping[str, str]) -> tuple[int, datetime, int]:
    """Return what `_MESSAGE_FIELDS` say of a message: its UID, when it came into its folder, and its size."""
    uid, saved, size = (int(row[name]) for name in _MESSAGE_FIELDS)
    return uid, datetime.fromtimestamp(saved, UTC), size


def _each(
    read: Callable[[Mapping[str, str]], _Row], answer: Answer, command: Command
) -> list[_Row] | DoveadmError:
    """Return what the rows of an answer say, or why that is not known."""
    try:
        raise_for(answer, command)
        return [read(row) for row in answer.rows]
    except DoveadmError as err:
        return err


def _old_messages(asked: Old | Ending, command: Command, answer: Answer) -> list[OldMessage] | DoveadmError:
    found = _each(_old_message, answer, command)
    if isinstance(found, DoveadmError):
        return found
    # Whatever doveadm made of the query: nothing younger is ever taken for old.
    old = [message for message in found if message.saved_at.timestamp() < int(asked.before.timestamp())]
    return sorted(old, key=lambda message: message.uid)


def _end_commands(asked: Ending) -> Iterator[Command]:
    """Yield, for each set of UIDs, the question what is there, and the order that it goes."""
    for uid_set in uid_sets(asked.uids):
        query = _before(asked.folder, uid_set, asked.before)
        yield Command("fetch", {"user": asked.address, "field": _MESSAGE_FIELDS, "query": query})
        yield Command("expunge", {"user": asked.address, "query": query})


def _ended(asked: Ending, done: Sequence[tuple[Command, Answer]]) -> list[OldMessage] | DoveadmError:
    """Return what the answers to `_end_commands` say."""
    found: list[OldMessage] = []
    for command, answer in done:
        some = _old_messages(asked, command, answer)
        if isinstance(some, DoveadmError):
            return some
        found += some
    return found


def _old_message(row: Mapping[str, str]) -> OldMessage:
    try:
        return OldMessage(*_message(row))
    except (KeyError, ValueError, OverflowError, OSError) as err:
        raise DoveadmError("The mail service's answer about messages cannot be understood.") from err


def _folder(row: Mapping[str, str]) -> Folder:
    try:
        return Folder(row["mailbox"], int(row["messages"]), int(row["uidnext"]))
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about folders cannot be understood.") from err


def _hidden_message(row: Mapping[str, str]) -> HiddenMessage:
    try:
        uid, guid, saved, size = (row[name] for name in _HIDDEN_FIELDS)
        return HiddenMessage(int(uid), guid, datetime.fromtimestamp(int(saved), UTC), int(size))
    except (KeyError, ValueError, OverflowError, OSError) as err:
        raise DoveadmError("The mail service's answer about hidden messages cannot be understood.") from err


def _headers(row: Mapping[str, str]) -> tuple[int, Headers]:
    try:
        uid, sender, subject, date = (row[name] for name in _HEADER_FIELDS)
        return int(uid), Headers(*map(_harmless, (sender, subject, date)))
    except (KeyError, ValueError) as err:
        raise DoveadmError("The mail service's answer about removed messages cannot be understood.") from err


def _harmless(text: str) -> str:
    """Return a header on one line, without what a terminal would obey."""
    printable = "".join(
        character if character.isprintable() else " " for character in text[: 4 * _HEADER_MAX]
    )
    return " ".join(printable.split())[:_HEADER_MAX]
