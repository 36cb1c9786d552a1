"""Measures the spend pages: seconds of the server for each, over a private PostgreSQL with a million generations.

`python -m benchmarks.spend` fills the database in bulk, asks each page 20 times through Django's own client (all
middleware, template and database; no network), and compares the number of queries with that at 10,000 generations.
"""

import argparse
import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import islice
from statistics import median, quantiles
from typing import Any

import django
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.servers import Postgres

TEAMS, PEOPLE, PROJECTS, DAYS = 8, 40, 32, 730
FEW = 10_000
MODES = "{veo3,kling-3,kling-2-6,sora2,sora2-stable,wan-2-6,ltx-2-3,grok-imagine,seedance-1.5-pro,veevid-1.0-pro}"

# Evenly over the days: nine of ten completed, the newest still under way.
GENERATIONS = """
INSERT INTO generations_generation (team_id, owner_id, project_id, day, nonce, status, mode, generation_type, params,
    prompt, quote_id, price, charged, account_id, attempt, upstream_id, video_url, upstream_words, wait_why, looks,
    looks_unanswered, created_at, queued_at, sent_at, finished_at, took)
SELECT team, owner, CASE WHEN dice3 < 0.25 THEN NULL ELSE team + %(teams)s * floor(dice3 * %(each)s)::int END, at::date,
    gen_random_uuid(), status, (%(modes)s::text[])[1 + floor(dice2 * dice2 * 10)], 'text-to-video', '{}',
    'A lone walker crests the dune at golden hour, take ' || n, 1, price,
    CASE WHEN status = 'COMPLETED' THEN CASE WHEN n %% 30 = 0 THEN price - 1 ELSE price END
         WHEN status = 'FAILED' THEN CASE WHEN n %% 10 = 0 THEN price ELSE 0 END END,
    CASE WHEN status IN ('COMPLETED', 'FAILED', 'PROCESSING') THEN 1 + n %% 2 END, 1,
    CASE WHEN status IN ('COMPLETED', 'FAILED', 'PROCESSING') THEN 'vg_' || n END, '', '', '', 5, 0,
    at, at, CASE WHEN status IN ('COMPLETED', 'FAILED', 'PROCESSING') THEN at + interval '20 s' END,
    CASE WHEN status NOT IN ('PROCESSING', 'QUEUED') THEN at + interval '90 s' END, 70
FROM (SELECT n, owner, 1 + owner %% %(teams)s AS team, dice2, dice3, 20 + floor(dice2 * 400)::int AS price,
        now() - interval '1 day' * (%(days)s * (1 - n::float / %(total)s)) AS at,
        CASE WHEN n > %(total)s - 100 THEN CASE WHEN n %% 2 = 0 THEN 'PROCESSING' ELSE 'QUEUED' END
             WHEN dice1 < 0.9 THEN 'COMPLETED' WHEN dice1 < 0.97 THEN 'FAILED' ELSE 'CANCELLED' END AS status
    FROM (SELECT n, 1 + floor(random() * %(people)s)::int AS owner,
            random() AS dice1, random() AS dice2, random() AS dice3
        FROM generate_series(1, %(total)s) AS n) AS dice) AS rows
"""
ENTRY = """
INSERT INTO generations_ledgerentry (kind, generation_id, user_id, team_id, project_id, account_id, held, spent, bought,
    why, demo, day, at)
"""
HOLDS = "SELECT 'hold', id, owner_id, team_id, project_id, NULL, price, 0, 0, 'confirmed', false, day, created_at"
ENDS = """
SELECT CASE WHEN charged > 0 THEN 'capture' ELSE 'release' END, id, owner_id, team_id, project_id, account_id, -price,
    coalesce(charged, 0), 0, 'ended', false, day, finished_at
"""
SUMS = """
INSERT INTO generations_daysum (team_id, user_id, project_id, mode, demo, day, held, spent, failed_spent, quoted,
    confirmed, completed, failed)
SELECT g.team_id, g.owner_id, g.project_id, g.mode, false, g.day, sum(e.held), sum(e.spent),
    coalesce(sum(e.spent) FILTER (WHERE g.status = 'FAILED'), 0),
    coalesce(sum(g.price) FILTER (WHERE e.kind = 'capture'), 0),
    count(*) FILTER (WHERE e.kind = 'hold'), count(*) FILTER (WHERE e.kind = 'capture' AND g.status = 'COMPLETED'),
    count(*) FILTER (WHERE e.kind <> 'hold' AND g.status = 'FAILED')
FROM generations_ledgerentry e JOIN generations_generation g ON g.id = e.generation_id GROUP BY 1, 2, 3, 4, 6
"""
INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid IN ('generations_generation'::regclass, 'generations_ledgerentry'::regclass)
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


def people() -> None:
    """Teams, people, projects and two accounts whose balances were read; the numbers begin with 1."""
    names = [f"Team {number}" for number in range(1, TEAMS + 1)]
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(
                "INSERT INTO generations_team (name, time_zone, created_at) VALUES (%s, 'UTC', now())", [name]
            )
    from_app = _app()
    for number in range(1, PEOPLE + 1):
        user = from_app.User.objects.create_user(f"p{number}@example.com", None, name=f"Person {number}")
        role = "manager" if number <= TEAMS else "member"
        from_app.Membership.objects.create(team_id=1 + number % TEAMS, user=user, role=role)
    from_app.User.objects.create_superuser("root@example.com", None, name="Root")
    for number in range(PROJECTS):
        from_app.Project.objects.create(team_id=1 + number % TEAMS, name=f"Client {number + 1}")
    now = timezone.now()
    for number in (1, 2):
        account = from_app.ApiAccount.objects.create(name=f"Veevid {number}")
        rested = now - timedelta(hours=1)
        account.compared = from_app.BalanceReading.objects.create(account=account, credits=90000, at=rested)
        account.save()
        from_app.BalanceReading.objects.create(account=account, credits=80000, at=now - timedelta(minutes=1))
    from_app.Quote.objects.create(account_id=1, digest="d", billing={}, credits=100)


def _app() -> Any:
    """The models: they can be imported once the settings are chosen."""
    return importlib.import_module("generations.models")


def fill(total: int) -> None:
    """In place of what was there. In bulk and without foreign keys being looked up; indexes are built at the end."""
    size: dict[str, Any] = {"teams": TEAMS, "each": PROJECTS // TEAMS, "modes": MODES, "days": DAYS, "people": PEOPLE}
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SELECT setseed(0.7)")
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        for table in ("daysum", "ledgerentry", "generation"):
            cursor.execute(f"DELETE FROM generations_{table}")
        cursor.execute(GENERATIONS, {**size, "total": total})
        cursor.execute(f"{ENTRY} {HOLDS} FROM generations_generation")
        cursor.execute(f"{ENTRY} {ENDS} FROM generations_generation WHERE finished_at IS NOT NULL")
        cursor.execute(SUMS)
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SET session_replication_role = DEFAULT")


def pages() -> Iterator[tuple[str, str, str]]:
    """(name, who asks, path)."""
    today = timezone.localdate()
    begin, year = today - timedelta(days=DAYS), today - timedelta(days=365)
    month = f"from={today - timedelta(days=60)}&to={today - timedelta(days=30)}"
    yield "overview: a team's month", "p1@example.com", "/spend?view=team"
    yield "overview: all teams' month, with the books", "root@example.com", "/spend?view=team&team=all"
    yield "all teams, from the beginning", "root@example.com", f"/spend?view=team&team=all&from={begin}&to={today}"
    filtered = f"/spend?view=team&team=all&{month}&project=3&by=model"
    yield "filtered: a client's month, by model", "root@example.com", filtered
    narrow = f"/spend?view=team&team=all&from={year}&to={today}&person=3&model=veo3&status=failed"
    yield "filtered: a person's failed clips of a model in a year", "root@example.com", narrow
    yield "my usage", "p9@example.com", "/spend?view=mine"


def clock(ask: Callable[[], Any], times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - began))
    return took


def signed_in(email: str) -> Any:
    client = Client()
    client.force_login(_app().User.objects.get(email=email))
    return client


def queries() -> dict[str, int]:
    found = {}
    for name, who, path in pages():
        client = signed_in(who)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(path).status_code == 200
        found[name] = len(asked)
    return found


def row(name: str, took: list[float], asked: str) -> None:
    print(f"| {name} | {median(took):,.0f} | {quantiles(took, n=20)[-1]:,.0f} | {asked} |", flush=True)


def measure(few: dict[str, int], times: int) -> bool:
    """Prints the table. True: no page takes more queries than over few generations."""
    many = queries()
    print("| page | p50 ms | p95 ms | queries (at 10,000) |\n|---|---|---|---|")
    for name, who, path in pages():
        client = signed_in(who)
        row(name, clock(partial(client.get, path), times), f"{many[name]} ({few[name]})")
    today, root = timezone.localdate(), signed_in("root@example.com")
    path = f"/spend.csv?view=team&team=all&from={today - timedelta(days=DAYS)}&to={today}"
    row("CSV of everything: first byte", clock(lambda: next(iter(root.get(path).streaming_content)), times), "")

    def first_line() -> None:
        content = iter(root.get(path).streaming_content)
        next(content)
        next(content)

    row("CSV of everything: first line", clock(first_line, times), "")
    began, content = time.perf_counter(), iter(root.get(path).streaming_content)
    lines = sum(1 for _ in islice(content, 20_000))
    print(f"\nCSV: {lines / (time.perf_counter() - began):,.0f} lines a second, over the first {lines:,}")
    return all(many[name] <= few[name] for name in many)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    server, folder = Postgres(), tempfile.mkdtemp()
    try:
        os.environ["DATABASE_URL"] = server.start().new_database()
        os.environ |= {
            "DATA_DIR": folder,
            "DJANGO_SETTINGS_MODULE": "veevid_site.settings",
            "ALLOWED_HOSTS": "testserver",
        }
        django.setup()
        call_command("collectstatic", "--no-input", verbosity=0)
        people()
        fill(FEW)
        few = queries()
        began = time.monotonic()
        fill(given.rows)
        days = _app().DaySum.objects.count()
        print(
            f"{given.rows:,} generations, {days:,} sums of days, filled in {time.monotonic() - began:.0f} s\n",
            flush=True,
        )
        constant = measure(few, given.times)
        connection.close()
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(0 if constant else 1)


if __name__ == "__main__":
    main()
