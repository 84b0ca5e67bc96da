"""Every URL, asked with every method by everybody: docs/access.md says what each of them gets.

The table is made by `python -m pytest tests/panel/test_access_table.py --write-access-table`. Read its difference as
an attacker would before it is committed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.template.backends.django import Template
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django.utils.http import int_to_base36

from panel.accounts import members, notices
from panel.accounts.models import Invitation, Notice, User
from panel.addresses.claims import make_claim
from panel.addresses.device_passwords import create_device
from panel.addresses.models import DevicePassword, DomainClaim, Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.services import create_domain, create_mailbox
from panel.connections.models import Connection
from panel.core.models import Job
from panel.retention import changing
from panel.retention.models import RuleChange
from tests.cast import PASSWORD, Cast
from tests.dns_server import DnsServer
from tests.panel.accounts.passkeys import add_passkey
from tests.panel.connections.rows import row

TABLE = Path(__file__).parents[2] / "docs" / "access.md"
METHODS = ("GET", "POST")
OTHER_METHODS = ("PUT", "PATCH", "DELETE", "TRACE")
SIGN_IN = "sign-in"
#: The pages of answers that are the same whatever was asked for.
REFUSALS = ("403.html", "404.html")
#: What a form of ours always has, and nothing that somebody typed.
EMPTY_FORM = "version="

HEAD = """\
# Who may ask for what

Every address of the panel with the status that it answers, asked with no parameters and an empty form. Made by
`tests/panel/test_access_table.py`, which fails when an address is missing here or answers otherwise.

- *Stranger*: owner of another customer. *Acting*: an administrator who acts for this customer.
- *Mailbox*, *neighbour*: the owners of this mailbox, and of another one of the same domain.
- What has a number or a name in its address is this customer's, or its owner's own passkey, session or link.
- `sign-in`: sent to the sign-in page (302). 302: done, or sent elsewhere. 422 or 400: may, but the form is empty.
  403: may see it and not do it. 404: does not exist for them. 405: not with this method.
- HEAD is answered as GET without its body; any other method gives 405 to whoever may ask, and never does anything.
"""


@dataclass
class Stage:
    """The cast, and one of everything that an address can name.

    Attributes:
        invitation: an open one to the customer.
        passkey: the owner's.
        session: another one of the owner's.
        job: any.
        neighbour: another mailbox of the same domain.
        claim: a domain that the customer waits for.
        notice: to everybody.
        connection: to the mailbox.
        device: a device password of the mailbox.
    """

    cast: Cast
    invitation: Invitation
    passkey: Authenticator
    session: UserSession
    job: Job
    neighbour: Mailbox
    claim: DomainClaim
    notice: Notice
    connection: Connection
    device: DevicePassword
    rule_change: RuleChange


def _nobody(stage: Stage) -> None:
    """Return who is not signed in."""


def _mailbox_owner(mailbox: Mailbox) -> User:
    """Return the owner of a mailbox, as their first sign-in makes them."""
    owner = owner_of(mailbox)
    assert owner is not None
    return owner


#: The columns of the table.
ASKERS: dict[str, Callable[[Stage], User | None]] = {
    "anonymous": _nobody,
    "stranger": lambda stage: stage.cast.stranger,
    "read-only": lambda stage: stage.cast.reader,
    "manager": lambda stage: stage.cast.manager,
    "owner": lambda stage: stage.cast.owner,
    "mailbox": lambda stage: _mailbox_owner(stage.cast.mailbox),
    "neighbour": lambda stage: _mailbox_owner(stage.neighbour),
    "admin": lambda stage: stage.cast.admin,
    "acting": lambda stage: stage.cast.admin,
}

#: What answers whoever is not signed in with something of its own.
PUBLIC = {
    "healthz",
    "authority_certificate",
    "autoconfig",
    "autodiscover",
    "autodiscover_json",
    "pop_or_imap",
    "setup_address",
    "setup_code",
    "setup_profile",
    "well_known_autoconfig",
    "accept_invitation",
    "choose_mailbox_password",
    "account_login",
    "choose_language",
    "account_reset_password",
    "account_reset_password_done",
    "open_reset_link",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
}

#: What stands for the parameters of each address that has some.
ARGUMENTS: dict[str, Callable[[Stage], dict[str, Any]]] = {
    **dict.fromkeys(
        (
            "show_customer",
            "edit_customer",
            "suspend_customer",
            "resume_customer",
            "delete_customer",
            "list_members",
            "invite_member",
            "act_for_customer",
            "customer_settings",
            "customer_rules",
            "customer_rule",
            "customer_recovery",
            "customer_storage",
            "export_customer_storage",
        ),
        lambda stage: {"pk": stage.cast.customer.pk},
    ),
    **dict.fromkeys(
        ("edit_member", "remove_member"),
        lambda stage: {"pk": stage.cast.customer.pk, "user_pk": stage.cast.reader.pk},
    ),
    **dict.fromkeys(
        ("send_invitation_again", "withdraw_invitation"),
        lambda stage: {"pk": stage.cast.customer.pk, "invitation_pk": stage.invitation.pk},
    ),
    **dict.fromkeys(
        (
            "show_domain",
            "edit_domain",
            "suspend_domain",
            "resume_domain",
            "delete_domain",
            "restore_domain",
            "domain_settings",
            "domain_dns",
            "download_domain_zone",
            "domain_rules",
            "domain_rule",
            "domain_recovery",
            "edit_domain_protocols",
            "limit_domain_storage",
        ),
        lambda stage: {"name": stage.cast.domain.name},
    ),
    **dict.fromkeys(
        ("show_domain_claim", "check_domain_claim", "renew_domain_claim", "cancel_domain_claim"),
        lambda stage: {"pk": stage.cast.customer.pk, "name": stage.claim.name},
    ),
    **dict.fromkeys(
        (
            "show_mailbox",
            "show_mailbox_usage",
            "set_up_mailbox",
            "show_mailbox_settings",
            "rename_mailbox",
            "set_mailbox_pop_policy",
            "make_password_link",
            "edit_mailbox",
            "set_mailbox_password",
            "suspend_mailbox",
            "resume_mailbox",
            "delete_mailbox",
            "restore_mailbox",
            "mailbox_connections",
            "mailbox_storage",
            "set_up_check",
            "set_up_check_events",
            "list_removed_mail",
            "restore_removed_mail",
            "erase_removed_mail",
            "show_gone_mail",
            "list_devices",
            "create_device",
            "require_devices",
            "end_mailbox_sessions",
            "switch_mailbox_to_imap",
            "switch_mailbox_to_pop",
            "mailbox_rules",
            "mailbox_rule",
            "mailbox_recovery",
            "hold_mailbox",
            "release_mailbox",
        ),
        lambda stage: {"pk": stage.cast.mailbox.pk},
    ),
    **dict.fromkeys(
        ("show_rule_change", "confirm_rule_change", "cancel_rule_change"),
        lambda stage: {"pk": stage.rule_change.pk},
    ),
    **dict.fromkeys(("mfa_edit_webauthn", "mfa_remove_webauthn"), lambda stage: {"pk": stage.passkey.pk}),
    **dict.fromkeys(("edit_notice", "end_notice", "dismiss_notice"), lambda stage: {"pk": stage.notice.pk}),
    "dismiss_mailbox_notice": lambda stage: {"pk": stage.cast.mailbox.pk, "kind": "new_network"},
    "report_device": lambda stage: {
        "pk": stage.cast.mailbox.pk,
        "connection_pk": stage.connection.pk,
    },
    **dict.fromkeys(
        ("edit_device", "renew_device", "revoke_device"),
        lambda stage: {"pk": stage.cast.mailbox.pk, "device_pk": stage.device.pk},
    ),
    **dict.fromkeys(
        ("run_scheduled_job", "pause_scheduled_job", "resume_scheduled_job"),
        lambda _stage: {"name": "check_mail"},
    ),
    **dict.fromkeys(
        ("show_purge_run", "allow_purge_run", "cancel_purge_run"),
        lambda stage: {"pk": stage.rule_change.runs.get().pk},
    ),
    "end_session": lambda stage: {"pk": stage.session.pk},
    "show_job": lambda stage: {"pk": stage.job.pk},
    "show_connection": lambda stage: {"pk": stage.connection.pk},
    "show_connection_ip": lambda _stage: {"ip": "192.0.2.7"},
    "account_reset_password_from_key": lambda stage: {
        "uidb36": int_to_base36(stage.cast.owner.pk),
        "key": "set-password",
    },
}


@pytest.fixture
def stage(cast: Cast, dns: DnsServer) -> Stage:
    """Everything that an address can name. Another customer has a domain too, so the stranger is no newcomer."""
    create_domain(name="theirs.test", customer=cast.other_customer)
    RecoveryCodes.activate(cast.owner)
    passkey = add_passkey(cast.owner, "Telephone")
    elsewhere = Client()
    elsewhere.force_login(cast.owner)
    elsewhere.get(reverse("show_account"))
    return Stage(
        cast=cast,
        invitation=members.invite(customer=cast.customer, email="new@martin.test", role="reader"),
        passkey=passkey,
        session=UserSession.objects.get(user=cast.owner),
        job=Job.objects.order_by("pk")[0],
        neighbour=create_mailbox(domain=cast.domain, local_part="bob", password=PASSWORD),
        claim=make_claim(customer=cast.customer, name="wanted.test"),
        notice=notices.create_notice(
            text_en="Work",
            text_fr="Travaux",
            level="info",
            audience="everybody",
            starts_at=timezone.now(),
            ends_at=None,
        ),
        connection=row(cast.mailbox),
        device=create_device(mailbox=cast.mailbox, label="Office PC")[0],
        rule_change=_proposed(cast),
    )


def _proposed(cast: Cast) -> RuleChange:
    change = changing.propose(cast.customer, "Trash", 30)
    assert change is not None
    return change


@pytest.fixture
def each_refusal_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the pages "not for you" and "nothing here" once for each person: hundreds of answers are one of them."""
    written: dict[tuple[str, str], str] = {}
    render = Template.render

    def once(template: Template, context: Any = None, request: HttpRequest | None = None) -> str:
        name = str(template.template.name)
        if name not in REFUSALS or request is None:
            return render(template, context, request)
        key = name, str(request.user)
        if key not in written:
            written[key] = render(template, context, request)
        return written[key]

    monkeypatch.setattr(Template, "render", once)


def addresses(resolver: URLResolver | None = None, before: str = "") -> Iterator[tuple[str, str, URLPattern]]:
    """Yield pattern, name and entry of every URL there is, those of installed parts included."""
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry, pattern)
        else:
            assert entry.name, f"{pattern} has no name"
            yield pattern, entry.name, entry


def url_of(pattern: str, name: str, stage: Stage) -> str:
    """Return an address with its parameters filled in."""
    if "<" not in pattern:
        return reverse(name)
    assert name in ARGUMENTS, (
        f"ARGUMENTS has nothing for {pattern} ({name}): add what stands for its parameters"
    )
    return reverse(name, kwargs=ARGUMENTS[name](stage))


def as_asked(name: str, stage: Stage) -> Client:
    """Return the browser of one column, of somebody who has just confirmed who they are, where they can."""
    client = Client(raise_request_exception=False)
    person = ASKERS[name](stage)
    if person is None:
        return client
    client.force_login(person, settings.AUTHENTICATION_BACKENDS[-1 if person.is_mailbox else 0])
    # What a session's first request writes is done now: later ones are rolled back and would write it again.
    client.get(reverse("home"))
    if not person.is_mailbox:
        confirmed = client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
        assert confirmed.status_code == 302
    if name == "acting":
        begun = client.post(reverse("act_for_customer", args=[stage.cast.customer.pk]))
        assert begun.status_code == 302
    return client


def ask(client: Client, method: str, url: str) -> str:
    """Ask, note the answer, and let it not have happened: everybody finds the stage as it was."""
    cookies = SimpleCookie(client.cookies.output(header="", sep=";"))
    with transaction.atomic():
        answer = client.generic(method, url, EMPTY_FORM, content_type="application/x-www-form-urlencoded")
        transaction.set_rollback(True)
    client.cookies = cookies
    led_to = answer.headers.get("Location", "")
    return SIGN_IN if led_to.startswith(reverse("account_login")) else str(answer.status_code)


def seen(stage: Stage, askers: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Return what some of ASKERS get, by address and method."""
    clients = {name: as_asked(name, stage) for name in askers}
    rows = {}
    for pattern, name, _entry in addresses():
        url = url_of(pattern, name, stage)
        for method in METHODS:
            rows[readable(pattern), method] = {
                asker: ask(client, method, url) for asker, client in clients.items()
            }
    return rows


def readable(pattern: str) -> str:
    """Return an address as people write it: `<int:pk>` as `<pk>`, and a group of an expression by its name."""
    plain = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", pattern.strip("^$"))
    # Letters in any case, and what may follow.
    plain = re.sub(r"\[([a-z])[A-Z]\]", r"\1", plain).replace("\\.", ".")
    plain = re.sub(r"\(\?:.*\)\?|/\?$", "", plain)
    return "/" + re.sub(r"<\w+:(\w+)>", r"<\1>", plain)


def as_table(rows: dict[tuple[str, str], dict[str, str]]) -> str:
    """Return the document: a table for each first part of an address."""
    lines = [HEAD.rstrip()]
    part = None
    for (pattern, method), statuses in sorted(rows.items()):
        if pattern.split("/")[1] != part:
            part = pattern.split("/")[1]
            lines += ["", f"## /{part}", "", f"| Address | | {' | '.join(ASKERS)} |"]
            lines.append(f"|---|---|{'---|' * len(ASKERS)}")
        lines.append(f"| `{pattern}` | {method} | {' | '.join(statuses[asker] for asker in ASKERS)} |")
    return "\n".join(lines) + "\n"


def in_table() -> dict[tuple[str, str], dict[str, str]]:
    """Return what the document says, as `seen` does."""
    found = {}
    for line in TABLE.read_text("utf-8").splitlines():
        if line.startswith("| `"):
            pattern, method, *statuses = line.strip("| ").split(" | ")
            found[pattern.strip("`"), method] = dict(zip(ASKERS, statuses, strict=True))
    return found


@pytest.mark.usefixtures("each_refusal_once")
def test_the_table_is_written_anew_where_that_is_asked_for(
    stage: Stage, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--write-access-table"):
        TABLE.write_text(as_table(seen(stage, ASKERS)), "utf-8")
    # Nothing but what is read from it stands in it.
    assert as_table(in_table()) == TABLE.read_text("utf-8")


@pytest.mark.usefixtures("each_refusal_once")
@pytest.mark.parametrize("asker", ASKERS)
def test_everybody_gets_what_the_table_says(stage: Stage, asker: str) -> None:
    said, now = in_table(), seen(stage, [asker])
    changed = [
        f"{method} {pattern}: {now.get((pattern, method), {}).get(asker, 'is not there')}, not "
        f"{said.get((pattern, method), {}).get(asker, 'in the table')}"
        for pattern, method in sorted(said.keys() | now.keys())
        if said.get((pattern, method), {}).get(asker) != now.get((pattern, method), {}).get(asker)
    ]
    assert not changed, "\n".join(["docs/access.md says otherwise (see the top of this test):", *changed])


def test_nobody_sees_more_than_the_public_addresses_without_signing_in(stage: Stage) -> None:
    client = as_asked("anonymous", stage)
    for pattern, name, _entry in addresses():
        answers = {ask(client, method, url_of(pattern, name, stage)) for method in METHODS}
        assert "500" not in answers, pattern
        assert name in PUBLIC or answers <= {SIGN_IN, "405"}, (pattern, answers)


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_other_methods_do_nothing(stage: Stage, method: str) -> None:
    client = as_asked("admin", stage)
    answers = {
        pattern: ask(client, method, url_of(pattern, name, stage)) for pattern, name, _entry in addresses()
    }
    # What refuses before it looks at the method, or only sends elsewhere, is no way in either.
    allowed = {"405", "404", "302"}
    assert {pattern: status for pattern, status in answers.items() if status not in allowed} == {}


def test_nothing_more_is_served_than_is_named(stage: Stage) -> None:
    """allauth's own addresses for what is closed here, and Django's for what is not installed."""
    client = as_asked("admin", stage)
    for path in (
        "accounts/signup/",
        "accounts/email/",
        "signup/",
        "admin/",
        "static/",
        "media/",
        "i18n/setlang/",
    ):
        assert ask(client, "GET", f"/{path}") == "404", path
