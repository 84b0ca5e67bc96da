"""Pages of domains and mailboxes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts.access import admin_of, manager_of, open_to_owners, owner_of, person_of
from panel.accounts.selectors import customers_managed_by, may_change_some, may_manage, may_own
from panel.addresses import attention, renaming, selectors, services
from panel.addresses.claims import claims_for
from panel.addresses.forms import (
    CreateMailboxForm,
    DomainForm,
    DomainProtocolsForm,
    DomainStorageForm,
    EditMailboxForm,
    MailboxPasswordForm,
    RenameMailboxForm,
)
from panel.addresses.hub import hub, mailbox_of_page, restorable_until
from panel.addresses.inherited import what_counts
from panel.addresses.limit_words import below_what_it_holds, saved_limit
from panel.addresses.limits import given_on
from panel.addresses.models import Domain, Mailbox
from panel.addresses.password_links import link_works
from panel.addresses.strength import strength
from panel.addresses.usage import may_be_asked, read_usage, seen
from panel.core.forms import ConfirmForm, ReasonForm
from panel.core.pages import ask_first, handle_form, page_of, press_button

DOMAIN_SORTS = {
    "name": "name",
    "-name": "-name",
    "customer": "customer__name",
    "-customer": "-customer__name",
    "mailboxes": "mailbox_count",
    "-mailboxes": "-mailbox_count",
}
#: Claimed domains that the list of domains shows; a page of their own has all.
CLAIMS_SHOWN = 5


@login_required
@require_safe
def list_domains(request: HttpRequest) -> HttpResponse:
    """The domains that a person may see."""
    person = person_of(request)
    q, state = request.GET.get("q", ""), request.GET.get("state", "")
    sort = request.GET.get("sort", "name")
    rows = selectors.domains_in_state(selectors.domains_for(person), state)
    rows = selectors.search_domains(rows, q).order_by(DOMAIN_SORTS.get(sort, "name"), "pk")
    context = {
        "page_obj": page_of(request, rows),
        "q": q,
        "sort": sort,
        "state": state,
        "states": Domain.State.choices,
        "claims": claims_for(person)[: CLAIMS_SHOWN + 1],
        "claims_shown": CLAIMS_SHOWN,
        "may_change": may_change_some(person),
    }
    return render(request, "addresses/list_domains.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create_domain(request: HttpRequest) -> HttpResponse:
    """Create a domain."""
    person = admin_of(request)
    first = customers_managed_by(person).order_by("pk").first()
    form = DomainForm(request.POST or None, person=person, initial={"customer": first})

    def save() -> HttpResponse:
        domain = services.create_domain(
            name=form.cleaned_data["name"],
            customer=form.cleaned_data["customer"],
            default_quota_bytes=form.cleaned_data["default_quota"],
        )
        messages.success(
            request, _("%(name)s is ready for its first mailbox.") % {"name": domain.unicode_name}
        )
        return redirect("show_domain", domain.name)

    return handle_form(request, form, save, "addresses/create_domain.html", {})


@login_required
@require_safe
def show_domain(request: HttpRequest, name: str) -> HttpResponse:
    """One domain and its mailboxes."""
    domain = _domain(request, name)
    mailboxes = selectors.mailboxes_for(person_of(request)).filter(domain=domain)
    rows = mailboxes.filter(deleted_at=None).order_by("address")
    context = {
        "domain": domain,
        "mailboxes": page_of(request, rows),
        "until": restorable_until(domain.deleted_at),
        "may_change": may_manage(person_of(request), domain.customer),
        "counts": what_counts(domain),
        "given": given_on(domain),
        "may_own": may_own(person_of(request), domain.customer),
        "protocols": [name for name in ("imap", "pop3") if getattr(domain, name)],
    }
    return render(request, "addresses/show_domain.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_domain(request: HttpRequest, name: str) -> HttpResponse:
    """Change a domain."""
    domain = _domain(request, name)
    person = admin_of(request)
    form = DomainForm(request.POST or None, person=person, domain=domain)

    def save() -> HttpResponse:
        services.edit_domain(
            domain=domain,
            customer=form.cleaned_data["customer"],
            default_quota_bytes=form.cleaned_data["default_quota"],
            version=form.cleaned_data["version"],
        )
        messages.success(request, _("Saved."))
        return redirect("show_domain", domain.name)

    return handle_form(request, form, save, "addresses/edit_domain.html", {"domain": domain})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_domain_protocols(request: HttpRequest, name: str) -> HttpResponse:
    """Switch IMAP and POP on or off for a domain; before something is switched off, say whom it concerns."""
    domain = _domain(request, name)
    manager_of(request, domain.customer)
    form = DomainProtocolsForm(request.POST or None, domain=domain)
    context: dict[str, Any] = {"domain": domain}
    template = "addresses/edit_domain_protocols.html"
    if request.method == "POST" and form.is_valid() and form.switched_off:
        template = "addresses/switch_off_domain_protocols.html"
        context["off"] = form.switched_off
        if "confirmed" not in request.POST:
            return render(request, template, {**context, "form": form})

    def save() -> HttpResponse:
        off = form.switched_off
        services.edit_domain_protocols(
            domain=domain,
            imap=form.cleaned_data["imap"],
            pop3=form.cleaned_data["pop3"],
            version=form.cleaned_data["version"],
        )
        if off:
            messages.success(request, _("Saved. Whoever was signed in on this domain is disconnected."))
        else:
            messages.success(request, _("Saved."))
        return redirect("show_domain", domain.name)

    return handle_form(request, form, save, template, context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def limit_domain_storage(request: HttpRequest, name: str) -> HttpResponse:
    """Say how much may be given to the mailboxes of a domain: the host and the customer's owners do."""
    domain = _domain(request, name)
    owner_of(request, domain.customer)
    form = DomainStorageForm(request.POST or None, domain=domain)
    given = given_on(domain)

    def save() -> HttpResponse:
        limit = form.cleaned_data["max_storage_bytes"]
        services.limit_domain_storage(
            domain=domain, max_storage_bytes=limit, version=form.cleaned_data["version"]
        )
        messages.success(request, saved_limit(limit, given.given_bytes))
        return redirect("show_domain", domain.name)

    context = {"domain": domain, "given": given}
    return handle_form(request, form, save, "addresses/limit_domain_storage.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def suspend_domain(request: HttpRequest, name: str) -> HttpResponse:
    """Shut out everybody on a domain."""
    domain = _domain(request, name)
    admin_of(request)
    form = ReasonForm(request.POST or None, initial={"reason": domain.suspended_reason})

    return ask_first(
        request,
        form,
        lambda: services.suspend_domain(domain=domain, reason=form.cleaned_data["reason"]),
        _("%(name)s is suspended.") % {"name": domain.unicode_name},
        "addresses/suspend_domain.html",
        {"domain": domain},
        "show_domain",
        domain.name,
    )


@login_required
@require_POST
def resume_domain(request: HttpRequest, name: str) -> HttpResponse:
    """Let everybody on a domain in again."""
    domain = _domain(request, name)
    admin_of(request)
    return press_button(
        request,
        lambda: services.resume_domain(domain=domain),
        _("%(name)s is active again.") % {"name": domain.unicode_name},
        "show_domain",
        domain.name,
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete_domain(request: HttpRequest, name: str) -> HttpResponse:
    """Delete a domain, after its name was typed."""
    domain = _domain(request, name)
    admin_of(request)
    form = ConfirmForm(request.POST or None, expected=(domain.unicode_name, domain.name))

    context = {"domain": domain, "until": timezone.now() + settings.DELETION_WINDOW}
    return ask_first(
        request,
        form,
        lambda: services.delete_domain(domain=domain),
        _("%(name)s is deleted. It can still be restored.") % {"name": domain.unicode_name},
        "addresses/delete_domain.html",
        context,
        "list_domains",
    )


@login_required
@require_POST
def restore_domain(request: HttpRequest, name: str) -> HttpResponse:
    """Bring back a deleted domain: the one of this name that was deleted last."""
    _domain(request, name)
    admin_of(request)
    rows = selectors.domains_for(person_of(request)).filter(name=name, deleted_at__isnull=False)
    domain = rows.order_by("-deleted_at").first()
    if domain is None:
        return redirect("show_domain", name)
    return press_button(
        request,
        lambda: services.restore_domain(domain=domain),
        _("%(name)s is back, with its mailboxes.") % {"name": domain.unicode_name},
        "show_domain",
        domain.name,
    )


@sensitive_post_parameters("password")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create_mailbox(request: HttpRequest) -> HttpResponse:
    """Create a mailbox."""
    person = person_of(request)
    if not may_change_some(person):
        raise PermissionDenied
    domain = selectors.domain_to_create_on(person, request.GET.get("domain", ""))
    form = CreateMailboxForm(request.POST or None, person=person, domain=domain)

    def save() -> HttpResponse:
        mailbox = services.create_mailbox(
            domain=form.cleaned_data["domain"],
            local_part=form.cleaned_data["local_part"],
            password=form.cleaned_data["password"],
            display_name=form.cleaned_data["display_name"],
            quota_bytes=form.cleaned_data["quota"],
        )
        messages.success(request, _("%(address)s is ready.") % {"address": mailbox.display_address})
        return redirect("show_mailbox", mailbox.pk)

    return handle_form(
        request, form, save, "addresses/create_mailbox.html", {"has_domains": domain is not None}
    )


@open_to_owners
@login_required
@require_safe
def show_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """One mailbox: how it stands and what it holds."""
    mailbox = mailbox_of_page(request, pk)
    # In which state it is, is taken before it is asked what it holds.
    was = seen(mailbox)
    usage = _usage(mailbox)
    context = {**hub(request, mailbox), "usage": usage, "seen": was if usage else ""}
    if person_of(request).is_mailbox:
        used = usage["used_bytes"] if usage else None
        context["attention"] = attention.for_owner(mailbox, used, timezone.now())
    return render(request, "addresses/show_mailbox.html", context)


@open_to_owners
@login_required
@require_safe
def show_mailbox_usage(request: HttpRequest, pk: int) -> HttpResponse:
    """What a mailbox holds at this moment, for its open page; 204 where that is what the page shows."""
    mailbox = mailbox_of_page(request, pk)
    shown, now = request.GET.get("seen", ""), seen(mailbox)
    if now in ("", shown) or not may_be_asked(mailbox):
        return HttpResponse(status=204)
    usage = _usage(mailbox)
    if usage is None and not shown:
        return HttpResponse(status=204)
    context = {"mailbox": mailbox, "usage": usage, "seen": now if usage else ""}
    return render(request, "addresses/_storage.html", context)


@open_to_owners
@login_required
@require_safe
def show_mailbox_settings(request: HttpRequest, pk: int) -> HttpResponse:
    """What of a mailbox can be changed, and the way to each."""
    mailbox = mailbox_of_page(request, pk)
    context = {
        **hub(request, mailbox),
        "counts": what_counts(mailbox),
    }
    return render(request, "addresses/show_mailbox_settings.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rename_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a mailbox another address."""
    mailbox = _mailbox_to_change(request, pk)
    form = RenameMailboxForm(request.POST or None, mailbox=mailbox, person=person_of(request))
    old = mailbox.display_address

    def save() -> HttpResponse:
        renaming.rename_mailbox(
            mailbox=mailbox,
            local_part=form.cleaned_data["local_part"],
            domain=form.cleaned_data["domain"],
            version=form.cleaned_data["version"],
        )
        messages.success(
            request,
            _("%(old)s is %(new)s now, with all its mail.") % {"old": old, "new": mailbox.display_address},
        )
        return redirect("set_up_mailbox", mailbox.pk)

    return handle_form(request, form, save, "addresses/rename_mailbox.html", {"mailbox": mailbox})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a mailbox."""
    mailbox = _mailbox_to_change(request, pk)
    form = EditMailboxForm(request.POST or None, mailbox=mailbox)
    was_on = {name: getattr(mailbox, name) for name in ("imap", "pop3")}

    def save() -> HttpResponse:
        services.edit_mailbox(
            mailbox=mailbox,
            version=form.cleaned_data["version"],
            display_name=form.cleaned_data["display_name"],
            quota_bytes=form.cleaned_data["quota"],
            imap=form.cleaned_data["imap"],
            pop3=form.cleaned_data["pop3"],
        )
        if any(was_on[name] and not form.cleaned_data[name] for name in was_on):
            messages.success(request, _("Saved. Whoever was signed in to this mailbox is disconnected."))
        else:
            messages.success(request, _("Saved."))
        if below_what_it_holds(mailbox):
            messages.warning(request, below_what_it_holds(mailbox))
        return redirect("show_mailbox_settings", mailbox.pk)

    return handle_form(request, form, save, "addresses/edit_mailbox.html", {"mailbox": mailbox})


@sensitive_post_parameters("password")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def set_mailbox_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a mailbox a new password."""
    mailbox = _mailbox_to_change(request, pk)
    form = MailboxPasswordForm(request.POST or None, mailbox=mailbox)

    def save() -> HttpResponse:
        services.set_mailbox_password(mailbox=mailbox, password=form.cleaned_data["password"])
        messages.success(
            request, _("The new password works now. Programs that still have the old one will ask for it.")
        )
        return redirect("show_mailbox_settings", mailbox.pk)

    return handle_form(request, form, save, "addresses/set_mailbox_password.html", {"mailbox": mailbox})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def suspend_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Shut a mailbox's owner out."""
    mailbox = _mailbox_to_change(request, pk)
    form = ReasonForm(request.POST or None, initial={"reason": mailbox.suspended_reason})

    return ask_first(
        request,
        form,
        lambda: services.suspend_mailbox(mailbox=mailbox, reason=form.cleaned_data["reason"]),
        _("%(address)s is suspended.") % {"address": mailbox.display_address},
        "addresses/suspend_mailbox.html",
        {"mailbox": mailbox},
        "show_mailbox",
        mailbox.pk,
    )


@login_required
@require_POST
def resume_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a mailbox's owner in again."""
    mailbox = _mailbox_to_change(request, pk)
    return press_button(
        request,
        lambda: services.resume_mailbox(mailbox=mailbox),
        _("%(address)s is active again.") % {"address": mailbox.display_address},
        "show_mailbox",
        pk,
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a mailbox, after its address was typed."""
    mailbox = _mailbox_to_change(request, pk)
    form = ConfirmForm(request.POST or None, expected=(mailbox.display_address, mailbox.address))

    context = {
        "mailbox": mailbox,
        "usage": _usage(mailbox),
        "until": timezone.now() + settings.DELETION_WINDOW,
    }
    return ask_first(
        request,
        form,
        lambda: services.delete_mailbox(mailbox=mailbox),
        _("%(address)s is deleted. It can still be restored.") % {"address": mailbox.display_address},
        "addresses/delete_mailbox.html",
        context,
        "list_mailboxes",
    )


@login_required
@require_POST
def restore_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """Bring back a deleted mailbox."""
    mailbox = _mailbox_to_change(request, pk)
    return press_button(
        request,
        lambda: services.restore_mailbox(mailbox=mailbox),
        _("%(address)s is back, with all its mail.") % {"address": mailbox.display_address},
        "show_mailbox",
        pk,
    )


@open_to_owners
@sensitive_post_parameters("password")
@require_POST
def password_strength(request: HttpRequest) -> HttpResponse:
    """Say how strong a password is, while it is typed. Nothing is kept.

    For whoever is signed in, or came by a link that lets them choose one.
    """
    if not request.user.is_authenticated:
        if "token" not in request.GET:
            return redirect_to_login(reverse("home"))
        if not link_works(request.GET["token"]):
            return HttpResponse(
                status=204
            )  # the form itself says that the link does not work, or it was just used
    known = (request.POST.get("local_part", "")[:64],)
    result = strength(request.POST.get("password", "")[: services.PASSWORD_MAX], known)
    return render(request, "addresses/_password_strength.html", {"strength": result})


def _domain(request: HttpRequest, name: str) -> Domain:
    """Return the domain of this name, a living one before those that were deleted."""
    rows = selectors.domains_for(person_of(request)).filter(name=name)
    living = rows.filter(deleted_at=None)
    pk = (
        living.values_list("pk", flat=True).first()
        or rows.order_by("-deleted_at").values_list("pk", flat=True).first()
    )
    return get_object_or_404(rows, pk=pk)


def _mailbox_to_change(request: HttpRequest, pk: int) -> Mailbox:
    mailbox = mailbox_of_page(request, pk)
    manager_of(request, mailbox.domain.customer)
    return mailbox


def _usage(mailbox: Mailbox) -> dict[str, int | None] | None:
    """Return what a mailbox holds, from Dovecot, or None where it does not answer."""
    quota = read_usage(mailbox)
    if quota is None:
        return None
    return {"used_bytes": quota.used_bytes, "messages": quota.messages, "limit_bytes": mailbox.quota_bytes}
