"""What every page knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def product(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001
    """Return the product's name, what a host has of its own, and the addresses that people are told."""
    return {
        "product_name": settings.PRODUCT_NAME,
        "brand": settings.ENVIRONMENT.brand,
        "mail_host": settings.ENVIRONMENT.mail_host,
        "panel_url": settings.ENVIRONMENT.panel_url,
    }
