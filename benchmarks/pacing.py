"""Measures generations/pacing.py, as shipped: how many clips an hour, how late they are noticed, and no limit passed.

`python -m benchmarks.pacing` runs 30 days with different dice for each law, `--quick` a few; see README.md.

A discrete-event simulation of one account: the tick comes every second, an answer takes a part of one. The upstream of
this file keeps its own books by when a request arrives; the policies keep theirs by when they hear the answer.
"""

import argparse
import multiprocessing
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from benchmarks.laws import A_MINUTE, AN_HOUR, HOUR, KNOWN, LAWS, SLOTS, Law, bound
from generations import pacing

MINUTE = 60.0
TICK = 1.0
BELL = 0.1, 0.3  # seconds from a task that rings the tick to what the tick finds due
ENDLESS = 1000  # waiting, when the queue never ends

# -- upstream ---------------------------------------------------------------------------------------------------------


class Upstream:
    """Counts what arrives, refuses what is too much, and keeps the whole journal for the judge."""

    def __init__(self) -> None:
        self.minute: deque[float] = deque()
        self.hour: deque[float] = deque()
        self.arrived: list[float] = []
        self.jobs: list[tuple[float, float]] = []  # accepted, done
        self.running: list[float] = []
        self.refused = 0

    def takes(self, at: float) -> bool:
        while self.minute and self.minute[0] <= at - MINUTE:
            self.minute.popleft()
        while self.hour and self.hour[0] <= at - HOUR:
            self.hour.popleft()
        if len(self.minute) >= A_MINUTE or len(self.hour) >= AN_HOUR:
            self.refused += 1
            return False
        self.minute.append(at)
        self.hour.append(at)
        self.arrived.append(at)
        return True

    def submit(self, at: float, took: float) -> bool:
        if not self.takes(at):
            return False
        self.running = [done for done in self.running if done > at]
        if len(self.running) >= SLOTS:
            self.refused += 1
            return False
        self.running.append(at + took)
        self.jobs.append((at, at + took))
        return True

    def violations(self) -> int:
        """Looks over everything that was let in, once more and from scratch."""
        at = sorted(self.arrived)
        too_many = sum(
            at[i + n] - at[i] < span for n, span in ((A_MINUTE, MINUTE), (AN_HOUR, HOUR)) for i in range(len(at) - n)
        )
        changes = sorted([(start, 1) for start, _ in self.jobs] + [(done, -1) for _, done in self.jobs])
        running = 0
        for _, change in changes:
            running += change
            too_many += change > 0 and running > SLOTS
        return too_many


# -- the policies -----------------------------------------------------------------------------------------------------


class Books:
    """Our own count of requests, by when their answers came: what dispatch reads from ApiCall."""

    def __init__(self) -> None:
        self.calls: deque[tuple[float, str]] = deque()

    def note(self, answered: float, kind: str) -> None:
        self.calls.append((answered, kind))

    def ends(self, now: float, span: float = HOUR) -> list[float]:
        while self.calls and self.calls[0][0] <= now - HOUR:
            self.calls.popleft()
        return [answered + span - now for answered, _ in self.calls if answered + span > now]

    def free_in(self, now: float, hour: int, minute: int) -> float:
        """Seconds until one more is allowed; 0 when it is now."""
        waits = [0.0]
        for span, most in ((HOUR, hour), (MINUTE, minute)):
            ends = sorted(self.ends(now, span))
            if len(ends) >= most:
                waits.append(ends[len(ends) - most])
        return max(waits)


class Policy:
    """Looks again and again after the same time; sends nothing that it knows to be too much."""

    limited = True

    def __init__(self, every: float = 30.0, grow: float = 1.0, most: float = 300.0) -> None:
        self.every, self.grow, self.most = every, grow, most
        self.books = Books()

    def may(self, kind: str, now: float) -> float:
        """In how many seconds this request may go out; 0 for now."""
        return self.books.free_in(now, AN_HOUR, A_MINUTE) if self.limited else 0.0

    def next_look(self, job: "Job", elapsed: float, now: float, running: int, waiting: int) -> float:
        return min(self.every * self.grow**job.looks, self.most)

    def ended(self, job: "Job") -> None:
        """A job is known to be done."""


class Loop(Policy):
    """The vendor's sample: every ten seconds, come what may."""

    limited = False


class Shipped(Policy):
    """generations/pacing.py, called as dispatch and lifecycle call it."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: deque[tuple[pacing.Kind, float]] = deque(maxlen=pacing.HISTORY)

    def may(self, kind: str, now: float) -> float:
        minute, hour = self.books.ends(now, MINUTE), self.books.ends(now)
        if pacing.room(kind, len(minute), len(hour)):
            return 0.0
        return self.books.free_in(now, AN_HOUR - pacing.KEPT, A_MINUTE - (kind == "status") * pacing.KEPT_OF_MINUTE)

    def next_look(self, job: "Job", elapsed: float, now: float, running: int, waiting: int) -> float:
        submitted = sum(kind == "generate" for _, kind in self.books.calls)
        load = pacing.Load(sorted(self.books.ends(now)), running, waiting, submitted)
        seen, usual = pacing.samples(self.newest, (job.kind,))
        return pacing.next_look(elapsed, seen, load, usual, pacing.turn(job.number))

    def ended(self, job: "Job") -> None:
        self.newest.appendleft(((job.kind,), job.took))


POLICIES: dict[str, Callable[[], Policy]] = {
    "Dailies": Shipped,
    "every 10 s": lambda: Loop(10),
    "every 30 s, limiter": lambda: Policy(30),
    "10, 20, 40 … s, limiter": lambda: Policy(10, 2),
}


# -- one day ----------------------------------------------------------------------------------------------------------


@dataclass
class Day:
    """What one run came to, the first hour left out (it begins with an empty window)."""

    hours: float
    done: int = 0
    looks: int = 0
    delays: list[float] = field(default_factory=list)
    refused: int = 0
    violations: int = 0


@dataclass
class Job:
    number: int
    kind: int
    took: float
    sent: float = 0.0
    due: float = 0.0
    looks: int = 0


class Account:
    """One account from an empty log on: what Dailies does, event by event."""

    def __init__(self, law: Law, policy: Policy, seed: int, hours: float, per_hour: float | None) -> None:
        self.law, self.policy, self.per_hour = law, policy, per_hour
        self.dice, self.arrivals, self.lengths = (random.Random(10 * seed + which) for which in range(3))
        self.upstream, self.day, self.end = Upstream(), Day(hours - 1), hours * HOUR
        self.events: list[tuple[float, int, Callable[..., None], tuple[Job, ...]]] = []
        self.order, self.numbers = count(), count(1)
        self.waiting, self.running, self.sending = (ENDLESS if per_hour is None else 0), 0, False

    def run(self) -> Day:
        if self.per_hour is None:
            self.at(0.5, self.submit)
        else:
            self.next_arrival(0.0)
        while self.events and self.events[0][0] < self.end:
            now, _, what, about = heappop(self.events)
            what(now, *about)
        self.day.refused, self.day.violations = self.upstream.refused, self.upstream.violations()
        return self.day

    def at(self, when: float, what: Callable[..., None], *about: Job) -> None:
        heappush(self.events, (when, next(self.order), what, about))

    def on_tick(self, when: float, what: Callable[..., None], *about: Job) -> None:
        self.at((int(when / TICK) + 1) * TICK, what, *about)

    def soon(self, now: float, what: Callable[..., None], *about: Job) -> None:
        """A bell rings the tick at once."""
        self.at(now + self.dice.uniform(*BELL), what, *about)

    def request(self, now: float, kind: str) -> tuple[float, float]:
        """When it arrives upstream, and when its answer is here."""
        there = now + self.dice.uniform(0.05, 0.3)
        back = there + self.dice.uniform(0.05, 0.3)
        self.policy.books.note(back, kind)
        return there, back

    def next_arrival(self, now: float) -> None:
        if self.per_hour is not None:
            self.at(now + self.arrivals.expovariate(self.per_hour / HOUR), self.arrive)

    def arrive(self, now: float) -> None:
        self.waiting += 1
        self.next_arrival(now)
        self.soon(now, self.submit)

    def submit(self, now: float) -> None:
        if not self.waiting or self.running >= SLOTS or self.sending:
            return
        wait = self.policy.may("generate", now)
        if wait:
            self.on_tick(now + wait, self.submit)
            return
        there, back = self.request(now, "generate")
        job = Job(next(self.numbers), *self.law(self.lengths))
        job.sent, job.due = there, there + job.took
        self.running, self.sending = self.running + 1, True
        self.waiting -= self.per_hour is not None
        self.at(back, self.accepted if self.upstream.submit(there, job.took) else self.busy, job)

    def accepted(self, now: float, job: Job) -> None:
        self.sending = False
        self.look_later(now, 0.0, job)
        self.soon(now, self.submit)

    def busy(self, now: float, job: Job) -> None:
        self.sending = False
        self.running -= 1
        self.waiting += self.per_hour is not None
        self.on_tick(now + 10, self.submit)

    def look_later(self, now: float, elapsed: float, job: Job) -> None:
        wait = self.policy.next_look(job, elapsed, now, self.running, self.waiting)
        self.on_tick(now + wait, self.look, job)

    def look(self, now: float, job: Job) -> None:
        wait = self.policy.may("status", now)
        if wait:
            self.on_tick(now + wait, self.look, job)
            return
        there, back = self.request(now, "status")
        job.looks += 1
        ready = self.upstream.takes(there) and there >= job.due
        self.at(back, self.ready if ready else self.not_yet, job)

    def not_yet(self, now: float, job: Job) -> None:
        self.look_later(now, now - job.sent, job)

    def ready(self, now: float, job: Job) -> None:
        self.running -= 1
        self.policy.ended(job)
        self.soon(now, self.submit)
        if now > HOUR:
            self.day.done += 1
            self.day.looks += job.looks
            self.day.delays.append(now - job.due)


def run(law: Law, policy: Policy, seed: int, hours: float, per_hour: float | None = None) -> Day:
    """One account for so long. `per_hour`: Poisson arrivals; None: a queue that never ends."""
    return Account(law, policy, seed, hours, per_hour).run()


# -- the report -------------------------------------------------------------------------------------------------------

LIGHT = {5.0: 4.0, 20.0: 8.0, 40.0: 14.0}  # clips an hour -> seconds of notice delay that are promised at most
Task = tuple[str, str, int, float, float | None]  # law, policy, seed, hours, clips an hour


def one(task: Task) -> Day:
    law, policy, seed, hours, per_hour = task
    return run(LAWS[law][0], POLICIES[policy](), seed, hours, per_hour)


def line(days: Sequence[Day]) -> tuple[float, float, float, float, int, int]:
    """Clips an hour, looks for each, mean and p95 of the delay, refused, violations."""
    delays = sorted(delay for day in days for delay in day.delays)
    done = sum(day.done for day in days)
    return (
        done / sum(day.hours for day in days),
        sum(day.looks for day in days) / done,
        statistics.fmean(delays),
        delays[int(0.95 * len(delays))],
        sum(day.refused for day in days),
        sum(day.violations for day in days),
    )


def report(results: dict[tuple[str, str, float | None], list[Day]], bounds: dict[str, float]) -> bool:
    """Prints the tables. False: a promise was not kept."""
    kept = True
    print(f"{'a queue that never ends':<20} {'policy':<24} {'clips/h':>8} {'of best':>8} {'looks':>6} ", end="")
    print(f"{'late':>6} {'p95':>6} {'429':>7} {'passed':>6}")
    for (law, policy, per_hour), days in results.items():
        if per_hour is not None:
            continue
        rate, looks, late, p95, refused, passed = line(days)
        share = rate / bounds[law]
        short = policy == "Dailies" and (share < LAWS[law][1] or refused or passed)
        kept = kept and not short
        print(f"{law:<20} {policy:<24} {rate:8.2f} {100 * share:7.1f}% {looks:6.2f} ", end="")
        print(f"{late:5.1f}s {p95:5.1f}s {refused:7} {passed:6}{'   MISSED' if short else ''}")
    print("\nbounds: " + ", ".join(f"{law} {most:.2f}" for law, most in bounds.items()))
    print(f"\n{'clips as they come':<20} {'policy':<24} {'clips/h':>8} {'':>8} {'looks':>6} ", end="")
    print(f"{'late':>6} {'p95':>6} {'429':>7} {'passed':>6}")
    for (law, policy, per_hour), days in results.items():
        if per_hour is None:
            continue
        rate, looks, late, p95, refused, passed = line(days)
        short = policy == "Dailies" and (late > LIGHT[per_hour] or refused or passed)
        kept = kept and not short
        print(f"{law:<20} {policy:<24} {rate:8.2f} {'':>8} {looks:6.2f} ", end="")
        print(f"{late:5.1f}s {p95:5.1f}s {refused:7} {passed:6}{'   MISSED' if short else ''}")
    return kept


def decision_times() -> list[float]:
    """Milliseconds of processor time of 30 decisions with nothing in the cache, three kinds known; sorted."""
    dice, took = random.Random(1), []
    law = LAWS["mix 30, 110, 220"][0]
    for _ in range(30):
        newest = [((kind,), seconds) for kind, seconds in (law(dice) for _ in range(pacing.HISTORY))]
        load = pacing.Load(sorted(dice.uniform(0, HOUR) for _ in range(180)), 3, 10, 70)
        began = time.process_time()
        seen, usual = pacing.samples(newest, newest[0][0])
        pacing.next_look(0.0, seen, load, usual)
        took.append(1000 * (time.process_time() - began))
    return sorted(took)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0, help="constants are chosen with other dice than reported")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--quick", action="store_true", help="2 seeds of 8 hours")
    parser.add_argument("--cores", type=int, default=2)
    chosen = parser.parse_args()
    seeds, hours = (2, 8.0) if chosen.quick else (chosen.seeds, chosen.hours)
    dice = range(chosen.first_seed, chosen.first_seed + seeds)
    cells: list[tuple[str, str, float | None]] = [(law, policy, None) for law in LAWS for policy in POLICIES]
    cells += [("uniform 60-180", policy, rate) for rate in LIGHT for policy in ("Dailies", "every 30 s, limiter")]
    began = time.perf_counter()
    took = decision_times()
    print(f"{seeds} x {hours:g} h of each; a decision takes {took[15]:.1f} ms, at most {took[-1]:.1f} ms\n", flush=True)
    with multiprocessing.Pool(chosen.cores) as pool:
        tasks = [(law, policy, seed, hours, rate) for law, policy, rate in cells for seed in dice]
        days = pool.map(one, tasks, chunksize=1)
    bounds = {name: KNOWN.get(name) or bound(law) for name, (law, _) in LAWS.items()}
    results = {cell: days[place * seeds : (place + 1) * seeds] for place, cell in enumerate(cells)}
    kept = report(results, bounds)
    print(f"\n{time.perf_counter() - began:.0f} s; {'every promise kept' if kept else 'a promise was MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
