"""Measures the gallery over a private PostgreSQL: the server's time for each page, at 10,000 and at a million clips.

`python -m benchmarks.gallery` fills the database in bulk and asks each page 40 times through Django's own client (all
middleware, templates and database; no network). Beside it, in the same run, Django admin's list of the same table. It
ends with 1 when the p95 of a page at a million is more than three times that at 10,000, or takes more queries.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Any

from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks.million import FEW, app, clock, fill, server, signed_in

AT_MOST = 3.0  # times the p95 at FEW
WHO, ADMIN = "p1@example.com", "root@example.com"
PAGE, DEEP = 40, 1000  # clips of a page; the page that is reached by its cursor


@dataclass(frozen=True)
class Measured:
    p50: float
    p95: float
    queries: int


def paths() -> dict[str, tuple[str, str]]:
    """name -> (who asks, path)."""
    filters = _filters()
    user = app().User.objects.get(email=WHO)
    team = user.teams.get()
    old = team.generations.order_by("pk").values_list("day", flat=True).first()
    generations = team.generations.order_by("-pk").values_list("pk", flat=True)
    place = generations[min(DEEP * PAGE, generations.count() - PAGE - 1)]
    nothing = filters.Filters()
    combined = f"/?person={user.pk}&model=veo3&status=ready&q=light&from={old}"
    return {
        "first page": (WHO, "/"),
        f"page {DEEP:,} by cursor (the last, of fewer)": (WHO, "/" + nothing.url(after=nothing.place(team, place))),
        "search: a rare word (one prompt of 625)": (WHO, "/?q=zeppelin"),
        "search: a common word (nine of ten)": (WHO, "/?q=light"),
        "search: a word that no prompt has": (WHO, "/?q=wombat"),
        "filters: person, model, status, days, word": (WHO, combined),
        "filters: failed clips of a model": (WHO, "/?model=sora2&status=trouble"),
        "Django admin: first page": (ADMIN, _admin()),
        "Django admin: last page": (ADMIN, f"{_admin()}?p={_last_admin_page()}"),
        "Django admin: search for the rare word": (ADMIN, f"{_admin()}?q=zeppelin"),
    }


def _filters() -> Any:
    """It can be imported once the settings are chosen."""
    return importlib.import_module("generations.filters")


def _admin() -> str:
    return "/admin/generations/generation/"


def _last_admin_page() -> int:
    return (app().Generation.objects.count() - 1) // PAGE + 1


def register() -> None:
    """Django admin's own list of the same table, as one would write it down: as many lines as the gallery has tiles."""

    class OfGeneration(admin.ModelAdmin):
        list_display = ("id", "prompt", "owner", "team", "mode", "status", "created_at")
        list_select_related = ("owner", "team")
        list_filter = ("status", "mode")
        search_fields = ("prompt",)
        list_per_page = PAGE

    admin.site.register(app().Generation, OfGeneration)


def ask(client: Any, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return answer


def measure(times: int) -> dict[str, Measured]:
    found = {}
    for name, (who, path) in paths().items():
        client = signed_in(who)
        get: Callable[[], Any] = partial(ask, client, path)
        get()
        with CaptureQueriesContext(connection) as asked:
            get()
        queries = len(asked)  # now: the next request empties the log
        slow = "admin" in name
        took = clock(get, max(times // 4, 5) if slow else times)
        found[name] = Measured(median(took), quantiles(took, n=20)[-1], queries)
        print(f"  {name}: p50 {found[name].p50:,.0f} ms, p95 {found[name].p95:,.0f} ms", flush=True)
    return found


def report(few: dict[str, Measured], many: dict[str, Measured]) -> bool:
    """Prints the table. True: every page of the gallery keeps what is promised."""
    print(f"\n| page | p50 ms | p95 ms | queries | at {FEW:,}: p50 | p95 | queries | p95, times |")
    print("|---|---|---|---|---|---|---|---|")
    kept = True
    for name, at_many in many.items():
        at_few = few[name]
        ratio = at_many.p95 / at_few.p95
        print(
            f"| {name} | {at_many.p50:,.0f} | {at_many.p95:,.0f} | {at_many.queries} "
            f"| {at_few.p50:,.0f} | {at_few.p95:,.0f} | {at_few.queries} | {ratio:.1f} |"
        )
        if "admin" not in name:
            kept = kept and ratio <= AT_MOST and at_many.queries <= at_few.queries
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=40)
    given = parser.parse_args()
    with server():
        register()
        found = []
        for rows in (FEW, given.rows):
            began = time.monotonic()
            fill(rows, clips=True)
            print(f"{rows:,} generations, filled in {time.monotonic() - began:.0f} s", flush=True)
            found.append(measure(given.times))
        kept = report(*found)
    raise SystemExit(0 if kept else 1)


if __name__ == "__main__":
    main()
