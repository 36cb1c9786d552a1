"""What the spend pages show: sums of the days, which the ledger keeps as it is written. Reads, changes nothing.

Everything of a generation counts on the day of its confirmation, in its team's time zone, however late it was settled:
as in the budgets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import TruncMonth, TruncWeek
from django.utils import timezone

from generations import budgets, dispatch
from generations.budgets import Room
from generations.models import (
    Budget,
    CollectionItem,
    DaySum,
    Favourite,
    Generation,
    LedgerEntry,
    Mark,
    Membership,
    Project,
    SharedClip,
    Status,
    Team,
    User,
)

FAILED = (Status.FAILED, Status.REJECTED)
ENDED = (*FAILED, Status.COMPLETED, Status.CANCELLED)
OPEN = tuple(status for status in Status if status not in ENDED)
OF_STATUS = {"ready": (Status.COMPLETED,), "failed": FAILED, "held": OPEN}  # what one can ask for
BY = {"person": "user_id", "team": "team_id", "project": "project_id"}
STEPS = {"week": TruncWeek("day"), "month": TruncMonth("day")}
PACE_DAYS = 30
KEPT_WITHIN = timedelta(days=14)
AT_A_TIME = 1000  # lines that are read at once


@dataclass(frozen=True)
class Part:
    """Which part of the books: everything that is given has to fit."""

    demo: bool
    first: date
    last: date
    teams: tuple[int, ...] | None = None  # None: all of them
    user: int | None = None
    project: int | None = None
    no_project: bool = False
    mode: str = ""
    status: str = ""  # of OF_STATUS

    @property
    def _common(self) -> Q:
        where = Q(day__gte=self.first, day__lte=self.last)
        if self.teams is not None:
            where &= Q(team__in=self.teams)
        if self.no_project or self.project:
            where &= Q(project=self.project)
        return where & Q(mode=self.mode) if self.mode else where

    def sums(self) -> QuerySet[DaySum]:
        """Of every status: what of them is asked for, `Sums.of` says."""
        rows = DaySum.objects.filter(self._common, demo=self.demo)
        return rows.filter(user=self.user) if self.user else rows

    def generations(self) -> QuerySet[Generation]:
        rows = Generation.objects.filter(self._common, quote__account__demo=self.demo)
        rows = rows.filter(owner=self.user) if self.user else rows
        return rows.filter(status__in=OF_STATUS[self.status]) if self.status else rows


@dataclass(frozen=True)
class Sums:
    """Credits and numbers of clips, as the days hold them."""

    spent: int = 0
    held: int = 0
    failed_spent: int = 0
    quoted: int = 0
    confirmed: int = 0
    completed: int = 0
    failed: int = 0
    refunded: int = 0
    failed_refunded: int = 0

    @property
    def charged(self) -> int:
        """What Veevid took, whatever of it came back."""
        return self.spent + self.refunded

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Sums":
        return cls(*(row[f"sum_{field.name}"] for field in fields(cls)))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    def of(self, status: str) -> "Sums":
        """What of it belongs to one status. The quoted prices are not kept by status: those of all go to `quoted`."""
        if status == "ready":
            spent, clips = self.spent - self.failed_spent, self.completed
            back = self.refunded - self.failed_refunded
            return Sums(spent=spent, quoted=self.quoted, completed=clips, confirmed=clips, refunded=back)
        if status == "failed":
            spent = self.failed_spent
            back = self.failed_refunded
            more = {"refunded": back, "failed_refunded": back}
            return Sums(spent=spent, failed_spent=spent, failed=self.failed, confirmed=self.failed, **more)
        return Sums(held=self.held) if status == "held" else self

    @property
    def each(self) -> int:
        """What a clip cost, without those that failed."""
        return round((self.spent - self.failed_spent) / self.completed) if self.completed else 0

    def figure(self, status: str) -> int:
        """The credits that charts and shares are drawn of: spent, or held where only that was asked for."""
        return self.held if status == "held" else self.spent


SUMMED = {f"sum_{field.name}": Sum(field.name) for field in fields(Sums)}


def breakdown(part: Part, by: str) -> list[tuple[int | None, str, Sums]]:
    """(whose, model, sums) by person, team or project; by anything else, each model once."""
    whose = {"whose": F(BY[by])} if by in BY else {}
    rows: Any = part.sums().values("mode", **whose).annotate(**SUMMED).order_by("mode")
    return [(row.get("whose"), row["mode"], Sums.read(row).of(part.status)) for row in rows]


def over_time(part: Part, step: str) -> list[tuple[date, str, Sums]]:
    """(first day of the bucket, model, sums), by day, week or month."""
    bucket = STEPS.get(step, F("day"))
    rows: Any = part.sums().values("mode", bucket=bucket).annotate(**SUMMED).order_by("bucket", "mode")
    return [(row["bucket"], row["mode"], Sums.read(row).of(part.status)) for row in rows]


def quoted(part: Part, everything: int) -> int:
    """The confirmed prices of what was charged. `everything`: as the days have it, whatever the status."""
    if part.status not in ("ready", "failed"):
        return everything if not part.status else 0
    charged = replace(part, status="failed").generations().filter(charged__gt=0)
    failed: int = charged.aggregate(sum=Sum("price", default=0))["sum"]
    return failed if part.status == "failed" else everything - failed


@dataclass(frozen=True)
class UnderWay:
    """What is held now: clips confirmed within the days that are asked for, and credits of other days."""

    clips: int
    other_days: int


def under_way(part: Part) -> UnderWay:
    within = Q(day__gte=part.first, day__lte=part.last)
    ever = replace(part, first=date.min, last=date.max, status="held")
    sums = ever.generations().aggregate(clips=Count("pk", filter=within), other=Sum("price", filter=~within, default=0))
    return UnderWay(sums["clips"], sums["other"])


def first_day(part: Part) -> date | None:
    """The first day on which anything was confirmed by those who are asked for."""
    rows = DaySum.objects.filter(demo=part.demo)
    rows = rows.filter(team__in=part.teams) if part.teams is not None else rows
    rows = rows.filter(user=part.user) if part.user else rows
    return rows.aggregate(first=Min("day"))["first"]


# -- what nobody kept -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unkept:
    """Credits and numbers of ready clips that somebody rejected, and of those that nobody kept in two weeks."""

    rejected: int
    rejected_clips: int
    never: int
    never_clips: int


def unkept(part: Part, today: date) -> Unkept:
    """Never kept: confirmed more than KEPT_WITHIN ago, not marked, nobody's favourite and in no collection.

    Counted from what was decided, which is the smaller part: the days know what all of it cost.
    """
    ready, before = replace(part, status="ready"), today - KEPT_WITHIN
    old, rejected = Q(day__lt=before), Q(mark=Mark.REJECT)
    decided = (
        ready.generations()
        .exclude(mark=Mark.NONE)
        .aggregate(
            rejected=Sum("charged", filter=rejected, default=0),
            rejected_clips=Count("pk", filter=rejected),
            old=Sum("charged", filter=old, default=0),
            old_clips=Count("pk", filter=old),
        )
    )
    loved = ready.generations().filter(old, mark=Mark.NONE, pk__in=_shelved())
    shelved = loved.aggregate(cost=Sum("charged", default=0), clips=Count("pk"))
    back = _came_back(ready, before)
    every = replace(part, last=min(part.last, before - timedelta(days=1))).sums().aggregate(**SUMMED)
    sums = Sums.read({name: value or 0 for name, value in every.items()}).of("ready")
    return Unkept(
        rejected=decided["rejected"] - back["rejected"],
        rejected_clips=decided["rejected_clips"],
        never=sums.spent - (decided["old"] + shelved["cost"] - back["old"]),
        never_clips=sums.completed - decided["old_clips"] - shelved["clips"],
    )


def _shelved() -> QuerySet[Any, Any]:
    """The clips that are anybody's favourite, in a collection, or were ever shared by themselves."""
    places = CollectionItem.objects.order_by().values("generation")
    shared = SharedClip.objects.order_by().values("generation")
    return Favourite.objects.values("generation").union(places, shared)


def _came_back(ready: Part, before: date) -> dict[str, int]:
    """What of the cost of these clips was refunded."""
    rows = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.REFUND, generation__in=ready.generations())
    kept = Q(generation__day__lt=before) & (~Q(generation__mark=Mark.NONE) | Q(generation__in=_shelved()))
    sums = rows.aggregate(
        rejected=Sum("spent", filter=Q(generation__mark=Mark.REJECT), default=0),
        old=Sum("spent", filter=kept, default=0),
    )
    return {name: -int(value) for name, value in sums.items()}


# -- one line for each generation -------------------------------------------------------------------------------------


def lines(part: Part) -> QuerySet[Generation]:
    """Newest first, each with what the ledger says of it: `spent`, `held` and, of what was charged, `refunded`."""
    entries = LedgerEntry.objects.filter(generation=OuterRef("pk")).order_by().values("generation")
    return (
        part.generations()
        .annotate(
            spent=Subquery(entries.annotate(sum=Sum("spent")).values("sum")),
            held=Subquery(entries.annotate(sum=Sum("held")).values("sum")),
            refunded=Subquery(
                entries.filter(kind=LedgerEntry.Kind.REFUND).annotate(sum=-Sum("spent")).values("sum"),
            ),
        )
        .select_related("team", "owner", "project")
        .order_by("-pk")
    )


def number_of_lines(part: Part) -> int:
    """How many lines there are, as the days have it: nothing is counted one by one but what is under way."""
    if part.status == "held":
        return under_way(part).clips
    sums = Sums.read({name: value or 0 for name, value in part.sums().aggregate(**SUMMED).items()})
    return sums.of(part.status).confirmed


def every_line(part: Part) -> Iterator[Generation]:
    """All of them, read piece by piece: nothing is kept open or locked while somebody downloads slowly."""
    rows = lines(part)
    piece = list(rows[:AT_A_TIME])
    while piece:
        yield from piece
        piece = list(rows.filter(pk__lt=piece[-1].pk)[:AT_A_TIME]) if len(piece) == AT_A_TIME else []


# -- what one can ask for ---------------------------------------------------------------------------------------------


def people(teams: Iterable[int] | None) -> QuerySet[User]:
    """Who is in these teams, or ordered something there and has left."""
    everybody = User.objects.order_by("name", "email")
    if teams is None:
        return everybody
    member = Q(pk__in=Membership.objects.filter(team__in=teams).values("user"))
    ordered = Exists(DaySum.objects.filter(team__in=teams, user=OuterRef("pk")))
    return everybody.filter(member | Q(ordered))


def projects(teams: Iterable[int] | None) -> QuerySet[Project]:
    """With those that are archived."""
    rows = Project.objects.select_related("team").order_by("name", "team__name")
    return rows if teams is None else rows.filter(team__in=teams)


# -- what is left -----------------------------------------------------------------------------------------------------


def days_left(balance: int, demo: bool, team: Team | None = None, now: datetime | None = None) -> int | None:
    """How many days a team's accounts last at the pace of the last month, over all that is paid from them."""
    now = now or timezone.now()
    pool = dispatch.accounts_for(demo, team)
    rows = LedgerEntry.objects.filter(account__in=pool, at__gte=now - timedelta(days=PACE_DAYS))
    recent = rows.aggregate(sum=Sum("spent", default=0), first=Min("at"))
    if not recent["sum"]:
        return None
    days = max((now - recent["first"]).total_seconds() / 86400, 1.0)
    return max(int(balance / (recent["sum"] / days)), 0)


def rooms(team: Team, demo: bool, user: User | None = None) -> list[Room]:
    """Of the budgets of a team, or those of them that one person has whatever the project. One query for all sums."""
    shown = budgets.active(team)
    if user:
        shown = shown.filter(Q(user=user) | Q(user=None), project=None)
    today, asked = team.day(), {}
    for budget in shown:
        where = Q(day__gte=budget.first_day(today), day__lte=budget.last_day(today))
        where &= Q(user=budget.user_id) if budget.user_id else Q()
        where &= Q(project=budget.project_id) if budget.project_id else Q()
        asked[f"held_{budget.pk}"] = Sum("held", filter=where, default=0)
        asked[f"spent_{budget.pk}"] = Sum("spent", filter=where, default=0)
    sums = DaySum.objects.filter(team=team, demo=demo).aggregate(**asked) if asked else {}
    return [
        Room(
            budget,
            _used(budget, sums[f"held_{budget.pk}"] + sums[f"spent_{budget.pk}"], today),
            sums[f"held_{budget.pk}"],
        )
        for budget in sorted(shown, key=lambda budget: (bool(budget.user_id), bool(budget.project_id), budget.pk))
    ]


def _used(budget: Budget, credits: int, today: date) -> int:
    return credits - (budget.forgiven if budget.forgiven_in == budget.first_day(today) else 0)
