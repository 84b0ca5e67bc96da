"""axe finds nothing on any page of anybody, and nothing scrolls sideways (WCAG 2.2 AA; EN 301 549)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.places import Visitor, furnish, places, refused, tell_dns
from tests.dns_server import running
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
#: Widths at which nothing scrolls sideways either: just wide enough for tables, and a desk at 125 %.
BETWEEN = (770, 1000)


Furnished = tuple[Stand, dict[str, Visitor]]


@pytest.fixture(scope="module")
def furnished(make_stand: Callable[..., Stand]) -> Iterator[Furnished]:
    """A stand with something of everything, and who looks at it."""
    with running() as dns:
        tell_dns(dns)
        stand = make_stand(DNS_SERVERS=f"127.0.0.1:{dns.port}")
        stand.start()
        yield stand, {visitor.name: visitor for visitor in furnish(stand)}


#: Forms that take nothing for no answer.
FORMS = (
    *("/mailboxes/new/", "/mailboxes/new/several/", "/domains/new/", "/customers/new/", "/notices/new/"),
    *(
        "/mailboxes/5/password/",
        "/mailboxes/5/rename/",
        "/mailboxes/5/delete/",
        "/mailboxes/5/devices/new/",
        "/mailboxes/5/setup/?device=linux&use=one",
        "/customers/2/members/invite/",
        "/settings/retention/rule/",
        "/mailboxes/4/hold/",
    ),
)


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}-{look[2]}")
def looked_at(request: pytest.FixtureRequest, chromium: Browser, furnished: Furnished) -> Iterator[Page]:
    """A page of a width, in a scheme and a language."""
    width, scheme, language = request.param
    context = chromium.new_context(
        base_url=furnished[0].url,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
        locale=language,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def wrong_with(page: Page) -> list[str]:
    """Return what axe finds on a page, and whether it scrolls sideways."""
    violations = Axe().run(page, options=RULES).response["violations"]
    wrong = [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in violations]
    size = page.viewport_size
    assert size is not None
    for width in (size["width"], *BETWEEN):
        page.set_viewport_size({"width": width, "height": size["height"]})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            wrong.append(f"it scrolls sideways at {width}, by {over}")
    page.set_viewport_size(size)
    return wrong


@pytest.mark.parametrize("role", ["anonymous", "admin", "owner", "newcomer", "mailbox"])
def test_nothing_is_in_anybodys_way(looked_at: Page, furnished: Furnished, role: str) -> None:
    found = {place: wrong_with(looked_at) for place in places(looked_at, furnished[1][role])}
    assert {place: wrong for place, wrong in found.items() if wrong} == {}
    assert len(found) >= 3


def test_errors_are_in_nobodys_way(looked_at: Page, furnished: Furnished) -> None:
    found = {place: wrong_with(looked_at) for place in refused(looked_at, furnished[1]["admin"], FORMS)}
    assert {place: wrong for place, wrong in found.items() if wrong} == {}
    assert len(found) == len(FORMS)
