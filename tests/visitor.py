"""A person at the panel without a browser: pages, forms, cookies, and what the panel answers."""

from __future__ import annotations

import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """What came back, where redirects led."""

    code: int
    text: str


class Visitor:
    """Somebody with a cookie jar of their own."""

    def __init__(self, url: str) -> None:
        """Come to the panel at `url`, without a slash at the end."""
        self._url = url
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def get(self, path: str) -> Page:
        """Look at a page."""
        return self._open(path, None)

    def post(self, path: str, **fields: str) -> Page:
        """Send a form, with the token that the last page with one has left."""
        token = next((str(cookie.value) for cookie in self._cookies if cookie.name == "csrftoken"), "")
        form = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields})
        return self._open(path, form.encode("ascii"))

    def sign_in(self, email: str, password: str) -> Page:
        """Sign in, and return the page that follows."""
        self.get("/sign-in/")
        return self.post("/sign-in/", username=email, password=password)

    def _open(self, path: str, form: bytes | None) -> Page:
        try:
            with self._opener.open(f"{self._url}{path}", form, timeout=60) as answer:
                return Page(answer.status, answer.read().decode())
        except urllib.error.HTTPError as err:
            return Page(err.code, err.read().decode())
