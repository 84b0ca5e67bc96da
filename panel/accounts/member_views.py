"""Pages of a customer's people, and of invitations."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from panel.accounts import members
from panel.accounts.access import customer_of, open_to_owners, owner_of, person_of
from panel.accounts.member_forms import InvitationForm, NewPersonForm, RoleForm
from panel.accounts.models import Customer, Invitation, Membership, User
from panel.accounts.selectors import customers_read_by, may_own
from panel.core.models import Job
from panel.core.pages import handle_form, press_button


@login_required
@require_safe
def list_members(request: HttpRequest, pk: int) -> HttpResponse:
    """A customer's people and open invitations."""
    customer = customer_of(request, pk)
    context = {
        "customer": customer,
        "memberships": customer.memberships.select_related("user").order_by("user__email"),
        "invitations": [_described(invitation) for invitation in members.open_invitations(customer)],
        "may_own": may_own(person_of(request), customer),
    }
    return render(request, "accounts/list_members.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def invite_member(request: HttpRequest, pk: int) -> HttpResponse:
    """Invite somebody."""
    customer = customer_of(request, pk)
    person = owner_of(request, customer)
    form = InvitationForm(request.POST or None, initial={"role": Membership.Role.READER.value})

    def save() -> HttpResponse:
        invitation = members.invite(
            customer=customer,
            email=form.cleaned_data["email"],
            role=form.cleaned_data["role"],
            invited_by=person,
        )
        said = _("An invitation is on its way to %(email)s.")
        messages.success(request, said % {"email": invitation.email})
        return redirect("list_members", pk)

    context = {"customer": customer, "life": settings.INVITATION_LIFE.days}
    return handle_form(request, form, save, "accounts/invite_member.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_member(request: HttpRequest, pk: int, user_pk: int) -> HttpResponse:
    """Change what a member may do."""
    customer, membership = _membership(request, pk, user_pk)
    owner_of(request, customer)
    form = RoleForm(request.POST or None, initial={"role": membership.role})

    def save() -> HttpResponse:
        members.change_role(membership=membership, role=form.cleaned_data["role"])
        messages.success(request, _("Saved."))
        return redirect("list_members", pk)

    context = {"customer": customer, "member": membership.user}
    return handle_form(request, form, save, "accounts/edit_member.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def remove_member(request: HttpRequest, pk: int, user_pk: int) -> HttpResponse:
    """End somebody's part in a customer, after a question."""
    customer, membership = _membership(request, pk, user_pk)
    person = owner_of(request, customer)
    if request.method != "POST":
        context = {"customer": customer, "member": membership.user}
        return render(request, "accounts/remove_member.html", context)
    done = press_button(
        request,
        lambda: members.remove_member(membership=membership),
        _("%(person)s is no member any more.") % {"person": membership.user},
        "list_members",
        pk,
    )
    # Whoever removed themselves has no such page any more.
    return done if customers_read_by(person).filter(pk=pk).exists() else redirect("home")


@login_required
@require_POST
def send_invitation_again(request: HttpRequest, pk: int, invitation_pk: int) -> HttpResponse:
    """Mail an invitation again."""
    invitation = _invitation(request, pk, invitation_pk)
    return press_button(
        request,
        lambda: members.send_again(invitation=invitation),
        _("A new invitation is on its way to %(email)s. The link sent before works no more.")
        % {"email": invitation.email},
        "list_members",
        pk,
    )


@login_required
@require_POST
def withdraw_invitation(request: HttpRequest, pk: int, invitation_pk: int) -> HttpResponse:
    """Take an invitation back."""
    invitation = _invitation(request, pk, invitation_pk)
    return press_button(
        request,
        lambda: members.withdraw(invitation=invitation),
        _("The invitation of %(email)s is withdrawn.") % {"email": invitation.email},
        "list_members",
        pk,
    )


@open_to_owners
@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept_invitation(request: HttpRequest) -> HttpResponse:
    """Accept an invitation: as a person who is signed in, or as one who is new here."""
    token = request.GET.get("token", "")
    try:
        invitation = members.invitation_of(token)
        if isinstance(request.user, User):
            return _accept_signed_in(request, invitation, token)
        if User.objects.filter(email=invitation.email).exists():
            return _page(request, invitation, mode="sign_in")
        return _accept_as_new(request, invitation, token)
    except members.LinkRefused as refusal:
        context = {"refusal": str(refusal), "sign_in_url": resolve_url(settings.LOGIN_URL)}
        return render(request, "accounts/invitation_refused.html", context, status=refusal.status)


def _accept_signed_in(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    person = person_of(request)
    if person.email != invitation.email:
        return _page(request, invitation, status=403, mode="other")
    if request.method != "POST":
        return _page(request, invitation, mode="join")
    customer = members.accept(token=token, person=person)
    messages.success(request, _("Welcome to %(customer)s.") % {"customer": customer})
    return redirect("home")


def _accept_as_new(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    form = NewPersonForm(request.POST or None, email=invitation.email)

    def save() -> HttpResponse:
        members.accept_as_new(
            token=token, password=form.cleaned_data["password"], name=form.cleaned_data["name"]
        )
        messages.success(
            request, _("Welcome. Sign in with your e-mail and the password that you have just chosen.")
        )
        return redirect(settings.LOGIN_URL)

    context = {"invitation": invitation, "mode": "new"}
    return handle_form(request, form, save, "accounts/accept_invitation.html", context)


def _page(request: HttpRequest, invitation: Invitation, *, status: int = 200, mode: str) -> HttpResponse:
    context = {
        "invitation": invitation,
        "mode": mode,
        "sign_in_url": f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': request.get_full_path()})}",
    }
    return render(request, "accounts/accept_invitation.html", context, status=status)


def _membership(request: HttpRequest, pk: int, user_pk: int) -> tuple[Customer, Membership]:
    customer = customer_of(request, pk)
    rows = Membership.objects.select_related("user", "customer")
    return customer, get_object_or_404(rows, customer=customer, user_id=user_pk)


def _invitation(request: HttpRequest, pk: int, invitation_pk: int) -> Invitation:
    customer = customer_of(request, pk)
    owner_of(request, customer)
    return get_object_or_404(members.open_invitations(customer), pk=invitation_pk)


def _described(invitation: Invitation) -> dict[str, Any]:
    """Return an invitation with what became of its mail."""
    job = members.sent_jobs(invitation).first()
    state = ""
    if invitation.expires_at <= timezone.now():
        state = "expired"
    elif job is not None and job.state == Job.State.FAILED:
        state = "failed"
    elif job is not None and job.error:
        state = "delayed"
    elif job is not None and job.state != Job.State.DONE:
        state = "queued"
    return {"row": invitation, "state": state, "role": invitation.get_role_display()}
