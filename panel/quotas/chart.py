"""A chart of what was held over days, drawn here: inline SVG without a script, the figures beside it in a table.

Colours and the width of lines are classes of static/css/quotas.css. The picture is stretched to the page's width, and
no letter stands in it: labels are text around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from panel.core.sizes import format_size
from panel.quotas.history import Held

#: Days that a chart shows.
DAYS = 90
#: Units of the picture.
WIDTH, HEIGHT = 900, 240
#: Where the axis ends: the first of these times a power of 1024 that nothing exceeds.
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
#: A limit is drawn from so much of it on: before, it would make a line on the ground of what is held.
_LIMIT_FROM = 0.25

_FIGURE = (
    '<tr role="row"><th scope="row" role="rowheader"><time datetime="{day}">{label}</time></th>'
    '<td role="cell" class="number" data-label="{used_label}">{used}</td></tr>'
)


@dataclass(frozen=True)
class Chart:
    """A picture and what it says.

    Attributes:
        title: what it shows.
        description: what it says, in a sentence.
        picture: the SVG.
        top: what the upper edge stands for.
        limit: what the dashed line stands for; empty where there is none.
        first, last: the days at its edges.
        figures: rows of a table, the latest first.
    """

    title: str
    description: str
    picture: SafeString
    top: str
    limit: str
    first: date
    last: date
    figures: SafeString


def drawn(daily: Sequence[Held], *, id: str, limit: int | None = None) -> Chart | None:
    """Return a chart of what was held each day, or None where there is less than two days of it.

    Args:
        daily: what was held at the end of each day, without a gap, the latest last.
        id: what its parts are named by in the page.
        limit: a line to draw, in bytes; it is left out where what was held is far below it.
    """
    shown = daily[-DAYS:]
    if len(shown) < 2:
        return None
    highest = max(each.used_bytes for each in shown)
    line = limit if limit and highest >= limit * _LIMIT_FROM else None
    top = _top(max(highest, line or 0))
    title = _("Storage used over time")
    description = _("%(then)s on %(first)s, %(now)s on %(last)s, at most %(most)s.") % {
        "then": format_size(shown[0].used_bytes),
        "first": date_format(shown[0].day, "SHORT_DATE_FORMAT"),
        "now": format_size(shown[-1].used_bytes),
        "last": date_format(shown[-1].day, "SHORT_DATE_FORMAT"),
        "most": format_size(highest),
    }
    return Chart(
        title=title,
        description=description,
        picture=_picture(shown, top, line, id, title, description),
        top=format_size(top),
        limit=format_size(line) if line else "",
        first=shown[0].day,
        last=shown[-1].day,
        figures=format_html_join("", _FIGURE, _figures(shown)),
    )


def _picture(
    shown: Sequence[Held], top: int, limit: int | None, id: str, title: str, description: str
) -> SafeString:
    points = " ".join(f"{x:g},{y:g}" for x, y in _points(shown, top))
    return format_html(
        '<svg class="chart-picture" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        'aria-labelledby="{id}-title {id}-text" focusable="false">'
        '<title id="{id}-title">{title}</title><desc id="{id}-text">{text}</desc>{grid}'
        '<polygon class="chart-area" points="0,{height} {points} {width},{height}"/>'
        '<polyline class="chart-line" points="{points}"/>{limit}</svg>',
        width=WIDTH,
        height=HEIGHT,
        id=id,
        title=title,
        text=description,
        grid=format_html_join(
            "", _LINE, (("chart-grid", f"{HEIGHT * part / 4:g}", WIDTH) for part in range(4))
        ),
        points=points,
        limit=format_html(_LINE, "chart-limit", f"{_height(limit, top):g}", WIDTH) if limit else "",
    )


_LINE = '<path class="{}" d="M0 {}H{}"/>'


def _points(shown: Sequence[Held], top: int) -> Iterator[tuple[float, float]]:
    across = WIDTH / (len(shown) - 1)
    for number, each in enumerate(shown):
        yield round(number * across, 2), _height(each.used_bytes, top)


def _height(used_bytes: int, top: int) -> float:
    """Return how far from the upper edge something is drawn."""
    return round(HEIGHT - used_bytes * HEIGHT / top, 2)


def _top(highest: int) -> int:
    """Return the first round size that nothing exceeds."""
    factor = 1024
    while highest > 1000 * factor:
        factor *= 1024
    return next((step * factor for step in _STEPS if highest <= step * factor), 1000 * factor)


def _figures(shown: Sequence[Held]) -> Iterable[dict[str, str]]:
    """Yield the days on which what was held changed, and the first."""
    words = {"used_label": _("Used")}
    before = [None, *(each.used_bytes for each in shown)]
    for each, held_before in reversed(list(zip(shown, before, strict=False))):
        if each.used_bytes != held_before:
            yield {
                "day": each.day.isoformat(),
                "label": date_format(each.day, "SHORT_DATE_FORMAT"),
                "used": format_size(each.used_bytes),
                **words,
            }
