"""How long mail is kept: rules, runs that purge by them, and since when POP hides what is kept for some days."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from panel.accounts.models import Customer, User
from panel.addresses.models import Domain, Mailbox


class KeptCopy(models.Model):
    """A message of an inbox that a POP program deleted, and of which a copy is kept for some days.

    There are rows where that is what becomes of such messages, and for as long as the message lies in the inbox with
    one of POP's marks. What the days are is said by what the mailbox inherits, and not kept here.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, db_index=False, related_name="kept_copies")
    guid = models.CharField(max_length=255)  # the message, whatever becomes of the folder's index
    first_seen_at = models.DateTimeField()  # when it was first found to be hidden
    ends_from = models.DateTimeField()  # its days count from here: the later of that and its arrival

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mailbox", "guid"], name="kept_copy_once"),
        ]
        indexes = [models.Index(fields=["ends_from"], name="kept_copy_ends")]

    def __str__(self) -> str:
        return self.guid


class OfLevel(models.Model):
    """What is said for the platform (no reference), or for one customer, domain or mailbox, of one folder."""

    customer = models.ForeignKey(Customer, null=True, on_delete=models.CASCADE, related_name="+")
    domain = models.ForeignKey(Domain, null=True, on_delete=models.CASCADE, related_name="+")
    mailbox = models.ForeignKey(Mailbox, null=True, on_delete=models.CASCADE, related_name="+")
    # As Dovecot names it: INBOX, or one of the special folders, which bear their names, or any other.
    folder = models.CharField(max_length=255)
    # After how many days in the folder a message ends; NULL is never, whatever would be inherited.
    days = models.PositiveIntegerField(null=True)

    class Meta:
        abstract = True

    @property
    def level(self) -> Customer | Domain | Mailbox | None:
        """For whom it is said; None is the platform."""
        return self.customer or self.domain or self.mailbox


class RetentionRule(OfLevel):
    """After how many days messages in a folder end, from the moment they came into it. The nearest rule wins."""

    changed_at = models.DateTimeField(auto_now=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["folder"],
                condition=Q(customer=None, domain=None, mailbox=None),
                name="rule_once_platform",
            ),
            models.UniqueConstraint(
                fields=["customer", "folder"], condition=Q(customer__isnull=False), name="rule_once_customer"
            ),
            models.UniqueConstraint(
                fields=["domain", "folder"], condition=Q(domain__isnull=False), name="rule_once_domain"
            ),
            models.UniqueConstraint(
                fields=["mailbox", "folder"], condition=Q(mailbox__isnull=False), name="rule_once_mailbox"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.folder} {self.days}"


class RuleChange(OfLevel):
    """A rule that is new, or ends more than before: proposed, then confirmed, and it counts after a time to think.

    `removes` is a change that takes the level's own rule away, where what is inherited then ends more.
    """

    removes = models.BooleanField(default=False)
    asked_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    asked_at = models.DateTimeField(auto_now_add=True)
    # From when on it counts. Its preview counts days back from here, and so does its first run: the same messages.
    starts_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)  # when it became the rule

    class Meta:
        indexes = [
            models.Index(
                fields=["starts_at"],
                condition=Q(confirmed_at__isnull=False, cancelled_at=None, done_at=None),
                name="rule_change_waiting",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.folder} {self.days}"


class PurgeRun(models.Model):
    """One run of the rules: first it counts what is due (a preview), then it purges just that.

    All of it counts days back from `now`, which is stored, so that a run that is resumed goes on as it began.
    """

    class Kind(models.TextChoices):
        """Why it runs."""

        NIGHTLY = "nightly", _("Each night")
        CHANGE = "change", _("A rule that was changed")
        ASKED = "asked", _("Asked for")

    class State(models.TextChoices):
        """Where it stands."""

        COUNTING = "counting", _("Counting")
        COUNTED = "counted", _("Counted")
        PURGING = "purging", _("Purging")
        STOPPED = "stopped", _("Stopped: it asks")
        DONE = "done", pgettext_lazy("purge", "Done")
        CANCELLED = "cancelled", pgettext_lazy("purge", "Cancelled")

    #: States that nothing follows after.
    OVER = (State.DONE, State.CANCELLED)

    kind = models.CharField(max_length=10, choices=Kind.choices)
    change = models.ForeignKey(RuleChange, null=True, on_delete=models.SET_NULL, related_name="runs")
    now = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.COUNTING)
    stopped_because = models.TextField(blank=True)
    worker = models.CharField(max_length=200, blank=True)  # the process that counts or purges now
    seen_at = models.DateTimeField(null=True)  # when it said so last
    allowed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    counted_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(auto_now=True)
    after = models.BigIntegerField(default=0)  # the mailbox that was counted last
    # What was counted, and what was purged of it.
    looked_at = models.PositiveIntegerField(default=0)
    mailboxes = models.PositiveIntegerField(default=0)
    messages = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    oldest = models.DateTimeField(null=True)
    newest = models.DateTimeField(null=True)
    purged_mailboxes = models.PositiveIntegerField(default=0)
    purged_messages = models.BigIntegerField(default=0)
    purged_bytes = models.BigIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "-id"], name="purge_run_state")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def is_counting(self) -> bool:
        """Whether it is not known yet how much is due."""
        return self.state == self.State.COUNTING

    @property
    def is_over(self) -> bool:
        """Whether nothing follows any more."""
        return self.state in self.OVER

    @property
    def goes_on(self) -> bool:
        """Whether it changes by itself at this moment."""
        return self.state in (self.State.COUNTING, self.State.PURGING)


class PurgeItem(models.Model):
    """What a run found due in one folder of a mailbox, by which rule, and what became of it."""

    class State(models.TextChoices):
        """Where it stands."""

        WAITING = "waiting", _("Waiting")
        DONE = "done", pgettext_lazy("purge", "Done")
        FAILED = "failed", _("Failed")
        LEFT = "left", _("Left alone")

    run = models.ForeignKey(PurgeRun, on_delete=models.CASCADE, db_index=False, related_name="items")
    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="purge_items")
    folder = models.CharField(max_length=255)
    rule = models.CharField(max_length=500)  # in words for the trail: whose rule, how many days
    cutoff = models.DateTimeField()  # what came into the folder before this is due
    messages = models.BigIntegerField()
    bytes = models.BigIntegerField()
    oldest = models.DateTimeField(null=True)
    newest = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    purged_messages = models.BigIntegerField(default=0)
    purged_bytes = models.BigIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True)  # when it is tried again
    error = models.TextField(blank=True)
    # Whether a run is at work in the mailbox for it, and UID and size of what is about to go: a run that is killed
    # then finds out what went.
    busy = models.BooleanField(default=False)
    in_flight = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "mailbox", "folder"], name="purge_item_once"),
            # No two runs are at work in one mailbox at once.
            models.UniqueConstraint(fields=["mailbox"], condition=Q(busy=True), name="purge_busy_once"),
        ]
        indexes = [models.Index(fields=["run", "state", "mailbox"], name="purge_item_state")]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.folder}"
