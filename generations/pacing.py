"""When to look again, and what upstream's limits still allow. Pure functions; times are seconds.

The limits are upstream's (30 requests a minute for each key, 200 an hour for each account, 3 generations at once), over
rolling windows. A request counts from the moment it may have arrived last: when its answer came, or now if none did.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

PER_KEY_MINUTE = 30
PER_ACCOUNT_HOUR = 200
AT_ONCE = 3
KEPT = 10  # of the hour, for what people wait for (a price) and for recovery
KEPT_OF_MINUTE = 8  # of each key's minute, for the same and for submissions
CLOSEST = 2.0  # seconds between two looks at one generation
MINUTE, HOUR = 60.0, 3600.0

#: What upstream says of itself: a generation takes 60 to 180 s. Used until enough has been seen.
PRIOR = (60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 180.0)
ENOUGH = 3  # seen durations that outweigh the prior
#: While nothing is known: early looks, so that quick models are not kept waiting for. Three clips end this.
EARLY = (3.0, 6.0, 10.0, 15.0, 22.0, 30.0, 40.0, 50.0)
STALLED_AFTER = 30 * MINUTE
STALLED_EVERY = 20 * MINUTE
GIVE_UP_AFTER = 7 * 24 * HOUR


def room(kind: str, in_minute: int, in_hour: int) -> bool:
    """May one more request go out? `in_minute` counts the key's, `in_hour` the account's."""
    keep = 0 if kind in ("quote", "credits") else KEPT
    keep_of_minute = KEPT_OF_MINUTE if kind == "status" else 0
    return in_minute < PER_KEY_MINUTE - keep_of_minute and in_hour < PER_ACCOUNT_HOUR - keep


@dataclass(frozen=True)
class Allowance:
    """How many looks one generation may have within the hour, and how many seconds lie between two at least."""

    looks: float
    closest: float = CLOSEST


def allowance(in_hour: int, running: int, waiting: int, keys: int) -> Allowance:
    """Shares the hour's free requests out evenly, and the minute's among those that render now.

    Each generation also needs its submission and about one price.
    """
    free = max(PER_ACCOUNT_HOUR - KEPT - in_hour, 0)
    a_minute = max(keys, 1) * (PER_KEY_MINUTE - KEPT_OF_MINUTE)
    return Allowance(max(free / max(running + waiting, 1) - 2, 0.0), max(CLOSEST, MINUTE * running / a_minute))


def quantile(sample: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted sample lies, by linear interpolation."""
    place = share * (len(sample) - 1)
    low = int(place)
    high = min(low + 1, len(sample) - 1)
    return sample[low] + (sample[high] - sample[low]) * (place - low)


def expected(seen: Sequence[float]) -> list[float]:
    """The sorted durations to reckon with: what was seen, or the prior."""
    return sorted(seen) if len(seen) >= ENOUGH else sorted(PRIOR)


def next_look(elapsed: float, seen: Sequence[float], allowed: Allowance) -> float:
    """Seconds from now to the next look at a generation that has rendered for `elapsed` seconds.

    With looks to spare they are spread evenly from the first to the last time by which others were done; with few, a
    look goes to the time by which most are done.
    """
    if elapsed >= STALLED_AFTER:
        return STALLED_EVERY
    sample = expected(seen)
    early = next((at for at in EARLY if at > elapsed + 0.5), None)
    if len(seen) < ENOUGH and early is not None:
        return early - elapsed
    left = sample[bisect_right(sample, elapsed) :]
    if not left:  # later than anything seen: back off from what has passed, faster when requests are few
        share = 0.05 if allowed.looks >= 10 else 0.15 if allowed.looks >= 4 else 0.3
        return min(max(elapsed * share, allowed.closest), 120.0)
    if allowed.looks >= 5:
        if elapsed < sample[0] - CLOSEST:
            return sample[0] - elapsed
        return max((left[-1] - elapsed) / allowed.looks, allowed.closest)
    return max(quantile(left, 0.5 if allowed.looks >= 3 else 0.8) - elapsed, allowed.closest)


def foreseen(elapsed: float, seen: Sequence[float]) -> tuple[float, float] | None:
    """In how many seconds it is likely ready (quarter to nine tenths); None: longer than usual already."""
    left = [took - elapsed for took in expected(seen) if took > elapsed]
    if not left:
        return None
    return quantile(left, 0.25), quantile(left, 0.9)


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row. `jitter` is a random number from 0 to 1."""
    return min(2.0 ** min(failures, 8), 120.0) * (0.5 + jitter)
