"""The trail of every service: once, with who did it, what was before and after, and no secret anywhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from typing import cast as typed

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbackend.supervisor.control import SupervisorDown
from panel.accounts import audit_selectors, customers, members
from panel.accounts import services as accounts
from panel.accounts.models import Invitation, Membership, User
from panel.addresses import bulk, device_passwords, password_links, purging, renaming, services, sessions
from panel.addresses import customers as with_addresses
from panel.addresses.models import DevicePassword, Mailbox
from panel.core import audit, mail
from panel.core.audit import Actor
from panel.core.audit_values import changes_in_words
from panel.core.models import AuditEntry, Installation, Job
from panel.retention import kept_copies, switching
from panel.service import services as service
from tests.cast import PASSWORD, Cast
from tests.panel.retention.dovecot import HidingDovecot
from tests.panel.whole_database import tables_that_hold

SignedIn = Callable[[User], Client]

GB = 1024**3
SECRET = "recognisable-S3cret-phrase"
RESULT = tuple[str, dict[str, Any], dict[str, Any]]


def current(cast: Cast) -> Mailbox:
    """Return the mailbox as it is now."""
    return Mailbox.objects.select_related("domain__customer").get(pk=cast.mailbox.pk)


def membership(cast: Cast) -> Membership:
    """Return the reader's membership."""
    return Membership.objects.select_related("customer", "user").get(user=cast.reader)


def invitation(cast: Cast) -> Invitation:
    """Return an open invitation that was not sent a moment ago."""
    made = members.invite(customer=cast.customer, email="i@x.test", role="reader")
    Job.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    return made


def deleted(cast: Cast) -> Mailbox:
    """Return the mailbox, deleted."""
    services.delete_mailbox(mailbox=cast.mailbox)
    return current(cast)


def link_token(cast: Cast) -> str:
    """Return the token of a link to choose the mailbox's password."""
    _row, address = password_links.make_link(mailbox=current(cast), created_by=cast.owner)
    return address.partition("token=")[2]


def edit_customer(cast: Cast, **values: Any) -> None:
    """Change some of a customer's values."""
    names = ("name", "max_domains", "max_mailboxes", "max_storage_bytes")
    had = {name: getattr(cast.customer, name) for name in names}
    customers.edit_customer(customer=cast.customer, **(had | values))


def device(cast: Cast) -> DevicePassword:
    """Return a device password of the mailbox."""
    return device_passwords.create_device(mailbox=current(cast), label="Office PC")[0]


def kept(cast: Cast) -> list[kept_copies.Copy]:
    """Return two copies that the mailbox keeps, which POP hides."""
    for uid in (1, 2):
        typed(HidingDovecot, mail.doveadm()).hide(cast.mailbox, uid, timezone.now())
    return kept_copies.note_copies(
        current(cast), kept_copies.hidden_in(current(cast)), seen_at=timezone.now()
    )


#: What is done, after what, and what is written down of it: actions → values before, values after.
STORIES: dict[str, tuple[Callable[[Cast], Any] | None, Callable[[Cast, Any], Any], list[RESULT]]] = {
    "create a domain": (
        None,
        lambda cast, _: services.create_domain(name="n.test", customer=cast.customer),
        [("domain.created", {}, {"default_quota_bytes": None})],
    ),
    "edit a domain": (
        None,
        lambda cast, _: services.edit_domain(
            domain=cast.domain, customer=cast.customer, default_quota_bytes=GB
        ),
        [("domain.edited", {"default_quota_bytes": None}, {"default_quota_bytes": GB})],
    ),
    "switch a protocol of a domain off": (
        None,
        lambda cast, _: services.edit_domain_protocols(domain=cast.domain, imap=True, pop3=False),
        [("domain.protocols_set", {"pop3": True}, {"pop3": False})],
    ),
    "limit the storage of a domain": (
        None,
        lambda cast, _: services.limit_domain_storage(domain=cast.domain, max_storage_bytes=GB),
        [("domain.storage_limited", {"max_storage_bytes": None}, {"max_storage_bytes": GB})],
    ),
    "suspend a domain": (
        None,
        lambda cast, _: services.suspend_domain(domain=cast.domain, reason="why"),
        [("domain.suspended", {"suspended_reason": ""}, {"suspended_reason": "why"})],
    ),
    "resume a domain": (
        lambda cast: services.suspend_domain(domain=cast.domain, reason="why"),
        lambda cast, _: services.resume_domain(domain=cast.domain),
        [("domain.resumed", {"suspended_reason": "why"}, {"suspended_reason": "", "suspended_at": None})],
    ),
    "delete a domain": (
        None,
        lambda cast, _: services.delete_domain(domain=cast.domain),
        [("domain.deleted", {"deleted_at": None}, {})],
    ),
    "restore a domain": (
        lambda cast: services.delete_domain(domain=cast.domain),
        lambda cast, _: services.restore_domain(domain=cast.domain),
        [("domain.restored", {}, {"deleted_at": None})],
    ),
    "create a mailbox": (
        None,
        lambda cast, _: services.create_mailbox(
            domain=cast.domain, local_part="n", password=SECRET, display_name="N", quota_bytes=GB
        ),
        [("mailbox.created", {}, {"display_name": "N", "quota_bytes": GB})],
    ),
    "create several": (
        None,
        lambda cast, _: bulk.create_mailboxes(
            domain=cast.domain,
            mailboxes=[bulk.NewMailbox("a", password=SECRET), bulk.NewMailbox("b", password=SECRET)],
        ),
        [("mailbox.created", {}, {"quota_bytes": None}), ("mailbox.created", {}, {"quota_bytes": None})],
    ),
    "edit a mailbox": (
        None,
        lambda cast, _: services.edit_mailbox(
            mailbox=current(cast), display_name="Anna Martin", quota_bytes=GB, imap=True, pop3=False
        ),
        [("mailbox.edited", {"quota_bytes": None, "pop3": True}, {"quota_bytes": GB, "pop3": False})],
    ),
    "set a password": (
        None,
        lambda cast, _: services.set_mailbox_password(mailbox=current(cast), password=SECRET),
        [("mailbox.password_set", {}, {})],
    ),
    "change one's own password": (
        None,
        lambda cast, _: services.change_own_password(mailbox=current(cast), password=SECRET),
        [("mailbox.own_password_set", {}, {})],
    ),
    "make a link to choose a password": (
        None,
        lambda cast, _: password_links.make_link(mailbox=current(cast), created_by=cast.owner),
        [("mailbox.link_made", {}, {})],
    ),
    "choose a password by a link": (
        link_token,
        lambda _cast, token: password_links.use_link(token=token, password=SECRET),
        [("mailbox.password_chosen", {}, {})],
    ),
    "change an address": (
        None,
        lambda cast, _: renaming.rename_mailbox(mailbox=current(cast), local_part="anne"),
        [("mailbox.renamed", {}, {})],
    ),
    "set what POP deletes": (
        None,
        lambda cast, _: services.set_pop_policy(mailbox=current(cast), policy="delete"),
        [("mailbox.pop_policy_set", {"pop_deletes": ""}, {"pop_deletes": "delete"})],
    ),
    "make a device password": (
        None,
        lambda cast, _: device_passwords.create_device(
            mailbox=current(cast), label="Office PC", imap=False, by=cast.owner
        ),
        [
            (
                "mailbox.device_created",
                {},
                {"device": "Office PC", "imap": False, "pop3": True, "expires_at": None},
            )
        ],
    ),
    "give a device a new password": (
        device,
        lambda _cast, made: device_passwords.renew_device(device=made),
        [("mailbox.device_renewed", {}, {"device": "Office PC"})],
    ),
    "change a device password": (
        device,
        lambda _cast, made: device_passwords.edit_device(device=made, label="Old PC", imap=False, pop3=True),
        [
            (
                "mailbox.device_edited",
                {"device": "Office PC", "imap": True},
                {"device": "Old PC", "imap": False},
            )
        ],
    ),
    "revoke a device password": (
        device,
        lambda _cast, made: device_passwords.revoke_device(device=made),
        [("mailbox.device_revoked", {}, {"device": "Office PC"})],
    ),
    "end sessions by hand": (
        None,
        lambda cast, _: sessions.end_by_hand(current(cast)),
        [("mailbox.sessions_ended", {}, {})],
    ),
    "require device passwords": (
        None,
        lambda cast, _: device_passwords.require_devices(mailbox=current(cast), required=True),
        [("mailbox.devices_required", {"device_required": False}, {"device_required": True})],
    ),
    "switch from POP to IMAP": (
        None,
        lambda cast, _: switching.switch_to_imap(mailbox=current(cast), pop_off=True),
        [
            ("mailbox.edited", {"pop3": True}, {"pop3": False}),
            ("mailbox.pop_policy_set", {"pop_deletes": ""}, {"pop_deletes": "keep"}),
            ("mailbox.switched_to_imap", {}, {}),
        ],
    ),
    "switch from IMAP to POP": (
        lambda cast: services.edit_mailbox(mailbox=current(cast), pop3=False),
        lambda cast, _: switching.switch_to_pop(mailbox=current(cast), days=7, offer_again=False),
        [
            ("mailbox.edited", {"pop3": False}, {"pop3": True}),
            (
                "mailbox.pop_policy_set",
                {"pop_deletes": ""},
                {"pop_deletes": "keep_days", "pop_keep_days": 7},
            ),
            ("mailbox.switched_to_pop", {}, {}),
        ],
    ),
    "end kept copies": (
        kept,
        lambda cast, copies: kept_copies.end_copies(current(cast), copies, kept_copies.ENDED),
        [("mailbox.kept_copies_ended", {}, {"ended_messages": 2})],
    ),
    "end kept copies early": (
        kept,
        lambda cast, copies: kept_copies.end_copies(current(cast), copies, kept_copies.ENDED_EARLY),
        [("mailbox.kept_copies_ended_early", {}, {"ended_messages": 2})],
    ),
    "offer kept copies to POP again": (
        kept,
        lambda cast, copies: kept_copies.show_copies(current(cast), [copy.message for copy in copies]),
        [("mailbox.kept_copies_shown", {}, {"shown_messages": 2})],
    ),
    "suspend a mailbox": (
        None,
        lambda cast, _: services.suspend_mailbox(mailbox=current(cast), reason="why"),
        [("mailbox.suspended", {"suspended_at": None, "suspended_reason": ""}, {"suspended_reason": "why"})],
    ),
    "resume a mailbox": (
        lambda cast: services.suspend_mailbox(mailbox=cast.mailbox, reason="why"),
        lambda cast, _: services.resume_mailbox(mailbox=current(cast)),
        [("mailbox.resumed", {"suspended_reason": "why"}, {"suspended_reason": ""})],
    ),
    "delete a mailbox": (
        None,
        lambda cast, _: services.delete_mailbox(mailbox=current(cast)),
        [("mailbox.deleted", {"deleted_at": None}, {})],
    ),
    "restore a mailbox": (
        deleted,
        lambda _cast, box: services.restore_mailbox(mailbox=box),
        [("mailbox.restored", {}, {"deleted_at": None})],
    ),
    "create a customer by invitation": (
        None,
        lambda _cast, _: customers.create_customer(name="N", owner_email="n@n.test", max_mailboxes=3),
        [
            ("customer.created", {}, {"max_mailboxes": 3, "max_domains": None}),
            ("member.invited", {}, {"role": "owner"}),
        ],
    ),
    "create a customer with a password": (
        None,
        lambda _cast, _: customers.create_customer(name="N", owner_email="n@n.test", owner_password=SECRET),
        [("customer.created", {}, {}), ("member.joined", {}, {"role": "owner"})],
    ),
    "edit a customer": (
        None,
        lambda cast, _: edit_customer(cast, name="Martin & fils", max_domains=3),
        [
            (
                "customer.edited",
                {"name": "Martin SA", "max_domains": None},
                {"name": "Martin & fils", "max_domains": 3},
            )
        ],
    ),
    "suspend a customer": (
        None,
        lambda cast, _: with_addresses.suspend_customer(customer=cast.customer, reason="unpaid"),
        [("customer.suspended", {"suspended_reason": ""}, {"suspended_reason": "unpaid"})],
    ),
    "resume a customer": (
        lambda cast: customers.mark_suspended(customer=cast.customer),
        lambda cast, _: customers.resume_customer(customer=cast.customer),
        [("customer.resumed", {}, {"suspended_at": None})],
    ),
    "invite somebody": (
        None,
        lambda cast, _: members.invite(customer=cast.customer, email="i@x.test", role="manager"),
        [("member.invited", {}, {"role": "manager"})],
    ),
    "send an invitation again": (
        invitation,
        lambda _cast, made: members.send_again(invitation=made),
        [("member.invited_again", {}, {})],
    ),
    "withdraw an invitation": (
        invitation,
        lambda _cast, made: members.withdraw(invitation=made),
        [("member.invitation_withdrawn", {}, {})],
    ),
    "change a role": (
        membership,
        lambda _cast, member: members.change_role(membership=member, role="manager"),
        [("member.role_changed", {"role": "reader"}, {"role": "manager"})],
    ),
    "remove a member": (
        membership,
        lambda _cast, member: members.remove_member(membership=member),
        [("member.removed", {"role": "reader"}, {})],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_every_change_is_recorded_once(cast: Cast, monkeypatch: pytest.MonkeyPatch, story: str) -> None:
    dovecot = HidingDovecot()
    monkeypatch.setattr(mail, "doveadm", lambda **_timeout: dovecot)
    prepare, act, expected = STORIES[story]
    prepared = prepare(cast) if prepare else None
    last = AuditEntry.objects.latest("pk").pk
    with audit.acting(Actor("person", cast.owner.pk, str(cast.owner), "192.0.2.7")):
        act(cast, prepared)
    entries = list(AuditEntry.objects.filter(pk__gt=last).order_by("pk"))
    assert [entry.action for entry in entries] == [action for action, _before, _after in expected]
    for entry, (_action, was, now) in zip(entries, expected, strict=True):
        assert (entry.actor, entry.actor_id) == (str(cast.owner), cast.owner.pk)
        assert entry.remote_ip == "192.0.2.7"
        assert was.items() <= entry.before.items()
        assert now.items() <= entry.after.items()
        if "N" not in story and "create a customer" not in story:
            assert entry.customer_id == cast.customer.pk
    everything = repr(list(AuditEntry.objects.values()))
    assert SECRET not in everything
    assert "argon2" not in everything


def test_what_changes_nothing_is_not_recorded(cast: Cast) -> None:
    last = AuditEntry.objects.latest("pk").pk
    services.edit_mailbox(mailbox=cast.mailbox, display_name="Anna Martin", imap=True)
    services.resume_mailbox(mailbox=cast.mailbox)
    services.resume_domain(domain=cast.domain)
    customers.resume_customer(customer=cast.customer)
    members.change_role(membership=membership(cast), role="reader")
    assert not AuditEntry.objects.filter(pk__gt=last).exists()


def test_what_fails_is_not_recorded(cast: Cast) -> None:
    last = AuditEntry.objects.latest("pk").pk
    for attempt in (
        lambda: services.create_domain(name=cast.domain.name, customer=cast.customer),
        lambda: services.create_mailbox(domain=cast.domain, local_part="anna", password=PASSWORD),
        lambda: services.edit_domain(
            domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None, version=99
        ),
        lambda: edit_customer(cast, name="Other"),
    ):
        with pytest.raises(Exception, match=r"already|Somebody else"):
            attempt()
    assert not AuditEntry.objects.filter(pk__gt=last).exists()


def test_a_domain_that_moves_is_told_to_each_and_to_neither_of_the_other(cast: Cast) -> None:
    services.edit_domain(domain=cast.domain, customer=cast.other_customer, default_quota_bytes=None)
    told = {
        entry.action: entry
        for entry in AuditEntry.objects.filter(action__in=["domain.left", "domain.joined"])
    }
    assert told["domain.left"].customer_id == cast.customer.pk
    assert told["domain.joined"].customer_id == cast.other_customer.pk
    assert all(entry.before == entry.after == {} for entry in told.values())


def test_a_purge_is_recorded_for_each_mailbox(cast: Cast) -> None:
    address, pk = cast.mailbox.address, cast.mailbox.pk
    services.delete_domain(domain=cast.domain)
    later = timezone.now() + timedelta(days=15)
    purging.purge(now=later)
    purging.purge(now=later)
    entry = AuditEntry.objects.get(action="mailbox.purged")
    assert (entry.target, entry.target_id, entry.customer_id) == (address, pk, cast.customer.pk)
    assert AuditEntry.objects.get(action="domain.purged").target == cast.domain.name


def test_deleted_customers_and_administrators(cast: Cast) -> None:
    pk = cast.other_customer.pk
    with_addresses.delete_customer(customer=cast.other_customer)
    assert AuditEntry.objects.get(action="customer.deleted").target_id == pk
    accounts.create_admin(email="second@host.test", password=SECRET)
    entry = AuditEntry.objects.get(action="admin.created", target="second@host.test")
    assert entry.customer_id is None


def test_own_password(cast: Cast) -> None:
    accounts.set_password(user=cast.owner, password=SECRET)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.target, entry.before, entry.after) == ("owner@martin.test", {}, {})


def test_nobody_edits_the_trail(cast: Cast) -> None:
    entry = AuditEntry.objects.latest("pk")
    entry.actor = "nobody"
    with pytest.raises(Exception, match="never edited"):
        entry.save()


# -- the page ---------------------------------------------------------------------------------------------------


@pytest.fixture
def trail(cast: Cast) -> Cast:
    """Some changes by the owner, and one of another customer."""
    with audit.acting(Actor("person", cast.owner.pk, str(cast.owner), "192.0.2.7")):
        services.edit_mailbox(mailbox=cast.mailbox, quota_bytes=2 * GB)
        services.suspend_mailbox(mailbox=cast.mailbox, reason="lost <b>telephone</b>")
    services.create_domain(name="theirs.test", customer=cast.other_customer)
    audit.record("service.reload", target=Installation.objects.get())
    return cast


def rows(answer: Any) -> list[AuditEntry]:
    """Return the entries on a page."""
    return [entry["row"] for entry in answer.context["entries"]]


def test_before_and_after_in_words_and_units(trail: Cast, signed_in: SignedIn) -> None:
    page = signed_in(trail.owner).get(reverse("list_audit")).content.decode()
    assert "No limit" in page
    assert "2\N{NO-BREAK SPACE}GB" in page
    assert "Suspended a mailbox" in page
    assert "192.0.2.7" in page
    assert "lost &lt;b&gt;telephone" in page


def test_each_sees_what_is_theirs(trail: Cast, signed_in: SignedIn) -> None:
    url = reverse("list_audit")
    everything = rows(signed_in(trail.admin).get(url))
    assert {"domain.created", "service.reload", "mailbox.edited"} <= {entry.action for entry in everything}
    for person in (trail.owner, trail.manager, trail.reader):
        seen = rows(signed_in(person).get(url))
        assert seen
        assert {entry.customer_id for entry in seen} == {trail.customer.pk}
    stranger = rows(signed_in(trail.stranger).get(url))
    assert {entry.customer_id for entry in stranger} == {trail.other_customer.pk}
    assert Client().get(url).status_code == 302
    assert signed_in(trail.admin).post(url).status_code == 405


@pytest.mark.parametrize(
    ("query", "actions"),
    [
        ({"action": "mailbox.edited"}, {"mailbox.edited"}),
        ({"person": "OWNER@"}, {"mailbox.edited", "mailbox.suspended"}),
        ({"target": "theirs"}, {"domain.created"}),
        ({"since": "2999-01-01"}, set()),
        ({"until": "2000-01-01"}, set()),
        ({"action": "nothing.such"}, set()),
    ],
)
def test_filters(trail: Cast, signed_in: SignedIn, query: dict[str, str], actions: set[str]) -> None:
    answer = signed_in(trail.admin).get(reverse("list_audit"), query)
    assert {entry.action for entry in rows(answer)} == actions


def test_days_are_whole(trail: Cast, signed_in: SignedIn) -> None:
    today = timezone.localdate().isoformat()
    answer = signed_in(trail.admin).get(reverse("list_audit"), {"since": today, "until": today})
    assert rows(answer)


@pytest.mark.parametrize(
    "query",
    [
        {"before": "x"},
        {"before": "9" * 19},
        {"before": "9" * 30},
        {"before": "0"},
        {"before": "-1"},
        {"id": "²", "kind": "mailbox"},
        {"id": "1", "kind": "x" * 999},
        {"since": "yesterday", "until": "2026-02-31"},
        {"since": "0001-01-01", "until": "9999-12-31"},
        {"target": "\x00", "person": "'; --", "action": "x" * 999},
        {"target": "%", "person": "_"},
    ],
)
def test_anything_may_stand_in_the_address(trail: Cast, signed_in: SignedIn, query: dict[str, str]) -> None:
    for name in ("list_audit", "export_audit"):
        assert signed_in(trail.admin).get(reverse(name), query).status_code == 200


def test_history_of_one_thing(trail: Cast, signed_in: SignedIn) -> None:
    page = signed_in(trail.owner).get(reverse("show_mailbox", args=[trail.mailbox.pk])).content.decode()
    address = f"{reverse('list_audit')}?kind=mailbox&amp;id={trail.mailbox.pk}"
    assert address in page
    answer = signed_in(trail.owner).get(address.replace("&amp;", "&"))
    seen = rows(answer)
    assert {entry.target for entry in seen} == {trail.mailbox.address}
    assert len(seen) == 3
    other = signed_in(trail.stranger).get(address.replace("&amp;", "&"))
    assert rows(other) == []


def test_pages_go_by_key(trail: Cast, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_selectors, "PAGE", 3)
    client, seen, before_id = signed_in(trail.admin), [], ""
    for _page in range(100):
        answer = client.get(reverse("list_audit"), {"before": before_id} if before_id else {})
        seen += [entry.pk for entry in rows(answer)]
        if answer.context["older"] is None:
            break
        before_id = str(answer.context["older"])
    assert seen == sorted(AuditEntry.objects.values_list("pk", flat=True), reverse=True)


def test_the_list_takes_few_queries(
    trail: Cast, signed_in: SignedIn, django_assert_max_num_queries: Any
) -> None:
    AuditEntry.objects.bulk_create(
        AuditEntry(action="mailbox.edited", target_kind="mailbox", target_id=1, customer_id=trail.customer.pk)
        for _number in range(100)
    )
    client = signed_in(trail.admin)
    client.get(reverse("list_audit"))
    with django_assert_max_num_queries(6):
        assert len(rows(client.get(reverse("list_audit")))) == audit_selectors.PAGE


def exported(answer: Any) -> list[list[str]]:
    """Return the rows of an export."""
    content = b"".join(typed(Iterator[bytes], typed(StreamingHttpResponse, answer).streaming_content))
    return list(csv.reader(io.StringIO(content.decode())))


def test_export_holds_what_may_be_seen(trail: Cast, signed_in: SignedIn) -> None:
    answer = signed_in(trail.owner).get(reverse("export_audit"), {"action": "mailbox.edited"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    head, *lines = exported(answer)
    assert head[:4] == ["id", "at", "action", "who"]
    (line,) = lines
    assert line[3] == "owner@martin.test"
    assert json.loads(line[-1]) == {"quota_bytes": 2 * GB}
    stranger = exported(signed_in(trail.stranger).get(reverse("export_audit")))
    assert not [line for line in stranger if trail.mailbox.address in line]
    assert Client().get(reverse("export_audit")).status_code == 302


def test_export_is_read_in_pieces_and_gives_a_spreadsheet_no_formula(
    trail: Cast, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_selectors, "EXPORT_PAGE", 2)
    AuditEntry.objects.create(action="customer.created", target_kind="customer", target="=1+1")
    answer = signed_in(trail.admin).get(reverse("export_audit"))
    assert answer.streaming
    lines = exported(answer)
    assert len(lines) == AuditEntry.objects.count() + 1
    assert lines[1][8] == "'=1+1"


def test_no_password_is_anywhere_in_the_database(cast: Cast, signed_in: SignedIn) -> None:
    client = signed_in(cast.admin)
    form = {"name": "N", "owner_email": "n@n.test", "how": "password", "owner_password": SECRET}
    assert client.post(reverse("create_customer"), form).status_code == 302
    password = {"password": SECRET}
    assert client.post(reverse("set_mailbox_password", args=[cast.mailbox.pk]), password).status_code == 302
    assert tables_that_hold(SECRET) == []


def test_a_renewed_certificate_is_recorded_and_a_valid_one_not(cast: Cast) -> None:
    service.issued_files().folder.mkdir(exist_ok=True)
    # No mail service runs beside these tests: the renewal stands all the same.
    with pytest.raises(SupervisorDown):
        service.renew_certificate(timezone.now())
    assert service.renew_certificate(timezone.now())["renewed"] is False
    entry = AuditEntry.objects.get(action="certificate.renewed")
    assert (entry.target, entry.customer_id) == ("this host", None)
    assert changes_in_words(entry)[0].label == "Valid until"


def test_what_the_mail_service_did_not_take_is_not_recorded(cast: Cast, signed_in: SignedIn) -> None:
    signed_in(cast.admin).post(reverse("stop_service"))
    assert not AuditEntry.objects.filter(action__startswith="service").exists()
