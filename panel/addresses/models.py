"""Domains and mailboxes."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from django.db import models
from django.db.models import Q
from django.db.models.functions import NullIf
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mailbackend.addresses import Address, domain_for_people
from panel.accounts.models import Customer, User
from panel.addresses.proof import Outcome, record_name, record_value


class Domain(models.Model):
    """A domain whose addresses are hosted here. Stored in its ASCII form (RFC 5890), shown in its own letters."""

    class State(models.TextChoices):
        """Where a domain stands."""

        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        DELETED = "deleted", _("Deleted")

    name = models.CharField(_("domain"), max_length=253)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="domains")
    # What its mailboxes inherit (panel.addresses.inherited); nothing is inherited from the customer.
    default_quota_bytes = models.BigIntegerField(null=True, blank=True)
    # What the quotas of its mailboxes may be in all; beside it the customer's own limit counts.
    max_storage_bytes = models.BigIntegerField(null=True, blank=True)
    pop_deletes = models.CharField(max_length=10, blank=True)
    pop_keep_days = models.PositiveIntegerField(null=True, blank=True)
    recovery_days = models.PositiveIntegerField(null=True, blank=True)
    # Off here is off for each of its mailboxes, whatever they say themselves.
    imap = models.BooleanField(default=True)
    pop3 = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    suspended_at = models.DateTimeField(null=True)
    suspended_reason = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True)
    purging_at = models.DateTimeField(null=True)  # from then on nothing brings it back
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(deleted_at=None), name="domain_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def unicode_name(self) -> str:
        """The name as people write it."""
        return domain_for_people(self.name)

    @property
    def state(self) -> State:
        """Where it stands. A suspended customer suspends its domains."""
        if self.deleted_at:
            return self.State.DELETED
        return self.State.SUSPENDED if self.is_suspended else self.State.ACTIVE

    @property
    def is_suspended(self) -> bool:
        """Whether nobody on it can sign in: it is suspended itself, or its customer."""
        return bool(self.suspended_at or self.customer.suspended_at)

    @property
    def state_label(self) -> str:
        """Its state in a word."""
        return str(self.state.label)


def _new_token() -> str:
    return secrets.token_hex(16)


class Mailbox(models.Model):
    """An address with messages of its own.

    It exists when row, home and login agree: the row is saved first, the home is built, then `provisioned_at`
    makes the login appear in the views. A crash in between leaves a row without it, which checkmail completes.
    """

    class State(models.TextChoices):
        """Where a mailbox stands."""

        CREATING = "creating", _("Being created")
        ACTIVE = "active", pgettext_lazy("mailbox", "Active")
        SUSPENDED = "suspended", pgettext_lazy("mailbox", "Suspended")
        DELETED = "deleted", pgettext_lazy("mailbox", "Deleted")

    class PopDeletes(models.TextChoices):
        """What happens to a message that a POP program deletes."""

        KEEP_DAYS = "keep_days", _("Keep a copy for some days")
        KEEP = "keep", _("Keep until deleted over IMAP")
        DELETE = "delete", _("Delete at once, as the program asks")

    # Without an index of its own, which SQLite would take instead of `mailbox_listed`.
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="mailboxes", db_index=False)
    local_part = models.CharField(_("address"), max_length=64)
    address = models.CharField(max_length=254)
    display_name = models.CharField(_("name"), max_length=100, blank=True)
    password = models.CharField(max_length=255)
    # Whom its owner is in the panel, from their first sign-in on.
    user = models.OneToOneField(User, null=True, on_delete=models.SET_NULL, related_name="mailbox")
    quota_bytes = models.BigIntegerField(_("quota"), null=True, blank=True)
    imap = models.BooleanField(default=True)
    pop3 = models.BooleanField(default=True)
    # Whether mail programs need a device password: the main one then opens the panel only.
    device_required = models.BooleanField(default=False)
    # Empty is inherited (panel.addresses.inherited), in the view that Dovecot reads too.
    pop_deletes = models.CharField(max_length=10, choices=PopDeletes.choices, blank=True)
    pop_keep_days = models.PositiveIntegerField(null=True, blank=True)
    recovery_days = models.PositiveIntegerField(null=True, blank=True)  # NULL is inherited
    home = models.CharField(max_length=400, blank=True)
    home_token = models.CharField(max_length=32, default=_new_token)
    created_at = models.DateTimeField(auto_now_add=True)
    provisioned_at = models.DateTimeField(null=True)
    suspended_at = models.DateTimeField(null=True)
    suspended_reason = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True)
    purging_at = models.DateTimeField(null=True)  # from then on nothing brings it back
    # Legal hold: while it is set nothing of the mailbox ends, whatever the rules say; who set it is in the audit trail.
    held_at = models.DateTimeField(null=True)
    hold_reason = models.CharField(max_length=200, blank=True)
    used_bytes = models.BigIntegerField(null=True)  # as Dovecot said last; None before it was asked
    used_at = models.DateTimeField(null=True)  # when it said so
    # How full it is in percent, for the index; NULL where that is not known or there is no limit.
    fullness = models.GeneratedField(
        expression=models.F("used_bytes") * 100 / NullIf(models.F("quota_bytes"), 0),
        output_field=models.BigIntegerField(null=True),
        db_persist=True,
    )
    last_seen_at = models.DateTimeField(null=True)  # last connection, written by the connection log
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["address"]
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "local_part"], condition=Q(deleted_at=None), name="address_once"
            ),
        ]
        indexes = [
            # All that lists filter, search and sort by, so that they read an index and not the rows, which are much
            # wider: of everybody in the order of addresses, and of some domains.
            models.Index(
                fields=["address", "domain", "display_name", "suspended_at", "provisioned_at", "deleted_at"],
                name="mailbox_address",
            ),
            models.Index(fields=["used_bytes"], name="mailbox_used"),
            # Few are held: they are found without looking at the others.
            models.Index(fields=["held_at"], condition=Q(held_at__isnull=False), name="mailbox_held"),
            models.Index(
                fields=[
                    "domain",
                    "address",
                    "display_name",
                    "used_bytes",
                    "suspended_at",
                    "provisioned_at",
                    "deleted_at",
                ],
                name="mailbox_listed",
            ),
            models.Index(fields=["domain", "fullness"], name="mailbox_fullness"),
            # The few that are deleted: their list does not go through the others.
            models.Index(fields=["address"], condition=Q(deleted_at__isnull=False), name="mailbox_deleted"),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def display_address(self) -> str:
        """The address with its domain as people write it."""
        return Address(self.local_part, self.domain.name).for_people

    @property
    def home_path(self) -> PurePosixPath:
        """Its home, relative to the mail root."""
        return PurePosixPath(self.home)

    @property
    def state(self) -> State:
        """Where it stands. A suspended domain or customer suspends its mailboxes, a deleted domain deletes them."""
        if self.deleted_at or self.domain.deleted_at:
            return self.State.DELETED
        if not self.provisioned_at:
            return self.State.CREATING
        return self.State.SUSPENDED if self.suspended_at or self.domain.is_suspended else self.State.ACTIVE

    @property
    def state_label(self) -> str:
        """Its state in a word."""
        return str(self.state.label)

    @property
    def protocols(self) -> list[str]:
        """The protocols that are on, as Dovecot names them: those of the domain that are not switched off here."""
        domain = self.domain
        return [
            name
            for name, on in (("imap", self.imap and domain.imap), ("pop3", self.pop3 and domain.pop3))
            if on
        ]


class DevicePassword(models.Model):
    """A password of one device: a second way into a mailbox, with its own view of the inbox over POP.

    Its row stays when it is revoked or has expired: a device that still tries it is told why it is refused.
    """

    class State(models.TextChoices):
        """Where a device password stands."""

        ACTIVE = "active", pgettext_lazy("device password", "Active")
        EXPIRED = "expired", pgettext_lazy("device password", "Expired")
        REVOKED = "revoked", pgettext_lazy("device password", "Revoked")

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="device_passwords")
    label = models.CharField(_("name"), max_length=60)
    # SHA-256 of pepper and password, in hexadecimal: the password is random, so that a slow hash adds nothing, and
    # Dovecot finds the row by it.
    secret_hash = models.CharField(max_length=64, unique=True)
    pepper = models.PositiveSmallIntegerField(default=1)  # the number of the pepper's file
    imap = models.BooleanField(default=True)
    pop3 = models.BooleanField(default=True)
    # Which of the mailbox's POP marks are its own ($Pop1 …), until they are cleaned after it was revoked; NULL is the
    # view of the inbox that it shares with the main password.
    slot = models.PositiveSmallIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    # When its sessions were ended after it had expired; NULL while that is to be done.
    expiry_done_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    # Written by the connection log.
    last_used_at = models.DateTimeField(null=True)
    last_used_ip = models.CharField(max_length=45, blank=True)
    last_used_protocol = models.CharField(max_length=4, blank=True)

    class Meta:
        ordering = ["label", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "label"], condition=Q(revoked_at=None), name="device_label_once"
            ),
            models.UniqueConstraint(
                fields=["mailbox", "slot"], condition=Q(slot__isnull=False), name="device_slot_once"
            ),
        ]
        indexes = [
            # The few that will expire, and those whose slots are to be cleaned: both are looked for again and again.
            models.Index(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False, revoked_at=None, expiry_done_at=None),
                name="device_expiring",
            ),
            models.Index(
                fields=["revoked_at"],
                condition=Q(revoked_at__isnull=False, slot__isnull=False),
                name="device_draining",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.revoked_at:
            return self.State.REVOKED
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.State.EXPIRED if expired else self.State.ACTIVE

    @property
    def state_label(self) -> str:
        """Its state in a word."""
        return str(self.state.label)

    @property
    def works_until(self) -> datetime | None:
        """The last second of its time, which people take for the day that they chose; None is for ever."""
        return self.expires_at - timedelta(seconds=1) if self.expires_at else None

    @property
    def protocols(self) -> list[str]:
        """The protocols that it opens, as Dovecot names them, where the mailbox has them on too."""
        return [name for name, on in (("imap", self.imap), ("pop3", self.pop3)) if on]


class PurgedMailbox(models.Model):
    """That a mailbox was purged: whatever comes to lie at its home's path later is its own late mail.

    Neither its id nor its home is ever used again.
    """

    mailbox_id = models.BigIntegerField(primary_key=True)
    home = models.CharField(max_length=400)
    home_token = models.CharField(max_length=32)
    purged_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["purged_at"], name="purged_when")]

    def __str__(self) -> str:
        return self.home

    @property
    def home_path(self) -> PurePosixPath:
        """Its home, relative to the mail root."""
        return PurePosixPath(self.home)


class PasswordLink(models.Model):
    """A link by which a mailbox's owner chooses its password, once. Only its hash is kept."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="password_links")
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"for {self.mailbox}"


class DomainClaim(models.Model):
    """A customer's claim of a domain, until a record in its DNS proves it: then there is a Domain, and this is gone.

    Several customers may claim one name; who proves it first has it. The token is no secret: it stands in the DNS.
    """

    class State(models.TextChoices):
        """Where a claim stands."""

        WAITING = "waiting", _("Waits for its record")
        EXPIRED = "expired", _("Not looked for any more")
        TAKEN = "taken", _("Hosted here already")

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="domain_claims")
    name = models.CharField(_("domain"), max_length=253)
    token = models.CharField(max_length=32, default=_new_token)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    asked_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField()  # when it is looked for again by itself
    last_result = models.CharField(max_length=20, choices=Outcome.choices, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["customer", "name"], name="claim_once")]
        indexes = [models.Index(fields=["next_at"], name="claim_next")]

    def __str__(self) -> str:
        return self.name

    @property
    def unicode_name(self) -> str:
        """The name as people write it."""
        return domain_for_people(self.name)

    @property
    def record_name(self) -> str:
        """The name of the record that proves it."""
        return record_name(self.name)

    @property
    def is_short(self) -> bool:
        """Whether it is a name under a top-level domain: what stands before it is then all that some forms want."""
        return self.name.count(".") == 1

    @property
    def record_value(self) -> str:
        """What that record must hold."""
        return record_value(self.token)

    @property
    def state(self) -> State:
        """Where it stands, as `panel.addresses.claims.claims_for` gives it: that asks whether it is `hosted`."""
        if getattr(self, "hosted", False):
            return self.State.TAKEN
        return self.State.EXPIRED if self.expires_at <= timezone.now() else self.State.WAITING

    @property
    def state_label(self) -> str:
        """Its state in a word."""
        return str(self.state.label)
