"""Forms of domains and mailboxes. They read what was typed; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _g
from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Customer, User
from panel.accounts.selectors import customers_managed_by
from panel.addresses import selectors, services
from panel.addresses.models import Domain, Mailbox
from panel.addresses.strength import strength
from panel.core.errors import Problem
from panel.core.forms import VersionedForm
from panel.core.sizes import format_size, parse_size

UNLIMITED, OTHER = "none", "other"
_GB = 1024**3
PRESETS = (1 * _GB, 2 * _GB, 5 * _GB, 10 * _GB, 25 * _GB, 50 * _GB)


class QuotaField(forms.MultiValueField):
    """A quota: one of the presets, none, or another size. Cleans to bytes, or None for no limit."""

    def __init__(self, *, inherit: str | Promise = "", **kwargs: Any) -> None:
        choices: list[tuple[str, Any]] = [(str(preset), format_size(preset)) for preset in PRESETS]
        choices += [(UNLIMITED, _("No limit")), (OTHER, _("Another size…"))]
        if inherit:
            choices.insert(0, ("", inherit))
        fields = (
            forms.ChoiceField(choices=choices, required=not inherit),
            forms.CharField(max_length=20, required=False),
        )
        widget = QuotaWidget(choices)
        super().__init__(fields, require_all_fields=False, required=not inherit, widget=widget, **kwargs)

    def compress(self, data_list: list[str]) -> int | None:
        """Return the bytes that were chosen.

        Raises:
            ValidationError: if the other size is none.
        """
        preset, other = data_list or ["", ""]
        if preset in ("", UNLIMITED):
            return None
        if preset != OTHER:
            return int(preset)
        try:
            return parse_size(other or "")
        except ValueError as err:
            raise forms.ValidationError(str(err)) from err


class QuotaWidget(forms.MultiWidget):
    """A list of presets and a line for another size."""

    template_name = "components/quota_widget.html"

    def __init__(self, choices: list[tuple[str, Any]]) -> None:
        self.presets = {value for value, _label in choices}
        super().__init__(
            {
                "preset": forms.Select(choices=choices),
                "other": forms.TextInput(attrs={"placeholder": "1.5 GB", "aria-label": _("Another size")}),
            }
        )

    def decompress(self, value: int | None) -> list[str]:
        """Return what the two parts show for a stored value."""
        if value is None:
            return ["" if "" in self.presets else UNLIMITED, ""]
        if str(value) in self.presets:
            return [str(value), ""]
        return [OTHER, format_size(value).replace("\N{NO-BREAK SPACE}", " ")]


class DomainForm(VersionedForm):
    """A domain, its customer, and what its mailboxes start with."""

    name = forms.CharField(
        label=_("Domain"),
        max_length=253,
        help_text=_("Such as example.com. Accents are fine."),
        widget=forms.TextInput(
            attrs={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    customer = forms.ModelChoiceField(label=_("Customer"), queryset=Customer.objects.none(), empty_label=None)
    default_quota = QuotaField(
        label=_("Quota of new mailboxes"),
        inherit=_("The usual one"),
        help_text=_("Each mailbox can have its own."),
    )

    def __init__(self, *args: Any, person: User, domain: Domain | None = None, **kwargs: Any) -> None:
        if domain is not None:
            kwargs["initial"] = {
                "customer": domain.customer,
                "default_quota": domain.default_quota_bytes,
                "version": domain.version,
            }
        super().__init__(*args, **kwargs)
        customer = self.fields["customer"]
        assert isinstance(customer, forms.ModelChoiceField)
        customer.queryset = customers_managed_by(person)
        if domain is not None:
            del self.fields["name"]


class MailboxPasswordField(forms.CharField):
    """A new password for a mailbox: never filled in again after an error, and not cut at its ends."""

    def __init__(self, **kwargs: Any) -> None:
        attributes = {"autocomplete": "new-password", "spellcheck": "false", "autocapitalize": "none"}
        widget = forms.PasswordInput(attrs=attributes)
        super().__init__(
            label=_("Password"), max_length=services.PASSWORD_MAX, strip=False, widget=widget, **kwargs
        )


def _check_strength(password: str, *known: str) -> None:
    """Check a password that a person chose.

    Raises:
        ValidationError: if it cannot be used, or would be guessed soon.
    """
    try:
        services.check_mailbox_password(password)
    except Problem as problem:
        raise forms.ValidationError(str(problem)) from problem
    result = strength(password, known)
    if not result.good_enough:
        advice = " ".join(result.advice)
        raise forms.ValidationError(
            _g("This password would be guessed soon.") + (f" {advice}" if advice else "")
        )


def _domain_label(domain: Domain) -> str:
    return domain.unicode_name


class CreateMailboxForm(VersionedForm):
    """A new mailbox."""

    local_part = forms.CharField(
        label=_("Address"),
        max_length=200,
        widget=forms.TextInput(
            attrs={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    domain = forms.ModelChoiceField(label=_("Domain"), queryset=Domain.objects.none(), empty_label=None)
    display_name = forms.CharField(
        label=_("Name"),
        max_length=100,
        required=False,
        help_text=_("Whose mailbox it is, such as Anna Martin."),
    )
    quota = QuotaField(label=_("Quota"))
    password = MailboxPasswordField()

    def __init__(self, *args: Any, person: User, domain: Domain | None = None, **kwargs: Any) -> None:
        quota = (domain and domain.default_quota_bytes) or settings.DEFAULT_QUOTA_BYTES
        kwargs.setdefault("initial", {"domain": domain, "quota": quota})
        super().__init__(*args, **kwargs)
        domains = self.fields["domain"]
        assert isinstance(domains, forms.ModelChoiceField)
        domains.queryset = selectors.domains_in_state(selectors.domains_managed_by(person), "")
        domains.label_from_instance = _domain_label  # type: ignore[assignment]  # as Django documents

    def clean(self) -> dict[str, Any]:
        """Check the password against what is known of its owner."""
        values = super().clean() or self.cleaned_data
        if values.get("password"):
            known = (values.get("local_part", ""), values.get("display_name", ""))
            try:
                _check_strength(values["password"], *known)
            except forms.ValidationError as err:
                self.add_error("password", err)
        return values


class EditMailboxForm(VersionedForm):
    """What of a mailbox can be changed."""

    display_name = forms.CharField(label=_("Name"), max_length=100, required=False)
    quota = QuotaField(label=_("Quota"))
    imap = forms.BooleanField(
        label=_("IMAP"), required=False, help_text=_("Every device shows the same mailbox. Recommended.")
    )
    pop3 = forms.BooleanField(
        label=_("POP"), required=False, help_text=_("Downloads messages to one device.")
    )

    def __init__(self, *args: Any, mailbox: Mailbox, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "display_name": mailbox.display_name,
            "quota": mailbox.quota_bytes,
            "imap": mailbox.imap,
            "pop3": mailbox.pop3,
            "version": mailbox.version,
        }
        super().__init__(*args, **kwargs)


class MailboxPasswordForm(VersionedForm):
    """A new password."""

    password = MailboxPasswordField()

    def __init__(self, *args: Any, mailbox: Mailbox, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mailbox = mailbox

    def clean_password(self) -> str:
        """Check its strength."""
        password: str = self.cleaned_data["password"]
        _check_strength(password, self.mailbox.local_part, self.mailbox.display_name)
        return password
