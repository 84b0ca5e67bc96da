"""Every page that somebody can reach, found as they do: by its links, from where they come in."""

from __future__ import annotations

import imaplib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page

from panel.core.clock import TEST_CLOCK
from tests.dns_server import DnsServer
from tests.panel_client import PanelClient
from tests.stand import Box, Stand, wait_for

PASSWORD = "an-admins-passw0rd"
#: More pages than anybody has: a crawl that goes on beyond them has lost its way.
MOST = 150
#: What is no page: files, and what ends the visit.
_NO_PAGE = re.compile(r"\.(csv|json|crt|svg)$|\.mobileconfig(\?|$)|/download/|/sign-out/|^/static/|^mailto:")


#: Of storage and retention: a rule of its own and an inherited one, a change to confirm and a confirmed one, a mailbox
#: that is nearly full, an empty one, and one under a legal hold.
_STORAGE_AND_RETENTION = (
    "/mailboxes/4/storage/",
    "/mailboxes/8/storage/",
    "/mailboxes/6/retention/",
    "/mailboxes/6/retention/rule/?folder=INBOX",
    "/mailboxes/6/retention/rule/?folder=Trash",
    "/mailboxes/7/",
    "/mailboxes/7/hold/",
    "/mailboxes/7/release/",
    "/mailboxes/8/",
    "/customers/2/retention/",
    "/customers/2/storage/",
    "/retention/changes/2/",
    "/retention/changes/3/",
    "/retention/changes/4/",
    "/retention/changes/5/",
)


@dataclass(frozen=True)
class Visitor:
    """Somebody who looks at pages.

    Attributes:
        name: of their role.
        sign_in_name, password: empty for somebody who does not sign in.
        also: places that no link of theirs leads to, or that look otherwise in another state.
    """

    name: str
    sign_in_name: str = ""
    password: str = ""
    also: tuple[str, ...] = ()


def furnish(stand: Stand) -> list[Visitor]:
    """Create a customer with domains and mailboxes in every state, and return who looks at them."""
    stand.must("createadmin", "admin@host.test", stdin=f"{PASSWORD}\n")
    stand.must("createcustomer", "Martin & fils", "--owner", "owner@martin.test", stdin=f"{PASSWORD}\n")
    stand.must("createcustomer", "Newcomers", "--owner", "new@new.test", stdin=f"{PASSWORD}\n")
    for domain in ("martin.test", "très-long-nom-de-domaine-pour-une-petite-entreprise.test"):
        stand.must("createdomain", domain, "--customer", "Martin & fils")
    long_name = "jean-christophe.de-la-fontaine-du-marais.et-de-la-colline.bleue"
    for name in ("anna", "bob", "claire", "david", long_name):
        stand.must("createmailbox", f"{name}@martin.test", "--quota", "2G", stdin=f"{PASSWORD}\n")
    stand.must("setmailbox", "bob@martin.test", "--suspend")
    stand.must("deletemailbox", "claire@martin.test")
    _connect(Box(stand, "anna@martin.test", PASSWORD, Path("/")))
    _fill_up(stand)
    _keep_and_end(stand)
    return [
        Visitor(
            "anonymous",
            also=(
                "/sign-in/",
                "/password/forgotten/",
                "/nowhere/",
                "/invitations/?token=x",
                "/pop-or-imap/",
                "/setup/?address=nobody",
                "/setup/?address=anna@martin.test",
                "/setup/?address=anna@martin.test&device=iphone&use=several",
                "/setup/?address=anna@martin.test&device=linux&use=one&protocol=pop3&program=getmail",
            ),
        ),
        Visitor(
            "admin",
            "admin@host.test",
            PASSWORD,
            (
                "/mailboxes/2/",
                "/mailboxes/3/",
                "/mailboxes/5/",
                "/mailboxes/1/connections/",
                "/mailboxes/1/recover/",
                "/mailboxes/1/recover/?q=zzzz",
                "/mailboxes/1/recover/?session=jobs",
                "/mailboxes/1/gone/",
                "/mailboxes/1/devices/",
                "/mailboxes/1/devices/1/revoke/",
                "/mailboxes/1/devices/unknown/2/",
                "/mailboxes/5/devices/",
                "/mailboxes/1/pop/",
                "/mailboxes/4/pop/",
                "/mailboxes/1/to-imap/",
                "/mailboxes/1/to-pop/",
                "/mailboxes/2/to-imap/",
                "/mailboxes/3/to-pop/",
                "/mailboxes/1/recover/erase/?id=1",
                "/mailboxes/4/recover/",
                "/mailboxes/1/check/?start=0",
                "/mailboxes/4/connections/",
                "/mailboxes/2/setup/",
                "/mailboxes/3/setup/",
                "/mailboxes/5/setup/?device=mac&use=web",
                "/mailboxes/?q=zzzz",
                "/search/?q=a",
                *_STORAGE_AND_RETENTION,
                "/mailboxes/6/storage/",
                "/mailboxes/7/storage/",
                "/mailboxes/8/hold/",
                "/retention/changes/1/",
                "/retention/runs/2/",
                "/retention/runs/2/?state=failed",
                "/retention/runs/3/",
                "/retention/runs/4/",
                "/retention/runs/4/cancel/",
                "/domains/martin.test/dns/",
                "/domains/martin.test/dns/?selector=s1",
                "/domains/martin.test/dns/?selector=a+b",
                "/domains/martin.test/dns/?after=1",
                "/connections/?reason=wrong_password&protocol=imap",
                "/connections/?ip=nonsense",
                "/connections/?address=nobody@nowhere.test",
                "/nowhere/",
            ),
        ),
        Visitor(
            "owner",
            "owner@martin.test",
            PASSWORD,
            (
                *_STORAGE_AND_RETENTION,
                "/mailboxes/2/",
                "/mailboxes/?q=zzzz",
                "/jobs/",
                "/mailboxes/1/pop/",
                "/mailboxes/1/to-imap/",
                "/mailboxes/1/to-pop/",
                "/mailboxes/1/devices/required/",
                "/mailboxes/1/devices/disconnect/",
            ),
        ),
        Visitor("newcomer", "new@new.test", PASSWORD),
        Visitor(
            "mailbox",
            "anna@martin.test",
            PASSWORD,
            (
                "/domains/",
                "/mailboxes/1/setup/?device=windows&use=one&start=0",
                "/mailboxes/1/setup/?device=android&use=several&protocol=pop3",
                "/mailboxes/1/check/?start=0",
                "/mailboxes/1/recover/",
                "/mailboxes/1/gone/",
                "/mailboxes/1/devices/",
                "/mailboxes/1/devices/required/",
                "/mailboxes/1/devices/disconnect/",
                "/mailboxes/1/to-imap/",
                "/mailboxes/1/to-pop/",
                "/mailboxes/1/storage/",
                "/mailboxes/1/retention/",
                "/retention/changes/3/",
            ),
        ),
    ]


def tell_dns(dns: DnsServer) -> None:
    """Have a DNS in which a domain has some of its records, some wrong ones, and a key."""
    dns.put_all(
        "martin.test MX 10 mx.elsewhere.example.",
        "autoconfig.martin.test CNAME localhost.",
        "autodiscover.martin.test A 192.0.2.1",
        "_imaps._tcp.martin.test SRV 0 1 993 mail.elsewhere.example.",
    )
    dns.put("martin.test", "v=spf1 include:_spf.elsewhere.example ~all")
    dns.put("_dmarc.martin.test", "v=DMARC1; p=none", "v=DMARC1; p=reject")
    dns.put("s1._domainkey.martin.test", f"v=DKIM1; k=rsa; p={'MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ' * 6}")


def _fill_up(stand: Stand) -> None:
    """Have a mailbox that messages end in, one under a legal hold, and one that is nearly full, noted for today."""
    for name, quota in (("emma", "2G"), ("frank", "2G"), ("gina", "1M")):
        stand.must("createmailbox", f"{name}@martin.test", "--quota", quota, stdin=f"{PASSWORD}\n")
    stand.must("setmailbox", "frank@martin.test", "--hold", "Case 12/2026")
    line = "x" * 76 + "\r\n"
    for count in (3, 7):
        stand.must("deliver", "gina@martin.test", stdin=f"Subject: Large\r\n\r\n{line * 1250 * count}")
    stand.must("checkquotas")


def _keep_and_end(stand: Stand) -> None:
    """Set rules and purge what is due in two days; then have changes counted, confirmed ones and some to confirm."""
    (stand.data_dir.root / TEST_CLOCK).touch()
    stand.must("setretention", "Trash", "30", "--platform", "--confirm")
    stand.must("setretention", "INBOX", "1", "--address", "emma@martin.test", "--confirm")
    in_two_days = datetime.now(UTC) + timedelta(days=2.1)
    assert stand.must("purge", "--at", in_two_days.isoformat())["messages"] == 1
    # That purge has cancelled what nobody had confirmed until then: these come after it.
    admin = PanelClient(stand)
    for number, place, values in (
        (3, "/mailboxes/1/retention/rule/", {"folder": "INBOX"}),
        (4, "/domains/martin.test/retention/recovery/", {}),
    ):
        page = admin.send(place, ends="days", days="1", **values)
        assert f"/retention/changes/{number}/" in page
    stand.must("setretention", "INBOX", "5", "--customer", "Martin & fils", "--confirm")
    admin.press("/jobs/schedule/sample_usage/run/", "/jobs/schedule/")


def _connect(box: Box) -> None:
    """Have mail programs sign in, with a wrong password, over POP, and with a device password."""
    for right in (False, True):
        try:
            with box.imap(password=PASSWORD if right else "wrong") as client:
                client.select("INBOX")
                client.fetch("1:*", "(RFC822)")
                client.append("Drafts", "", "", b"From: anna@martin.test\r\nSubject: Removed\r\n\r\nBody\r\n")
                client.select("Drafts")
                client.store("1:*", "+FLAGS", r"(\Deleted)")
                client.expunge()
        except imaplib.IMAP4.error:
            assert not right
    with box.pop() as pop:
        pop.retr(1)
        pop.dele(1)
    device = box.stand.must("createdevice", box.address, "--label", "Office PC")
    with box.pop(device["password"]) as pop:
        pop.retr(1)
    wait_for(
        lambda: len(box.stand.must("connections", "--address", box.address)) == 4,
        "the connections to be recorded",
    )


def places(page: Page, visitor: Visitor) -> Iterator[str]:
    """Open every page that a visitor can reach, one of each kind, and yield its address while it is open."""
    come_in(page, visitor)
    waiting = deque(["/", *visitor.also])
    seen: set[str] = set()
    while waiting:
        place = waiting.popleft()
        kind = place if place in visitor.also else _kind(place)
        if kind in seen or _NO_PAGE.search(urlsplit(place).path):
            continue
        seen.add(kind)
        assert len(seen) < MOST, f"too many pages: {sorted(seen)}"
        answer = page.goto(place)
        page.wait_for_load_state()
        if answer is None or not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        yield place
        hrefs = page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))")
        waiting.extend(
            urlsplit(href)._replace(fragment="").geturl() for href in hrefs if href.startswith("/")
        )


def refused(page: Page, visitor: Visitor, forms: Iterable[str]) -> Iterator[str]:
    """Send forms with nothing in them, and yield the address of each while it says what is wrong."""
    come_in(page, visitor)
    for place in forms:
        page.goto(place)
        with page.expect_navigation():
            page.locator("main form[method=post]").last.evaluate(
                "form => { for (const field of form.querySelectorAll('input:not([type=hidden]), textarea'))"
                " if (field.type !== 'radio' && field.type !== 'checkbox') field.value = '';"
                " form.noValidate = true; form.submit(); }"
            )
        page.wait_for_load_state()
        assert page.locator(".field-error, .error, [aria-invalid=true]").count(), f"{place} says nothing"
        yield place


def come_in(page: Page, visitor: Visitor) -> None:
    """Sign in, if they do."""
    if not visitor.sign_in_name:
        return
    page.goto("/sign-in/")
    page.locator("input[name=username]").fill(visitor.sign_in_name)
    page.locator("input[name=password]").fill(visitor.password)
    page.locator("main button[type=submit]").first.click()
    page.wait_for_load_state()


def _kind(place: str) -> str:
    """Return what a page's address has in common with those of its kind."""
    parts = urlsplit(place)
    return re.sub(r"/[^/]+\.[^/]+/", "/NAME/", re.sub(r"/\d+(?=/)", "/N", parts.path))
