"""What forms of all parts share."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext

from panel.core.errors import Problem
from panel.core.sizes import parse_size, written_size


class VersionedForm(forms.Form):
    """A form that knows which state of the row it was shown for."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def add_problem(self, problem: Problem) -> None:
        """Show what a service refused, at the field that it is about."""
        self.add_error(problem.field if problem.field in self.fields else None, str(problem))


class SizeField(forms.CharField):
    """A size as people write it. Cleans to bytes, or None where nothing was written."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=20, required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Return what the field shows for stored bytes."""
        return written_size(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        """Return the bytes that were written, or None.

        Raises:
            ValidationError: if it is no size.
        """
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_size(text)
        except ValueError as err:
            raise forms.ValidationError(str(err)) from err


class ReasonForm(VersionedForm):
    """Why something is suspended."""

    reason = forms.CharField(max_length=200, required=False)

    def __init__(self, *args: Any, help_text: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = gettext("Reason")
        self.fields["reason"].help_text = help_text or gettext(
            "For you and your colleagues, such as: invoice 1234 unpaid."
        )


class ConfirmForm(VersionedForm):
    """Type the name of what will be lost."""

    confirm = forms.CharField(
        max_length=254,
        widget=forms.TextInput(
            attrs={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, expected: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected
        self.fields["confirm"].label = gettext("Type %(name)s to confirm") % {"name": expected[0]}

    def clean_confirm(self) -> str:
        """Check that it is the name, in any letter case."""
        typed: str = self.cleaned_data["confirm"].strip().lower()
        if typed not in {name.lower() for name in self.expected}:
            raise forms.ValidationError(gettext("This is not %(name)s.") % {"name": self.expected[0]})
        return typed
