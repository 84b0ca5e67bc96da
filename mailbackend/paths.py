"""Where everything lies below DATA_DIR, in one place.

Run as root, the folders named in `ROOT_OWNED` belong to root, because a root process writes into them: whoever
could put a link there could have root write anywhere. The rest belongs to the service account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

#: sun_path holds 108 bytes; Dovecot's longest socket below base_dir needs 27 of them.
BASE_DIR_MAX = 81

#: The account that everything but the mail supervisor runs as, when started by root.
SERVICE_ACCOUNT = "restante"

_SAFE_PATH = re.compile(r"/[A-Za-z0-9._/+-]*\Z")


class PathError(ValueError):
    """A path cannot be used; the message says which and why, in one sentence."""


def check_path(path: str, what: str) -> Path:
    """Return `path` if configurations can name it as it is: absolute, plain characters, no `..`.

    Args:
        path: the path to check.
        what: what to call it in the error, such as "DATA_DIR".

    Raises:
        PathError: with a sentence for the administrator.
    """
    if not _SAFE_PATH.match(path):
        raise PathError(f"{what} is {path!r}: use an absolute path of letters, digits and . _ - + / only.")
    if ".." in path.split("/"):
        raise PathError(f"{what} is {path!r}: '..' is not allowed in it.")
    return Path(path)


@dataclass(frozen=True)
class DataDir:
    """The layout of one DATA_DIR. Folders only; nothing is created or read here."""

    root: Path

    #: Folders that belong to root when root starts the service.
    ROOT_OWNED = ("dovecot", "events", "logs", "processes")
    #: Folders that always belong to the service account.
    ACCOUNT_OWNED = ("database", "keys", "tls", "mail", "retired", "redis", "run", "static")

    @classmethod
    def at(cls, path: str) -> DataDir:
        """Return the layout for `path`.

        Raises:
            PathError: if the path has characters that configurations cannot hold, or is too long for
                unix sockets (Dovecot's base_dir: 81 characters).
        """
        layout = cls(check_path(path, "DATA_DIR"))
        spare = BASE_DIR_MAX - len(str(layout.base_dir))
        if spare < 0:
            raise PathError(
                f"DATA_DIR is {len(path)} characters long, {-spare} more than unix sockets below it allow: "
                "choose a shorter path."
            )
        return layout

    @property
    def sqlite(self) -> Path:
        """The default database."""
        return self.root / "database" / "restante.sqlite3"

    @property
    def keys(self) -> Path:
        """SECRET_KEY, peppers, API keys: one file each, mode 0600."""
        return self.root / "keys"

    @property
    def tls(self) -> Path:
        """The private certificate authority and the mail certificate it issued."""
        return self.root / "tls"

    @property
    def mail(self) -> Path:
        """The mail root: `<domain>/<local part>-<mailbox id>/` below it."""
        return self.root / "mail"

    @property
    def retired(self) -> Path:
        """Homes of purged mailboxes."""
        return self.root / "retired"

    @property
    def run(self) -> Path:
        """Small state of the panel's processes."""
        return self.root / "run"

    @property
    def mail_config(self) -> Path:
        """The MailConfig that the panel hands to the mail supervisor, as JSON."""
        return self.run / "mail.json"

    @property
    def events_stored(self) -> Path:
        """The number of the last segment of the log that is stored elsewhere, written by who stores it."""
        return self.run / "events-stored"

    @property
    def static(self) -> Path:
        """Collected static files."""
        return self.root / "static"

    @property
    def clients(self) -> Path:
        """What the host tells of mail programs in its own words; made by the host, or not there."""
        return self.root / "clients"

    @property
    def redis_socket(self) -> Path:
        """The private Redis."""
        return self.root / "redis" / "redis.sock"

    @property
    def logs(self) -> Path:
        """Standard output of the processes, rotated."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """The rendered process list, and the pid of what runs it."""
        return self.root / "processes"

    @property
    def events(self) -> Path:
        """Dovecot's log: the stream of what happened."""
        return self.root / "events"

    @property
    def event_log(self) -> Path:
        """What Dovecot writes its log to: a link to the newest segment."""
        return self.events / "current"

    @property
    def dovecot(self) -> Path:
        """Rendered configurations, base_dir, state."""
        return self.root / "dovecot"

    @property
    def base_dir(self) -> Path:
        """Dovecot's base_dir: its sockets and master.pid."""
        return self.dovecot / "run"

    @property
    def state_dir(self) -> Path:
        """Dovecot's state_dir."""
        return self.dovecot / "state"

    @property
    def configurations(self) -> Path:
        """Rendered configurations, a folder for each, and the links `current` and `last-good`."""
        return self.dovecot / "conf"

    @property
    def acl(self) -> Path:
        """Rights in what was removed, which Dovecot 2.3's sessions read as the account: no secret, beside the
        configurations, which only root may see."""
        return self.dovecot / "acl"

    @property
    def control_socket(self) -> Path:
        """Where the mail supervisor answers."""
        return self.dovecot / "control.sock"

    @property
    def lmtp_socket(self) -> Path:
        """Where mail arrives."""
        return self.base_dir / "lmtp"

    @property
    def doveadm_socket(self) -> Path:
        """doveadm's HTTP API. Dovecot speaks HTTP on a unix listener of exactly this name."""
        return self.base_dir / "http"
