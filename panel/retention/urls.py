"""URLs of what becomes of messages that POP deletes, and of the way from POP to IMAP and back."""

from django.urls import path

from panel.retention import views

urlpatterns = [
    path("mailboxes/<int:pk>/pop/", views.set_mailbox_pop_policy, name="set_mailbox_pop_policy"),
    path("mailboxes/<int:pk>/to-imap/", views.switch_mailbox_to_imap, name="switch_mailbox_to_imap"),
    path("mailboxes/<int:pk>/to-pop/", views.switch_mailbox_to_pop, name="switch_mailbox_to_pop"),
]
