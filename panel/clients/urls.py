"""URLs of what mail programs and their owners are told."""

from __future__ import annotations

import re

from django.urls import path, re_path

from panel.clients import choice_views, dns_views, format_views, guide_views, trust_views


def _any_case(text: str) -> str:
    """Return an expression for a path in any letter case; `reverse` takes the small letters."""
    letters = (f"[{letter}{letter.upper()}]" if letter.isalpha() else re.escape(letter) for letter in text)
    return "".join(letters)


urlpatterns = [
    path(
        ".well-known/autoconfig/mail/config-v1.1.xml",
        format_views.show_autoconfig,
        name="well_known_autoconfig",
    ),
    re_path(
        # Some name the address in the path.
        rf"^{_any_case('autodiscover/autodiscover.json')}(?:/v1\.0/[^/]+)?/?$",
        format_views.show_autodiscover_json,
        name="autodiscover_json",
    ),
    re_path(
        rf"^{_any_case('autodiscover/autodiscover.xml')}$",
        format_views.answer_autodiscover,
        name="autodiscover",
    ),
    path("domains/<domain:name>/dns/", dns_views.domain_dns, name="domain_dns"),
    path("domains/<domain:name>/dns/download/", dns_views.download_domain_zone, name="download_domain_zone"),
    path("mail/config-v1.1.xml", format_views.show_autoconfig, name="autoconfig"),
    path("mailboxes/<int:pk>/setup/", guide_views.set_up_mailbox, name="set_up_mailbox"),
    path("pop-or-imap/", choice_views.pop_or_imap, name="pop_or_imap"),
    path("setup/", guide_views.setup_address, name="setup_address"),
    path("setup/ca.crt", trust_views.authority_certificate, name="authority_certificate"),
    path("setup/code.svg", format_views.show_code, name="setup_code"),
    path("setup/profile.mobileconfig", format_views.download_profile, name="setup_profile"),
]
