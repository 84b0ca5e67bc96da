"""The reference: the same Dovecot as it is without Restante: a passwd-file, no plugin, no database.

Same binary, account, certificate, folders and hashes as the product's; login processes that serve many
connections each ("high-performance mode"), or Dovecot's default of one process for each connection.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.client import Target
from bench.processes import BenchProblem, become, end, launch, uninterrupted, wait_until
from bench.product import PASSWORD, Product
from mailbackend.passwords import hash_password
from mailbackend.paths import SERVICE_ACCOUNT
from tests.postgres import free_port

#: Login processes as the product has them.
MANY_EACH = {
    "2.3": "  service_count = 0\n  process_min_avail = 2\n  client_limit = 2000\n",
    "2.4": "  restart_request_count = unlimited\n  process_min_avail = 2\n  client_limit = 2000\n",
}
#: Dovecot's default, one process for each connection; only its limit of 100 of them is raised.
ONE_EACH = {"2.3": "  process_limit = 2000\n", "2.4": "  process_limit = 2000\n"}

_COMMON = """
base_dir = {root}/run
state_dir = {root}/state
instance_name = {instance}
listen = 127.0.0.1
default_internal_user = {account}
default_internal_group = {group}
default_login_user = {account}
mail_uid = {account}
mail_gid = {group}
first_valid_uid = 1
log_path = {root}/log
ssl = required
ssl_min_protocol = TLSv1.2
auth_mechanisms = plain
mail_max_userip_connections = 50
service anvil {{
  chroot =
  client_limit = 10000
}}
service stats {{
  chroot =
  client_limit = 10000
}}
service auth {{
  chroot =
  client_limit = 10000
}}
service imap {{
  process_limit = 4000
}}
service imap-login {{
  chroot =
{login}  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
"""

_FIRST = {
    "2.3": "protocols = imap\n",
    "2.4": "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\nprotocols {{\n  imap = yes\n}}\n",
}

_LAST = {
    "2.3": """
ssl_cert = <{certificate}
ssl_key = <{key}
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = {root}/users
}}
userdb {{
  driver = passwd-file
  args = {root}/users
}}
""",
    "2.4": """
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
mail_driver = maildir
mail_path = %{{home}}/Maildir
passdb passwd-file {{
  passwd_file_path = {root}/users
}}
userdb passwd-file {{
  passwd_file_path = {root}/users
}}
""",
}


@dataclass(frozen=True)
class Reference:
    """A Dovecot of that kind, in a folder of its own."""

    root: Path
    target: Target
    program: str

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it, and do not wait. Its master leads the session, and is the process that is returned."""
        return launch([self.program, "-F", "-c", str(self.root / "dovecot.conf")], self.root / "output")

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Run it, and end it afterwards. Yields its master's pid."""
        process = self.launch()
        try:
            wait_until(self._listens, "the reference", process)
            yield process.pid
        finally:
            end(process)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.target.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def prepared(product: Product, login_processes: dict[str, str]) -> Iterator[Reference]:
    """Write a reference for a product: the same mailboxes, copied, and the same passwords.

    Args:
        product: whose folders and certificate are taken; its mail service should not run meanwhile.
        login_processes: MANY_EACH or ONE_EACH.

    Raises:
        BenchProblem: if there is no Dovecot of a version that is known here.
    """
    program, version = find_dovecot()
    family = version[:3]
    if family not in _LAST:
        raise BenchProblem(f"There is no reference for Dovecot {family}.")
    root = Path(tempfile.mkdtemp(prefix="rt-ref-"))
    try:
        root.chmod(0o755)
        account = pwd.getpwnam(SERVICE_ACCOUNT) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(root, account.pw_uid, account.pw_gid)
        port = free_port()
        values = {
            "root": root,
            "instance": root.name,
            "account": account.pw_name,
            "group": grp.getgrgid(account.pw_gid).gr_name,
            "login": login_processes[family],
            "port": port,
            "certificate": product.stand.data_dir.tls / "mail.crt",
            "key": product.stand.data_dir.tls / "mail.key",
        }
        text = (_FIRST[family] + _COMMON + _LAST[family]).format(**values)
        (root / "dovecot.conf").write_text(text)
        (root / "users").write_text(_users(product, root, account))
        os.chown(root / "users", account.pw_uid, account.pw_gid)
        _copy_homes(product, root)
        yield Reference(root, Target(port, product.target.authority), program)
    finally:
        with uninterrupted():
            shutil.rmtree(root)


def find_dovecot() -> tuple[str, str]:
    """Return the Dovecot that the product uses too, and its version.

    Raises:
        BenchProblem: if there is none.
    """
    places = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
    program = os.environ.get("DOVECOT_BIN") or shutil.which("dovecot", path=places)
    if program is None:
        raise BenchProblem("Dovecot is not installed.")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    return program, done.stdout.split()[0]


def _users(product: Product, root: Path, account: pwd.struct_passwd) -> str:
    """Return the passwd-file (user:password:uid:gid::home)."""
    hashed = hash_password(PASSWORD)
    stored = {**dict.fromkeys(product.hashed, hashed), **dict.fromkeys(product.plain, f"{{PLAIN}}{PASSWORD}")}
    return "".join(
        f"{address}:{secret}:{account.pw_uid}:{account.pw_gid}::{root}/mail/{address}\n"
        for address, secret in stored.items()
    )


def _copy_homes(product: Product, root: Path) -> None:
    """Copy the homes of the product's mailboxes, as the account, so that owners and modes are the same."""
    mail = root / "mail"
    homes = product.worker.ask("homes", addresses=[*product.hashed, *product.plain])["homes"]
    subprocess.run([*become(), "mkdir", str(mail)], check=True, timeout=60)
    for address, home in homes.items():
        copy = ["cp", "-a", str(product.stand.data_dir.mail / home), str(mail / address)]
        subprocess.run([*become(), *copy], check=True, timeout=60)
