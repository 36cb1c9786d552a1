"""The vendor's limits over rolling windows, and a second, independent count of what clients really did.

Every authenticated request counts, whatever its answer, except those turned away by a limit: waiting
helps a client, knocking does not punish it.
"""

import math
import sqlite3
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MINUTE, HOUR = 60.0, 3600.0


@dataclass
class Limits:
    minute: int = 30
    hour: int = 200
    concurrent: int = 3
    keys: int = 5


@dataclass(frozen=True)
class TooMany:
    """Which limit was hit and in how many whole seconds there is room again."""

    limit: str
    retry_after: int
    message: str


def check_rate(db: sqlite3.Connection, limits: Limits, key: str, account: str, now: float) -> TooMany | None:
    """Is there room for one more request of this key and this account?"""
    wait = _wait(db, "key", key, limits.minute, MINUTE, now)
    if wait:
        return TooMany("minute", wait, f"Rate limit exceeded: {limits.minute} requests per minute per key")
    wait = _wait(db, "account", account, limits.hour, HOUR, now)
    if wait:
        return TooMany("hour", wait, f"Rate limit exceeded: {limits.hour} requests per hour per account")
    return None


def _wait(db: sqlite3.Connection, column: str, value: str, most: int, window: float, now: float) -> int:
    """Seconds until the request that fills the window leaves it; 0 when there is room."""
    row = db.execute(
        f"SELECT at FROM journal WHERE {column} = ? AND counted = 1 AND at > ?"  # noqa: S608 - key or account
        " ORDER BY at DESC LIMIT 1 OFFSET ?",
        (value, now - window, most - 1),
    ).fetchone()
    return max(1, math.ceil(row["at"] + window - now)) if row else 0


def check_slots(db: sqlite3.Connection, limits: Limits, account: str, now: float) -> TooMany | None:
    """Is one of the account's generation slots free?"""
    running = db.execute(
        "SELECT due_at FROM generations WHERE account = ? AND status = 'processing' ORDER BY due_at", (account,)
    ).fetchall()
    if len(running) < limits.concurrent:
        return None
    due = [row["due_at"] for row in running if row["due_at"] is not None]
    wait = max(1, math.ceil(min(due) - now)) if due else 30
    return TooMany("concurrent", wait, f"Too many concurrent generations: {limits.concurrent} per account")


def violations(db: sqlite3.Connection, limits: Limits) -> dict[str, Any]:
    """What clients tried: refusals by limit, and the busiest windows counted from the bare journal."""
    refused = {"minute": 0, "hour": 0, "concurrent": 0}
    for row in db.execute("SELECT refused_by, count(*) n FROM journal WHERE refused_by IS NOT NULL GROUP BY 1"):
        refused[row["refused_by"]] = row["n"]
    calls = db.execute("SELECT at, key, account FROM journal WHERE account IS NOT NULL ORDER BY at").fetchall()
    jobs = db.execute("SELECT account, created_at, completed_at FROM generations").fetchall()
    busiest = {
        "minute": _busiest(((row["key"], row["at"]) for row in calls), MINUTE),
        "hour": _busiest(((row["account"], row["at"]) for row in calls), HOUR),
        "concurrent": _most_at_once((row["account"], row["created_at"], row["completed_at"]) for row in jobs),
    }
    allowed = {"minute": limits.minute, "hour": limits.hour, "concurrent": limits.concurrent}
    return {
        "refused": refused,
        "total": sum(refused.values()),
        "busiest": busiest,
        "allowed": allowed,
        "exceeded": [name for name in allowed if busiest[name] > allowed[name]],
    }


def _busiest(calls: Iterable[tuple[str, float]], window: float) -> int:
    """The most calls one owner made in any window of this length; tried calls count, refused or not."""
    recent: dict[str, deque[float]] = {}
    most = 0
    for owner, at in calls:
        times = recent.setdefault(owner, deque())
        times.append(at)
        while times[0] <= at - window:
            times.popleft()
        most = max(most, len(times))
    return most


def _most_at_once(jobs: Iterable[tuple[str, float, float | None]]) -> int:
    """The most generations one account had running at any moment."""
    steps = []
    for account, began, ended in jobs:
        steps.append((began, 1, account))
        if ended is not None:
            steps.append((ended, -1, account))
    running: Counter[str] = Counter()
    most = 0
    for _, step, account in sorted(steps, key=lambda entry: entry[:2]):
        running[account] += step
        most = max(most, running[account])
    return most
