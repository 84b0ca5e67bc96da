"""Fixtures of the part's tests."""

from __future__ import annotations

import pytest

from panel.core import mail
from tests.panel.retention.dovecot import HidingDovecot
from tests.panel.retention.folders import FolderDovecot


@pytest.fixture
def dovecot(monkeypatch: pytest.MonkeyPatch) -> HidingDovecot:
    """A mail service in memory."""
    fake = HidingDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    return fake


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> FolderDovecot:
    """A mail service in memory whose folders hold messages."""
    fake = FolderDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: fake)
    return fake
