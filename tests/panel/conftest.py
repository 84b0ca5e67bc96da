"""Fixtures of the panel's tests: a fresh cast in a rolled-back database, and browsers that are signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from panel.accounts import notices
from panel.accounts.models import User
from tests.cast import Cast, make_cast


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> None:
    """Serve static files by their own names: nothing is collected for these tests."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def no_notices_remembered() -> None:
    """Forget the notices of the test before: its database was rolled back."""
    notices.forget()


@pytest.fixture
def cast(db: None) -> Cast:
    """Everybody, created anew."""
    return make_cast()


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    """Return a function that gives a signed-in client for a person."""

    def sign_in(person: User) -> Client:
        client = Client()
        client.force_login(person)
        return client

    return sign_in
