"""URLs of the home page, the health check and the mail service."""

from django.urls import path

from panel.service import home_views, search_views, views

urlpatterns = [
    path("", home_views.home, name="home"),
    path("first-steps/hide/", home_views.hide_first_steps, name="hide_first_steps"),
    path("search/", search_views.search, name="search"),
    path("healthz", views.healthz, name="healthz"),
    path("service/", views.show_service, name="show_service"),
    path("service/start/", views.control_service, {"verb": "start"}, name="start_service"),
    path("service/stop/", views.control_service, {"verb": "stop"}, name="stop_service"),
    path("service/restart/", views.control_service, {"verb": "restart"}, name="restart_service"),
    path("service/reload/", views.control_service, {"verb": "reload"}, name="reload_service"),
]
