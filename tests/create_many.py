"""`python -m tests.create_many DOMAIN COUNT`: create mailboxes through the service, one after the other.

Each address is printed when its creation has returned. Tests kill it halfway.
"""

from __future__ import annotations

import os
import sys

from manage import become_service_account

PASSWORD = "a-good-passw0rd"


def main(domain_name: str, count: int) -> None:
    """Create `count` mailboxes in a domain."""
    import django

    django.setup()
    from panel.addresses import selectors, services

    domain = selectors.get_domain(domain_name)
    for number in range(count):
        mailbox = services.create_mailbox(domain=domain, local_part=f"box{number}", password=PASSWORD)
        sys.stdout.write(f"{mailbox.address}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if os.geteuid() == 0:
        become_service_account()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "panel.settings")
    main(sys.argv[1], int(sys.argv[2]))
