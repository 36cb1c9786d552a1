"""Webhooks: the team page's section. The site's stand on the settings page, with the same lines and the same form."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from generations import access, webhooks
from generations.models import Team, Webhook
from generations.views import team as team_page
from generations.views.gate import Request, origin
from generations.views.team import managers_only, section


def shown(team: Team | None) -> dict[str, Any]:
    """What a panel of webhooks shows: a team's, or the site's."""
    return {
        "hooks": webhooks.shown(team),
        "hook_kinds": webhooks.kinds_for(team),
        "hook_shapes": Webhook.Shape.choices,
        "hook_typed": {"kinds": webhooks.USUALLY},
    }


def added(request: Request, team: Team | None) -> dict[str, Any]:
    """Makes a webhook of what was typed, and says so: its secret, shown this once, or what is wrong."""
    typed: dict[str, Any] = {name: request.POST.get(name, "") for name in ("name", "shape", "url")}
    typed["kinds"] = request.POST.getlist("kinds")
    try:
        hook, secret = webhooks.add(team, request.user, **typed, **origin(request))
    except webhooks.CannotSet as no:
        return {"hook_wrong": str(no), "hook_typed": typed | {"url": ""}}  # an address may be a secret
    return {"hook_made": hook, "hook_secret": secret if hook.shape == Webhook.Shape.SIGNED else ""}


def _hook(team: Team | None, pk: int) -> Webhook:
    return get_object_or_404(access.webhooks_of(team), pk=pk)


def tested(request: Request, team: Team | None, pk: int) -> dict[str, Any]:
    """Sends a test message and says what became of it."""
    return {"hook_tested": pk, "hook_said": webhooks.test(_hook(team, pk), request.user, **origin(request))}


def removed(request: Request, team: Team | None, pk: int) -> None:
    webhooks.remove(_hook(team, pk), request.user, **origin(request))


@section("webhooks")
def of_team(request: Request, team: Team) -> dict[str, Any]:
    return shown(team)


def _answer(request: Request, team: Team, status: int = 200, **more: Any) -> HttpResponse:
    if not request.htmx:
        return team_page.show(request, team, status, **more)
    return render(request, "team/_webhooks.html", shown(team) | {"team": team, "alone": True} | more, status=status)


@sensitive_post_parameters("url")
@managers_only
@require_POST
def add(request: Request, team: Team) -> HttpResponse:
    said = added(request, team)
    return _answer(request, team, 422 if "hook_wrong" in said else 200, **said)


@managers_only
@require_POST
def test(request: Request, team: Team, pk: int) -> HttpResponse:
    return _answer(request, team, **tested(request, team, pk))


@managers_only
@require_POST
def remove(request: Request, team: Team, pk: int) -> HttpResponse:
    removed(request, team, pk)
    return team_page.done(request, team, "webhooks", "Removed. It is told nothing any more.")
