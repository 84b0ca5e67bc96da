"""Forms of customers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Customer
from panel.core.forms import SizeField, VersionedForm

INVITE, PASSWORD = "invite", "password"


class CustomerForm(VersionedForm):
    """A customer's name and limits."""

    name = forms.CharField(label=_("Name"), max_length=100)
    max_domains = forms.IntegerField(
        label=_("Domains at most"), required=False, min_value=0, help_text=_("Empty for any number.")
    )
    max_mailboxes = forms.IntegerField(
        label=_("Mailboxes at most"), required=False, min_value=0, help_text=_("Empty for any number.")
    )
    max_storage_bytes = SizeField(
        label=_("Storage at most"),
        help_text=_("The quotas of its mailboxes in all, such as 100 GB. Empty for no limit."),
    )

    def __init__(self, *args: Any, customer: Customer | None = None, **kwargs: Any) -> None:
        if customer is not None:
            names = ("name", "max_domains", "max_mailboxes", "max_storage_bytes", "version")
            kwargs["initial"] = {name: getattr(customer, name) for name in names}
        super().__init__(*args, **kwargs)

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits that were written."""
        return {
            name: self.cleaned_data[name] for name in ("max_domains", "max_mailboxes", "max_storage_bytes")
        }


class NewCustomerForm(CustomerForm):
    """A new customer, and who owns it."""

    owner_email = forms.EmailField(
        label=_("Owner's e-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    how = forms.ChoiceField(
        label=_("How the owner comes in"),
        choices=[
            (INVITE, _("By an invitation that is mailed to them")),
            (PASSWORD, _("With a password that you give them")),
        ],
        initial=INVITE,
    )
    owner_password = forms.CharField(
        label=_("Owner's password"),
        max_length=1024,
        strip=False,
        required=False,
        help_text=_("Only without an invitation, and only for a person who is new here."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    field_order = ("name", "owner_email", "how", "owner_password")

    @property
    def password(self) -> str | None:
        """The password that was given, or None for an invitation."""
        return None if self.cleaned_data["how"] == INVITE else self.cleaned_data["owner_password"]
