"""Commands in forks of a process that has imported the panel: importing it anew takes longer than most commands.

What runs is manage.py, with arguments, standard streams and environment of its own, as whoever started this process.
tests.stand starts one for each stand, and runs some commands without it: those show that a new Python does the same.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

#: Before a request stands how long it is, and an exit code is the whole answer.
_LENGTH, _CODE = struct.Struct("!I"), struct.Struct("!i")


def run(
    server: Path, arguments: list[str], environment: dict[str, str], given: bytes, timeout: float
) -> tuple[int, bytes, bytes]:
    """Run a command, and return its exit code and what it wrote to standard output and standard error.

    Args:
        server: the socket of the process that has imported the panel.
        arguments: those of manage.py.
        environment: all of its environment.
        given: its standard input.
        timeout: seconds.

    Raises:
        OSError: if nobody listens, or it takes longer.
    """
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write(given)
        stdin.seek(0)
        request = json.dumps([arguments, environment]).encode("ascii")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            client.connect(str(server))
            streams = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
            socket.send_fds(client, [_LENGTH.pack(len(request))], streams)
            client.sendall(request)
            answer = _read(client, _CODE.size)
        stdout.seek(0)
        stderr.seek(0)
        return int(_CODE.unpack(answer)[0]), stdout.read(), stderr.read()


def serve(path: Path) -> NoReturn:
    """Import the panel, then run what is asked for until this process is ended."""
    _import_the_panel()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{path}.new")
    listener.listen(16)
    Path(f"{path}.new").rename(path)  # whoever finds it can connect
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        client, _address = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(client)
        client.close()


def _import_the_panel() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "panel.settings")
    import django
    from django.core.management import get_commands, load_command_class

    django.setup()
    for name, part in get_commands().items():
        if str(part).startswith("panel."):
            load_command_class(str(part), name)


def _answer(client: socket.socket) -> NoReturn:
    """Run the one command that a client asks for, in a process of its own, and tell its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, streams, _flags, _address = socket.recv_fds(client, _LENGTH.size, 3)
    request = _read(client, _LENGTH.unpack(length)[0])
    pid = os.fork()
    if pid == 0:
        client.close()
        arguments, environment = json.loads(request)
        _run(arguments, environment, streams)
    _pid, status = os.waitpid(pid, 0)
    with suppress(OSError):
        client.send(_CODE.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _run(arguments: list[str], environment: dict[str, str], streams: list[int]) -> NoReturn:
    """Be a new manage.py, as far as it can tell."""
    import manage

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # As Python opens them where the language is C.UTF-8.
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["manage.py", *arguments]
    code = 1
    try:
        manage.main()
        code = 0
    except SystemExit as end:
        code = _code_of(end)
    except BaseException:  # noqa: BLE001 - as Python ends with whatever nobody caught
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _read(connection: socket.socket, size: int) -> bytes:
    """Return just so many bytes.

    Raises:
        OSError: if the other side ends before.
    """
    found = b""
    while len(found) < size:
        some = connection.recv(size - len(found))
        if not some:
            raise OSError("The process that runs commands ended.")
        found += some
    return found


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


def start(
    command: list[str], path: Path, environment: dict[str, str], checkout: Path
) -> subprocess.Popen[bytes]:
    """Start such a process.

    Args:
        command: what comes before this module's name: Python, and how to be somebody else.
        path: the socket to make.
        environment: with which the panel is imported.
        checkout: where the product lies.
    """
    return subprocess.Popen(
        [*command, "-m", "tests.warm_commands", str(path)],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
