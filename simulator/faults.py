"""Trouble on request: which fault applies to which call, and what the client then sees.

A fault waits for the next `times` calls of one endpoint (null: for ever). Three families:

* transport: what happens to the answer. `when` is "before" (nothing was done) or "after" (the call was
  carried out, and charged, and only its answer suffers).
* shape: the answer is true but unusual (short form, strings for numbers, unknown words).
* job: the accepted generation fails, never ends, ends at once, or takes a given time.
"""

import json
import socket
import sqlite3
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from werkzeug.wrappers import Request, Response

ENDPOINTS = ("quote", "generate", "status", "credits", "upload", "video", "file", "*")
TRANSPORT: dict[str, frozenset[str]] = {
    "error": frozenset({"status", "message", "retry_after", "body"}),
    "close": frozenset(),
    "reset": frozenset(),
    "hang": frozenset({"seconds"}),
    "late": frozenset({"seconds"}),
    "drip": frozenset({"seconds"}),
    "html": frozenset({"status"}),
    "broken_json": frozenset(),
    "empty": frozenset(),
    "huge": frozenset({"bytes"}),
    "redirect": frozenset({"status", "location"}),
    "truncated": frozenset({"keep"}),
    "text": frozenset(),
    "expired": frozenset(),
}
SHAPE: dict[str, frozenset[str]] = {
    "short": frozenset(),
    "strings": frozenset(),
    "extra": frozenset(),
    "word": frozenset({"word"}),
    "patch": frozenset({"fields"}),
    "drop": frozenset({"fields"}),
}
JOB: dict[str, frozenset[str]] = {
    "fail": frozenset({"message"}),
    "never": frozenset(),
    "instant": frozenset(),
    "duration": frozenset({"seconds"}),
}
MESSAGES = {
    400: "Invalid parameter",
    401: "Invalid API key",
    402: "Insufficient credits",
    403: "Account suspended",
    404: "Generation not found",
    429: "Rate limit exceeded",
    500: "Internal server error",
    503: "Service unavailable",
}
PAGE = "<!doctype html><html><head><title>Veevid</title></head><body><h1>We will be right back</h1></body></html>"


class Dropped(ConnectionError):
    """The connection ends here, without an answer."""


@dataclass(frozen=True)
class Fault:
    kind: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def after(self) -> bool:
        """Is the call carried out before its answer suffers?"""
        if self.kind in ("drip", "truncated", "late", "text"):
            return True
        return self.options.get("when", "before") == "after"

    @property
    def name(self) -> str:
        return f"{self.kind}:{'after' if self.after else 'before'}" if self.kind in TRANSPORT else self.kind


def check(body: dict[str, Any]) -> tuple[str, str, int | None, str | None, dict[str, Any]]:
    """A fault as posted to the control API, refused when any of it is unknown."""
    options = dict(body)
    endpoint, kind = options.pop("endpoint", "*"), options.pop("kind", None)
    times, key = options.pop("times", 1), options.pop("key", None)
    if endpoint not in ENDPOINTS:
        raise ValueError(f"endpoint must be one of: {', '.join(ENDPOINTS)}")
    allowed = {**TRANSPORT, **SHAPE, **JOB}.get(kind) if isinstance(kind, str) else None
    if allowed is None:
        raise ValueError(f"kind must be one of: {', '.join([*TRANSPORT, *SHAPE, *JOB])}")
    if kind in TRANSPORT:
        allowed = allowed | {"when"}
    unknown = sorted(set(options) - allowed)
    if unknown:
        raise ValueError(f"{kind} does not take: {', '.join(unknown)}")
    if options.get("when", "before") not in ("before", "after"):
        raise ValueError("when must be before or after")
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise ValueError("times must be a positive number, or null for ever")
    if kind == "error" and not isinstance(options.get("status"), int):
        raise ValueError("error needs a status")
    return endpoint, kind, times, key, options


def add(db: sqlite3.Connection, body: dict[str, Any]) -> int:
    endpoint, kind, times, key, options = check(body)
    added = db.execute(
        "INSERT INTO faults (endpoint, kind, remaining, key, options) VALUES (?, ?, ?, ?, ?)",
        (endpoint, kind, times, key, json.dumps(options)),
    )
    return int(added.lastrowid or 0)


def take(
    db: sqlite3.Connection, endpoint: str, key: str | None, family: dict[str, frozenset[str]], most: int = 1
) -> list[Fault]:
    """The oldest waiting faults of a family for this call, used up by one."""
    marks = ", ".join("?" * len(family))
    rows = db.execute(
        f"SELECT * FROM faults WHERE endpoint IN (?, '*') AND (key IS NULL OR key = ?) AND kind IN ({marks})"  # noqa: S608 - question marks
        " AND (remaining IS NULL OR remaining > 0) ORDER BY id LIMIT ?",
        (endpoint, key, *family, most),
    ).fetchall()
    for row in rows:
        db.execute("UPDATE faults SET remaining = remaining - 1 WHERE id = ?", (row["id"],))
    return [Fault(row["kind"], json.loads(row["options"])) for row in rows]


def reshape(fault: Fault, endpoint: str, answer: dict[str, Any]) -> dict[str, Any]:
    """A true answer in a legal but unusual form."""
    if fault.kind == "short":
        if endpoint != "status":
            return answer
        short = {"status": answer["status"]}
        return {**short, "video_url": answer["video_url"]} if answer["status"] == "completed" else short
    if fault.kind == "strings":
        return _strings(answer)
    if fault.kind == "extra":
        return {**answer, "beta_score": 0.93, "region": None, "queue": {"position": 4, "lanes": ["a", "b"]}}
    if fault.kind == "word":
        return {**answer, "status": fault.options.get("word", "post_processing")}
    if fault.kind == "patch":
        return {**answer, **fault.options.get("fields", {})}
    dropped = fault.options.get("fields", ["generation_id"])
    return {name: value for name, value in answer.items() if name not in dropped}


def _strings(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strings(entry) for name, entry in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def disturb(fault: Fault, request: Request, answer: Response | None) -> Response:
    """What the client gets instead; `answer` is the true one, or None when nothing was done."""
    options = fault.options
    if fault.kind == "hang":
        time.sleep(options.get("seconds", 30))
        if answer is None:
            raise Dropped
        return answer
    if fault.kind == "reset":
        reset(request)
    if fault.kind == "drip" and answer is not None:
        return _drip(answer, options.get("seconds", 1.0))
    if fault.kind == "truncated" and answer is not None:
        return _cut(answer, request, options.get("keep", 0.5))
    if fault.kind == "late" and answer is not None:
        return answer
    canned = _canned(fault, request)
    if canned is None:
        raise Dropped
    return canned


def _canned(fault: Fault, request: Request) -> Response | None:
    """Answers that do not depend on the true one; None for a closed connection."""
    options = fault.options
    if fault.kind == "error":
        return error(options["status"], options.get("message"), options.get("retry_after"), options.get("body"))
    if fault.kind == "html":
        return Response(PAGE, options.get("status", 200), content_type="text/html; charset=utf-8")
    if fault.kind == "broken_json":
        return Response('{"generation_id": "vg_', 200, content_type="application/json")
    if fault.kind == "empty":
        return Response(b"", 200, content_type="application/json")
    if fault.kind == "huge":
        padding = "x" * options.get("bytes", 3_000_000)
        return Response(json.dumps({"padding": padding}), 200, content_type="application/json")
    if fault.kind == "redirect":
        response = Response(b"", options.get("status", 307))
        response.headers["Location"] = options.get("location", request.url)
        return response
    if fault.kind == "text":
        return Response("this is not a video\n" * 400, 200, content_type="video/mp4")
    if fault.kind == "expired":
        return error(410, "This link has expired")
    return None


def error(
    status: int, message: str | None = None, retry_after: int | None = None, body: dict[str, Any] | None = None
) -> Response:
    """An error in the vendor's form."""
    answer: dict[str, Any] = {"error": message or MESSAGES.get(status, "Error")}
    if status == 402:
        answer |= {"required": 140, "balance": 12}
    response = Response(json.dumps(answer if body is None else body), status, content_type="application/json")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def reset(request: Request) -> None:
    """Make the coming close a reset (RST) instead of an orderly end."""
    connection = request.environ.get("werkzeug.socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _drip(answer: Response, seconds: float) -> Response:
    body = answer.get_data()

    def bytes_slowly() -> Iterator[bytes]:
        for position in range(len(body)):
            yield body[position : position + 1]
            time.sleep(seconds)

    return _streamed(answer, bytes_slowly(), len(body))


def _cut(answer: Response, request: Request, keep: float) -> Response:
    answer.direct_passthrough = False
    body = answer.get_data()

    def first_part() -> Iterator[bytes]:
        yield body[: int(len(body) * keep)]
        raise Dropped

    return _streamed(answer, first_part(), len(body))


def _streamed(answer: Response, body: Iterator[bytes], length: int) -> Response:
    response = Response(body, answer.status_code, headers=answer.headers)
    response.headers["Content-Length"] = str(length)
    return response
