"""What the supervisor needs of the operating system: find programs, launch Dovecot, end its session.

A session (setsid(2)) is how Dovecot's processes are known: its master leads one of its own, all children stay
in it, and the kernel does not give its number to anybody else while one of them lives.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import itertools
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mailbackend.config import MailConfig
from mailbackend.dovecot.doveadm import Doveadm, DoveadmError
from mailbackend.dovecot.render import MAIN_FILE, PACKAGES
from mailbackend.paths import DataDir

#: Seconds from SIGTERM to the master, to SIGTERM to the whole session, to SIGKILL, to giving up.
_MASTER_PATIENCE = 4.0
_SESSION_PATIENCE = 2.0
_KILL_PATIENCE = 2.0
_POLL = 0.05
#: The state of a listening socket in /proc/net/tcp.
_TCP_LISTEN = "0A"
#: Seconds that a question to doveconf or `dovecot --version` may take.
_PROGRAM_TIMEOUT = 20
#: Characters of Dovecot's own messages that are passed on.
_MESSAGE_MAX = 2000
#: What Dovecot means by an exit code (its source, lib/failures.h).
_EXIT_REASONS = {
    80: "it could not open its log",
    81: "it could not write its log; is the disk full?",
    83: "it had no memory left",
}
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")


class Problem(Exception):
    """Dovecot cannot be started; the message says why and what to do.

    Attributes:
        lasting: whether only a person can mend it; otherwise it may pass by itself.
        soon: whether it is worth looking again after a second.
    """

    def __init__(self, message: str, *, lasting: bool = True, soon: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting
        self.soon = soon


@dataclass(frozen=True)
class Programs:
    """The programs of one Dovecot installation, and its version."""

    dovecot: Path
    doveconf: Path
    version: str


def find_programs(wanted: str, *, as_root: bool) -> Programs:
    """Return the programs to use.

    Args:
        wanted: DOVECOT_BIN, or empty to look on PATH and where Debian puts it.
        as_root: whether they will run as root; then nobody else may be able to change them.

    Raises:
        Problem: if Dovecot is missing, not to be trusted, or does not run.
    """
    dovecot = Path(wanted) if wanted else _search("dovecot", ())
    if dovecot is None or not _is_program(dovecot):
        where = f"DOVECOT_BIN is {wanted!r}, which is not a program" if wanted else "Dovecot is not installed"
        raise Problem(f"{where}: apt-get install {PACKAGES}.")
    doveconf = _search("doveconf", (dovecot.parent, dovecot.parent.parent / "bin"))
    if doveconf is None:
        raise Problem(f"Dovecot's program doveconf is not beside {dovecot}: apt-get install {PACKAGES}.")
    if as_root:
        check_only_root_writes(dovecot, "DOVECOT_BIN")
        check_only_root_writes(doveconf, "doveconf")
    return Programs(dovecot, doveconf, _read_version(dovecot))


def check_only_root_writes(path: Path, what: str) -> None:
    """Check that nobody but root can put something else at `path`: it and every folder above belong to root.

    A folder in which others may write is fine if it is sticky, as /tmp is: they cannot rename in it.

    Raises:
        Problem: naming the first file or folder for which it is not so.
    """
    real = path.resolve()
    for place in (real, *real.parents):
        found = place.stat()
        open_to_others = found.st_mode & 0o022 and not (
            stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        )
        if found.st_uid != 0 or open_to_others:
            raise Problem(
                f"{what} is {path}, and {place} can be changed by others than root: "
                f"chown root:root {place} and chmod go-w {place}."
            )


def validate(programs: Programs, folder: Path) -> None:
    """Have Dovecot check a configuration, the certificate files included.

    Raises:
        Problem: with Dovecot's own message.
    """
    # -n with -x prints secrets: what it prints is not kept.
    run = _run([str(programs.doveconf), "-nx", "-c", str(folder / MAIN_FILE)])
    if run.returncode != 0:
        raise Problem(f"Dovecot refuses the configuration: {_one_line(run.stderr)}")


def check_ports(config: MailConfig, held: MailConfig | None = None) -> None:
    """Check that each port can be listened on.

    Args:
        config: what is to be listened on.
        held: the configuration that is in use now; its own ports are not looked at.

    Raises:
        Problem: naming address, port and setting.
    """
    ours = {(address, port) for _, address, port in listeners(held)} if held else set()
    for setting, address, port in listeners(config):
        if (address, port) in ours:
            continue
        try:
            _bind(address, port)
        except PermissionError as err:
            raise Problem(
                f"Port {port} of {address} needs root or CAP_NET_BIND_SERVICE: "
                f"set {setting} to a port from 1024 on, or start as root."
            ) from err
        except OSError as err:
            raise Problem(_bind_message(err, setting, address, port), lasting=False) from err


def listeners(config: MailConfig) -> list[tuple[str, str, int]]:
    """Return setting, address and port of everything that `config` listens on."""
    ports = config.ports
    settings = (
        ("IMAP_PORT", ports.imap),
        ("IMAPS_PORT", ports.imaps),
        ("POP3_PORT", ports.pop3),
        ("POP3S_PORT", ports.pop3s),
    )
    return [(name, address, port) for address in config.listen for name, port in settings if port]


def is_ready(data: DataDir, config: MailConfig, pid: int) -> bool:
    """Say whether Dovecot serves: its master.pid names `pid`, it holds all ports, and its API answers.

    The ports are not connected to: each connection would be a line in the log of what happened.
    """
    if read_master_pid(data) != pid:
        return False
    wanted = {(ipaddress.ip_address(address), port) for _, address, port in listeners(config)}
    if not wanted <= _listening():
        return False
    try:
        Doveadm(data.doveadm_socket, config.api_key, timeout=2).who()
    except DoveadmError:
        return False
    return True


def read_master_pid(data: DataDir) -> int | None:
    """Return the pid in Dovecot's master.pid, or None if there is none."""
    try:
        return int((data.base_dir / "master.pid").read_text()[:20])
    except (FileNotFoundError, ValueError):
        return None


async def launch(
    programs: Programs, data: DataDir, environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """Launch Dovecot on the `current` configuration, as the leader of its own session.

    The kernel sends it SIGTERM when this process ends (prctl(2), PR_SET_PDEATHSIG). What it prints before its
    log is open goes to `launch_log`: a file, since writing to a pipe whose reader has gone would end it.

    Raises:
        OSError: if it cannot be launched.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    output = os.open(launch_log(data), flags, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/setpriv",
            "--pdeathsig",
            "TERM",
            "--",
            str(programs.dovecot),
            "-F",
            "-c",
            str(configuration_path(data)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={name: environment[name] for name in ("PATH", "TZ", "LANG") if name in environment},
            start_new_session=True,
        )
    finally:
        os.close(output)
    try:
        _session_record(data).write_text(json.dumps({"session": process.pid, "boot": _boot_id()}))
    except OSError:
        process.kill()
        await process.wait()
        raise
    return process


def configuration_path(data: DataDir) -> Path:
    """The file that Dovecot is started with. Its folder is a link, so that a reload reads the newest."""
    return data.configurations / "current" / MAIN_FILE


def launch_log(data: DataDir) -> Path:
    """What Dovecot printed at its last launch."""
    return data.dovecot / "launch.log"


def complaints(data: DataDir, since: int) -> str:
    """Return what Dovecot complained of at launch, and in its log from byte `since` on, or ''."""
    printed = _tail(launch_log(data), 0)
    logged = [
        line.partition(" ")[2]
        for line in _tail(data.event_log, since).splitlines()
        # That a single session crashed says nothing about the configuration.
        if " Fatal: " in line or (" master: Error: " in line and ": child " not in line)
    ]
    return _one_line("\n".join([printed, *logged[-5:]]))


def log_size(data: DataDir) -> int:
    """Return the length of Dovecot's log in bytes; 0 if there is none."""
    try:
        return data.event_log.stat().st_size
    except FileNotFoundError:
        return 0


def log_has(data: DataDir, since: int, text: str) -> bool:
    """Say whether Dovecot logged `text` after byte `since`."""
    return text in _tail(data.event_log, since)


def exit_text(returncode: int) -> str:
    """Return how a process ended, in words."""
    if returncode < 0:
        try:
            return f"ended by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"ended by signal {-returncode}"
    reason = _EXIT_REASONS.get(returncode)
    return f"exit code {returncode}: {reason}" if reason else f"exit code {returncode}"


async def end_session(session: int, is_ours: Callable[[int], bool] = lambda _: True) -> bool:
    """End a Dovecot with all its processes: its master first, in peace; then what is left; then by force.

    SIGTERM to the master alone leaves sessions that are in use alive for half a minute.

    Args:
        session: the number of the session, which is the master's pid.
        is_ours: says of a pid whether it may be signalled.

    Returns:
        Whether nothing is left of it.
    """
    steps: tuple[tuple[signal.Signals, bool, float], ...] = (
        (signal.SIGTERM, True, _MASTER_PATIENCE),
        (signal.SIGTERM, False, _SESSION_PATIENCE),
        (signal.SIGKILL, False, _KILL_PATIENCE),
    )
    for number, master_only, patience in steps:
        deadline = time.monotonic() + patience
        signalled: set[int] = set()
        while time.monotonic() < deadline:
            members = [pid for pid in session_members(session) if is_ours(pid)]
            if not members:
                return True
            targets = [pid for pid in members if pid == session] if master_only else _log_last(members)
            if not targets:
                break
            for pid in set(targets) - signalled:
                _signal_member(pid, session, number)
                signalled.add(pid)
            await asyncio.sleep(_POLL)
    return not [pid for pid in session_members(session) if is_ours(pid)]


def orphan_sessions(data: DataDir) -> list[int]:
    """Return the sessions of Dovecots of this DATA_DIR that nobody supervises any more.

    Known by the record of the last launch, and by the command line of a master that runs on this DATA_DIR's
    configuration. A process counts only if it is Dovecot's (`is_dovecot`).
    """
    candidates = {_recorded_session(data)} | {
        _session_of(pid) for pid in _all_pids() if _is_master_of(pid, configuration_path(data))
    }
    return [
        session
        for session in candidates
        if session and any(is_dovecot(pid) for pid in session_members(session))
    ]


def begin_run(data: DataDir) -> str | None:
    """Note that a supervisor runs, and say what cut off the one before: "kill", "power", or None if it ended in peace.

    Raises:
        OSError: if it cannot be written.
    """
    record = _run_record(data)
    try:
        before = record.read_text()
    except FileNotFoundError:
        before = ""
    record.write_text(_boot_id())
    if not before:
        return None
    return "kill" if before == _boot_id() else "power"


def end_run(data: DataDir) -> None:
    """Note that the supervisor ends in peace."""
    _run_record(data).unlink(missing_ok=True)


def log_process(session: int) -> int | None:
    """Return the pid of Dovecot's log process, through which all others log, or None if there is none."""
    return next(iter(log_processes(session)), None)


def log_processes(session: int) -> list[int]:
    """Return the pids of Dovecot's log processes: after a reload an older one serves the sessions from before."""
    return [pid for pid in session_members(session) if _is_log(pid)]


def forget_session(data: DataDir) -> None:
    """Remove what an ended Dovecot left: its record, and its master.pid, which would block a start."""
    _session_record(data).unlink(missing_ok=True)
    (data.base_dir / "master.pid").unlink(missing_ok=True)


def session_members(session: int) -> list[int]:
    """Return the living processes of a session."""
    return [pid for pid in _all_pids() if _session_of(pid) == session]


def is_dovecot(pid: int) -> bool:
    """Say whether a process is one of Dovecot's, by its program, or its title where that is hidden."""
    try:
        program = Path(str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)"))
    except PermissionError:
        title = _command_line(pid)[:1]
        return bool(title) and title[0].startswith("dovecot")
    except OSError:
        return False
    return program.name == "dovecot" or program.parent.name == "dovecot"


def _log_last(members: list[int]) -> list[int]:
    """Whom to signal: the log process only when it is alone, so that the ends of sessions are written down."""
    others = [pid for pid in members if not _is_log(pid)]
    return others or members


def _is_log(pid: int) -> bool:
    return (_command_line(pid) or [""])[0].endswith("/log")


def _is_master_of(pid: int, configuration: Path) -> bool:
    line = _command_line(pid)
    runs_on_it = any(pair == ("-c", str(configuration)) for pair in itertools.pairwise(line))
    return runs_on_it and _owner(pid) == os.geteuid() and is_dovecot(pid)


def _signal_member(pid: int, session: int, number: signal.Signals) -> None:
    """Signal a process, and surely no other one that was given its pid meanwhile."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _session_of(pid) == session:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _session_of(pid: int) -> int | None:
    """The session of a living process (proc(5), stat). Its name may hold anything, even a bracket."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, session = fields[0], int(fields[3])
    return None if state in "ZX" else session


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def _owner(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None


def _run_record(data: DataDir) -> Path:
    return data.dovecot / "supervisor.boot"


def _session_record(data: DataDir) -> Path:
    return data.dovecot / "session.json"


def _recorded_session(data: DataDir) -> int | None:
    """The session of the last launch in this boot of the machine; None if it has ended."""
    try:
        record = json.loads(_session_record(data).read_text())
        return int(record["session"]) if record["boot"] == _boot_id() else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _search(name: str, first: tuple[Path, ...]) -> Path | None:
    """Look in `first`, on PATH, and in sbin folders, which not everybody's PATH has."""
    folders = [str(folder) for folder in first] + os.get_exec_path() + list(_SYSTEM_FOLDERS)
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found) if found else None


def _is_program(path: Path) -> bool:
    return path.is_absolute() and path.is_file() and os.access(path, os.X_OK)


def _read_version(dovecot: Path) -> str:
    run = _run([str(dovecot), "--version"])
    words = run.stdout.split()
    if run.returncode != 0 or not words:
        raise Problem(f"{dovecot} --version fails ({_one_line(run.stderr)}): apt-get install {PACKAGES}.")
    return words[0]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_PROGRAM_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise Problem(f"{command[0]} cannot be run: {err}. Install {PACKAGES} again.") from err


def _bind(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((address, port))
        # With SO_REUSEADDR two sockets may be bound to one port; only one may listen.
        probe.listen(1)


def _listening() -> set[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    """What is listened on, by anybody (proc(5), net/tcp). To try binding would take the port for a moment."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            local, state = line.split()[1], line.split()[3]
            if state == _TCP_LISTEN:
                found.add(_socket_address(local))
    return found


def _socket_address(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """Read `0100007F:1F90`: an address in words of four bytes in the machine's order, and a port."""
    address, port = text.split(":")
    words = [bytes.fromhex(address[start : start + 8]) for start in range(0, len(address), 8)]
    packed = b"".join(int.from_bytes(word, "big").to_bytes(4, sys.byteorder) for word in words)
    return ipaddress.ip_address(packed), int(port, 16)


def _bind_message(err: OSError, setting: str, address: str, port: int) -> str:
    if err.errno == errno.EADDRINUSE:
        return f"Port {port} of {address} is taken by another program: end that program, or set {setting}."
    return f"{address} port {port} cannot be listened on ({err.strerror}): see MAIL_LISTEN and {setting}."


def _tail(path: Path, since: int) -> str:
    """The text from byte `since` on, 64 KiB at most; all of it if the file was replaced by a shorter one."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(since if since <= size else 0, size - 65536))
            return stream.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[-_MESSAGE_MAX:]
