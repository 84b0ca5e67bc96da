"""Forms of claimed domains."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from panel.accounts.models import Customer, User
from panel.accounts.selectors import customers_managed_by
from panel.core.forms import VersionedForm


class ClaimDomainForm(VersionedForm):
    """A domain, and who wants it: asked for only of people who act for several customers."""

    name = forms.CharField(
        label=_("Domain"),
        max_length=253,
        help_text=_("Such as example.com. Accents are fine."),
        widget=forms.TextInput(
            attrs={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    customer = forms.ModelChoiceField(label=_("Customer"), queryset=Customer.objects.none(), empty_label=None)

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        customers = customers_managed_by(person).filter(suspended_at=None).order_by("name")
        some = list(customers[:2])
        self._only = some[0] if len(some) == 1 else None
        if self._only is not None:
            del self.fields["customer"]
            return
        customer = self.fields["customer"]
        assert isinstance(customer, forms.ModelChoiceField)
        customer.queryset = customers

    @property
    def wanted_by(self) -> Customer:
        """Who was chosen, or the only one that there is to choose."""
        if self._only is not None:
            return self._only
        chosen: Customer = self.cleaned_data["customer"]
        return chosen
