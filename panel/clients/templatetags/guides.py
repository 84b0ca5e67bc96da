"""Tags of pages that set a mail program up."""

from __future__ import annotations

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString

register = template.Library()

#: What a program shows as a label stands between asterisks, and what is typed between backticks.
_LABEL, _TYPED = re.compile(r"\*([^*\n]+)\*"), re.compile(r"`([^`\n]+)`")


@register.filter
def with_labels(text: str) -> SafeString:
    """Draw a step: labels in bold, what is typed as code."""
    labelled = _LABEL.sub(r"<strong>\1</strong>", escape(text))
    return SafeString(_TYPED.sub(r"<code>\1</code>", labelled))
