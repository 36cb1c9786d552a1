"""A private PostgreSQL with a million generations, for the benchmarks of pages: made in bulk, the same each time."""

import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from statistics import median, quantiles
from typing import Any

import django
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from tests.servers import Postgres

TEAMS, PEOPLE, PROJECTS, DAYS = 8, 40, 32, 730
FEW = 10_000
MODES = "{veo3,kling-3,kling-2-6,sora2,sora2-stable,wan-2-6,ltx-2-3,grok-imagine,seedance-1.5-pro,veevid-1.0-pro}"

#: Prompts are put together of these. Every tenth has "dune", nine of ten "light", one of 625 "zeppelin".
WHOS = """{A lone walker,A night train,Two old friends,A red fox,The lighthouse keeper,A paper boat,A crane,
    An orchestra of crickets,Our new trainer,A single drop of ink}"""
WHERES = """{crests the dune at golden hour,crosses the pass in first snow,waits on a rooftop above the harbour,
    walks through neon rain,sinks into clear water,turns slowly on a white table,runs along the beach,
    disappears in the fog,floats between the stars,looks back at the city}"""
HOWS = """{"slow push in, soft light","drone orbit, warm light","handheld, cold light","35mm, shallow focus, low light",
    "time-lapse, changing light","macro, studio light","wide shot, last light","locked off, candle light",
    "tracking shot, hard light","black and white, grain"}"""

# Evenly over the days: nine of ten completed, the newest still under way.
GENERATIONS = """
INSERT INTO generations_generation (team_id, owner_id, project_id, day, nonce, status, mode, generation_type, params,
    prompt, quote_id, price, charged, account_id, attempt, upstream_id, video_url, upstream_words, wait_why, looks,
    looks_unanswered, created_at, queued_at, sent_at, finished_at, took, mark)
SELECT team, owner, CASE WHEN dice3 < 0.25 THEN NULL ELSE team + %(teams)s * floor(dice3 * %(each)s)::int END, at::date,
    gen_random_uuid(), status, (%(modes)s::text[])[1 + floor(dice2 * dice2 * 10)], 'text-to-video', '{}',
    prompt || ', take ' || n, 1, price,
    CASE WHEN status = 'COMPLETED' THEN CASE WHEN n %% 30 = 0 THEN price - 1 ELSE price END
         WHEN status = 'FAILED' THEN CASE WHEN n %% 10 = 0 THEN price ELSE 0 END END,
    CASE WHEN status IN ('COMPLETED', 'FAILED', 'PROCESSING') THEN 1 + n %% 2 END, 1,
    CASE WHEN status IN ('COMPLETED', 'FAILED', 'PROCESSING') THEN 'vg_' || n END, '', '', '', 5, 0,
    at, at, CASE WHEN status IN ('COMPLETED', 'FAILED', 'PROCESSING') THEN at + interval '20 s' END,
    CASE WHEN status NOT IN ('PROCESSING', 'QUEUED') THEN at + interval '90 s' END, 70,
    CASE WHEN status = 'COMPLETED' THEN CASE WHEN n %% 10 < 3 THEN 'keep' WHEN n %% 10 = 9 THEN 'reject' ELSE '' END
         ELSE '' END
FROM (SELECT n, owner, 1 + owner %% %(teams)s AS team, dice2, dice3, 20 + floor(dice2 * 400)::int AS price,
        (%(whos)s::text[])[1 + n * 7 %% 10] || ' ' || (%(wheres)s::text[])[1 + floor(dice1 * 1000)::int %% 10] ||
            ', ' || (%(hows)s::text[])[1 + floor(dice3 * 10)::int] ||
            CASE WHEN n %% 5000 BETWEEN 1 AND 8 THEN ', a zeppelin above' ELSE '' END AS prompt,
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
    confirmed, completed, failed, refunded, failed_refunded)
SELECT g.team_id, g.owner_id, g.project_id, g.mode, false, g.day, sum(e.held), sum(e.spent),
    coalesce(sum(e.spent) FILTER (WHERE g.status = 'FAILED'), 0),
    coalesce(sum(g.price) FILTER (WHERE e.kind = 'capture'), 0),
    count(*) FILTER (WHERE e.kind = 'hold'), count(*) FILTER (WHERE e.kind = 'capture' AND g.status = 'COMPLETED'),
    count(*) FILTER (WHERE e.kind <> 'hold' AND g.status = 'FAILED'), 0, 0
FROM generations_ledgerentry e JOIN generations_generation g ON g.id = e.generation_id GROUP BY 1, 2, 3, 4, 6
"""
WORDS = """
INSERT INTO generations_promptwords SELECT id, generations_prompt_words(team_id, prompt) FROM generations_generation
"""
CLIPS = """
INSERT INTO generations_clip (generation_id, state, source_url, tries, trouble, file, poster, poster_medium,
    poster_small, preview, size, extra_size, sha256, width, height, seconds, fps, sound, stored_at)
SELECT id, 'STORED', 'https://cdn.veevid.ai/' || id || '.mp4', 0, '', 'clips/' || id || '.mp4',
    'clips/' || id || '.webp', 'clips/' || id || '-medium.webp', 'clips/' || id || '-small.webp',
    'clips/' || id || '-preview.mp4', 4000000, 90000, md5(id::text),
    (ARRAY[1280, 720, 960])[1 + id % 3],
    (ARRAY[720, 1280, 960])[1 + id % 3], 8, 24, false, finished_at
FROM generations_generation WHERE status = 'COMPLETED'
"""
INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid IN ('generations_generation'::regclass, 'generations_ledgerentry'::regclass,
        'generations_promptwords'::regclass, 'generations_clip'::regclass)
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
    from_app = app()
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


def app() -> Any:
    """The models: they can be imported once the settings are chosen."""
    return importlib.import_module("generations.models")


def fill(total: int, clips: bool = False) -> None:
    """In place of what was there; `clips` are rows without files.

    In bulk and without foreign keys being looked up; indexes are built at the end.
    """
    size: dict[str, Any] = {"teams": TEAMS, "each": PROJECTS // TEAMS, "modes": MODES, "days": DAYS, "people": PEOPLE}
    size |= {"whos": WHOS, "wheres": WHERES, "hows": HOWS}
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SELECT setseed(0.7)")
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        for table in ("daysum", "ledgerentry", "promptwords", "clip", "generation"):
            cursor.execute(f"DELETE FROM generations_{table}")
        cursor.execute(GENERATIONS, {**size, "total": total})
        cursor.execute(f"{ENTRY} {HOLDS} FROM generations_generation")
        cursor.execute(f"{ENTRY} {ENDS} FROM generations_generation WHERE finished_at IS NOT NULL")
        cursor.execute(SUMS)
        cursor.execute(WORDS)
        if clips:
            cursor.execute(CLIPS)
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SET session_replication_role = DEFAULT")


def clock(ask: Callable[[], Any], times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - began))
    return took


def signed_in(email: str) -> Any:
    client = Client()
    client.force_login(app().User.objects.get(email=email))
    return client


def row(name: str, took: list[float], asked: str) -> None:
    print(f"| {name} | {median(took):,.0f} | {quantiles(took, n=20)[-1]:,.0f} | {asked} |", flush=True)


@contextmanager
def server() -> Iterator[Postgres]:
    """Tables, people and accounts, and this process set up to ask pages of them. All of it vanishes at the end."""
    postgres, folder = Postgres(), tempfile.mkdtemp()
    try:
        os.environ["DATABASE_URL"] = postgres.start().new_database()
        os.environ |= {
            "DATA_DIR": folder,
            "DJANGO_SETTINGS_MODULE": "veevid_site.settings",
            "ALLOWED_HOSTS": "testserver,127.0.0.1",
        }
        django.setup()
        call_command("collectstatic", "--no-input", verbosity=0)
        people()
        yield postgres
    finally:
        connection.close()
        postgres.end()
        shutil.rmtree(folder, ignore_errors=True)
