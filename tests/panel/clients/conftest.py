"""What tests of formats for mail programs share: the settings of a host in production, and a way to change some."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from mailbackend.config import Ports

Environ = Callable[..., None]


@pytest.fixture
def host(settings: Any) -> Environ:
    """Have the settings of a host in production, and give a function that changes some of them."""

    def change(**changes: Any) -> None:
        settings.ENVIRONMENT = dataclasses.replace(settings.ENVIRONMENT, **changes)

    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "panel.host.example"]
    change(
        panel_url="https://panel.host.example",
        mail_host="mail.host.example",
        mail_ports=Ports(imap=143, imaps=993, pop3=110, pop3s=995),
        smtp_host="smtp.host.example",
        smtp_port=465,
    )
    return change
