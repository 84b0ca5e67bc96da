"""A real Thunderbird takes what the panel tells it, and gets in by it: over IMAP, over POP, and never with a secret.

Debian's thunderbird is 300 MB, so that it is not installed for tests: where it is missing, these are skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import StandMaker
from tests.live.test_formats import assert_nowhere
from tests.panel_client import PanelClient
from tests.stand import Box, Stand, wait_for
from tests.thunderbird import Front, Thunderbird, running

pytestmark = [
    pytest.mark.live,
    pytest.mark.long,
    pytest.mark.skipif(
        not shutil.which("thunderbird"), reason="Debian's package thunderbird is not installed"
    ),
]
#: Like Thunderbird's own numbers (nsMsgSocketType, nsMsgAuthMethod).
STARTTLS, TLS = 2, 3
PASSWORD_CLEARTEXT = 3
#: What is asked of a server that it found.
SERVER = """
    const plain = server => Object.fromEntries(
        ["type", "hostname", "port", "socketType", "auth", "username", "leaveMessagesOnServer",
         "daysToLeaveMessagesOnServer"].map(name => [name, server[name]]));
    const told = config => ({
        source: config.subSource, id: config.id, name: config.displayName, complete: config.isComplete(),
        incoming: [config.incoming, ...config.incomingAlternatives].map(plain),
        outgoing: [config.outgoing, ...config.outgoingAlternatives].map(plain),
    });
"""
FROM_ISP = f"""{SERVER}
    const {{ FetchConfig }} = ChromeUtils.importESModule("resource:///modules/accountcreation/FetchConfig.sys.mjs");
    return told(await FetchConfig.fromISP(given[0].split("@")[1], given[0], new AbortController().signal));
"""
FROM_EXCHANGE = f"""{SERVER}
    const {{ fetchConfigFromExchange }} = ChromeUtils.importESModule(
        "resource:///modules/accountcreation/ExchangeAutoDiscover.sys.mjs");
    return told(await fetchConfigFromExchange(
        given[0].split("@")[1], given[0], new AbortController().signal, null, given[1],
        async () => {{ throw new Error("It asked whether to go on."); }}));
"""
#: Signs in with what was found, and makes the account: the server of one protocol, and what became of its settings.
ACCOUNT = """
    const module = name => ChromeUtils.importESModule(`resource:///modules/accountcreation/${name}.sys.mjs`);
    const [address, password, protocol] = given;
    const signal = new AbortController().signal;
    const config = await module("FetchConfig").FetchConfig.fromISP(address.split("@")[1], address, signal);
    config.incoming = [config.incoming, ...config.incomingAlternatives].find(server => server.type == protocol);
    config.incomingAlternatives = [];
    module("AccountConfig").AccountConfig.replaceVariables(config, "Anna Martin", address, password);
    config.identity.realname = "Anna Martin";
    config.identity.emailAddress = address;
    await new (module("ConfigVerifier").ConfigVerifier)(null, signal).verifyConfig(config, false);
    const account = await module("CreateInBackend").CreateInBackend.createAccountInBackend(config);
    const server = account.incomingServer;
    const pop = protocol == "pop3" ? server.QueryInterface(Ci.nsIPop3IncomingServer) : null;
    return {
        type: server.type, hostname: server.hostname, port: server.port, socketType: server.socketType,
        username: server.username,
        leaves: pop && pop.leaveMessagesOnServer, days: pop && pop.numDaysToLeaveOnServer,
        byAge: pop && pop.deleteByAgeFromServer,
    };
"""


@pytest.fixture(scope="module")
def host(make_stand: StandMaker) -> Stand:
    """A host whose servers have names."""
    stand = make_stand(MAIL_HOST="mail.host.test", SMTP_HOST="smtp.host.test", SMTP_PORT="587")
    stand.start()
    return stand


@pytest.fixture(scope="module")
def both(host: Stand) -> Iterator[tuple[Thunderbird, Front]]:
    """A Thunderbird that finds this host, and what stands before it."""
    with running(host) as found:
        yield found


@pytest.fixture
def thunderbird(both: tuple[Thunderbird, Front]) -> Thunderbird:
    """The program."""
    return both[0]


@pytest.fixture
def front(both: tuple[Thunderbird, Front]) -> Front:
    """Whom it asked."""
    return both[1]


@pytest.fixture
def box(host: Stand) -> Box:
    """A mailbox in a domain of its own."""
    return host.new_mailbox()


def of(stand: Stand, name: str) -> tuple[str, int]:
    """Return name and port of one of a stand's servers."""
    return "mail.host.test", stand.ports[name]


def test_autoconfig_is_taken_over_https(thunderbird: Thunderbird, front: Front, box: Box) -> None:
    found = thunderbird.run(FROM_ISP, box.address)
    domain = box.address.partition("@")[2]
    assert f"autoconfig.{domain}" in front.asked
    assert (found["source"], found["id"], found["complete"]) == ("xml-from-isp-https", domain, True)
    seen = [
        (server["type"], server["hostname"], server["port"], server["socketType"])
        for server in found["incoming"]
    ]
    assert seen == [
        ("imap", *of(box.stand, "imaps"), TLS),
        ("imap", *of(box.stand, "imap"), STARTTLS),
        ("pop3", *of(box.stand, "pop3s"), TLS),
        ("pop3", *of(box.stand, "pop3"), STARTTLS),
    ]
    (outgoing,) = found["outgoing"]
    assert (outgoing["hostname"], outgoing["port"], outgoing["socketType"]) == (
        "smtp.host.test",
        587,
        STARTTLS,
    )
    for server in (*found["incoming"], outgoing):
        assert (server["username"], server["auth"]) == (box.address, PASSWORD_CLEARTEXT)


def test_an_address_that_does_not_exist_is_answered_alike(thunderbird: Thunderbird, box: Box) -> None:
    def told(address: str, *more: str) -> str:
        script = FROM_EXCHANGE if more else FROM_ISP
        return str(thunderbird.run(script, address, *more)).replace(address, "ADDRESS")

    unknown = f"nobody@{box.address.partition('@')[2]}"
    assert told(unknown) == told(box.address)
    assert told(unknown, "guess") == told(box.address, "guess")


def test_autodiscover_is_taken(thunderbird: Thunderbird, front: Front, box: Box) -> None:
    found = thunderbird.run(FROM_EXCHANGE, box.address, "a-secret-p4ssword")
    domain = box.address.partition("@")[2]
    assert {domain, f"autodiscover.{domain}"} & set(front.asked)
    assert found["complete"]
    seen = [
        (server["type"], server["hostname"], server["port"], server["socketType"])
        for server in found["incoming"]
    ]
    assert seen == [("imap", *of(box.stand, "imaps"), TLS), ("pop3", *of(box.stand, "pop3s"), TLS)]
    assert [(server["hostname"], server["port"]) for server in found["outgoing"]] == [("smtp.host.test", 587)]
    for server in (*found["incoming"], *found["outgoing"]):
        assert (server["username"], server["auth"]) == (box.address, PASSWORD_CLEARTEXT)
    # Thunderbird has sent the password along.
    assert_nowhere(box.stand, box.address, "a-secret-p4ssword")


@pytest.mark.parametrize(
    ("deletes", "days", "leaves"),
    [("keep_days", 45, True), ("keep", 36500, True), ("delete", 14, False)],
)
def test_it_gets_in_over_pop_and_leaves_what_the_domain_keeps(
    thunderbird: Thunderbird, box: Box, deletes: str, days: int, leaves: bool
) -> None:
    panel = PanelClient(box.stand)
    domain = box.address.partition("@")[2]
    saved = panel.send(
        f"/domains/{domain}/settings/", default_quota_preset="", pop_deletes=deletes, days="45"
    )
    assert "Saved." in saved
    made = thunderbird.run(ACCOUNT, box.address, box.password, "pop3")
    assert (made["type"], made["hostname"], made["port"]) == ("pop3", *of(box.stand, "pop3s"))
    assert (made["username"], made["leaves"], made["days"]) == (box.address, leaves, days)
    assert_got_in(box, "pop3")


def test_it_gets_in_over_imap(thunderbird: Thunderbird, box: Box) -> None:
    made = thunderbird.run(ACCOUNT, box.address, box.password, "imap")
    assert (made["type"], made["hostname"], made["port"]) == ("imap", *of(box.stand, "imaps"))
    assert_got_in(box, "imap")


def test_a_protocol_that_is_off_is_not_told(thunderbird: Thunderbird, box: Box) -> None:
    panel = PanelClient(box.stand)
    domain = box.address.partition("@")[2]
    saved = panel.send(f"/domains/{domain}/protocols/", imap="on", confirmed="yes")
    assert "Saved." in saved
    for found in (
        thunderbird.run(FROM_ISP, box.address),
        thunderbird.run(FROM_EXCHANGE, box.address, "secret"),
    ):
        assert {server["type"] for server in found["incoming"]} == {"imap"}


def test_without_a_submission_server_it_takes_the_answer(make_stand: StandMaker) -> None:
    stand = make_stand(MAIL_HOST="mail.host.test")
    stand.start()
    box = stand.new_mailbox()
    with running(stand) as (thunderbird, _front):
        for found in (
            thunderbird.run(FROM_ISP, box.address),
            thunderbird.run(FROM_EXCHANGE, box.address, "secret"),
        ):
            assert found["complete"]
            assert [(server["hostname"], server["port"]) for server in found["outgoing"]] == [
                ("mail.host.test", 465)
            ]


def assert_got_in(box: Box, protocol: str) -> None:
    """Check that the connection log has a session by a protocol, over TLS."""

    def is_there() -> bool:
        rows: list[dict[str, Any]] = box.stand.must("connections", "--address", box.address)
        return any(
            row["protocol"] == protocol and row["outcome"] == "accepted" and row["tls"] for row in rows
        )

    wait_for(is_there, f"a session by {protocol} in the log")
