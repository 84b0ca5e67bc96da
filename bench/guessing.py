"""Guessing at passwords: how many tries reach a hash, and how the panel answers others meanwhile.

    .venv/bin/python -m bench.guessing [--tries 10000]

Starts a whole Restante. Its addresses of origin are made up by X-Forwarded-For, which it trusts from loopback here.
A try that reaches a hash is answered 200 with the form again; 429 was refused before it; 503 was sent away because
enough hashes were being computed.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.stand import Stand

PASSWORD = "an-admins-passw0rd"  # noqa: S105 - of a stand that is thrown away
KNOWN = [f"p{n}@host.test" for n in range(10)]
UNKNOWN = [f"x{n}@host.test" for n in range(10)]
GUESSERS = 8


@dataclass
class Visitor:
    """A browser: keeps cookies and one connection.

    Attributes:
        port: of the panel.
        cookies: by name.
    """

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    connection: http.client.HTTPConnection = field(init=False)
    token: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self, method: str, path: str, data: dict[str, str] | None = None, origin: str = ""
    ) -> tuple[int, str]:
        """Send one request. Returns status and page."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if origin:
            headers["X-Forwarded-For"] = origin
        if data is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, urlencode(data) if data is not None else None, headers)
        answer = self.connection.getresponse()
        page = answer.read().decode()
        for header in answer.headers.get_all("Set-Cookie", []):
            name, _equals, rest = header.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer.status, page

    def sign_in(self, name: str, password: str, origin: str = "") -> int:
        """Try to sign in. Returns the status."""
        if not self.token:
            _status, page = self.ask("GET", "/sign-in/")
            found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
            assert found is not None
            self.token = found[1]
        data = {"username": name, "password": password, "csrfmiddlewaretoken": self.token}
        return self.ask("POST", "/sign-in/", data, origin)[0]


@dataclass
class Watch:
    """Times what somebody sees who only wants to work. Milliseconds."""

    times: list[float] = field(default_factory=list)

    def run(self, do: Callable[[], int], ended: threading.Event, expected: int) -> None:
        """Do it five times a second until it is over."""
        while not ended.is_set():
            began = time.monotonic()
            status = do()
            assert status == expected, f"answered {status} instead of {expected}"
            self.times.append((time.monotonic() - began) * 1000)
            ended.wait(0.2)

    def __str__(self) -> str:
        ordered = sorted(self.times)
        return (
            f"median {statistics.median(ordered):.0f} ms, 99 of 100 within "
            f"{ordered[int(len(ordered) * 0.99)]:.0f} ms, longest {ordered[-1]:.0f} ms ({len(ordered)} asked)"
        )


def attack(stand: Stand, worker: Visitor, tries: int, guesses: Iterator[tuple[str, str]], title: str) -> None:
    """Guess, and print what came of it."""
    port = stand.ports["panel"]
    answers: Counter[int] = Counter()
    times: dict[int, list[float]] = {}
    lock, ended = threading.Lock(), threading.Event()
    page = Watch()
    watcher = threading.Thread(
        target=page.run, args=[lambda: worker.ask("GET", "/mailboxes/")[0], ended, 200]
    )

    def guess(share: int) -> None:
        guesser = Visitor(port)
        for number in range(share):
            with lock:
                name, origin = next(guesses)
            began = time.monotonic()
            status = guesser.sign_in(name, f"guess {number}", origin)
            with lock:
                answers[status] += 1
                times.setdefault(status, []).append((time.monotonic() - began) * 1000)

    watcher.start()
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(GUESSERS) as pool:
            for done in [pool.submit(guess, tries // GUESSERS) for _ in range(GUESSERS)]:
                done.result()
    finally:
        took = time.monotonic() - began
        ended.set()
        watcher.join()
    print(
        f"{title}: {sum(answers.values())} tries in {took:.0f} s ({sum(answers.values()) / took:.0f} a second)"
    )
    print(f"  reached a hash {answers[200]}, refused before it {answers[429]}, sent away {answers[503]}")
    others = {status: count for status, count in answers.items() if status not in (200, 302, 429, 503)}
    print(f"  let in {answers[302]}, other answers {others or 'none'}")
    for status, label in ((200, "a hash"), (429, "a refusal")):
        if status in times:
            print(f"  {label}: median {statistics.median(times[status]):.0f} ms")
    print(f"  list of mailboxes meanwhile: {page}")


def main() -> None:
    """Run both attacks against a stand."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tries", type=int, default=10_000)
    tries = parser.parse_args().tries
    stand = Stand("ordinary", settings={"TRUSTED_PROXIES": "127.0.0.1"})
    try:
        stand.start()
        for email in KNOWN:
            stand.must("createadmin", email, stdin=f"{PASSWORD}\n")
        worker, owner = Visitor(stand.ports["panel"]), Visitor(stand.ports["panel"])
        assert worker.sign_in(KNOWN[0], PASSWORD, "198.51.100.1") == 302
        assert owner.sign_in(KNOWN[1], PASSWORD, "198.51.100.2") == 302
        owner.connection.close()  # it would be closed by the time that it is used again
        owner.token = ""
        del owner.cookies["sessionid"]

        one = itertools.repeat((KNOWN[1], "192.0.2.1"))
        attack(stand, worker, tries, one, "one address, one account")
        accounts = itertools.cycle(KNOWN + UNKNOWN)
        addresses = itertools.cycle(f"10.0.{n // 250}.{n % 250}" for n in range(1000))
        many = zip(accounts, addresses, strict=False)
        attack(stand, worker, tries, many, "1,000 addresses, 20 accounts (10 of them unknown)")

        status = owner.sign_in(KNOWN[1], PASSWORD, "198.51.100.3")
        print(f"the owner of an attacked account, from the browser they know: {status} (302 is in)")
        status = Visitor(stand.ports["panel"]).sign_in(KNOWN[1], PASSWORD, "198.51.100.4")
        print(f"the same from a browser that was never there: {status}")
        print(f"health: {stand.health()['status']}")
    finally:
        stand.remove()


if __name__ == "__main__":
    main()
