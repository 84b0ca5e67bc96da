"""Tags of pages that set a mail program up."""

from __future__ import annotations

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString

register = template.Library()

#: What a program shows as a label stands between asterisks, and what is typed between backticks.
_LABEL, _TYPED = re.compile(r"\*([^*\n]+)\*"), re.compile(r"`([^`\n]+)`")
#: The address of a page, which is neither a label nor a command.
_ADDRESS = re.compile(r"`(https?://[A-Za-z0-9._:/\[\]-]+)`")


@register.filter
def with_labels(text: str) -> SafeString:
    """Draw a step: labels in bold, what is typed as code, and a page's address that stands so by itself as a link."""
    labelled = _ADDRESS.sub(r'<a href="\1"><code>\1</code></a>', escape(text))
    labelled = _LABEL.sub(r"<strong>\1</strong>", labelled)
    return SafeString(_TYPED.sub(r"<code>\1</code>", labelled))
