"""URLs of what mail programs and their owners are told."""

from __future__ import annotations

from django.urls import path

from panel.clients import trust_views

urlpatterns = [
    path("setup/ca.crt", trust_views.authority_certificate, name="authority_certificate"),
]
