"""Which parts work. A part is "ok" or says in a word what is wrong."""

from __future__ import annotations

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django_redis import get_redis_connection
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

from mailbackend.supervisor.control import ControlRefused, SupervisorDown
from panel.connections.recorder import is_at_work
from panel.core import mail
from panel.core.tasks import WORKER_SEEN

OK = "ok"


def parts() -> dict[str, str]:
    """Return the state of each part."""
    return {
        "database": _database(),
        "redis": _redis(),
        "mail": _mail(),
        "recorder": _recorder(),
        "worker": _worker(),
    }


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "down"
    return OK


def _redis() -> str:
    try:
        get_redis_connection().ping()
    except (RedisError, ConnectionInterrupted, OSError):
        return "down"
    return OK


def _mail() -> str:
    try:
        status = mail.service_status()
    except (SupervisorDown, ControlRefused):
        return "down"
    return OK if status.state == "RUNNING" else status.state.lower()


def _recorder() -> str:
    return OK if is_at_work(settings.DATA_DIR) else "down"


def _worker() -> str:
    return OK if cache.get(WORKER_SEEN) else "down"
