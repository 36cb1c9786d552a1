"""What managers set for their team: projects, budgets, approval rules, the time zone.

Each change is made under the team's lock, so that no confirmation passes between the check and the change, and with its
row in the audit trail. `origin` is where the request came from: `address` and `agent`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from generations import audit, budgets, dispatch
from generations.budgets import CannotSet
from generations.models import ApprovalRule, Budget, Project, Team, User, check_time_zone
from generations.words import credits

NAME_LENGTH = 80


@contextmanager
def _locked(team: Team) -> Iterator[None]:
    with transaction.atomic():
        budgets.lock(team.pk)
        yield


# -- projects ---------------------------------------------------------------------------------------------------------


def _free_name(team: Team, name: str, but: Project | None = None) -> str:
    name = " ".join(name.split())
    if not name:
        raise CannotSet("Type the name of the project. Nothing was changed.")
    if len(name) > NAME_LENGTH:
        raise CannotSet(f"A name has at most {NAME_LENGTH} characters; this has {len(name)}. Nothing was changed.")
    same = team.projects.filter(name__iexact=name).first()
    if same and same != but:
        archived = " It is archived: take it back below." if same.archived_at else ""
        raise CannotSet(f"There is a project “{same}” already.{archived} Nothing was changed.")
    return name


def add_project(team: Team, who: User, name: str, **origin: str) -> Project:
    with _locked(team):
        project = Project.objects.create(team=team, name=_free_name(team, name))
        audit.record(who, "project.added", f"Project {project}", team=team, **origin)
    return project


def rename_project(project: Project, who: User, name: str, **origin: str) -> None:
    before = project.name
    with _locked(project.team):
        project.name = _free_name(project.team, name, but=project)
        project.save(update_fields=["name"])
        audit.record(who, "project.renamed", f"Project {before}: now {project}", team=project.team, **origin)


def archive_project(project: Project, who: User, archived: bool, **origin: str) -> None:
    """An archived project is not offered for new clips. What was charged to it stays, its budgets stay."""
    with _locked(project.team):
        project.archived_at = timezone.now() if archived else None
        project.save(update_fields=["archived_at"])
        action = "project.archived" if archived else "project.restored"
        audit.record(who, action, f"Project {project}", team=project.team, **origin)


# -- budgets ----------------------------------------------------------------------------------------------------------


def _words(budget: Budget) -> str:
    return f"{credits(budget.credits)} {budget.get_window_display()}, beyond it: {budget.get_over_display()}"


def _read_again(budget: Budget) -> None:
    """Under the lock: nothing may be built on what was true before it."""
    budget.refresh_from_db()
    if budget.ended_at:
        raise CannotSet(f"This budget of {budget.of_whom} was ended meanwhile. Nothing was changed.")


def _check_free(budget: Budget) -> None:
    """Two of the same kind would only repeat each other."""
    there = Budget.objects.filter(
        team=budget.team,
        user=budget.user,
        project=budget.project,
        window=budget.window,
        over=budget.over,
        ended_at=None,
    ).exclude(pk=budget.pk)
    if there.exists():
        kind = f"{budget.get_window_display()}, beyond it: {budget.get_over_display()}"
        raise CannotSet(f"{budget.of_whom} has such a budget already ({kind}). Change that one. Nothing was changed.")


def add_budget(budget: Budget, who: User, **origin: str) -> None:
    """Begins a budget that was not saved yet. Raises CannotSet."""
    with _locked(budget.team):
        _check_free(budget)
        budgets.check_amount(budget, budget.credits, dispatch.demo_mode())
        budget.created_by = who
        budget.save()
        words = f"Budget of {budget.of_whom}: {_words(budget)}"
        audit.record(who, "budget.added", words, team=budget.team, budget=budget.pk, **origin)


def change_budget(budget: Budget, who: User, amount: int, over: str, **origin: str) -> None:
    """Another amount, or another end to it. The past stays as it is. Raises CannotSet."""
    with _locked(budget.team):
        _read_again(budget)
        before = _words(budget)
        budget.credits, budget.over = amount, over
        _check_free(budget)
        budgets.check_amount(budget, amount, dispatch.demo_mode())
        budget.save(update_fields=["credits", "over"])
        words = f"Budget of {budget.of_whom}: {before}; now {_words(budget)}"
        audit.record(who, "budget.changed", words, team=budget.team, budget=budget.pk, **origin)


def reset_budget(budget: Budget, who: User, **origin: str) -> None:
    with _locked(budget.team):
        _read_again(budget)
        budgets.reset(budget, dispatch.demo_mode())
        words = f"Budget of {budget.of_whom}: {_words(budget)}; begun anew"
        audit.record(who, "budget.reset", words, team=budget.team, budget=budget.pk, **origin)


def end_budget(budget: Budget, who: User, **origin: str) -> None:
    with _locked(budget.team):
        if budgets.end(budget):
            words = f"Budget of {budget.of_whom}: {_words(budget)}; ended"
            audit.record(who, "budget.ended", words, team=budget.team, budget=budget.pk, **origin)


# -- approval rules, time zone ----------------------------------------------------------------------------------------


def set_rule(team: Team, who: User, mode: str, above: int, **origin: str) -> None:
    """One rule for each model, and one for all of them: setting it again changes it. Parked requests stay parked."""
    with _locked(team):
        rule, _ = ApprovalRule.objects.update_or_create(team=team, mode=mode, defaults={"above": above})
        audit.record(who, "rule.set", budgets.in_words(rule), team=team, **origin)


def remove_rule(rule: ApprovalRule, who: User, **origin: str) -> None:
    words = budgets.in_words(rule)
    with _locked(rule.team):
        if ApprovalRule.objects.filter(pk=rule.pk).delete()[0]:
            audit.record(who, "rule.removed", f"No more: {words}", team=rule.team, **origin)


def set_time_zone(team: Team, who: User, name: str, **origin: str) -> None:
    """Where the days of its budgets begin from now on. What was confirmed keeps its day."""
    try:
        check_time_zone(name)
    except ValidationError as wrong:
        raise CannotSet(f"{wrong.message} Nothing was changed.") from None
    with _locked(team):
        before, team.time_zone = team.time_zone, name
        team.save(update_fields=["time_zone"])
        audit.record(who, "team.time_zone", f"Time zone of {team}: {before}; now {name}", team=team, **origin)
