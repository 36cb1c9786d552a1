"""When clips are likely ready: the line played forward with the durations that the looks are timed by.

Pure functions; times are seconds from now. docs/pacing.md explains the curves behind them.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush
from math import ceil
from random import Random

from generations import pacing

Range = tuple[float, float]

LOW, HIGH = 0.1, 0.9  # of all ends that are played: a range should hold four times of five
STEPS = 100
#: A long line is played less often, and not to its end: its many durations even out, and people wait for the answer.
PLAYS, IN_ALL, FAR = 200, 10_000, 200
LATELY = 3 * pacing.HOUR  # newcomers are expected as they came since then
#: In each play all clips take so much more or less than was seen (standard deviation, as a share): some days are busy.
SWAY = 0.1
#: Of one that has rendered longer than all before: how much longer still, as shares of what it took so far.
OVERDUE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2)


@dataclass(frozen=True)
class Kind:
    """How clips of one kind do, looked at as they are now."""

    takes: Sequence[float]  # a hundred equally likely times from being sent to being noticed, sorted
    requests: float  # for each: its submission and its looks


def kind(seen: Sequence[float], usual: Sequence[Sequence[float]], load: pacing.Load) -> Kind:
    """`seen` is how long its like took, `usual` the same of each kind that the account renders."""
    known = tuple(pacing.expected(seen))
    return _kind(known, pacing.price(usual or [known], load), max(load.closest, pacing.CLOSEST))


@lru_cache(512)
def _kind(known: tuple[float, ...], price: float, closest: float) -> Kind:
    curve = pacing.curve(known)
    plan = pacing.plan(curve, price)
    looks = _looks(curve, plan, closest)
    last = len(looks) - 1
    durations = (_when(curve, (step + 0.5) / STEPS) for step in range(STEPS))
    return Kind([max(looks[min(bisect_left(looks, took), last)], took) for took in durations], 1 + plan.looks)


def _looks(curve: pacing.Curve, plan: pacing.Plan, closest: float) -> list[float]:
    """When one that goes on rendering is looked at."""
    at: list[float] = []
    i = 0
    while i < len(curve.at) - 1:
        first = max(bisect_left(curve.at, curve.at[i] + closest), i + 1)
        if first >= len(curve.at):
            break
        i = min(range(first, len(curve.at)), key=lambda j: plan.worth[j] - curve.at[j] * curve.done[i])
        at.append(curve.at[i])
    return at or [curve.at[-1]]


def _when(known: pacing.Curve, share: float) -> float:
    """By when this share is done."""
    after = min(max(bisect_left(known.done, share), 1), len(known.at) - 1)
    low, high = known.done[after - 1], known.done[after]
    a, b = known.at[after - 1], known.at[after]
    return min(a + (b - a) * (share - low) / (high - low), b) if high > low else b


def left(takes: Sequence[float], elapsed: float) -> list[float]:
    """How long one that has rendered for `elapsed` seconds may still take, each as likely as the others."""
    more = [took - elapsed for took in takes if took > elapsed]
    return more or [share * elapsed for share in OVERDUE]


def between(sample: Sequence[float]) -> Range:
    """The range of a sorted sample that should hold four times of five."""
    return pacing.quantile(sample, LOW), pacing.quantile(sample, HIGH)


def room(load: pacing.Load, requests: float) -> float:
    """In how many seconds so many more requests of the hour have come free."""
    hours, rest = divmod(requests, pacing.PER_ACCOUNT_HOUR - pacing.KEPT)
    short = ceil(rest - load.free(0))
    return hours * pacing.HOUR + (load.ends[min(short, len(load.ends)) - 1] if short > 0 and load.ends else 0.0)


# -- the line, played forward -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A slot: for which team (None: for all), who has it now, after how many seconds it may be free, each as likely."""

    number: int  # for its dice: the same every time, so that the answer does not flicker
    team: int | None = None
    who: int | None = None
    free: Sequence[float] = (0.0,)


@dataclass(frozen=True)
class Turn:
    """One clip of the line, or one that may join it."""

    number: int  # above 0 in the line, below for one that may come
    who: int
    team: int
    at: float  # when it joined: in the past, so below 0
    kind: Kind


def ready(
    places: Sequence[Place],
    line: Sequence[Turn],
    load: pacing.Load,
    lately: Sequence[Turn] = (),
    only: int | None = None,
) -> dict[int, Range]:
    """Between how many seconds from now each of the line, as it will be sent, is ready (`only`: that one at least).

    Newcomers are taken to come as those of the last hours did (`lately`), at other times in each play: they may go
    before those who have more clips than they. One that finds no slot for its team is left out.
    """
    served, near = _served(places, line)
    if not near:
        return {}
    alone = only if only in {turn.number for turn in near} else None
    ends: dict[int, list[float]] = {}
    plays = 0
    for played in _plays(places, near, load, lately, alone):
        plays += 1
        for number, end in played.items():
            ends.setdefault(number, []).append(end)
    found = {number: between(sorted(sample)) for number, sample in ends.items() if len(sample) == plays}
    if alone is None and near[-1].number in found:
        low, high = found[near[-1].number]
        for place, turn in enumerate(served[FAR:], start=FAR + 1):  # as fast as up to there
            found[turn.number] = low * place / FAR, high * place / FAR
    return found


def last(
    places: Sequence[Place],
    line: Sequence[Turn],
    load: pacing.Load,
    numbers: Set[int],
    lately: Sequence[Turn] = (),
) -> Range | None:
    """Between how many seconds from now the last of these is ready. None: no slot ever serves one of them.

    In each play it is another one that comes last: later than any single one's range says.
    """
    served, near = _served(places, line)
    far = max((place for place, turn in enumerate(served, start=1) if turn.number in numbers), default=0)
    if not near or not numbers <= {turn.number for turn in served}:
        return None
    counted = numbers if far <= FAR else numbers | {near[-1].number}
    alone = next(iter(counted)) if len(counted) == 1 else None
    sample = [
        max(end for number, end in played.items() if number in counted)
        for played in _plays(places, near, load, lately, alone)
        if counted & played.keys()
    ]
    if not sample:
        return None
    low, high = between(sorted(sample))
    stretch = max(far / FAR, 1.0)  # beyond what is played: as fast as up to there
    return low * stretch, high * stretch


def _served(places: Sequence[Place], line: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Those for whose team there is a slot; and of these, those near enough to be played."""
    teams = {place.team for place in places}
    served = [turn for turn in line if turn.team in teams or None in teams]
    return served, served[:FAR]


def _plays(
    places: Sequence[Place],
    near: Sequence[Turn],
    load: pacing.Load,
    lately: Sequence[Turn],
    only: int | None = None,
) -> Iterator[dict[int, float]]:
    """When each is ready, in one play after the other."""
    plays = min(PLAYS, IN_ALL // len(near))
    dice = Random(0)  # noqa: S311 - plays a queue, guards nothing
    shifts = [dice.uniform(0, LATELY) for _ in range(plays)]
    sways = [max(dice.gauss(1, SWAY), 0.5) for _ in range(plays)]
    frees = [_draws(place.free, -1 - place.number, plays) for place in places]
    takes = {turn.number: _draws(turn.kind.takes, turn.number, plays) for turn in (*lately, *near)}
    rooms = _rooms(places, near, load, len(near) + len(lately))
    for play in range(plays):
        came = sorted(((turn.at + shifts[play]) % LATELY, turn.number, turn) for turn in lately)
        slots = [(free[play], which) for which, free in enumerate(frees)]
        took = {number: draws[play] * sways[play] for number, draws in takes.items()}
        yield _play(places, slots, near, came, took, rooms, only)


def _rooms(places: Sequence[Place], line: Sequence[Turn], load: pacing.Load, number: int) -> list[float]:
    """After how many seconds the requests of the hour allow the first, second … of so many to be sent.

    Of those that render, half of the looks lie behind.
    """
    each = sum(turn.kind.requests for turn in line) / len(line)
    accounts = max(len(places) / pacing.AT_ONCE, 1)
    under_way = sum(place.who is not None for place in places) / 2
    return [room(load, (under_way + turn) * each / accounts) for turn in range(1, number + 1)]


def _draws(sample: Sequence[float], number: int, plays: int) -> list[float]:
    return Random(number).choices(sample, k=plays)  # noqa: S311 - as above


class _Line:
    """Who stands where: the person with the fewest running goes first, then first come."""

    def __init__(self, places: Sequence[Place], line: Sequence[Turn]) -> None:
        self._running = Counter(place.who for place in places if place.who is not None)
        self._waiting: dict[int, deque[tuple[float, Turn]]] = {}
        self._heads: list[tuple[int, float, int]] = []  # (running, since when, who); outdated ones are dropped
        for turn in line:
            self.join(turn.at, turn)

    def join(self, at: float, turn: Turn) -> None:
        own = self._waiting.setdefault(turn.who, deque())
        own.append((at, turn))
        if len(own) == 1:
            self._stand(turn.who)

    def ended(self, who: int) -> None:
        """One of this person's has come out of its slot."""
        self._running[who] -= 1
        self._stand(who)

    def take(self, team: int | None) -> Turn | None:
        """The next one for a slot of this team, or of all."""
        others, found = [], None
        while self._heads and found is None:
            head = heappop(self._heads)
            count, at, who = head
            own = self._waiting[who]
            if self._running[who] != count or not own or own[0][0] != at:
                continue
            if team is None or own[0][1].team == team:
                found = own.popleft()[1]
            else:
                others.append(head)
        for head in others:
            heappush(self._heads, head)
        if found:
            self._running[found.who] += 1
            self._stand(found.who)
        return found

    def _stand(self, who: int) -> None:
        if self._waiting.get(who):
            heappush(self._heads, (self._running[who], self._waiting[who][0][0], who))


def _play(
    places: Sequence[Place],
    slots: list[tuple[float, int]],
    line: Sequence[Turn],
    came: Sequence[tuple[float, int, Turn]],
    took: dict[int, float],
    rooms: Sequence[float],
    only: int | None,
) -> dict[int, float]:
    """When each is ready if these slots come free, these newcomers come and each takes so long."""
    waiting = _Line(places, line)
    has = [place.who for place in places]
    heapify(slots)
    ends: dict[int, float] = {}
    sent = newcomers = 0
    wanted = 1 if only is not None else len(line)
    while slots and wanted:
        now, which = heappop(slots)
        who, has[which] = has[which], None
        if who is not None:
            waiting.ended(who)
        while newcomers < len(came) and came[newcomers][0] <= now:
            waiting.join(came[newcomers][0], came[newcomers][2])
            newcomers += 1
        chosen = waiting.take(places[which].team)
        if chosen is None:
            if newcomers < len(came):
                heappush(slots, (came[newcomers][0], which))
            continue
        end = max(now, rooms[min(sent, len(rooms) - 1)]) + took[chosen.number]
        sent += 1
        has[which] = chosen.who
        heappush(slots, (end + pacing.TURNOVER, which))
        if chosen.number > 0:
            ends[chosen.number] = end
            wanted -= only in (None, chosen.number)
    return ends
