"""Connections in words, for people who do not know POP from IMAP.

Each sentence is translated as a whole. What is said is what the log knows, no more: a refusal tells nothing of who
tried, and nobody looks at the password of a name that no mailbox has.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from django.conf import settings
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.addresses.inherited import POP_KEEP_DAYS, PopPolicy, what_counts
from panel.addresses.models import Mailbox
from panel.connections.models import Connection, LogGap
from panel.connections.names import Mistake, harmless, mistake_in

_Refusal, _End = Connection.Refusal, Connection.End


def in_words(connection: Connection, *, pop: PopPolicy | None = None) -> str:
    """Return what a connection did, in one sentence or a few. Asks the database nothing.

    Args:
        connection: which.
        pop: what POP deletes of its mailbox, if it is at hand: Dovecot's log does not say what became of messages that
            POP deleted. Without it nothing is said of that.
    """
    if connection.outcome == Connection.Outcome.REFUSED:
        return _refusal(connection)
    if connection.ended_at is None:
        return _("%(protocol)s from %(where)s is signed in now.") % _words(connection)
    is_pop = connection.protocol == Connection.Protocol.POP3
    sentences = _pop(connection, _fate(connection, pop)) if is_pop else _imap(connection)
    return " ".join([*sentences, *_end(connection)])


def advice(connection: Connection, *, mailbox: Mailbox | None = None, pop: PopPolicy | None = None) -> str:
    """Return what to do about a connection, or what to know of it; empty where there is nothing.

    Args:
        connection: which.
        mailbox: that was meant, where the connection names none, or that is at hand. It is shown with its address:
            it must be one that whoever reads this may see.
        pop: what POP deletes of that mailbox, if it is at hand. Asked for otherwise, where it matters.
    """
    if connection.outcome == Connection.Outcome.REFUSED:
        return _what_to_do(connection, mailbox)
    if connection.protocol == Connection.Protocol.POP3 and connection.deleted:
        return _what_pop_deleted(connection, pop or _policy(connection, mailbox))
    return ""


def gap_in_words(gap: LogGap) -> str:
    """Return that something is missing from the log, and why."""
    because = {
        LogGap.Cause.SEGMENTS_LOST: _(
            "Connections of this time may be missing: the disk was nearly full, and a part of the log was given up."
        ),
        LogGap.Cause.LOG_KILLED: _(
            "Connections of this time may be missing: what writes the log was ended by force."
        ),
        LogGap.Cause.LOG_DAMAGED: _(
            "Connections of this time may be missing: a part of the log cannot be read."
        ),
    }
    known = because.get(LogGap.Cause(gap.cause)) if gap.cause in LogGap.Cause.values else None
    return known or _("Connections of this time may be missing.")


def duration_in_words(began: datetime, ended: datetime) -> str:
    """Return how long something took, in one unit: `less than a second`, `40 seconds`, `2 hours`."""
    seconds = int((ended - began).total_seconds())
    if seconds < 1:
        return _("less than a second")
    if seconds < 60:
        return ngettext("%(count)s second", "%(count)s seconds", seconds) % {"count": seconds}
    return timesince(began, ended, depth=1)


def where_in_words(connection: Connection) -> str:
    """Return from where a connection came, and what it was where that is known: `192.0.2.7 (Thunderbird 128.2)`.

    A device with a password of its own is called by its name: `192.0.2.7 (Office PC)`.
    """
    place = connection.remote_ip or _("an unknown place")
    program = device_name(connection) or program_name(connection)
    if not program:
        return place
    return _("%(place)s (%(program)s)") % {"place": place, "program": program}


def device_name(connection: Connection) -> str:
    """Return what the device password that a session signed in with is called; empty for the mailbox's own.

    It is known where the row was read together with it (`select_related("device")`): nothing is asked here.
    """
    if connection.device_id is None or not Connection.device.is_cached(connection):
        return ""
    device = connection.device
    return harmless(device.label) if device else ""


def program_name(connection: Connection) -> str:
    """Return what a mail program called itself, with its version; empty where it did not."""
    return harmless(f"{connection.client_name} {connection.client_version}".strip())


def _words(connection: Connection) -> dict[str, str]:
    words = {"protocol": str(connection.get_protocol_display()), "where": where_in_words(connection)}
    if connection.ended_at is not None:
        words["time"] = duration_in_words(connection.started_at, connection.ended_at)
    return words


# -- sessions ----------------------------------------------------------------------------------------------------


def _imap(connection: Connection) -> list[str]:
    words, retrieved = _words(connection), connection.retrieved or 0
    expunged, marked = connection.expunged or 0, connection.deleted or 0
    if retrieved:
        said = ngettext(
            "%(protocol)s from %(where)s was signed in for %(time)s and downloaded %(count)s message.",
            "%(protocol)s from %(where)s was signed in for %(time)s and downloaded %(count)s messages.",
            retrieved,
        ) % {**words, "count": retrieved}
    elif connection.retrieved is None:
        said = _("%(protocol)s from %(where)s was signed in for %(time)s.") % words
    else:
        said = _("%(protocol)s from %(where)s was signed in for %(time)s and downloaded no message.") % words
    if expunged:
        # Moving is copying and removing: the log does not tell them apart.
        removed = ngettext(
            "It deleted %(count)s message, or moved it to another folder.",
            "It deleted %(count)s messages, or moved them to another folder.",
            expunged,
        )
        return [said, removed % {"count": expunged}]
    if marked:
        only_marked = ngettext(
            "It marked %(count)s message as deleted, which is still there.",
            "It marked %(count)s messages as deleted, which are still there.",
            marked,
        )
        return [said, only_marked % {"count": marked}]
    return [said]


class _Fate(Enum):
    """What became of messages that POP deleted."""

    GONE = "gone"
    HIDDEN = "hidden"
    UNKNOWN = "unknown"


def _fate(connection: Connection, pop: PopPolicy | None) -> _Fate:
    if connection.expunged is not None:
        return _Fate.GONE if connection.expunged else _Fate.HIDDEN
    if pop is None:
        return _Fate.UNKNOWN
    return _Fate.GONE if pop.deletes == Mailbox.PopDeletes.DELETE else _Fate.HIDDEN


def _pop(connection: Connection, fate: _Fate) -> list[str]:
    retrieved, deleted = connection.retrieved or 0, connection.deleted or 0
    words = {**_words(connection), "count": retrieved}
    if retrieved and retrieved == deleted:
        return [_pop_took(retrieved, fate) % words]
    if retrieved:
        said = ngettext(
            "%(protocol)s from %(where)s downloaded %(count)s message.",
            "%(protocol)s from %(where)s downloaded %(count)s messages.",
            retrieved,
        )
    elif connection.retrieved is None:
        said = _("%(protocol)s from %(where)s was signed in for %(time)s.")
    else:
        said = _("%(protocol)s from %(where)s looked for mail and downloaded no message.")
    sentences = [said % words]
    if deleted:
        sentences.append(_pop_deleted(deleted, fate) % {"count": deleted})
    elif retrieved:
        sentences.append(ngettext("It left it on the server.", "It left them on the server.", retrieved))
    return sentences


def _pop_took(count: int, fate: _Fate) -> str:
    """Say that every message was downloaded and deleted."""
    if fate is _Fate.GONE:
        return ngettext(
            "%(protocol)s from %(where)s downloaded %(count)s message and deleted it from the server.",
            "%(protocol)s from %(where)s downloaded %(count)s messages and deleted them from the server.",
            count,
        )
    if fate is _Fate.HIDDEN:
        return ngettext(
            "%(protocol)s from %(where)s downloaded %(count)s message and deleted it for POP: "
            "POP does not show it any more, IMAP still does.",
            "%(protocol)s from %(where)s downloaded %(count)s messages and deleted them for POP: "
            "POP does not show them any more, IMAP still does.",
            count,
        )
    return ngettext(
        "%(protocol)s from %(where)s downloaded and deleted %(count)s message.",
        "%(protocol)s from %(where)s downloaded and deleted %(count)s messages.",
        count,
    )


def _pop_deleted(count: int, fate: _Fate) -> str:
    if fate is _Fate.GONE:
        return ngettext(
            "It deleted %(count)s message from the server.",
            "It deleted %(count)s messages from the server.",
            count,
        )
    if fate is _Fate.HIDDEN:
        return ngettext(
            "It deleted %(count)s message for POP: POP does not show it any more, IMAP still does.",
            "It deleted %(count)s messages for POP: POP does not show them any more, IMAP still does.",
            count,
        )
    return ngettext("It deleted %(count)s message.", "It deleted %(count)s messages.", count)


def _end(connection: Connection) -> list[str]:
    """Say why a session ended, where it was not the program that ended it."""
    if connection.reason == _End.KICKED:
        return [_("The server ended it, as it does after a new password or another change of the mailbox.")]
    if connection.reason == _End.SERVER_STOPPED:
        return [_("It ended because the mail service was stopped or started anew.")]
    if connection.reason == _End.IDLE:
        return [_("The server ended it because it did nothing for a long time.")]
    return []


# -- refusals ----------------------------------------------------------------------------------------------------


def _refusal(connection: Connection) -> str:
    words = {**_words(connection), "name": harmless(connection.address)}
    match connection.reason:
        case _Refusal.WRONG_PASSWORD:
            said = _("Somebody at %(where)s tried a wrong password.")
        case _Refusal.UNKNOWN_ADDRESS if connection.address:
            said = _("Somebody at %(where)s tried the user name “%(name)s”, which no mailbox here has.")
        case _Refusal.UNKNOWN_ADDRESS:
            said = _("Somebody at %(where)s tried to sign in without a user name.")
        case _Refusal.SUSPENDED:
            said = _("Somebody at %(where)s was turned away: the mailbox is suspended.")
        case _Refusal.PROTOCOL_OFF:
            said = _("Somebody at %(where)s was turned away: %(protocol)s is switched off for this mailbox.")
        case _Refusal.DEVICE_REVOKED:
            said = _("Somebody at %(where)s tried a device password that was revoked.")
        case _Refusal.DEVICE_EXPIRED:
            said = _("Somebody at %(where)s tried a device password that has expired.")
        case _Refusal.DEVICE_REQUIRED:
            said = _(
                "Somebody at %(where)s tried the mailbox's own password, which opens no mail program here: "
                "each device needs a password of its own."
            )
        case _Refusal.NO_TLS:
            said = _("A program at %(where)s tried to sign in without encryption, which is refused.")
        case _Refusal.TLS_FAILED:
            said = _("A program at %(where)s connected, but no encryption came about.")
        case _Refusal.BLOCKED:
            said = _("Somebody at %(where)s was turned away: sign-ins from there are blocked for a while.")
        case _Refusal.TOO_MANY_CONNECTIONS:
            said = _("A program at %(where)s was turned away: it has too many connections open at once.")
        case _Refusal.TEMPORARY_FAILURE:
            said = _("Somebody at %(where)s could not sign in because of a fault on the server.")
        case _Refusal.GAVE_UP:
            said = _("A program at %(where)s connected and went away without signing in.")
        case _other:
            said = _("Somebody at %(where)s was turned away.")
    return said % words


def _what_to_do(connection: Connection, mailbox: Mailbox | None) -> str:
    match connection.reason:
        case _Refusal.WRONG_PASSWORD:
            return _(
                "If it was you: type the password again in that program, with capital and small letters as they are. "
                "If it was nobody you know, somebody is guessing: a long password that is used nowhere else keeps "
                "them out."
            )
        case _Refusal.UNKNOWN_ADDRESS:
            return _which_name(connection.address, mailbox)
        case _Refusal.SUSPENDED:
            return _(
                "Arriving mail is still kept. Whoever looks after this mailbox can resume it; "
                "nothing has to be changed in the mail program."
            )
        case _Refusal.PROTOCOL_OFF:
            return _other_protocol(connection.protocol)
        case _Refusal.DEVICE_REVOKED:
            return _(
                "If the device is still yours, give it a new device password and type that one in its mail program. "
                "If it was lost or stolen, nothing is to be done: it is kept out."
            )
        case _Refusal.DEVICE_EXPIRED:
            return _("Give the device a new device password and type that one in its mail program.")
        case _Refusal.DEVICE_REQUIRED:
            return _(
                "Make a device password on the mailbox's page of devices and type that one in the mail program. "
                "The mailbox's own password goes on opening this panel."
            )
        case _Refusal.NO_TLS:
            return " ".join([_encrypted_ports(connection.protocol), *_exposed(connection)])
        case _Refusal.TLS_FAILED:
            return _(
                "Check in the mail program that the server is %(host)s, exactly so, and that the device's date is "
                "right. If it warns of the certificate, do not go on before you have asked whoever looks after this "
                "mailbox. Programs from before about 2014 know no encryption that is still safe: a newer one is needed."
            ) % {"host": settings.ENVIRONMENT.mail_host}
        case _Refusal.BLOCKED:
            return _(
                "Too many attempts from there failed. First correct the password in every program and device that has "
                "an old one; then wait, and they are let in again by themselves."
            )
        case _Refusal.TOO_MANY_CONNECTIONS:
            return _(
                "Close mail programs that are not needed, or let them keep fewer connections open: their account "
                "settings have a number for that. Forgotten connections end by themselves within half an hour."
            )
        case _Refusal.TEMPORARY_FAILURE:
            return _(
                "It has nothing to do with your password or your settings: leave both as they are. "
                "Mail programs try again by themselves; if it lasts, tell whoever looks after this mailbox."
            )
        case _Refusal.GAVE_UP:
            return _(
                "No password was tried. Mail programs do this when they look for their settings, and strangers who "
                "look for open doors. If it was your program and it does not go on, check its user name and password."
            )
        case _other:
            return ""


def _which_name(tried: str, mailbox: Mailbox | None) -> str:
    mistake = mistake_in(tried, mailbox) if mailbox else None
    if mailbox is None or mistake is None:
        return _("The user name is the whole address, such as anna@example.com. Check how it is written.")
    words = {"address": mailbox.address, "ending": f"@{mailbox.domain.name}"}
    match mistake:
        case Mistake.NO_DOMAIN:
            said = _(
                "The user name lacks %(ending)s: type %(address)s as the user name. Whether the password is right "
                "shows only then."
            )
        case Mistake.WRONG_DOMAIN:
            said = _("What follows the @ is not right: type %(address)s as the user name.")
        case Mistake.BADLY_WRITTEN:
            said = _("Type the user name exactly as %(address)s, with nothing before or after it.")
        case Mistake.MISSPELT:
            said = _("It is nearly right, but not quite: type %(address)s as the user name.")
    return said % words


def _other_protocol(protocol: str) -> str:
    if protocol == Connection.Protocol.POP3:
        return _(
            "Set the account up with IMAP instead, if that is on; or ask whoever looks after this mailbox to switch "
            "POP on."
        )
    return _(
        "Ask whoever looks after this mailbox to switch IMAP on. POP, if that is on, works too; it downloads the "
        "messages to one device."
    )


def _encrypted_ports(protocol: str) -> str:
    ports = settings.ENVIRONMENT.mail_ports
    pop = protocol == Connection.Protocol.POP3
    tls, starttls = (ports.pop3s, ports.pop3) if pop else (ports.imaps, ports.imap)
    words = {"protocol": "POP" if pop else "IMAP", "port": tls, "other": starttls}
    if tls and starttls:
        return (
            _(
                "In the mail program's settings for %(protocol)s, choose port %(port)s with SSL/TLS; or port %(other)s "
                "with STARTTLS. Without encryption, everybody on the way could read the password."
            )
            % words
        )
    if tls:
        return (
            _(
                "In the mail program's settings for %(protocol)s, choose port %(port)s with SSL/TLS. Without "
                "encryption, everybody on the way could read the password."
            )
            % words
        )
    return (
        _(
            "In the mail program's settings for %(protocol)s, choose STARTTLS with port %(other)s. Without encryption, "
            "everybody on the way could read the password."
        )
        % words
    )


def _exposed(connection: Connection) -> list[str]:
    """Warn where the password went over the network: IMAP's LOGIN sends it with the name, POP is refused before it."""
    if connection.protocol == Connection.Protocol.IMAP and connection.address:
        return [
            _(
                "This time the password was already sent without protection: if it was on a network that you do not "
                "trust, choose a new one."
            )
        ]
    return []


# -- POP ---------------------------------------------------------------------------------------------------------


def _policy(connection: Connection, mailbox: Mailbox | None) -> PopPolicy | None:
    """Return what POP deletes of the connection's mailbox, or None if that is no more."""
    if mailbox is None and connection.mailbox_id is not None:
        rows = Mailbox.objects.select_related("domain__customer")
        mailbox = rows.filter(pk=connection.mailbox_id).first()
    return what_counts(mailbox).pop if mailbox else None


def _what_pop_deleted(connection: Connection, pop: PopPolicy | None) -> str:
    """Say what POP's deleting means for other devices, by what counts now where the log does not say it."""
    fate = _fate(connection, pop)
    if fate is _Fate.GONE:
        return _(
            "Other devices do not find these messages any more. To see the same mail on several devices, set them all "
            "up with IMAP, or let the program leave messages on the server."
        )
    if fate is _Fate.UNKNOWN:
        return _(
            "Another device that uses POP does not find these messages any more. To see the same mail on several "
            "devices, set them all up with IMAP."
        )
    if pop is None or pop.deletes != Mailbox.PopDeletes.KEEP_DAYS:
        return _(
            "Another device that uses POP does not find these messages any more; one that uses IMAP still does. To "
            "see the same mail on several devices, set them all up with IMAP."
        )
    days = pop.days or POP_KEEP_DAYS
    return ngettext(
        "Another device that uses POP does not find these messages any more. A copy stays on the server for %(days)s "
        "day, and IMAP shows it. To see the same mail on several devices, set them all up with IMAP.",
        "Another device that uses POP does not find these messages any more. A copy stays on the server for %(days)s "
        "days, and IMAP shows it. To see the same mail on several devices, set them all up with IMAP.",
        days,
    ) % {"days": days}
