"""The sections of the team's page about money: projects, budgets, approval rules, the time zone."""

from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST

from generations import access, budgets, catalogue, dispatch, forms, steering
from generations.models import ApprovalRule, Budget, Project, Team, User
from generations.views import meters
from generations.views.gate import Request, origin
from generations.views.team import done, managers_only, refused, section
from generations.words import credits

CannotSet = budgets.CannotSet
BIGGEST_ID = 10**18


def _chosen(rows: Any, typed: str) -> Any:
    """A row of the team by the id that a form names. What is not the team's is not there."""
    if not (typed.isdecimal() and int(typed[:20]) < BIGGEST_ID):
        raise Http404("No such row in this team.")
    return get_object_or_404(rows, pk=int(typed))


# -- projects ---------------------------------------------------------------------------------------------------------


@section("projects")
def projects(request: Request, team: Team) -> dict[str, Any]:
    rows = list(team.projects.order_by("name"))
    return {
        "projects_open": [row for row in rows if row.archived_at is None],
        "projects_archived": [row for row in rows if row.archived_at],
        "name_length": steering.NAME_LENGTH,
    }


@managers_only
@require_POST
def add_project(request: Request, team: Team) -> HttpResponse:
    name = request.POST.get("name", "")
    try:
        project = steering.add_project(team, request.user, name, **origin(request))
    except CannotSet as no:
        return refused(request, team, "projects", project_wrong=str(no), project_typed=name[:200])
    sentence = f"Project {project} added. New clips can be charged to it."
    return done(request, team, "projects", sentence, also=["budgets"])


@managers_only
@require_POST
def rename_project(request: Request, team: Team, pk: int) -> HttpResponse:
    project = get_object_or_404(team.projects, pk=pk)
    name = request.POST.get("name", "")
    try:
        steering.rename_project(project, request.user, name, **origin(request))
    except CannotSet as no:
        return refused(request, team, "projects", renaming=pk, rename_wrong=str(no), rename_typed=name[:200])
    return done(request, team, "projects", f"The project is now called {project}.", also=["budgets"])


@managers_only
@require_POST
def archive_project(request: Request, team: Team, pk: int) -> HttpResponse:
    """Out of the form for new clips, or back into it. What was charged to it stays."""
    project = get_object_or_404(team.projects, pk=pk)
    archived = request.POST.get("archived") == "1"
    steering.archive_project(project, request.user, archived, **origin(request))
    said = "is archived. What was charged to it stays." if archived else "can be charged again."
    return done(request, team, "projects", f"{project} {said}", also=["budgets"])


# -- budgets ----------------------------------------------------------------------------------------------------------


@section("budgets")
def shown_budgets(request: Request, team: Team) -> dict[str, Any]:
    today, demo = team.day(), dispatch.demo_mode()
    rows = sorted(budgets.active(team), key=lambda row: (bool(row.user_id), bool(row.project_id), str(row.of_whom)))
    return {
        "budgets": meters.of_rooms([budgets.room(row, today, demo) for row in rows]),
        "budget_for": [
            ("", [("team", f"All of {team}")]),
            ("A person", [(f"user:{person.pk}", str(person)) for person in access.makers_of(team)]),
            ("A project", [(f"project:{project.pk}", str(project)) for project in forms.open_projects(team)]),
        ],
        "windows": Budget.Window.choices,
        "overs": Budget.Over.choices,
    }


def _over(request: Request) -> str:
    over = request.POST.get("over", "")
    if over not in Budget.Over:
        raise Http404("Nothing of that kind happens beyond a budget.")
    return over


def _for_whom(team: Team, typed: str) -> dict[str, User | Project | None]:
    """`team`, `user:7` or `project:3`."""
    kind, _, pk = typed.partition(":")
    if kind == "team":
        return {}
    if kind == "user":
        return {"user": _chosen(access.makers_of(team), pk)}
    if kind == "project":
        return {"project": _chosen(forms.open_projects(team), pk)}
    raise Http404("No budget is for that.")


@managers_only
@require_POST
def add_budget(request: Request, team: Team) -> HttpResponse:
    window, over = request.POST.get("window", ""), _over(request)
    if window not in Budget.Window:
        raise Http404("No such window.")
    whom = _for_whom(team, request.POST.get("whom", ""))
    budget = Budget(team=team, window=window, over=over, **whom)
    try:
        budget.credits = forms.amount(request.POST.get("credits", ""))
        steering.add_budget(budget, request.user, **origin(request))
    except CannotSet as no:
        typed = {name: request.POST.get(name, "")[:40] for name in ("whom", "window", "over", "credits")}
        return refused(request, team, "budgets", budget_wrong=str(no), typed=typed)
    return done(
        request, team, "budgets", f"{budget.of_whom} can now spend {credits(budget.credits)} {_a_window(budget)}."
    )


def _a_window(budget: Budget) -> str:
    return Budget.Window(budget.window).label


def _budget(team: Team, pk: int) -> Budget:
    return get_object_or_404(budgets.active(team), pk=pk)


@managers_only
@require_POST
def change_budget(request: Request, team: Team, pk: int) -> HttpResponse:
    budget, over = _budget(team, pk), _over(request)
    try:
        amount = forms.amount(request.POST.get("credits", ""))
        steering.change_budget(budget, request.user, amount, over, **origin(request))
    except CannotSet as no:
        typed = {"credits": request.POST.get("credits", "")[:40], "over": over}
        return refused(request, team, "budgets", changing=pk, change_wrong=str(no), change_typed=typed)
    return done(request, team, "budgets", f"Changed: {budget.of_whom}, {credits(amount)} {_a_window(budget)}.")


@managers_only
@require_POST
def reset_budget(request: Request, team: Team, pk: int) -> HttpResponse:
    budget = _budget(team, pk)
    try:
        steering.reset_budget(budget, request.user, **origin(request))
    except CannotSet as no:
        return refused(request, team, "budgets", changing=pk, change_wrong=str(no))
    said = "What was spent so far is no longer counted in it; what is held still is. The books are unchanged."
    return done(request, team, "budgets", said)


@managers_only
@require_POST
def end_budget(request: Request, team: Team, pk: int) -> HttpResponse:
    budget = _budget(team, pk)
    steering.end_budget(budget, request.user, **origin(request))
    return done(request, team, "budgets", f"Ended. This budget of {budget.of_whom} holds nobody back any more.")


# -- approval rules ---------------------------------------------------------------------------------------------------


@section("rules")
def rules(request: Request, team: Team) -> dict[str, Any]:
    rows = ApprovalRule.objects.filter(team=team).order_by("mode")
    return {
        "rules": [(row, budgets.in_words(row)) for row in rows],
        "rule_models": [(model.mode, model.name) for model in catalogue.MODELS.values()],
    }


@managers_only
@require_POST
def set_rule(request: Request, team: Team) -> HttpResponse:
    mode = request.POST.get("mode", "")
    if mode and mode not in catalogue.MODELS:
        raise Http404("No such model.")
    above = request.POST.get("above", "")
    try:
        steering.set_rule(team, request.user, mode, forms.amount(above or "0"), **origin(request))
    except CannotSet as no:
        return refused(request, team, "rules", rule_wrong=str(no), rule_mode=mode, rule_above=above[:40])
    return done(request, team, "rules", "The rule holds for what is confirmed from now on.")


@managers_only
@require_POST
def remove_rule(request: Request, team: Team, pk: int) -> HttpResponse:
    steering.remove_rule(get_object_or_404(team.rules, pk=pk), request.user, **origin(request))
    return done(request, team, "rules", "Removed. What is parked already still needs its approval.")


# -- time zone --------------------------------------------------------------------------------------------------------


@section("time_zone")
def time_zone(request: Request, team: Team) -> dict[str, Any]:
    return {
        "zones": sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/")),
        "team_now": timezone.localtime(timezone=ZoneInfo(team.time_zone)).strftime("%-d %B, %H:%M"),
    }


@managers_only
@require_POST
def set_time_zone(request: Request, team: Team) -> HttpResponse:
    typed = request.POST.get("time_zone", "").strip()
    try:
        steering.set_time_zone(team, request.user, typed, **origin(request))
    except CannotSet as no:
        return refused(request, team, "time_zone", zone_wrong=str(no), zone_typed=typed[:60])
    return done(request, team, "time_zone", f"Days and months now begin at midnight in {typed}.", also=["budgets"])
