"""Writes: what people do with their own account. Mail is sent by jobs: no answer waits for a mail server."""

from __future__ import annotations

from datetime import datetime

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from panel.accounts import limits
from panel.accounts.models import User
from panel.accounts.signing_in import whoever
from panel.core.audit import record
from panel.core.errors import Problem
from panel.core.jobs import start_job


def request_password_reset(*, email: str, remote_ip: str) -> None:
    """Ask for a mailed link to set a new password. What this does is the same for people that there are not.

    Args:
        email: as typed.
        remote_ip: who asks.

    Raises:
        TooMany: if this was asked too often.
    """
    limits.take(limits.for_reset(email, remote_ip))
    with transaction.atomic():
        record("sign_in.reset_requested", target=whoever(email))
        start_job("mail_password_reset", email=limits.normalised(email), language=get_language() or "")


def tell_of_change(*, user: User, action: str, remote_ip: str, user_agent: str) -> None:
    """Tell a person by mail that their account was changed: it may not have been them.

    Args:
        user: whose account.
        action: a code of the audit trail.
        remote_ip, user_agent: from where.
    """
    start_job(
        "mail_notice",
        user_id=user.pk,
        action=action,
        at=timezone.now().isoformat(),
        remote_ip=remote_ip,
        user_agent=user_agent[:200],
        language=get_language() or "",
    )


def hide_first_steps(*, user: User) -> None:
    """Close a person's list of first steps for good. It is a view of theirs alone, and not recorded."""
    user.first_steps_hidden_at = timezone.now()
    user.save(update_fields=["first_steps_hidden_at"])


def set_language(*, user: User, language: str) -> None:
    """Choose the language of the panel and of mails.

    Args:
        user: whose.
        language: a code of settings.LANGUAGES, or empty for what the browser asks for.

    Raises:
        Problem: if there is no such language.
    """
    if language and language not in dict(settings.LANGUAGES):
        raise Problem(_("The panel does not speak this language."), "language")
    if language == user.language:
        return
    before, user.language = user.language, language
    with transaction.atomic():
        user.save(update_fields=["language"])
        record(
            "sign_in.language_changed",
            target=user,
            before={"language": before},
            after={"language": language},
        )


def end_session(*, user: User, session: UserSession) -> None:
    """End one session of a person at once."""
    with transaction.atomic():
        session.end()
        record("sign_in.session_ended", target=user, after=_where(session))


def end_other_sessions(*, user: User, session_key: str) -> int:
    """End all sessions of a person but the one of `session_key`. Returns how many."""
    others = UserSession.objects.filter(user=user).exclude(session_key=session_key)
    with transaction.atomic():
        keys = list(others.values_list("session_key", flat=True))
        Session.objects.filter(session_key__in=keys).delete()
        others.delete()
        record("sign_in.other_sessions_ended", target=user, after={"sessions": len(keys)})
    return len(keys)


def remove_second_factor(*, user: User) -> int:
    """Remove everything but the password of a person who lost it, and end their sessions. Returns how many."""
    with transaction.atomic():
        removed = int(Authenticator.objects.filter(user=user).delete()[0])
        end_other_sessions(user=user, session_key="")
        record("sign_in.second_factor_removed", target=user, after={"removed": removed})
    return removed


def forget_old(now: datetime) -> None:
    """Delete what nobody needs any more: ended windows of limits, expired sessions and what was said of them."""
    limits.forget_old()
    Session.objects.filter(expire_date__lt=now).delete()
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()


def _where(session: UserSession) -> dict[str, str]:
    return {"ip": session.ip, "browser": session.user_agent}
