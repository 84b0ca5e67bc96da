"""Writes: domains and mailboxes. Each change that shuts somebody out takes effect at once (see `end_sessions`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from mailbackend import maildir
from mailbackend.addresses import (
    Address,
    AddressError,
    check_length,
    home_path,
    normalise_domain,
    normalise_local_part,
)
from mailbackend.passwords import hash_password
from panel.accounts.limits import hashing
from panel.accounts.models import Customer
from panel.accounts.services import check_line
from panel.addresses.holding import check_none_held, check_not_held, refusal
from panel.addresses.inherited import read_pop_policy, what_counts
from panel.addresses.inheriting import follow_inherited_pop_policy
from panel.addresses.limits import (
    check_default_quota,
    check_domain_storage,
    check_limits,
    check_quota,
    check_storage,
    is_more,
)
from panel.addresses.models import Domain, Mailbox, PasswordLink
from panel.addresses.moving import moving
from panel.addresses.owners import forget_owners
from panel.addresses.sessions import end_sessions, end_sessions_of_domain
from panel.addresses.welcome import welcome_message
from panel.core import audit, mail
from panel.core.errors import Conflict, Problem
from panel.core.jobs import cancel_job, start_job
from panel.core.models import Job
from panel.core.said import in_words
from panel.core.sizes import LARGEST

logger = logging.getLogger(__name__)

PASSWORD_MIN, PASSWORD_MAX = 8, 128
REASON_MAX = 200

#: Failed creations are taken back in transactions of this many.
UNDONE_AT_A_TIME = 200

#: A creation that is not done after this long was cut off: a job completes it.
COMPLETE_AFTER = timedelta(seconds=40)
#: And this much later for each mailbox that is created together with others.
COMPLETE_AFTER_EACH = timedelta(milliseconds=20)


def create_domain(*, name: str, customer: Customer, default_quota_bytes: int | None = None) -> Domain:
    """Create a domain for a customer.

    Args:
        name: as a person writes it.
        customer: who has it.
        default_quota_bytes: what new mailboxes start with, 0 for no limit, or None for what is inherited.

    Raises:
        Problem: if it is no domain, is hosted here already, or the customer has no room for it.
    """
    ascii_name = clean_domain_name(name)
    check_default_quota(default_quota_bytes, "default_quota")
    return add_domain(name=ascii_name, customer=customer, default_quota_bytes=default_quota_bytes)


def clean_domain_name(name: str) -> str:
    """Return a domain as it is stored.

    Raises:
        Problem: if it is none.
    """
    ascii_name: str = _checked(normalise_domain, name, "name")
    return ascii_name


def add_domain(*, name: str, customer: Customer, default_quota_bytes: int | None = None) -> Domain:
    """Save a new domain.

    Args:
        name: as `clean_domain_name` returns it.
        customer: who has it; its row is locked.
        default_quota_bytes: as `create_domain` takes it, checked.

    Raises:
        Problem: if it is hosted here already, or the customer has no room for it.
    """
    try:
        with transaction.atomic():
            check_limits(customer, more_domains=1)
            domain = Domain.objects.create(
                name=name, customer=customer, default_quota_bytes=default_quota_bytes
            )
            audit.record(
                "domain.created",
                target=domain,
                customer_id=customer.pk,
                after={"default_quota_bytes": default_quota_bytes},
            )
            return domain
    except IntegrityError as err:
        raise _domain_taken(name) from err


def edit_domain(
    *, domain: Domain, customer: Customer, default_quota_bytes: int | None, version: int | None = None
) -> None:
    """Change who has a domain and what its new mailboxes start with.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if the quota cannot be used, or the new customer's limits are too small for its mailboxes.
    """
    check_default_quota(default_quota_bytes, "default_quota")
    with transaction.atomic():
        had = locked(domain).customer
        if customer != had:
            check_limits(customer, more_domains=1, more=domain.mailboxes.filter(deleted_at=None))
            # Told to each of the two, and to neither of the other.
            audit.record("domain.left", target=domain, customer_id=had.pk)
            audit.record("domain.joined", target=domain, customer_id=customer.pk)
            with moving(domain):
                _update(domain, version, "", customer=customer)
            follow_inherited_pop_policy(domain)
            version = None
        _update(domain, version, "domain.edited", default_quota_bytes=default_quota_bytes)


def limit_domain_storage(
    *, domain: Domain, max_storage_bytes: int | None, version: int | None = None
) -> None:
    """Say how much may be given to the mailboxes of a domain. Less than was given takes nothing away.

    Args:
        domain: which.
        max_storage_bytes: the sum of its mailboxes' quotas, or None for no limit of its own.
        version: as the form was shown, or None to change whatever is there.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if it is deleted, or the size cannot be used.
    """
    check_alive(domain)
    if max_storage_bytes is not None and not 0 < max_storage_bytes <= LARGEST:
        raise Problem(_("The size must be more than zero and at most 1024 TB."), "max_storage_bytes")
    _update(domain, version, "domain.storage_limited", max_storage_bytes=max_storage_bytes)


def edit_domain_protocols(*, domain: Domain, imap: bool, pop3: bool, version: int | None = None) -> None:
    """Switch IMAP and POP on or off for all mailboxes of a domain; a mailbox cannot switch on what is off here.

    What is off is refused from the next sign-in on, and whoever is signed in on the domain is disconnected.

    Args:
        domain: which.
        imap, pop3: whether each is on.
        version: as the form was shown, or None to change whatever is there.

    Raises:
        Conflict: if it changed since `version`.
        Problem: if it is deleted.
    """
    check_alive(domain)
    with transaction.atomic():
        had = locked(domain)
        _update(domain, version, "domain.protocols_set", imap=imap, pop3=pop3)
        if (had.imap and not imap) or (had.pop3 and not pop3):
            end_sessions_of_domain(domain)


def suspend_domain(*, domain: Domain, reason: str = "") -> None:
    """Shut out everybody on a domain. Mail still arrives.

    Raises:
        Problem: if it is deleted, or the reason is too long.
    """
    check_alive(domain)
    reason = check_line(reason.strip(), _("The reason"), longest=REASON_MAX)
    with transaction.atomic():
        since = domain.suspended_at or timezone.now()
        _update(domain, None, "domain.suspended", suspended_at=since, suspended_reason=reason)
        end_sessions_of_domain(domain)


def resume_domain(*, domain: Domain) -> None:
    """Let everybody on a domain in again.

    Raises:
        Problem: if it is deleted.
    """
    check_alive(domain)
    _update(domain, None, "domain.resumed", suspended_at=None, suspended_reason="")


def delete_domain(*, domain: Domain) -> datetime:
    """Delete a domain with its mailboxes; all can be restored until the time that is returned.

    Raises:
        Problem: if it is deleted already, or a mailbox of it is under a legal hold.
    """
    check_alive(domain)
    now = timezone.now()
    with transaction.atomic():
        check_none_held(locked(domain))
        _update(domain, None, "domain.deleted", deleted_at=now)
        end_sessions_of_domain(domain)
    return now + settings.DELETION_WINDOW


def restore_domain(*, domain: Domain) -> None:
    """Bring back a deleted domain with the mailboxes that it had.

    Raises:
        Problem: if somebody else has it by now, or the customer's limits have no room for it.
    """
    if not domain.deleted_at:
        return
    _check_restorable(domain)
    with transaction.atomic():
        customer = locked(domain).customer
        check_limits(customer, more_domains=1, more=domain.mailboxes.filter(deleted_at=None))
        try:
            with transaction.atomic():
                _update(domain, None, "domain.restored", alive=False, deleted_at=None)
        except IntegrityError as err:
            domain.refresh_from_db()
            raise Problem(
                _("%(name)s was created again meanwhile. Delete that one first.") % {"name": domain.name}
            ) from err


def create_mailbox(
    *,
    domain: Domain,
    local_part: str,
    password: str,
    display_name: str = "",
    quota_bytes: int | None = None,
) -> Mailbox:
    """Create a mailbox: row, home, login, in this order; it holds a welcome message from the first second.

    Args:
        domain: where; it must not be deleted.
        local_part: as a person writes it.
        password: as typed; stored as its Argon2id hash.
        display_name: of its owner.
        quota_bytes: its limit, or None for none.

    Raises:
        Problem: if a value cannot be used, the address is taken, a limit is reached, or the disk refuses.
            Nothing is left behind then.
    """
    mailbox = unsaved_mailbox(domain, local_part, display_name, quota_bytes)
    check_mailbox_password(password)
    mail.check_mail_root()
    mailbox.password = hash_password(password)
    completion = _save_mailbox(mailbox)
    try:
        _make_home(mailbox)
    except OSError as err:
        undo_creation([mailbox])
        raise home_refused(mailbox.address, err) from err
    cancel_job(completion)
    return mailbox


def provision(mailbox: Mailbox) -> None:
    """Build a saved mailbox's home and let it log in. Doing it again does nothing.

    Raises:
        OSError: if the disk refuses, or the place is taken (maildir.HomeTaken).
        Problem: if the mail root is not there.
    """
    mail.check_mail_root()
    _make_home(mailbox)


def edit_mailbox(
    *, mailbox: Mailbox, version: int | None = None, display_name: str | None = None, **changes: Any
) -> None:
    """Change a mailbox's name, quota and protocols; what is not given stays.

    Args:
        mailbox: which.
        version: as the form was shown, or None to change whatever is there.
        display_name: of its owner.
        changes: quota_bytes (None for no limit), imap, pop3 (switches).

    Raises:
        Conflict: if it changed since `version`.
        Problem: if a value cannot be used or the customer's storage is exceeded.
    """
    check_alive(mailbox)
    unknown = set(changes) - {"quota_bytes", "imap", "pop3"}
    if unknown:
        raise TypeError(f"No such values of a mailbox: {sorted(unknown)}.")
    if display_name is not None:
        changes["display_name"] = check_line(display_name.strip(), _("The name"), longest=100)
    if "quota_bytes" in changes:
        check_quota(changes["quota_bytes"], "quota")
    switched_off = any(changes.get(name) is False and getattr(mailbox, name) for name in ("imap", "pop3"))
    with transaction.atomic():
        if "quota_bytes" in changes and is_more(changes["quota_bytes"], mailbox.quota_bytes):
            quota_bytes = changes["quota_bytes"]
            check_domain_storage(locked(mailbox.domain), quota_bytes, instead_of=mailbox)
            check_storage(mailbox.domain.customer, quota_bytes, instead_of=mailbox)
        _update(mailbox, version, "mailbox.edited", **changes)
        if switched_off:
            end_sessions(mailbox)


def set_mailbox_password(*, mailbox: Mailbox, password: str) -> None:
    """Give a mailbox a new password; the old one stops working at once, open sessions end.

    Raises:
        Problem: if it cannot be used.
    """
    check_alive(mailbox)
    check_mailbox_password(password)
    save_mailbox_password(mailbox=mailbox, hashed=hash_password(password), action="mailbox.password_set")


def change_own_password(*, mailbox: Mailbox, password: str) -> None:
    """Give a mailbox the password that its owner chose, who has just typed the old one.

    Args:
        mailbox: as it was read before the old password was checked.
        password: as typed.

    Raises:
        Conflict: if the mailbox was changed since it was read: the old password may be another by now.
        Problem: if it cannot be used.
        Busy: if too many passwords are being hashed.
    """
    check_alive(mailbox)
    hashed = hashed_mailbox_password(password)
    save_mailbox_password(
        mailbox=mailbox, hashed=hashed, action="mailbox.own_password_set", version=mailbox.version
    )


def hashed_mailbox_password(password: str) -> str:
    """Check and hash a password that somebody outside chose; few at a time.

    Raises:
        Problem: if it cannot be used.
        Busy: if too many passwords are being hashed.
    """
    check_mailbox_password(password)
    with hashing.turn():
        return hash_password(password)


def save_mailbox_password(*, mailbox: Mailbox, hashed: str, action: str, version: int | None = None) -> None:
    """Save a mailbox's new password and end what the old one had opened: sessions, and links to choose one.

    Args:
        mailbox: which.
        hashed: as hash_password gives it.
        action: what the audit trail says of it.
        version: as the mailbox was read, or None to change whatever is there.

    Raises:
        Conflict: if it changed since `version`, or is deleted.
    """
    with transaction.atomic():
        _update(mailbox, version, action, password=hashed)
        PasswordLink.objects.filter(mailbox=mailbox, used_at=None).delete()
        end_sessions(mailbox)


def set_pop_policy(*, mailbox: Mailbox, policy: str, end_hidden: bool = False) -> Job | None:
    """Say what happens to a message that a POP program deletes: `keep:N` (days), `keep`, `delete` or `inherit`.

    It counts from the next connection on; a job (panel.retention) has the messages follow that POP hides until now.

    Args:
        mailbox: whose.
        policy: as above.
        end_hidden: whether these messages end, if messages are deleted at once from now on. They can be recovered.
            Otherwise POP is offered them again, and nothing is lost.

    Returns:
        that job, or None where nothing changes. Where messages are deleted at once there is always one: what is hidden
        there came back with its mark, or a job before gave up.

    Raises:
        Problem: if it is none of these, or hidden messages are to end in a mailbox that is under a legal hold.
    """
    check_alive(mailbox)
    own = read_pop_policy(policy)
    if end_hidden and mailbox.held_at:
        raise refusal(mailbox)
    if own is None:
        values: dict[str, Any] = {"pop_deletes": "", "pop_keep_days": None}
    else:
        values = {"pop_deletes": own.deletes, "pop_keep_days": own.days}
    with transaction.atomic():
        before = what_counts(mailbox).pop
        _update(mailbox, None, "mailbox.pop_policy_set", **values)
        counts = what_counts(mailbox).pop
        if counts == before and counts.deletes != Mailbox.PopDeletes.DELETE:
            return None
        return start_job("follow_pop_policy", mailbox=mailbox.pk, end_hidden=end_hidden)


def suspend_mailbox(*, mailbox: Mailbox, reason: str = "") -> None:
    """Shut a mailbox's owner out. Mail still arrives.

    Raises:
        Problem: if it is deleted, or the reason is too long.
    """
    check_alive(mailbox)
    reason = check_line(reason.strip(), _("The reason"), longest=REASON_MAX)
    with transaction.atomic():
        since = mailbox.suspended_at or timezone.now()
        _update(mailbox, None, "mailbox.suspended", suspended_at=since, suspended_reason=reason)
        end_sessions(mailbox)


def resume_mailbox(*, mailbox: Mailbox) -> None:
    """Let a suspended mailbox's owner in again.

    Raises:
        Problem: if it is deleted.
    """
    check_alive(mailbox)
    _update(mailbox, None, "mailbox.resumed", suspended_at=None, suspended_reason="")


def delete_mailbox(*, mailbox: Mailbox) -> datetime:
    """Delete a mailbox; its mail stays and it can be restored until the time that is returned.

    Raises:
        Problem: if it is deleted already, or under a legal hold.
    """
    check_alive(mailbox)
    now = timezone.now()
    with transaction.atomic():
        check_not_held(mailbox)
        _update(mailbox, None, "mailbox.deleted", deleted_at=now)
        end_sessions(mailbox)
    return now + settings.DELETION_WINDOW


def restore_mailbox(*, mailbox: Mailbox) -> None:
    """Bring back a deleted mailbox with all its mail.

    Raises:
        Problem: if the address was given out again, its domain is deleted, or a limit is reached.
    """
    if mailbox.domain.deleted_at:
        raise Problem(_("Restore the domain %(name)s first.") % {"name": mailbox.domain.name})
    if not mailbox.deleted_at:
        return
    _check_restorable(mailbox)
    with transaction.atomic():
        check_domain_storage(locked(mailbox.domain), mailbox.quota_bytes)
        check_limits(mailbox.domain.customer, more=Mailbox.objects.filter(pk=mailbox.pk))
        try:
            with transaction.atomic():
                _update(mailbox, None, "mailbox.restored", alive=False, deleted_at=None)
        except IntegrityError as err:
            mailbox.refresh_from_db()
            raise Problem(
                _("%(address)s was created again meanwhile. Delete that one first.") % {"address": mailbox}
            ) from err


def check_mailbox_password(password: str) -> None:
    """Check that mail programs can send a password.

    Raises:
        Problem: if it is too short, too long, or has characters that they encode differently.
    """
    if len(password) < PASSWORD_MIN:
        raise Problem(
            _("The password needs at least %(least)s characters.") % {"least": PASSWORD_MIN}, "password"
        )
    if len(password) > PASSWORD_MAX:
        raise Problem(_("The password has at most %(most)s characters.") % {"most": PASSWORD_MAX}, "password")
    if not password.isascii() or not password.isprintable():
        raise Problem(
            _(
                "Use letters without accents, digits and ordinary signs: "
                "mail programs send other characters in different ways, and the password would not fit."
            ),
            "password",
        )
    if password != password.strip():
        raise Problem(
            _("The password cannot begin or end with a space: it would get lost in copying."), "password"
        )


def unsaved_mailbox(domain: Domain, local_part: str, display_name: str, quota_bytes: int | None) -> Mailbox:
    """Return the row of a new mailbox, without its password, not saved.

    Raises:
        Problem: if a value cannot be used.
    """
    address = Address(_checked(normalise_local_part, local_part, "local_part"), domain.name)
    _checked(check_length, address, "local_part")
    check_quota(quota_bytes, "quota")
    return Mailbox(
        domain=domain,
        local_part=address.local_part,
        address=str(address),
        display_name=check_line(display_name.strip(), _("The name"), longest=100),
        quota_bytes=quota_bytes,
    )


def undo_creation(mailboxes: Sequence[Mailbox]) -> None:
    """Take back mailboxes whose creation failed: home and row, as long as nobody could use them."""
    for start in range(0, len(mailboxes), UNDONE_AT_A_TIME):
        ids = [mailbox.pk for mailbox in mailboxes[start : start + UNDONE_AT_A_TIME]]
        with transaction.atomic():
            rows = Mailbox.objects.select_for_update(of=("self",)).select_related("domain")
            unborn = rows.filter(pk__in=ids, provisioned_at=None)
            for mailbox in unborn:
                maildir.undo_provision(settings.DATA_DIR.mail, mailbox.home_path, mailbox.home_token)
                audit.record("mailbox.not_created", target=mailbox, customer_id=mailbox.domain.customer_id)
            forget_owners(list(unborn))
            Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in unborn]).delete()


def home_refused(address: str, err: OSError) -> Problem:
    """Return what to tell people when the disk refuses a home."""
    logger.warning("The home of %s could not be made: %s", address, err)
    return Problem(
        _("The mailbox's folder could not be made: %(reason)s. Nothing was created.")
        % {"reason": err.strerror or err}
    )


def _save_mailbox(mailbox: Mailbox) -> Job:
    """Save the row of a new mailbox, with the job that completes it should this process die."""
    try:
        with transaction.atomic():
            domain = locked(mailbox.domain)
            check_alive(domain)
            check_domain_storage(domain, mailbox.quota_bytes)
            check_limits(domain.customer, more_mailboxes=1, more_bytes=mailbox.quota_bytes)
            mailbox.save(force_insert=True)
            mailbox.home = str(home_path(Address(mailbox.local_part, domain.name), mailbox.pk))
            mailbox.save(update_fields=["home"])
            audit.record(
                "mailbox.created", target=mailbox, customer_id=domain.customer_id, after=told_of_new(mailbox)
            )
            return start_job("complete_creation", delay=COMPLETE_AFTER, domain_id=domain.pk)
    except IntegrityError as err:
        raise Problem(_("%(address)s exists already.") % {"address": mailbox.address}, "local_part") from err


def _make_home(mailbox: Mailbox) -> None:
    maildir.provision(
        settings.DATA_DIR.mail, mailbox.home_path, mailbox.home_token, [welcome_message(mailbox)]
    )
    mailbox.provisioned_at = timezone.now()
    mailbox.save(update_fields=["provisioned_at"])


def told_of_new(mailbox: Mailbox) -> dict[str, Any]:
    """Return what the audit trail says of a new mailbox."""
    return {"display_name": mailbox.display_name, "quota_bytes": mailbox.quota_bytes}


def _update(
    row: Domain | Mailbox, version: int | None, action: str, *, alive: bool = True, **values: Any
) -> None:
    """Save only `values`, if the row is not deleted (or `alive` is false) and nobody changed it since `version`.

    What was before is read under the row's lock and recorded as `action`, unless nothing changes or it is empty.
    A row whose purge has begun is never changed: whoever comes first, restoring or purging, wins.
    """
    rows: models.QuerySet[Any] = type(row)._default_manager.filter(pk=row.pk, purging_at=None)
    if alive:
        rows = rows.filter(deleted_at=None)
    if version is not None:
        rows = rows.filter(version=version)
    with transaction.atomic():
        old = rows.select_for_update().first()
        if old is None:
            raise Conflict(
                _(
                    "Somebody else changed this meanwhile. "
                    "Look at it as it is now, then change it if you still want to."
                )
            )
        rows.update(**values, version=F("version") + 1)
        row.refresh_from_db()
        before, after = audit.changed({name: getattr(old, name) for name in values}, values)
        if action and after:
            audit.record(action, target=row, customer_id=_customer_id(row), before=before, after=after)


def update_mailbox(mailbox: Mailbox, version: int | None, action: str, **values: Any) -> None:
    """Save only `values` of a living mailbox and record it as `action`.

    Raises:
        Conflict: if it is deleted, or somebody changed it since `version`.
    """
    _update(mailbox, version, action, **values)


def _customer_id(row: Domain | Mailbox) -> int:
    return row.customer_id if isinstance(row, Domain) else row.domain.customer_id


def locked(domain: Domain) -> Domain:
    """Return a domain as it is now, locked until the transaction ends.

    Nothing is joined: if this had to wait while the domain moved to another customer, a join would find no row.

    Raises:
        Problem: if it is no more.
    """
    found = Domain.objects.select_for_update().filter(pk=domain.pk).first()
    if found is None:
        raise Problem(_("%(name)s was removed for good meanwhile.") % {"name": domain.name})
    if found.customer_id == domain.customer_id:
        found.customer = domain.customer
    return found


def check_alive(row: Domain | Mailbox) -> None:
    if row.state == row.State.DELETED:
        raise Problem(_("%(name)s is deleted. Restore it first.") % {"name": row})


def _check_restorable(row: Domain | Mailbox) -> None:
    if row.purging_at:
        raise Problem(
            _("%(name)s is being removed for good: the time in which it could be restored is over.")
            % {"name": row}
        )


def _checked(check: Any, value: Any, field: str) -> Any:
    """Call a check of mailbackend and name the field that its error is about."""
    try:
        return check(value)
    except AddressError as err:
        raise Problem(in_words(str(err)), field) from err


def _domain_taken(name: str) -> Problem:
    return Problem(_("%(name)s is hosted here already.") % {"name": name}, "name")
