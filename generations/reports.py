"""What the spend page shows: sums over the ledger. Reads, changes nothing."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from generations import ledger
from generations.models import LedgerEntry, Status, Team, User

SETTLED = (LedgerEntry.Kind.CAPTURE, LedgerEntry.Kind.RELEASE)
FAILED = (Status.FAILED, Status.REJECTED)
PACE_DAYS = 30


@dataclass(frozen=True)
class Month:
    """One calendar month, in the time zone in force."""

    start: datetime
    end: datetime
    running: bool

    @classmethod
    def read(cls, text: str, now: datetime | None = None) -> "Month":
        """`2026-11`. What is no month, or lies ahead, is the running one."""
        this = ledger.month_start(now)
        match = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", text, re.ASCII)
        start = this.replace(year=int(match[1]), month=int(match[2])) if match else this
        return cls._from(min(start, this), this)

    @classmethod
    def _from(cls, start: datetime, this: datetime) -> "Month":
        return cls(start, (start + timedelta(days=32)).replace(day=1), start == this)

    @property
    def text(self) -> str:
        return f"{self.start:%Y-%m}"

    @property
    def words(self) -> str:
        return f"{self.start:%B %Y}"

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def before(self) -> "Month":
        return self._from((self.start - timedelta(days=1)).replace(day=1), ledger.month_start())

    def after(self) -> "Month":
        return self._from(self.end, ledger.month_start())

    @property
    def within(self) -> Q:
        return Q(day__gte=self.start.date(), day__lt=self.end.date())


@dataclass(frozen=True)
class Figures:
    """What a part of the books says of one month. Credits, and how many clips they were."""

    spent: int
    clips: int
    held: int
    under_way: int
    failed: int
    failed_spent: int
    given_back: int
    first: datetime | None

    @property
    def each(self) -> int:
        return round(self.spent / self.clips) if self.clips else 0


def books(demo: bool, *, user: User | None = None, team: Team | None = None) -> QuerySet[LedgerEntry]:
    rows = LedgerEntry.objects.filter(demo=demo)
    rows = rows.filter(user=user) if user else rows
    return rows.filter(team=team) if team else rows


def figures(rows: QuerySet[LedgerEntry], month: Month) -> Figures:
    settled = month.within & Q(kind__in=SETTLED)
    failed = settled & Q(generation__status__in=FAILED)
    sums = rows.aggregate(
        spent_sum=Sum("spent", filter=month.within, default=0),
        held_sum=Sum("held", default=0),
        clips=Count("pk", filter=settled & Q(generation__status=Status.COMPLETED)),
        holds=Count("pk", filter=Q(kind=LedgerEntry.Kind.HOLD)),
        ends=Count("pk", filter=Q(kind__in=SETTLED)),
        failed=Count("pk", filter=failed),
        failed_spent=Sum("spent", filter=failed, default=0),
        failed_held=Sum("held", filter=failed, default=0),
        first=Min("at"),
    )
    return Figures(
        spent=sums["spent_sum"],
        clips=sums["clips"],
        held=sums["held_sum"],
        under_way=sums["holds"] - sums["ends"],
        failed=sums["failed"],
        failed_spent=sums["failed_spent"],
        given_back=max(-sums["failed_held"] - sums["failed_spent"], 0),
        first=sums["first"],
    )


def behind(rows: QuerySet[LedgerEntry], month: Month) -> QuerySet[LedgerEntry]:
    """The entries that make up a month's figures, one for each generation: what settled in it, and what is held now."""
    ended = LedgerEntry.objects.filter(generation=OuterRef("generation"), kind__in=SETTLED)
    settled = month.within & Q(kind__in=SETTLED)
    held_now = Q(Q(kind=LedgerEntry.Kind.HOLD), ~Exists(ended))
    wanted = settled | held_now if month.running else settled
    return rows.filter(wanted).select_related("generation").order_by("-at", "-pk")


def by_day(rows: QuerySet[LedgerEntry], month: Month) -> list[tuple[int, str, int]]:
    """(day of the month, model, credits spent)."""
    sums = (
        rows.filter(month.within, spent__gt=0)
        .values("day", "generation__mode")
        .annotate(sum=Sum("spent"))
        .order_by("day")
    )
    return [(row["day"].day, row["generation__mode"], row["sum"]) for row in sums if row["day"]]


def by_person(rows: QuerySet[LedgerEntry], month: Month) -> list[tuple[int, str, int, int]]:
    """(person, model, credits spent, clips)."""
    done = Q(generation__status=Status.COMPLETED)
    sums = rows.filter(month.within, kind=LedgerEntry.Kind.CAPTURE).values("user_id", "generation__mode")
    sums = sums.annotate(sum=Sum("spent"), clips=Count("pk", filter=done)).order_by("user_id")
    return [(row["user_id"], row["generation__mode"], row["sum"], row["clips"]) for row in sums]


def days_left(balance: int, demo: bool, team: Team | None = None, now: datetime | None = None) -> int | None:
    """How many days a team's balance lasts at the pace of the last month, over everything that is paid from it."""
    now = now or timezone.now()
    since = now - timedelta(days=PACE_DAYS)
    common = Q(generation__account__team=None)  # or the row is not of any account, as a hold
    rows = LedgerEntry.objects.filter(common | Q(generation__account__team=team), demo=demo, at__gte=since)
    recent = rows.aggregate(sum=Sum("spent", default=0), first=Min("at"))
    if not recent["sum"]:
        return None
    days = max((now - recent["first"]).total_seconds() / 86400, 1.0)
    return int(balance / (recent["sum"] / days))
