"""When mailboxes were looked at, what they held day by day, and what was told of that."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from panel.accounts.models import Customer
from panel.addresses.models import Mailbox


class MailboxLook(models.Model):
    """The last look at what a mailbox holds: in which state its files were then.

    Dovecot touches one file of a mailbox whenever what it holds changes: where that is as it was, nothing is asked.
    """

    mailbox = models.OneToOneField(Mailbox, primary_key=True, on_delete=models.CASCADE, related_name="look")
    file_state = models.CharField(max_length=80)  # taken before Dovecot was asked
    looked_at = models.DateTimeField()
    # When what Dovecot says was last compared with the files themselves; NULL is never.
    compared_at = models.DateTimeField(null=True)
    # As Dovecot said at that look; what Mailbox says may be younger, from a page that asked.
    used_bytes = models.BigIntegerField(null=True)
    messages = models.BigIntegerField(null=True)

    class Meta:
        indexes = [models.Index(fields=["compared_at"], name="look_compared")]

    def __str__(self) -> str:
        return self.file_state


class UsageSample(models.Model):
    """What a mailbox held at the end of a day. A day without a row is as the one before."""

    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.CASCADE, db_index=False, related_name="usage_samples"
    )
    day = models.DateField()
    used_bytes = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["mailbox", "day"], name="usage_sample_once")]
        indexes = [models.Index(fields=["day"], name="usage_sample_day")]

    def __str__(self) -> str:
        return f"{self.day}"


class UsageTotal(models.Model):
    """What all mailboxes of a customer held at the end of a day; without a customer, of the platform."""

    customer = models.ForeignKey(
        Customer, null=True, on_delete=models.CASCADE, db_index=False, related_name="usage_totals"
    )
    day = models.DateField()
    mailboxes = models.PositiveIntegerField()
    used_bytes = models.BigIntegerField()
    given_bytes = models.BigIntegerField()  # the quotas of those that have one

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "day"], name="usage_total_once"),
            models.UniqueConstraint(
                fields=["day"], condition=Q(customer=None), name="usage_total_of_platform"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}"


class QuotaWarning(models.Model):
    """That a mailbox crossed a line, and whom that was told. It is over when the mailbox is below the line again."""

    class Kind(models.TextChoices):
        """What was crossed."""

        PERCENT = "percent"
        SOON = "soon"  # it will be full within some days, at its pace

    mailbox = models.ForeignKey(
        Mailbox, on_delete=models.CASCADE, db_index=False, related_name="quota_warnings"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    percent = models.PositiveSmallIntegerField(default=0)  # the line; 0 for SOON
    crossed_at = models.DateTimeField()
    used_bytes = models.BigIntegerField()
    quota_bytes = models.BigIntegerField()
    full_on = models.DateField(null=True)  # for SOON
    owner_told_at = models.DateTimeField(null=True)
    # Since when a job is telling the customer's people, which takes a mail server's time.
    customer_claimed_at = models.DateTimeField(null=True)
    customer_told_at = models.DateTimeField(null=True)
    over_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # Two checks at once warn once.
            models.UniqueConstraint(
                fields=["mailbox", "kind", "percent"], condition=Q(over_at=None), name="quota_warning_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["crossed_at"],
                condition=Q(owner_told_at=None, over_at=None),
                name="quota_warning_to_tell",
            ),
            models.Index(
                fields=["crossed_at"],
                condition=Q(customer_told_at=None, over_at=None),
                name="quota_warning_to_mail",
            ),
            models.Index(fields=["over_at"], name="quota_warning_over"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.percent}"
