"""Forms of the pages that set a mail program up."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from panel.addresses.device_passwords import LABEL_MAX
from panel.clients.asked import Asked, read_address
from panel.core.forms import VersionedForm


class AskedForm(forms.Form):
    """Which address is to be set up."""

    address = forms.CharField(
        label=_("Your mail address"),
        max_length=320,
        widget=forms.EmailInput(
            attrs={"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    asked: Asked

    def clean_address(self) -> str:
        """Read it; whether there is such a mailbox is not looked at."""
        asked = read_address(self.cleaned_data["address"])
        if asked is None:
            raise forms.ValidationError(
                gettext("This is not a whole mail address. Write it like anna@example.com.")
            )
        self.asked = asked
        return asked.address


class DeviceLabelForm(VersionedForm):
    """What the device is called that gets a password."""

    label = forms.CharField(
        label=_("Name of the device"),
        max_length=LABEL_MAX,
        help_text=_("So that you know it again, such as Anna’s iPhone."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, proposed: str, **kwargs: Any) -> None:
        kwargs["initial"] = {"label": proposed}
        super().__init__(*args, **kwargs)
