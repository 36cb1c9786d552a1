"""The life of a generation on the vendor's side: accepted and charged, then completed, or failed and refunded.

Nothing ticks: `settle` brings every job up to date with the clock at the start of each request, so whoever
looks sees a failure, and its refund, from the moment it is due.
"""

import hashlib
import json
import secrets
import sqlite3
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from simulator import store
from simulator.contract import Order

# Nominal seconds of rendering by model; the id moves it by up to 15 either way, always within 60 to 180.
SECONDS = {
    "veo3": 75,
    "grok-imagine": 62,
    "veevid-1.0-pro": 110,
    "seedance-1.5-pro": 100,
    "kling-3": 150,
    "ltx-2-3": 90,
    "kling-2-6": 130,
    "sora2-stable": 155,
    "sora2": 170,
    "wan-2-6": 120,
}
FAILS_AT = 0.6  # of the rendering time
DEFAULT_FAILURE = "The model could not make this video. Your credits were returned."
LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Fate:
    """What is decided for a job at acceptance, by fault, by magic word or by chance."""

    fails: str | None = None
    never: bool = False
    instant: bool = False
    seconds: float | None = None


def new_id() -> str:
    return "vg_" + "".join(secrets.choice(LETTERS) for _ in range(14))


def chance(identifier: str, salt: str) -> float:
    """A number in [0, 1) that belongs to this id."""
    digest = hashlib.sha256(f"{salt}:{identifier}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def rendering_seconds(mode: str, identifier: str, speed: float) -> float:
    nominal = SECONDS[mode] + 30 * chance(identifier, "jitter") - 15
    return min(180.0, max(60.0, nominal)) / speed


def magic(prompt: str) -> Fate | None:
    """Words in the prompt by which people try things out in demo mode."""
    if "[fail]" in prompt:
        return Fate(fails=DEFAULT_FAILURE)
    if "[never]" in prompt:
        return Fate(never=True)
    if "[instant]" in prompt:
        return Fate(instant=True)
    return None


def accept(
    db: sqlite3.Connection,
    account: str,
    order: Order,
    credits: int,
    recipe: dict[str, Any],
    fate: Fate,
    now: float,
    speed: float,
    identifier: str,
) -> None:
    """Charge the account and begin; the caller has checked balance and slots in the same transaction."""
    length = fate.seconds if fate.seconds is not None else rendering_seconds(order.mode, identifier, speed)
    due = None if fate.never else now if fate.instant else now + length * (FAILS_AT if fate.fails else 1)
    store.move_credits(db, account, -credits)
    db.execute(
        "INSERT INTO generations (id, account, status, mode, body, prompt, charged, created_at, due_at, dooms,"
        " quality, recipe) VALUES (?, ?, 'processing', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            identifier, account, order.mode, json.dumps(dict(order.values)), order.prompt, credits, now, due,
            fate.fails, order.values.get("video_quality"), json.dumps(recipe),
        ),
    )  # fmt: skip


def settle(db: sqlite3.Connection, now: float) -> None:
    """Move every job that is due: failures give their credits back, the rest complete once the file is there."""
    due = db.execute(
        "SELECT id, account, charged, due_at, dooms, ready_at FROM generations"
        " WHERE status = 'processing' AND due_at <= ? AND (dooms IS NOT NULL OR ready_at IS NOT NULL)",
        (now,),
    ).fetchall()
    for job in due:
        if job["dooms"] is not None:
            fail(db, job["id"], job["dooms"], job["due_at"])
        else:
            ended = max(job["due_at"], job["ready_at"])
            db.execute(
                "UPDATE generations SET status = 'completed', completed_at = ? WHERE id = ? AND status = 'processing'",
                (ended, job["id"]),
            )


def fail(db: sqlite3.Connection, identifier: str, message: str, now: float) -> None:
    """End a running job badly and give everything back, once."""
    moved = db.execute(
        "UPDATE generations SET status = 'failed', error_message = ?, completed_at = ?, refunded = charged"
        " WHERE id = ? AND status = 'processing'",
        (message, now, identifier),
    )
    if moved.rowcount:
        row = db.execute("SELECT account, charged FROM generations WHERE id = ?", (identifier,)).fetchone()
        store.move_credits(db, row["account"], row["charged"])


def made(db: sqlite3.Connection, identifier: str, file_name: str, size: int, now: float) -> None:
    """The clip's file exists."""
    db.execute(
        "UPDATE generations SET ready_at = ?, file_name = ?, file_size = ? WHERE id = ?",
        (now, file_name, size, identifier),
    )


def doom(db: sqlite3.Connection, identifier: str, message: str) -> None:
    """The clip cannot be made: the job fails when it is due."""
    db.execute("UPDATE generations SET dooms = ? WHERE id = ? AND status = 'processing'", (message, identifier))


def unmade(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """Running jobs whose clip is still to be drawn, oldest first: what a restart has to take up again."""
    return db.execute(
        "SELECT id, recipe FROM generations WHERE status = 'processing' AND ready_at IS NULL AND dooms IS NULL"
        " AND due_at IS NOT NULL ORDER BY created_at"
    ).fetchall()


def iso(moment: float) -> str:
    """ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status(job: sqlite3.Row, link: str | None) -> dict[str, Any]:
    """The full status answer; fields absent in a state are absent here."""
    answer: dict[str, Any] = {
        "id": job["id"],
        "status": job["status"],
        "video_url": link,
        "error_message": job["error_message"],
        "credits_used": 0 if job["status"] == "failed" else job["charged"],
        "created_at": iso(job["created_at"]),
    }
    if job["status"] != "processing":
        answer["completed_at"] = iso(job["completed_at"])
    if job["status"] == "completed":
        answer["provider_task_id"] = "task_" + hashlib.sha256(job["id"].encode()).hexdigest()[:16]
        answer["video_quality"] = job["quality"]
        answer["video_metadata"] = {
            "content_type": "video/mp4",
            "file_name": f"{job['id']}.mp4",
            "file_size": job["file_size"],
        }
    return answer
