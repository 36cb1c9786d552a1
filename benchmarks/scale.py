"""Measures Dailies with many accounts: real workers, PostgreSQL and Redis, and a line that never ends.

`python -m benchmarks.scale --accounts 100` lets every account be used as far as its 200 requests an hour allow.
`--speed` shortens the renderings, so that more requests are wanted in a short run; each answer takes `--latency`.
The accounts begin within `--spread` seconds, as those of many teams would; 0 has them all begin, and stay, in step.

The lag is measured from outside. Of a look: from the moment it was due (a trigger of this benchmark's own writes that
down when the row is taken) to its request. Of a submission: from the moment the account could take one (a slot and the
lane free, by the rows' own times) to its request.
"""

import argparse
import os
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import psycopg

from benchmarks.machine import Cost, System, costs, mean, quantile, say, system
from tests.jobs import ask
from tests.servers import manage
from tests.stack import Dailies, Simulator

SLOTS = 3
MODELS = ("veo3", "grok-imagine", "seedance-1.5-pro", "kling-3", "ltx-2-3", "kling-2-6", "sora2-stable", "wan-2-6")
TRIGGER = """
CREATE TABLE bench_look (generation bigint, due timestamptz, taken timestamptz);
CREATE FUNCTION bench_taken() RETURNS trigger AS $$ BEGIN
  INSERT INTO bench_look VALUES (OLD.id, OLD.next_look_at, clock_timestamp()); RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER bench_taken AFTER UPDATE OF next_look_at ON generations_generation FOR EACH ROW
  WHEN (OLD.next_look_at <= clock_timestamp() AND NEW.next_look_at > clock_timestamp() + interval '25 s'
        AND NEW.status = OLD.status)
  EXECUTE FUNCTION bench_taken();
"""
PREPARE = """
import json, uuid
from generations import accounts, catalogue, ledger, lifecycle
from generations.models import Generation
from tests.makers import make_person

for key in {keys!r}:
    accounts.add_key(None, key)
models = {models!r}
people = [make_person(f"person{{number}}@example.com") for number in range({people})]
originals = []
for mode in models:
    order = lifecycle.Order(mode, "text-to-video", catalogue.clean(mode, "text-to-video", {{}}), "a clip", {{}})
    sealed = lifecycle.seal(people[0], people[0].teams.get(), order, lifecycle.quote(order.billing))
    originals.append(lifecycle.confirm(people[0], sealed))
for number in range(len(models), {clips}):  # copies, since confirming so many takes its time
    copy = Generation.objects.get(pk=originals[number % len(models)].pk)
    copy.pk, copy.nonce, copy.owner = None, uuid.uuid4(), people[number % len(people)]
    copy.save(force_insert=True)
    ledger.hold(copy)
print(json.dumps(1))
"""
STAGGER = """
import json, random
from datetime import timedelta
from django.utils import timezone
from generations.models import ApiAccount

random.seed(1)
for account in ApiAccount.objects.filter(demo=False):
    begins = timezone.now() + timedelta(seconds=random.random() * {spread})
    ApiAccount.objects.filter(pk=account.pk).update(wait_until=begins, wait_why="busy")
print(json.dumps(1))
"""
TICK = """
import json, time
from django.db import connection
from django.test.utils import CaptureQueriesContext
from generations import dispatch

spans = []
for _ in range(20):
    began = time.perf_counter()
    dispatch.due()
    spans.append(time.perf_counter() - began)
    time.sleep(0.2)
with CaptureQueriesContext(connection) as queries:
    dispatch.due()
print(json.dumps([sorted(spans)[10] * 1000, len(queries)]))
"""
COUNTERS = """
SELECT xact_commit, tup_inserted, tup_updated, tup_deleted, pg_current_wal_lsn() - '0/0'::pg_lsn
FROM pg_stat_database WHERE datname = current_database()
"""


def main() -> None:
    given = arguments()
    with system("postgres", "--speed", str(given.speed), "--balance", "100000000") as all_of_it:
        dailies, simulator = all_of_it.dailies, all_of_it.simulator
        prepare(dailies, simulator, given)
        dailies.python(STAGGER.format(spread=given.spread))
        dailies.start_beat()
        for _ in range(given.workers):
            dailies.start_worker(given.concurrency, queues="dailies")
        if given.fetchers:
            dailies.start_fetcher(given.fetchers)
        say(f"{given.accounts} accounts, {given.clips} clips wait. The first {given.warm_up:g} s are not measured …")
        time.sleep(given.warm_up)
        began, counted, used = time.time(), ask(dailies, COUNTERS)[0], costs(all_of_it.processes)
        while (left := began + given.minutes * 60 - time.time()) > 0:
            time.sleep(min(60.0, left))
            say(f"{(time.time() - began) / 60:5.1f} min, {len(requests(simulator, began))} requests")
        ended, now = time.time(), costs(all_of_it.processes)
        counts = [int(after - before) for before, after in zip(counted, ask(dailies, COUNTERS)[0], strict=True)]
        tick, queries = dailies.python(TICK)
        used = {name: cost.since(used.get(name, Cost())) for name, cost in now.items()}
        report(all_of_it, began, ended, used, counts, (tick, queries), given)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=240, help="seconds that are not measured")
    parser.add_argument("--spread", type=float, default=180, help="seconds over which the accounts begin, by chance")
    parser.add_argument("--speed", type=float, default=1.0, help="of the renderings; 1: 60 to 180 s")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds that upstream takes for each answer")
    parser.add_argument("--workers", type=int, default=1, help="worker programs")
    parser.add_argument("--concurrency", type=int, default=6, help="processes of each")
    parser.add_argument("--fetchers", type=int, default=1, help="processes that fetch clips; 0: none is fetched")
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--clips", type=int, default=5000, help="that wait at the beginning")
    return parser.parse_args()


def prepare(dailies: Dailies, simulator: Simulator, given: argparse.Namespace) -> None:
    keys = [f"vv_sk_of_account_number_{number}" for number in range(2, given.accounts + 1)]
    for key in keys:
        simulator.control("account", {"account": key, "balance": 100_000_000})
        simulator.control("key", {"key": key, "account": key})
    code = PREPARE.format(keys=keys, models=list(MODELS), people=given.people, clips=given.clips)
    manage(dailies.env, "shell", "-v0", "-c", code, seconds=1800)
    with psycopg.connect(dailies.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(TRIGGER)
    for endpoint in ("generate", "status"):
        simulator.fault(endpoint, "late", seconds=given.latency, times=None)


def requests(simulator: Simulator, began: float) -> list[dict[str, Any]]:
    return [row for row in simulator.journal() if row["account"] and row["at"] >= began]


# -- the lags ---------------------------------------------------------------------------------------------------------


Lags = list[tuple[float, float]]  # (when, seconds)


def look_lags(dailies: Dailies, began: float) -> Lags:
    """From when each look was due to its request's row."""
    calls: dict[int, list[float]] = defaultdict(list)
    for pk, at in ask(dailies, "SELECT generation_id, at FROM generations_apicall WHERE kind = 'status' ORDER BY at"):
        calls[pk].append(at.timestamp())
    lags = []
    for pk, due, taken in ask(dailies, "SELECT generation, due, taken FROM bench_look"):
        later = bisect_left(calls[pk], taken.timestamp())
        if taken.timestamp() > began and later < len(calls[pk]) and calls[pk][later] < taken.timestamp() + 25:
            lags.append((calls[pk][later], calls[pk][later] - due.timestamp()))
    return lags


def submission_lags(dailies: Dailies, began: float) -> Lags:
    """From when an account could take one more (a slot and the lane free) to its next submission's row."""
    held = defaultdict(list)  # account -> (from, until) that a generation held a slot
    for account, sent, ended in ask(dailies, "SELECT account_id, sent_at, finished_at FROM generations_generation"
                                             " WHERE sent_at IS NOT NULL AND account_id IS NOT NULL"):  # fmt: skip
        held[account].append((sent.timestamp(), ended.timestamp() if ended else float("inf")))
    sent_at = defaultdict(list)  # account -> (from, until) of each submission
    for account, at, answered in ask(dailies, "SELECT account_id, at, answered_at FROM generations_submission"):
        sent_at[account].append((at.timestamp(), answered.timestamp() if answered else float("inf")))
    lags = []
    for account, spans in sent_at.items():
        for (_, answered), (at, _) in pairwise(sorted(spans)):
            if at > began:
                lags.append((at, at - max(answered, slot_free(held[account], at))))
    return lags


def slot_free(held: Sequence[tuple[float, float]], at: float) -> float:
    """Since when fewer than three slots were held, until just before `at`."""
    before = [(since, until) for since, until in held if since < at - 0.001]
    ends = sorted((until for _, until in before), reverse=True)
    return ends[SLOTS - 1] if len(ends) >= SLOTS else 0.0


# -- the report -------------------------------------------------------------------------------------------------------


def report(
    all_of_it: System,
    began: float,
    ended: float,
    used: dict[str, Cost],
    counts: Sequence[int],
    tick: tuple[float, int],
    given: argparse.Namespace,
) -> None:
    dailies, simulator = all_of_it.dailies, all_of_it.simulator
    journal = [row for row in requests(simulator, began) if row["at"] < ended]
    hours, sent = (ended - began) / 3600, max(len(journal), 1)
    limits = simulator.violations()
    looks, submissions = look_lags(dailies, began), submission_lags(dailies, began)
    commits, inserted, updated, _, wal = counts
    kept = dict(ask(dailies, "SELECT state, count(*) FROM generations_clip GROUP BY state"))
    cpu = sum(cost.cpu for name, cost in used.items() if name != "simulator")
    rows = [
        ("accounts", f"{given.accounts}, renderings {given.speed:g} times as fast, answers after {given.latency:g} s"),
        ("machine", f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"),
        ("workers", f"{given.workers} of {given.concurrency} processes, {given.fetchers} threads that fetch"),
        ("ran", f"{hours * 60:.1f} min after {given.warm_up:g} s, accounts began within {given.spread:g} s"),
        ("requests", f"{len(journal)}: {len(journal) / hours:,.0f} an hour"),
        ("answers 429", str(sum(row["status"] == 429 for row in journal))),
        ("limits exceeded", str(limits["exceeded"] or "none")),
        ("lag of looks", lag_in_words(looks)),
        ("lag of submissions", lag_in_words(submissions)),
        ("a tick's questions", f"{tick[0]:.1f} ms, {tick[1]} queries"),
        ("CPU a request", f"{cpu / sent * 1000:.1f} ms, without the simulator"),
        ("database a request", f"{commits / sent:.1f} commits, {inserted / sent:.1f} rows added, "
                               f"{updated / sent:.1f} changed, {wal / sent / 1024:.1f} kB WAL"),
        ("clips", str(kept)),
        *((f"{name} CPU", f"{cost.cpu / (hours * 36):.1f} % of a core, memory {cost.memory:.0f} MB, "
                          f"{cost.processes} processes") for name, cost in sorted(used.items())),
    ]  # fmt: skip
    say()
    for name, words in rows:
        say(f"{name:<20} {words}")
    say("\nminute by minute: requests, p95 of the looks' lag, of the submissions'")
    for minute in range(round((ended - began) / 60)):
        since, until = began + 60 * minute, began + 60 * (minute + 1)
        sent_then = sum(since <= row["at"] < until for row in journal)
        then = [quantile([lag for at, lag in lags if since <= at < until], 0.95) for lags in (looks, submissions)]
        say(f"{minute + 1:>4} {sent_then:>6} {then[0]:>8.2f} s {then[1]:>8.2f} s")


def lag_in_words(measured: Lags) -> str:
    lags = [lag for _, lag in measured]
    return (
        f"mean {mean(lags):.2f} s, p95 {quantile(lags, 0.95):.2f} s, most {max(lags, default=0):.2f} s, of {len(lags)}"
    )


if __name__ == "__main__":
    main()
