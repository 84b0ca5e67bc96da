"""Pages of a mailbox's devices: device passwords, and what connects. Open to the mailbox's owner.

Whoever may see the mailbox sees its devices; whoever may change it, and its owner, may make, change and revoke.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts.access import open_to_owners, person_of
from panel.addresses import device_passwords, sessions
from panel.addresses.hub import hub, mailbox_looked_after_by, mailbox_of_page
from panel.addresses.models import DevicePassword, Mailbox
from panel.addresses.selectors import devices_for
from panel.connections.device_forms import OWN, CreateDeviceForm, EditDeviceForm
from panel.connections.mailbox_selectors import connections_of
from panel.connections.models import Connection
from panel.connections.recognised import by_main_password, recognised_in
from panel.connections.words import device_name, program_name
from panel.core.forms import VersionedForm
from panel.core.pages import ask_first, handle_form, press_button

#: Recognised devices of one page; and programs that a question names.
PAGE, NAMED = 20, 10
#: How far back the question looks for what uses the mailbox's own password.
ASKED_ABOUT = timedelta(days=30)


@open_to_owners
@login_required
@require_safe
def list_devices(request: HttpRequest, pk: int) -> HttpResponse:
    """Device passwords of a mailbox, and the devices that were recognised."""
    mailbox = mailbox_of_page(request, pk)
    rows = list(devices_for(person_of(request), mailbox).filter(revoked_at=None))
    found = recognised_in(mailbox, timezone.now())
    context = {
        **_hub(request, mailbox),
        **_slots(mailbox),
        "devices": rows,
        "page_obj": Paginator(found, PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "connections/list_devices.html", context)


@never_cache
@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create_device(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a device password and show it: now, and never again."""
    mailbox = mailbox_looked_after_by(request, pk)
    slots = _slots(mailbox)
    form = CreateDeviceForm(request.POST or None, mailbox=mailbox, free=slots["free"])

    def save() -> HttpResponse:
        values = form.cleaned_data
        device, password = device_passwords.create_device(
            mailbox=mailbox,
            label=values["label"],
            imap=values["imap"],
            pop3=values["pop3"],
            expires_at=form.expires_at,
            own_view=values["view"] == OWN,
            continues_main=values["continues_main"],
            by=person_of(request),
        )
        return _show_once(request, device, password)

    context = {**_hub(request, mailbox), **slots}
    return handle_form(request, form, save, "connections/create_device.html", context)


@never_cache
@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def renew_device(request: HttpRequest, pk: int, device_pk: int) -> HttpResponse:
    """Ask first, then give a device a new password and show it: now, and never again."""
    device = _device_to_change(request, pk, device_pk)
    form = VersionedForm(request.POST if request.method == "POST" else None)

    def save() -> HttpResponse:
        return _show_once(request, device, device_passwords.renew_device(device=device))

    return handle_form(request, form, save, "connections/renew_device.html", _of(request, device))


@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_device(request: HttpRequest, pk: int, device_pk: int) -> HttpResponse:
    """Change what a device password is called, what it opens, and until when."""
    device = _device_to_change(request, pk, device_pk)
    form = EditDeviceForm(request.POST or None, device=device)

    def save() -> HttpResponse:
        values = form.cleaned_data
        device_passwords.edit_device(
            device=device,
            label=values["label"],
            imap=values["imap"],
            pop3=values["pop3"],
            expires_at=form.expires_at if "last_day" in form.changed_data else device_passwords.SAME,
        )
        messages.success(request, _("Saved."))
        return redirect("list_devices", pk)

    return handle_form(request, form, save, "connections/edit_device.html", _of(request, device))


@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_device(request: HttpRequest, pk: int, device_pk: int) -> HttpResponse:
    """Ask first, then end a device password for good."""
    device = _device_to_change(request, pk, device_pk)
    return ask_first(
        request,
        VersionedForm(request.POST if request.method == "POST" else None),
        lambda: device_passwords.revoke_device(device=device),
        _("“%(device)s” is revoked: it cannot connect any more.") % {"device": device.label},
        "connections/revoke_device.html",
        _of(request, device),
        "list_devices",
        pk,
    )


@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def require_devices(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask first, then have mail programs need a device password; or no more."""
    mailbox = mailbox_looked_after_by(request, pk)
    required = not mailbox.device_required
    if request.method == "POST":
        # What the page offered when it was shown: a second click does not turn it around.
        required = request.POST.get("required", "") == "yes"
    done = (
        _("Mail programs need a device password now.")
        if required
        else _("The mailbox's own password opens mail programs again.")
    )
    form = VersionedForm(request.POST if request.POST.get("required") in ("yes", "no") else None)
    programs = by_main_password(mailbox, timezone.now(), within=ASKED_ABOUT) if required else []
    context = {
        **_hub(request, mailbox),
        "required": required,
        "programs": programs[:NAMED],
        "sessions": sum(each.sessions for each in programs),
        "days": ASKED_ABOUT.days,
    }
    return ask_first(
        request,
        form,
        lambda: device_passwords.require_devices(mailbox=mailbox, required=required),
        done,
        "connections/require_devices.html",
        context,
        "list_devices",
        pk,
    )


@open_to_owners
@login_required
@require_safe
def report_device(request: HttpRequest, pk: int, connection_pk: int) -> HttpResponse:
    """What can be done about a device that is not one's own: `connection_pk` is a session of it."""
    mailbox = mailbox_looked_after_by(request, pk)
    # Who was refused knows no password that works: there is nothing to be taken from them.
    row = get_object_or_404(connections_of(mailbox), pk=connection_pk, outcome=Connection.Outcome.ACCEPTED)
    device = row.device if row.device_id is not None else None
    context = {
        **_hub(request, mailbox),
        "row": row,
        "name": device_name(row) or program_name(row),
        "device": device if device and device.revoked_at is None else None,
        "by_device": row.device_id is not None,
    }
    return render(request, "connections/report_device.html", context)


@open_to_owners
@login_required
@require_POST
def end_mailbox_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    """End whatever is signed in to a mailbox. Programs that know a password come back by themselves."""
    mailbox = mailbox_looked_after_by(request, pk)
    return press_button(
        request,
        lambda: sessions.end_by_hand(mailbox),
        _("Whatever was signed in is disconnected. What knows a password that works comes back by itself."),
        "list_devices",
        pk,
    )


def _show_once(request: HttpRequest, device: DevicePassword, password: str) -> HttpResponse:
    context = {**_of(request, device), "password": password}
    return render(request, "connections/show_device_password.html", context)


def _device_to_change(request: HttpRequest, pk: int, device_pk: int) -> DevicePassword:
    mailbox = mailbox_looked_after_by(request, pk)
    return get_object_or_404(devices_for(person_of(request), mailbox), pk=device_pk)


def _of(request: HttpRequest, device: DevicePassword) -> dict[str, Any]:
    return {**_hub(request, device.mailbox), "device": device}


def _hub(request: HttpRequest, mailbox: Mailbox) -> dict[str, Any]:
    shared = hub(request, mailbox)
    may = shared["may_change"] or person_of(request).is_mailbox
    return {
        **shared,
        "here_tab": "list_devices",
        "may_use": may and mailbox.state != Mailbox.State.DELETED,
    }


def _slots(mailbox: Mailbox) -> dict[str, Any]:
    states = [slot.state for slot in device_passwords.slots_of(mailbox)]
    return {
        "slots": len(states),
        "free": states.count(device_passwords.Slot.FREE),
        "draining": states.count(device_passwords.Slot.DRAINING),
    }
