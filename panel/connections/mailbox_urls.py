"""URLs of a mailbox's connections."""

from django.urls import path

from panel.connections import mailbox_views

urlpatterns = [
    path("mailboxes/<int:pk>/connections/", mailbox_views.mailbox_connections, name="mailbox_connections"),
    path("mailboxes/<int:pk>/check/", mailbox_views.set_up_check, name="set_up_check"),
    path("mailboxes/<int:pk>/check/events/", mailbox_views.set_up_check_events, name="set_up_check_events"),
]
