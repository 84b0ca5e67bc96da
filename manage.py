#!/usr/bin/env python
"""Restante's commands. Run by root, they become the service account first, which owns all that they touch."""

import os
import pwd
import sys

from mailbackend.paths import SERVICE_ACCOUNT


def become_service_account() -> None:
    """Leave root's account for the service's, groups and home included.

    Raises:
        SystemExit: if the account is not there yet.
    """
    try:
        account = pwd.getpwnam(SERVICE_ACCOUNT)
    except KeyError:
        sys.exit(f"There is no account {SERVICE_ACCOUNT} yet: run 'make run' once.")
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"] = account.pw_dir
    os.umask(0o077)


def main() -> None:
    """Run the command that the arguments name."""
    if os.geteuid() == 0:
        become_service_account()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "panel.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from panel.environment import EnvironmentProblem

    try:
        execute_from_command_line(sys.argv)
    except (EnvironmentProblem, ImproperlyConfigured) as err:
        sys.exit(str(err))


if __name__ == "__main__":
    main()
