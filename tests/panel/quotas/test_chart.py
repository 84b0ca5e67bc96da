"""Charts: a picture that is well formed, named and described, and figures that say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from xml.etree import ElementTree

from django.test import override_settings
from django.utils import translation

from panel.quotas import chart
from panel.quotas.history import Held

GB = 1024**3


def days(*used: int) -> list[Held]:
    return [Held(date(2026, 9, 1) + timedelta(days=number), each) for number, each in enumerate(used)]


def points_of(drawn: chart.Chart) -> list[tuple[float, float]]:
    (line,) = ElementTree.fromstring(str(drawn.picture)).iterfind("polyline")  # noqa: S314 - our own
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def made(daily: Sequence[Held], limit: int | None = None) -> chart.Chart:
    found = chart.drawn(daily, id="chart", limit=limit)
    assert found is not None
    return found


def test_it_is_drawn_to_scale() -> None:
    found = made(days(0, GB, 2 * GB), limit=2 * GB)
    assert points_of(found) == [(0, chart.HEIGHT), (chart.WIDTH / 2, chart.HEIGHT / 2), (chart.WIDTH, 0)]
    assert found.top == found.limit == "2\N{NO-BREAK SPACE}GB"
    assert "chart-limit" in found.picture


def test_it_is_named_and_described_and_has_no_style() -> None:
    found = made(days(GB, 2 * GB, 2 * GB))
    root = ElementTree.fromstring(str(found.picture))  # noqa: S314 - our own
    assert root.attrib["role"] == "img"
    title, text = root.find("title"), root.find("desc")
    assert title is not None
    assert text is not None
    assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {text.attrib['id']}"
    assert text.text == found.description
    assert "2 GB" in found.description.replace("\N{NO-BREAK SPACE}", " ")
    assert "style" not in found.picture
    # A row for each day on which something changed, the latest first.
    assert re.findall(r'datetime="([^"]+)"', found.figures) == ["2026-09-02", "2026-09-01"]


def test_a_limit_far_above_is_left_out_and_little_is_drawn_too() -> None:
    far = made(days(10, 20), limit=GB)
    assert far.limit == ""
    assert "chart-limit" not in far.picture
    nothing = made(days(0, 0))
    assert points_of(nothing) == [(0, chart.HEIGHT), (chart.WIDTH, chart.HEIGHT)]
    huge = made(days(1, 5000 * 1024**4))
    assert points_of(huge)[-1][1] >= 0


def test_one_day_is_no_chart_and_a_year_is_shortened() -> None:
    assert chart.drawn(days(5), id="chart") is None
    assert chart.drawn([], id="chart") is None
    assert len(points_of(made(days(*range(365))))) == chart.DAYS


@override_settings(USE_THOUSAND_SEPARATOR=True)
def test_coordinates_are_numbers_in_every_language() -> None:
    with translation.override("fr"):
        found = made(days(1, 2, 3_333_333, 4))
        assert len(points_of(found)) == 4
        assert "," in str(found.picture)
        assert "\N{NARROW NO-BREAK SPACE}" not in found.picture.replace(found.description, "")
