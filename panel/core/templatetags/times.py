"""Template filters for times."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

register = template.Library()


@register.filter
def ago(value: datetime) -> str:
    """Say how far away a time is, in one unit: `just now`, `5 minutes ago`, `in 5 minutes`."""
    if value - timezone.now() >= timedelta(minutes=1):
        return _("in %(time)s") % {"time": timeuntil(value, depth=1)}
    if timezone.now() - value < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(value, depth=1)}


@register.filter
def duration(length: timedelta) -> str:
    """Say how long something took: `less than a second`, `12 seconds`, `3 min 20 s`, `1 h 5 min`."""
    seconds = int(length.total_seconds())
    if seconds < 1:
        return _("less than a second")
    if seconds < 60:
        return ngettext("%(count)s second", "%(count)s seconds", seconds) % {"count": seconds}
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": seconds}
    hours, minutes = divmod(minutes, 60)
    return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}
