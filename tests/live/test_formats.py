"""What mail programs ask for over a real gunicorn: passwords that they send along are written down nowhere."""

from __future__ import annotations

import base64
import http.client
import plistlib
import re
import secrets
import subprocess
import urllib.parse
from pathlib import Path

import pytest

from tests.panel.clients.test_autodiscover import BODY, PATH
from tests.stand import PATIENCE, Stand

pytestmark = pytest.mark.live


def assert_nowhere(stand: Stand, address: str, password: str) -> None:
    """Check that a password stands in no file that a stand has written, neither as it is nor as programs send it."""
    basic = base64.b64encode(f"{address}:{password}".encode()).decode()
    hidden = [password, urllib.parse.quote(password), basic, basic.rstrip("="), "Authorization", "Basic "]
    found = [
        (str(file), text) for file in _written(stand) for text in hidden if text.encode() in file.read_bytes()
    ]
    assert not found


def _written(stand: Stand) -> list[Path]:
    logs = [*stand.data_dir.logs.rglob("*"), *stand.data_dir.events.rglob("*"), stand.folder / "start.log"]
    database = stand.data_dir.sqlite.parent
    return [file for file in (*logs, *database.rglob("*")) if file.is_file()]


def test_a_password_sent_along_is_written_down_nowhere(stand: Stand) -> None:
    box = stand.new_mailbox()
    password = f"s3cret-{secrets.token_hex(8)}"
    basic = base64.b64encode(f"{box.address}:{password}".encode()).decode()
    good = BODY.replace("ADDRESS", box.address)
    query = urllib.parse.urlencode(
        {"emailaddress": box.address, "address": box.address, "password": password}
    )
    statuses = {}
    for name, method, path, body in (
        ("autoconfig", "GET", f"/mail/config-v1.1.xml?{query}", ""),
        ("well-known", "GET", f"/.well-known/autoconfig/mail/config-v1.1.xml?{query}", ""),
        ("good", "POST", f"{PATH}?{query}", good),
        ("wrong method", "GET", f"{PATH}?{query}", ""),
        ("no address", "POST", PATH, good.replace(box.address, password)),
        ("cut off", "POST", PATH, f"{good[:-5]}{password}"),
        ("document type", "POST", PATH, f'<!DOCTYPE x [<!ENTITY a "{password}">]>{good[38:]}'),
        ("too large", "POST", PATH, f"{good}{password * 2000}"),
        ("JSON", "GET", f"/autodiscover/autodiscover.json?Protocol={password}", ""),
        ("profile", "GET", f"/setup/profile.mobileconfig?{query}", ""),
        ("no profile", "GET", f"/setup/profile.mobileconfig?address={password}", ""),
        ("code", "GET", f"/setup/code.svg?kind=profile&{query}", ""),
        ("form", "POST", "/mail/config-v1.1.xml", query),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", stand.ports["panel"], timeout=PATIENCE)
        connection.request(
            method, path, body, {"Authorization": f"Basic {basic}", "Content-Type": "text/xml"}
        )
        answer = connection.getresponse()
        content = answer.read()
        # Other pages hold their own address, for those who choose another language.
        assert password.encode() not in content or answer.headers["Content-Type"].startswith("text/html")
        statuses[name] = answer.status
        connection.close()
    assert statuses == {
        **dict.fromkeys(("autoconfig", "well-known", "good", "no address", "profile", "code"), 200),
        **dict.fromkeys(("cut off", "document type", "JSON"), 400),
        **{"wrong method": 405, "form": 403, "too large": 413, "no profile": 404},
    }
    # They were logged, though.
    web = "".join(file.read_text("utf-8", "replace") for file in stand.data_dir.logs.glob("*web*"))
    assert re.search(r'"POST /autodiscover/autodiscover\.xml HTTP/1\.1" 413', web)
    assert_nowhere(stand, box.address, password)


def test_a_hosted_domain_answers_under_its_own_names(stand: Stand) -> None:
    domain = stand.new_domain()
    for name in (f"autoconfig.{domain}", domain):
        connection = http.client.HTTPConnection("127.0.0.1", stand.ports["panel"], timeout=PATIENCE)
        connection.request("GET", "/mail/config-v1.1.xml", headers={"Host": name})
        answer = connection.getresponse()
        assert f'<emailProvider id="{domain}">' in answer.read().decode()
        connection.close()


def test_the_profile_is_signed_with_the_key_of_the_mail_servers(stand: Stand) -> None:
    """The panel's processes can read it, whoever started them."""
    address = f"anna@{stand.new_domain()}"
    connection = http.client.HTTPConnection("127.0.0.1", stand.ports["panel"], timeout=PATIENCE)
    connection.request("GET", f"/setup/profile.mobileconfig?address={address}&protocol=pop3")
    content = connection.getresponse().read()
    connection.close()
    authority = str(stand.data_dir.tls / "ca.crt")
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-inform", "DER", "-purpose", "any", "-CAfile", authority],
        input=content,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    account, trusted = plistlib.loads(done.stdout)["PayloadContent"]
    assert account["EmailAccountType"] == "EmailTypePOP"
    assert account["IncomingMailServerPortNumber"] == stand.ports["pop3s"]
    assert trusted["PayloadType"] == "com.apple.security.root"
