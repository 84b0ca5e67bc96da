"""Looking at what mailboxes hold: Dovecot is asked about those alone that changed since they were looked at.

In which state a mailbox is (panel.addresses.usage.file_state) is taken before Dovecot is asked: what changes meanwhile
is another state, and the next look asks again. Two looks at once do the same twice and harm nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from mailbackend.dovecot.doveadm import (
    Answer,
    Command,
    DoveadmError,
    MailServiceDown,
    NobodyListens,
    Quota,
    UnknownMailbox,
    raise_for,
    read_quota,
)
from panel.addresses.models import Mailbox
from panel.addresses.report import Failure
from panel.addresses.selectors import living_mailboxes
from panel.core import mail
from panel.quotas import warnings
from panel.quotas.models import MailboxLook

#: Mailboxes of one question, and seconds to wait for its answer.
TOGETHER, ANSWER_WITHIN = 50, 60.0
#: Questions that are not answered in that time, one after another: then the mail service counts as down.
SILENCES = 3


@dataclass(frozen=True)
class Change:
    """A mailbox holds something else than at the look before, or may hold something else.

    Attributes:
        mailbox: which, with `domain__customer`, and with `used_bytes` as it is now.
        used_before: what it held then, in bytes; None where it was never looked at.
        used_now: what it holds.
    """

    mailbox: Mailbox
    used_before: int | None
    used_now: int


@dataclass
class Looked:
    """What some mailboxes hold, and about which there was no answer.

    Attributes:
        quotas: what each holds, by its key.
        changes: those of them that changed, or whose quota did.
        failures: those about which there was none.
    """

    quotas: dict[int, Quota] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def take(self, other: Looked) -> None:
        """Add what another look found."""
        self.quotas |= other.quotas
        self.changes += other.changes
        self.failures += other.failures


@dataclass
class Looking:
    """Looks at mailboxes, some at a time.

    Attributes:
        now: when this is.
        keep: whether to keep what is found, instead of only saying it.
    """

    now: datetime
    keep: bool = True
    _silences: int = 0

    def look_at(self, states: Mapping[int, str]) -> Looked:
        """Ask what mailboxes hold, and keep it with the state that they were in before.

        Args:
            states: what `panel.addresses.usage.file_state` said of each, by the mailbox's key.

        Raises:
            DoveadmError: if the mail service does not run, does not answer again and again, or refuses every question.
                What was found until then is kept.
        """
        looked = Looked()
        keys = sorted(states)
        for start in range(0, len(keys), TOGETHER):
            looked.take(self._look_at_some({pk: states[pk] for pk in keys[start : start + TOGETHER]}))
        return looked

    def _look_at_some(self, states: Mapping[int, str]) -> Looked:
        mailboxes = list(living_mailboxes().filter(pk__in=states))
        looked = Looked()
        for mailbox, answer in zip(mailboxes, self._ask(mailboxes), strict=True):
            if isinstance(answer, Quota):
                looked.quotas[mailbox.pk] = answer
            elif not isinstance(answer, UnknownMailbox) or _is_there(mailbox):
                problem = f"{answer} It is asked about again at the next check."
                looked.failures.append(Failure(mailbox.address, problem, mended=False, mendable=True))
        if self.keep:
            looked.changes = _keep(states, looked.quotas, self.now)
            warnings.note_changes(
                [(each.mailbox, each.used_before, each.used_now) for each in looked.changes]
            )
        return looked

    def _ask(self, mailboxes: Sequence[Mailbox]) -> list[Quota | DoveadmError]:
        """Return what each of some mailboxes holds, or why it is not known."""
        commands = [Command("quotaGet", {"user": mailbox.address}) for mailbox in mailboxes]
        try:
            answers = mail.doveadm(timeout=ANSWER_WITHIN).batch(commands)
        except MailServiceDown as err:
            # One mailbox may take longer than all the time there is. The others are not to wait for it for ever.
            self._silences += 1
            if isinstance(err, NobodyListens) or self._silences == SILENCES:
                raise
            return [err] * len(mailboxes)
        self._silences = 0
        return [_read(answer, command) for answer, command in zip(answers, commands, strict=True)]


def _read(answer: Answer, command: Command) -> Quota | DoveadmError:
    try:
        raise_for(answer, command)
        return read_quota(answer.rows)
    except DoveadmError as err:
        return err


def _is_there(mailbox: Mailbox) -> bool:
    """Whether a mailbox still has its address: one that was deleted or renamed a moment ago is rightly unknown."""
    return living_mailboxes().filter(pk=mailbox.pk, address=mailbox.address).exists()


def _keep(states: Mapping[int, str], quotas: Mapping[int, Quota], now: datetime) -> list[Change]:
    """Save it beside the rows' versions: nobody's form is outdated by a message that arrived.

    The rows are locked first: of two looks at once, the second finds that nothing changed since the first.
    """
    if not quotas:
        return []
    with transaction.atomic():
        rows = living_mailboxes().filter(pk__in=quotas).order_by("pk")
        mailboxes = list(rows.select_for_update(of=("self",), no_key=True))
        looks = MailboxLook.objects.in_bulk([mailbox.pk for mailbox in mailboxes])
        changes = []
        for mailbox in mailboxes:
            used, look = quotas[mailbox.pk].used_bytes, looks.get(mailbox.pk)
            before = look.used_bytes if look else None
            if look is None or before != used or _quota_in(look.file_state) != _quota_in(states[mailbox.pk]):
                changes.append(Change(mailbox, before, used))
            mailbox.used_bytes, mailbox.used_at = used, timezone.now()
        Mailbox.objects.bulk_update(mailboxes, ["used_bytes", "used_at"])
        MailboxLook.objects.bulk_create(
            [
                MailboxLook(
                    mailbox=mailbox,
                    file_state=states[mailbox.pk],
                    looked_at=now,
                    used_bytes=mailbox.used_bytes,
                    messages=quotas[mailbox.pk].messages,
                )
                for mailbox in mailboxes
            ],
            update_conflicts=True,
            unique_fields=["mailbox"],
            update_fields=["file_state", "looked_at", "used_bytes", "messages"],
        )
    return changes


def _quota_in(state: str) -> str:
    return state.rpartition(":")[2]
