"""Pages of notices: written, changed and ended by the host's administrators; dismissed by whoever sees one."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts import notices
from panel.accounts.access import admin_of, open_to_owners, person_of
from panel.accounts.models import Notice
from panel.accounts.notice_forms import NoticeForm
from panel.core.pages import handle_form, page_of, press_button


@login_required
@require_safe
def list_notices(request: HttpRequest) -> HttpResponse:
    """All notices, the newest first."""
    admin_of(request)
    page = page_of(request, Notice.objects.all())
    now = timezone.now()
    rows = [{"notice": notice, "state": notice.state_at(now)} for notice in page]
    context = {"page_obj": page, "rows": rows, "late": int(notices.REMEMBERED_FOR)}
    return render(request, "accounts/list_notices.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create_notice(request: HttpRequest) -> HttpResponse:
    """Write a notice."""
    admin_of(request)
    initial = {"level": Notice.Level.INFO, "audience": Notice.Audience.EVERYBODY, "starts_at": timezone.now()}
    form = NoticeForm(request.POST or None, initial=initial)

    def save() -> HttpResponse:
        notices.create_notice(**form.values)
        messages.success(request, _("The notice is saved."))
        return redirect("list_notices")

    return handle_form(request, form, save, "accounts/create_notice.html", {})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_notice(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a notice."""
    admin_of(request)
    notice = get_object_or_404(Notice, pk=pk)
    form = NoticeForm(request.POST or None, notice=notice)

    def save() -> HttpResponse:
        notices.edit_notice(notice=notice, version=form.cleaned_data["version"], **form.values)
        messages.success(request, _("The notice is saved."))
        return redirect("list_notices")

    return handle_form(request, form, save, "accounts/edit_notice.html", {"notice": notice})


@login_required
@require_POST
def end_notice(request: HttpRequest, pk: int) -> HttpResponse:
    """Have nobody see a notice any more."""
    admin_of(request)
    notice = get_object_or_404(Notice, pk=pk)
    return press_button(
        request, lambda: notices.end_notice(notice=notice), _("The notice is ended."), "list_notices"
    )


@open_to_owners
@login_required
@require_POST
def dismiss_notice(request: HttpRequest, pk: int) -> HttpResponse:
    """Have whoever asks not see a notice again, and go back to where they were."""
    person = person_of(request)
    shown = {notice.pk: notice for notice in notices.shown_to(person, timezone.now())}
    if pk in shown:  # or it was dismissed in another window, or is over
        notices.dismiss(notice=shown[pk], person=person)
    back = request.POST.get("next", "")
    # A path of ours: anything else may be another site's, or no address at all.
    safe = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return HttpResponseRedirect(back if safe else reverse("home"))
