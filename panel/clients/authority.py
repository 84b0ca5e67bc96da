"""The host's own certificate authority, which no device knows: where its certificate is, and the certificate."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse


def authority_url() -> str:
    """Return where the certificate of the host's own authority is downloaded; empty where nobody needs it."""
    environment = settings.ENVIRONMENT
    return "" if environment.tls_certificate else f"{environment.panel_url}{reverse('authority_certificate')}"


def authority_certificate() -> bytes:
    """Return the certificate of the host's own authority in PEM (RFC 7468).

    Raises:
        OSError: if it cannot be read, as before the first start.
    """
    return (settings.DATA_DIR.tls / "ca.crt").read_bytes()
