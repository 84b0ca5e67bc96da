"""URLs of signing in and of one's own account. The names with account_, mfa_ and usersessions_ are django-allauth's.

What of allauth is not here is closed: signing up, and managing e-mail addresses.
"""

from django.urls import path, re_path
from django.views.generic import TemplateView

from panel.accounts import account_views, language_views, views
from panel.accounts.access import open_to_owners

urlpatterns = [
    path("sign-in/", views.sign_in, name="account_login"),
    path("sign-in/code/", views.sign_in_by_code, name="mfa_authenticate"),
    path("sign-in/passkey/", views.sign_in_by_passkey, name="mfa_login_webauthn"),
    path("sign-out/", views.sign_out, name="account_logout"),
    path("password/forgotten/", views.ask_for_reset, name="account_reset_password"),
    path(
        "password/forgotten/sent/",
        open_to_owners(TemplateView.as_view(template_name="accounts/reset_sent.html")),
        name="account_reset_password_done",
    ),
    path("password/new/", views.open_reset_link, name="open_reset_link"),
    re_path(
        r"^password/new/(?P<uidb36>[0-9A-Za-z]{1,20})-(?P<key>set-password)/$",
        views.reset_password,
        name="account_reset_password_from_key",
    ),
    path(
        "password/new/done/",
        open_to_owners(TemplateView.as_view(template_name="accounts/reset_done.html")),
        name="account_reset_password_from_key_done",
    ),
    path("language/", language_views.choose_language, name="choose_language"),
    path("account/", account_views.show_account, name="show_account"),
    path("account/password/", views.change_password, name="change_password"),
    path("account/confirm/", views.confirm_password, name="account_reauthenticate"),
    path("account/confirm/code/", views.confirm_code, name="mfa_reauthenticate"),
    path("account/confirm/passkey/", views.confirm_passkey, name="mfa_reauthenticate_webauthn"),
    path("account/app/", account_views.add_app, name="mfa_activate_totp"),
    path("account/app/remove/", account_views.remove_app, name="mfa_deactivate_totp"),
    path("account/passkeys/", account_views.list_passkeys, name="mfa_list_webauthn"),
    path("account/passkeys/add/", account_views.add_passkey, name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/name/", account_views.rename_passkey, name="mfa_edit_webauthn"),
    path("account/passkeys/<int:pk>/remove/", account_views.remove_passkey, name="mfa_remove_webauthn"),
    path("account/codes/", account_views.show_codes, name="mfa_view_recovery_codes"),
    path("account/codes/download/", account_views.download_codes, name="mfa_download_recovery_codes"),
    path("account/codes/new/", account_views.make_codes, name="mfa_generate_recovery_codes"),
    path("account/sessions/", account_views.list_sessions, name="usersessions_list"),
    path("account/sessions/end/", account_views.end_other_sessions, name="end_other_sessions"),
    path("account/sessions/<int:pk>/end/", account_views.end_session, name="end_session"),
]
