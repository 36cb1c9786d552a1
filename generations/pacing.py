"""When to look again, and what upstream's limits still allow. Pure functions; times are seconds.

docs/pacing.md explains how.

The limits are upstream's (30 requests a minute for each key, 200 an hour for each account, 3 generations at once), over
rolling windows. A request counts from the moment it may have arrived last: when its answer came, or now if none did.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp, inf, sqrt
from typing import Any

Kind = tuple[Any, ...]  # the model first, then what else tells how long it takes: duration and quality

PER_KEY_MINUTE = 30
PER_ACCOUNT_HOUR = 200
AT_ONCE = 3
TURNOVER = 1.0  # seconds from the time of a look to its answer, the bell and the next submission's answer
KEPT = 5  # of the hour, for what people wait for (a price) and for recovery
KEPT_FROM_PRICES = 2  # of these, for recovery alone: balances that tell what became of a submission
KEPT_OF_MINUTE = 8  # of each key's minute, for the same and for submissions
CLOSEST = 2.0  # seconds between two looks at one generation
MINUTE, HOUR = 60.0, 3600.0
#: (seconds ahead, share of what is free by then that the foreseen spending may be): it has to fit each of them.
#: A little more is planned for the hour than there is, since some of what is foreseen is not needed.
HORIZONS = ((600.0, 1.0), (1800.0, 1.0), (3600.0, 1.1))

#: What upstream says of itself: a generation takes 60 to 180 s. Used until enough has been seen.
PRIOR = (60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 180.0)
ENOUGH = 3  # seen durations that outweigh the prior
NEWEST = 80  # seen durations of one kind that are learned from
HISTORY = 3 * NEWEST  # of all kinds
#: While nothing is known: early looks, so that quick models are not kept waiting for. Three clips end this.
EARLY = (3.0, 6.0, 10.0, 15.0, 22.0, 30.0, 40.0, 50.0)
EVENLY = 40  # times to look at, besides those at which others were done
#: What one look may be worth, in seconds of delay. The lowest that fits is chosen.
PRICES = tuple(0.1 * 1.35**step for step in range(32))
EIGHTHS = tuple(part / 8 for part in range(9))
OFTEN = 5  # of the newest: a kind with a curve of its own
STALLED_TIMES = 10  # as long as nine of ten of its like took: it may never end
STALLED_SOONEST = 10 * MINUTE
STALLED_EVERY = 20 * MINUTE
GIVE_UP_AFTER = 7 * 24 * HOUR


def room(kind: str, in_minute: int, in_hour: int) -> bool:
    """May one more request go out? `in_minute` counts the key's, `in_hour` the account's."""
    keep = {"credits": 0, "quote": KEPT_FROM_PRICES}.get(kind, KEPT)
    keep_of_minute = KEPT_OF_MINUTE if kind == "status" else 0
    return in_minute < PER_KEY_MINUTE - keep_of_minute and in_hour < PER_ACCOUNT_HOUR - keep


@dataclass(frozen=True)
class Load:
    """What an account has to do, and what it has used of the hour."""

    ends: Sequence[float]  # in how many seconds each request of the last hour stops counting, sorted
    running: int
    waiting: float  # its share of the line
    submitted: int = 0  # within the last hour
    others: int = 0  # prices, balances and uploads within the last hour; as many are expected
    keys: int = 1

    def free(self, within: float) -> float:
        """Requests that looks and submissions may spend within so many seconds."""
        used = len(self.ends) - bisect_right(self.ends, within)
        return PER_ACCOUNT_HOUR - KEPT - used - self.others * within / HOUR

    @property
    def pace(self) -> float:
        """Submissions an hour, as they came since the oldest request that still counts: after a pause, not long."""
        return self.submitted * HOUR / max(HOUR - self.ends[0], 600.0) if self.ends else 0.0

    @property
    def closest(self) -> float:
        """Seconds between two looks at one generation, if those that render share the minutes of the keys."""
        return max(CLOSEST, MINUTE * self.running / (max(self.keys, 1) * (PER_KEY_MINUTE - KEPT_OF_MINUTE)))


@dataclass(frozen=True, eq=False)
class Curve:
    """Times at which one may look, the share that is done by then, and the sum of that share's durations."""

    at: Sequence[float]
    done: Sequence[float]
    spent: Sequence[float]

    @property
    def mean(self) -> float:
        return self.spent[-1] + (1 - self.done[-1]) * self.at[-1]


@lru_cache(512)
def curve(seen: tuple[float, ...]) -> Curve:
    """What share is done by when: each gap between two seen durations is as likely as any other, and so are both ends.

    Beyond the longest it falls off exponentially, as fast as the longest tenth of what was seen does.
    """
    x = _smooth(sorted(seen))
    tenth = max(len(x) // 10, 1)
    reach = max(sum(x[-tenth:]) / tenth - x[-tenth - 1], 0.01 * x[-1])
    before = max(x[0] - max((x[tenth] - x[0]) / 2, 0.01 * x[0]), 0.0)
    each = 1 / (len(x) + 1)
    points = [(before, 0.0), *((took, each * place) for place, took in enumerate(x, 1))]
    points += [(x[-1] + k * reach, 1 - each * exp(-k)) for k in (0.5, 1, 1.5, 2, 3, 4)]
    end = points[-1][0]
    evenly = (before + (end - before) * place / EVENLY for place in range(EVENLY + 1))
    at = sorted({*evenly, *(took for took, _ in points[:: 1 + len(points) // 40])})
    done, spent = [0.0], [0.0]
    for a, b in pairwise(at):
        done.append(_read(points, b))
        spent.append(spent[-1] + (done[-1] - done[-2]) * (a + b) / 2)
    return Curve(at, done, spent)


def _smooth(x: list[float], near: int = 2) -> list[float]:
    """Each averaged with as many neighbours on either side: a plan should not trust the chance gaps of 80 numbers."""
    sides = [min(near, place, len(x) - 1 - place) for place in range(len(x))]
    return [sum(x[place - side : place + side + 1]) / (2 * side + 1) for place, side in enumerate(sides)]


def _read(points: Sequence[tuple[float, float]], place: float) -> float:
    """The height at one place of the line through the points."""
    after = min(max(bisect_left(points, (place,)), 1), len(points) - 1)
    (a, low), (b, high) = points[after - 1], points[after]
    return low + (high - low) * (place - a) / (b - a) if b > a else high


@dataclass(frozen=True)
class Plan:
    """The best looks for one price, and what they come to for each generation."""

    worth: Sequence[float]  # of a next look at each time of the curve, less that time's share of what is done
    looks: float
    delay: float


@lru_cache(2048)
def plan(known: Curve, price: float) -> Plan:
    """Backward over the curve: from each time, the next look for which price plus expected delay is least.

    From `i` to `j` that is price * left[i] + at[j] * (done[j] - done[i]) - (spent[j] - spent[i]) + what follows `j`.
    """
    at, done, spent = known.at, known.done, known.spent
    cost = looks = 2 * (1 - done[-1])
    cost *= price
    worth = [0.0] * len(at)
    best = len(at) - 1
    follow = [0.0] * len(at)
    for i in range(len(at) - 1, -1, -1):
        if i < len(at) - 1:
            lowest, share = inf, done[i]
            for j in range(i + 1, best + 1):  # from an earlier time the best next look never comes later
                here = worth[j] - at[j] * share
                if here < lowest:
                    lowest, chosen = here, j
            best = chosen
            cost = lowest + spent[i] + price * (1 - share)
            looks = 1 - share + follow[best]
        follow[i] = looks
        worth[i] = cost + at[i] * done[i] - spent[i]
    return Plan(worth, looks, cost - price * looks)


def fits(looks: float, cycle: float, load: Load) -> bool:
    """Can what is foreseen be looked at so often? `cycle` is how long a generation holds its slot.

    Of those that run, half of the looks lie behind. New ones come at the pace of late, and a few more by chance.
    """
    for within, share in HORIZONS:
        turns = AT_ONCE * within / (cycle + TURNOVER)
        new = load.pace * within / HOUR
        starts = min(load.waiting + new + sqrt(new), turns)
        if starts + looks * min(load.running / 2 + starts, turns) > share * load.free(within):
            return False
    return True


@lru_cache(64)
def _curves(usual: tuple[tuple[float, ...], ...]) -> list[tuple[float, Curve]]:
    """(share of all generations, curve) of each kind; those seldom seen are taken together."""
    rare = [took for kind in usual if len(kind) < OFTEN for took in kind]
    kinds = [kind for kind in usual if len(kind) >= OFTEN]
    kinds += [tuple(expected(rare))] if rare or not kinds else []
    total = sum(len(kind) for kind in kinds)
    return [(len(kind) / total, curve(kind)) for kind in kinds]


def price(usual: Sequence[Sequence[float]], load: Load, turn: float = 0.5) -> float:
    """The lowest price of a look, in seconds of delay, at which the foreseen requests are free in time.

    It lies between two of PRICES: `turn`, a number from 0 to 1 for each generation, says which of them this one pays,
    so that together they spend what there is.
    """
    curves = _curves(tuple(map(tuple, usual)))
    mean = sum(share * known.mean for share, known in curves)

    def spending(price: float) -> tuple[float, float]:
        plans = [(share, plan(known, price)) for share, known in curves]
        return sum(share * made.looks for share, made in plans), mean + sum(share * made.delay for share, made in plans)

    dear = bisect_left(PRICES, True, key=lambda price: fits(*spending(price), load))
    if dear in (0, len(PRICES)):
        return PRICES[max(dear - 1, 0)]
    (looks, cycle), (more, shorter) = spending(PRICES[dear]), spending(PRICES[dear - 1])
    paying = bisect_left(
        EIGHTHS, True, key=lambda s: fits(more + (looks - more) * s, shorter + (cycle - shorter) * s, load)
    )
    return PRICES[dear if turn < EIGHTHS[paying] else dear - 1]


def next_look(
    elapsed: float, seen: Sequence[float], load: Load, usual: Sequence[Sequence[float]] = (), turn: float = 0.5
) -> float:
    """Seconds from now to the next look at a generation that has rendered for `elapsed` seconds.

    `seen` is how long its like took; `usual` the same of each kind that the account renders, which sets the price.
    """
    if elapsed >= stalled_after(seen):
        return STALLED_EVERY
    early = next((at for at in EARLY if at > elapsed + 0.5), None)
    if len(seen) < ENOUGH and early is not None and load.free(0) > PER_ACCOUNT_HOUR / 2:
        return early - elapsed
    known = curve(tuple(expected(seen)))
    cost = price(usual or [seen], load, turn)
    soonest = elapsed + (load.closest if elapsed else CLOSEST)
    first = bisect_left(known.at, soonest)
    if first >= len(known.at):  # later than anything seen: the longer it took, the longer it may still take
        return min(max(sqrt(2 * cost * elapsed), soonest - elapsed), 120.0)
    share = _read(list(zip(known.at, known.done, strict=True)), elapsed) if elapsed > known.at[0] else 0.0
    worth = plan(known, cost).worth
    best = min(range(first, len(known.at)), key=lambda j: worth[j] - known.at[j] * share)
    return known.at[best] - elapsed


def samples(newest: Iterable[tuple[Kind, float]], kind: Kind) -> tuple[list[float], list[list[float]]]:
    """How long its like took (of its kind, else its model, else all), and the same for each kind. Newest first."""
    rows = list(newest)
    kinds: dict[Kind, list[float]] = {}
    for one, took in rows:
        kinds.setdefault(one, []).append(took)
    model = [took for one, took in rows if one[0] == kind[0]]
    known = (sample for sample in (kinds.get(kind, []), model) if len(sample) >= OFTEN)
    seen = next(known, [took for _, took in rows])
    return seen[:NEWEST], [sample[:NEWEST] for sample in kinds.values()]


def stalled_after(seen: Sequence[float]) -> float:
    """Seconds after which one is looked at rarely, by what its like took; 28 minutes while nothing is known."""
    return max(STALLED_TIMES * quantile(expected(seen), 0.9), STALLED_SOONEST)


def turn(number: int) -> float:
    """A number from 0 to 1 for each generation; of any few in a row, as many lie in one half as in the other."""
    return number * 0.6180339887498949 % 1


def quantile(sample: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted sample lies, by linear interpolation."""
    place = share * (len(sample) - 1)
    low = int(place)
    high = min(low + 1, len(sample) - 1)
    return sample[low] + (sample[high] - sample[low]) * (place - low)


def expected(seen: Sequence[float]) -> list[float]:
    """The sorted durations to reckon with: what was seen, or the prior."""
    return sorted(seen) if len(seen) >= ENOUGH else sorted(PRIOR)


def foreseen(elapsed: float, seen: Sequence[float]) -> tuple[float, float] | None:
    """In how many seconds it is likely ready (quarter to nine tenths); None: longer than usual already."""
    left = [took - elapsed for took in expected(seen) if took > elapsed]
    if not left:
        return None
    return quantile(left, 0.25), quantile(left, 0.9)


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row. `jitter` is a random number from 0 to 1."""
    return min(2.0 ** min(failures, 8), 120.0) * (0.5 + jitter)
