"""The barest Django page of 50 rows: one query, one template, no middleware. What lists are compared with."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path

from panel.addresses.models import Mailbox
from panel.connections.models import Connection

_TEMPLATE = engines["django"].from_string(
    "<!doctype html><title>Mailboxes</title><table>{% for row in rows %}"
    '<tr><td><a href="/{{ row.pk }}/">{{ row.address }}</a></td><td>{{ row.display_name }}</td></tr>'
    "{% endfor %}</table>"
)


def bare(request: HttpRequest) -> HttpResponse:
    """Show 50 mailboxes."""
    return HttpResponse(_TEMPLATE.render({"rows": Mailbox.objects.order_by("pk")[:50]}, request))


_LOG = engines["django"].from_string(
    "<!doctype html><title>Connections</title><table>{% for row in rows %}"
    '<tr><td><a href="/{{ row.pk }}/">{{ row.address }}</a></td><td>{{ row.remote_ip }}</td></tr>'
    "{% endfor %}</table>"
)


def bare_log(request: HttpRequest) -> HttpResponse:
    """Show 50 connections."""
    return HttpResponse(_LOG.render({"rows": Connection.objects.order_by("-pk")[:50]}, request))


urlpatterns = [path("", bare), path("log/", bare_log)]
