"""The style sheet's colours are read in light and dark, and one page shows every component."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.template import engines
from django.test import Client

from panel.accounts.models import User
from panel.colours import DARK_GROUNDS, LIGHT_GROUNDS, SHAPE, TEXT, contrast
from panel.environment import CHECKOUT
from tests.cast import Cast

STYLES = (CHECKOUT / "static" / "css" / "restante.css").read_text()
PAIRS: dict[str, tuple[str, str]] = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLES)
}
GROUNDS = ("surface", "paper", "sunken")
#: Text, and what it stands on.
TEXTS = [
    *((ink, ground) for ink in ("ink", "ink-soft", "accent", "accent-strong", "danger") for ground in GROUNDS),
    *((ink, "accent-wash") for ink in ("ink", "accent", "accent-strong")),
    *((tone, f"{tone}-wash") for tone in ("ok", "warning", "danger")),
    *(("ink", f"{tone}-wash") for tone in ("ok", "warning", "danger")),
    ("on-accent", "accent"), ("on-accent", "accent-strong"), ("on-danger", "danger"), ("on-danger", "danger-strong"),
    ("paper", "ink"),
]  # fmt: skip
#: What is seen by its shape: borders of controls, bars, marks, the ring of the focus.
SHAPES = [
    *(("line-strong", ground) for ground in GROUNDS),
    *((tone, ground) for tone in ("accent", "ok", "warning", "danger") for ground in GROUNDS),
]  # fmt: skip
#: Components that are frames of pages, or need what only a page has.
NOT_SHOWN = {
    "form_page.html", "question_page.html", "navigation.html", "messages.html", "passkey_button.html",
    "hidden_fields.html", "username_field.html", "quota_widget.html", "post_button.html", "form_errors.html",
    "foot.html", "find.html", "find_text.html", "find_choice.html",
}  # fmt: skip


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXTS)
def test_text_is_read(ink: str, ground: str, scheme: int) -> None:
    """Text reaches 4.5 to 1 on what is behind it (WCAG 2.2, 1.4.3)."""
    assert contrast(PAIRS[ink][scheme], PAIRS[ground][scheme]) >= TEXT


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_shapes_are_seen(shape: str, ground: str, scheme: int) -> None:
    """What must be seen to use a page reaches 3 to 1 (WCAG 2.2, 1.4.11)."""
    assert contrast(PAIRS[shape][scheme], PAIRS[ground][scheme]) >= SHAPE


def test_accents_are_made_for_these_grounds() -> None:
    """What a brand's accent is checked against is what the style sheet has."""
    assert tuple(PAIRS[name][0] for name in GROUNDS) == LIGHT_GROUNDS
    assert tuple(PAIRS[name][1] for name in GROUNDS) == DARK_GROUNDS


def test_colours_stand_in_one_place() -> None:
    """No rule beside the tokens names a colour of its own, but the black and white of a QR code, a veil and paper."""
    rules = STYLES[STYLES.index("@layer base") :]
    assert set(re.findall(r"#[0-9a-f]{3,6}\b|rgb\([^)]*\)", rules)) == {
        "#fff",
        "#000",
        "rgb(0 0 0 / .45)",
        "#999",
    }


def test_every_token_that_is_used_is_there() -> None:
    """A token that is misspelt would be silently nothing."""
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", STYLES))
    made = set(re.findall(r"--([a-z0-9-]+):", STYLES))
    assert used <= made


@pytest.mark.parametrize(
    "source",
    [
        "{% table bad id=bad %}{% columns %}{% column bad %}{% column bad hidden=True %}{% endcolumns %}{% endtable %}",
        "{% row %}{% rowhead %}{{ bad }}{% endrowhead %}{% cell bad kind=bad %}{{ bad }}{% endcell %}{% endrow %}",
        "{% note bad role=bad %}<p>{{ bad }}</p>{% endnote %}",
        "{% section_head bad bad %}{{ bad }}{% endsection_head %}",
        "{% tabs bad %}{% tab bad bad %}{% endtabs %}",
        "{% find bad %}{% find_text bad bad bad bad %}{% find_choice bad bad bad choices bad %}{% endfind %}",
    ],
)
def test_what_people_typed_stays_text(source: str) -> None:
    """Each tag escapes what it is given, once."""
    bad = '"><script>&'
    page = engines["django"].from_string(source).render({"bad": bad, "choices": [(bad, bad)]})
    assert "<script>" not in page
    assert "&quot;&gt;&lt;script&gt;&amp;" in page
    assert "&amp;quot;" not in page


def test_one_page_shows_every_component(cast: Cast, signed_in: Callable[[User], Client]) -> None:
    """A component that the page does not show would be changed unseen."""
    response = signed_in(cast.admin).get("/_design/")
    assert response.status_code == 200
    shown = {template.name for template in response.templates if template.name}
    components = {path.name for path in (CHECKOUT / "templates" / "components").glob("*.html")} - NOT_SHOWN
    assert {name for name in components if f"components/{name}" not in shown} == set()
    icons = {f"icons/{path.name}" for path in (CHECKOUT / "templates" / "icons").glob("*.html")}
    assert icons - shown == {"icons/rack.html"}


def test_only_administrators_see_it(cast: Cast, signed_in: Callable[[User], Client]) -> None:
    """It is the host's."""
    assert signed_in(cast.owner).get("/_design/").status_code == 403
    assert Client().get("/_design/").status_code == 302
