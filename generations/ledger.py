"""The books: hold, capture, release. Every function is called inside the transaction that moves the generation."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum
from django.utils import timezone

from generations.models import Generation, LedgerEntry, Team, User


@dataclass(frozen=True)
class Totals:
    """Credits, over some part of the books."""

    held: int
    spent: int


def _add(generation: Generation, kind: str, *, held: int, spent: int = 0, why: str) -> LedgerEntry:
    return LedgerEntry.objects.create(
        kind=kind,
        generation=generation,
        user_id=generation.owner_id,
        team_id=generation.team_id,
        held=held,
        spent=spent,
        why=why,
        demo=generation.quote.account.demo,
    )


def hold(generation: Generation) -> LedgerEntry:
    """Sets the confirmed price aside. A second hold for one generation is an IntegrityError."""
    return _add(generation, LedgerEntry.Kind.HOLD, held=generation.price, why="confirmed")


def capture(generation: Generation, credits: int, why: str = "completed") -> LedgerEntry:
    """Settles the hold at what upstream really charged. A second settlement is an IntegrityError."""
    return _add(generation, LedgerEntry.Kind.CAPTURE, held=-generation.price, spent=credits, why=why)


def release(generation: Generation, why: str) -> LedgerEntry:
    """Gives the hold back: nothing was charged. A second settlement is an IntegrityError."""
    return _add(generation, LedgerEntry.Kind.RELEASE, held=-generation.price, why=why[:200])


def month_start(now: datetime | None = None) -> datetime:
    """When the running month began, in the time zone in force."""
    return timezone.localtime(now or timezone.now()).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def totals(*, user: User | None = None, team: Team | None = None, since: datetime | None = None, demo: bool) -> Totals:
    """What is held now and what was spent since a time. What is held is held whenever it was taken."""
    rows = LedgerEntry.objects.filter(demo=demo)
    if user:
        rows = rows.filter(user=user)
    if team:
        rows = rows.filter(team=team)
    held = rows.aggregate(sum=Sum("held"))["sum"] or 0
    if since:
        rows = rows.filter(at__gte=since)
    return Totals(held=held, spent=rows.aggregate(sum=Sum("spent"))["sum"] or 0)
