"""People, customers, and who belongs to which."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
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
    """A person who signs in to the panel by e-mail and password.

    An administrator belongs to the host and sees everything; anybody else sees what their customers have.
    """

    email = models.EmailField(_("e-mail"), max_length=254, unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True)
    is_admin = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    must_change_password = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    def __str__(self) -> str:
        return self.email


class Customer(models.Model):
    """Who pays: has domains, people, and limits. No limit is NULL."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    max_mailboxes = models.PositiveIntegerField(null=True, blank=True)
    max_storage_bytes = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(User, through="Membership", related_name="customers")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's part in a customer."""

    class Role(models.TextChoices):
        """What a member may do."""

        OWNER = "owner", _("Owner")

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "user"], name="one_membership_each")]

    def __str__(self) -> str:
        return f"{self.user} in {self.customer}"
