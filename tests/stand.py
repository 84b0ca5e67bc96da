"""A stand: a whole Restante, really started, in a DATA_DIR of its own. Driven by commands and pages, never by ORM."""

from __future__ import annotations

import contextlib
import http.client
import imaplib
import json
import os
import poplib
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from mailbackend.paths import SERVICE_ACCOUNT, DataDir
from mailbackend.supervisor.process import session_members
from tests import warm_commands
from tests.postgres import free_port

CHECKOUT = Path(__file__).resolve().parent.parent
PYTHON = CHECKOUT / ".venv" / "bin" / "python"

#: Seconds to wait for something that must come; generous, because nothing here measures speed.
PATIENCE = 60.0


@dataclass
class Answer:
    """What a command did."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.stdout)


@dataclass
class Stand:
    """One running Restante.

    Attributes:
        privileges: who starts it, "ordinary" or "root".
        cluster_url: a PostgreSQL cluster's superuser, or empty for SQLite.
        settings: environment variables that this stand adds.
    """

    privileges: str
    cluster_url: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    folder: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = field(init=False, default=None)
    environment: dict[str, str] = field(init=False)
    password: str = field(init=False, default="")
    _warm: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _warm_environment: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rt-"))
        self.folder.chmod(0o755)
        home = self.folder / "home"
        home.mkdir()
        if self.hands_over:
            shutil.chown(self.folder, SERVICE_ACCOUNT, SERVICE_ACCOUNT)
            shutil.chown(home, SERVICE_ACCOUNT, SERVICE_ACCOUNT)
        self.ports = {name: free_port() for name in ("panel", "imap", "imaps", "pop3", "pop3s")}
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "DATA_DIR": str(self.data_dir.root),
            "PANEL_BIND": f"127.0.0.1:{self.ports['panel']}",
            **{f"{name.upper()}_PORT": str(self.ports[name]) for name in ("imap", "imaps", "pop3", "pop3s")},
            **({"DATABASE_URL": self._create_database()} if self.cluster_url else {}),
            **self.settings,
        }

    @property
    def hands_over(self) -> bool:
        """Whether the tests run as root, but the stand must not."""
        return self.privileges == "ordinary" and os.geteuid() == 0

    @property
    def data_dir(self) -> DataDir:
        """Its DATA_DIR."""
        return DataDir(self.folder / "data")

    @property
    def url(self) -> str:
        """Its panel, without a slash at the end."""
        return f"http://127.0.0.1:{self.ports['panel']}"

    @property
    def log(self) -> str:
        """What `launch start` printed."""
        return (self.folder / "start.log").read_text("utf-8", "replace")

    def start(self, *, wait: bool = True) -> None:
        """Start everything, and wait until it works."""
        with (self.folder / "start.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._become(), str(PYTHON), "-m", "launch", "start"],
                cwd=CHECKOUT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if wait:
            try:
                wait_for(self.works, "the stand to work", seconds=120)
            except AssertionError as err:
                raise AssertionError(f"{err}\n{self.health()}\n{self.log}") from err
            self._warm_up()
            printed = re.search(r"^password: (\S+)", self.log, re.MULTILINE)
            self.password = printed[1] if printed else self.password

    def works(self) -> bool:
        """Whether /healthz says that every part does."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"launch ended with {self.process.returncode}:\n{self.log}")
        return bool(self.health()["status"] == "ok")

    def health(self) -> dict[str, Any]:
        """Return what /healthz answers; a panel that does not answer is {"status": "down"}."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=10) as answer:  # noqa: S310 - our own URL
                return dict(json.load(answer))
        except urllib.error.HTTPError as err:
            return dict(json.load(err))
        except (OSError, ValueError, http.client.HTTPException):
            return {"status": "down", "parts": {}}

    def begin_to_stop(self) -> None:
        """Have everything stop as Ctrl-C does, and wait for nothing: several stop in the time of one."""
        if self._warm is not None:
            self._warm.kill()
            self._warm.wait()
            self._warm = None
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Stop everything as Ctrl-C does."""
        self.begin_to_stop()
        if self.process is not None:
            self.process.wait(60)
        self.process = None

    def remove(self) -> None:
        """Stop everything and remove what it wrote."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(
        self, *arguments: str, stdin: str | bytes = "", json_answer: bool = True, anew: bool = False
    ) -> Answer:
        """Run manage.py with these arguments, as a person on the machine would.

        Args:
            arguments: the command's name, and its own.
            stdin: what it reads.
            json_answer: whether it is asked for JSON.
            anew: whether a new Python has to run it; otherwise one may that has imported the panel before.
        """
        extra = ["--json"] if json_answer else []
        given = stdin.encode() if isinstance(stdin, str) else stdin
        if not anew and self._is_warm() and "\0" not in "".join(arguments):
            wanted = [arguments[0], *extra, *arguments[1:]]
            code, out, err = warm_commands.run(self._warm_socket, wanted, self.environment, given, 120)
            return Answer(code, out.decode(), err.decode())
        done = subprocess.run(
            [*self._become(), str(PYTHON), "manage.py", arguments[0], *extra, *arguments[1:]],
            cwd=CHECKOUT,
            env=self.environment,
            input=given,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def _warm_up(self) -> None:
        """Begin to import the panel once for many commands; until that is done each imports it itself."""
        self._warm_socket.unlink(missing_ok=True)
        self._warm = warm_commands.start(
            [*self._become(), str(PYTHON)], self._warm_socket, self.environment, CHECKOUT
        )
        self._warm_environment = dict(self.environment)

    def _is_warm(self) -> bool:
        return (
            self._warm is not None
            and self._warm_environment == self.environment
            and self._warm_socket.exists()
        )

    @property
    def _warm_socket(self) -> Path:
        return self.folder / "home" / "commands"

    def spawn(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start Python with these arguments in this stand's environment; its standard output can be read."""
        return subprocess.Popen(
            [*self._become(), str(PYTHON), *arguments],
            cwd=CHECKOUT,
            env=self.environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
        )

    def must(self, *arguments: str, stdin: str | bytes = "") -> Any:
        """Run a command that must succeed and return its JSON answer."""
        answer = self.command(*arguments, stdin=stdin)
        assert answer.code == 0, f"{arguments}: {answer.stderr}"
        return answer.json

    def new_domain(self) -> str:
        """Create a domain that no other test has."""
        name = f"d{secrets.token_hex(5)}.test"
        self.must("createdomain", name, "--customer", "My organisation")
        return name

    def new_mailbox(self, *options: str, local_part: str = "anna", password: str = "a-good-passw0rd") -> Box:
        """Create a mailbox in a domain of its own."""
        address = f"{local_part}@{self.new_domain()}"
        answer = self.must("createmailbox", address, *options, stdin=f"{password}\n")
        return Box(self, address, password, Path(answer["home"]))

    def keep_mail(self) -> None:
        """Have the panel leave its mail in files; before it starts."""
        folder = self.folder / "sent"
        folder.mkdir()
        folder.chmod(0o777)  # whoever runs the worker writes there
        self.environment["EMAIL_URL"] = f"filemail://{folder}"

    def kept_mail(self) -> list[str]:
        """Return every mail that was kept, the oldest first."""
        return [file.read_text() for file in sorted((self.folder / "sent").iterdir())]

    @property
    def authority(self) -> ssl.SSLContext:
        """A TLS context that trusts this stand's private authority alone."""
        return ssl.create_default_context(cafile=str(self.data_dir.tls / "ca.crt"))

    def pids(self, pattern: str) -> list[int]:
        """Return the processes of this stand whose command line matches `pattern`."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if self._is_ours(entry) and re.search(pattern, line):
                    found.append(int(entry.name))
        return found

    def dovecot(self, master: int, name: str) -> list[int]:
        """Return the processes of a Dovecot that do one of its services, such as imap-login or log."""
        found = []
        for pid in session_members(master):
            title = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode("utf-8", "replace")
            if title.endswith(f"/{name}"):
                found.append(pid)
        return found

    def _is_ours(self, process: Path) -> bool:
        mark = f"DATA_DIR={self.data_dir.root}".encode()
        return mark in (process / "environ").read_bytes().split(b"\0")

    def _become(self) -> list[str]:
        if not self.hands_over:
            return []
        return ["setpriv", "--reuid", SERVICE_ACCOUNT, "--regid", SERVICE_ACCOUNT, "--init-groups"]

    def _create_database(self) -> str:
        """Make a database whose owner is no superuser, and may make Dovecot's role."""
        name = f"stand_{secrets.token_hex(6)}"
        with psycopg.connect(self.cluster_url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{name}'".encode())
            connection.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
        port = psycopg.conninfo.conninfo_to_dict(self.cluster_url)["port"]
        return f"postgres://{name}:{name}@127.0.0.1:{port}/{name}"


@dataclass
class Box:
    """A mailbox of a stand, as its owner's mail programs see it."""

    stand: Stand
    address: str
    password: str
    home: Path

    @contextlib.contextmanager
    def imap(self, password: str | None = None) -> Iterator[imaplib.IMAP4_SSL]:
        """Sign in over IMAPS."""
        client = imaplib.IMAP4_SSL(
            "localhost", self.stand.ports["imaps"], ssl_context=self.stand.authority, timeout=PATIENCE
        )
        try:
            client.login(self.address, self.password if password is None else password)
            yield client
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                client.logout()

    @contextlib.contextmanager
    def pop(self, password: str | None = None) -> Iterator[poplib.POP3_SSL]:
        """Sign in over POP3S."""
        client = poplib.POP3_SSL(
            "localhost", self.stand.ports["pop3s"], context=self.stand.authority, timeout=PATIENCE
        )
        try:
            client.user(self.address)
            client.pass_(self.password if password is None else password)
            yield client
        finally:
            with contextlib.suppress(poplib.error_proto, OSError):
                client.quit()

    def deliver(self, subject: str, body: str = "Hello.") -> None:
        """Deliver a message to it."""
        message = f"From: sender@example.net\nTo: {self.address}\nSubject: {subject}\n\n{body}\n"
        assert self.stand.must("deliver", self.address, stdin=message)["delivered"] == [self.address]

    def subjects(self) -> list[str]:
        """Return the subjects in the inbox, as IMAP shows them, without marking them read.

        As mail programs do, it connects again where its session is ended: who was shut out is kicked once more some
        seconds later, when they may be back already.
        """
        for _ in range(3):
            with contextlib.suppress(imaplib.IMAP4.abort):
                return self._subjects()
        return self._subjects()

    def _subjects(self) -> list[str]:
        with self.imap() as client:
            if client.select("INBOX", readonly=True)[1] == [b"0"]:
                return []
            _status, rows = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            return [row[1].decode().split(": ", 1)[1].strip() for row in rows if isinstance(row, tuple)]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until `condition` holds; it is looked at ten times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds:.0f} s for {what}")
        time.sleep(0.1)
