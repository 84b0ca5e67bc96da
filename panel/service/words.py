"""What the mail supervisor reports in codes, said in sentences."""

from __future__ import annotations

import signal
from collections.abc import Callable

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from mailbackend.dovecot.logs import Trouble
from mailbackend.supervisor import history
from mailbackend.supervisor.history import Entry
from panel.core.said import in_words
from panel.core.sizes import format_size

#: How each state of the mail service is called, the badge that shows it, and what it means for people.
STATES: dict[str, tuple[str, str | Promise, str | Promise]] = {
    "RUNNING": (
        "active",
        pgettext_lazy("mail service", "Running"),
        gettext_lazy("Mail arrives, and mail programs can sign in."),
    ),
    "STARTING": (
        "running",
        gettext_lazy("Starting"),
        gettext_lazy("It will be ready in a moment."),
    ),
    "STOPPING": (
        "running",
        gettext_lazy("Stopping"),
        gettext_lazy("Open connections are being ended."),
    ),
    "BACKOFF": (
        "failed",
        gettext_lazy("Waiting to start again"),
        gettext_lazy("It is tried again by itself, within half a minute. Mail on disk is safe."),
    ),
    "FATAL": (
        "failed",
        gettext_lazy("Cannot start"),
        gettext_lazy("Somebody has to mend what is wrong; then it starts by itself. Mail on disk is safe."),
    ),
    "STOPPED": (
        "suspended",
        gettext_lazy("Stopped"),
        gettext_lazy("Nobody can read mail, and arriving mail has to wait, until you start it."),
    ),
}


def state_words(state: str) -> tuple[str, str, str]:
    """Return the badge, the name and the meaning of a state."""
    badge, label, meaning = STATES.get(state, ("failed", state, ""))
    return badge, str(label), str(meaning)


def happened(entry: Entry) -> str:
    """Say in a sentence what happened."""
    say = _HAPPENED.get(entry.code)
    return say(entry.detail) if say else f"{entry.code} {entry.detail}".strip()


def went_wrong(trouble: Trouble) -> tuple[str, str]:
    """Say in a sentence what the log complains of, and what to do about it."""
    what, advice = _TROUBLES.get(trouble.code, _OTHER_TROUBLE)
    return str(what) % {"service": _part(trouble.service)}, str(advice)


def is_bad(entry: Entry) -> bool:
    """Say whether what happened is worth a warning sign."""
    return entry.code in {
        history.ENDED,
        history.FAILED,
        history.RELOAD_REFUSED,
        history.SUPERVISOR_KILLED,
        history.MACHINE_WENT_DOWN,
        history.LOG_KILLED,
        history.ANVIL_KILLED,
        history.MAIL_ROOT_GONE,
        history.LOG_GIVEN_UP,
    }


def _started(version: str) -> str:
    return _("Dovecot %(version)s was started and serves.") % {"version": version}


def _ended(code: str) -> str:
    return _("Dovecot ended by itself (%(how)s). It is started again by itself.") % {"how": _how_ended(code)}


def _how_ended(code: str) -> str:
    try:
        number = int(code)
    except ValueError:
        return code
    if number < 0:
        known = -number in {item.value for item in signal.Signals}
        name = signal.Signals(-number).name if known else str(-number)
        return _("killed by the signal %(signal)s") % {"signal": name}
    reasons = {
        80: _("it could not open its log"),
        81: _("it could not write its log: the disk may be full"),
        83: _("it had no memory left"),
    }
    return reasons.get(number) or _("exit code %(code)s") % {"code": number}


def _failed(reason: str) -> str:
    return _("A start failed: %(reason)s") % {"reason": in_words(reason)}


def _refused(reason: str) -> str:
    return _("A new configuration was not taken: %(reason)s") % {"reason": in_words(reason)}


def _supervisor_killed(pids: str) -> str:
    if pids:
        return _("The supervisor had been killed. The Dovecot that it left (process %(pid)s) was ended.") % {
            "pid": pids
        }
    return _("The supervisor had been killed, and Dovecot with it.")


def _mail_root_gone(reason: str) -> str:
    return _("Dovecot was stopped, because the mail folders are not there: %(reason)s") % {
        "reason": in_words(reason)
    }


def _log_given_up(detail: str) -> str:
    try:
        first, last, size = map(int, detail.split())
    except ValueError:
        first = last = size = 0
    return _(
        "Parts %(first)s to %(last)s of the log (%(size)s) were removed, because the disk had no room for them."
    ) % {"first": first, "last": last, "size": format_size(size)}


_HAPPENED: dict[str, Callable[[str], str]] = {
    history.STARTED: _started,
    history.ENDED: _ended,
    history.STOPPED: lambda _detail: _("Stopped on request."),
    history.RESTARTED: lambda _detail: _("Restarted on request."),
    history.RELOADED: lambda _detail: _("The configuration and the certificate were read again."),
    history.SHUT_DOWN: lambda _detail: _("Shut down together with its supervisor."),
    history.FAILED: _failed,
    history.RELOAD_REFUSED: _refused,
    history.SUPERVISOR_KILLED: _supervisor_killed,
    history.MACHINE_WENT_DOWN: lambda _detail: _("The machine went down while Dovecot served."),
    history.LOG_KILLED: lambda _detail: _(
        "Dovecot's log process had been killed, so Dovecot was started again. "
        "Connections of that moment may be missing in the log."
    ),
    history.ANVIL_KILLED: lambda _detail: _(
        "Dovecot's list of open connections was lost, so Dovecot was started again: "
        "without it nobody could have been disconnected."
    ),
    history.MAIL_ROOT_GONE: _mail_root_gone,
    history.LOG_GIVEN_UP: _log_given_up,
}

_OTHER_TROUBLE = (
    gettext_lazy("%(service)s reports an error."),
    gettext_lazy("Its own words are below. If it comes again and again, look them up or ask for help."),
)

_TROUBLES: dict[str, tuple[str | Promise, str | Promise]] = {
    "disk_full": (
        gettext_lazy("%(service)s found the disk full."),
        gettext_lazy(
            "Free some space. Senders try again what could not be stored; nothing that was taken is lost."
        ),
    ),
    "too_many_files": (
        gettext_lazy("%(service)s may not open more files."),
        gettext_lazy("Raise the limit of open files (LimitNOFILE in the unit) and restart the mail service."),
    ),
    "out_of_memory": (
        gettext_lazy("%(service)s ran out of memory."),
        gettext_lazy("See what else uses the memory of this machine. One connection ended; mail is safe."),
    ),
    "log_killed": (
        gettext_lazy("Dovecot's log process was killed."),
        gettext_lazy("Dovecot was started again at once. If this machine ran out of memory, give it more."),
    ),
    "killed": (
        gettext_lazy("%(service)s was killed from outside."),
        gettext_lazy(
            "Its connections ended and come back by themselves. Was it somebody, or did the machine run out of memory?"
        ),
    ),
    "crashed": (
        gettext_lazy("%(service)s crashed."),
        gettext_lazy("Its connections ended and come back by themselves. Report it if it comes again."),
    ),
    "limit_reached": (
        gettext_lazy("%(service)s has no room for more connections."),
        gettext_lazy("New connections wait or are dropped until others end. See who has so many."),
    ),
    "database": (
        gettext_lazy("%(service)s could not ask the database."),
        gettext_lazy(
            "Sign-ins of that moment failed and were told to try again. See whether the database runs."
        ),
    ),
    "certificate": (
        gettext_lazy("%(service)s could not use the certificate."),
        gettext_lazy("See the certificate on this page, and TLS_CERTIFICATE and TLS_KEY."),
    ),
    "permission": (
        gettext_lazy("%(service)s may not read or write a file."),
        gettext_lazy("The path is in its own words below: give the file back to the service account."),
    ),
    "damaged_index": (
        gettext_lazy("%(service)s found a damaged index and made it anew."),
        gettext_lazy("No message is lost. If it comes again, check the disk."),
    ),
}


def _part(service: str) -> str:
    """What people call a part of Dovecot."""
    names = {
        "imap-login": pgettext("part of Dovecot", "The IMAP sign-in"),
        "pop3-login": pgettext("part of Dovecot", "The POP sign-in"),
        "imap": pgettext("part of Dovecot", "An IMAP connection"),
        "pop3": pgettext("part of Dovecot", "A POP connection"),
        "lmtp": pgettext("part of Dovecot", "The delivery of mail"),
        "auth": pgettext("part of Dovecot", "The check of passwords"),
        "auth-worker": pgettext("part of Dovecot", "The check of passwords"),
        "master": pgettext("part of Dovecot", "Dovecot's main process"),
        "doveadm": pgettext("part of Dovecot", "The administration interface"),
    }
    return names.get(service) or pgettext("part of Dovecot", "Dovecot's part “%(name)s”") % {"name": service}
