"""What needs attention: copies that ended early, because mailboxes were almost full; purges that ask."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from panel.accounts.models import User
from panel.accounts.selectors import own_customers
from panel.core.attention import Item
from panel.core.models import AuditEntry
from panel.core.said import in_words
from panel.retention.kept_copies import ENDED_EARLY
from panel.retention.making_room import TOLD_FOR
from panel.retention.models import PurgeRun

#: Purges that are named.
RUNS_NAMED = 3
#: Entries of the audit trail that are looked at: it is told that mailboxes were almost full, not each time.
LOOKED_AT = 200


def for_customers_people(person: User, now: datetime) -> Iterator[Item]:
    """Return what needs the people of a customer."""
    entries = AuditEntry.objects.filter(
        action=ENDED_EARLY,
        customer_id__in=[each.pk for each in own_customers(person)],
        at__gte=now - TOLD_FOR,
    )
    found = set(entries.values_list("target_id", flat=True)[:LOOKED_AT])
    if not found:
        return
    yield Item(
        level="warning",
        text=ngettext(
            "%(number)s mailbox was almost full: its oldest copies of what POP deleted ended early.",
            "%(number)s mailboxes were almost full: their oldest copies of what POP deleted ended early.",
            len(found),
        )
        % {"number": len(found)},
        otherwise=_(
            "They can still be recovered. With more room, or less mail, copies are kept for all of their days."
        ),
        url=reverse("show_mailbox", args=[next(iter(found))])
        if len(found) == 1
        else f"{reverse('list_mailboxes')}?sort=-used_bytes",
        action=_("See which"),
    )


def for_admins() -> Iterator[Item]:
    """Return what needs the administrators: purges that stopped to ask."""
    for run in PurgeRun.objects.filter(state=PurgeRun.State.STOPPED)[:RUNS_NAMED]:
        yield Item(
            level="error",
            text=_("A purge stopped and asks. %(why)s") % {"why": in_words(run.stopped_because)},
            otherwise=_("Nothing more is purged by it until somebody lets it go on, or cancels it."),
            url=reverse("show_purge_run", args=[run.pk]),
            action=_("See the purge"),
        )
