"""The books: hold, adjust, capture, release, refund. Each function is called in the transaction of the move itself.

Each row is added to the day's sums in the same transaction: budgets and reports read those. Everything of a generation
counts on the day of its confirmation, in its team's time zone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Sum
from django.utils import timezone

from generations.models import BalanceReading, DaySum, Generation, LedgerEntry, Status, Team, User

Kind = LedgerEntry.Kind


@dataclass(frozen=True)
class Totals:
    """Credits, over some part of the books."""

    held: int
    spent: int


class NotRefundable(Exception):
    """A refund does not fit. The message says why; nothing was written."""


def _add(
    generation: Generation,
    kind: str,
    *,
    held: int,
    spent: int = 0,
    why: str,
    more: Any = None,
    **counts: int,
) -> LedgerEntry:
    """`more` goes into the row, `counts` into the sums of the day."""
    demo = generation.quote.account.demo
    whose: dict[str, Any] = {
        "user_id": generation.owner_id,
        "team_id": generation.team_id,
        "project_id": generation.project_id,
    }
    entry = LedgerEntry.objects.create(
        kind=kind,
        generation=generation,
        **whose,
        account_id=generation.account_id,
        held=held,
        spent=spent,
        why=why[:200],
        demo=demo,
        day=generation.day,
        **(more or {}),
    )
    row, _ = DaySum.objects.get_or_create(**whose, mode=generation.mode, demo=demo, day=generation.day)
    grown = {name: F(name) + value for name, value in {"held": held, "spent": spent, **counts}.items() if value}
    DaySum.objects.filter(pk=row.pk).update(**grown)
    return entry


def hold(generation: Generation) -> LedgerEntry:
    """Sets the confirmed price aside. A second hold for one generation is an IntegrityError."""
    return _add(generation, Kind.HOLD, held=generation.price, why="confirmed", confirmed=1)


def adjust(generation: Generation, price: int, why: str) -> LedgerEntry:
    """Makes the hold larger or smaller, before the generation's own price is changed to it."""
    return _add(generation, Kind.ADJUST, held=price - generation.price, why=why)


def capture(generation: Generation, credits: int, why: str = "completed") -> LedgerEntry:
    """Settles the hold at what upstream really charged. A second settlement is an IntegrityError."""
    counts = {"completed": 1} if generation.status == Status.COMPLETED else {"failed": 1, "failed_spent": credits}
    held = -generation.price
    return _add(generation, Kind.CAPTURE, held=held, spent=credits, why=why, quoted=generation.price, **counts)


def release(generation: Generation, why: str) -> LedgerEntry:
    """Gives the hold back: nothing was charged. A second settlement is an IntegrityError."""
    failed = int(generation.status in (Status.FAILED, Status.REJECTED))
    return _add(generation, Kind.RELEASE, held=-generation.price, why=why, failed=failed)


def refund(generation: Generation, credits: int, rise: LedgerEntry, why: str) -> LedgerEntry:
    """Takes back what was charged: once, and at most all of it. `rise` is how it was seen to come back.

    What counted as bought there does not any more, so that the account's sum stays what it was. A second refund is an
    IntegrityError. Raises NotRefundable.
    """
    captured = generation.entries.filter(kind=Kind.CAPTURE).first()
    if captured is None or not 0 < credits <= captured.spent:
        charged = captured.spent if captured else 0
        raise NotRefundable(f"{generation} was charged {charged:,}: {credits:,} cannot be its refund.")
    vain = credits if generation.status == Status.FAILED else 0  # without a clip
    row = {"bought": -credits, "after": rise.after, "until": rise.until}
    back = {"refunded": credits, "failed_spent": -vain, "failed_refunded": vain}
    return _add(generation, Kind.REFUND, more=row, held=0, spent=-credits, why=why, **back)


def outside(after: BalanceReading, until: BalanceReading, credits: int) -> LedgerEntry:
    """Credits that left the account (positive) or came onto it between two readings, not by Dailies."""
    spent, bought = max(credits, 0), max(-credits, 0)
    return LedgerEntry.objects.create(
        kind=Kind.OUTSIDE if spent else Kind.TOPUP,
        account_id=until.account_id,
        spent=spent,
        bought=bought,
        why="not spent by Dailies" if spent else "came onto the account",
        demo=until.account.demo,
        after=after,
        until=until,
    )


def month_start(now: datetime | None = None) -> datetime:
    """When the running month began, in the time zone in force."""
    return timezone.localtime(now or timezone.now()).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def totals(*, user: User | None = None, team: Team | None = None, since: datetime | None = None, demo: bool) -> Totals:
    """What is held now and what was spent since the day of a time. What is held is held whenever it was taken."""
    rows = DaySum.objects.filter(demo=demo)
    if user:
        rows = rows.filter(user=user)
    if team:
        rows = rows.filter(team=team)
    held = rows.aggregate(sum=Sum("held"))["sum"] or 0
    if since:
        rows = rows.filter(day__gte=timezone.localdate(since))
    return Totals(held=held, spent=rows.aggregate(sum=Sum("spent"))["sum"] or 0)
