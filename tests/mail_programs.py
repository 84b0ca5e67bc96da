"""What tests of people's mail programs share: programs run in a home of their own, as nobody, and their Maildirs."""

from __future__ import annotations

import contextlib
import mailbox
import os
import pty
import subprocess
import termios
import threading
from pathlib import Path

#: Debian's uid and gid of nobody.
NOBODY = 65534
#: Subjects of a mailbox with two messages besides the welcome.
ALL = ["First", "Second", "Welcome to your mailbox"]


def run_on_a_terminal(*command: str, home: Path, typed: str = "", fine: tuple[int, ...] = (0,)) -> str:
    """Run a command on a terminal of its own, which some ask for a password and some draw on.

    Args:
        command: the program and its arguments.
        home: where it finds its settings, and leaves mail; programs in its folder `bin` come before the system's.
        typed: what somebody types when the program asks for the password.
        fine: the exit codes that are no failure.

    Returns:
        what it said, or drew.
    """
    ours, its = pty.openpty()
    # Of a terminal without a size newer versions of ncurses say that they cannot open it.
    termios.tcsetwinsize(its, (24, 80))
    process = subprocess.Popen(
        as_nobody("setsid", "--ctty", *command, home=home),
        env={
            "PATH": f"{home}/bin:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
        },
        cwd=home,
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    said = bytearray()

    def look() -> None:
        waiting = typed.encode()
        # The terminal's end is an error, once nobody holds its other side.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 4096):
                said.extend(data)
                if waiting and b"assword" in said:
                    os.write(ours, waiting + b"\n")
                    waiting = b""

    looking = threading.Thread(target=look)
    looking.start()
    try:
        code = process.wait(60)
    finally:
        process.kill()
        process.wait()
        looking.join()
        os.close(ours)
    text = said.decode("utf-8", "replace")
    assert code in fine, f"{command}: {code}\n{text}"
    return text


def as_nobody(*command: str, home: Path) -> tuple[str, ...]:
    """Return a command that is not run as root, which some mail programs refuse; the home is theirs."""
    if os.geteuid() != 0:
        return command
    belongs_to_nobody(home)
    return "setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *command


def belongs_to_nobody(home: Path) -> None:
    """Give a home, with all in it, to whom programs run as."""
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def subjects(folder: Path) -> list[str]:
    """Return the subjects in a Maildir."""
    return sorted(str(message["Subject"]) for message in mailbox.Maildir(folder, create=False))
