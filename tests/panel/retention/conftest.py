"""Fixtures of the part's tests."""

from __future__ import annotations

import pytest

from panel.core import mail
from tests.panel.retention.dovecot import HidingDovecot


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> HidingDovecot:
    """A mail service in memory."""
    fake = HidingDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    return fake
