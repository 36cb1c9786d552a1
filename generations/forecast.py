"""When clips are likely ready: what people are told, and how often it held. outlook.py is the arithmetic behind it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from generations import dispatch, outlook, pacing
from generations.models import RENDERING, ApiAccount, ApiKey, Forecast, Generation, Status, Team, User
from generations.outlook import Range

DRAFT = 2**62  # stands for a clip that is not confirmed yet
NEWEST = 400  # clips among which those of the last hours are sought
LAST, ENOUGH = 100, 10  # clips that are counted; below, nothing is said

#: Words of dispatch.WAITING that end by themselves. For as long as another stands, nobody can tell.
PASSES = ("", "turn", "slots", "hour", "busy", "checking", "limit", "unreachable")

TOLD = ("pk", "owner_id", "queued_at", "team_id", *dispatch.KIND)


@dataclass
class Outlook:
    """What the forecasts of one moment have in common, asked for once. Of the real accounts, or of demo mode."""

    demo: bool
    now: datetime = field(default_factory=timezone.now)
    pace: dispatch.Pace | None = None  # of the one account that is looked at; else one stands for all
    _kinds: dict[pacing.Kind, outlook.Kind] = field(default_factory=dict)

    @cached_property
    def accounts(self) -> list[ApiAccount]:
        """Those that clips go out on, the reserved ones first."""
        works = ApiKey.objects.filter(account=OuterRef("pk"), state=ApiKey.State.ACTIVE)
        rows = dispatch.accounts(self.demo).filter(Exists(works), state=ApiAccount.State.OPEN)
        found = list(rows.order_by(F("team").asc(nulls_last=True), "pk"))
        goes_on = found and dispatch.lane(found[0], self.now) in PASSES  # what stops one of these for good stops all
        return found if goes_on else []

    @cached_property
    def load(self) -> pacing.Load:
        """Of one account, which stands for all: they are filled alike when there is much to do."""
        if self.pace:
            return self.pace.load
        common = [account for account in self.accounts if account.team_id is None]
        one = next(iter(common or self.accounts), None)
        return dispatch.load(one, self.now) if one else pacing.Load([], 0, 0)

    @cached_property
    def seen(self) -> list[tuple[pacing.Kind, float]]:
        return self.pace.seen if self.pace else dispatch.seen(self.demo)

    def kind(self, kind: pacing.Kind) -> outlook.Kind:
        """How clips of one kind do. The simulator is faster than what upstream says of itself."""
        if kind not in self._kinds:
            seen, usual = pacing.samples(self.seen, kind)
            if len(seen) < pacing.ENOUGH and self.demo:
                seen = [took / settings.DEMO_SPEED for took in pacing.PRIOR]
                usual = [seen]
            self._kinds[kind] = outlook.kind(seen, usual, self.load)
        return self._kinds[kind]

    def takes(self, generation: Generation) -> list[float]:
        """From being sent to being noticed, in seconds: each as likely as the others, sorted."""
        return list(self.kind(dispatch.kind_of(generation.mode, generation.params)).takes)

    def rest(self, generation: Generation) -> list[float]:
        """How much longer one that renders may take; empty when it took longer than all before."""
        elapsed = (self.now - (generation.sent_at or generation.created_at)).total_seconds()
        return [took - elapsed for took in self.takes(generation) if took > elapsed]

    def line(self, only: int | None = None) -> dict[int, Range]:
        """Between how many seconds from now each of the line is ready (`only`: this one at least)."""
        return self._play([self._turn(row) for row in self._waiting()], only)

    def draft(self, who: User, team: Team, kind: pacing.Kind) -> Range:
        """Of a clip that is not confirmed yet: if it were now. Without an account that is open, from being sent on."""
        return self.drafts(who, team, [kind])

    def drafts(self, who: User, team: Team, kinds: Sequence[pacing.Kind]) -> Range:
        """When the last of several is ready, if they were confirmed together now."""
        mine = {
            DRAFT + place: outlook.Turn(DRAFT + place, who.pk, team.pk, 0.0, self.kind(kind))
            for place, kind in enumerate(kinds)
        }
        more = [(number, who.pk, self.now) for number in mine]
        line = [mine.get(row[0]) or self._turn(row) for row in self._waiting(more)]
        alone = max((outlook.between(turn.kind.takes) for turn in mine.values()), key=lambda between: between[1])
        return self._last(line, set(mine)) or alone

    def rest_of(self, generations: Sequence[Generation]) -> Range | None:
        """When the last of these is ready, which wait or render. None: nobody can tell."""
        waiting = {generation.pk for generation in generations if generation.status == Status.QUEUED}
        ends = []
        if waiting:
            last = self._last([self._turn(row) for row in self._waiting()], waiting)
            if last is None:
                return None
            ends.append(last)
        for generation in generations:
            if generation.status in RENDERING and (rest := self.rest(generation)):
                ends.append(outlook.between(rest))
        return (max(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def _last(self, line: list[outlook.Turn], numbers: set[int]) -> Range | None:
        if not line or not self.accounts:
            return None
        return outlook.last(self._places(), line, self.load, numbers, self._lately())

    def _waiting(self, more: Sequence[tuple[int, int, datetime]] = ()) -> list[tuple[Any, ...]]:
        """The line, in the order in which it will be sent."""
        rows: dict[int, tuple[Any, ...]] = {
            row[0]: row for row in dispatch.queued(self.demo, self.now).values_list(*TOLD)
        }
        rows |= {row[0]: row for row in more}
        under_way = Generation.objects.filter(quote__account__demo=self.demo, status__in=RENDERING)
        running = Counter(under_way.values_list("owner_id", flat=True))
        order = dispatch.in_turn(((pk, who, at) for pk, who, at, *_ in rows.values()), running)
        return [rows[pk] for pk in order]

    def _turn(self, row: tuple[Any, ...], sign: int = 1) -> outlook.Turn:
        pk, who, at, team, *kind = row
        return outlook.Turn(sign * pk, who, team, (at - self.now).total_seconds(), self.kind(tuple(kind)))

    def _play(self, line: list[outlook.Turn], only: int | None) -> dict[int, Range]:
        if not line or not self.accounts:
            return {}
        return outlook.ready(self._places(), line, self.load, self._lately(), only)

    def _lately(self) -> list[outlook.Turn]:
        newest = Generation.objects.filter(quote__account__demo=self.demo).exclude(status=Status.AWAITING_APPROVAL)
        since = self.now - timedelta(seconds=outlook.LATELY)
        rows = newest.order_by("-pk").values_list(*TOLD)[:NEWEST]
        return [self._turn(row, -1) for row in rows if since < row[2] <= self.now]

    def _places(self) -> list[outlook.Place]:
        unknown = Q(status=Status.UNCONFIRMED, sent_at__gt=self.now - dispatch.UNKNOWN_HOLDS_A_SLOT)
        held = Generation.objects.filter(Q(status__in=RENDERING) | unknown, account__in=self.accounts)
        under_way: dict[int | None, list[outlook.Place]] = {}
        teams = {account.pk: account.team_id for account in self.accounts}
        for pk, account, who, at, *kind in held.values_list("pk", "account_id", "owner_id", "sent_at", *dispatch.KIND):
            elapsed = max((self.now - at).total_seconds(), 0.0) if at else 0.0
            free = outlook.left(self.kind(tuple(kind)).takes, elapsed)
            under_way.setdefault(account, []).append(outlook.Place(pk, teams[account], who, free))
        places = []
        for account in self.accounts:
            taken = under_way.get(account.pk, [])
            wait = (account.wait_until - self.now).total_seconds() if account.wait_until else 0.0
            empty = outlook.Place(0, account.team_id, free=(max(wait, 0.0),))
            places += taken + [empty] * (pacing.AT_ONCE - len(taken))
        return places


# -- what was told, and whether it held -------------------------------------------------------------------------------


def tell(generation: Generation) -> None:
    """Remembers between which times a clip that joins the line was said to be ready. Nothing, while nobody can tell."""
    seen_from = Outlook(generation.quote.account.demo)
    told = seen_from.line(only=generation.pk).get(generation.pk)
    if told is not None:
        _remember(generation, Forecast.Stage.QUEUED, seen_from.now, told)


def tell_sent(generation: Generation, pace: dispatch.Pace) -> None:
    """The same when it was sent, on the account whose pace this is."""
    takes = Outlook(pace.account.demo, pace.now, pace).takes(generation)
    _remember(generation, Forecast.Stage.SENT, pace.now, outlook.between(takes))


def _remember(generation: Generation, stage: str, at: datetime, told: Range) -> None:
    low, high = (at + timedelta(seconds=seconds) for seconds in told)
    Forecast.objects.update_or_create(generation=generation, stage=stage, defaults={"at": at, "low": low, "high": high})


def tell_queued(generations: Sequence[Generation]) -> None:
    """The same of several that were just confirmed together: the line is played once."""
    if not generations:
        return
    if len(generations) == 1:
        tell(generations[0])
        return
    seen_from = Outlook(generations[0].quote.account.demo)
    line = seen_from.line()
    rows = []
    for generation in generations:
        if told := line.get(generation.pk):
            low, high = (seen_from.now + timedelta(seconds=seconds) for seconds in told)
            rows.append(
                Forecast(generation=generation, stage=Forecast.Stage.QUEUED, at=seen_from.now, low=low, high=high)
            )
    Forecast.objects.bulk_create(rows, ignore_conflicts=True)


def kept() -> QuerySet[Forecast]:
    """Of clips that are ready."""
    return Forecast.objects.filter(generation__status=Status.COMPLETED, generation__finished_at__isnull=False)


@dataclass(frozen=True)
class Record:
    """Of so many clips, how many were ready within the time that was said when they were confirmed."""

    clips: int
    held: int


def record(team: Team) -> Record | None:
    """Of a team's last clips. None: too few to say."""
    told = kept().filter(stage=Forecast.Stage.QUEUED, generation__team=team)
    last = list(told.order_by("-pk").values_list("low", "generation__finished_at", "high")[:LAST])
    if len(last) < ENOUGH:
        return None
    return Record(len(last), sum(low <= ready <= high for low, ready, high in last if ready))


@dataclass(frozen=True)
class Row:
    """How well one model's clips kept to what was said of them at one stage."""

    mode: str
    said: str
    clips: int
    held: int
    sooner: int
    later: int


def by_model() -> list[Row]:
    """Of all clips that are ready, demo mode's too."""
    sooner, later = Q(generation__finished_at__lt=F("low")), Q(generation__finished_at__gt=F("high"))
    groups = kept().values("generation__mode", "stage").order_by("generation__mode", "stage")
    counts = groups.annotate(clips=Count("pk"), sooner=Count("pk", filter=sooner), later=Count("pk", filter=later))
    return [
        Row(
            row["generation__mode"],
            Forecast.Stage(row["stage"]).label,
            row["clips"],
            row["clips"] - row["sooner"] - row["later"],
            row["sooner"],
            row["later"],
        )
        for row in counts
    ]
