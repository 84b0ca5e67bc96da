"""Pages of the legal hold: setting it, with its reason, and releasing it, with what ends then."""

from __future__ import annotations

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from panel.accounts.access import owner_of
from panel.addresses import holding
from panel.addresses.hub import mailbox_of_page, restorable_until
from panel.core.forms import VersionedForm
from panel.core.pages import ask_first


class HoldForm(VersionedForm):
    """Why a mailbox is held."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=holding.REASON_MAX,
        help_text=gettext_lazy(
            "Such as the number of the case. Whoever may see the mailbox reads it, its owner does not."
        ),
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def hold_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Put a mailbox under a legal hold, or give its hold another reason."""
    mailbox = mailbox_of_page(request, pk)
    owner_of(request, mailbox.domain.customer)
    initial = {"reason": mailbox.hold_reason, "version": mailbox.version}
    form = HoldForm(request.POST or None, initial=initial)
    return ask_first(
        request,
        form,
        lambda: holding.hold(
            mailbox=mailbox, reason=form.cleaned_data["reason"], version=form.cleaned_data["version"]
        ),
        _("%(address)s is under a legal hold.") % {"address": mailbox.display_address},
        "retention/hold_mailbox.html",
        {"mailbox": mailbox},
        "show_mailbox",
        pk,
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def release_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Release a mailbox from its legal hold, after saying what ends then."""
    mailbox = mailbox_of_page(request, pk)
    owner_of(request, mailbox.domain.customer)
    form = VersionedForm(request.POST or None, initial={"version": mailbox.version})
    until = restorable_until(mailbox.deleted_at or mailbox.domain.deleted_at)
    return ask_first(
        request,
        form,
        lambda: holding.release(mailbox=mailbox, version=form.cleaned_data["version"]),
        _("%(address)s is released from its legal hold.") % {"address": mailbox.display_address},
        "retention/release_mailbox.html",
        {"mailbox": mailbox, "until": until},
        "show_mailbox",
        pk,
    )
