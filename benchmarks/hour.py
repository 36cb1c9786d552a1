"""Measures Dailies itself, not a simulation: real processes, one account, one key, and a queue that never ends.

`python -m benchmarks.hour --minutes 60 --workers 1 --database sqlite` is what `make run` starts;
`--workers 8 --database postgres --minutes 10` is what a larger installation starts. The simulator runs at real speed
and enforces the vendor's limits; its journal is the judge. Three people wait in the line, one with most of it.
"""

import argparse
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from benchmarks.laws import KNOWN, Law, bound
from benchmarks.machine import Cost, costs, mean, quantile, say, shares, system
from simulator.jobs import SECONDS
from tests.jobs import add_people, ask
from tests.stack import Dailies, Simulator

PEOPLE = (("mara", 100), ("luc", 40), ("aiko", 40))
REFILL, LOW = 20, 20  # a person with fewer waiting than LOW confirms so many more
TEXT_MODELS = ("veo3", "grok-imagine", "seedance-1.5-pro", "kling-3", "ltx-2-3", "kling-2-6", "sora2-stable", "wan-2-6")
MODELS = {"uniform": ("grok-imagine",), "cheap": ("grok-imagine",), "models": TEXT_MODELS}
CONFIRM = """
import json
from generations import catalogue, lifecycle
from generations.models import User

models = {models!r}
user = User.objects.get(email={email!r})
for number in range({count}):
    mode = models[number % len(models)]
    params = catalogue.clean(mode, "text-to-video", {{}})
    order = lifecycle.Order(mode, "text-to-video", params, f"clip {{number}}", {{}})
    lifecycle.confirm(user, lifecycle.seal(user, user.teams.get(), order, lifecycle.quote(order.billing)))
print(json.dumps(1))
"""
WAITING = """
SELECT u.email, count(g.id) FROM generations_user u LEFT JOIN generations_generation g
ON g.owner_id = u.id AND g.status = 'QUEUED' GROUP BY u.email
"""
DONE = """
SELECT g.upstream_id, u.email, g.finished_at FROM generations_generation g
JOIN generations_user u ON u.id = g.owner_id WHERE g.status = 'COMPLETED'
"""


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with system(given.database, "--speed", "1", "--balance", "100000000") as all_of_it:
        dailies, simulator = all_of_it.dailies, all_of_it.simulator
        models = MODELS[given.law]
        draws = random.Random(given.seed)
        prescribe(simulator, given.law, draws, 60)
        add_people(dailies)
        for name, count in PEOPLE:
            confirm(dailies, name, count, models)
        say(f"{sum(count for _, count in PEOPLE)} clips wait. Starting web, beat and {given.workers} worker(s) …")
        began = time.time()
        dailies.start_web()
        dailies.start_beat()
        for _ in range(given.workers):
            dailies.start_worker(given.concurrency or (3 if given.workers == 1 else 1), queues="dailies")
        dailies.start_fetcher()
        before = now = costs(dailies.processes)
        try:
            while (left := began + given.minutes * 60 - time.time()) > 0:
                time.sleep(min(60.0, left))
                now = costs(dailies.processes)
                prescribe(simulator, given.law, draws, 60)
                keep_waiting(dailies, models)
                say(f"{(time.time() - began) / 60:5.1f} min  {progress(simulator)}")
        except KeyboardInterrupt:
            say("Interrupted: the figures so far.")
        used = {name: cost.since(before[name]) for name, cost in now.items()}  # not what starting took
        report(dailies, simulator, began, time.time(), used, given)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1, help="worker programs")
    parser.add_argument("--concurrency", type=int, help="processes of each; 3 for one worker, else 1")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--law", choices=("uniform", "models", "cheap"), default="uniform", help="see law_in_words")
    parser.add_argument("--seed", type=int, default=1, help="of the uniform law's dice")
    return parser.parse_args()


def law_in_words(law: str) -> str:
    own = "the simulator's own: each model's seconds, up to 15 more or less, never below 60 nor above 180"
    return {
        "uniform": "each uniform from 60 to 180 s, prescribed to the simulator clip by clip",
        "models": f"{own}; {len(TEXT_MODELS)} models in turn",
        "cheap": f"{own}; grok-imagine alone (60 to 77 s)",
    }[law]


# -- the queue that never ends ----------------------------------------------------------------------------------------


def prescribe(simulator: Simulator, law: str, draws: random.Random, ahead: int) -> None:
    """Tells the simulator how long each of the next clips is to take."""
    if law == "uniform":
        left = sum(fault["remaining"] for fault in simulator.control("faults"))
        for _ in range(ahead - left):
            simulator.fault("generate", "duration", seconds=draws.uniform(60, 180))


def confirm(dailies: Dailies, name: str, count: int, models: Sequence[str]) -> None:
    dailies.python(CONFIRM.format(models=list(models), email=f"{name}@example.com", count=count))


def keep_waiting(dailies: Dailies, models: Sequence[str]) -> None:
    waiting = dict(ask(dailies, WAITING))
    for name, _ in PEOPLE:
        if waiting.get(f"{name}@example.com", 0) < LOW:
            confirm(dailies, name, REFILL, models)


def progress(simulator: Simulator) -> str:
    clips = Counter(clip["status"] for clip in simulator.generations())
    journal = simulator.journal()
    refused = sum(row["status"] == 429 for row in journal)
    return f"{dict(clips)}, requests {sum(bool(row['account']) for row in journal)}, answers 429: {refused}"


# -- the report -------------------------------------------------------------------------------------------------------


def report(
    dailies: Dailies, simulator: Simulator, began: float, ended: float, used: dict[str, Cost], given: argparse.Namespace
) -> None:
    journal = [row for row in simulator.journal() if row["at"] >= began]
    accepted = {clip["id"]: clip for clip in simulator.generations()}
    noticed = {row[0]: (row[1].split("@")[0], seconds(row[2])) for row in ask(dailies, DONE)}
    done = [clip for clip in accepted.values() if clip["completed_at"] and clip["completed_at"] <= ended]
    delays = [at - accepted[pk]["completed_at"] for pk, (_, at) in noticed.items()]
    requests = [row for row in journal if row["account"]]  # downloads of clips are no requests of the API
    kinds = Counter(row["endpoint"] for row in requests)
    looks = [sum(row["generation_id"] == pk for row in requests if row["endpoint"] == "status") for pk in noticed]
    limits = simulator.violations()
    hours = (ended - began) / 3600
    statuses = dict(ask(dailies, "SELECT status, count(*) FROM generations_generation GROUP BY status"))
    kept = dict(ask(dailies, "SELECT state, count(*) FROM generations_clip GROUP BY state"))
    owners = dict(ask(dailies, "SELECT g.upstream_id, u.email FROM generations_generation g JOIN generations_user u"
                               " ON u.id = g.owner_id WHERE g.upstream_id IS NOT NULL"))  # fmt: skip
    last = [clip for clip in done if clip["completed_at"] > ended - 1800]
    started = Counter(owners[pk].split("@")[0] for pk in accepted if pk in owners)
    finished = Counter(name for name, _ in noticed.values())
    rows = [
        ("ran", f"{hours * 60:.1f} min: {given.workers} worker(s), {given.database}, {os.cpu_count()} cores"),
        ("rendering takes", law_in_words(given.law)),
        ("  as it was", took(done)),
        ("clips completed", f"{len(done)}: {len(done) / hours:.1f} an hour over the whole time"),
        (
            "  last 30 min",
            f"{len(last) / min(hours, 0.5):.1f} an hour" + f" (poll-only optimum of this law {optimum(given.law):.2f})",
        ),
        ("slots in use", f"{in_use(accepted.values(), began, ended):.1%} of three"),
        ("looks for each clip", f"{mean(looks):.2f}"),
        ("requests", f"{len(requests)}: " + ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))),
        ("answers 429", str(sum(row["status"] == 429 for row in journal))),
        ("limits exceeded", f"{limits['exceeded'] or 'none'}; busiest {limits['busiest']} of {limits['allowed']}"),
        ("completed by person", shares(finished)),
        ("  begun by person", f"{shares(started)}; confirmed beforehand {dict(PEOPLE)}"),
        ("notice delay", f"mean {mean(delays):.1f} s, p95 {quantile(delays, 0.95):.1f} s"),
        ("rows", f"{statuses}, clips {kept}"),
        *((f"{name} CPU", cost_in_words(cost, hours)) for name, cost in sorted(used.items())),
    ]
    say()
    for name, words in rows:
        say(f"{name:<22} {words}")


def seconds(value: Any) -> float:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(f"{value}+00:00")
    return moment.timestamp()


def took(clips: Sequence[dict[str, Any]]) -> str:
    spans = [clip["completed_at"] - clip["created_at"] for clip in clips]
    return f"{min(spans):.0f} to {max(spans):.0f} s, mean {mean(spans):.1f} s" if spans else "nothing was completed"


def optimum(law: str) -> float:
    """The most clips an hour that polling alone could bring under this law; see benchmarks/README.md."""
    if law == "uniform":
        return KNOWN["uniform 60-180"]
    return bound(own_law([SECONDS[mode] for mode in MODELS[law]]))


def own_law(nominal: Sequence[float]) -> Law:
    def draw(dice: random.Random) -> tuple[int, float]:
        kind = dice.randrange(len(nominal))
        return kind, min(180.0, max(60.0, nominal[kind] + dice.uniform(-15, 15)))

    return draw


def in_use(clips: Any, began: float, ended: float) -> float:
    """The share of the three slots' time in which the simulator rendered."""
    spans = (min(clip["completed_at"] or ended, ended) - max(clip["created_at"], began) for clip in clips)
    return sum(max(span, 0.0) for span in spans) / (3 * (ended - began))


def cost_in_words(cost: Cost, hours: float) -> str:
    share = cost.cpu / (hours * 3600)
    return f"{cost.cpu:.1f} s ({share:.1%} of a core), memory {cost.memory:.0f} MB in {cost.processes} processes"


if __name__ == "__main__":
    main()
