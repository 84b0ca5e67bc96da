"""What the audit trail says of signing in."""

from django.utils.translation import gettext_lazy as _

from panel.core.audit import describe_actions

describe_actions(
    {
        "sign_in.succeeded": _("Signed in"),
        "sign_in.failed": _("A sign-in with a wrong password"),
        "sign_in.code_failed": _("A sign-in with a wrong code"),
        "sign_in.limited": _("Too many tries: sign-ins were refused for a while"),
        "sign_in.reset_requested": _("Asked for a link to set a new password"),
        "sign_in.reset": _("Set a new password by a mailed link"),
        "sign_in.password_changed": _("Changed their password"),
        "sign_in.language_changed": _("Changed their language"),
        "sign_in.totp_added": _("Added an authenticator app"),
        "sign_in.totp_removed": _("Removed the authenticator app"),
        "sign_in.passkey_added": _("Added a passkey"),
        "sign_in.passkey_removed": _("Removed a passkey"),
        "sign_in.second_factor_removed": _("Removed the second factor of somebody who lost it"),
        "sign_in.recovery_codes_made": _("Made new recovery codes"),
        "sign_in.session_ended": _("Ended a session"),
        "sign_in.other_sessions_ended": _("Ended all their other sessions"),
    }
)
