"""Pages of what was removed from a mailbox: what it is, bringing it back, erasing it for good.

Heads of messages are shown, their text never. Whoever may see the mailbox may see the list; whoever may change the
mailbox, and its owner, may bring back and erase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Min
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbackend.dovecot.doveadm import DoveadmError
from panel.accounts.access import open_to_owners, person_of
from panel.addresses.holding import refusal
from panel.addresses.hub import hub, mailbox_looked_after_by, mailbox_of_page
from panel.addresses.models import Mailbox
from panel.connections import recovering, removals, restoring
from panel.connections.gone import NAMED, sessions_named
from panel.connections.removals import recovery_time
from panel.connections.restoring import Choice
from panel.core import mail
from panel.core.errors import Problem
from panel.core.forms import VersionedForm
from panel.core.models import Job

_UID_MAX = 2**32 - 1


class SinceForm(VersionedForm):
    """Since when everything that was removed is to be brought back."""

    since = forms.DateTimeField(
        label=gettext_lazy("Deleted since"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
    )
    offer_to_pop = forms.BooleanField(
        label=gettext_lazy("Let POP programs download them again"),
        required=False,
    )


@open_to_owners
@login_required
@require_safe
def list_removed_mail(request: HttpRequest, pk: int) -> HttpResponse:
    """What was removed from a mailbox and can be brought back, the latest first."""
    mailbox = mailbox_of_page(request, pk)
    text = request.GET.get("q", "").replace("\x00", "").strip()[:254]
    names = request.GET.getlist("session")
    sessions = sessions_named(mailbox, names)
    if names and not sessions:
        raise Http404
    context = {
        **_hub(request, mailbox),
        "q": text,
        "chosen": names[:NAMED] if sessions else [],
        "job": _job(mailbox, request.GET.get("job", "")),
        "days": recovery_time(mailbox).days,
        "searched": recovering.LOOKED_THROUGH,
        "form": SinceForm(initial={"since": _since(request, mailbox, sessions)}),
    }
    try:
        listing = recovering.listing_for(
            person_of(request), mailbox, text, request.GET.get("page", ""), sessions=sessions
        )
    except (DoveadmError, Problem) as err:
        return render(request, "connections/recover.html", {**context, "trouble": str(err)}, status=503)
    return render(request, "connections/recover.html", {**context, **vars(listing)})


@open_to_owners
@login_required
@require_POST
def restore_removed_mail(request: HttpRequest, pk: int) -> HttpResponse:
    """Bring back the messages that are ticked, or all that were removed since a time."""
    mailbox = mailbox_looked_after_by(request, pk)
    if "since" in request.POST:
        return _restore_since(request, mailbox)
    uids = _uids(request.POST.getlist("id"))
    if not uids:
        messages.error(request, _("Tick the messages that you want back."))
        return redirect("list_removed_mail", pk)
    choice = Choice(uids=uids)
    _say_how_it_went(request, mailbox, choice, offer_to_pop="offer_to_pop" in request.POST)
    return redirect("list_removed_mail", pk)


@open_to_owners
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def erase_removed_mail(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask before ticked messages end for good; then end them."""
    mailbox = mailbox_looked_after_by(request, pk)
    given = request.POST if request.method == "POST" else request.GET
    uids = _uids(given.getlist("id"))
    if not uids:
        messages.error(request, _("Tick the messages that are to be erased."))
        return redirect("list_removed_mail", pk)
    if mailbox.held_at:
        messages.error(request, str(refusal(mailbox)))
        return redirect("list_removed_mail", pk)
    context = {**_hub(request, mailbox), "form": VersionedForm(), "uids": sorted(uids)}
    if request.method != "POST":
        return _or_back(request, mailbox, lambda: _ask_to_erase(request, mailbox, context, uids))

    def erase() -> HttpResponse:
        count = restoring.erase(mailbox, Choice(uids=uids))
        words = ngettext("%(count)s message is erased.", "%(count)s messages are erased.", count)
        messages.success(request, words % {"count": count})
        return redirect("list_removed_mail", pk)

    return _or_back(request, mailbox, erase)


def _since(request: HttpRequest, mailbox: Mailbox, sessions: Sequence[tuple[str, str]]) -> datetime:
    """Return what is offered as the begin of what is to come back: of some sessions, when they began to remove."""
    if sessions:
        rows = removals.removed_by(person_of(request), mailbox, sessions).order_by()
        first: datetime | None = rows.aggregate(first=Min("removed_at"))["first"]
        if first is not None:
            return timezone.make_naive(first)
    yesterday = timezone.localtime() - timedelta(days=1)
    return datetime.combine(yesterday.date(), time(9))


def _ask_to_erase(
    request: HttpRequest, mailbox: Mailbox, context: dict[str, Any], uids: frozenset[int]
) -> HttpResponse:
    found = recovering.described(person_of(request), mailbox, uids)
    return render(request, "connections/erase_removed_mail.html", {**context, "found": found})


def _restore_since(request: HttpRequest, mailbox: Mailbox) -> HttpResponse:
    form = SinceForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose a day and a time since when deleted messages are to come back."))
        return redirect("list_removed_mail", mailbox.pk)
    now = timezone.now()
    since, offer_to_pop = form.cleaned_data["since"], form.cleaned_data["offer_to_pop"]
    choice = Choice(since=since, until=now)

    def bring_back() -> HttpResponse:
        if mailbox.state == Mailbox.State.DELETED:
            raise Problem(_("The mailbox is deleted: restore it first, then its removed messages."))
        api = mail.doveadm(timeout=recovering.WAIT)
        if len(restoring.chosen(api, mailbox, choice)) <= restoring.WHILE_WAITING:
            _say_how_it_went(request, mailbox, choice, offer_to_pop=offer_to_pop)
            return redirect("list_removed_mail", mailbox.pk)
        job = restoring.start_restoring(mailbox, since=since, until=now, offer_to_pop=offer_to_pop)
        return redirect(f"{reverse('list_removed_mail', args=[mailbox.pk])}?{urlencode({'job': job})}")

    return _or_back(request, mailbox, bring_back)


def _say_how_it_went(request: HttpRequest, mailbox: Mailbox, choice: Choice, *, offer_to_pop: bool) -> None:
    try:
        result = restoring.restore(mailbox, choice, offer_to_pop=offer_to_pop)
    except (Problem, DoveadmError) as err:
        messages.error(request, str(err))
        return
    for problem in result.problems(mailbox):
        messages.error(request, problem)
    if result.restored:
        words = ngettext(
            "%(count)s message is back in its folder.",
            "%(count)s messages are back in their folders.",
            result.restored,
        )
        messages.success(request, words % {"count": result.restored})
    elif not result.asked:
        messages.info(request, _("There was nothing to recover."))


def _or_back(request: HttpRequest, mailbox: Mailbox, act: Callable[[], HttpResponse]) -> HttpResponse:
    """Do something with removed mail; what cannot be done is told on the list."""
    try:
        return act()
    except (Problem, DoveadmError) as err:
        messages.error(request, str(err))
        return redirect("list_removed_mail", mailbox.pk)


def _hub(request: HttpRequest, mailbox: Mailbox) -> dict[str, Any]:
    shared = hub(request, mailbox)
    return {
        **shared,
        "here_tab": "list_removed_mail",
        "may_recover": (shared["may_change"] or person_of(request).is_mailbox)
        and mailbox.state != Mailbox.State.DELETED,
    }


def _uids(texts: list[str]) -> frozenset[int]:
    """Return the UIDs that a page's ticks name, as many as a page has at most."""
    plain = (
        text for text in texts[: recovering.PAGE] if text.isascii() and text.isdigit() and len(text) < 11
    )
    return frozenset(uid for uid in map(int, plain) if 1 <= uid <= _UID_MAX)


def _job(mailbox: Mailbox, text: str) -> Job | None:
    """Return the job of this mailbox that a page's address names, else one that is not done yet."""
    jobs = Job.objects.filter(kind="restore_removed_mail", arguments__mailbox=mailbox.pk)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return jobs.filter(pk=int(text)).first()
    return jobs.filter(state__in=[Job.State.QUEUED, Job.State.RUNNING]).first()
