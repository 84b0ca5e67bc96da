"""What views of all parts share: a form is shown or saved, a button does something, a list has pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from panel.core.errors import Problem
from panel.core.forms import VersionedForm

Row = TypeVar("Row", bound=Model)

PAGE_SIZE = 50


def handle_form(
    request: HttpRequest,
    form: VersionedForm,
    save: Callable[[], HttpResponse],
    template: str,
    context: dict[str, Any],
) -> HttpResponse:
    """Show a form, or save it and go on; what the service refuses is shown in the form."""
    if request.method == "POST" and form.is_valid():
        try:
            return save()
        except Problem as problem:
            form.add_problem(problem)
    return render(request, template, {**context, "form": form}, status=422 if form.errors else 200)


def press_button(request: HttpRequest, act: Callable[[], object], done: str, *back: Any) -> HttpResponse:
    """Do what a button asks for, say how it went, and go back."""
    try:
        act()
    except Problem as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, done)
    return redirect(*back)


def page_of(request: HttpRequest, rows: QuerySet[Row]) -> Page[Row]:
    """Return the page of a list that is asked for, the nearest that there is."""
    return Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
