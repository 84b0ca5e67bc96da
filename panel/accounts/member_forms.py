"""Forms of members and invitations."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Membership
from panel.core.forms import VersionedForm

ROLES = [
    (Membership.Role.READER.value, _("Read-only: sees all and changes nothing")),
    (Membership.Role.MANAGER.value, _("Manager: creates and changes mailboxes")),
    (Membership.Role.OWNER.value, _("Owner: invites and removes people too")),
]


class RoleForm(VersionedForm):
    """What a member may do."""

    role = forms.ChoiceField(label=_("Role"), choices=ROLES, widget=forms.RadioSelect)


class InvitationForm(RoleForm):
    """Whom to invite, and as what."""

    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text=_("They get a link by mail."),
    )
    field_order = ("email", "role")


class NewPersonForm(VersionedForm):
    """Who accepts an invitation: what to call them, and a password of their choice."""

    name = forms.CharField(
        label=_("Your name"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=1024,
        strip=False,
        help_text=_("At least eight characters, and none that others would try first."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email
