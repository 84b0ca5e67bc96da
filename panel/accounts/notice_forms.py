"""Forms of notices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Notice
from panel.accounts.notices import TEXT_MAX
from panel.core.forms import VersionedForm

_AS_BROWSERS_WRITE = "%Y-%m-%dT%H:%M"


class MomentField(forms.DateTimeField):
    """A day and time, in the installation's zone."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            input_formats=[_AS_BROWSERS_WRITE, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"],
            widget=forms.DateTimeInput(format=_AS_BROWSERS_WRITE, attrs={"type": "datetime-local"}),
            error_messages={"invalid": _("Write a day and a time, such as 2027-01-31 18:30.")},
            **kwargs,
        )

    def clean(self, value: Any) -> Any:
        """Return the moment.

        Raises:
            ValidationError: if it is none, or nobody can mean it.
        """
        moment: datetime | None = super().clean(value)
        # The ends of the calendar have no day beside them, in no time zone.
        if moment is not None and not 2000 <= moment.year <= 2200:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return moment


class NoticeForm(VersionedForm):
    """A notice."""

    text_en = forms.CharField(
        label=_("Text in English"),
        max_length=TEXT_MAX,
        widget=forms.Textarea(attrs={"rows": 3, "lang": "en"}),
    )
    text_fr = forms.CharField(
        label=_("Text in French"), max_length=TEXT_MAX, widget=forms.Textarea(attrs={"rows": 3, "lang": "fr"})
    )
    level = forms.ChoiceField(label=_("Kind"), choices=Notice.Level.choices, widget=forms.RadioSelect)
    audience = forms.ChoiceField(
        label=_("For whom"), choices=Notice.Audience.choices, widget=forms.RadioSelect
    )
    starts_at = MomentField(label=_("From"))
    ends_at = MomentField(label=_("Until"), required=False)

    def __init__(self, *args: Any, notice: Notice | None = None, **kwargs: Any) -> None:
        if notice is not None:
            names = ("text_en", "text_fr", "level", "audience", "starts_at", "ends_at", "version")
            kwargs["initial"] = {name: getattr(notice, name) for name in names}
        super().__init__(*args, **kwargs)
        zone = {"zone": settings.TIME_ZONE}
        self.fields["starts_at"].help_text = (
            gettext("In the time zone of this installation, %(zone)s.") % zone
        )
        self.fields["ends_at"].help_text = gettext("Empty to show it until you end it.")

    @property
    def values(self) -> dict[str, Any]:
        """What was written, as the services take it."""
        return {name: value for name, value in self.cleaned_data.items() if name != "version"}
