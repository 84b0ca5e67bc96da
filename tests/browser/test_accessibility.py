"""axe finds nothing on any page of anybody, and nothing scrolls sideways (WCAG 2.2 AA; EN 301 549)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.places import Visitor, furnish, places
from tests.stand import Stand

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.long]

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
#: Width, scheme and language: the narrowest that must work, and a desk.
LOOKS = [(320, "dark", "fr"), (1280, "light", "en")]


@pytest.fixture(scope="module")
def furnished(make_stand: Callable[..., Stand]) -> tuple[Stand, dict[str, Visitor]]:
    """A stand with something of everything, and who looks at it."""
    stand = make_stand()
    stand.start()
    return stand, {visitor.name: visitor for visitor in furnish(stand)}


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look[0]}-{look[1]}-{look[2]}")
@pytest.mark.parametrize("role", ["anonymous", "admin", "owner", "mailbox"])
def test_nothing_is_in_anybodys_way(
    chromium: Browser, furnished: tuple[Stand, dict[str, Visitor]], role: str, look: tuple[int, str, str]
) -> None:
    stand, visitors = furnished
    width, scheme, language = look
    context = chromium.new_context(
        base_url=stand.url,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        locale=language,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    axe, found, visited = Axe(), {}, 0
    for place in places(page, visitors[role]):
        visited += 1
        wrong = [
            f"{each['id']}: {each['nodes'][0]['html'][:150]}"
            for each in axe.run(page, options=RULES).response["violations"]
        ]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wrong.append("it scrolls sideways")
        if wrong:
            found[place] = wrong
    context.close()
    assert found == {}
    assert visited >= 3
