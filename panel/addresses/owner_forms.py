"""Forms in which a mailbox's owner chooses its password."""

from __future__ import annotations

from typing import Any

from allauth.core import context
from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from panel.accounts import signing_in
from panel.accounts.forms import PASSWORD_MAX
from panel.accounts.models import User
from panel.addresses.forms import MailboxPasswordField, MailboxPasswordForm


class ChoosePasswordForm(MailboxPasswordForm):
    """The new password twice."""

    password_again = MailboxPasswordField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].label = _("New password")
        self.fields["password_again"].label = _("New password again")

    def clean(self) -> dict[str, Any]:
        """Check that it was typed as meant."""
        values = super().clean() or self.cleaned_data
        if "password" in values and values["password"] != values.get("password_again"):
            self.add_error(
                "password_again", gettext("The two are not the same. Type the new password again.")
            )
        return values


class OwnMailboxPasswordForm(ChoosePasswordForm):
    """The current password, and the new one twice."""

    old_password = forms.CharField(
        label=_("Current password"),
        strip=False,
        max_length=PASSWORD_MAX,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    field_order = ["version", "old_password", "password", "password_again"]

    def __init__(self, *args: Any, owner: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner

    def clean(self) -> dict[str, Any]:
        """Check the current password last, within the limits of confirming who somebody is: it costs a hash.

        Raises:
            TooMany: if this was tried too often; nothing was computed.
            Busy: if too many passwords are being checked.
        """
        values = super().clean()
        if self.errors:
            return values
        if values["password"] == values["old_password"]:
            self.add_error("password", gettext("This is the password that you have now. Choose another."))
        elif not signing_in.confirm_password(context.request, self.owner, values["old_password"]):
            self.add_error("old_password", gettext("This is not your password. Capital letters matter."))
        return values
