"""Debian's packages: see what is missing, install it, and leave none of its services running or enabled.

Standard library only: the small step that needs root is run again through sudo.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from launch import policy
from launch.problem import LaunchProblem, say

FOR_RUNNING = (
    "dovecot-core",
    "dovecot-imapd",
    "dovecot-pop3d",
    "dovecot-lmtpd",
    "dovecot-sqlite",
    "dovecot-pgsql",
    "redis-server",
    "gettext",
    "python3-venv",
    "util-linux",
)
#: As root: gives the service account the way through a closed parent folder.
FOR_ROOT = ("acl",)
FOR_TESTS = (
    "chromium",
    "fonts-dejavu-core",
    "postgresql",
    "isync",
    "getmail6",
    "fetchmail",
    "mutt",
    "offlineimap3",
    "curl",  # fetches a certificate as the files for the programs before say
)

_CHECKOUT = Path(__file__).resolve().parent.parent
#: In a folder of root, which outlives a restart of the machine.
_LOCK = Path("/var/lib/dpkg/restante-packages.lock")
_UNIT = re.compile(r"/(?:usr/)?lib/systemd/system/([^/]+\.(?:service|socket|timer|path))\Z")
_INIT_SCRIPT = re.compile(r"/etc/init\.d/([^/]+)\Z")
#: The system itself, should it come as a dependency: its services are not ours to switch off.
_SYSTEM_PRIORITIES = ("required", "important", "standard")


def wanted(*, as_root: bool, for_tests: bool) -> tuple[str, ...]:
    """Return the names of the packages that are needed."""
    return FOR_RUNNING + (FOR_ROOT if as_root else ()) + (FOR_TESTS if for_tests else ())


def missing(names: Sequence[str]) -> list[str]:
    """Return those of `names` that are not completely installed, in their order.

    Raises:
        LaunchProblem: if this is not a Debian system.
    """
    if not shutil.which("dpkg-query") or not shutil.which("apt-get"):
        raise LaunchProblem(
            "dpkg-query or apt-get was not found: Restante runs on Debian 12 or newer. Use such a machine."
        )
    installed = _installed()
    return [name for name in names if name not in installed]


def ensure(names: Sequence[str]) -> None:
    """Install what is missing of `names`, as root or through sudo; quick when nothing is.

    Raises:
        LaunchProblem: if there is no way to become root, or apt-get failed.
    """
    absent = missing(names)
    if os.geteuid() == 0:
        if absent or policy.is_left_over():
            install_as_root(names)
        return
    if not absent:
        return
    apt_get = f"apt-get install -y --no-install-recommends {' '.join(absent)}"
    if not shutil.which("sudo"):
        raise LaunchProblem(f"Debian packages are missing. As root, run: {apt_get}")
    say("Debian packages are missing: installing them through sudo.")
    # Without a terminal a question for the password would never be answered.
    asking = [] if sys.stdin.isatty() else ["-n"]
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    step = [python, "-B", "-m", "launch", "install-packages", *absent]
    with subprocess.Popen(["sudo", *asking, "--", *step], cwd=_CHECKOUT) as sudo:
        try:
            failed = sudo.wait()
        except KeyboardInterrupt:
            sudo.wait()  # the step has heard Ctrl-C itself, and puts everything back
            raise
    if failed:
        raise LaunchProblem(f"Installing through sudo failed. As root, run: {apt_get}")


def install_as_root(names: Sequence[str]) -> None:
    """Install what is missing of `names`; services of what is new are neither started nor enabled.

    Packages that were there before stay as they are, whatever their state.

    Raises:
        LaunchProblem: if a name is not one of ours or apt-get failed.
    """
    strange = sorted(set(names) - {*FOR_RUNNING, *FOR_ROOT, *FOR_TESTS})
    if strange:
        raise LaunchProblem(f"Not among Restante's packages: {', '.join(strange)}.")
    with _alone() as lock, _signals_as_interrupt():
        if policy.is_left_over():
            say("Restoring /usr/sbin/policy-rc.d, left behind by a start that was killed.")
            policy.restore()
        _disable_new_services(lock)
        absent = missing(names)
        if absent:
            _install(absent, lock)


def _install(absent: list[str], lock: int) -> None:
    say(f"Installing Debian packages: {' '.join(absent)}")
    if _run(["apt-get", "update", "-q"], lock):
        # Often one third-party source among good ones: the installation itself shows whether it matters.
        say("Warning: apt-get update reported errors; going on with the lists there are.")
    os.pwrite(lock, json.dumps(sorted(_installed())).encode(), 0)
    try:
        with policy.deny():
            failed = _run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *absent], lock)
    finally:
        _disable_new_services(lock)
    if failed:
        raise LaunchProblem(
            "apt-get could not install the packages; its messages are above. When solved, start again."
        )


def _installed() -> set[str]:
    """Return the names of all installed packages, without architecture."""
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    states = (line.split(" ", 1) for line in listed.stdout.splitlines())
    return {name for state, name in states if state == "installed"}


def _run(command: Sequence[str], lock: int) -> int:
    """Run an apt-get command to its end and return its exit code.

    Interrupted, it is told to stop and waited for: what is denied to it is allowed again only afterwards.
    It shares the lock, so that after kill -9 of this process the next start waits for it too.
    """
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",  # needrestart would restart services on its own
    }
    if command[0] == "apt-get":  # another apt at work is waited for
        command = [command[0], "-o", "DPkg::Lock::Timeout=600", *command[1:]]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[lock]) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


def _disable_new_services(lock: int) -> None:
    """Take back what the maintainer scripts of newly installed packages enabled.

    Args:
        lock: its file holds the packages that were there before apt-get began; it is empty when there is
            nothing to do. A start that was killed is finished so by the next one.
    """
    record = os.pread(lock, os.fstat(lock).st_size, 0)
    if not record:
        return
    try:
        before = set(json.loads(record))
    except ValueError:  # cut off when the machine lost power: nothing can be said any more
        os.ftruncate(lock, 0)
        return
    for package in sorted(_installed() - before):
        units, scripts = service_names(_files_of(package))
        if (not units and not scripts) or _priority(package) in _SYSTEM_PRIORITIES:
            continue
        if units and shutil.which("systemctl"):
            _quietly(["systemctl", "--root=/", "disable", *units])
        elif units and shutil.which("deb-systemd-helper"):
            _quietly(["env", f"DPKG_MAINTSCRIPT_PACKAGE={package}", "deb-systemd-helper", "disable", *units])
        if shutil.which("update-rc.d"):
            for script in scripts:
                _quietly(["update-rc.d", script, "disable"])
        say(f"Not enabled at boot: {', '.join(sorted({*units, *scripts}))} (of {package}, newly installed).")
    os.ftruncate(lock, 0)


def service_names(files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the systemd units (templates left out) and the init scripts among a package's files."""
    units = [match[1] for file in files if (match := _UNIT.search(file)) and "@." not in match[1]]
    scripts = [match[1] for file in files if (match := _INIT_SCRIPT.match(file))]
    return sorted(set(units)), sorted(set(scripts))


def _files_of(package: str) -> list[str]:
    listed = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True, check=False)
    return listed.stdout.splitlines()


def _priority(package: str) -> str:
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Priority}", package], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()


def _quietly(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"Warning: {shlex.join(command)}: {done.stderr.strip() or 'failed'}")


@contextmanager
def _alone() -> Iterator[int]:
    """Hold the lock that two starts at once share, so that one does not restore what the other denies."""
    descriptor = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another start that installs Debian packages.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP unwind, so that all is put back; ignore further ones."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, interrupt)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
