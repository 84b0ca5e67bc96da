"""Kicks: done when nobody can be connected, failed when the mail service runs and does not answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import transaction

from mailbackend.dovecot.doveadm import DoveadmError, MailServiceDown, NobodyListens
from panel.addresses import sessions, tasks
from panel.core import jobs, mail
from panel.core.models import Job
from tests.cast import Cast


@pytest.fixture
def hanging() -> Iterator[None]:
    """Have somebody listen on doveadm's socket who never answers."""
    path = settings.DATA_DIR.doveadm_socket
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield
    path.unlink()


def test_without_the_mail_service_there_is_no_session(cast: Cast) -> None:
    assert tasks.kick_mailbox(address=cast.mailbox.address) == {"ended": False}
    assert tasks.kick_domain(domain_id=cast.domain.pk, seconds_left=[]) == {"ended": 0}
    assert tasks.kick_customer(customer_id=cast.customer.pk, seconds_left=[]) == {"ended": 0}
    assert sessions.online() == set()
    job = jobs.start_job("kick_mailbox", address=cast.mailbox.address)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == (Job.State.DONE, "")


def test_sessions_outlive_a_master_that_was_killed(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "sessions_are_possible", lambda: True)
    with pytest.raises(NobodyListens):
        sessions.kick(cast.mailbox.address)
    with pytest.raises(NobodyListens):
        sessions.online()


def test_a_mail_service_that_hangs_is_a_failure(cast: Cast, hanging: None) -> None:
    with pytest.raises(MailServiceDown):
        sessions.kick(cast.mailbox.address, timeout=0.2)
    with pytest.raises(MailServiceDown):
        sessions.kick_domain(cast.domain.pk, timeout=0.2)


@pytest.mark.django_db(transaction=True)
def test_a_change_is_saved_although_the_kick_at_once_fails(
    cast: Cast, hanging: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def refuse(address: str, *, timeout: float = 10) -> bool:
        tried.append(address)
        raise DoveadmError("It does not answer.")

    monkeypatch.setattr(sessions, "kick", refuse)
    monkeypatch.setattr(sessions, "_left_alone_until", [0.0])
    # The second one, of the same page, does not wait for a service that just did not answer: the jobs do.
    for times in (1, 2):
        with transaction.atomic():
            sessions.end_sessions(cast.mailbox)
        assert tried == [cast.mailbox.address]
        assert Job.objects.filter(kind="kick_mailbox").count() == times * len(sessions.KICKS_AFTER)
