"""Clips side by side: which one won, what the team voted without seeing model and price, and what a win costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from django.db import IntegrityError, transaction
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from generations import access
from generations.models import Clip, Comparison, Generation, Team, User, Vote

FEWEST, MOST = 2, 6  # clips that are shown side by side


class CannotDecide(Exception):
    """The decision does not stand. The message says why; nothing was changed."""


def key_of(clips: Sequence[Generation]) -> str:
    return ",".join(str(pk) for pk in sorted(clip.pk for clip in clips))


def found(clips: Sequence[Generation]) -> Comparison | None:
    """What was decided about exactly these clips so far."""
    rows = Comparison.objects.select_related("winner", "decided_by", "opened_by")
    return rows.filter(key=key_of(clips)).first()


def _of(clips: Sequence[Generation]) -> Comparison:
    comparison, made = Comparison.objects.get_or_create(key=key_of(clips), defaults={"team": clips[0].team})
    if made:
        comparison.clips.set(clips)
    return comparison


def in_order_for(clips: Sequence[Generation], comparison: Comparison | None, who: User) -> list[Generation]:
    """As they were asked for; in a blind vote mixed, for each person in an order of their own that stays."""
    if comparison is None or not comparison.voting:
        return list(clips)
    mixed = sorted(clips, key=lambda clip: clip.pk)
    Random(f"{comparison.pk}:{who.pk}").shuffle(mixed)  # noqa: S311 - mixes clips, guards nothing
    return mixed


def pick(clips: Sequence[Generation], who: User, winner: int, before: int | None) -> Comparison:
    """Makes one of them the winner. `before` is the winner that the person saw. Raises CannotDecide."""
    if winner not in [clip.pk for clip in clips]:
        raise CannotDecide("The winner has to be one of the clips on this page. Nothing was changed.")
    with transaction.atomic():
        comparison = _of(clips)
        if comparison.voting:
            raise CannotDecide("A blind vote runs. Close it first. Nothing was changed.")
        if not access.may_pick(who, comparison):
            raise CannotDecide("Only who picked the winner, a manager or an admin can change it. Nothing was changed.")
        rows = Comparison.objects.filter(pk=comparison.pk, winner=before, opened_at=comparison.opened_at)
        if not rows.update(winner=winner, decided_by=who, decided_at=timezone.now()):
            raise CannotDecide("Somebody else picked a winner meanwhile. Look again. Nothing was changed.")
    return comparison


def open_vote(clips: Sequence[Generation], who: User) -> None:
    """From now on nobody sees models and prices on this page before they voted. Raises CannotDecide."""
    if any(clip.clip.state != Clip.State.STORED for clip in clips):
        raise CannotDecide("A vote can begin when every clip is ready. Nothing was changed.")
    with transaction.atomic():
        comparison = _of(clips)
        begun = Comparison.objects.filter(pk=comparison.pk, opened_at=None, winner=None)
        if not begun.update(opened_at=timezone.now(), opened_by=who):
            raise CannotDecide("There was a vote or a winner already. Nothing was changed.")


def vote(clips: Sequence[Generation], who: User, chosen: int) -> None:
    """One vote each, while the vote runs. Raises CannotDecide."""
    if chosen not in [clip.pk for clip in clips]:
        raise CannotDecide("Vote for one of the clips on this page. Nothing was changed.")
    try:
        with transaction.atomic():
            comparison = Comparison.objects.select_for_update().filter(key=key_of(clips)).first()
            if comparison is None or not comparison.voting:
                raise CannotDecide("No vote runs about these clips. Nothing was changed.")
            Vote.objects.create(comparison=comparison, user=who, generation_id=chosen)
    except IntegrityError:
        raise CannotDecide("You have voted already: one vote each. Nothing was changed.") from None


def close_vote(comparison: Comparison) -> bool:
    """Shows models and prices to all. False: it does not run."""
    with transaction.atomic():  # after a vote that is being cast
        locked = Comparison.objects.select_for_update().get(pk=comparison.pk)
        return bool(
            Comparison.objects.filter(pk=locked.pk, opened_at__isnull=False, closed_at=None).update(
                closed_at=timezone.now()
            )
        )


def voted(comparison: Comparison | None, who: User) -> int | None:
    """For which clip this person is."""
    if comparison is None:
        return None
    return comparison.votes.filter(user=who).values_list("generation", flat=True).first()


def counts(comparison: Comparison) -> dict[int, int]:
    """Votes for each clip."""
    return dict(comparison.votes.values_list("generation").annotate(Count("pk")))


# -- which model is worth its price -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Worth:
    """How one model did in the comparisons that a team decided."""

    mode: str
    clips: int  # that stood in them
    credits: int  # charged for these
    wins: int
    votes: int  # in blind votes

    @property
    def per_win(self) -> int | None:
        """Credits for the clips that won and for those that did not: what a win really costs."""
        return round(self.credits / self.wins) if self.wins else None

    @property
    def percent(self) -> int:
        """Of its clips, how many won."""
        return round(100 * self.wins / self.clips) if self.clips else 0


def worth(team: Team, demo: bool, since: datetime | None = None) -> list[Worth]:
    """The models of a team's decided comparisons, the cheapest win first. A clip of two of them costs once."""
    decided = Comparison.objects.filter(team=team, winner__isnull=False, winner__quote__account__demo=demo)
    if since:
        decided = decided.filter(decided_at__gte=since)
    stood = Comparison.clips.through.objects.filter(comparison__in=decided).values("generation")
    sums = Generation.objects.filter(pk__in=stood).values("mode").order_by("mode")
    rows = sums.annotate(clips=Count("pk"), credits=Sum(Coalesce("charged", 0)))
    wins = dict(decided.values_list("winner__mode").annotate(Count("pk")))
    cast = Vote.objects.filter(comparison__in=decided.filter(closed_at__isnull=False))
    votes = dict(cast.values_list("generation__mode").annotate(Count("pk")))
    found = [
        Worth(row["mode"], row["clips"], row["credits"], wins.get(row["mode"], 0), votes.get(row["mode"], 0))
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.per_win is None, each.per_win or 0, -each.clips, each.mode))
