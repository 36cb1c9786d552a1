"""The control API: what tests and demos do behind the vendor's back. README.md shows it by example."""

import json
import time
from collections.abc import Callable
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from simulator import faults, jobs, limits, store
from simulator.api import Api
from simulator.store import Store

URLS = Map(
    [
        Rule("/control/faults", methods=["POST"], endpoint="add_fault"),
        Rule("/control/faults", methods=["GET"], endpoint="list_faults"),
        Rule("/control/faults", methods=["DELETE"], endpoint="clear_faults"),
        Rule("/control/journal", methods=["GET"], endpoint="journal"),
        Rule("/control/violations", methods=["GET"], endpoint="violations"),
        Rule("/control/account", methods=["GET"], endpoint="list_accounts"),
        Rule("/control/account", methods=["POST"], endpoint="account"),
        Rule("/control/key", methods=["POST"], endpoint="key"),
        Rule("/control/settings", methods=["GET"], endpoint="list_settings"),
        Rule("/control/settings", methods=["POST"], endpoint="settings"),
        Rule("/control/generations", methods=["GET"], endpoint="generations"),
        Rule("/control/generations/<identifier>", methods=["POST"], endpoint="end_generation"),
        Rule("/control/reset", methods=["POST"], endpoint="reset"),
    ]
)
JOURNAL_FILTERS = ("endpoint", "key", "account", "status", "generation_id", "prompt", "fault", "refused_by")


class Control:
    """Everything under /control. No authentication: it is for this machine."""

    def __init__(self, memory: Store, api: Api, key: str, balance: int) -> None:
        self.store, self.api, self.first_key, self.first_balance = memory, api, key, balance

    def __call__(self, request: Request) -> Response:
        try:
            name, arguments = URLS.bind_to_environ(request.environ).match()
            body = request.get_json(force=True) if request.method == "POST" and request.content_length else {}
        except HTTPException as reason:
            return faults.error(reason.code or 400, reason.description)
        if not isinstance(body, dict):
            return faults.error(400, "The body must be a JSON object")
        action: Callable[..., Any] = getattr(self, name)
        try:
            answer = action(request.args if request.method == "GET" else body, **arguments)
        except ValueError as reason:
            return faults.error(400, str(reason))
        return Response(json.dumps(answer), 200, content_type="application/json")

    def add_fault(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.store.transaction() as db:
            return {"id": faults.add(db, body)}

    def list_faults(self, _: Any) -> list[dict[str, Any]]:
        with self.store.transaction() as db:
            rows = db.execute("SELECT * FROM faults ORDER BY id").fetchall()
        return [{**dict(row), "options": json.loads(row["options"])} for row in rows]

    def clear_faults(self, _: Any) -> dict[str, Any]:
        with self.store.transaction() as db:
            return {"removed": db.execute("DELETE FROM faults").rowcount}

    def journal(self, query: Any) -> list[dict[str, Any]]:
        """Every request, oldest first; any column filters, `since` is the last id already seen."""
        unknown = set(query) - {*JOURNAL_FILTERS, "since"}
        if unknown:
            raise ValueError(f"the journal has no filter {', '.join(sorted(unknown))}")
        names = [name for name in JOURNAL_FILTERS if name in query]
        where = "".join(f" AND {name} = ?" for name in names)
        with self.store.transaction() as db:
            rows = db.execute(
                f"SELECT * FROM journal WHERE id > ?{where} ORDER BY id",  # noqa: S608 - names from JOURNAL_FILTERS
                (int(query.get("since", 0)), *(query[name] for name in names)),
            ).fetchall()
        return [dict(row) for row in rows]

    def violations(self, _: Any) -> dict[str, Any]:
        with self.store.transaction() as db:
            jobs.settle(db, time.time())
            return limits.violations(db, self.api.limits)

    def list_accounts(self, _: Any) -> list[dict[str, Any]]:
        with self.store.transaction() as db:
            jobs.settle(db, time.time())
            accounts = db.execute("SELECT * FROM accounts ORDER BY rowid").fetchall()
            keys = db.execute("SELECT * FROM keys ORDER BY rowid").fetchall()
        return [
            {
                "account": row["name"],
                "balance": row["balance"],
                "suspended": bool(row["suspended"]),
                "keys": [
                    {"key": key["key"], "active": bool(key["active"])} for key in keys if key["account"] == row["name"]
                ],
            }
            for row in accounts
        ]

    def account(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make or change an account: {"account", "balance" | "add" | "spend", "suspended"}."""
        _known(body, "account", "balance", "add", "spend", "suspended")
        name = body.get("account", "demo")
        with self.store.transaction() as db:
            store.add_account(db, name, 0)
            if "balance" in body:
                store.move_credits(db, name, int(body["balance"]) - store.balance(db, name))
            store.move_credits(db, name, int(body.get("add", 0)) - int(body.get("spend", 0)))
            if "suspended" in body:
                db.execute("UPDATE accounts SET suspended = ? WHERE name = ?", (bool(body["suspended"]), name))
            return {"account": name, "balance": store.balance(db, name)}

    def key(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make, disable or enable a key: {"key", "account", "active"}; at most 5 active keys per account."""
        _known(body, "key", "account", "active")
        active = bool(body.get("active", True))
        with self.store.transaction() as db:
            store.add_key(db, str(body["key"]), body.get("account", "demo"))
            db.execute("UPDATE keys SET active = ? WHERE key = ?", (active, body["key"]))
            owner = db.execute("SELECT account FROM keys WHERE key = ?", (body["key"],)).fetchone()["account"]
            count = db.execute("SELECT count(*) n FROM keys WHERE account = ? AND active = 1", (owner,)).fetchone()["n"]
            if count > self.api.limits.keys:
                raise ValueError(f"an account has at most {self.api.limits.keys} active keys")
        return {"key": body["key"], "account": owner, "active": active}

    def list_settings(self, _: Any) -> dict[str, Any]:
        bounds = self.api.limits
        with self.store.transaction() as db:
            kept = {name: store.setting(db, name) for name in store.DEFAULTS}
        return kept | {
            "speed": self.api.speed,
            "fail_rate": self.api.fail_rate,
            "minute_limit": bounds.minute,
            "hour_limit": bounds.hour,
            "concurrent": bounds.concurrent,
        }

    def settings(self, body: dict[str, Any]) -> dict[str, Any]:
        """price_factor and link_seconds are kept; speed, fail_rate and limits hold until the next start."""
        _known(body, *self.list_settings(None))
        with self.store.transaction() as db:
            for name in store.DEFAULTS:
                if name in body:
                    store.change_setting(db, name, body[name])
        self.api.speed = body.get("speed", self.api.speed)
        self.api.fail_rate = body.get("fail_rate", self.api.fail_rate)
        bounds = self.api.limits
        bounds.minute = body.get("minute_limit", bounds.minute)
        bounds.hour = body.get("hour_limit", bounds.hour)
        bounds.concurrent = body.get("concurrent", bounds.concurrent)
        return self.list_settings(None)

    def generations(self, _: Any) -> list[dict[str, Any]]:
        with self.store.transaction() as db:
            jobs.settle(db, time.time())
            rows = db.execute("SELECT * FROM generations ORDER BY created_at").fetchall()
        return [{**dict(row), "body": json.loads(row["body"]), "recipe": json.loads(row["recipe"])} for row in rows]

    def end_generation(self, body: dict[str, Any], identifier: str) -> dict[str, Any]:
        """{"action": "fail", "message"} or {"action": "complete"}: end a running job now."""
        _known(body, "action", "message")
        now = time.time()
        with self.store.transaction() as db:
            job = db.execute("SELECT * FROM generations WHERE id = ?", (identifier,)).fetchone()
            if job is None or job["status"] != "processing":
                raise ValueError("no such generation is running")
            if body.get("action") == "fail":
                jobs.fail(db, identifier, body.get("message", jobs.DEFAULT_FAILURE), now)
            elif body.get("action") == "complete":
                db.execute("UPDATE generations SET due_at = ?, dooms = NULL WHERE id = ?", (now, identifier))
            else:
                raise ValueError("action must be fail or complete")
        if body["action"] == "complete" and job["ready_at"] is None:
            self.api.renderer.order(identifier, json.loads(job["recipe"]))
        return {"id": identifier}

    def reset(self, _: dict[str, Any]) -> dict[str, Any]:
        """Everything as at the first start; clips already drawn are kept."""
        with self.store.transaction() as db:
            secret = store.setting(db, "secret")
            for table in store.TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from store.TABLES
            store.set_default(db, "secret", secret)
            store.add_account(db, "demo", self.first_balance)
            store.add_key(db, self.first_key, "demo")
        return {"reset": True}


def _known(body: dict[str, Any], *names: str) -> None:
    unknown = sorted(set(body) - set(names))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
