"""URLs of what mail programs and their owners are told."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
