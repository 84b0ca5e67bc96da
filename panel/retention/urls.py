"""URLs of retention: rules, legal hold, what becomes of what POP deletes, the way from POP to IMAP and back."""

from django.urls import path

from panel.retention import hold_views, rule_views, run_views, views

#: Where each level's pages of rules are.
_PLACES = {
    "platform": "settings/retention/",
    "customer": "customers/<int:pk>/retention/",
    "domain": "domains/<domain:name>/retention/",
    "mailbox": "mailboxes/<int:pk>/retention/",
}

urlpatterns = [
    path("mailboxes/<int:pk>/pop/", views.set_mailbox_pop_policy, name="set_mailbox_pop_policy"),
    path("mailboxes/<int:pk>/to-imap/", views.switch_mailbox_to_imap, name="switch_mailbox_to_imap"),
    path("mailboxes/<int:pk>/to-pop/", views.switch_mailbox_to_pop, name="switch_mailbox_to_pop"),
    path("mailboxes/<int:pk>/hold/", hold_views.hold_mailbox, name="hold_mailbox"),
    path("mailboxes/<int:pk>/release/", hold_views.release_mailbox, name="release_mailbox"),
    path("retention/runs/", run_views.list_purge_runs, name="list_purge_runs"),
    path("retention/runs/<int:pk>/", run_views.show_purge_run, name="show_purge_run"),
    path("retention/runs/<int:pk>/allow/", run_views.allow_purge_run, name="allow_purge_run"),
    path("retention/runs/<int:pk>/cancel/", run_views.cancel_purge_run, name="cancel_purge_run"),
    path("retention/changes/<int:pk>/", rule_views.show_rule_change, name="show_rule_change"),
    path("retention/changes/<int:pk>/confirm/", rule_views.confirm_rule_change, name="confirm_rule_change"),
    path("retention/changes/<int:pk>/cancel/", rule_views.cancel_rule_change, name="cancel_rule_change"),
]
for _kind, _place in _PLACES.items():
    urlpatterns += [
        path(_place, rule_views.list_rules, {"kind": _kind}, name=f"{_kind}_rules"),
        path(f"{_place}rule/", rule_views.edit_rule, {"kind": _kind}, name=f"{_kind}_rule"),
        path(f"{_place}recovery/", rule_views.edit_recovery, {"kind": _kind}, name=f"{_kind}_recovery"),
    ]
