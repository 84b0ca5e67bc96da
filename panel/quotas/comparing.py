"""Comparing what is known of a mailbox with what Dovecot says of it and with the files themselves.

Dovecot counts sizes as messages come and go. Files that came or went without it, as when a backup was copied back with
its times, leave its count wrong: then it counts anew. The recoverable mail does not count, here as there.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from mailbackend import maildir
from mailbackend.dovecot.doveadm import DoveadmError, NobodyListens, Quota, UnknownMailbox
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure
from panel.core import mail

#: Seconds to wait for Dovecot's answer, and until it has counted anew.
ANSWER_WITHIN, COUNTED_WITHIN = 30.0, 600.0
#: How often a mailbox that changes meanwhile is looked at before it is left for another time.
ATTEMPTS = 3
#: Dovecot says sizes in whole KiB.
_WHOLE = 1024


@dataclass(frozen=True)
class _Seen:
    """What Dovecot says, and what the files say, in one moment."""

    said: Quota
    held: maildir.Usage

    @property
    def agrees(self) -> bool:
        """Whether they say the same, as far as both are exact."""
        least = self.held.used_bytes - _WHOLE
        most = self.held.used_bytes + self.held.inexact_bytes + _WHOLE
        return self.said.messages == self.held.messages and least <= self.said.used_bytes <= most

    @property
    def in_words(self) -> str:
        """What both say."""
        return (
            f"Dovecot counted {self.said.messages} messages and {self.said.used_bytes} bytes, "
            f"its files are {self.held.messages} messages and {self.held.used_bytes} bytes."
        )


def compare(mailbox: Mailbox, said: Quota, *, mend: bool) -> Failure | None:
    """Compare what Dovecot says of a mailbox with its files, and have it count anew where they differ.

    Args:
        mailbox: which; its home is there.
        said: what Dovecot said of it a moment ago.
        mend: whether to have it count anew, instead of only saying that they differ.

    Returns:
        what was found, if they differ and nothing came or went meanwhile.

    Raises:
        NobodyListens: if the mail service does not run.
        OSError: if the files cannot be looked at.
    """
    if _Seen(said, _measured(mailbox)).agrees:
        return None
    try:
        seen = _steady(mailbox)
        if seen is None or seen.agrees:
            return None
        if not mend:
            return Failure(mailbox.address, seen.in_words, mended=False, mendable=True)
        mail.doveadm(timeout=COUNTED_WITHIN).recalculate(mailbox.address)
        after = _steady(mailbox)
    except (NobodyListens, UnknownMailbox):
        raise
    except DoveadmError as err:
        return Failure(mailbox.address, f"{err} It is compared again later.", mended=False, mendable=True)
    if after is None or after.agrees:
        return Failure(mailbox.address, f"{seen.in_words} It has counted anew.", mended=True, mendable=True)
    problem = f"{after.in_words} It counted anew and still says so: see its log."
    return Failure(mailbox.address, problem, mended=False, mendable=False)


def _steady(mailbox: Mailbox) -> _Seen | None:
    """Return what is said and held, once both say it twice if they differ; None where they change all the time."""
    before = None
    for _attempt in range(ATTEMPTS):
        seen = _look(mailbox)
        if seen.agrees or seen == before:
            return seen
        before = seen
    return None


def _look(mailbox: Mailbox) -> _Seen:
    said = mail.doveadm(timeout=ANSWER_WITHIN).quota(mailbox.address)
    return _Seen(said, _measured(mailbox))


def _measured(mailbox: Mailbox) -> maildir.Usage:
    return maildir.measure(settings.DATA_DIR.mail, mailbox.home_path)
