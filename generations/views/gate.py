"""What stands around every page: the frame's figures, the first-run redirect, the closed sign-up, the health check."""

import logging
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST
from django_htmx.middleware import HtmxDetails
from kombu.exceptions import OperationalError

from generations import access, approvals, audit, budgets, dispatch, ledger, tasks, waiting
from generations.models import UNFINISHED, Budget, Generation, Team, User

logger = logging.getLogger(__name__)

TEAM_IN_SESSION = "team"


class Request(HttpRequest):
    """A request behind `login_required`, with what the middleware adds: for the type checker."""

    user: User
    htmx: HtmxDetails


# What can happen to how somebody signs in, as allauth calls it, and in words.
SIGN_IN = {
    "password_changed": "a new password",
    "password_set": "a first password",
    "password_reset": "a new password, by the link in an email",
    "totp_activated": "an app that shows codes was set up",
    "totp_deactivated": "the app that shows codes was removed",
    "recovery_codes_generated": "new recovery codes",
    "webauthn_added": "a passkey was added",
    "webauthn_removed": "a passkey was removed",
    "account_connected": "the company’s sign-in was connected",
    "account_disconnected": "the company’s sign-in was disconnected",
}


class ClosedDoor(DefaultAccountAdapter):
    """Nobody signs up by themselves: an admin or an invitation lets people in. Refusals in this product's words."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": "This email address or this password is not correct.",
        "enter_current_password": "This is not your current password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def send_notification_mail(self, template_prefix: str, user: User, *args: Any, **kwargs: Any) -> None:
        """Called for whatever happened to how somebody signs in: passwords, second factors, providers."""
        happened = template_prefix.rsplit("/", 1)[-1]
        audit.record(user, f"signin.{happened}"[:40], f"{user}: {SIGN_IN[happened]}", team=None, **origin(self.request))
        super().send_notification_mail(template_prefix, user, *args, **kwargs)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("gallery")


class FirstRunMiddleware(MiddlewareMixin):
    """Until the first admin exists, every page leads to the welcome page."""

    somebody_exists = False

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        if FirstRunMiddleware.somebody_exists or request.path.startswith(("/static/", "/healthz")):
            return None
        if User.objects.exists():
            FirstRunMiddleware.somebody_exists = True
            return None
        welcome = reverse("welcome")
        return None if request.path == welcome else redirect(welcome)


def healthz(request: HttpRequest) -> HttpResponse:
    """For load balancers: this process answers and its database does."""
    User.objects.exists()
    return HttpResponse("ok", content_type="text/plain")


def current_team(request: Request) -> Team:
    """The team a person works in now. Raises PermissionDenied for somebody without any."""
    teams = list(access.teams_of(request.user))
    if not teams:
        raise PermissionDenied("You are in no team yet. An admin can add you to one.")
    return _chosen(request, teams)


def _chosen(request: HttpRequest, teams: Sequence[Team]) -> Team:
    pk = request.session.get(TEAM_IN_SESSION)
    return next((team for team in teams if team.pk == pk), teams[0])


@login_required
@require_POST
def choose_theme(request: Request) -> HttpResponse:
    """Remembers light, dark, or the system's choice."""
    chosen = {"light": User.Theme.LIGHT, "dark": User.Theme.DARK}.get(request.POST.get("theme", ""), User.Theme.SYSTEM)
    User.objects.filter(pk=request.user.pk).update(theme=chosen)
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else "gallery")


def frame(request: HttpRequest) -> dict[str, Any]:
    """What base.html shows on every page."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"theme": "", "demo": False, "oidc": settings.OIDC_NAME if settings.OIDC else ""}
    if getattr(request, "htmx", False):  # a piece of a page: what it seldom shows is asked for only then
        return {"theme": "", "demo": False, "may_generate": SimpleLazyObject(lambda: _generates(request, user))}
    teams = list(access.teams_of(user))
    team = _chosen(request, teams) if teams else None
    demo = dispatch.demo_mode()
    known = dispatch.balance(demo, team)
    own = ledger.totals(user=user, since=ledger.month_start(), demo=demo)
    decides = access.manages_any(user)
    return {
        "theme": user.theme,
        "demo": demo and bool(settings.SIMULATOR_URL),
        "teams": teams,
        "team": team,
        "balance": known[0] if known else None,
        "spent_this_month": own.spent,
        "own_left": _own_left(team, user, demo),
        "running_count": Generation.objects.filter(team=team, status__in=UNFINISHED).count() if team else 0,
        "disk_low": dispatch.disk_is_low(),
        "frozen": not demo and dispatch.frozen(),
        "may_configure": access.may_configure(user),
        "short_of_credits": waiting.short_of_credits(user, access.may_configure(user)),
        "may_generate": team is not None and access.may_generate(user, team),
        "may_manage": team is not None and access.may_manage(user, team),
        "decides": decides,
        "unread": access.notifications_for(user).filter(in_app=True, read_at=None)[:100].count(),
        "to_decide": approvals.to_decide(user).count() if decides else 0,
    }


def _generates(request: HttpRequest, user: User) -> bool:
    teams = list(access.teams_of(user))
    return bool(teams) and access.may_generate(user, _chosen(request, teams))


def _own_left(team: Team | None, user: User, demo: bool) -> int | None:
    """Credits left in the tightest of a person's budgets that refuse or ask; None where none does."""
    rooms = budgets.rooms(team, user, None, demo) if team else []
    return min((max(room.left, 0) for room in rooms if room.budget.over != Budget.Over.WARN), default=None)


def origin(request: HttpRequest) -> dict[str, str]:
    """Where a request came from, for the audit trail."""
    return {"address": address_of(request), "agent": request.headers.get("User-Agent", "")}


def address_of(request: HttpRequest) -> str:
    """The visitor's, not that of the proxy in front. Empty when nobody names it."""
    try:
        return str(ip_address(ClosedDoor().get_client_ip(request)))
    except (PermissionDenied, ValueError):
        return ""


def too_many(request: HttpRequest, what: str, most: int, seconds: int = 300) -> bool:
    """Whether this address did something as often as it may, until `seconds` after the last time. Counts this time."""
    key = f"{what}:{address_of(request)}"
    before = cache.get(key, 0)
    if before >= most:
        return True
    cache.set(key, before + 1, seconds)
    return False


def ring() -> None:
    """Tells the workers, after the commit, that something is due. One that is missed is found by the next tick."""
    transaction.on_commit(_ring_now, robust=True)


def ring_bin() -> None:
    """Tells a worker that files are to be removed. A bell that is missed is rung again by the beat."""
    transaction.on_commit(lambda: _ring_now(tasks.empty_bin), robust=True)


def _ring_now(task: Any = tasks.tick) -> None:
    """At most about two seconds: a person waits, and a broker that is away must not be waited for."""
    quickly = {"max_retries": 0, "socket_connect_timeout": 1, "socket_timeout": 1, "retry_on_timeout": False}
    try:
        with task.app.connection_for_write(transport_options=quickly) as connection:
            task.apply_async(connection=connection, retry=False, **tasks.SOON)
    except OperationalError as away:
        logger.warning("the broker is away; the next tick finds what is due (%s)", away)
