"""The site's routes: Dailies itself, signing in and out, and Django's admin for people and teams."""

from functools import partial

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.shortcuts import render
from django.urls import include, path

admin.autodiscover()
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


def only_says(template: str) -> partial:
    """A page that answers everything with the same words, and does nothing."""
    return partial(render, template_name=template)


urlpatterns = [
    path("", include("generations.urls")),
    # What would let somebody in past an admin or an invitation is closed: these come before allauth's.
    path("accounts/password/reset/", only_says("account/password_reset.html"), name="account_reset_password"),
    path("accounts/email/", only_says("account/email.html"), name="account_email"),
    path("accounts/social/signup/", only_says("account/signup_closed.html"), name="socialaccount_signup"),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("accounts/social/", include("allauth.socialaccount.urls")),
    path("accounts/", include("allauth.socialaccount.providers.openid_connect.urls")),
    path("admin/", admin.site.urls),
]
