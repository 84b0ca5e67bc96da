"""A person at the panel without a browser: signs in and sends forms, over HTTP."""

from __future__ import annotations

import re
import secrets
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

from tests.stand import PATIENCE, Stand


class PanelClient:
    """An administrator of a stand, made by command and signed in."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        email, password = f"admin{secrets.token_hex(4)}@host.test", "correct-horse-battery"
        stand.must("createadmin", email, stdin=f"{password}\n")
        assert "Sign out" in self.send("/sign-in/", username=email, password=password)

    def get(self, path: str) -> str:
        """Return a page."""
        with self._opener.open(f"{self.stand.url}{path}", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def send(self, path: str, **values: str) -> str:
        """Fill in the form at `path`, send it, and return the page that follows."""
        return self._send(path, path, values)

    def press(self, path: str, page: str) -> str:
        """Press the button of `page` that sends to `path`, and return the page that follows."""
        return self._send(path, page, {})

    def press_with(self, path: str, page: str, **values: str) -> str:
        """Fill in the form of `page` that sends to `path`, press its button, and return the page that follows."""
        return self._send(path, page, values)

    def _send(self, path: str, page: str, values: dict[str, str]) -> str:
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.get(page)))
        request = urllib.request.Request(  # noqa: S310 - our own URL
            f"{self.stand.url}{path}",
            urllib.parse.urlencode(hidden | values).encode(),
            {"Referer": f"{self.stand.url}{path}", "Origin": self.stand.url},
        )
        with self._opener.open(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())
