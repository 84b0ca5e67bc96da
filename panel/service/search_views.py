"""The page of the search over everything, and the part of it that shows below the field while one types."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from panel.accounts.access import person_of
from panel.core.pages import page_of
from panel.service import search as finding


@login_required
@require_safe
@vary_on_headers("HX-Request")
def search(request: HttpRequest) -> HttpResponse:
    """What fits `q`: the first of each kind, or with `only` all of one."""
    person = person_of(request)
    q, only = finding.searchable(request.GET.get("q", "")), request.GET.get("only", "")
    if only in finding.KINDS and q:
        page = page_of(request, finding.rows_of(person, only, q))
        hits = finding.hits_of(person, only, list(page))
        context = {
            "q": q,
            "page_obj": page,
            "hits": hits,
            "label": finding.KINDS[only].label,
            "back": reverse("search", query={"q": q}),
        }
        return render(request, "service/search_one.html", context)
    groups = finding.find(person, q)
    context = {
        "q": q,
        "groups": groups,
        "found": sum(group.total for group in groups),
        "has_more": any(group.has_more for group in groups),
    }
    partial = request.headers.get("HX-Request") == "true"
    return render(request, "service/_found.html" if partial else "service/search.html", context)
