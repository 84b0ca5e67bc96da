"""URLs of customers."""

from django.urls import path

from panel.addresses import customer_views as views
from panel.addresses import settings_views

urlpatterns = [
    path("customers/", views.list_customers, name="list_customers"),
    path("customers/new/", views.create_customer, name="create_customer"),
    path("customers/<int:pk>/", views.show_customer, name="show_customer"),
    path("customers/<int:pk>/edit/", views.edit_customer, name="edit_customer"),
    path("customers/<int:pk>/settings/", settings_views.customer_settings, name="customer_settings"),
    path("customers/<int:pk>/suspend/", views.suspend_customer, name="suspend_customer"),
    path("customers/<int:pk>/resume/", views.resume_customer, name="resume_customer"),
    path("customers/<int:pk>/delete/", views.delete_customer, name="delete_customer"),
]
