"""Template filters for sizes."""

from __future__ import annotations

from django import template

from panel.core.sizes import format_size

register = template.Library()


@register.filter
def size(value: int | None) -> str:
    """Write bytes for people; nothing for None."""
    return "" if value is None else format_size(int(value))
