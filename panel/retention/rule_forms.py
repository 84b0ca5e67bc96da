"""Forms of rules of retention, of their confirmation, and of how long deleted messages can be recovered."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from panel.core.forms import VersionedForm
from panel.retention.changing import DAYS_MAX, DAYS_MIN, FOLDER_MAX, Figures
from panel.retention.rules import ROLES, Effective, folder_name

OTHER = "other"
DAYS, NEVER, INHERIT = "days", "never", "inherit"
#: The largest number that a column of messages or bytes holds.
_LARGEST = 2**63 - 1


class RuleForm(VersionedForm):
    """After how many days messages in a folder end."""

    folder = forms.ChoiceField(label=_("Folder"))
    other = forms.CharField(
        label=_("Name of the other folder"),
        max_length=FOLDER_MAX,
        required=False,
        help_text=_(
            "As mail programs show it; a folder in a folder with a slash: Projects/2024. Counts for folders in it too."
        ),
        widget=forms.TextInput(
            attrs={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    ends = forms.ChoiceField(label=_("Messages in it"), widget=forms.RadioSelect)
    days = forms.IntegerField(
        label=_("Days that a message is kept"),
        min_value=DAYS_MIN,
        max_value=DAYS_MAX,
        required=False,
        help_text=_("Counted from when it came into the folder, to the second."),
    )

    def __init__(
        self, *args: Any, folder: str, own: Effective | None, above: Effective | None, **kwargs: Any
    ) -> None:
        """Ask about one folder, or about any where `folder` is empty.

        Args:
            args, kwargs: Django's.
            folder: which, as Dovecot names it.
            own: the level's own rule of it.
            above: what would count without it.
        """
        initial: dict[str, Any] = {"folder": folder or "Trash", "ends": DAYS}
        if own is not None:
            initial |= {"ends": NEVER if own.days is None else DAYS, "days": own.days}
        if folder:
            initial["version"] = own.rule.version if own is not None else 0
        super().__init__(*args, **{**kwargs, "initial": initial})
        choices = [(DAYS, gettext("end after some days")), (NEVER, gettext("never end by a rule"))]
        if own is not None:
            choices.append((INHERIT, self._as_inherited(above)))
        ends = self.fields["ends"]
        assert isinstance(ends, forms.ChoiceField)
        ends.choices = choices
        if folder:
            self.fields["folder"] = forms.CharField(max_length=FOLDER_MAX, widget=forms.HiddenInput)
            del self.fields["other"]
            return
        field = self.fields["folder"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [*((role, folder_name(role)) for role in ROLES), (OTHER, gettext("Another folder"))]

    def clean(self) -> dict[str, Any]:
        """Ask for what belongs to the choices."""
        values = super().clean() or self.cleaned_data
        if values.get("ends") == DAYS and "days" not in self.errors and values.get("days") is None:
            self.add_error("days", gettext("Say after how many days."))
        if values.get("folder") == OTHER and "other" in self.fields and not values.get("other"):
            self.add_error("other", gettext("Say which folder."))
        return values

    @property
    def chosen_folder(self) -> str:
        """The folder that was chosen or written."""
        folder: str = self.cleaned_data["folder"]
        if "other" in self.fields and folder == OTHER:
            return str(self.cleaned_data["other"])
        return folder

    @property
    def chosen_days(self) -> int | None:
        """After how many days messages end; None is never, or what is inherited."""
        return self.cleaned_data["days"] if self.cleaned_data["ends"] == DAYS else None

    @property
    def inherits(self) -> bool:
        """Whether the level is to say nothing of the folder any more."""
        return bool(self.cleaned_data["ends"] == INHERIT)

    @staticmethod
    def _as_inherited(above: Effective | None) -> str:
        if above is None:
            return gettext("no rule here any more; then they do not end")
        if above.days is None:
            return gettext("no rule here any more; then they do not end, as is said above")
        words = ngettext(
            "no rule here any more; then they end after %(days)s day, as is said above",
            "no rule here any more; then they end after %(days)s days, as is said above",
            above.days,
        )
        return words % {"days": above.days}


class RecoveryForm(VersionedForm):
    """For how many days deleted messages can be recovered."""

    ends = forms.ChoiceField(label=_("Deleted messages can be recovered"), widget=forms.RadioSelect)
    days = forms.IntegerField(
        label=_("Days that deleted messages can be recovered"),
        min_value=DAYS_MIN,
        max_value=DAYS_MAX,
        required=False,
        help_text=_(
            "Counted from when they were deleted; then they are erased for good. Beyond the mailbox's own quota "
            "the oldest go earlier."
        ),
    )

    def __init__(
        self, *args: Any, own: int | None, inherited: int, is_highest: bool, version: int, **kwargs: Any
    ) -> None:
        """Ask, where nobody is above (`is_highest`) for the days alone.

        Args:
            args, kwargs: Django's.
            own: what the level says.
            inherited: what it would have otherwise.
            is_highest: whether it is the platform.
            version: of its row.
        """
        initial = {"ends": DAYS if own else INHERIT, "days": own or inherited, "version": version}
        super().__init__(*args, **{**kwargs, "initial": initial})
        if is_highest:
            del self.fields["ends"]
            self.fields["days"].required = True
            return
        ends = self.fields["ends"]
        assert isinstance(ends, forms.ChoiceField)
        words = ngettext(
            "as long as is said above: %(days)s day", "as long as is said above: %(days)s days", inherited
        )
        ends.choices = [(INHERIT, words % {"days": inherited}), (DAYS, gettext("for its own number of days"))]

    def clean(self) -> dict[str, Any]:
        """Ask for the days where they count."""
        values = super().clean() or self.cleaned_data
        if values.get("ends") == DAYS and "days" not in self.errors and values.get("days") is None:
            self.add_error("days", gettext("Say for how many days."))
        return values

    @property
    def chosen_days(self) -> int | None:
        """How many; None is what is inherited."""
        return None if self.cleaned_data.get("ends") == INHERIT else self.cleaned_data["days"]


class ConfirmChangeForm(VersionedForm):
    """The figures with which a change is confirmed."""

    mailboxes = forms.IntegerField(min_value=0, max_value=_LARGEST, widget=forms.HiddenInput)
    messages = forms.IntegerField(min_value=0, max_value=_LARGEST, widget=forms.HiddenInput)
    bytes = forms.IntegerField(min_value=0, max_value=_LARGEST, required=False, widget=forms.HiddenInput)

    @property
    def figures(self) -> Figures:
        """What whoever confirms was shown."""
        given = self.cleaned_data
        return Figures(given["mailboxes"], given["messages"], given["bytes"])
