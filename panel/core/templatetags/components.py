"""Tags for what templates are built of: tables, notes, tabs, search. Includes take no content, these do."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.template.loader import render_to_string
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from panel.branding import Brand

register = template.Library()


@register.simple_tag
def brand() -> Brand:
    """Return a host's own name, logo, colour and links, for pages that are made without a request."""
    return settings.ENVIRONMENT.brand


# Roles are written out: a table whose rows are drawn as cards on a phone is no table to a screen reader any more.
# A list has hundreds of cells, and each of these is put together by hand: format_html takes several times as long.
# Content was rendered by a template, which escaped it.


@register.simple_block_tag
def table(content: SafeString, caption: str, id: str = "") -> SafeString:
    """Draw a table that becomes cards on a phone.

    Args:
        content: its columns, and its rows by `{% rows %}`.
        caption: what it holds, for screen readers; empty where a heading says it.
        id: its id.
    """
    return format_html(
        '<div class="sheet sheet-cards"><table class="table" role="table"{}>{}{}</table></div>',
        format_html(' id="{}"', id) if id else "",
        format_html('<caption class="visually-hidden">{}</caption>', caption) if caption else "",
        content,
    )


@register.simple_block_tag
def columns(content: SafeString) -> SafeString:
    """Draw the heads of a table's columns: by `{% column %}`, or components/sort_header.html."""
    return format_html(
        '<thead role="rowgroup"><tr role="row" data-label="{}">{}</tr></thead>', _("Sort by"), content
    )


@register.simple_tag
def column(label: str, *, number: bool = False, hidden: bool = False) -> SafeString:
    """Draw the head of a column: `number` for figures, `hidden` where only a screen reader needs its name."""
    shown = format_html('<span class="visually-hidden">{}</span>', label) if hidden else label
    kind = mark_safe(' class="number"') if number else ""
    return format_html('<th scope="col" role="columnheader"{}>{}</th>', kind, shown)


@register.simple_block_tag
def rows(content: SafeString) -> SafeString:
    """Draw the body of a table."""
    return SafeString(f'<tbody role="rowgroup">{content}</tbody>')


@register.simple_block_tag
def row(content: SafeString) -> SafeString:
    """Draw a row of a table: one `{% rowhead %}`, and `{% cell %}`s."""
    return SafeString(f'<tr role="row">{content}</tr>')


@register.simple_block_tag
def rowhead(content: SafeString) -> SafeString:
    """Draw the cell that a row is named by."""
    return SafeString(f'<th scope="row" role="rowheader">{content.strip()}</th>')


@register.simple_block_tag
def cell(content: SafeString, label: str = "", kind: str = "") -> SafeString:
    """Draw a cell.

    Args:
        content: what stands in it.
        label: the name of its column, which stands before it on a phone.
        kind: `number`, `nowrap`, or nothing.
    """
    classed = f' class="{escape(kind)}"' if kind else ""
    named = f' data-label="{escape(label)}"' if label else ""
    return SafeString(f'<td role="cell"{classed}{named}>{content.strip()}</td>')


@register.simple_block_tag
def note(content: SafeString, level: str, icon: str = "", role: str = "") -> SafeString:
    """Draw a note that stands in a page.

    Args:
        content: one or more paragraphs, and what can be done.
        level: info, success, warning or error.
        icon: a name in templates/icons, where it is not the level's own.
        role: alert, for what has just gone wrong.
    """
    context = {"content": content, "level": level, "icon": f"icons/{icon}.html" if icon else "", "role": role}
    return mark_safe(render_to_string("components/note.html", context))  # noqa: S308 - a template of ours


@register.simple_block_tag
def section_head(content: SafeString, id: str, title: str) -> SafeString:
    """Draw the heading of a section, with the links or buttons that belong to it."""
    return format_html(
        '<div class="section-head"><h2 id="{}">{}</h2>{}</div>',
        id,
        title,
        _trimmed(content),
    )


@register.simple_block_tag
def tabs(content: SafeString, label: str) -> SafeString:
    """Draw the ways to the pages of one thing: `{% tab %}`s, and what they are of for screen readers."""
    return format_html('<nav class="tabs" aria-label="{}"><ul>{}</ul></nav>', label, content)


@register.simple_tag
def tab(label: str, url: str, *, name: str = "", here: str = "") -> SafeString:
    """Draw one tab: `name` is its page's, `here` that of the page that is shown."""
    current = mark_safe(' aria-current="page"') if name and name == here else ""
    return format_html('<li><a href="{}"{}>{}</a></li>', url, current, label)


@register.simple_block_tag
def find(content: SafeString, url: str, live: bool = True) -> SafeString:
    """Draw the search of a list: `{% find_text %}` and `{% find_choice %}`s.

    Args:
        content: its fields.
        url: the list's.
        live: whether the list follows each letter, where scripts run. It is in the page as #results then.
    """
    return mark_safe(  # noqa: S308 - a template of ours
        render_to_string("components/find.html", {"content": content, "url": url, "live": live})
    )


@register.inclusion_tag("components/find_text.html")
def find_text(name: str, value: str, label: str, hint: str = "") -> dict[str, Any]:
    """Draw a field of a search: its name in the address, what was typed, its label and an example."""
    return {"name": name, "value": value, "label": label, "hint": hint}


@register.inclusion_tag("components/find_choice.html")
def find_choice(name: str, value: str, label: str, choices: Any, every: str) -> dict[str, Any]:
    """Draw a choice of a search: pairs of value and words; `every` are the words for no choice."""
    return {"name": name, "value": value, "label": label, "choices": choices, "every": every}


def _trimmed(content: SafeString) -> SafeString:
    """Return content without the spaces around it."""
    return mark_safe(content.strip())  # noqa: S308 - rendered by a template, which escaped it
