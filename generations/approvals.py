"""Parked requests: a manager approves or rejects each, or it expires. Its credits are held all the while."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from generations import access, audit, budgets, forecast, ledger, lifecycle
from generations.models import Approval, Generation, Status, User
from generations.words import credits

Verdict = Approval.Verdict


TOO_LATE = "This request was decided or cancelled already. Nothing was changed."


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


def approve(generation: Generation, who: User, shown: int, **origin: str) -> None:
    """Lets a parked request into the line, at the price of now. `shown` is the price the manager saw.

    Raises CannotDecide, PriceChanged, budgets.OverBudget, or lifecycle.NoPrice; then nothing changed.
    """
    _check(generation, who)
    held = generation.price
    price = lifecycle.ask_price(generation.quote.billing, generation.quote.account.demo, generation.team)
    if price.credits > max(shown, held):
        raise PriceChanged(max(shown, held), price.credits)
    with transaction.atomic():
        team = budgets.lock(generation.team_id)
        verdict = budgets.weigh(
            team,
            generation.owner,
            generation.project,
            generation.mode,
            price.credits,
            price.account.demo,
            held=held,
            day=generation.day,
        )
        if verdict.refusing:
            raise budgets.OverBudget(price.credits, verdict.refusing, held=held)
        if not generation.move(Status.QUEUED, quote=price, queued_at=timezone.now()):
            raise CannotDecide(TOO_LATE)
        if price.credits != held:
            ledger.adjust(generation, price.credits, "price of the day of approval")
            Generation.objects.filter(pk=generation.pk).update(price=price.credits)
            generation.price = price.credits
        _close(generation, Verdict.APPROVED, who, "")
        audit.record(who, "approval.approved", _words(generation), team=team, generation=generation.pk, **origin)
    forecast.tell(generation)


def reject(generation: Generation, who: User, reason: str, **origin: str) -> None:
    """Ends a parked request and gives its credits back. The reason is for the person who asked."""
    _check(generation, who)
    reason = reason.strip()
    if not reason:
        raise CannotDecide("Say why, in a few words: the person who asked reads it. Nothing was changed.")
    with transaction.atomic():
        _end(generation, f"rejected by {who.get_full_name()}")
        _close(generation, Verdict.REJECTED, who, reason)
        words = f"{_words(generation)}: {reason}"
        audit.record(who, "approval.rejected", words, team=generation.team, generation=generation.pk, **origin)


def expire(now: datetime | None = None) -> list[Generation]:
    """Ends what nobody decided in time. Returns what it ended."""
    late = Approval.objects.filter(
        verdict=Verdict.OPEN, expires_at__lte=now or timezone.now(), generation__status=Status.AWAITING_APPROVAL
    )
    ended = []
    for approval in late.select_related("generation__team", "generation__owner", "generation__quote__account"):
        generation = approval.generation
        try:
            with transaction.atomic():
                _end(generation, "expired: nobody approved it in time")
                _close(generation, Verdict.EXPIRED, None, "nobody decided in time")
                audit.record(
                    None, "approval.expired", _words(generation), team=generation.team, generation=generation.pk
                )
        except CannotDecide:
            continue
        ended.append(generation)
    return ended


def waiting_for(user: User) -> QuerySet[Approval]:
    """Open requests that this person may see as a manager, oldest first. Their own are among them."""
    managed = access.managed_generations(user).filter(status=Status.AWAITING_APPROVAL)
    return Approval.objects.filter(verdict=Verdict.OPEN, generation__in=managed).order_by("asked_at", "pk")


def to_decide(user: User) -> QuerySet[Approval]:
    """Those of them that wait for this very person."""
    return waiting_for(user).exclude(generation__owner=user)


def decided_for(user: User) -> QuerySet[Approval]:
    """What became of the others, newest first."""
    decided = Approval.objects.filter(generation__in=access.managed_generations(user), decided_at__isnull=False)
    return decided.order_by("-decided_at", "-pk")


def _check(generation: Generation, who: User) -> None:
    if generation.owner_id == who.pk:
        raise CannotDecide("Nobody decides about their own request. Another manager can. Nothing was changed.")
    if not access.may_approve(who, generation):
        raise CannotDecide("Only managers of the team and admins decide. Nothing was changed.")
    if generation.status != Status.AWAITING_APPROVAL:
        raise CannotDecide(TOO_LATE)


def _words(generation: Generation) -> str:
    return f"{credits(generation.price)} for {generation.owner.get_full_name()}, {generation}"


# Every way out of a parked request moves the generation first, then the sums, then the approval: in one order, so that
# of two at once the second waits and then finds nothing to do.


def _end(generation: Generation, why: str) -> None:
    if not generation.move(Status.CANCELLED, finished_at=timezone.now()):
        raise CannotDecide(TOO_LATE)
    ledger.release(generation, why)


def _close(generation: Generation, verdict: str, who: User | None, reason: str) -> None:
    closed = Approval.objects.filter(generation=generation, verdict=Verdict.OPEN).update(
        verdict=verdict, who=who, reason=reason[:500], decided_at=timezone.now()
    )
    if not closed:
        raise CannotDecide(TOO_LATE)
