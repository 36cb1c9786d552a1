"""Measures generations/outlook.py, as shipped: how often a clip was ready within the time that people were told.

`python -m benchmarks.forecasts` plays days of one account for each law and load. Three people confirm clips in batches
of one to six; whose turn it is, dispatch decides. A range is taken when a clip is confirmed and again when it is sent,
and compared with the moment at which Dailies notices that the clip is ready.
"""

import argparse
import multiprocessing
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

import django

from benchmarks.laws import HOUR, LAWS, SLOTS
from benchmarks.pacing import Account, Job, Shipped
from generations import outlook, pacing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "veevid_site.settings")
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp())
django.setup()

from generations.dispatch import in_turn  # noqa: E402 - needs the line above

LOADS = (5.0, 20.0, 40.0, 60.0)  # clips an hour
PEOPLE, LARGEST = 3, 6  # people, and clips that one of them confirms at once
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Wish:
    """One clip that somebody confirmed and that is not sent yet."""

    number: int
    who: int
    at: float
    kind: int
    took: float


@dataclass
class Said:
    """What was told of one clip, and when it was ready."""

    stage: str
    at: float
    low: float
    high: float
    before: int = 0  # in the line
    ready: float = 0.0


class Studio(Account):
    """One account with people before it, who are told when their clips will be ready."""

    def __init__(self, law: str, seed: int, hours: float, per_hour: float) -> None:
        self.shipped = Shipped()
        super().__init__(LAWS[law][0], self.shipped, seed, hours, per_hour)
        self.rate = per_hour
        self.crowd = random.Random(10 * seed + 7)
        self.line: list[Wish] = []
        self.asked: list[Wish] = []
        self.under_way: dict[int, Job] = {}
        self.owner: dict[int, int] = {}
        self.open: dict[int, list[Said]] = {}
        self.said: list[Said] = []

    def next_arrival(self, now: float) -> None:
        self.at(now + self.arrivals.expovariate(2 * self.rate / (1 + LARGEST) / HOUR), self.arrive)

    def arrive(self, now: float) -> None:
        who = self.crowd.randrange(PEOPLE)
        for _ in range(self.crowd.randint(1, LARGEST)):
            wish = Wish(next(self.numbers), who, now, *self.law(self.lengths))
            self.line.append(wish)
            self.asked.append(wish)
            self.owner[wish.number] = who
            before, said = self.foresee(now, wish.number)
            self.open[wish.number] = [Said("confirmed", now, *said, before=before)]
        self.waiting = len(self.line)
        self.next_arrival(now)
        self.on_tick(now, self.submit)

    def submit(self, now: float) -> None:
        if not self.line or self.running >= SLOTS or self.sending:
            return
        wait = self.policy.may("generate", now)
        if wait:
            self.on_tick(now + wait, self.submit)
            return
        wish = self.in_order()[0]
        self.line.remove(wish)
        there, back = self.request(now, "generate")
        job = Job(wish.number, wish.kind, wish.took, there, there + wish.took)
        self.under_way[job.number] = job
        self.running, self.sending = self.running + 1, True
        self.waiting = len(self.line)
        if not self.upstream.submit(there, job.took):
            raise RuntimeError("refused, although nothing is sent that is too much")
        self.at(back, self.accepted, job)

    def accepted(self, now: float, job: Job) -> None:
        takes = self.kind(job.kind, self.load(now)).takes
        self.open[job.number].append(Said("sent", now, *outlook.between(takes)))
        super().accepted(now, job)

    def ready(self, now: float, job: Job) -> None:
        del self.under_way[job.number]
        for said in self.open.pop(job.number):
            said.ready = now - said.at
            if now > HOUR:
                self.said.append(said)
        super().ready(now, job)

    # -- as forecast.py does it --

    def in_order(self) -> list[Wish]:
        wishes = {wish.number: wish for wish in self.line}
        rows = [(wish.number, wish.who, START + timedelta(seconds=wish.at)) for wish in self.line]
        return [wishes[number] for number in in_turn(rows, Counter(self.owner[n] for n in self.under_way))]

    def load(self, now: float) -> pacing.Load:
        submitted = sum(what == "generate" for _, what in self.policy.books.calls)
        return pacing.Load(sorted(self.policy.books.ends(now)), self.running, len(self.line), submitted)

    def kind(self, kind: int, load: pacing.Load) -> outlook.Kind:
        seen, usual = pacing.samples(self.shipped.newest, (kind,))
        return outlook.kind(seen, usual, load)

    def foresee(self, now: float, number: int) -> tuple[int, outlook.Range]:
        load = self.load(now)
        lately = [wish for wish in self.asked if wish.at > now - outlook.LATELY]
        rendering = self.under_way.values()
        kinds = {
            one: self.kind(one, load) for one in {w.kind for w in (*lately, *self.line)} | {j.kind for j in rendering}
        }
        places = [
            outlook.Place(
                job.number, None, self.owner[job.number], outlook.left(kinds[job.kind].takes, max(now - job.sent, 0))
            )
            for job in rendering
        ]
        places += [outlook.Place(0)] * (SLOTS - len(places))

        def turn(wish: Wish, sign: int = 1) -> outlook.Turn:
            return outlook.Turn(sign * wish.number, wish.who, 0, wish.at - now, kinds[wish.kind])

        line = [turn(wish) for wish in self.in_order()]
        to_come = [turn(wish, -1) for wish in lately]
        before = next(place for place, each in enumerate(line) if each.number == number)
        return before, outlook.ready(places, line, load, to_come, number)[number]


def day(task: tuple[str, int, float, float]) -> list[Said]:
    studio = Studio(*task)
    studio.run()
    return studio.said


def report(law: str, load: float, said: Iterable[Said]) -> None:
    groups: dict[str, list[Said]] = {}
    for each in said:
        groups.setdefault(each.stage, []).append(each)
        if each.stage == "confirmed":
            groups.setdefault("  next" if each.before == 0 else "  far" if each.before > 9 else "  near", []).append(
                each
            )
    for name, group in sorted(groups.items(), key=lambda item: item[0].strip()):
        n = len(group)
        early = sum(each.ready < each.low for each in group) / n
        late = sum(each.ready > each.high for each in group) / n
        width = median(each.high - each.low for each in group)
        wait = median(each.ready for each in group)
        shares = " ".join(f"{100 * share:6.1f}%" for share in (1 - early - late, early, late))
        print(f"{law:<20} {load:4.0f}/h  {name:<10} {n:6} {shares} {width:7.0f}s {wait:7.0f}s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--laws", default=";".join(LAWS))
    parser.add_argument("--loads", default=",".join(str(load) for load in LOADS))
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    heads = f"{'clips':>6} {'held':>7} {'early':>7} {'late':>7} {'width':>8} {'ready':>8}"
    print(f"{'law':<20} {'':6}  {'told when':<10} {heads}")
    with multiprocessing.Pool(given.cores) as pool:
        for law in given.laws.split(";"):
            for load in map(float, given.loads.split(",")):
                tasks = [(law, seed, given.hours, load) for seed in range(given.days)]
                report(law, load, [said for each in pool.imap_unordered(day, tasks) for said in each])


if __name__ == "__main__":
    main()
