"""URLs of what mail programs and their owners are told."""

from __future__ import annotations

from django.urls import path

from panel.clients import choice_views, dns_views, trust_views

urlpatterns = [
    path("domains/<domain:name>/dns/", dns_views.domain_dns, name="domain_dns"),
    path("domains/<domain:name>/dns/download/", dns_views.download_domain_zone, name="download_domain_zone"),
    path("pop-or-imap/", choice_views.pop_or_imap, name="pop_or_imap"),
    path("setup/ca.crt", trust_views.authority_certificate, name="authority_certificate"),
]
