"""Pages of retention: what counts somewhere and where it comes from, changing it, and what a change would end.

The same pages serve the platform, a customer, a domain and a mailbox. Whoever may see a level sees what counts there;
administrators change what the platform says, owners what their customer says, managers the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mailbackend.dovecot.names import RECOVERABLE
from panel.accounts.access import admin_of, customer_of, open_to_owners, person_of
from panel.accounts.models import Customer, User
from panel.accounts.selectors import may_manage, may_own
from panel.addresses.hub import hub, mailbox_of_page
from panel.addresses.inherited import Inherited, Origin, what_counts, what_would_count
from panel.addresses.models import Domain, Mailbox
from panel.addresses.selectors import living_domains_for, mailboxes_for
from panel.core.errors import Problem
from panel.core.models import Installation
from panel.core.pages import handle_form, page_of, press_button
from panel.retention import changing, due, runs
from panel.retention.changing import FOLDER_MAX, Figures
from panel.retention.models import PurgeItem, PurgeRun, RuleChange
from panel.retention.rule_forms import ConfirmChangeForm, RecoveryForm, RuleForm
from panel.retention.rules import ROLES, Effective, Level, folder_name, for_folder, said_at


@dataclass(frozen=True)
class Place:
    """A level as its pages show it.

    Attributes:
        level: which; None is the platform.
        kind: platform, customer, domain or mailbox: what its URLs are called.
        arguments: of its URLs.
        name: as people write it, or empty for the platform.
        may_change: whether whoever asks may.
    """

    level: Level
    kind: str
    arguments: tuple[Any, ...]
    name: str
    may_change: bool

    @property
    def row(self) -> Any:
        """What the level's own settings stand in."""
        return Installation.objects.get() if self.level is None else self.level

    @property
    def url(self) -> str:
        """Where its rules are."""
        return self._url("rules")

    @property
    def edit_url(self) -> str:
        """Where a rule of it is set."""
        return self._url("rule")

    @property
    def recovery_url(self) -> str:
        """Where it is said how long deleted messages can be recovered."""
        return self._url("recovery")

    @property
    def pop_url(self) -> str:
        """Where it is said what POP deletes."""
        names = {"mailbox": "set_mailbox_pop_policy", "platform": "platform_settings"}
        return reverse(names.get(self.kind, f"{self.kind}_settings"), args=self.arguments)

    @property
    def crumbs(self) -> dict[str, str]:
        """The way to its rules, as components/breadcrumbs.html takes it."""
        if self.kind == "platform":
            return {"url": reverse("platform_settings"), "label": _("Settings")}
        lists = {"customer": _("Customers"), "domain": _("Domains"), "mailbox": _("Mailboxes")}
        plural = {"customer": "list_customers", "domain": "list_domains", "mailbox": "list_mailboxes"}
        return {
            "url": reverse(plural[self.kind]),
            "label": lists[self.kind],
            "url2": reverse(f"show_{self.kind}", args=self.arguments),
            "label2": self.name,
        }

    def _url(self, name: str) -> str:
        return reverse(f"{self.kind}_{name}", args=self.arguments)


@dataclass(frozen=True)
class Line:
    """What counts for one folder.

    Attributes:
        folder: as Dovecot names it.
        name: as people call it.
        words: when messages in it end.
        origin: where that comes from, in words.
        origin_url: where it is said, or empty where whoever asks may not look.
        is_own: whether it is said here.
    """

    folder: str
    name: str
    words: str
    origin: str
    origin_url: str
    is_own: bool


@dataclass(frozen=True)
class Waiting:
    """A change that waits.

    Attributes:
        change: which.
        words: what it says.
        origin: of whom.
        url: its page, or empty where whoever asks may not look.
        may_cancel: whether they may cancel it.
    """

    change: RuleChange
    words: str
    origin: str
    url: str
    may_cancel: bool


@open_to_owners
@login_required
@require_safe
def list_rules(request: HttpRequest, kind: str, pk: int | None = None, name: str = "") -> HttpResponse:
    """What counts for a level: after how many days messages end, where that comes from, and what waits."""
    place = _place(request, kind, pk, name)
    person = person_of(request)
    said = said_at(place.level)
    counts = what_counts(place.row)
    context = {
        "place": place,
        "lines": list(_lines(said, place, person)),
        "counts": counts,
        "kept": _kept_copies(counts),
        "pop_origin": _url_of(counts.pop_from.row, person),
        "recovery_origin": _url_of(counts.recovery_from.row, person),
        "waiting": [_waiting(change, place, person) for change in changing.waiting_at(place.level)],
        "here_tab": "show_mailbox_settings",
    }
    if isinstance(place.level, Mailbox):
        return render(request, "retention/rules_of_mailbox.html", {**hub(request, place.level), **context})
    return render(request, "retention/rules.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_rule(request: HttpRequest, kind: str, pk: int | None = None, name: str = "") -> HttpResponse:
    """Say after how many days messages in a folder end."""
    place = _place_to_change(request, kind, pk, name)
    given = (request.POST if request.method == "POST" else request.GET).get("folder", "")
    # A form that lets choose says OTHER, or a role, beside a field for the other's name.
    folder = "" if request.method == "POST" and "other" in request.POST else _known(given)
    said = said_at(place.level)
    own = next((each for each in said if each.folder == folder and _is_of(each, place)), None)
    above = for_folder([each for each in said if not (each.folder == folder and _is_of(each, place))], folder)
    form = RuleForm(request.POST or None, folder=folder, own=own, above=above)

    def save() -> HttpResponse:
        change = changing.propose(
            place.level,
            form.chosen_folder,
            form.chosen_days,
            inherit=form.inherits,
            by=person_of(request),
            version=form.cleaned_data["version"],
        )
        return _go_on(request, place, change)

    context = {"place": place, "folder": folder_name(folder), "own": own, "above": above}
    return handle_form(request, form, save, "retention/rule.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_recovery(request: HttpRequest, kind: str, pk: int | None = None, name: str = "") -> HttpResponse:
    """Say for how many days deleted messages can be recovered."""
    place = _place_to_change(request, kind, pk, name)
    row = place.row
    form = RecoveryForm(
        request.POST or None,
        own=row.recovery_days,
        inherited=what_would_count(row).recovery_days,
        is_highest=place.level is None,
        version=row.version,
    )

    def save() -> HttpResponse:
        change = changing.propose_recovery(
            place.level, form.chosen_days, by=person_of(request), version=form.cleaned_data["version"]
        )
        return _go_on(request, place, change)

    return handle_form(request, form, save, "retention/recovery.html", {"place": place})


@open_to_owners
@login_required
@require_safe
def show_rule_change(request: HttpRequest, pk: int) -> HttpResponse:
    """What a change would end when it starts: a preview, which is confirmed or cancelled. Polled while it counts."""
    change, place = _change_and_place(request, pk)
    return render(request, "retention/rule_change.html", _preview(request, change, place))


@login_required
@require_POST
def confirm_rule_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Confirm a change with the figures that were shown."""
    change, place = _change_and_place(request, pk)
    if not place.may_change:
        raise PermissionDenied
    form = ConfirmChangeForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Look at what it would end first, then confirm it."))
        return redirect("show_rule_change", pk)
    try:
        changing.confirm(change, form.figures)
    except Problem as problem:
        messages.error(request, str(problem))
        return redirect("show_rule_change", pk)
    messages.success(request, _("Confirmed. Until it starts it can be cancelled."))
    return redirect(place.url)


@login_required
@require_POST
def cancel_rule_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel a change that has not started."""
    change, place = _change_and_place(request, pk)
    if not place.may_change:
        raise PermissionDenied
    return press_button(
        request, lambda: changing.cancel(change), _("Cancelled. Nothing ends by it."), place.url
    )


def _go_on(request: HttpRequest, place: Place, change: RuleChange | None) -> HttpResponse:
    """Go on to the preview of a change, or say that it counts already."""
    if change is not None:
        return redirect("show_rule_change", change.pk)
    messages.success(request, _("Saved. It counts from now on: nothing ends earlier than before."))
    return redirect(place.url)


def _preview(request: HttpRequest, change: RuleChange, place: Place) -> dict[str, Any]:
    figures = changing.figures_of(change)
    run = runs.preview_of(change) if change.folder != RECOVERABLE else None
    context = {
        "change": change,
        "place": place,
        "words": _change_words(change),
        "folder": folder_name(change.folder),
        "is_recovery": change.folder == RECOVERABLE,
        "figures": figures,
        "run": run,
        "counting": run is not None and run.is_counting and not change.cancelled_at,
        "confirm_until": changing.confirm_until(change),
        "form": ConfirmChangeForm(initial=_initial(figures)),
    }
    if run is not None and figures is not None:
        context["page_obj"] = page_of(request, _items(person_of(request), run))
    if context["counting"]:
        context["total"] = due.mailboxes_below(place.level).count()
    return context


def _initial(figures: Figures | None) -> dict[str, Any]:
    if figures is None:
        return {}
    return {"mailboxes": figures.mailboxes, "messages": figures.messages, "bytes": figures.bytes}


def _items(person: User, run: PurgeRun) -> QuerySet[PurgeItem]:
    """Return what a run found due in each folder of the mailboxes that a person may see."""
    seen = mailboxes_for(person).order_by().values("pk")
    rows = run.items.select_related("mailbox__domain").filter(mailbox__in=seen, messages__gt=0)
    return rows.order_by("mailbox__address", "folder", "pk")


def _lines(said: list[Effective], place: Place, person: User) -> Iterator[Line]:
    """Yield what counts: for the folders that every mailbox has, then for others that something is said of."""
    others = sorted({each.folder for each in said} - set(ROLES))
    for folder in (*ROLES, *others):
        counts = for_folder(said, folder)
        is_own = counts is not None and counts.folder == folder and _is_of(counts, place)
        row = None if counts is None else _row_of(counts.level)
        yield Line(
            folder=folder,
            name=folder_name(folder),
            words=_days_in_words(counts.days if counts else None),
            origin=Origin(row, is_own=is_own).remark if counts else _("no rule"),
            origin_url="" if is_own else _url_of(row, person),
            is_own=is_own,
        )


def _waiting(change: RuleChange, place: Place, person: User) -> Waiting:
    is_own = change.level == place.level
    may_look = is_own or _may_look(person, change.level)
    return Waiting(
        change=change,
        words=_change_words(change),
        origin=Origin(_row_of(change.level), is_own=is_own).remark,
        url=reverse("show_rule_change", args=[change.pk]) if may_look else "",
        may_cancel=is_own and place.may_change,
    )


def _change_words(change: RuleChange) -> str:
    name = folder_name(change.folder)
    if change.folder == RECOVERABLE:
        if change.days is None:
            return _("Deleted messages can be recovered as long as is said above")
        words = ngettext(
            "Deleted messages can be recovered for %(days)s day",
            "Deleted messages can be recovered for %(days)s days",
            change.days,
        )
        return words % {"days": change.days}
    if change.removes:
        return _("%(folder)s: no rule here any more; what is said above counts") % {"folder": name}
    return _("%(folder)s: messages end %(when)s") % {
        "folder": name,
        "when": _days_in_words(change.days).lower(),
    }


def _days_in_words(days: int | None) -> str:
    if days is None:
        return _("Never")
    return ngettext("After %(days)s day", "After %(days)s days", days) % {"days": days}


def _kept_copies(counts: Inherited) -> str:
    """Return when copies of what POP deletes end, in words."""
    if counts.pop.deletes == Mailbox.PopDeletes.KEEP_DAYS:
        return _days_in_words(counts.pop.days)
    if counts.pop.deletes == Mailbox.PopDeletes.KEEP:
        return _("Never: they stay until they are deleted over IMAP")
    return _("There are none: POP deletes at once")


def _row_of(level: Level) -> Any:
    return Installation() if level is None else level


def _is_of(rule: Effective, place: Place) -> bool:
    return rule.level == place.level


def _known(folder: str) -> str:
    """Return a folder that a page's address names, or an empty string where it is none."""
    if not folder or len(folder) > FOLDER_MAX:
        return ""
    try:
        return changing.clean_folder(folder)
    except Problem:
        return ""


def _url_of(row: Any, person: User) -> str:
    """Return where a level says its rules, or an empty string where a person may not look, or there is no level."""
    if row is None or person.is_mailbox:
        return ""
    if isinstance(row, Installation):
        return reverse("platform_rules") if person.sees_all else ""
    if isinstance(row, Customer):
        return reverse("customer_rules", args=[row.pk])
    if isinstance(row, Domain):
        return reverse("domain_rules", args=[row.name])
    return reverse("mailbox_rules", args=[row.pk])


def _may_look(person: User, level: Level) -> bool:
    """Say whether a person who sees something below a level may see what a change of it ends everywhere."""
    return person.sees_all or (level is not None and not person.is_mailbox)


def _place_to_change(request: HttpRequest, kind: str, pk: int | None, name: str) -> Place:
    place = _place(request, kind, pk, name)
    if not place.may_change:
        raise PermissionDenied
    return place


def _change_and_place(request: HttpRequest, pk: int) -> tuple[RuleChange, Place]:
    """Return a change and its level, where whoever asks may see the level.

    Raises:
        Http404: if they may not, or there is none.
    """
    rows = RuleChange.objects.select_related("customer", "domain__customer", "mailbox__domain__customer")
    change = get_object_or_404(rows, pk=pk)
    level = change.level
    if level is None:
        if not person_of(request).sees_all:
            raise Http404
        return change, _place(request, "platform", None, "")
    if isinstance(level, Domain):
        place = _place(request, "domain", None, level.name)
        if place.level != level:
            raise Http404  # It was deleted, and another one, perhaps somebody else's, has its name.
        return change, place
    return change, _place(request, type(level).__name__.lower(), level.pk, "")


def _place(request: HttpRequest, kind: str, pk: int | None, name: str) -> Place:
    """Return a level that whoever asks may see.

    Raises:
        Http404: if they may not, or there is none.
        PermissionDenied: if it is the platform, and they are no administrator.
    """
    person = person_of(request)
    if kind == "platform":
        admin_of(request)
        return Place(None, kind, (), "", may_change=True)
    if kind == "customer" and pk is not None:
        customer = customer_of(request, pk)
        return Place(customer, kind, (pk,), customer.name, may_change=may_own(person, customer))
    if kind == "domain":
        domain = living_domains_for(person).select_related("customer").filter(name=name).first()
        if domain is None:
            raise Http404
        may = may_manage(person, domain.customer)
        return Place(domain, kind, (name,), domain.unicode_name, may_change=may)
    if pk is None:
        raise Http404
    mailbox = mailbox_of_page(request, pk)
    may = may_manage(person, mailbox.domain.customer) and mailbox.state != Mailbox.State.DELETED
    return Place(mailbox, kind, (pk,), mailbox.display_address, may_change=may)
