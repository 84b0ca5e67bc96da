"""Forms of device passwords."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from panel.addresses.device_passwords import LABEL_MAX
from panel.addresses.models import DevicePassword, Mailbox
from panel.core.clock import FIRST_YEAR, LAST_YEAR
from panel.core.forms import VersionedForm

OWN, SHARED = "own", "shared"


class DeviceForm(VersionedForm):
    """What a device password is called, what it opens, and until when."""

    label = forms.CharField(
        label=_("Name of the device"),
        max_length=LABEL_MAX,
        help_text=_("So that you know it again, such as Office PC."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    imap = forms.BooleanField(
        label=_("IMAP"), required=False, help_text=_("Every device shows the same mailbox. Recommended.")
    )
    pop3 = forms.BooleanField(
        label=_("POP"), required=False, help_text=_("Downloads messages to one device.")
    )
    last_day = forms.DateField(
        label=_("Works until the end of"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
        help_text=_("Leave it empty if it is to work until you revoke it."),
    )

    def __init__(self, *args: Any, mailbox: Mailbox, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("imap", "pop3"):
            if name not in mailbox.protocols:
                self.fields[name].help_text = gettext(
                    "Switched off for this mailbox: this counts once it is on again."
                )

    def clean_last_day(self) -> Any:
        """Check that it is a day that has an end in every time zone."""
        day = self.cleaned_data["last_day"]
        if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise forms.ValidationError(gettext("Choose a day that is still to come."))
        return day

    @property
    def expires_at(self) -> datetime | None:
        """Until when it is to work: the end of the day that was chosen."""
        day = self.cleaned_data["last_day"]
        if day is None:
            return None
        return timezone.make_aware(datetime.combine(day + timedelta(days=1), time.min))


class CreateDeviceForm(DeviceForm):
    """A new device password, and what it sees over POP."""

    view = forms.ChoiceField(
        label=_("What it is offered over POP"),
        choices=[
            (OWN, _("A view of its own: it is offered every message, whatever other devices have fetched.")),
            (
                SHARED,
                _(
                    "The shared view: what another device on this view has deleted, it is not offered any more."
                ),
            ),
        ],
        widget=forms.RadioSelect,
    )
    continues_main = forms.BooleanField(
        label=_("This device used the mailbox's own password so far"),
        required=False,
        help_text=_(
            "Then it goes on where it was, and does not download again what it has deleted. Counts with a view of "
            "its own."
        ),
    )

    def __init__(self, *args: Any, mailbox: Mailbox, free: int, **kwargs: Any) -> None:
        on = mailbox.protocols
        kwargs["initial"] = {
            "imap": "imap" in on,
            "pop3": "pop3" in on and "imap" not in on,
            "view": OWN if free else SHARED,
        }
        super().__init__(*args, mailbox=mailbox, **kwargs)


class EditDeviceForm(DeviceForm):
    """A device password that there is."""

    def __init__(self, *args: Any, device: DevicePassword, **kwargs: Any) -> None:
        ends = device.expires_at
        kwargs["initial"] = {
            "label": device.label,
            "imap": device.imap,
            "pop3": device.pop3,
            "last_day": timezone.localtime(ends - timedelta(seconds=1)).date() if ends else None,
        }
        super().__init__(*args, mailbox=device.mailbox, **kwargs)
