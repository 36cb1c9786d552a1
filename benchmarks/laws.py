"""How long upstream renders in the benchmark, and the most clips an hour that polling alone could bring."""

import random
import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate
from math import inf

HOUR = 3600.0
A_MINUTE, AN_HOUR, SLOTS = 30, 200, 3  # upstream's word, not taken from the code that is measured

Law = Callable[[random.Random], tuple[int, float]]  # which kind it is, and how long it renders


def lognormals(*parts: tuple[float, float, float], told_apart: bool = False) -> Law:
    """A mix of (weight, median, sigma): of several models, or of one that nobody can foretell."""

    def draw(dice: random.Random) -> tuple[int, float]:
        kind = dice.choices(range(len(parts)), [weight for weight, _, _ in parts])[0]
        _, median, sigma = parts[kind]
        return kind * told_apart, median * dice.lognormvariate(0, sigma)

    return draw


#: name -> (how long upstream renders, least share of the bound that is promised)
LAWS: dict[str, tuple[Law, float]] = {
    "uniform 60-180": (lambda dice: (0, dice.uniform(60, 180)), 0.96),
    "lognormal 110/0.3": (lognormals((1, 110, 0.3)), 0.96),
    "mix 30, 110, 220": (lognormals((1, 30, 0.2), (1, 110, 0.3), (1, 220, 0.3), told_apart=True), 0.95),
    "very tight 110/0.03": (lognormals((1, 110, 0.03)), 0.93),
    "very wide 110/0.8": (lognormals((1, 110, 0.8)), 0.93),
    "two humps 60, 200": (lognormals((1, 60, 0.1), (1, 200, 0.1)), 0.93),
    "mostly fast 20, 150": (lognormals((85, 20, 0.2), (15, 150, 0.3)), 0.93),
}


# -- the bound --------------------------------------------------------------------------------------------------------


def bound(law: Law, requests: float = AN_HOUR, draws: int = 40_000, grid: int = 500) -> float:
    """The most clips an hour that polling can bring, the law being known and nothing kept back.

    Every way to look at a job costs so many looks and so much delay. The best trades of one for the other are found by
    dynamic programming, for one price of a look after the other, on a fine grid. With a mean duration of S, looks L
    and delay D, an hour brings at most 3 * 3600 / (S + D) clips and at most 200 / (1 + L): the best mix of two
    neighbouring prices is where the two meet.
    """
    dice = random.Random(0)
    drawn: dict[int, list[float]] = defaultdict(list)
    for _ in range(draws):
        kind, took = law(dice)
        drawn[kind].append(took)
    curves = [_Curve(sample, grid) for sample in drawn.values()]
    mean = statistics.fmean(took for sample in drawn.values() for took in sample)
    best, before = 0.0, (0.0, 1e9)
    for step in range(96):
        trades = [known.cheapest(1.12**step) for known in curves]
        after = sum(looks for looks, _ in trades) / draws, sum(delay for _, delay in trades) / draws
        for share in range(21):
            looks, delay = (a + (b - a) * share / 20 for a, b in zip(before, after, strict=True))
            if step or share == 20:
                best = max(best, min(SLOTS * HOUR / (mean + delay), requests / (1 + looks)))
        before = after
    return best


class _Curve:
    """One kind's durations, and the best ways to look at them."""

    def __init__(self, sample: list[float], grid: int) -> None:
        sample.sort()
        size, low, high = len(sample), sample[0], sample[-1]
        quantiles = {sample[min(size * k // grid, size - 1)] for k in range(1, grid + 1)}
        times = sorted(quantiles | {low + (high - low) * k / grid for k in range(1, grid + 1)})
        sums = [0.0, *accumulate(sample)]
        self.at = [0.0, *times]
        self.done = [0, *(bisect_right(sample, at) for at in times)]
        self.spent = [sums[place] for place in self.done]

    def cheapest(self, price: float) -> tuple[float, float]:
        """(looks, delay), of all the sample, with which price * looks + delay is least."""
        at, done, spent, size = self.at, self.done, self.spent, len(self.at)
        cost, looks, follow = [0.0] * size, [0.0] * size, size - 1
        for i in range(size - 2, -1, -1):
            lowest = inf
            for j in range(i + 1, follow + 1):
                here = at[j] * (done[j] - done[i]) - spent[j] + cost[j]
                if here < lowest:
                    lowest, best = here, j
            follow = best
            cost[i] = lowest + spent[i] + price * (done[-1] - done[i])
            looks[i] = done[-1] - done[i] + looks[best]
        return looks[0], cost[0] - price * looks[0]


#: law -> poll-only optimum as known from elsewhere; the others' bound is computed here
KNOWN = {"uniform 60-180": 75.25, "lognormal 110/0.3": 77.68, "mix 30, 110, 220": 74.50}
