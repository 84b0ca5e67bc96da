"""Pages of rules: what counts and from whom, who may change it, and what a change would end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from panel.accounts.models import User
from panel.addresses import services
from panel.addresses.models import Domain, Mailbox
from panel.addresses.owners import owner_of
from panel.addresses.services import create_domain, create_mailbox
from panel.connections.models import RemovedMessage
from panel.core.models import AuditEntry, Installation, Job
from panel.retention import changing, runs
from panel.retention.management.commands import setretention
from panel.retention.models import PurgeRun, RetentionRule, RuleChange
from tests.cast import PASSWORD, Cast
from tests.panel.retention.rule_rows import DAY, confirmed, counted, rule

SignedIn = Callable[[User], Client]
LEVELS = ("platform", "customer", "domain", "mailbox")


def urls(cast: Cast) -> dict[str, str]:
    return {
        "platform": "/settings/retention/",
        "customer": f"/customers/{cast.customer.pk}/retention/",
        "domain": f"/domains/{cast.domain.name}/retention/",
        "mailbox": f"/mailboxes/{cast.mailbox.pk}/retention/",
    }


def people(cast: Cast) -> dict[str, User]:
    mailbox = Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)
    owner = owner_of(mailbox)
    assert owner is not None
    return {
        "admin": cast.admin,
        "owner": cast.owner,
        "manager": cast.manager,
        "reader": cast.reader,
        "stranger": cast.stranger,
        "mailbox": owner,
    }


def rows_of(page: str) -> dict[str, str]:
    """Return what a page says of each folder, without its marks."""
    found = {}
    for row in re.findall(r'<tr role="row">\s*(<th scope="row".*?)</tr>', page, re.DOTALL):
        words = " ".join(re.sub(r"<[^>]+>", " ", row).split())
        found[words.split()[0]] = words
    return found


def version_of(page: str) -> str:
    found = re.search(r'name="version" value="(\d*)"', page)
    return found[1] if found else ""


def test_effective_rules_with_where_each_comes_from(cast: Cast, signed_in: SignedIn) -> None:
    rule(None, "Trash", 30)
    rule(cast.customer, "Junk", 14)
    rule(cast.domain, "Projects/2024", 365)
    rule(cast.mailbox, "Trash", None)
    services.set_pop_policy(mailbox=cast.mailbox, policy="keep:5")
    page = signed_in(cast.manager).get(urls(cast)["mailbox"]).content.decode()
    rows = rows_of(page)
    assert list(rows) == ["Inbox", "Sent", "Drafts", "Junk", "Trash", "Archive", "Projects/2024"]
    assert rows["Inbox"] == "Inbox INBOX Never no rule Set here"
    assert rows["Trash"] == "Trash Never set here Change"
    assert rows["Junk"] == "Junk After 14 days inherited from Martin SA Set here"
    assert f"After 365 days inherited from {cast.domain.name}" in rows["Projects/2024"]
    assert f'href="/customers/{cast.customer.pk}/retention/"' in page
    assert "After 5 days" in page
    assert "Can be recovered for 14 days" in page
    above = signed_in(cast.owner).get(urls(cast)["customer"]).content.decode()
    assert rows_of(above)["Trash"] == "Trash After 30 days inherited from the platform Set here"
    # What the platform says is no page of theirs.
    assert 'href="/settings/retention/"' not in above
    assert 'href="/settings/retention/"' in signed_in(cast.admin).get(urls(cast)["customer"]).content.decode()


SEE = {
    "platform": {"admin": 200, "owner": 403, "manager": 403, "reader": 403, "stranger": 403, "mailbox": 403},
    "customer": {"admin": 200, "owner": 200, "manager": 200, "reader": 200, "stranger": 404, "mailbox": 404},
    "domain": {"admin": 200, "owner": 200, "manager": 200, "reader": 200, "stranger": 404, "mailbox": 404},
    "mailbox": {"admin": 200, "owner": 200, "manager": 200, "reader": 200, "stranger": 404, "mailbox": 200},
}
CHANGE = {
    "platform": {"admin"},
    "customer": {"admin", "owner"},
    "domain": {"admin", "owner", "manager"},
    "mailbox": {"admin", "owner", "manager"},
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("who", ["admin", "owner", "manager", "reader", "stranger", "mailbox"])
def test_who_may(cast: Cast, signed_in: SignedIn, level: str, who: str) -> None:
    client, url = signed_in(people(cast)[who]), urls(cast)[level]
    answer = client.get(url)
    assert answer.status_code == SEE[level][who]
    may = who in CHANGE[level]
    if answer.status_code == 200:
        assert (f"{url}rule/" in answer.content.decode()) is may
    for page, data in (
        ("rule/", {"folder": "Trash", "other": "", "ends": "never"}),
        ("recovery/", {"ends": "days", "days": "90"}),
    ):
        assert (client.get(url + page).status_code == 200) is may
        assert (client.post(url + page, data).status_code == 302) is may
    assert RetentionRule.objects.exists() is may
    change = changing.propose(
        {"platform": None, "customer": cast.customer, "domain": cast.domain, "mailbox": cast.mailbox}[level],
        "Junk",
        7,
    )
    counted(change)
    assert change is not None
    place = f"/retention/changes/{change.pk}/"
    sees = SEE[level][who] == 200
    assert (client.get(place).status_code == 200) is sees
    figures = {"mailboxes": "1", "messages": "3", "bytes": "3000"}
    assert (client.post(f"{place}confirm/", figures).status_code == 302) is may
    change.refresh_from_db()
    assert (change.confirmed_at is not None) is may
    assert (client.post(f"{place}cancel/").status_code == 302) is may
    change.refresh_from_db()
    assert (change.cancelled_at is not None) is may


def test_a_change_of_a_deleted_domain_is_not_that_of_the_next_one_of_its_name(
    cast: Cast, signed_in: SignedIn
) -> None:
    change = changing.propose(cast.domain, "Trash", 7)
    assert change is not None
    counted(change)
    services.delete_domain(domain=cast.domain)
    create_domain(name=cast.domain.name, customer=cast.other_customer)
    place = f"/retention/changes/{change.pk}/"
    for client in (signed_in(cast.stranger), signed_in(cast.owner), signed_in(cast.admin)):
        assert client.get(place).status_code == 404
        figures = {"mailboxes": "1", "messages": "3", "bytes": "3000"}
        assert client.post(f"{place}confirm/", figures).status_code == 404
        assert client.post(f"{place}cancel/").status_code == 404
    change.refresh_from_db()
    assert (change.confirmed_at, change.cancelled_at) == (None, None)


def test_from_a_new_rule_to_its_start(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.manager), urls(cast)["domain"]
    assert "Another folder" in client.get(f"{url}rule/").content.decode()
    answer = client.post(
        f"{url}rule/", {"folder": "other", "other": "inbox", "ends": "days", "days": "30", "version": ""}
    )
    change = RuleChange.objects.get()
    assert (change.folder, change.days, change.domain_id, change.asked_by) == (
        "INBOX",
        30,
        cast.domain.pk,
        cast.manager,
    )
    place = f"/retention/changes/{change.pk}/"
    assert answer["Location"] == place
    page = client.get(place).content.decode()
    assert "data-poll" in page
    assert "See how far it is" in page
    assert f"{place}confirm/" not in page
    # A confirmation that comes before the figures is refused in words.
    for data in ({}, {"mailboxes": "0", "messages": "0", "bytes": "0"}):
        assert client.post(f"{place}confirm/", data, follow=True).status_code == 200
        change.refresh_from_db()
        assert change.confirmed_at is None
    counted(change, cast.mailbox, messages=1234)
    page = client.get(place).content.decode()
    assert "data-poll" not in page
    assert "<strong>1234</strong>" in page
    assert cast.mailbox.address in page
    assert 'name="messages" value="1234"' in page
    assert "Confirm: 1234 messages end" in page
    shown = {"mailboxes": "1", "messages": "1234", "bytes": "1234000"}
    stale = client.post(f"{place}confirm/", {**shown, "messages": "1200"}, follow=True).content.decode()
    assert "has changed meanwhile" in stale
    assert "can be cancelled" in client.post(f"{place}confirm/", shown, follow=True).content.decode()
    listed = client.get(url).content.decode()
    assert "Inbox: messages end after 30 days" in listed
    assert "Confirmed. It starts on" in listed
    # Whoever has a mailbox there is told too, and can only look.
    below = signed_in(people(cast)["mailbox"]).get(urls(cast)["mailbox"]).content.decode()
    assert "Inbox: messages end after 30 days" in below
    assert "Cancel it" not in below
    assert place not in below
    changing.start_due(change.starts_at)
    assert "After 30 days set here" in rows_of(client.get(url).content.decode())["Inbox"]
    assert "It counts since" in client.get(place).content.decode()
    assert "Changes that wait" not in client.get(url).content.decode()


def test_it_is_cancelled(cast: Cast, signed_in: SignedIn) -> None:
    change = confirmed(cast.domain, "Trash", 30)
    client, place = signed_in(cast.manager), f"/retention/changes/{change.pk}/"
    assert client.get(f"{place}cancel/").status_code == 405
    assert "Nothing ends by it" in client.post(f"{place}cancel/", follow=True).content.decode()
    assert "Cancelled: nothing ends by it" in client.get(place).content.decode()
    assert "or was cancelled" in client.post(f"{place}cancel/", follow=True).content.decode()


def test_nothing_would_end(cast: Cast, signed_in: SignedIn) -> None:
    change = changing.propose(cast.domain, "Trash", 30)
    counted(change, messages=0)
    assert change is not None
    page = signed_in(cast.manager).get(f"/retention/changes/{change.pk}/").content.decode()
    assert "Nothing: no message is old enough" in page


def test_who_sees_a_customers_change_sees_its_mailboxes_and_no_others(
    cast: Cast, signed_in: SignedIn
) -> None:
    theirs = create_domain(name="theirs.test", customer=cast.other_customer)
    box = create_mailbox(domain=theirs, local_part="x", password=PASSWORD)
    change = changing.propose(cast.customer, "Trash", 30)
    assert change is not None
    counted(change, cast.mailbox)
    run = PurgeRun.objects.get(change=change)
    run.items.create(mailbox=box, folder="Trash", rule="x", cutoff=change.starts_at, messages=1, bytes=1)
    page = signed_in(cast.reader).get(f"/retention/changes/{change.pk}/").content.decode()
    assert cast.mailbox.address in page
    assert "theirs.test" not in page


def test_what_was_counted_in_part_only_is_not_confirmed(cast: Cast, signed_in: SignedIn) -> None:
    """An administrator cancels the run that counts: what it had found until then is not what would end."""
    change = changing.propose(cast.domain, "Trash", 7)
    assert change is not None
    run = PurgeRun.objects.get(change=change)
    PurgeRun.objects.filter(pk=run.pk).update(messages=3, mailboxes=1, bytes=3000)
    runs.cancel_by_hand(run)
    client, url = signed_in(cast.manager), f"/retention/changes/{change.pk}/"
    page = client.get(url).content.decode()
    assert "cancelled the counting" in page
    assert "data-poll" not in page
    assert "Confirm" not in page
    client.post(f"{url}confirm/", {"mailboxes": "1", "messages": "3", "bytes": "3000"})
    change.refresh_from_db()
    assert change.confirmed_at is None
    # It keeps nobody from asking anew.
    assert changing.propose(cast.domain, "Trash", 7) is not None


def test_editing_a_rule(cast: Cast, signed_in: SignedIn) -> None:
    rule(None, "Trash", 7)
    changing.propose(cast.domain, "Trash", 60)
    client, url = signed_in(cast.manager), f"{urls(cast)['domain']}rule/"
    page = client.get(f"{url}?folder=Trash").content.decode()
    assert "How long messages in Trash are kept" in page
    assert "then they end after 7 days, as is said above" in page
    assert version_of(page) == "1"
    given = {"folder": "Trash", "ends": "never", "days": "", "version": "1"}
    assert client.post(url, given).status_code == 302
    assert RetentionRule.objects.get(domain=cast.domain).days is None
    # It was changed since the form was shown.
    answer = client.post(url, {**given, "ends": "days", "days": "90"})
    assert answer.status_code == 422
    assert "Somebody else changed this" in answer.content.decode()
    # Taken away, the platform's 7 days count: that ends more.
    assert client.post(url, {"folder": "Trash", "ends": "inherit", "version": "2"}).status_code == 302
    change = RuleChange.objects.get(domain=cast.domain)
    assert change.removes
    assert "no rule here any more" in client.get(f"/retention/changes/{change.pk}/").content.decode()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"folder": "Trash", "other": "", "ends": "days", "days": ""}, "Say after how many days"),
        ({"folder": "Trash", "other": "", "ends": "days", "days": "0"}, "greater than or equal to 1"),
        ({"folder": "Trash", "other": "", "ends": "days", "days": "3651"}, "less than or equal to 3650"),
        ({"folder": "other", "other": "", "ends": "never"}, "Say which folder"),
        ({"folder": "other", "other": ".EXPUNGED/all", "ends": "never"}, "No folder has a dot"),
        ({"folder": "other", "other": "Tr*", "ends": "never"}, "No folder can have this name"),
        ({"folder": "other", "other": "x" * 256, "ends": "never"}, "at most 255"),
        ({"folder": "nonsense", "other": "", "ends": "never"}, "Select a valid choice"),
        ({"folder": "Trash", "other": "", "ends": "inherit"}, "Select a valid choice"),
        ({"folder": "Trash", "ends": "inherit", "version": "0"}, "Select a valid choice"),
        ({"folder": ".EXPUNGED/all", "ends": "days", "days": "1"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_said(cast: Cast, signed_in: SignedIn, given: dict[str, str], words: str) -> None:
    answer = signed_in(cast.manager).post(f"{urls(cast)['domain']}rule/", given)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not RetentionRule.objects.exists()
    assert not RuleChange.objects.exists()


def test_names_of_folders_are_shown_as_text(cast: Cast, signed_in: SignedIn) -> None:
    rule(cast.domain, "<script>x", 9)
    client, url = signed_in(cast.manager), urls(cast)["domain"]
    page = client.get(url).content.decode()
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "folder=%3Cscript%3Ex" in page
    assert client.get(f"{url}rule/?folder=%3Cscript%3Ex").status_code == 200


def test_a_deleted_mailbox_only_shows_them(cast: Cast, signed_in: SignedIn) -> None:
    services.delete_mailbox(mailbox=cast.mailbox)
    client, url = signed_in(cast.owner), urls(cast)["mailbox"]
    assert client.get(url).status_code == 200
    assert client.post(f"{url}rule/", {"folder": "Trash", "other": "", "ends": "never"}).status_code == 403
    Domain.objects.filter(pk=cast.domain.pk).update(deleted_at=timezone.now())
    assert client.get(urls(cast)["domain"]).status_code == 404


def test_how_long_deleted_messages_can_be_recovered(cast: Cast, signed_in: SignedIn) -> None:
    client, url = signed_in(cast.admin), urls(cast)["platform"]
    version = version_of(client.get(f"{url}recovery/").content.decode())
    assert client.post(f"{url}recovery/", {"days": "30", "version": version}).status_code == 302
    assert Installation.objects.get().recovery_days == 30
    assert client.post(f"{url}recovery/", {"days": "30", "version": version}).status_code == 422
    for days in ("", "0", "3651", "x"):
        assert client.post(f"{url}recovery/", {"days": days}).status_code == 422
    RemovedMessage.objects.create(
        mailbox=cast.mailbox,
        node="n",
        session="",
        protocol="imap",
        folder="INBOX",
        uid=1,
        removed_at=timezone.now() - 20 * DAY,
    )
    below = urls(cast)["mailbox"]
    assert "as long as is said above: 30 days" in client.get(f"{below}recovery/").content.decode()
    answer = client.post(f"{below}recovery/", {"ends": "days", "days": "10"})
    page = client.get(answer["Location"]).content.decode()
    assert "nobody can recover them then" in page
    assert "Confirm: 1 message ends" in page
    change = RuleChange.objects.get()
    given = {"mailboxes": "1", "messages": "1", "bytes": ""}
    assert client.post(f"{answer['Location']}confirm/", given).status_code == 302
    changing.start_due(change.starts_at)
    assert "Can be recovered for 10 days" in client.get(below).content.decode()
    assert "Can be recovered for 30 days" in client.get(urls(cast)["domain"]).content.decode()
    assert "recovered for 10 days" in client.get(f"/mailboxes/{cast.mailbox.pk}/pop/").content.decode()


def test_settings_lead_there(cast: Cast, signed_in: SignedIn) -> None:
    client, places = signed_in(cast.admin), urls(cast)
    for settings_url, place in (
        ("/settings/", "platform"),
        (f"/customers/{cast.customer.pk}/settings/", "customer"),
        (f"/domains/{cast.domain.name}/settings/", "domain"),
        (f"/mailboxes/{cast.mailbox.pk}/settings/", "mailbox"),
    ):
        assert f'href="{places[place]}"' in client.get(settings_url).content.decode()


def test_the_trail_is_in_words(cast: Cast, signed_in: SignedIn) -> None:
    change = confirmed(cast.domain, "Trash", 30)
    changing.start_due(change.starts_at)
    changing.propose(cast.domain, "Trash", None)
    page = signed_in(cast.owner).get("/audit/").content.decode()
    for words in (
        "Proposed that messages in a folder end earlier",
        "Days that messages are kept",
        "For ever",
    ):
        assert words in page
    assert AuditEntry.objects.filter(actor=cast.owner.email).count() == 0


class Counting:
    """A worker that counts at once whatever is proposed."""

    def __init__(self, messages: int) -> None:
        self.messages = messages

    def __call__(self, change: RuleChange) -> PurgeRun:
        run = PurgeRun.objects.create(kind=PurgeRun.Kind.CHANGE, change=change, now=change.starts_at)
        PurgeRun.objects.filter(pk=run.pk).update(
            state=PurgeRun.State.COUNTED,
            counted_at=change.asked_at,
            mailboxes=1,
            messages=self.messages,
            bytes=self.messages * 1000,
        )
        return run


def command(*arguments: str) -> dict[str, Any]:
    out = StringIO()
    call_command("setretention", *arguments, "--json", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_the_command_confirms(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "start_preview", Counting(7))
    out = StringIO()
    with pytest.raises(CommandError, match=r"would end 7 messages .*--confirm"):
        call_command("setretention", "Trash", "30", "--platform", "--json", stdout=out)
    assert json.loads(out.getvalue())["would_end"]["messages"] == 7
    assert changing.waiting_at(None) == []
    answer = command("Trash", "30", "--platform", "--confirm")["rule"]
    (change,) = changing.waiting_at(None)
    assert change.confirmed_at is not None
    assert (answer["folder"], answer["days"], answer["level"]) == ("Trash", 30, "platform")
    assert answer["starts_at"] == change.starts_at.isoformat()
    changing.start_due(change.starts_at)
    # What ends less needs no confirmation.
    assert command("trash", "never", "--address", cast.mailbox.address)["rule"]["days"] == "never"
    assert command("Trash", "60", "--domain", cast.domain.name)["rule"]["days"] == 60
    assert command("Trash", "60", "--customer", "martin sa")["rule"]["days"] == 60
    answer = command("Trash", "inherit", "--domain", cast.domain.name, "--confirm")["rule"]
    assert answer["days"] == "inherit"


@pytest.mark.parametrize(
    "arguments",
    [
        ("Trash", "x", "--platform"),
        ("Trash", "0", "--platform"),
        ("Trash", "-1", "--platform"),
        ("Trash", "3651", "--platform"),
        ("Trash", "9" * 30, "--platform"),
        ("", "30", "--platform"),
        ("a\x00b", "30", "--platform"),
        (".EXPUNGED/all", "30", "--platform"),
        ("Trash", "30", "--domain", "nowhere.test"),
        ("Trash", "30", "--address", "nobody@nowhere.test"),
        ("Trash", "30", "--address", "nonsense"),
        ("Trash", "30", "--customer", "Nobody"),
        ("Trash", "inherit", "--platform"),
    ],
)
def test_the_command_refuses(cast: Cast, arguments: tuple[str, ...]) -> None:
    with pytest.raises((CommandError, SystemExit)):
        command(*arguments, "--confirm")
    assert not RuleChange.objects.exists()


@pytest.mark.parametrize(
    ("its_own", "state", "told"),
    [
        (True, PurgeRun.State.COUNTING, "The disk is gone"),
        # What fails of others is nothing to it.
        (False, PurgeRun.State.COUNTING, "not counted in time"),
        (False, PurgeRun.State.CANCELLED, "could not be counted: Cancelled"),
    ],
)
def test_what_cannot_be_counted_is_told_and_changes_nothing(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, its_own: bool, state: PurgeRun.State, told: str
) -> None:
    def start(change: RuleChange) -> PurgeRun:
        run = PurgeRun.objects.create(
            kind=PurgeRun.Kind.CHANGE, change=change, now=change.starts_at, state=state
        )
        Job.objects.create(
            kind=setretention.COUNTING,
            due_at=timezone.now(),
            error="The disk is gone.",
            arguments={"run": run.pk if its_own else run.pk + 1},
        )
        return run

    monkeypatch.setattr(runs, "start_preview", start)
    monkeypatch.setattr("panel.core.jobs.run", lambda _pk: None)
    monkeypatch.setattr(setretention, "COUNTED_WITHIN", 0.0)
    with pytest.raises(CommandError, match=told):
        command("Trash", "30", "--platform", "--confirm")
    assert changing.waiting_at(None) == []


def test_nobody_counts(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "start_preview", lambda _change: None)
    monkeypatch.setattr(setretention, "COUNTED_WITHIN", 0.0)
    with pytest.raises(CommandError, match="not counted in time"):
        command("Trash", "30", "--platform", "--confirm")
    assert changing.waiting_at(None) == []
