"""URLs of storage."""

from django.urls import path

from panel.quotas import views

urlpatterns = [
    path("mailboxes/<int:pk>/storage/", views.mailbox_storage, name="mailbox_storage"),
    path("customers/<int:pk>/storage/", views.customer_storage, name="customer_storage"),
    path("customers/<int:pk>/storage.csv", views.export_customer_storage, name="export_customer_storage"),
    path("storage/", views.platform_storage, name="platform_storage"),
    path("storage.csv", views.export_platform_storage, name="export_platform_storage"),
]
