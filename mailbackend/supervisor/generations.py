"""Rendered configurations: a numbered folder for each, and the links `current` and `last-good` to them.

A folder is written beside, synchronised, renamed into its place and validated before anything points to it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mailbackend.config import ConfigError, MailConfig
from mailbackend.dovecot.names import RECOVERABLE_ACL
from mailbackend.dovecot.render import CERTIFICATE_FILE, KEY_FILE, Identity, UnsupportedVersion, render
from mailbackend.paths import DataDir
from mailbackend.supervisor.process import Problem, Programs, validate
from mailbackend.supervisor.report import Certificate

CURRENT = "current"
LAST_GOOD = "last-good"

#: The file in the mail root whose content says that the right disk is there.
MARKER = ".restante-mail-root"

_CONFIG_FILE = "mail.json"
_DIGEST_FILE = "digest"
_UNFINISHED = ".unfinished"
#: Bytes of a file that is read: configuration, certificate, key.
_FILE_MAX = 1024 * 1024


@dataclass(frozen=True)
class Generation:
    """One rendered configuration: its folder, and the MailConfig it was made from."""

    folder: Path
    config: MailConfig


def read_config(data: DataDir, owners: Collection[int]) -> MailConfig:
    """Return the configuration that the panel has written.

    Args:
        data: the layout of DATA_DIR.
        owners: the uids whose file is believed.

    Raises:
        Problem: if it is absent, not to be trusted or not valid.
    """
    path = data.mail_config
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            content = _read_regular(path.name, owners, folder=folder, follow=False)
        finally:
            os.close(folder)
        return MailConfig.from_json(content.decode("utf-8"))
    except FileNotFoundError as err:
        raise Problem(f"The panel has not written {path} yet: waiting for it.", soon=True) from err
    except (OSError, UnicodeDecodeError, ConfigError) as err:
        raise Problem(f"{path} cannot be used: {_reason(err)}") from err


def check_marker(data: DataDir, config: MailConfig) -> None:
    """Check that the mail root is the one the panel knows, and not an empty mount point.

    Raises:
        Problem: if its marker is absent or another one.
    """
    path = data.mail / MARKER
    try:
        found = _read_regular(path, None, follow=False).decode("ascii", errors="replace").strip()
    except FileNotFoundError:
        found = ""
    except OSError as err:
        raise Problem(f"The mail root's marker {path} cannot be read: {_reason(err)}") from err
    if found != config.mail_root_id:
        what = "another mail root's" if found else "missing"
        raise Problem(
            f"The marker {path} is {what}: mount the disk that holds the mail. Nothing is started without it."
        )


def build(data: DataDir, config: MailConfig, programs: Programs, identity: Identity) -> Generation:
    """Render and validate a configuration, and return its folder. No link is changed.

    If `current` holds the very same, that is returned.

    Raises:
        Problem: if certificate and key cannot be used, or this Dovecot is not supported or refuses it.
        OSError: if it cannot be written.
    """
    certificate = _read_pem(config.certificate, "certificate", "TLS_CERTIFICATE")
    key = _read_pem(config.private_key, "key", "TLS_KEY")
    _write_acl(data)
    digest = _digest(data, config, programs, identity, certificate, key)
    current = linked(data, CURRENT)
    if current and _text(current.folder / _DIGEST_FILE) == digest:
        validate(programs, current.folder)
        return current
    folder = data.configurations / str(max(_numbers(data), default=0) + 1)
    files = {name: text.encode() for name, text in _render(config, data, programs, identity, folder).items()}
    files |= {
        CERTIFICATE_FILE: certificate,
        KEY_FILE: key,
        _CONFIG_FILE: config.to_json().encode(),
        _DIGEST_FILE: digest.encode(),
    }
    unfinished = data.configurations / _UNFINISHED
    _write_folder(unfinished, files)
    try:
        _check_pair(unfinished, config)
        unfinished.rename(folder)
        validate(programs, folder)
    except Problem:
        for place in (unfinished, folder):
            if place.exists():
                shutil.rmtree(place)
        raise
    _sync_folder(data.configurations)
    return Generation(folder, config)


def _write_acl(data: DataDir) -> None:
    """Write the rights that Dovecot 2.3 reads from a file: whole, with a mode of its own whatever the umask."""
    fresh = data.acl.with_name(f".{data.acl.name}")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as stream:  # noqa: PTH123 - a descriptor, not a path
        stream.write(RECOVERABLE_ACL.encode())
        stream.flush()
        os.fchmod(handle, 0o644)
        os.fsync(handle)
    fresh.rename(data.acl)


def read_certificate(generation: Generation) -> Certificate | None:
    """Return what the certificate of a configuration says, or None if it cannot be read any more."""
    try:
        found = x509.load_pem_x509_certificate((generation.folder / CERTIFICATE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return Certificate(
        names=_names(found),
        issuer=found.issuer.rfc4514_string(),
        not_before=found.not_valid_before_utc.isoformat(),
        not_after=found.not_valid_after_utc.isoformat(),
        sha256=found.fingerprint(hashes.SHA256()).hex(),
    )


def _names(certificate: x509.Certificate) -> list[str]:
    """The names that mail programs compare with the server's (RFC 6125: the common name does not count)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def linked(data: DataDir, name: str) -> Generation | None:
    """Return the configuration that a link names, or None if there is none that can be used."""
    link = data.configurations / name
    try:
        folder = data.configurations / link.readlink().name
        return Generation(folder, MailConfig.from_json((folder / _CONFIG_FILE).read_text()))
    except (OSError, ConfigError, UnicodeDecodeError):
        return None


def set_link(data: DataDir, name: str, generation: Generation) -> None:
    """Point a link to a configuration; at every moment it points to the old or the new one."""
    fresh = data.configurations / f".{name}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(generation.folder.name)
    fresh.rename(data.configurations / name)
    _sync_folder(data.configurations)


def prune(data: DataDir) -> None:
    """Delete the configurations that no link names."""
    kept = {found.folder.name for name in (CURRENT, LAST_GOOD) if (found := linked(data, name))}
    for number in _numbers(data):
        if str(number) not in kept:
            shutil.rmtree(data.configurations / str(number))


def _render(
    config: MailConfig, data: DataDir, programs: Programs, identity: Identity, folder: Path
) -> dict[str, str]:
    try:
        return render(config, data, programs.version, identity, folder)
    except UnsupportedVersion as err:
        raise Problem(str(err)) from err


def _digest(
    data: DataDir, config: MailConfig, programs: Programs, identity: Identity, certificate: bytes, key: bytes
) -> str:
    """What a folder is made from, rendered as if for one fixed place: each folder's files name their own."""
    files = _render(config, data, programs, identity, data.configurations / "0")
    digest = hashlib.sha256()
    for part in (config.to_json(), *files.keys(), *files.values()):
        digest.update(hashlib.sha256(part.encode()).digest())
    for content in (certificate, key):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _read_pem(path: str, what: str, setting: str) -> bytes:
    try:
        return _read_regular(path, None, follow=True)
    except OSError as err:
        raise Problem(f"The {what} {path} cannot be read ({_reason(err)}): see {setting}.") from err


def _check_pair(folder: Path, config: MailConfig) -> None:
    """Check the copies, so that what was checked is what is used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE, password=_no_password)
    except ssl.SSLError as err:
        if err.reason == "KEY_VALUES_MISMATCH":
            raise Problem(
                f"The certificate {config.certificate} does not belong to the key {config.private_key}: "
                "set TLS_CERTIFICATE and TLS_KEY to two files of one pair."
            ) from err
        raise Problem(
            f"The certificate {config.certificate} or the key {config.private_key} is not a PEM file that "
            f"can be used ({err.reason or 'unreadable'}): see TLS_CERTIFICATE and TLS_KEY."
        ) from err
    except ValueError as err:
        raise Problem(
            f"The key {config.private_key} has a password: give one without (openssl pkey), or see TLS_KEY."
        ) from err


def _no_password() -> str:
    raise ValueError("a password is asked for")


def _read_regular(
    path: str | Path, owners: Collection[int] | None, *, folder: int | None = None, follow: bool
) -> bytes:
    """Read a regular file, 1 MiB at most, of one of `owners` (None: of anybody).

    Raises:
        OSError: if it is anything else; a FIFO or device is not waited for.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags, dir_fd=folder)
    with open(handle, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is not a regular file.")
        if owners is not None and found.st_uid not in owners:
            raise OSError("it belongs to somebody else.")
        content = stream.read(_FILE_MAX + 1)
    if len(content) > _FILE_MAX:
        raise OSError("it is larger than 1 MiB.")
    return content


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as stream:  # noqa: PTH123 - a descriptor, not a path
            stream.write(content)
            stream.flush()
            os.fsync(handle)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _numbers(data: DataDir) -> list[int]:
    return [int(path.name) for path in data.configurations.iterdir() if path.name.isdigit()]


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _reason(err: Exception) -> str:
    return (err.strerror or str(err)) if isinstance(err, OSError) else str(err)
