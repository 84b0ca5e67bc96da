"""Jobs of the part."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from panel.accounts import mails, own_account
from panel.core.jobs import job_kind
from panel.core.schedule import look


@job_kind(_("Mailing a link to set a new password"), hidden=True)
def mail_password_reset(*, email: str, language: str) -> dict[str, Any]:
    """Mail a link, if there is such a person."""
    return {"sent": mails.send_password_reset(email=email, language=language)}


@job_kind(_("Telling a person of a change of their account"), hidden=True)
def mail_notice(
    *, user_id: int, action: str, at: str, remote_ip: str, user_agent: str, language: str
) -> dict[str, Any]:
    """Mail what was changed."""
    sent = mails.send_notice(
        user_id=user_id,
        action=action,
        at=datetime.fromisoformat(at),
        remote_ip=remote_ip,
        user_agent=user_agent,
        language=language,
    )
    return {"sent": sent}


@look(_("Forgetting old attempts to sign in, and old sessions"))
def forget_old_sign_ins() -> None:
    """Keep the tables of attempts and sessions short."""
    own_account.forget_old(timezone.now())
