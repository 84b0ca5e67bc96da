"""URLs of the connection log."""

from django.urls import path

from panel.connections import views

urlpatterns = [
    path("connections/", views.list_connections, name="list_connections"),
    path("connections/connections.csv", views.export_csv, name="export_connections_csv"),
    path("connections/connections.json", views.export_json, name="export_connections_json"),
    path("connections/address/", views.show_connection_address, name="show_connection_address"),
    path("connections/ip/<str:ip>/", views.show_connection_ip, name="show_connection_ip"),
    path("connections/<int:pk>/", views.show_connection, name="show_connection"),
]
