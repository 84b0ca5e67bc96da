"""All URLs."""

from django.urls import include, path

urlpatterns = [
    path("", include("panel.service.urls")),
    path("", include("panel.accounts.urls")),
    path("", include("panel.accounts.people_urls")),
    path("", include("panel.addresses.urls")),
    path("", include("panel.addresses.customer_urls")),
    path("", include("panel.addresses.owner_urls")),
    path("", include("panel.connections.mailbox_urls")),
    path("", include("panel.connections.urls")),
    path("", include("panel.quotas.urls")),
    path("", include("panel.retention.urls")),
    path("", include("panel.clients.urls")),
    path("", include("panel.core.urls")),
]

handler400 = "panel.core.error_pages.bad_request"
handler500 = "panel.core.error_pages.server_error"
