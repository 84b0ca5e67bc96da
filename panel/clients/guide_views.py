"""The page that sets a mail program up: for anybody who has an address, and for a mailbox with everything.

The public one says what the address's domain says, and asks the database nothing about the address: nobody finds out
by it which addresses exist. The mailbox's own makes a device password in place and shows what comes of an attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from mailbackend.addresses import domain_for_people, parse_address
from panel.accounts.access import open_to_owners, person_of
from panel.accounts.models import User
from panel.addresses import device_passwords
from panel.addresses.hub import hub, mailbox_looked_after_by, mailbox_of_page
from panel.addresses.inherited import PopPolicy, what_counts
from panel.addresses.mail_servers import (
    incoming_servers,
    outgoing_server,
    protocols_of_mailbox,
    servers_of,
)
from panel.addresses.models import Domain, Mailbox
from panel.addresses.selectors import devices_for, mailboxes_for
from panel.clients.authority import authority_url
from panel.clients.dns_standing import standing_of
from panel.clients.guide import (
    Choices,
    Plan,
    device_label,
    device_names,
    plan_for,
    read_choices,
    use_names,
)
from panel.clients.guide_forms import AskedForm, DeviceLabelForm
from panel.clients.live_check import ways_of
from panel.clients.programs import Guide, Program, facts_of, guide, programs
from panel.clients.records import Subject
from panel.connections.mailbox_pages import entry_of
from panel.connections.recorder import is_at_work
from panel.connections.set_up_checks import check_of, cursor_of, news_since
from panel.connections.watching import Cursor, plain_ip
from panel.core.errors import Problem

#: By which record a program finds the settings, by its ways; the one that it asks for first.
_LEADS = {"autoconfig": Subject.AUTOCONFIG, "autodiscover": Subject.AUTODISCOVER}
#: What stands for a mail program that nobody describes: it gets the settings and no steps.
OTHER = "other"


@open_to_owners
@require_safe
def setup_address(request: HttpRequest) -> HttpResponse:
    """How any mail program is set up for an address; asks for the address first. Open to everybody."""
    form = AskedForm(request.GET if "address" in request.GET else None)
    if not form.is_valid():
        return render(request, "clients/ask_address.html", {"form": form}, status=422 if form.errors else 200)
    asked, choices = form.asked, _choices(request)
    context = {
        **_guide(asked.address, asked.domain, asked.protocols, asked.pop, choices),
        "mailbox": _own(request, asked.address),
        "domain_name": domain_for_people(asked.domain_name),
        "is_public": True,
    }
    return render(request, "clients/set_up_address.html", context)


@never_cache
@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def set_up_mailbox(request: HttpRequest, pk: int) -> HttpResponse:
    """How any mail program is set up for a mailbox, what comes of its attempts, and a password for the device.

    POST makes the password and shows it on the same page: now, and never again. Polled with `since`: 204 when nothing
    happened after it. Without a script a link asks again with `start`.
    """
    is_post = request.method == "POST"
    mailbox = mailbox_looked_after_by(request, pk) if is_post else mailbox_of_page(request, pk)
    choices, protocols = _choices(request), protocols_of_mailbox(mailbox)
    since = cursor_of(request)
    if since is not None and not is_post:
        return _news(request, mailbox, since, _told_of(choices, protocols))
    context = {
        **hub(request, mailbox),
        **_guide(mailbox.address, mailbox.domain, protocols, what_counts(mailbox).pop, choices),
        **_check(request, mailbox, _told_of(choices, protocols)),
        "is_stopped": mailbox.state in (Mailbox.State.DELETED, Mailbox.State.SUSPENDED),
        "at_work": is_at_work(settings.DATA_DIR),
        "remote_ip": plain_ip(request.META.get("REMOTE_ADDR", "")),
    }
    if not _may_make_password(request, context):
        return render(request, "clients/set_up_mailbox.html", context)
    form = DeviceLabelForm(
        request.POST if is_post else None, proposed=_label(person_of(request), mailbox, choices)
    )
    if is_post and form.is_valid():
        try:
            context |= _make_password(request, mailbox, form.cleaned_data["label"], context["plan"])
        except Problem as problem:
            form.add_problem(problem)
    context["form"] = form
    return render(request, "clients/set_up_mailbox.html", context, status=422 if form.errors else 200)


# -- what both pages say ---------------------------------------------------------------------------------------------


def _choices(request: HttpRequest) -> Choices:
    return read_choices(
        request.GET.dict(),
        user_agent=request.headers.get("User-Agent", ""),
        platform=request.headers.get("Sec-CH-UA-Platform", ""),
    )


def _guide(
    address: str, domain: Domain | None, protocols: tuple[str, ...], pop: PopPolicy, choices: Choices
) -> dict[str, Any]:
    """Return what a page says of an address: what is recommended, the program's steps, the servers."""
    plan, parsed = plan_for(choices, protocols), parse_address(address)
    offered = _offered(choices.device, plan.protocol)
    program = _program(offered, choices.program)
    is_ready = choices.is_complete and bool(plan.protocol) and not plan.is_off
    steps = _steps(program, plan.protocol, address, pop) if program and is_ready else None
    return {
        "address": address,
        "display_address": parsed.for_people,
        "local_part": parsed.local_part,
        "ascii_domain": parsed.domain,
        "share_url": f"{settings.ENVIRONMENT.panel_url}{reverse('setup_address')}?address={address}",
        "choices": choices,
        "devices": device_names(),
        "device_name": dict(device_names()).get(choices.device, ""),
        "uses": use_names(),
        "plan": plan,
        "protocols": protocols,
        "offers_pop": bool(incoming_servers("pop3")),
        "pop": pop,
        "programs": offered,
        "program": program,
        "is_ready": is_ready,
        "guide": steps,
        "finds_settings": bool(steps and program and domain and _finds_settings(program, domain)),
        "trust_url": "" if steps and steps.tells_of_authority else authority_url(),
        "servers": servers_of((plan.protocol,) if is_ready else protocols),
        "outgoing": outgoing_server(),
    }


def _offered(device: str, protocol: str) -> list[Program]:
    """Return the programs to choose from; last those that hand the password to somebody else, who fetches the mail."""
    found = [
        program
        for program in programs(get_language() or settings.LANGUAGE_CODE)
        if device in program.devices and protocol in program.protocols
    ]
    return sorted(found, key=lambda program: bool(program.finds_ip_of))


def _program(offered: Sequence[Program], slug: str) -> Program | None:
    """Return the program that was chosen, the first where none was, or None for one that nobody describes."""
    if slug == OTHER:
        return None
    return next((each for each in offered if each.slug == slug), offered[0] if offered else None)


def _steps(program: Program, protocol: str, address: str, pop: PopPolicy) -> Guide | None:
    facts = facts_of(address, protocol, pop)
    return guide(program, protocol, facts) if facts else None


def _finds_settings(program: Program, domain: Domain) -> bool:
    """Say whether the DNS, when it was last looked at, led the program to the settings. Waits for no answer."""
    subject = next((_LEADS[way] for way in program.ways if way in _LEADS), None)
    return subject is not None and standing_of(domain.name).leads_here(subject)


def _own(request: HttpRequest, address: str) -> Mailbox | None:
    """Return the mailbox that was asked about, to somebody who is signed in and may see it. Nobody else is told."""
    if not isinstance(request.user, User):
        return None
    return mailboxes_for(request.user).filter(address=address, deleted_at=None).first()


# -- the live check --------------------------------------------------------------------------------------------------


def _told_of(choices: Choices, protocols: Sequence[str]) -> list[str]:
    """Return the protocols of which the check says even that nothing came: the one of the steps, if there is one."""
    protocol = plan_for(choices, protocols).protocol
    return [protocol] if protocol else []


def _check(request: HttpRequest, mailbox: Mailbox, protocols: list[str]) -> dict[str, Any]:
    check = check_of(request, mailbox)
    return {
        "start": check.start,
        "cursor": check.cursor,
        "ways": ways_of(mailbox, check.connections, protocols),
    }


def _news(request: HttpRequest, mailbox: Mailbox, since: Cursor, protocols: list[str]) -> HttpResponse:
    latest = news_since(request, mailbox, since).connections
    if not latest:
        return HttpResponse(status=204)
    context = {
        **_check(request, mailbox, protocols),
        "mailbox": mailbox,
        "latest": entry_of(latest[0], mailbox),
    }
    return render(request, "clients/_live_check.html", context)


# -- the device's password -------------------------------------------------------------------------------------------


def _may_make_password(request: HttpRequest, context: dict[str, Any]) -> bool:
    may = context["may_change"] or person_of(request).is_mailbox
    return may and context["is_ready"] and not context["is_stopped"]


def _make_password(request: HttpRequest, mailbox: Mailbox, label: str, plan: Plan) -> dict[str, Any]:
    """Make a device password for the protocol of the steps, with a view of its own where POP has one left."""
    device, password = device_passwords.create_device(
        mailbox=mailbox,
        label=label,
        imap=plan.protocol == "imap",
        pop3=plan.protocol == "pop3",
        own_view=bool(device_passwords.free_slots(mailbox)),
        by=person_of(request),
    )
    return {"device": device, "password": password}


def _label(person: User, mailbox: Mailbox, choices: Choices) -> str:
    living = devices_for(person, mailbox).filter(revoked_at=None)
    return device_label(choices.device, set(living.values_list("label", flat=True)))
