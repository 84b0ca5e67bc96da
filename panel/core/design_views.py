"""The page that shows every component in every state, light and dark: where a change of the style sheet is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from panel.core.attention import Item, gravest_first
from panel.core.views import admins_only

SCHEMES = ("light", "dark")
COLOURS = [
    "paper", "surface", "sunken", "line", "line-strong", "ink", "ink-soft", "accent", "accent-strong", "accent-wash",
    "ok", "ok-wash", "warning", "warning-wash", "danger", "danger-wash",
]  # fmt: skip
SPACES = range(1, 9)
BADGES = (
    ("active", gettext_lazy("Active")),
    ("creating", gettext_lazy("Being created")),
    ("suspended", gettext_lazy("Suspended")),
    ("deleted", gettext_lazy("Deleted")),
    ("queued", gettext_lazy("Queued")),
    ("running", gettext_lazy("Running")),
    ("done", gettext_lazy("Done")),
    ("failed", gettext_lazy("Failed")),
)
BUTTONS = (
    ("", gettext_lazy("Edit")),
    ("button-main", gettext_lazy("Save")),
    ("button-danger", gettext_lazy("Delete mailbox")),
    ("button-grave", gettext_lazy("Delete")),
    ("button-quiet", gettext_lazy("Cancel")),
)
LEVELS = ("info", "success", "warning", "error")
_GIGABYTE = 1024**3
#: What a mailbox holds and may hold.
USAGES = ((0.4, 5), (4.2, 5), (4.8, 5), (5, 5), (1.3, None))


class SampleForm(forms.Form):
    """One of each field."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("Whose mailbox it is, such as Anna Martin."),
        required=False,
    )
    address = forms.CharField(label=gettext_lazy("Address"))
    state = forms.ChoiceField(label=gettext_lazy("State"), choices=BADGES)
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 3}))
    password = forms.CharField(label=gettext_lazy("Password"), widget=forms.PasswordInput)
    imap = forms.BooleanField(
        label="IMAP",
        help_text=gettext_lazy("Switching one off disconnects whoever uses it now."),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=BADGES[:3], widget=forms.RadioSelect)
    fixed = forms.CharField(
        label=gettext_lazy("Domain"), disabled=True, initial="example.com", required=False
    )


@dataclass(frozen=True)
class Scheme:
    """The samples of one scheme.

    Attributes:
        name: light or dark.
        label: the same for people.
        form: filled in rightly.
        bad: with an error at every field.
    """

    name: str
    label: str
    form: SampleForm
    bad: SampleForm


@login_required
@require_safe
def show_design(request: HttpRequest) -> HttpResponse:
    """Every component in every state, on light and on dark."""
    admins_only(request)
    now = timezone.now()
    context = {
        "schemes": [_scheme(name) for name in SCHEMES],
        "colours": COLOURS,
        "spaces": SPACES,
        "icons": sorted(
            path.stem for path in (Path(settings.CHECKOUT) / "templates" / "icons").glob("*.html")
        ),
        "badges": BADGES,
        "buttons": BUTTONS,
        "levels": LEVELS,
        "usages": [
            {"used": int(used * _GIGABYTE), "limit": limit and limit * _GIGABYTE} for used, limit in USAGES
        ],
        "sample_page": _sample_page(),
        "times": {"just": now, "hours": now - timedelta(hours=3), "days": now - timedelta(days=40)},
        "sort": "address",
        "attention": gravest_first(Item(level, sample, *rest) for level, sample, rest in _attention()),
        "steps": [
            {"done": True, "text": _("Domain"), "url": "", "why": ""},
            {"done": False, "text": _("Mailbox"), "url": "#light", "why": _("What can be done")},
        ],
    }
    return render(request, "core/show_design.html", context)


def _attention() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    yield "info", _("What comes and goes by itself."), ()
    yield (
        "error",
        _("What is true, and what can be done."),
        (_("What matters"), "#light", _("What can be done")),
    )


def _scheme(name: str) -> Scheme:
    initial: dict[str, Any] = {
        "address": "anna", "name": "Anna Martin", "state": "active", "imap": True, "role": "active",
    }  # fmt: skip
    return Scheme(
        name=name,
        label=_("Light") if name == "light" else _("Dark"),
        form=SampleForm(initial=initial, prefix=name),
        bad=SampleForm({}, prefix=f"{name}-bad"),
    )


def _sample_page() -> Page[int]:
    return Paginator(range(430), 50).page(4)
