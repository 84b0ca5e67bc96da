"""What `manage.py check` tells of mail programs."""

from __future__ import annotations

from typing import Any

from django.core import checks

from panel.clients.programs import broken_files


@checks.register("clients")
def check_own_files(**_options: Any) -> list[checks.CheckMessage]:
    """Warn of each file of the host's that cannot be used: ours are shown instead, so that nothing has to stop."""
    return [
        checks.Warning(
            str(broken),
            hint="See docs/mail-programs.md. Until it is mended, what Restante brings along is shown.",
            id="clients.W001",
        )
        for broken in broken_files()
    ]
