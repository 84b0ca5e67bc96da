"""People, customers, and who belongs to which."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _


class UserManager(BaseUserManager["User"]):
    """Finds people by e-mail, whatever its letter case."""

    def get_by_natural_key(self, username: str | None) -> User:
        """Return the person with this e-mail.

        Raises:
            User.DoesNotExist: if there is none.
        """
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser):
    """Who signs in to the panel.

    A person does by e-mail and password: an administrator belongs to the host and sees everything; anybody else
    sees what their customers have. The owner of a mailbox does by its address and its password, which the mailbox
    has and this row has not; they see that mailbox alone, and have no e-mail here: it would be the one they lost.
    """

    class Kind(models.TextChoices):
        """How they sign in."""

        PERSON = "person", _("Person")
        MAILBOX = "mailbox", _("Mailbox owner")

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERSON)
    # NULL and not '', because it is unique: there are many owners of mailboxes.
    email = models.EmailField(_("e-mail"), max_length=254, unique=True, null=True)  # noqa: DJ001
    name = models.CharField(_("name"), max_length=254, blank=True)
    language = models.CharField(_("language"), max_length=5, blank=True)
    is_admin = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    must_change_password = models.BooleanField(default=False)
    first_steps_hidden_at = models.DateTimeField(null=True)  # they closed the list of first steps
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="person", email__isnull=False)
                | models.Q(kind="mailbox", email__isnull=True, is_admin=False),
                name="person_or_mailbox",
            ),
        ]

    #: The customer that an administrator acts for at the moment: then they see and may do what its owner may.
    #: Set for one request by the middleware, never stored here.
    acting_for: Customer | None = None

    def __str__(self) -> str:
        return self.email or self.name

    @property
    def is_mailbox(self) -> bool:
        """Whether this is the owner of a mailbox, and nothing else."""
        return self.kind == self.Kind.MAILBOX

    @property
    def sign_in_name(self) -> str:
        """What they type above their password."""
        return self.email or self.name

    @cached_property
    def standing(self) -> list[Membership]:
        """Their memberships with the customers, as this request found them: each page asks for them several times."""
        return list(self.memberships.select_related("customer").order_by("customer__name", "pk"))

    @property
    def sees_all(self) -> bool:
        """Whether everything of the host is theirs to see: an administrator who acts for nobody."""
        return self.is_admin and self.acting_for is None


class Customer(models.Model):
    """Who pays: has domains, people, and limits. No limit is NULL."""

    class State(models.TextChoices):
        """Where a customer stands."""

        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")

    name = models.CharField(_("name"), max_length=100, unique=True)
    max_domains = models.PositiveIntegerField(null=True, blank=True)
    max_mailboxes = models.PositiveIntegerField(null=True, blank=True)
    max_storage_bytes = models.BigIntegerField(null=True, blank=True)
    # What its domains inherit (panel.addresses.inherited); nothing is inherited from the platform.
    default_quota_bytes = models.BigIntegerField(null=True, blank=True)
    pop_deletes = models.CharField(max_length=10, blank=True)
    pop_keep_days = models.PositiveIntegerField(null=True, blank=True)
    recovery_days = models.PositiveIntegerField(
        null=True, blank=True
    )  # how long what was deleted can be restored
    created_at = models.DateTimeField(auto_now_add=True)
    suspended_at = models.DateTimeField(null=True)
    suspended_reason = models.CharField(max_length=200, blank=True)
    version = models.PositiveIntegerField(default=1)
    members = models.ManyToManyField(User, through="Membership", related_name="customers")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.State.SUSPENDED if self.suspended_at else self.State.ACTIVE

    @property
    def state_label(self) -> str:
        """Its state in a word."""
        return str(self.state.label)


class Membership(models.Model):
    """A person's part in a customer."""

    class Role(models.TextChoices):
        """What a member may do: each may what the next may, and more."""

        #: People and limits are theirs to see, members theirs to invite and to remove.
        OWNER = "owner", _("Owner")
        #: Creates and changes domains and mailboxes.
        MANAGER = "manager", _("Manager")
        #: Sees all and changes nothing.
        READER = "reader", _("Read-only")

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "user"], name="one_membership_each")]

    def __str__(self) -> str:
        return f"{self.user} in {self.customer}"


class Invitation(models.Model):
    """An offer to become a member, by a mailed link that works once and not for ever. Only its hash is kept."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(_("e-mail"), max_length=254)
    role = models.CharField(max_length=10, choices=Membership.Role.choices)
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.email


class Attempts(models.Model):
    """How often something was tried within a window of time: one row for each key of panel.accounts.limits."""

    key = models.CharField(max_length=100, unique=True)
    count = models.PositiveIntegerField()
    # Seconds since 1970: compared in one statement that is the same on both databases.
    ends_at = models.BigIntegerField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key}: {self.count}"


class Notice(models.Model):
    """What the host tells people on top of their pages, in plain text, from a time on until another or its end."""

    class Level(models.TextChoices):
        """How grave it is."""

        INFO = "info", _("Information")
        WARNING = "warning", _("Warning")
        ERROR = "error", _("Trouble")

    class Audience(models.TextChoices):
        """Whom it is for."""

        EVERYBODY = "everybody", _("Everybody who signs in")
        CUSTOMERS = "customers", _("Customers' people")
        MAILBOXES = "mailboxes", _("Owners of mailboxes")

    class State(models.TextChoices):
        """Where it stands."""

        PLANNED = "planned", _("Planned")
        SHOWN = "shown", _("Shown")
        OVER = "over", _("Over")

    text_en = models.TextField(max_length=500)
    text_fr = models.TextField(max_length=500)
    level = models.CharField(max_length=10, choices=Level.choices, default=Level.INFO)
    audience = models.CharField(max_length=10, choices=Audience.choices, default=Audience.EVERYBODY)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-starts_at", "-id"]
        indexes = [models.Index(fields=["ends_at"], name="notice_ends")]

    def __str__(self) -> str:
        return self.text_en[:80]

    @property
    def text(self) -> str:
        """Its text in the language that is spoken."""
        return self.text_fr if (get_language() or "").startswith("fr") else self.text_en

    def state_at(self, now: datetime) -> State:
        """Where it stands at a moment."""
        if self.ends_at is not None and self.ends_at <= now:
            return self.State.OVER
        return self.State.SHOWN if self.starts_at <= now else self.State.PLANNED


class DismissedNotice(models.Model):
    """That a person has read a notice and does not want to see it again."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="dismissed")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="dismissed_notices")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "notice"], name="dismissed_once")]

    def __str__(self) -> str:
        return f"{self.notice_id} by {self.user_id}"
