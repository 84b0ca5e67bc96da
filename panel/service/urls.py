"""URLs of the home page and the health check."""

from django.urls import path

from panel.service import views

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
]
