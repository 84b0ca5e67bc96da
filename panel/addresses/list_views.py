"""Pages of many mailboxes: the list, what they hold, and what is done to several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from panel.accounts.access import person_of
from panel.accounts.models import User
from panel.accounts.selectors import may_change_some
from panel.addresses import selectors, services
from panel.addresses.listed import listed
from panel.addresses.models import Domain, Mailbox
from panel.addresses.selected import do_to_each
from panel.addresses.usage import TOGETHER, is_stale, may_be_asked, refresh_usage, seen
from panel.core.forms import ConfirmForm, ReasonForm, VersionedForm
from panel.core.pages import PAGE_SIZE, handle_form, long_page_of

#: What a list may be sorted by, and the columns. Each has an index: created in the order of their ids.
SORTS = {
    "address": ("address", "pk"),
    "-address": ("-address", "-pk"),
    "used_bytes": ("used_bytes", "pk"),
    "-used_bytes": ("-used_bytes", "-pk"),
    "created_at": ("pk",),
    "-created_at": ("-pk",),
}
#: Domains that one may choose from; with more of them one searches.
DOMAINS_NAMED = 200


@login_required
@require_safe
@vary_on_headers("HX-Request")  # or the browser's Back shows the part that htmx fetched
def list_mailboxes(request: HttpRequest) -> HttpResponse:
    """The mailboxes that a person may see."""
    return mailbox_list(request)


def mailbox_list(request: HttpRequest, above: Mapping[str, Any] | None = None) -> HttpResponse:
    """Answer with the mailboxes that a person may see, or with the part of that page that htmx asks for.

    Args:
        request: whose.
        above: what stands above the list where it is somebody's home, such as what needs their attention.
    """
    person = person_of(request)
    q, state = request.GET.get("q", ""), request.GET.get("state", "")
    sort, domain = request.GET.get("sort", "address"), request.GET.get("domain", "").replace("\x00", "")
    rows = selectors.search_mailboxes(selectors.in_state(selectors.mailboxes_for(person), state), q)
    if domain:
        rows = rows.filter(domain__in=Domain.objects.filter(name=domain))
    page = long_page_of(request, rows.order_by(*SORTS.get(sort, SORTS["address"])))
    now = timezone.now()
    domains = selectors.living_domains_for(person)[:DOMAINS_NAMED]
    partial = request.headers.get("HX-Request") == "true"
    context = {
        "page_obj": page,
        "rows": listed(list(page)),
        "stale": _questions([mailbox.pk for mailbox in page if is_stale(mailbox, now)]),
        "watched": _watched({mailbox.pk: seen(mailbox) for mailbox in page if may_be_asked(mailbox)}),
        "q": q,
        "sort": sort,
        "state": state,
        "states": [
            *Mailbox.State.choices,
            (selectors.FULL, _("Almost full")),
            (selectors.HELD, _("Legal hold")),
        ],
        "domain": domain,
        "domains": domains,
        "domain_choices": () if partial else [(each.name, each.unicode_name) for each in domains],
        "may_change": may_change_some(person),
        "seen": any(mailbox.last_seen_at for mailbox in page),
        **(above or {}),
    }
    template = "addresses/_mailboxes.html" if partial else "addresses/list_mailboxes.html"
    return render(request, template, context)


def _questions(stale: Sequence[int]) -> list[str]:
    """Return what to ask `show_usage` for: some mailboxes at a time, so that the first are known soon."""
    return [
        urlencode([("id", pk) for pk in stale[start : start + TOGETHER]])
        for start in range(0, len(stale), TOGETHER)
    ]


def _watched(states: Mapping[int, str]) -> str:
    """Return what to ask `follow_usage` for, while the page is open: the mailboxes, and in which state each was."""
    return urlencode([("seen", f"{pk}.{state}") for pk, state in states.items()])


@login_required
@require_safe
def follow_usage(request: HttpRequest) -> HttpResponse:
    """What those mailboxes of an open page hold that changed since, each to be put in its place; 204 for none.

    That none did costs a query and a stat for each; Dovecot is asked about the others alone, some at a time.
    """
    shown = dict(part.partition(".")[::2] for part in request.GET.getlist("seen"))
    now = {mailbox: seen(mailbox) for mailbox in _named(request, shown) if may_be_asked(mailbox)}
    changed = [each for each, state in now.items() if state and state != shown.get(str(each.pk))][:TOGETHER]
    known = refresh_usage(changed) if changed else []
    if not known:
        return HttpResponse(status=204)
    states = {
        mailbox.pk: state if mailbox in known else shown.get(str(mailbox.pk), "")
        for mailbox, state in now.items()
    }
    context = {"rows": listed(known), "watched": _watched(states)}
    return render(request, "addresses/_usages.html", context)


@login_required
@require_safe
def show_usage(request: HttpRequest) -> HttpResponse:
    """What the mailboxes of a page hold at this moment, each to be put in its place; 204 where nothing is known."""
    now = timezone.now()
    known = refresh_usage([mailbox for mailbox in _chosen(request) if is_stale(mailbox, now)][:TOGETHER])
    if not known:
        return HttpResponse(status=204)
    return render(request, "addresses/_usages.html", {"rows": listed(known)})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def suspend_mailboxes(request: HttpRequest) -> HttpResponse:
    """Shut the owners of several mailboxes out."""
    form = ReasonForm(request.POST or None)
    return _change_chosen(
        request,
        form,
        lambda mailbox: services.suspend_mailbox(mailbox=mailbox, reason=form.cleaned_data["reason"]),
        "suspend",
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def resume_mailboxes(request: HttpRequest) -> HttpResponse:
    """Let the owners of several mailboxes in again."""
    return _change_chosen(
        request,
        VersionedForm(request.POST or None),
        lambda mailbox: services.resume_mailbox(mailbox=mailbox),
        "resume",
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete_mailboxes(request: HttpRequest) -> HttpResponse:
    """Delete several mailboxes, after their number was typed."""
    form = ConfirmForm(request.POST or None, expected=(str(len(_chosen(request))),))
    return _change_chosen(request, form, lambda mailbox: services.delete_mailbox(mailbox=mailbox), "delete")


def _change_chosen(
    request: HttpRequest, form: VersionedForm, act: Callable[[Mailbox], object], verb: str
) -> HttpResponse:
    """Ask whether to do something to the chosen mailboxes, do it to each, and say what became of each."""
    person = person_of(request)
    if not may_change_some(person):
        raise PermissionDenied
    chosen = _chosen(request)
    if not chosen:
        messages.info(request, _("Choose the mailboxes first: tick them in the list."))
        return redirect("list_mailboxes")

    def save() -> HttpResponse:
        return _answer(request, person, chosen, act, verb)

    context = {
        "mailboxes": chosen,
        "used_bytes": sum(mailbox.used_bytes or 0 for mailbox in chosen),
        "all_known": all(mailbox.used_bytes is not None for mailbox in chosen),
        "until": timezone.now() + settings.DELETION_WINDOW,
    }
    return handle_form(request, form, save, f"addresses/{verb}_mailboxes.html", context)


def _answer(
    request: HttpRequest,
    person: User,
    chosen: Sequence[Mailbox],
    act: Callable[[Mailbox], object],
    verb: str,
) -> HttpResponse:
    outcome = do_to_each(person, chosen, act)
    words = _done(verb, len(outcome.done))
    if outcome.refused:
        return render(request, "addresses/partly_changed.html", {"outcome": outcome, "words": words})
    messages.success(request, words)
    return redirect("list_mailboxes")


def _done(verb: str, number: int) -> str:
    if verb == "suspend":
        text = ngettext("%(number)s mailbox is suspended.", "%(number)s mailboxes are suspended.", number)
    elif verb == "resume":
        text = ngettext("%(number)s mailbox is resumed.", "%(number)s mailboxes are resumed.", number)
    else:
        text = ngettext(
            "%(number)s mailbox is deleted. It can still be restored.",
            "%(number)s mailboxes are deleted. They can still be restored.",
            number,
        )
    return text % {"number": number}


def _chosen(request: HttpRequest) -> list[Mailbox]:
    """Return the mailboxes that a page's `id`s name, as far as the person may see them: a page's worth at most."""
    given = request.POST if request.method == "POST" else request.GET
    return _named(request, given.getlist("id"))


def _named(request: HttpRequest, texts: Iterable[str]) -> list[Mailbox]:
    """Return the mailboxes of these ids, as far as the person may see them: a page's worth at most."""
    ids = {int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19}
    rows = selectors.mailboxes_for(person_of(request)).filter(pk__in=sorted(ids)[:PAGE_SIZE])
    return list(rows.order_by("address", "pk"))
