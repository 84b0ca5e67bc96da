"""URLs of domains and mailboxes."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from panel.addresses import claim_views, list_views, settings_views, several_views, views


class DomainConverter(StringConverter):
    """A domain as it is stored."""

    regex = "[a-z0-9.-]{1,253}"


register_converter(DomainConverter, "domain")

urlpatterns = [
    path("domains/", views.list_domains, name="list_domains"),
    path("domains/new/", views.create_domain, name="create_domain"),
    path("domains/claims/", claim_views.list_domain_claims, name="list_domain_claims"),
    path("domains/claims/new/", claim_views.claim_domain, name="claim_domain"),
    path("customers/<int:pk>/claims/<domain:name>/", claim_views.show_domain_claim, name="show_domain_claim"),
    path(
        "customers/<int:pk>/claims/<domain:name>/check/",
        claim_views.check_domain_claim,
        name="check_domain_claim",
    ),
    path(
        "customers/<int:pk>/claims/<domain:name>/renew/",
        claim_views.renew_domain_claim,
        name="renew_domain_claim",
    ),
    path(
        "customers/<int:pk>/claims/<domain:name>/cancel/",
        claim_views.cancel_domain_claim,
        name="cancel_domain_claim",
    ),
    path("domains/<domain:name>/", views.show_domain, name="show_domain"),
    path("domains/<domain:name>/edit/", views.edit_domain, name="edit_domain"),
    path("domains/<domain:name>/protocols/", views.edit_domain_protocols, name="edit_domain_protocols"),
    path("domains/<domain:name>/storage/", views.limit_domain_storage, name="limit_domain_storage"),
    path("domains/<domain:name>/suspend/", views.suspend_domain, name="suspend_domain"),
    path("domains/<domain:name>/resume/", views.resume_domain, name="resume_domain"),
    path("domains/<domain:name>/delete/", views.delete_domain, name="delete_domain"),
    path("domains/<domain:name>/restore/", views.restore_domain, name="restore_domain"),
    path("domains/<domain:name>/settings/", settings_views.domain_settings, name="domain_settings"),
    path("mailboxes/", list_views.list_mailboxes, name="list_mailboxes"),
    path("mailboxes/usage/", list_views.show_usage, name="show_usage"),
    path("mailboxes/usage/now/", list_views.follow_usage, name="follow_usage"),
    path("mailboxes/suspend/", list_views.suspend_mailboxes, name="suspend_mailboxes"),
    path("mailboxes/resume/", list_views.resume_mailboxes, name="resume_mailboxes"),
    path("mailboxes/delete/", list_views.delete_mailboxes, name="delete_mailboxes"),
    path("mailboxes/new/", views.create_mailbox, name="create_mailbox"),
    path("mailboxes/new/several/", several_views.create_mailboxes, name="create_mailboxes"),
    path("mailboxes/<int:pk>/", views.show_mailbox, name="show_mailbox"),
    path("mailboxes/<int:pk>/usage/", views.show_mailbox_usage, name="show_mailbox_usage"),
    path("mailboxes/<int:pk>/settings/", views.show_mailbox_settings, name="show_mailbox_settings"),
    path("mailboxes/<int:pk>/rename/", views.rename_mailbox, name="rename_mailbox"),
    path("mailboxes/<int:pk>/edit/", views.edit_mailbox, name="edit_mailbox"),
    path("mailboxes/<int:pk>/password/", views.set_mailbox_password, name="set_mailbox_password"),
    path("mailboxes/<int:pk>/suspend/", views.suspend_mailbox, name="suspend_mailbox"),
    path("mailboxes/<int:pk>/resume/", views.resume_mailbox, name="resume_mailbox"),
    path("mailboxes/<int:pk>/delete/", views.delete_mailbox, name="delete_mailbox"),
    path("mailboxes/<int:pk>/restore/", views.restore_mailbox, name="restore_mailbox"),
    path("settings/", settings_views.platform_settings, name="platform_settings"),
    path("password-strength/", views.password_strength, name="password_strength"),
]
