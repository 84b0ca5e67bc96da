"""URLs of mailboxes' owners."""

from django.urls import path

from panel.addresses import owner_views

urlpatterns = [
    path(
        "account/mailbox-password/",
        owner_views.change_own_mailbox_password,
        name="change_own_mailbox_password",
    ),
    path("mailboxes/<int:pk>/password-link/", owner_views.make_password_link, name="make_password_link"),
    path("mailbox-password/", owner_views.choose_mailbox_password, name="choose_mailbox_password"),
]
