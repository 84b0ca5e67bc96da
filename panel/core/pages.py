"""What views of all parts share: a form is shown or saved, a button does something, a list has pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
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
#: Rows of a long list that are counted and can be paged to: beyond them one searches. A count that goes through all
#: rows of a large table costs more than the page.
COUNTED = 1000


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


def ask_first(
    request: HttpRequest,
    form: VersionedForm,
    act: Callable[[], object],
    done: str,
    template: str,
    context: dict[str, Any],
    *back: Any,
) -> HttpResponse:
    """Ask before something is done; then do it, say so, and go on."""

    def save() -> HttpResponse:
        act()
        messages.success(request, done)
        return redirect(*back)

    return handle_form(request, form, save, template, context)


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


class LongPaginator(Paginator):  # type: ignore[type-arg]  # only the stubs know it as generic
    """Pages of a list that may be very long: only its first rows are counted, and only they have pages."""

    object_list: QuerySet[Any]

    @cached_property
    def count(self) -> int:
        """How many rows there are, or the most that are counted."""
        return min(self._counted, COUNTED)

    @cached_property
    def has_more(self) -> bool:
        """Whether there are more than were counted."""
        return self._counted > COUNTED

    def page(self, number: int | str) -> Page[Row]:
        """Return a page: its ids are found first, in an index where there is one, and then its rows alone are read."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        if start:
            ids = list(self.object_list.values_list("pk", flat=True)[start : start + self.per_page])
        else:
            ids = self._first_ids[: self.per_page]
        found = {row.pk: row for row in self.object_list.order_by().filter(pk__in=ids)}
        return Page([found[pk] for pk in ids if pk in found], number, self)

    @cached_property
    def _counted(self) -> int:
        first = len(self._first_ids)
        return first if first <= self.per_page else self.object_list[: COUNTED + 1].count()

    @cached_property
    def _first_ids(self) -> list[int]:
        """The ids of the first page and one more: where that is all, nothing is counted."""
        return list(self.object_list.values_list("pk", flat=True)[: self.per_page + 1])


def long_page_of(request: HttpRequest, rows: QuerySet[Row]) -> Page[Row]:
    """Return the page of a long list that is asked for, the nearest that there is."""
    return LongPaginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
