"""Checking who somebody is: limits first, then few hashes at a time, then the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from panel.accounts import limits
from panel.accounts.devices import known_device
from panel.accounts.limits import Limit
from panel.accounts.mailbox_owners import mailboxes
from panel.accounts.models import User
from panel.core.audit import Actor, acting, record
from panel.core.sealed import unseal

#: The keys that seal what a second factor is made of.
SEALED_AS = "second-factor"
#: Where a session keeps a hash of the password that was right, until the second factor is too.
_PASSWORD_SEEN = "password_seen"  # noqa: S105 - a name

Found = TypeVar("Found")


def check_password(request: HttpRequest, name: str, password: str) -> User | None:
    """Return whose name and password these are, whichever backend knows them, or None.

    Raises:
        TooMany: if this was tried too often; nothing was computed.
        Busy: if too many passwords are being checked.
    """
    counted = limits.for_password(name, _remote_ip(request), known_device(request, name))
    return _limited(
        counted,
        lambda: _authenticate(request, name, password),
        action="sign_in.failed",
        target=whoever(name),
    )


def confirm_password(request: HttpRequest, user: User, password: str) -> bool:
    """Say whether this is the password of somebody who is signed in.

    Raises:
        TooMany, Busy: as check_password.
    """

    def check() -> User | None:
        if user.is_mailbox:  # their address may be a person's e-mail too, who would be asked first
            with limits.hashing.turn():
                return user if mailboxes().fits(user, password) else None
        found = _authenticate(request, user.sign_in_name, password)
        return found if found is not None and found.pk == user.pk else None

    counted = limits.for_confirming(user.pk)
    return _limited(counted, check, action="sign_in.failed", target=user) is not None


def check_code(request: HttpRequest, user: User, code: str) -> Authenticator | None:
    """Return the second factor that a code belongs to, used up by this, or None.

    Raises:
        TooMany: if this was tried too often.
    """
    counted = (
        limits.for_confirming(user.pk)
        if request.user.is_authenticated
        else limits.for_code(user.pk, _remote_ip(request), known_device(request, user.sign_in_name))
    )
    return _limited(counted, lambda: _use_code(user, code), action="sign_in.code_failed", target=user)


def note_password(request: HttpRequest, user: User) -> None:
    """Note which password was right, for the second factor comes later."""
    request.session[_PASSWORD_SEEN] = user.get_session_auth_hash()


def password_still_holds(request: HttpRequest, user: User) -> bool:
    """Say whether the password that was typed, if one was, is still theirs."""
    seen = request.session.pop(_PASSWORD_SEEN, None)
    return seen is None or constant_time_compare(seen, user.get_session_auth_hash())


def as_person(request: HttpRequest, user: User) -> Any:
    """Return a context in which this person acts: at their sign-in the request was still nobody's."""
    actor = Actor(kind="person", id=user.pk, label=str(user), remote_ip=_remote_ip(request))
    return acting(actor)


def _limited(
    counted: Sequence[Limit],
    check: Callable[[], Found | None],
    *,
    action: str,
    target: User,
) -> Found | None:
    last = limits.take(counted)
    try:
        found = check()
    except limits.Busy:
        limits.give_back(counted)
        raise
    if found is not None:
        limits.give_back(counted)
        return found
    with transaction.atomic():
        note(action, target)
        if last:
            note("sign_in.limited", target)
    return None


def _authenticate(request: HttpRequest, name: str, password: str) -> User | None:
    with limits.hashing.turn():
        user = authenticate(request, username=name, password=password)
    return user if isinstance(user, User) else None


def _use_code(user: User, code: str) -> Authenticator | None:
    code = "".join(code.split())
    for authenticator in Authenticator.objects.filter(
        user=user, type__in=[Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES]
    ):
        is_totp = authenticator.type == Authenticator.Type.TOTP
        if _use_totp(authenticator.pk, code) if is_totp else authenticator.wrap().validate_code(code):
            return authenticator
    return None


def _use_totp(pk: int, code: str) -> bool:
    """A code works once (RFC 6238, section 5.2). The last one is kept in the row: the cache may be away."""
    with transaction.atomic():
        authenticator = Authenticator.objects.select_for_update().get(pk=pk)
        secret = unseal(SEALED_AS, authenticator.data["secret"])
        used = authenticator.data.get("last_counter", 0)
        for counter in yield_hotp_counters_from_time():
            expected = format_hotp_value(hotp_value(secret, counter))
            if counter > used and constant_time_compare(code, expected):
                authenticator.data["last_counter"] = counter
                authenticator.save(update_fields=["data"])
                return True
    return False


def whoever(name: str) -> User:
    """Return somebody of this name for the audit trail. What is no address may be a password in the wrong field."""
    normalised = limits.normalised(name)
    person = User.objects.filter(email=normalised).first() or mailboxes().owner_named(name)
    return person or User(email=normalised if "@" in normalised else "–")


def note(action: str, user: User) -> None:
    """Record what somebody did at signing in. Of a mailbox's owner its customer may read too, with the mailbox."""
    target, customer_id = mailboxes().audited(user) if user.is_mailbox else (user, None)
    record(action, target=target, customer_id=customer_id)


def _remote_ip(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
