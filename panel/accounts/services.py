"""Writes: people."""

from __future__ import annotations

import re
import unicodedata

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from panel.accounts.limits import hashing
from panel.accounts.models import User
from panel.core import audit
from panel.core.errors import Problem

# Also other ends of lines, and what turns the direction of all that follows: "\u202e" makes gro.elpmaxe@a of a name.
# What joins letters of some scripts (U+200C, U+200D) and marks that turn nothing but themselves are left.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
NAME_MAX = 100


def create_admin(*, email: str, password: str, must_change_password: bool = False) -> User:
    """Create an administrator of the host.

    Args:
        email: signs in with it.
        password: as typed.
        must_change_password: whether the first sign-in asks for another.

    Raises:
        Problem: if the e-mail is none or is taken, or the password is too easy.
    """
    with transaction.atomic():
        admin = _create_user(
            email=email, password=password, is_admin=True, must_change_password=must_change_password
        )
        audit.record("admin.created", target=admin)
        return admin


def create_person(*, email: str, password: str, name: str = "") -> User:
    """Create a person who belongs to no customer yet.

    Args:
        email: signs in with it.
        password: as typed.
        name: what to call them.

    Raises:
        Problem: if the e-mail is none or is taken, or the password is too easy.
    """
    return _create_user(email=email, password=password, name=name)


def set_password(*, user: User, password: str, action: str = "sign_in.password_changed") -> None:
    """Give a person a new password, which they chose themselves. Their sessions end.

    Args:
        user: whose.
        password: as typed.
        action: what the audit trail says of it.

    Raises:
        Problem: if it is too easy.
        Busy: if too many passwords are being hashed.
    """
    _check_password(password, user)
    with hashing.turn():
        user.set_password(password)
    user.must_change_password = False
    with transaction.atomic():
        user.save(update_fields=["password", "must_change_password"])
        audit.record(action, target=user)


def clean_name(text: str, what: str, *, longest: int = NAME_MAX) -> str:
    """Return a name as it is stored: one line, composed (NFC), without space around it.

    Raises:
        Problem: if it is empty, too long, or has control characters.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise Problem(_("%(what)s is missing.") % {"what": what})
    return check_line(name, what, longest=longest)


def check_line(text: str, what: str, *, longest: int) -> str:
    """Return `text` if it is one line of at most `longest` characters that a database can hold.

    Raises:
        Problem: if it is not.
    """
    if len(text) > longest:
        raise Problem(_("%(what)s has at most %(longest)s characters.") % {"what": what, "longest": longest})
    if _CONTROL.search(text) or any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise Problem(_("%(what)s holds characters that cannot be shown.") % {"what": what})
    return text


def clean_email(email: str) -> str:
    """Return an e-mail as it is stored: in small letters, without space around it.

    Raises:
        Problem: if it is none.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as err:
        raise Problem(
            _("This is not an e-mail address: %(email)s") % {"email": repr(email[:80])}, "email"
        ) from err
    return email


def _create_user(
    *,
    email: str,
    password: str,
    name: str = "",
    is_admin: bool = False,
    must_change_password: bool = False,
) -> User:
    user = User(
        email=clean_email(email), name=name, is_admin=is_admin, must_change_password=must_change_password
    )
    _check_password(password, user)
    with hashing.turn():
        user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as err:
        raise Problem(
            _("There is somebody with the e-mail %(email)s already.") % {"email": user.email}, "email"
        ) from err
    return user


def _check_password(password: str, user: User) -> None:
    if "\x00" in password or len(password) > 1024:
        raise Problem(_("The password is too long or holds characters that cannot be used."), "password")
    try:
        validate_password(password, user)
    except ValidationError as err:
        raise Problem(" ".join(err.messages), "password") from err
