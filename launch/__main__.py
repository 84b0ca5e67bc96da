"""`python3 -m launch COMMAND`: see `launch.USAGE`.

The first stage runs with whatever Python 3 the machine has, so this module is read by old ones too and
imports the rest only when its version is known. The second stage is imported only inside the venv.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

USAGE = """usage: python3 -m launch COMMAND

With Debian's Python:
  run            prepare the machine, then start Restante in the foreground
  test-setup     prepare the machine for the tests
  prepare        prepare the machine, start nothing

With .venv/bin/python:
  start          start Restante in the foreground, the machine being prepared
  setup          make DATA_DIR and what stands in it, start nothing
  program NAME   become one of the processes: redis, mail, web, worker, beat"""


def main(arguments: list[str]) -> int:
    """Run one command.

    Args:
        arguments: what follows `python3 -m launch`.

    Returns:
        The exit code, unless the command has become another program: 0; 1 for a machine that is not as
        needed; 2 for a wrong command or setting; otherwise that of the first run.
    """
    # An older one than the project is written for is exactly what this line is about.
    if sys.version_info < (3, 11):  # noqa: UP036
        found = ".".join(str(part) for part in sys.version_info[:2])
        print(
            f"python3 is version {found}; Restante needs Python 3.11 or newer (Debian 12 or newer). "
            "If there is another one: make run PYTHON=/usr/bin/python3",
            file=sys.stderr,
        )
        return 1
    from launch.problem import LaunchProblem

    # As Ctrl-C: what has been begun is put back, and children are not left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _dispatch(arguments)
    except LaunchProblem as problem:
        print(problem, file=sys.stderr)
        return problem.exit_code
    except OSError as err:
        if err.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"{err.strerror}: make room on the disk that DATA_DIR lies on, then start again.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        return 130


def _dispatch(arguments: list[str]) -> int:
    from launch.problem import become_program

    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("run", "test-setup", "prepare") and not rest:
        from launch import prepare

        prepare.prepare(for_tests=command == "test-setup")
        if command == "run":
            os.chdir(prepare.CHECKOUT)
            become_program([str(prepare.VENV_PYTHON), "-B", "-m", "launch", "start"])
        return 0
    if command == "install-packages" and rest:
        from launch import packages

        packages.install_as_root(rest)
        return 0
    if (command in ("start", "setup") and not rest) or (command == "program" and len(rest) == 1):
        from launch import start

        if command == "start":
            return start.start()
        return start.setup() if command == "setup" else start.become(rest[0])
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
