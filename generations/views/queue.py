"""The queue: what renders, what waits and why, what Veevid's limits still allow."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from generations import access, waiting
from generations.models import UNFINISHED, Generation
from generations.views.gate import Request, current_team


def _context(request: Request) -> dict[str, Any]:
    team = current_team(request)
    mine = request.GET.get("show") == "mine"
    return {
        "queue": waiting.queue(team, request.user if mine else None),
        "mine": mine,
        "may_cancel_all": access.may_see_team_spend(request.user, team),
        "may_generate": access.may_generate(request.user, team),
    }


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    return render(request, "queue.html", _context(request))


@login_required
@require_safe
def live(request: Request) -> HttpResponse:
    """The part of the page that asks for itself every few seconds, with the count in the navigation."""
    unfinished = Generation.objects.filter(team=current_team(request), status__in=UNFINISHED).count()
    return render(request, "queue/_live.html", _context(request) | {"running_count": unfinished})
