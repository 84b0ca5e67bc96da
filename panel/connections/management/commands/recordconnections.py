"""recordconnections."""

from __future__ import annotations

import logging
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from panel.connections import recorder
from panel.core import mail

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """The recorder, as a process that runs until it is told to end."""

    help = gettext_noop("Store what the mail service's log says as connections, until told to end.")
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Record until SIGTERM or Ctrl-C."""
        running = [True]

        def stop(*_: object) -> None:
            running[0] = False

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        data = settings.DATA_DIR
        try:
            with recorder.alone(data):
                logger.info("The connection log is recorded.")
                recorder.run(data, mail.node(), lambda: running[0])
        except recorder.AlreadyRunning as err:
            raise CommandError(_("Another recorder is at work on this DATA_DIR.")) from err
