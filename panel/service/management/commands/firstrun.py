"""firstrun: what `make run` does before it starts the processes. Doing it again changes nothing."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mailbackend import maildir
from mailbackend.passwords import generate_password
from panel.accounts import services as accounts
from panel.accounts.models import Customer, Membership, User
from panel.addresses.views_for_dovecot import create_dovecot_role, create_views, missing_views
from panel.core import commands, mail
from panel.core.errors import Problem
from panel.core.keys import read_or_make
from panel.core.models import Installation
from panel.service.certificates import ensure_certificate
from panel.service.services import issued_files

#: What the first administrator's own domains belong to; a host names its customers after this one.
FIRST_CUSTOMER = gettext_noop("My organisation")


class Command(commands.Command):
    """Prepare DATA_DIR."""

    help = gettext_noop("Prepare the database, the certificate, the first administrator; called by make run.")

    def answer(self, **options: Any) -> dict[str, Any]:  # noqa: ARG002 - the frame's signature
        """Prepare everything, and say what is new."""
        read_or_make(settings.DATA_DIR.keys / "secret-key")
        _prepare_database()
        _prepare_mail_root()
        call_command("collectstatic", interactive=False, verbosity=0)
        files = issued_files()
        environment = settings.ENVIRONMENT
        issued = not environment.tls_certificate and ensure_certificate(
            files, environment.mail_host, timezone.now()
        )
        mail.write_mail_config()
        said = {"panel": environment.panel_url}
        if issued:
            said["certificate"] = _("issued for %(host)s by %(authority)s") % {
                "host": environment.mail_host,
                "authority": files.authority,
            }
        if environment.brand.adjusted:
            said["BRAND_ACCENT"] = environment.brand.adjusted
        return said | _first_admin()


def _prepare_database() -> None:
    try:
        if connection.vendor == "postgresql":
            create_dovecot_role(*mail.dovecot_role())
        call_command("migrate", interactive=False, verbosity=0)
        if connection.vendor == "postgresql" or missing_views():
            create_views()
    except DatabaseError as err:
        raise Problem(
            _("The database cannot be used: %(reason)s. Look at DATABASE_URL, and whether its disk has room.")
            % {"reason": err}
        ) from err


def _prepare_mail_root() -> None:
    """Tie the mail root to this database, once. Neither is ever taken for another's."""
    root = settings.DATA_DIR.mail
    installation = Installation.objects.first()
    if installation is not None:
        return
    marker = maildir.read_marker(root)
    if any(True for _home in maildir.homes_on_disk(root)):
        raise Problem(
            _(
                "%(place)s holds mailboxes, but the database is new: name the database that they belong to in "
                "DATABASE_URL, or choose another DATA_DIR."
            )
            % {"place": root}
        )
    if marker is None:
        marker = secrets.token_hex(16)
        try:
            maildir.create_mail_root(root, marker)
        except OSError as err:
            raise Problem(
                _("The mail root %(place)s cannot be written: %(reason)s.")
                % {"place": root, "reason": err.strerror}
            ) from err
    Installation.objects.create(id=1, mail_root_id=marker)


def _first_admin() -> dict[str, str]:
    """Make the first administrator, if there is none, with a password that is shown this once."""
    if User.objects.filter(is_admin=True).exists():
        return {}
    host = settings.ENVIRONMENT.mail_host
    password = generate_password()
    with transaction.atomic():
        admin = accounts.create_admin(email=f"admin@{host}", password=password, must_change_password=True)
        if not Customer.objects.exists():
            customer = Customer.objects.create(name=_(FIRST_CUSTOMER))
            Membership.objects.create(customer=customer, user=admin, role=Membership.Role.OWNER)
    return {
        "sign in as": str(admin),
        "password": _("%(password)s   (shown only now: you choose your own at once)")
        % {"password": password},
    }
