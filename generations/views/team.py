"""The team's page, for its managers and for admins: one section for each thing they set.

A section is a template and the function that makes its context; the module with the section's views declares it with
`@section("projects")`, whose template is `team/_projects.html`. It is drawn with the page, and alone under htmx.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_safe

from generations import access
from generations.models import Team
from generations.views.gate import Request, current_team

View = Callable[..., HttpResponse]
Context = Callable[[Request, Team], dict[str, Any]]

ORDER = ("members", "invitations", "projects", "budgets", "rules", "time_zone", "webhooks")
SECTIONS: dict[str, Context] = {}


def section(name: str) -> Callable[[Context], Context]:
    """Declares what a section of the page shows."""

    def declare(context: Context) -> Context:
        SECTIONS[name] = context
        return context

    return declare


def managers_only(view: View) -> View:
    """Hands the current team on to who may manage it; members and viewers get the plain words of the 403 page."""

    @login_required
    @wraps(view)
    def guarded(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        team = current_team(request)
        if not access.may_manage(request.user, team):
            raise PermissionDenied(f"What {team} may spend, and who is in it, is for its managers and for admins.")
        return view(request, team, *args, **kwargs)

    return guarded


@managers_only
@require_safe
def page(request: Request, team: Team) -> HttpResponse:
    return show(request, team)


def show(request: Request, team: Team, status: int = 200, **more: Any) -> HttpResponse:
    """The whole page. `more` says which form was not taken, and why."""
    names = [name for name in ORDER if name in SECTIONS]
    context: dict[str, Any] = {"sections": [f"team/_{name}.html" for name in names]}
    for name in names:
        context |= SECTIONS[name](request, team)
    return render(request, "team.html", context | {"team": team} | more, status=status)


def done(request: Request, team: Team, name: str, sentence: str = "", also: Sequence[str] = ()) -> HttpResponse:
    """After a change: under htmx the section alone, with those that `also` show it; else the page at its place."""
    if sentence:
        messages.success(request, sentence)
    if not request.htmx:
        return HttpResponseRedirect(f"{reverse('team')}#{name}")
    parts = [_part(request, team, name, alone=True), *(_part(request, team, other, oob=True) for other in also)]
    return HttpResponse("".join(parts))


def refused(request: Request, team: Team, name: str, **more: Any) -> HttpResponse:
    """After a form that was not taken: the same with what is wrong, as 422. Nothing was changed."""
    if not request.htmx:
        return show(request, team, 422, **more)
    return HttpResponse(_part(request, team, name, alone=True, **more), status=422)


def _part(request: Request, team: Team, name: str, **more: Any) -> str:
    context = SECTIONS[name](request, team) | {"team": team} | more
    return render_to_string(f"team/_{name}.html", context, request)
