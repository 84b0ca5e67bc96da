"""Template filters for words that come from where no reader is known."""

from __future__ import annotations

from django import template

from panel.core import said

register = template.Library()


@register.filter
def in_words(text: str | None) -> str:
    """Tell what the mail service or a job's report says in the reader's language."""
    return said.in_words(text) if text else ""
