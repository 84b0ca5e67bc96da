"""A small DATA_DIR with everything that a real Dovecot needs, for tests."""

from __future__ import annotations

import datetime
import errno
import grp
import os
import pwd
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from argon2 import PasswordHasher
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailbackend.config import MailConfig, Ports, SqliteDatabase
from mailbackend.passwords import hash_device_password
from mailbackend.paths import SERVICE_ACCOUNT, DataDir
from mailbackend.supervisor.control import Status, SupervisorDown, ask, ask_report
from mailbackend.supervisor.report import Report
from tests.postgres import free_port

CHECKOUT = Path(__file__).resolve().parents[2]

#: Seconds after which a test gives up waiting. Nothing is asserted about how long anything takes.
PATIENCE = 60

ADDRESS = "ann@example.test"
PASSWORD = "a long sentence, kept to myself"
API_KEY = "k" * 43
PEPPER = "p-_P4" * 8
MAIL_ROOT_ID = "0123456789abcdef" * 2

#: The views as tables: Dovecot cannot tell.
SCHEMA = """
CREATE TABLE mail_login (address TEXT, password TEXT, protocols TEXT, active INTEGER, reason TEXT);
CREATE TABLE mail_device (
  address TEXT, secret_hash TEXT, id BIGINT, slot INTEGER, protocols TEXT, active INTEGER, reason TEXT
);
CREATE TABLE mail_user (address TEXT, home TEXT, quota_bytes BIGINT, pop3_delete_type TEXT);
"""


@dataclass(frozen=True)
class Person:
    """One mailbox of the stand."""

    address: str
    password: str = PASSWORD
    protocols: str = "|imap|pop3|"
    active: int = 1
    reason: str | None = None
    quota_bytes: int | None = None
    pop3_delete_type: str = "flag"

    @property
    def home(self) -> str:
        local_part, domain = self.address.split("@")
        return f"{domain}/{local_part}-1"

    @property
    def login_row(self) -> tuple[str, str, str, int, str | None]:
        hashed = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(self.password)
        return (self.address, f"{{ARGON2ID}}{hashed}", self.protocols, self.active, self.reason)

    @property
    def user_row(self) -> tuple[str, str, int | None, str]:
        return (self.address, self.home, self.quota_bytes, self.pop3_delete_type)


PEOPLE = (
    Person(ADDRESS),
    Person("ben@example.test", quota_bytes=100_000),
    Person("off@example.test", active=0, reason="suspended"),
    Person("nopop@example.test", protocols="|imap|"),
    Person("ends@example.test", pop3_delete_type="expunge"),
    Person("only@example.test", active=0, reason="device_required"),
)


@dataclass(frozen=True)
class DeviceRow:
    """One device password of the stand."""

    id: int
    address: str
    password: str
    slot: int = 0
    protocols: str = "|imap|pop3|"
    active: int = 1
    reason: str | None = None

    @property
    def row(self) -> tuple[str, str, int, int, str, int, str | None]:
        hashed = hash_device_password(self.password, PEPPER)
        return (self.address, hashed, self.id, self.slot, self.protocols, self.active, self.reason)


DEVICES = (
    DeviceRow(11, ADDRESS, "k7wqd-9xhmt-pc", slot=1),
    DeviceRow(12, ADDRESS, "k7wqd-9xhmt-phone", slot=2),
    DeviceRow(13, ADDRESS, "k7wqd-9xhmt-shared"),
    DeviceRow(14, ADDRESS, "k7wqd-9xhmt-imap", protocols="|imap|"),
    DeviceRow(15, ADDRESS, "k7wqd-9xhmt-revoked", active=0, reason="device_revoked"),
    DeviceRow(16, ADDRESS, "k7wqd-9xhmt-expired", active=0, reason="device_expired"),
    DeviceRow(17, "ben@example.test", "k7wqd-9xhmt-bens", slot=1),
    DeviceRow(18, "off@example.test", "k7wqd-9xhmt-off", slot=1, active=0, reason="suspended"),
    DeviceRow(19, "only@example.test", "k7wqd-9xhmt-only", slot=1),
)


@dataclass(frozen=True)
class Stand:
    """The folder, the configuration, and who owns the mail."""

    data: DataDir
    config: MailConfig
    account: str
    group: str

    @property
    def owner(self) -> tuple[int, int]:
        entry = pwd.getpwnam(self.account)
        return entry.pw_uid, entry.pw_gid

    def write_config(self, **changes: object) -> MailConfig:
        """Hand the configuration, with `changes`, to the supervisor, as the panel does."""
        config = replace(self.config, **changes)  # type: ignore[arg-type]  # the names are the fields'
        path = self.data.mail_config
        path.unlink(missing_ok=True)
        path.write_text(config.to_json())
        path.chmod(0o600)
        os.chown(path, *self.owner)
        return config

    def trust(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the stand's certificate and nothing else."""
        return ssl.create_default_context(cafile=self.config.certificate)


def service_account() -> str:
    """Return the account that owns the mail: Restante's when run by root, else whoever runs the tests."""
    return SERVICE_ACCOUNT if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@contextmanager
def make_stand(account: str | None = None) -> Iterator[Stand]:
    """Make a DATA_DIR, short enough for sockets, and remove it afterwards."""
    root = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))
    root.chmod(0o755)
    entry = pwd.getpwnam(account or service_account())
    try:
        data = DataDir.at(str(root))
        for name in DataDir.ACCOUNT_OWNED:
            (root / name).mkdir(mode=0o700)
        (data.mail / ".restante-mail-root").write_text(MAIL_ROOT_ID + "\n")
        write_certificate(data.tls / "mail.pem", data.tls / "mail.key")
        write_database(data.sqlite)
        for person in PEOPLE:
            for part in ("cur", "new", "tmp"):
                (data.mail / person.home / "Maildir" / part).mkdir(parents=True)
            # As homes are made: Dovecot links files only between folders of one mode.
            for folder in (data.mail / person.home).rglob("*"):
                folder.chmod(0o700)
            (data.mail / person.home).chmod(0o700)
        config = MailConfig(
            mail_host="localhost",
            listen=("127.0.0.1",),
            ports=Ports(*free_ports(4)),
            database=SqliteDatabase(str(data.sqlite)),
            certificate=str(data.tls / "mail.pem"),
            private_key=str(data.tls / "mail.key"),
            api_key=API_KEY,
            pepper=PEPPER,
            instance=f"restante-{os.urandom(4).hex()}",
            mail_root_id=MAIL_ROOT_ID,
        )
        stand = Stand(data, config, entry.pw_name, _group_name(entry.pw_gid))
        stand.write_config()
        if os.geteuid() == 0:
            for name in DataDir.ACCOUNT_OWNED:
                _give(root / name, entry.pw_uid, entry.pw_gid)
        yield stand
    finally:
        shutil.rmtree(root)


@dataclass(frozen=True)
class SmallDisk:
    """A mounted disk of a few megabytes, with a file that fills it."""

    folder: Path

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as err:
                if err.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink()


@contextmanager
def small_disk(folder: Path, size: str = "4m") -> Iterator[SmallDisk]:
    """Mount a disk of `size` at `folder`, which is made where it is missing. Needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder.stat()
    options = f"size={size},mode={owner.st_mode & 0o7777:o},uid={owner.st_uid},gid={owner.st_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(folder)], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def write_database(path: Path) -> None:
    """Make the SQLite file with the views as tables."""
    database = sqlite3.connect(path)
    database.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
    database.executemany("INSERT INTO mail_login VALUES (?, ?, ?, ?, ?)", [p.login_row for p in PEOPLE])
    database.executemany("INSERT INTO mail_device VALUES (?, ?, ?, ?, ?, ?, ?)", [d.row for d in DEVICES])
    database.executemany("INSERT INTO mail_user VALUES (?, ?, ?, ?)", [p.user_row for p in PEOPLE])
    database.commit()
    database.close()


def write_certificate(certificate: Path, key: Path) -> None:
    """Make a self-signed certificate for localhost and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    key.chmod(0o600)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on at this moment."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return sorted(found)


def _group_name(gid: int) -> str:
    return grp.getgrgid(gid).gr_name


def _give(path: Path, uid: int, gid: int) -> None:
    for folder, _, names in os.walk(path):
        os.chown(folder, uid, gid)
        for name in names:
            os.chown(Path(folder) / name, uid, gid)


class Supervisor:
    """`python -m mailbackend.supervisor` on a stand, as a process of its own."""

    def __init__(self, stand: Stand, **environment: str) -> None:
        self.stand = stand
        self.socket = stand.data.control_socket
        self.process = subprocess.Popen(
            supervisor_command(stand),
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, wanted: Callable[[Status], bool]) -> Status:
        """Ask for the status until it is as wanted, and return it."""
        deadline = time.monotonic() + PATIENCE
        status = None
        while time.monotonic() < deadline:
            try:
                status = ask(self.socket, "status")
            except SupervisorDown:
                assert self.process.poll() is None, f"the supervisor ended: {self.output()}"
            else:
                if wanted(status):
                    return status
            time.sleep(0.05)
        raise AssertionError(f"never came: the last status is {status}")

    def wait_until(self, state: str) -> Status:
        """Wait for a state, and return the status."""
        return self.wait_for(lambda status: status.state == state)

    def wait_for_report(self, wanted: Callable[[Report], bool]) -> Report:
        """Ask for the report until it is as wanted, and return it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            report = ask_report(self.socket)[1]
            if wanted(report):
                return report
            time.sleep(0.05)
        raise AssertionError(f"never came: the last report is {report}")

    def output(self) -> str:
        """Return what it has said, once it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def end(self) -> int:
        """End it as a person does, if it still runs, and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


def supervisor_command(stand: Stand) -> list[str]:
    """Return how the supervisor of a stand is started."""
    account = ["--account", stand.account] if os.geteuid() == 0 else []
    return [sys.executable, "-m", "mailbackend.supervisor", "--data-dir", str(stand.data.root), *account]


@contextmanager
def supervised(stand: Stand, **environment: str) -> Iterator[Supervisor]:
    """Run the supervisor, and end it afterwards."""
    supervisor = Supervisor(stand, **environment)
    try:
        yield supervisor
    finally:
        supervisor.end()
