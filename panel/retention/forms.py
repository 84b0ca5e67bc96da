"""Forms of what becomes of messages that POP deletes, and of the way from POP to IMAP and back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from panel.addresses.forms import PopPolicyForm
from panel.addresses.inherited import POP_KEEP_DAYS_MAX, what_would_count
from panel.addresses.models import Mailbox
from panel.core.forms import VersionedForm

SHOW, END = "show", "end"


class MailboxPopPolicyForm(PopPolicyForm):
    """What happens to a message that a POP program deletes, and to those that POP hides at the moment."""

    hidden = forms.ChoiceField(
        choices=[
            (
                SHOW,
                _("Offer them to POP again. A program that deletes them then deletes them on every device."),
            ),
            (END, _("End them now, for all devices. They can be recovered.")),
        ],
        widget=forms.RadioSelect,
        required=False,
        initial=SHOW,
    )

    def __init__(self, *args: Any, mailbox: Mailbox, hidden: int | None, **kwargs: Any) -> None:
        """Ask about hidden messages where there are some, or where nobody knows: `hidden` is None then."""
        super().__init__(*args, row=mailbox, inherited=what_would_count(mailbox), **kwargs)
        if hidden == 0:
            del self.fields["hidden"]
            return
        if hidden is None:
            label = gettext("If you choose to delete at once: what of the messages that POP hides until now?")
        else:
            label = ngettext(
                "POP hides %(count)s message. If you choose to delete at once: what is to become of it?",
                "POP hides %(count)s messages. If you choose to delete at once: what is to become of them?",
                hidden,
            ) % {"count": hidden}
        self.fields["hidden"].label = label

    @property
    def ends_hidden(self) -> bool:
        """Whether what POP hides is to end: only where messages are deleted at once from now on."""
        deletes: str = self.cleaned_data["pop_deletes"]
        return deletes == Mailbox.PopDeletes.DELETE and self.cleaned_data.get("hidden") == END


class ToImapForm(VersionedForm):
    """What goes with the switch to IMAP."""

    pop_off = forms.BooleanField(
        label=_("Switch POP off for this mailbox"),
        required=False,
        help_text=_(
            "A program that still uses POP is refused from then on. Leave it on until the last device is changed; "
            "you can switch it off later."
        ),
    )


class ToPopForm(VersionedForm):
    """What goes with the switch to POP."""

    days = forms.IntegerField(
        label=_("Days that a copy is kept"),
        min_value=1,
        max_value=POP_KEEP_DAYS_MAX,
        help_text=_("Counted from the later of a message's arrival and its deletion."),
    )
    offer_again = forms.BooleanField(
        label=_("Let POP programs download again what is hidden from them"), required=False
    )
