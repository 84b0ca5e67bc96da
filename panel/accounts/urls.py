"""URLs of signing in."""

from django.urls import path

from panel.accounts import views

urlpatterns = [
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-out/", views.sign_out, name="sign_out"),
    path("account/password/", views.change_password, name="change_password"),
]
