"""Signing in: with the company's own provider, and with a second factor that admins may have to have."""

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from generations import people
from generations.models import User
from generations.models.fields import ring
from generations.views.gate import origin

# What an admin without a second factor may still open, when admins need one.
WAY_TO_A_FACTOR = ("/accounts/2fa/", "/accounts/logout/", "/accounts/reauthenticate/", "/static/", "/healthz", "/theme")


class SecondFactors(DefaultMFAAdapter):
    """Its secrets are as unreadable in the database as the keys of Veevid."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": "This code is not correct, or it is too old. Type the one that is shown now."
    }

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return "Passkey" if number == 1 else f"Passkey {number}"

    def encrypt(self, text: str) -> str:
        return ring().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return ring().decrypt(encrypted_text.encode()).decode()


class SecondFactorMiddleware(MiddlewareMixin):
    """An admin who has to have a second factor and has none sets it up before anything else."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        user = request.user
        if not user.is_authenticated or not user.is_staff or request.path.startswith(WAY_TO_A_FACTOR):
            return None
        return redirect(f"{reverse('mfa_index')}?needed=1") if people.lacks_second_factor(user) else None


class CompanyDoor(DefaultSocialAccountAdapter):
    """Who comes by the company's provider: their groups say which teams. No account is taken over by its address."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.state.get("process") == AuthProcess.CONNECT:
            return
        if sociallogin.is_existing:
            self._follow(request, sociallogin)
            return
        email = sociallogin.user.email
        if not email:
            _refuse(request, "Your provider names no email address for you. Ask whoever runs it.")
        if User.objects.filter(email=email).exists():
            _refuse(
                request,
                f"There is an account with {email} already. Sign in with its password, then connect it under "
                f"Your account.",
            )
        if not people.places_of(_groups(sociallogin), _mapping()):
            _refuse(request, "None of your groups opens a team here. Ask an admin of Dailies for an invitation.")

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user = super().populate_user(request, sociallogin, data)
        user.email = user.email.lower()
        user.name = str(data.get("name") or "")[:120]
        return user

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True  # pre_social_login has looked at address and groups

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        user = super().save_user(request, sociallogin, form)
        self._follow(request, sociallogin)
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("you")

    def _follow(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.user.is_active:
            people.follow_groups(sociallogin.user, _groups(sociallogin), _mapping(), origin(request))


def _mapping() -> list[people.Place]:
    return [people.Place(*place) for place in settings.OIDC_GROUPS]


def _groups(sociallogin: SocialLogin) -> list[str]:
    """What the claim says, wherever the provider puts it."""
    said = sociallogin.account.extra_data
    for part in (said.get("userinfo"), said.get("id_token"), said):
        groups = (part or {}).get(settings.OIDC_CLAIM)
        if groups:
            return [groups] if isinstance(groups, str) else [str(group) for group in groups]
    return []


def _refuse(request: HttpRequest, words: str) -> None:
    page = render(request, "account/not_let_in.html", {"words": words}, status=403)
    raise ImmediateHttpResponse(page)
