"""Pictures of every page: `python -m tests.screenshots [FOLDER]`, into docs/screenshots/pages unless told.

Every page that an administrator, a customer, the owner of a mailbox and a stranger can reach, phone and desktop,
light and dark, French and English, with a page that shows them all.
"""

from __future__ import annotations

import html
import os
import re
import sys
from itertools import product
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.places import furnish, places, tell_dns
from tests.dns_server import running
from tests.stand import CHECKOUT, Stand

SIZES = {"phone": (360, 780), "desktop": (1280, 900)}


def main(folder: Path) -> None:
    """Start a stand, take the pictures, and write index.html beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    with running() as dns:
        tell_dns(dns)
        rows = _take(folder, Stand(privileges="ordinary", settings={"DNS_SERVERS": f"127.0.0.1:{dns.port}"}))
    (folder / "index.html").write_text(_index(rows), "utf-8")
    sys.stdout.write(f"{sum(map(len, rows.values()))} pictures of {len(rows)} pages: {folder}/index.html\n")


def _take(folder: Path, stand: Stand) -> dict[str, list[str]]:
    """Take the pictures; return their names by what is in them."""
    rows: dict[str, list[str]] = {}
    try:
        stand.start()
        visitors = furnish(stand)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
            for visitor, size, scheme, language in product(visitors, SIZES, ("light", "dark"), ("en", "fr")):
                width, height = SIZES[size]
                context = browser.new_context(
                    base_url=stand.url,
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    locale=language,
                    reduced_motion="reduce",
                )
                page = context.new_page()
                for place in places(page, visitor):
                    what = f"{visitor.name}{re.sub(r'[^a-z0-9]+', '-', place.lower()).rstrip('-')}"
                    name = f"{what}.{size}.{scheme}.{language}.jpg"
                    page.screenshot(path=folder / name, full_page=True, type="jpeg", quality=60)
                    rows.setdefault(what, []).append(name)
                context.close()
            browser.close()
    finally:
        stand.remove()
    return rows


def _index(rows: dict[str, list[str]]) -> str:
    lines = ['<!doctype html><meta charset="utf-8"><title>Pages</title>']
    for what, names in sorted(rows.items()):
        pictures = " ".join(_picture(html.escape(name)) for name in names)
        lines.append(f"<h2>{html.escape(what)}</h2><p>{pictures}</p>")
    return "\n".join(lines)


def _picture(name: str) -> str:
    return f'<a href="{name}"><img src="{name}" alt="{name}" width="160" loading="lazy"></a>'


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs" / "screenshots" / "pages")
