"""URLs of a mailbox's connections."""

from django.urls import path

from panel.connections import mailbox_views, recover_views

urlpatterns = [
    path("mailboxes/<int:pk>/connections/", mailbox_views.mailbox_connections, name="mailbox_connections"),
    path("mailboxes/<int:pk>/gone/", mailbox_views.show_gone_mail, name="show_gone_mail"),
    path("mailboxes/<int:pk>/check/", mailbox_views.set_up_check, name="set_up_check"),
    path("mailboxes/<int:pk>/check/events/", mailbox_views.set_up_check_events, name="set_up_check_events"),
    path("mailboxes/<int:pk>/recover/", recover_views.list_removed_mail, name="list_removed_mail"),
    path(
        "mailboxes/<int:pk>/recover/restore/", recover_views.restore_removed_mail, name="restore_removed_mail"
    ),
    path("mailboxes/<int:pk>/recover/erase/", recover_views.erase_removed_mail, name="erase_removed_mail"),
]
