"""Debian 13 in a folder: the tests that need a real Dovecot, run inside it with its Dovecot 2.4 and its Python.

`python3 -B -m tests.debian13 [ARGUMENTS OF PYTEST]`, as root. The folder is made once by debootstrap and kept
outside the checkout; what is tested is a copy of the checkout's files, made anew each time. All that is mounted
or started for it lives in namespaces of its own, and ends with this process, however that ends.

Standard library only: it runs before there is a virtual environment.
"""

from __future__ import annotations

import configparser
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from launch.account import SERVICE_ACCOUNT
from launch.problem import LaunchProblem, say

CHECKOUT = Path(__file__).resolve().parent.parent

#: Where the folder is kept, unless this variable names another place.
PLACE = "RESTANTE_DEBIAN_13"
_DEFAULT_PLACE = "restante/debian-13"

_SUITE = "trixie"
#: What the folder holds before the project itself installs what it needs; a change makes the folder anew.
_PACKAGES = ("ca-certificates", "python3")
#: Where the copy of the checkout lies inside; its `.venv` stays from run to run.
_INSIDE = "opt/restante"
#: The argument of the step that runs in namespaces of its own.
_IN_NAMESPACE = "--in-namespace"

#: Runs a command in namespaces for mounts and processes: it is killed with this process, and all of them with it.
_APART = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
)

#: Both need a running Dovecot, and are run by each kind of starter.
DEFAULT_TESTS = ("tests/live", "tests/mailbackend")

_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PASSED_ON = re.compile(r"(https?|ftp|all|no)_proxy\Z|PIP_|(SSL_CERT|REQUESTS_CA|CURL_CA)_", re.IGNORECASE)
#: apt's settings about how to reach a mirror, not about this machine.
_APT_SETTING = re.compile(r"Acquire::(https?|ftp|Check-|Retries|ForceIPv)")


def main(arguments: list[str]) -> int:
    """Run the tests, or the step of it that `arguments` names.

    Args:
        arguments: what pytest gets; none for `DEFAULT_TESTS`.

    Returns:
        0 if all tests passed; 1 if not, or if the folder could not be made.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments[:1] == [_IN_NAMESPACE]:
            return _run_inside(Path(arguments[1]), arguments[2:])
        return _run(arguments)
    except LaunchProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return problem.exit_code
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if os.geteuid() != 0:
        raise LaunchProblem("A Debian 13 folder needs root: sudo make test-dovecot24")
    os.umask(0o022)  # the ordinary user inside must be able to read what is put there
    place = _place()
    with _alone(place):
        root = place / "root"
        _ensure_folder(place, root)
        _copy_checkout(root / _INSIDE)
        _copy_settings(root)
        say(f"Running in {root}.")
        command = [*_APART, sys.executable, "-B", "-m", "tests.debian13", _IN_NAMESPACE, str(root)]
        with subprocess.Popen([*command, *arguments], cwd=CHECKOUT) as step:
            try:
                return step.wait()
            except KeyboardInterrupt:
                step.kill()
                raise


def _place() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "/var/cache"
    place = Path(os.environ.get(PLACE) or Path(cache) / _DEFAULT_PLACE)
    if not place.is_absolute() or CHECKOUT in (place, *place.parents):
        raise LaunchProblem(f"{PLACE} is {place}: give an absolute path outside the checkout.")
    return place


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep two runs from using one folder at once."""
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another run in {place}.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# --- the folder


def _ensure_folder(place: Path, root: Path) -> None:
    """Make the folder, unless the marker says that it was finished, by this recipe."""
    marker, recipe = place / "finished", " ".join([_SUITE, *_PACKAGES])
    if root.is_dir() and marker.exists() and marker.read_text() == recipe:
        return
    marker.unlink(missing_ok=True)
    if root.exists():
        say(f"{root} is half made or of another recipe: making it again.")
        shutil.rmtree(root)
    if not shutil.which("debootstrap"):
        say("Installing the package debootstrap.")
        _must(["apt-get", "install", "-y", "-q", "--no-install-recommends", "debootstrap"])
    mirror = _mirrors()["Debian"]
    say(f"Making a Debian 13 folder, {root}: once, a minute or two.")
    command = [*_APART, "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
    _must([*command, _SUITE, str(root), mirror], log=place / "debootstrap.log")
    marker.write_text(recipe)


def _mirrors() -> dict[str, str]:
    """Return where this machine gets Debian from, by the repositories' labels.

    Raises:
        LaunchProblem: if its apt knows no mirror of Debian.
    """
    command = ["apt-get", "indextargets", "--format", "$(LABEL)\t$(REPO_URI)", "Created-By: Packages"]
    for _attempt in range(2):
        found = dict(line.split("\t") for line in reversed(_output(command).splitlines()))
        if "Debian" in found:
            return found
        _must(["apt-get", "update", "-q"])
    raise LaunchProblem("apt knows no mirror of Debian: see /etc/apt/sources.list, then start again.")


def _must(command: Sequence[str], log: Path | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    stream = log.open("wb") if log else None
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=False
        )
    finally:
        if stream:
            stream.close()
    if done.returncode:
        where = f"see {log}" if log else "its messages are above"
        raise LaunchProblem(f"{shlex.join(command)} failed; {where}. When solved, start again.")


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LaunchProblem(f"{shlex.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def _copy(source: Path, copy: Path) -> None:
    """Copy a file; a link that lies in its place is replaced, not followed out of the folder."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.unlink(missing_ok=True)
    shutil.copyfile(source, copy)


def _copy_checkout(target: Path) -> None:
    """Copy what git tracks, and what it would, over the copy of the run before."""
    git = ["git", "-c", f"safe.directory={CHECKOUT}", "-C", str(CHECKOUT)]
    listed = _output([*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    for old in target.iterdir():
        if old.name != ".venv":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in filter(None, listed.split("\0")):
        source, copy = CHECKOUT / name, target / name
        if source.is_file() and not source.is_symlink():
            _copy(source, copy)
            copy.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


# --- what apt and pip need inside, to reach what they reach outside


def _copy_settings(root: Path) -> None:
    bundles = {_CA_BUNDLE, *(Path(value) for value in _environment().values() if value.startswith("/"))}
    for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"), *bundles):
        if path.is_file():
            _copy(path, root / path.relative_to("/"))
    _write_apt_settings(root / "etc/apt")


def _write_apt_settings(folder: Path) -> None:
    mirrors = _mirrors()
    sources = [f"deb {mirrors['Debian']} {suite} main" for suite in (_SUITE, f"{_SUITE}-updates")]
    if security := mirrors.get("Debian-Security"):
        sources.append(f"deb {security} {_SUITE}-security main")
    (folder / "sources.list").write_text("\n".join(sources) + "\n")
    dumped = _output(["apt-config", "dump", "--no-empty"])
    kept = [line for line in dumped.splitlines() if _APT_SETTING.match(line)]
    (folder / "apt.conf.d" / "90of-the-host").write_text("\n".join(kept) + "\n")


def _environment() -> dict[str, str]:
    """Return the variables that say how to reach registries."""
    return {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}


def _pip_paths() -> dict[Path, str]:
    """Return what pip reads on this machine, and where it must lie inside: its files, and folders they name.

    The places are those of pip's documentation ("Configuration files"), root's being the user's.
    """
    home = Path.home()
    xdg = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    files = {Path(folder) / "pip/pip.conf": "" for folder in xdg.split(":")} | {Path("/etc/pip.conf"): ""}
    files |= {home / ".pip/pip.conf": "root/.pip/pip.conf", user: "root/.config/pip/pip.conf"}
    if named := os.environ.get("PIP_CONFIG_FILE"):
        files[Path(named)] = ""
    there = {path: inside or str(path.relative_to("/")) for path, inside in files.items() if path.is_file()}
    values = [value for name, value in os.environ.items() if name.startswith("PIP_")]
    for path in there:
        values += _values(path)
    for place in _places(values):
        there.setdefault(place, str(place.relative_to("/")))
    return there


def _values(path: Path) -> list[str]:
    parser = configparser.RawConfigParser()
    parser.read(path)
    return [value for section in parser.sections() for _, value in parser.items(section)]


def _places(values: Sequence[str]) -> Iterator[Path]:
    """Yield the files and folders that settings of pip name."""
    for word in " ".join(values).split():
        path = Path(word.removeprefix("file://"))
        if not path.is_absolute() or not path.exists():
            continue
        # An index names its files by links (PEP 503), often into a folder beside it.
        is_index = word.startswith("file://") and path.is_dir() and len(path.parts) > 2
        yield path.parent if is_index else path


# --- in namespaces of its own, as their first process


def _run_inside(root: Path, arguments: list[str]) -> int:
    """Mount what the folder needs, and run set-up and tests in it."""
    _mount("-t", "proc", "proc", at=root / "proc")
    _mount("--rbind", "/dev", at=root / "dev")
    _mount("--rbind", "/sys", at=root / "sys")
    for name in ("tmp", "run"):
        _mount("-t", "tmpfs", "-o", f"mode={'1777' if name == 'tmp' else '755'}", "tmpfs", at=root / name)
    for path, inside in _pip_paths().items():
        if path != _CA_BUNDLE:
            _mount_read_only(path, root / inside)
    os.chroot(root)
    os.chdir(f"/{_INSIDE}")
    environment = {
        **_environment(),
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM": os.environ.get("TERM", "dumb"),
    }
    if code := _as_first_process(["/usr/bin/python3", "-B", "-m", "launch", "test-setup"], environment):
        return code
    pytest = [".venv/bin/python", "-B", "-m", "pytest", "-p", "no:cacheprovider"]
    chosen = arguments or ["-n", "2", *DEFAULT_TESTS]
    ordinary, ordinary_environment = [*_as_ordinary_user(), *pytest], environment | {"HOME": "/tmp"}
    failed = _tests("root", [*pytest, "--privileges", "root", *chosen], environment)
    failed |= _tests("an ordinary user", [*ordinary, *chosen], ordinary_environment)
    if not arguments:
        story = [*ordinary, "-n", "2", "--database", "postgres", "tests/live/test_smoke.py"]
        failed |= _tests("an ordinary user, on PostgreSQL", story, ordinary_environment)
    return failed


def _tests(who: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    say(f"Tests on Debian 13, started by {who}:")
    return min(_as_first_process(command, environment), 1)


def _as_ordinary_user() -> list[str]:
    return ["setpriv", "--reuid", SERVICE_ACCOUNT, "--regid", SERVICE_ACCOUNT, "--init-groups"]


def _as_first_process(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command, and be the parent of what others leave behind, as the first process of a machine is."""
    child = os.posix_spawnp(command[0], list(command), environment)
    while True:
        pid, status = os.wait()
        if pid == child:
            return abs(os.waitstatus_to_exitcode(status))


def _mount(*arguments: str, at: Path) -> None:
    at.mkdir(parents=True, exist_ok=True)
    _must(["mount", *arguments, str(at)])


def _mount_read_only(path: Path, at: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        at.mkdir(exist_ok=True)
    else:
        at.touch()
    _must(["mount", "--bind", str(path), str(at)])
    _must(["mount", "-o", "remount,bind,ro", str(at)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
