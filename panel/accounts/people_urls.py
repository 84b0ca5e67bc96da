"""URLs of members, invitations, acting for a customer, notices, and the audit trail."""

from django.urls import path

from panel.accounts import acting_views, audit_views, member_views, notice_views

urlpatterns = [
    path("customers/<int:pk>/members/", member_views.list_members, name="list_members"),
    path("customers/<int:pk>/members/invite/", member_views.invite_member, name="invite_member"),
    path("customers/<int:pk>/members/<int:user_pk>/", member_views.edit_member, name="edit_member"),
    path(
        "customers/<int:pk>/members/<int:user_pk>/remove/", member_views.remove_member, name="remove_member"
    ),
    path(
        "customers/<int:pk>/invitations/<int:invitation_pk>/send/",
        member_views.send_invitation_again,
        name="send_invitation_again",
    ),
    path(
        "customers/<int:pk>/invitations/<int:invitation_pk>/withdraw/",
        member_views.withdraw_invitation,
        name="withdraw_invitation",
    ),
    path("invitations/", member_views.accept_invitation, name="accept_invitation"),
    path("customers/<int:pk>/act/", acting_views.act_for_customer, name="act_for_customer"),
    path("acting/end/", acting_views.end_acting, name="end_acting"),
    path("notices/", notice_views.list_notices, name="list_notices"),
    path("notices/new/", notice_views.create_notice, name="create_notice"),
    path("notices/<int:pk>/edit/", notice_views.edit_notice, name="edit_notice"),
    path("notices/<int:pk>/end/", notice_views.end_notice, name="end_notice"),
    path("notices/<int:pk>/dismiss/", notice_views.dismiss_notice, name="dismiss_notice"),
    path("audit/", audit_views.list_audit, name="list_audit"),
    path("audit/export.csv", audit_views.export_audit, name="export_audit"),
]
