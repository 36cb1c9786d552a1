"""Parked requests: a manager approves or rejects each, or it expires. Its credits are held all the while."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from generations import access, budgets, forecast, ledger, lifecycle
from generations.models import Approval, Forecast, Generation, Status, User
from generations.words import credits

Verdict = Approval.Verdict


class CannotDecide(Exception):
    """The decision does not stand. The message says why; nothing was changed."""


class PriceChanged(Exception):
    """The price of now is higher than the one that was shown. Nothing was changed."""

    def __init__(self, before: int, now: int) -> None:
        super().__init__(
            f"The price rose from {credits(before)} to {credits(now)}. Approve it again at this price, or reject it. "
            f"Nothing was sent or charged."
        )
        self.now = now


def approve(generation: Generation, who: User, shown: int) -> None:
    """Lets a parked request into the line, at the price of now. `shown` is the price the manager saw.

    Raises CannotDecide, PriceChanged, budgets.OverBudget, or lifecycle.NoPrice; then nothing changed.
    """
    _check(generation, who)
    price = lifecycle.ask_price(generation.quote.billing, generation.quote.account.demo, generation.team_id)
    if price.credits > max(shown, generation.price):
        raise PriceChanged(max(shown, generation.price), price.credits)
    with transaction.atomic():
        team = budgets.lock(generation.team_id)
        verdict = budgets.weigh(
            team,
            generation.owner,
            generation.project,
            generation.mode,
            price.credits,
            price.account.demo,
            held=generation.price,
        )
        if verdict.refusing:
            raise budgets.OverBudget(price.credits, verdict.refusing, held=generation.price)
        _close(generation, Verdict.APPROVED, who, "")
        if price.credits != generation.price:
            ledger.adjust(generation, price.credits, "price of the day of approval")
        moved = generation.move(Status.QUEUED, price=price.credits, quote=price, queued_at=timezone.now())
        if not moved:
            raise CannotDecide("This request was cancelled meanwhile. Nothing was changed.")
    forecast.tell(generation, Forecast.Stage.QUEUED)


def reject(generation: Generation, who: User, reason: str) -> None:
    """Ends a parked request and gives its credits back. The reason is for the person who asked."""
    _check(generation, who)
    if not reason.strip():
        raise CannotDecide("Say why, in a few words: the person who asked reads it. Nothing was changed.")
    with transaction.atomic():
        _close(generation, Verdict.REJECTED, who, reason.strip())
        _end(generation, f"rejected by {who.get_full_name()}")


def expire(now: datetime | None = None) -> list[Generation]:
    """Ends what nobody decided in time. Returns what it ended."""
    now = now or timezone.now()
    ended = []
    late = Approval.objects.filter(verdict=Verdict.OPEN, expires_at__lte=now).select_related(
        "generation__quote__account"
    )
    for approval in late:
        generation = approval.generation
        try:
            with transaction.atomic():
                _close(generation, Verdict.EXPIRED, None, "nobody decided in time")
                _end(generation, "expired: nobody approved it in time")
        except CannotDecide:
            continue
        ended.append(generation)
    return ended


def waiting_for(user: User) -> QuerySet[Approval]:
    """Open requests that this person may see as a manager, oldest first. Their own are among them."""
    return Approval.objects.filter(verdict=Verdict.OPEN, generation__in=access.managed_generations(user)).order_by(
        "asked_at", "pk"
    )


def _check(generation: Generation, who: User) -> None:
    if generation.owner_id == who.pk:
        raise CannotDecide("Nobody decides about their own request. Another manager can. Nothing was changed.")
    if not access.may_approve(who, generation):
        raise CannotDecide("Only managers of the team and admins decide. Nothing was changed.")
    if generation.status != Status.AWAITING_APPROVAL:
        raise CannotDecide("This request was decided or cancelled already. Nothing was changed.")


def _close(generation: Generation, verdict: str, who: User | None, reason: str) -> None:
    """The guarded end of the approval: of two decisions at once, one stands."""
    closed = Approval.objects.filter(generation=generation, verdict=Verdict.OPEN).update(
        verdict=verdict, who=who, reason=reason[:500], decided_at=timezone.now()
    )
    if not closed:
        raise CannotDecide("This request was decided or cancelled already. Nothing was changed.")


def _end(generation: Generation, why: str) -> None:
    if not generation.move(Status.CANCELLED, finished_at=timezone.now()):
        raise CannotDecide("This request was cancelled meanwhile. Nothing was changed.")
    ledger.release(generation, why)
