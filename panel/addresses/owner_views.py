"""Pages of mailboxes' owners: their own password, and the link by which they choose their first one."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from panel.accounts.access import manager_of, open_to_owners, person_of
from panel.addresses import owners, password_links, selectors, services
from panel.addresses.owner_forms import ChoosePasswordForm, OwnMailboxPasswordForm
from panel.core.errors import Problem
from panel.core.pages import handle_form


@open_to_owners
@sensitive_post_parameters()
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_own_mailbox_password(request: HttpRequest) -> HttpResponse:
    """Let a mailbox's owner choose its password; mail programs and other sessions of theirs must sign in again."""
    owner = person_of(request)
    mailbox = owners.mailbox_of(owner) if owner.is_mailbox else None
    if mailbox is None:
        raise Http404
    form = OwnMailboxPasswordForm(request.POST or None, mailbox=mailbox, owner=owner)

    def save() -> HttpResponse:
        services.change_own_password(mailbox=mailbox, password=form.cleaned_data["password"])
        owner.refresh_from_db()
        update_session_auth_hash(request, owner)
        messages.success(
            request, _("Your new password works now. Your mail programs will ask for it; type it there too.")
        )
        return redirect("show_mailbox", mailbox.pk)

    return handle_form(request, form, save, "addresses/change_own_password.html", {"mailbox": mailbox})


@never_cache
@login_required
@require_POST
def make_password_link(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a link for a mailbox's owner and show it: now, and never again."""
    mailbox = get_object_or_404(selectors.mailboxes_for(person_of(request)), pk=pk)
    person = manager_of(request, mailbox.domain.customer)
    try:
        link, address = password_links.make_link(mailbox=mailbox, created_by=person)
    except Problem as problem:
        messages.error(request, str(problem))
        return redirect("show_mailbox", pk)
    context = {"mailbox": mailbox, "link": link, "address": address}
    return render(request, "addresses/show_password_link.html", context)


@open_to_owners
@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def choose_mailbox_password(request: HttpRequest) -> HttpResponse:
    """Choose a mailbox's password by a link, whoever is signed in here."""
    token = request.GET.get("token", "")
    try:
        mailbox = password_links.mailbox_of_link(token)
    except password_links.LinkRefused as refusal:
        return _refused(request, refusal)
    form = ChoosePasswordForm(request.POST or None, mailbox=mailbox)

    def save() -> HttpResponse:
        try:
            password_links.use_link(token=token, password=form.cleaned_data["password"])
        except password_links.LinkRefused as refusal:
            return _refused(request, refusal)
        messages.success(
            request,
            _("The password of %(address)s is set. It works here and in mail programs.")
            % {"address": mailbox.display_address},
        )
        name = {"name": mailbox.display_address}
        return redirect(reverse(settings.LOGIN_URL, query=name))

    context = {"mailbox": mailbox, "token": token}
    return handle_form(request, form, save, "addresses/choose_password.html", context)


def _refused(request: HttpRequest, refusal: password_links.LinkRefused) -> HttpResponse:
    return render(request, "addresses/password_link_refused.html", {"refusal": str(refusal)}, status=404)
