"""URLs of a mailbox's connections."""

from django.urls import path

from panel.connections import device_views, mailbox_views, recover_views

urlpatterns = [
    path("mailboxes/<int:pk>/connections/", mailbox_views.mailbox_connections, name="mailbox_connections"),
    path("mailboxes/<int:pk>/gone/", mailbox_views.show_gone_mail, name="show_gone_mail"),
    path("mailboxes/<int:pk>/devices/", device_views.list_devices, name="list_devices"),
    path("mailboxes/<int:pk>/devices/new/", device_views.create_device, name="create_device"),
    path("mailboxes/<int:pk>/devices/required/", device_views.require_devices, name="require_devices"),
    path(
        "mailboxes/<int:pk>/devices/disconnect/",
        device_views.end_mailbox_sessions,
        name="end_mailbox_sessions",
    ),
    path(
        "mailboxes/<int:pk>/devices/unknown/<int:connection_pk>/",
        device_views.report_device,
        name="report_device",
    ),
    path("mailboxes/<int:pk>/devices/<int:device_pk>/edit/", device_views.edit_device, name="edit_device"),
    path("mailboxes/<int:pk>/devices/<int:device_pk>/renew/", device_views.renew_device, name="renew_device"),
    path(
        "mailboxes/<int:pk>/devices/<int:device_pk>/revoke/",
        device_views.revoke_device,
        name="revoke_device",
    ),
    path(
        "mailboxes/<int:pk>/notices/<slug:kind>/dismiss/",
        mailbox_views.dismiss_mailbox_notice,
        name="dismiss_mailbox_notice",
    ),
    path("mailboxes/<int:pk>/check/", mailbox_views.set_up_check, name="set_up_check"),
    path("mailboxes/<int:pk>/check/events/", mailbox_views.set_up_check_events, name="set_up_check_events"),
    path("mailboxes/<int:pk>/recover/", recover_views.list_removed_mail, name="list_removed_mail"),
    path(
        "mailboxes/<int:pk>/recover/restore/", recover_views.restore_removed_mail, name="restore_removed_mail"
    ),
    path("mailboxes/<int:pk>/recover/erase/", recover_views.erase_removed_mail, name="erase_removed_mail"),
]
