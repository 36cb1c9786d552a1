"""What a confirmation has to pass before its credits are held: the team's budgets and its rules for approval.

Everything here is read under the team's lock, in the transaction that takes the hold: of two confirmations at once the
second sees the first. Used is what was held or spent for generations confirmed within the window.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, DateField, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from generations import catalogue
from generations.models import ApprovalRule, Budget, DaySum, LedgerEntry, Project, Team, User
from generations.words import credits

Window, Over = Budget.Window, Budget.Over
WITHIN = {Window.DAY: "today", Window.WEEK: "this week", Window.MONTH: "this month", Window.TOTAL: "in total"}


@dataclass(frozen=True)
class Room:
    """One budget, and what is used of it in a window: held and spent, less what a reset forgave."""

    budget: Budget
    used: int
    held: int = 0

    @property
    def left(self) -> int:
        return self.budget.credits - self.used

    @property
    def spent(self) -> int:
        return max(self.used - self.held, 0)

    @property
    def name(self) -> str:
        """`Budget of Mara this month`."""
        return f"Budget of {self.budget.of_whom} {WITHIN[Window(self.budget.window)]}"

    def lacks(self, price: int) -> str:
        """Says by how much a price does not fit, as a sentence without its full stop."""
        short = credits(price - max(self.left, 0))
        return f"{self.name}: {credits(max(self.left, 0))} left of {self.budget.credits:,}, {short} short"


class OverBudget(Exception):
    """A budget refuses. The message names each one and by how much; nothing was held."""

    def __init__(self, price: int, rooms: Iterable[Room], held: int = 0) -> None:
        sentences = ". ".join(room.lacks(price - held) for room in rooms)
        needs = f"{credits(price - held)} more than {held:,} held" if held else credits(price)
        super().__init__(f"This needs {needs}. {sentences}. Nothing {'more ' * bool(held)}was held or charged.")


@dataclass(frozen=True)
class Verdict:
    """What budgets and rules say of a price. Hard budgets that do not fit are `refusing`."""

    rooms: list[Room]  # of every budget that applies
    refusing: list[Room]
    refused: list[str]  # the same, a sentence each
    asking: list[str]  # why a manager has to approve, a sentence each
    warning: list[str]


def lock(team_id: int) -> Team:
    """Holds every other confirmation and change of a budget in this team back until the transaction ends."""
    return Team.objects.select_for_update(no_key=True).get(pk=team_id)


def used(budget: Budget, day: date, demo: bool) -> int:
    """Credits held or spent for generations confirmed in the window of a day, less what a reset forgave."""
    return room(budget, day, demo).used


def room(budget: Budget, day: date, demo: bool) -> Room:
    """A budget in the window that a day lies in."""
    first, last = budget.first_day(day), budget.last_day(day)
    rows = DaySum.objects.filter(team_id=budget.team_id, day__gte=first, day__lte=last, demo=demo)
    if budget.user_id:
        rows = rows.filter(user_id=budget.user_id)
    if budget.project_id:
        rows = rows.filter(project_id=budget.project_id)
    sums = rows.aggregate(held=Sum("held", default=0), spent=Sum("spent", default=0))
    forgiven = budget.forgiven if budget.forgiven_in == first else 0
    return Room(budget, sums["held"] + sums["spent"] - forgiven, sums["held"])


def active(team: Team) -> QuerySet[Budget]:
    return Budget.objects.filter(team=team, ended_at=None).select_related("user", "project", "team").order_by("pk")


def nearly_used(demo: bool, now: datetime, moved_since: datetime) -> list[Room]:
    """Every budget of which four fifths or more are used in its running window, of teams whose books moved lately.

    Always four queries.
    """
    zones = Team.objects.order_by().values_list("time_zone", flat=True).distinct()
    today = [(zone, timezone.localdate(now, ZoneInfo(zone))) for zone in zones]
    first, last = _edges(today, "first_day"), _edges(today, "last_day")
    moved = LedgerEntry.objects.filter(team=OuterRef("team"), at__gt=moved_since)
    running = Budget.objects.filter(Exists(moved), ended_at=None, credits__gt=0)
    running = running.select_related("user", "project", "team")
    of: list[tuple[QuerySet[Budget], dict[str, Any]]] = [
        (running.filter(user=None, project=None), {}),
        (running.filter(user__isnull=False), {"user": OuterRef("user")}),
        (running.filter(project__isnull=False), {"project": OuterRef("project")}),
    ]
    found = []
    for rows, whose in of:
        days = {"day__gte": OuterRef("first"), "day__lte": OuterRef("last")}
        sums = DaySum.objects.filter(team=OuterRef("team"), demo=demo, **days, **whose).order_by().values("team")
        forgiven = Case(When(forgiven_in=F("first"), then=F("forgiven")), default=Value(0))
        counted = rows.annotate(first=first, last=last).annotate(
            sum=Coalesce(Subquery(sums.annotate(sum=Sum(F("held") + F("spent"))).values("sum")), 0),
            sum_held=Coalesce(Subquery(sums.annotate(sum=Sum("held")).values("sum")), 0),
            fifths=(F("sum") - forgiven) * 5,
        )
        for budget in counted.filter(fifths__gte=F("credits") * 4).order_by("pk"):
            found.append(Room(budget, budget.fifths // 5, budget.sum_held))
    return found


def _edges(today: list[tuple[str, date]], edge: str) -> Case:
    """The first or the last day of each window, by the date that it is in the team's time zone."""
    whens = []
    for day in {day for _, day in today}:
        there = [zone for zone, its in today if its == day]
        for window in Window:
            edge_day = getattr(Budget(window=window), edge)(day)
            whens.append(When(window=window, team__time_zone__in=there, then=Value(edge_day)))
    return Case(*whens, output_field=DateField())


def rooms(team: Team, user: User, project: Project | None, demo: bool, day: date | None = None) -> list[Room]:
    """Every budget that a generation of this person, in this team, for this project counts against, on a day."""
    whole = Q(user=None, project=None)
    mine = active(team).filter(whole | Q(user=user) | (Q(project=project) if project else Q(pk=None)))
    day = day or team.day()
    nearest = sorted(mine, key=lambda budget: (budget.user_id is None, budget.project_id is None, budget.pk))
    return [room(budget, day, demo) for budget in nearest]


def weigh(
    team: Team,
    user: User,
    project: Project | None,
    mode: str,
    price: int,
    demo: bool,
    *,
    held: int = 0,
    day: date | None = None,
) -> Verdict:
    """Says what one price would do. `held` credits of it are counted already, on its `day`; without one it is today."""
    all_rooms = rooms(team, user, project, demo, day)
    short = [room for room in all_rooms if price - held > room.left]
    more = [room for room in short if price > held]  # what costs no more than before passes
    asking = [f"{room.lacks(price - held)}." for room in more if room.budget.over == Over.PARK]
    rules = ApprovalRule.objects.filter(Q(mode="") | Q(mode=mode), team=team, above__lt=price).order_by("mode")
    return Verdict(
        rooms=all_rooms,
        refusing=[room for room in more if room.budget.hard],
        refused=[f"{room.lacks(price - held)}." for room in more if room.budget.hard],
        asking=[in_words(rule) for rule in rules] + asking,
        warning=[f"{room.lacks(price - held)}." for room in more if room.budget.over == Over.WARN],
    )


def in_words(rule: ApprovalRule) -> str:
    """A rule as the sentence that people read where it holds."""
    what = catalogue.MODELS[rule.mode].name if rule.mode in catalogue.MODELS else rule.mode
    if rule.above:
        return f"{what or 'Anything'} above {credits(rule.above)} needs approval."
    return f"Any {what or 'clip'} needs approval."


# -- setting them -----------------------------------------------------------------------------------------------------


class CannotSet(Exception):
    """A budget cannot be so. The message says why; nothing was changed."""


def check_amount(budget: Budget, amount: int, demo: bool) -> None:
    """Raises CannotSet for an amount below what is held or spent already: a budget never starts out exceeded."""
    already = used(budget, budget.team.day(), demo)
    if amount < already:
        or_reset = ", or reset it" if budget.pk else ""
        raise CannotSet(
            f"{credits(already)} of it {'is' if already == 1 else 'are'} held or spent already. "
            f"Choose at least that{or_reset}. Nothing was changed."
        )


def reset(budget: Budget, demo: bool) -> None:
    """Begins the running window anew: what was spent so far is not counted. The books stay as they are.

    What is held still counts: were it forgiven and then given back, the budget would have room for it twice.
    """
    today = budget.team.day()
    first = budget.first_day(today)
    so_far = room(budget, today, demo)
    forgiven = so_far.used - so_far.held + (budget.forgiven if budget.forgiven_in == first else 0)
    Budget.objects.filter(pk=budget.pk).update(forgiven=forgiven, forgiven_in=first)


def end(budget: Budget) -> bool:
    """False: it had ended already."""
    return bool(Budget.objects.filter(pk=budget.pk, ended_at=None).update(ended_at=timezone.now()))
