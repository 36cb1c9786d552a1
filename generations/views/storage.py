"""What the storage holds of a team, by person, and the rule by which it lets clips go. For admins: of all teams."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from generations import access, keeping
from generations.models import Team
from generations.views.gate import Request, origin
from generations.views.team import managers_only

NAMED = 12  # damaged clips that are shown one by one


def _context(request: Request, team: Team) -> dict[str, Any]:
    people = keeping.used_by_people(team)
    found = keeping.damaged(team)
    return {
        "team": team,
        "people": people,
        "sum": keeping.in_all(people),
        "teams": keeping.used_by_teams() if access.may_govern(request.user) else [],
        "damaged": found[:NAMED],
        "damaged_count": found.count(),
        "cleared_at": keeping.newest_clearing(team),
    }


@managers_only
@require_safe
def page(request: Request, team: Team) -> HttpResponse:
    """With `?days=90` it says what such a rule would put into the bin now. Nothing is changed by that."""
    context = _context(request, team)
    typed = request.GET.get("days", "").strip()
    status = 200
    if typed:
        try:
            days = keeping.read_days(typed)
            clips, size = keeping.preview(team, days)
            context |= {"days": days, "would_go": clips, "would_go_bytes": size}
        except keeping.CannotSet as no:
            context |= {"wrong": str(no), "typed": typed[:20]}
            status = 422
    return render(request, "storage.html", context, status=status)


@managers_only
@require_POST
def set_rule(request: Request, team: Team) -> HttpResponse:
    """Switches the rule on, or with `off` off."""
    days = None
    if "off" not in request.POST:
        typed = request.POST.get("days", "")
        try:
            days = keeping.read_days(typed)
        except keeping.CannotSet as no:
            context = _context(request, team) | {"wrong": str(no), "typed": typed[:20]}
            return render(request, "storage.html", context, status=422)
    keeping.set_rule(team, request.user, days, **origin(request))
    said = f"Clips that nobody holds on to go into the bin after {days:,} days." if days else "Clips stay from now on."
    messages.success(request, said)
    return HttpResponseRedirect(reverse("storage"))
