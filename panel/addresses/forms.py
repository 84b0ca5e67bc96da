"""Forms of domains and mailboxes. They read what was typed; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.functional import Promise, lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Customer, User
from panel.accounts.selectors import customers_managed_by
from panel.addresses import selectors, services
from panel.addresses.inherited import (
    KEPT_DAYS_MAX,
    POP_KEEP_DAYS,
    POP_KEEP_DAYS_MAX,
    Inherited,
    Level,
    what_counts,
)
from panel.addresses.models import Domain, Mailbox
from panel.addresses.strength import strength
from panel.core.errors import Problem
from panel.core.forms import SizeField, VersionedForm
from panel.core.models import Installation
from panel.core.sizes import format_size, parse_size, written_size

UNLIMITED, OTHER = "none", "other"
_GB = 1024**3
PRESETS = (1 * _GB, 2 * _GB, 5 * _GB, 10 * _GB, 25 * _GB, 50 * _GB)


#: Written when it is shown, in the reader's language.
_size_lazy = lazy(format_size, str)


class QuotaField(forms.MultiValueField):
    """A quota: one of the presets, none, or another size.

    Cleans to bytes, or None for no limit. Where it can be inherited, None means that, and no limit is 0.
    """

    def __init__(self, *, inherit: str | Promise = "", **kwargs: Any) -> None:
        choices: list[tuple[str, Any]] = [(str(preset), _size_lazy(preset)) for preset in PRESETS]
        choices += [(UNLIMITED, _("No limit")), (OTHER, _("Another size…"))]
        if inherit:
            choices.insert(0, ("", inherit))
        fields = (
            forms.ChoiceField(choices=choices, required=not inherit),
            forms.CharField(max_length=20, required=False),
        )
        widget = QuotaWidget(choices)
        self.unlimited = 0 if inherit else None
        super().__init__(fields, require_all_fields=False, required=not inherit, widget=widget, **kwargs)

    def compress(self, data_list: list[str]) -> int | None:
        """Return the bytes that were chosen.

        Raises:
            ValidationError: if the other size is none.
        """
        preset, other = data_list or ["", ""]
        if preset in ("", UNLIMITED):
            return self.unlimited if preset else None
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
                "other": forms.TextInput(attrs={"placeholder": _("1.5 GB"), "aria-label": _("Another size")}),
            }
        )

    def decompress(self, value: int | None) -> list[str]:
        """Return what the two parts show for a stored value."""
        if value is None:
            return ["" if "" in self.presets else UNLIMITED, ""]
        if value == 0:
            return [UNLIMITED, ""]
        if str(value) in self.presets:
            return [str(value), ""]
        return [OTHER, written_size(value)]


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
        inherit=_("Inherited"),
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


class DomainProtocolsForm(VersionedForm):
    """How the mailboxes of a domain may be read."""

    imap = forms.BooleanField(
        label=_("IMAP"), required=False, help_text=_("Every device shows the same mailbox. Recommended.")
    )
    pop3 = forms.BooleanField(
        label=_("POP"), required=False, help_text=_("Downloads messages to one device.")
    )

    def __init__(self, *args: Any, domain: Domain, **kwargs: Any) -> None:
        kwargs["initial"] = {"imap": domain.imap, "pop3": domain.pop3, "version": domain.version}
        super().__init__(*args, **kwargs)
        self.domain = domain

    @property
    def switched_off(self) -> list[str]:
        """What is on and is to be off, as Dovecot names it."""
        return [
            name for name in ("imap", "pop3") if getattr(self.domain, name) and not self.cleaned_data[name]
        ]


class DomainStorageForm(VersionedForm):
    """How much may be given to the mailboxes of a domain."""

    max_storage_bytes = SizeField(
        label=_("Storage at most"),
        help_text=_("The quotas of its mailboxes in all, such as 100 GB. Empty for no limit of its own."),
    )

    def __init__(self, *args: Any, domain: Domain, **kwargs: Any) -> None:
        kwargs["initial"] = {"max_storage_bytes": domain.max_storage_bytes, "version": domain.version}
        super().__init__(*args, **kwargs)


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
            gettext("This password would be guessed soon.") + (f" {advice}" if advice else "")
        )


def _domain_label(domain: Domain) -> str:
    return domain.unicode_name


def offer_domains(field: forms.Field, domains: QuerySet[Domain]) -> None:
    """Have a list of choices offer those of the domains that are not deleted, as people write them."""
    assert isinstance(field, forms.ModelChoiceField)
    field.queryset = selectors.domains_in_state(domains, "")
    field.label_from_instance = _domain_label  # type: ignore[assignment]  # as Django documents


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
        quota = what_counts(domain).quota_bytes
        kwargs.setdefault("initial", {"domain": domain, "quota": quota})
        super().__init__(*args, **kwargs)
        offer_domains(self.fields["domain"], selectors.domains_managed_by(person))

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


class CreateMailboxesForm(VersionedForm):
    """Several new mailboxes, one a line."""

    domain = forms.ModelChoiceField(label=_("Domain"), queryset=Domain.objects.none(), empty_label=None)
    quota = QuotaField(label=_("Quota"), help_text=_("For each line that names no other."))
    lines = forms.CharField(
        label=_("Mailboxes, one a line"),
        max_length=200_000,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 10,
                "autocapitalize": "none",
                "autocomplete": "off",
                "spellcheck": "false",
                "placeholder": _("anna; Anna Martin; 5 GB\nsales; Sales\nbob"),
            }
        ),
    )

    def __init__(self, *args: Any, person: User, domain: Domain | None = None, **kwargs: Any) -> None:
        quota = what_counts(domain).quota_bytes
        kwargs.setdefault("initial", {"domain": domain, "quota": quota})
        super().__init__(*args, **kwargs)
        offer_domains(self.fields["domain"], selectors.domains_managed_by(person))


class RenameMailboxForm(VersionedForm):
    """Another address for a mailbox, on a domain of the same customer."""

    local_part = forms.CharField(
        label=_("New address"),
        max_length=200,
        widget=forms.TextInput(
            attrs={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    domain = forms.ModelChoiceField(label=_("Domain"), queryset=Domain.objects.none(), empty_label=None)

    def __init__(self, *args: Any, mailbox: Mailbox, person: User, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "local_part": mailbox.local_part,
            "domain": mailbox.domain,
            "version": mailbox.version,
        }
        super().__init__(*args, **kwargs)
        domains = selectors.domains_managed_by(person).filter(customer=mailbox.domain.customer)
        offer_domains(self.fields["domain"], domains)


INHERITED = "inherit"
POP_CHOICES = [
    (
        Mailbox.PopDeletes.KEEP_DAYS.value,
        _("Keep a copy on the server for some days, where POP does not see it. Recommended."),
    ),
    (
        Mailbox.PopDeletes.KEEP.value,
        _("Keep it on the server, where POP does not see it, until it is deleted over IMAP."),
    ),
    (
        Mailbox.PopDeletes.DELETE.value,
        _("Delete it at once, as the program asks. It is gone from every device."),
    ),
]


class PopPolicyForm(VersionedForm):
    """What happens to a message that a POP program deletes: inherited, or said here."""

    pop_deletes = forms.ChoiceField(
        label=_("When a POP program deletes a message"),
        choices=[(INHERITED, ""), *POP_CHOICES],
        widget=forms.RadioSelect,
    )
    days = forms.IntegerField(
        label=_("Days that a copy is kept"),
        min_value=1,
        max_value=POP_KEEP_DAYS_MAX,
        required=False,
        help_text=_("Counts only where a copy is kept for some days."),
    )

    def __init__(self, *args: Any, row: Mailbox | Level, inherited: Inherited, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "pop_deletes": row.pop_deletes or INHERITED,
            "days": row.pop_keep_days or POP_KEEP_DAYS,
            **kwargs.get("initial", {}),
        }
        super().__init__(*args, **kwargs)
        field = self.fields["pop_deletes"]
        assert isinstance(field, forms.ChoiceField)
        words = {"policy": inherited.pop.in_words, "origin": inherited.pop_from.in_words}
        if isinstance(row, Installation):
            as_inherited = gettext("As built in: %(policy)s.")
        else:
            as_inherited = gettext("As inherited: %(policy)s (%(origin)s).")
        field.choices = [(INHERITED, as_inherited % words), *POP_CHOICES]

    def clean(self) -> dict[str, Any]:
        """Ask for the days where they count."""
        values = super().clean() or self.cleaned_data
        keeps = values.get("pop_deletes") == Mailbox.PopDeletes.KEEP_DAYS
        if keeps and "days" not in self.errors and values.get("days") is None:
            self.add_error("days", gettext("Say for how many days."))
        return values

    @property
    def policy(self) -> str:
        """What was chosen, as `services.set_pop_policy` takes it."""
        chosen: str = self.cleaned_data["pop_deletes"]
        if chosen == Mailbox.PopDeletes.KEEP_DAYS:
            return f"keep:{self.cleaned_data['days']}"
        return chosen


#: For how many days the platform keeps what, by Installation's columns: label and help. How long deleted messages can
#: be recovered is not among them: shortening it ends mail, and is asked about by the pages of retention.
KEPT_DAYS = {
    "connection_days": (
        _("Days that the connection log goes back"),
        _("What is older is deleted each night. Sessions that are still open stay."),
    ),
}


class InheritedForm(PopPolicyForm):
    """What the platform, a customer or a domain says for those below it."""

    default_quota = forms.Field()
    field_order = ("default_quota", "pop_deletes", "days")

    def __init__(self, *args: Any, level: Level, inherited: Inherited, **kwargs: Any) -> None:
        initial = {"default_quota": level.default_quota_bytes, "version": level.version}
        is_highest = isinstance(level, Installation)
        super().__init__(*args, row=level, inherited=inherited, initial=initial, **kwargs)
        words = {"quota": inherited.quota_in_words, "origin": inherited.quota_from.in_words}
        self.fields["default_quota"] = QuotaField(
            label=_("Quota of new mailboxes"),
            inherit=(
                gettext("As built in: %(quota)s")
                if is_highest
                else gettext("Inherited: %(quota)s (%(origin)s)")
            )
            % words,
            help_text=_("Mailboxes that exist keep the quota that they have."),
        )
        if isinstance(level, Installation):
            for name, (label, help_text) in KEPT_DAYS.items():
                self.fields[name] = forms.IntegerField(
                    label=label,
                    min_value=1,
                    max_value=KEPT_DAYS_MAX,
                    initial=getattr(level, name),
                    help_text=help_text,
                )
        self.order_fields(self.field_order)


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
        if mailbox.used_bytes:
            self.fields["quota"].help_text = gettext(
                "It holds %(used)s now. With a quota below that nothing is lost: new messages are refused until it "
                "holds less again."
            ) % {"used": format_size(mailbox.used_bytes)}
        for name in ("imap", "pop3"):
            if not getattr(mailbox.domain, name):
                self.fields[name].help_text = gettext(
                    "Switched off for the whole domain: this counts once the domain has it on again."
                )


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
