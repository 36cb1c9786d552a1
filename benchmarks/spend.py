"""Measures the spend pages: seconds of the server for each, over a private PostgreSQL with a million generations.

`python -m benchmarks.spend` fills the database in bulk, asks each page 20 times through Django's own client (all
middleware, template and database; no network), and compares the number of queries with that at 10,000 generations.
"""

import argparse
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import islice

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from benchmarks.million import DAYS, FEW, app, clock, fill, row, server, signed_in


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


def queries() -> dict[str, int]:
    found = {}
    for name, who, path in pages():
        client = signed_in(who)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(path).status_code == 200
        found[name] = len(asked)
    return found


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
    with server():
        fill(FEW)
        few = queries()
        began = time.monotonic()
        fill(given.rows)
        days = app().DaySum.objects.count()
        print(
            f"{given.rows:,} generations, {days:,} sums of days, filled in {time.monotonic() - began:.0f} s\n",
            flush=True,
        )
        constant = measure(few, given.times)
    raise SystemExit(0 if constant else 1)


if __name__ == "__main__":
    main()
