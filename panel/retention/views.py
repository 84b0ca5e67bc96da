"""Pages of what becomes of messages that POP deletes, and of the way from POP to IMAP and back."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from panel.accounts.access import manager_of, open_to_owners
from panel.addresses import services
from panel.addresses.hub import hub, mailbox_of_page
from panel.addresses.inherited import what_counts
from panel.addresses.mail_servers import incoming_servers
from panel.addresses.models import Mailbox
from panel.connections.removals import recovery_time
from panel.core.models import Job
from panel.core.pages import handle_form
from panel.retention import switching
from panel.retention.forms import MailboxPopPolicyForm, ToImapForm, ToPopForm


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def set_mailbox_pop_policy(request: HttpRequest, pk: int) -> HttpResponse:
    """Say what happens to a message that a POP program deletes, and to those that POP hides at the moment."""
    mailbox = mailbox_of_page(request, pk)
    manager_of(request, mailbox.domain.customer)
    hidden = switching.hidden_count(mailbox)
    form = MailboxPopPolicyForm(request.POST or None, mailbox=mailbox, hidden=hidden)

    def save() -> HttpResponse:
        services.set_pop_policy(mailbox=mailbox, policy=form.policy, end_hidden=form.ends_hidden)
        messages.success(request, _("Saved. It counts from the next POP connection on."))
        return redirect("show_mailbox_settings", pk)

    context = {
        "mailbox": mailbox,
        "counts": what_counts(mailbox),
        "hidden": hidden,
        "recovery_days": recovery_time(mailbox).days,
    }
    return handle_form(request, form, save, "retention/set_mailbox_pop_policy.html", context)


@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def switch_mailbox_to_imap(request: HttpRequest, pk: int) -> HttpResponse:
    """Bring back what POP deleted, keep it from deleting more, and say what to change on each device."""
    mailbox = mailbox_of_page(request, pk)
    context = _context(request, mailbox, "imap")
    form = ToImapForm(request.POST or None)

    def save() -> HttpResponse:
        job = switching.switch_to_imap(mailbox=mailbox, pop_off=form.cleaned_data["pop_off"])
        messages.success(
            request,
            _(
                "Messages that a POP program deletes stay on the server from now on. Change your devices next."
            ),
        )
        query = f"?{urlencode({'job': job})}" if job else ""
        return redirect(f"{reverse('switch_mailbox_to_imap', args=[pk])}{query}")

    context |= {
        "removed": switching.removed_by_pop(mailbox).count(),
        "job": _job(mailbox, request.GET.get("job", "")),
    }
    return handle_form(request, form, save, "retention/switch_mailbox_to_imap.html", context)


@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def switch_mailbox_to_pop(request: HttpRequest, pk: int) -> HttpResponse:
    """Let POP programs in, with a copy of what they delete, and say what that means."""
    mailbox = mailbox_of_page(request, pk)
    context = _context(request, mailbox, "pop3")
    form = ToPopForm(request.POST or None, initial={"days": switching.days_kept(mailbox)})
    if not context["hidden"]:
        del form.fields["offer_again"]

    def save() -> HttpResponse:
        switching.switch_to_pop(
            mailbox=mailbox,
            days=form.cleaned_data["days"],
            offer_again=form.cleaned_data.get("offer_again", False),
        )
        messages.success(request, _("POP programs can sign in. Change your devices next."))
        return redirect("switch_mailbox_to_pop", pk)

    return handle_form(request, form, save, "retention/switch_mailbox_to_pop.html", context)


def _context(request: HttpRequest, mailbox: Mailbox, protocol: str) -> dict[str, Any]:
    """Return what both pages show.

    Raises:
        PermissionDenied: if the mailbox is to be switched by somebody who may only see it.
    """
    shared = hub(request, mailbox)
    if request.method == "POST" and not shared["may_change"]:
        raise PermissionDenied
    return {
        **shared,
        "here_tab": "show_mailbox_settings",
        "counts": what_counts(mailbox),
        "hidden": switching.hidden_count(mailbox),
        "servers": incoming_servers(protocol),
        "recovery_days": recovery_time(mailbox).days,
    }


def _job(mailbox: Mailbox, text: str) -> Job | None:
    """Return the job of this mailbox that a page's address names, else one that is not done yet."""
    jobs = Job.objects.filter(kind=switching.RESTORING, arguments__mailbox=mailbox.pk)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return jobs.filter(pk=int(text)).first()
    return jobs.filter(state__in=[Job.State.QUEUED, Job.State.RUNNING]).first()
