"""The page that creates several mailboxes, and shows their passwords once."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from panel.accounts.access import person_of
from panel.accounts.selectors import may_change_some
from panel.addresses import selectors
from panel.addresses.forms import CreateMailboxesForm
from panel.addresses.several import AT_ONCE, BadLines, create_from_lines
from panel.core.pages import handle_form


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create_mailboxes(request: HttpRequest) -> HttpResponse:
    """Create several mailboxes from lines. The answer is the only place where their passwords ever stand."""
    person = person_of(request)
    if not may_change_some(person):
        raise PermissionDenied
    domain = selectors.domain_to_create_on(person, request.GET.get("domain", ""))
    form = CreateMailboxesForm(request.POST or None, person=person, domain=domain)
    context = {"has_domains": domain is not None, "most": AT_ONCE, "bad_lines": ()}

    def save() -> HttpResponse:
        chosen = form.cleaned_data["domain"]
        try:
            created = create_from_lines(
                domain=chosen, text=form.cleaned_data["lines"], quota_bytes=form.cleaned_data["quota"]
            )
        except BadLines as err:
            context["bad_lines"] = err.lines
            raise
        return render(request, "addresses/created_mailboxes.html", {"created": created, "domain": chosen})

    return handle_form(request, form, save, "addresses/create_mailboxes.html", context)
