"""The vendor's API: /api/quote, /api/generate-video, /api/video-generation/<id>/status, /api/credits,
/api/storage/upload."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from simulator import contract, faults, jobs, limits, media, prices, store
from simulator.contract import Order
from simulator.limits import Limits, TooMany
from simulator.media import Files
from simulator.renderer import Renderer, recipe
from simulator.rows import Invalid
from simulator.store import Store

JSON_LIMIT = 1024 * 1024
URLS = Map(
    [
        Rule("/api/quote", methods=["POST"], endpoint="quote"),
        Rule("/api/generate-video", methods=["POST"], endpoint="generate"),
        Rule("/api/video-generation/<identifier>/status", methods=["GET"], endpoint="status"),
        Rule("/api/credits", methods=["GET"], endpoint="credits"),
        Rule("/api/storage/upload", methods=["POST"], endpoint="upload"),
    ]
)


class Refusal(Exception):
    """A clear no, with its status and body."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": message, **more}
        self.retry_after: int | None = None
        self.limit: str | None = None


def too_many(reason: TooMany) -> Refusal:
    refusal = Refusal(429, reason.message)
    refusal.retry_after, refusal.limit = reason.retry_after, reason.limit
    return refusal


@dataclass
class Call:
    """One request under way: its line in the journal, who asked, and what is to go wrong."""

    entry: int
    endpoint: str
    key: str | None = None
    account: str = ""
    refusal: Refusal | None = None
    fault: faults.Fault | None = None
    shapes: list[faults.Fault] = field(default_factory=list)


class Api:
    """Answers everything under /api."""

    def __init__(
        self, memory: Store, files: Files, renderer: Renderer, bounds: Limits, speed: float, fail_rate: float
    ) -> None:
        self.store, self.files, self.renderer = memory, files, renderer
        self.limits, self.speed, self.fail_rate = bounds, speed, fail_rate
        self.handlers: dict[str, Callable[..., dict[str, Any]]] = {
            "quote": self.quote,
            "generate": self.generate,
            "status": self.status,
            "credits": self.credits,
            "upload": self.upload,
        }

    def __call__(self, request: Request) -> Response:
        try:
            endpoint, arguments = URLS.bind_to_environ(request.environ).match()
        except NotFound:
            return faults.error(404, "Not found")
        except MethodNotAllowed:
            return faults.error(405, "Method not allowed")
        call = self.open(request, endpoint)
        if call.refusal:
            return self.close(call, request, refused(call.refusal))
        if call.fault and not call.fault.after:
            return self.close(call, request, None)
        if call.fault and call.fault.kind == "late":
            time.sleep(call.fault.options.get("seconds", 30))
        return self.close(call, request, self.answer(call, request, arguments))

    def open(self, request: Request, endpoint: str) -> Call:
        """Write the request down; find out who it is, whether the limits allow it, and what is to go wrong."""
        now = time.time()
        key = bearer(request)
        prompt = prompt_of(request) if endpoint == "generate" else None
        with self.store.transaction() as db:
            jobs.settle(db, now)
            owner = db.execute(
                "SELECT key, account, suspended FROM keys JOIN accounts ON name = account WHERE key = ? AND active = 1",
                (key,),
            ).fetchone()
            refusal: Refusal | None = None
            if owner is None:
                refusal = Refusal(401, "Invalid or missing API key")
            else:
                busy = limits.check_rate(db, self.limits, owner["key"], owner["account"], now)
                if owner["suspended"]:
                    refusal = Refusal(403, "Account suspended")
                elif busy:
                    refusal = too_many(busy)
            counted = owner is not None and not (refusal and refusal.limit)
            entry = db.execute(
                "INSERT INTO journal (at, key, account, method, path, endpoint, counted, prompt)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (now, key, owner and owner["account"], request.method, request.path, endpoint, counted, prompt),
            ).lastrowid
            call = Call(int(entry or 0), endpoint, key, owner["account"] if owner else "", refusal)
            if refusal is None:
                call.fault = next(iter(faults.take(db, endpoint, key, faults.TRANSPORT)), None)
                call.shapes = faults.take(db, endpoint, key, faults.SHAPE, most=10)
        return call

    def answer(self, call: Call, request: Request, arguments: Mapping[str, Any]) -> Response:
        try:
            body = self.handlers[call.endpoint](call, request, **arguments)
        except Invalid as reason:
            return refused(Refusal(400, str(reason)))
        except Refusal as refusal:
            call.refusal = refusal
            return refused(refusal)
        for shape in call.shapes:
            body = faults.reshape(shape, call.endpoint, body)
        return Response(json.dumps(body), 200, content_type="application/json")

    def close(self, call: Call, request: Request, answer: Response | None) -> Response:
        """Write down what is answered, then let the fault do its work."""
        fault = call.fault
        names = [each.name for each in ([fault] if fault else []) + call.shapes]
        limit = call.refusal.limit if call.refusal else None
        with self.store.transaction() as db:
            db.execute(
                "UPDATE journal SET status = ?, fault = ?, refused_by = ? WHERE id = ?",
                (answer.status_code if answer and not fault else None, " ".join(names) or None, limit, call.entry),
            )
        if fault is None:
            return answer or faults.error(500)
        disturbed = faults.disturb(fault, request, answer)
        with self.store.transaction() as db:
            db.execute("UPDATE journal SET status = ? WHERE id = ?", (disturbed.status_code, call.entry))
        return disturbed

    def quote(self, call: Call, request: Request) -> dict[str, Any]:
        order = contract.read_quote(json_body(request))
        with self.store.transaction() as db:
            required = prices.price(order, store.setting(db, "price_factor"))
            balance = store.balance(db, call.account)
        return {"required_credits": required, "current_balance": balance, "sufficient": balance >= required}

    def generate(self, call: Call, request: Request) -> dict[str, Any]:
        order = contract.read_generation(json_body(request))
        identifier = jobs.new_id()
        plan = recipe(order, next(filter(None, (media.own_upload(self.files.uploads, url) for url in order.media)), ""))
        with self.store.transaction() as db:
            fate = self.accept(db, call, order, identifier, plan)
        if fate.fails is None and not fate.never:
            self.renderer.order(identifier, plan)
        if fate.instant and self.renderer.wait(identifier, 30):
            state = self.status(call, request, identifier)
            return {"generation_id": identifier, "status": state["status"], "video_url": state["video_url"]}
        return {"generation_id": identifier, "status": "processing", "video_url": None}

    def accept(self, db: Any, call: Call, order: Order, identifier: str, plan: dict[str, Any]) -> jobs.Fate:
        """Check slots and balance, charge, begin and write it down: one transaction."""
        now = time.time()
        jobs.settle(db, now)
        busy = limits.check_slots(db, self.limits, call.account, now)
        if busy:
            raise too_many(busy)
        required, balance = prices.price(order, store.setting(db, "price_factor")), store.balance(db, call.account)
        if balance < required:
            raise Refusal(402, "Insufficient credits", required=required, balance=balance)
        fate = self.fate(faults.take(db, "generate", call.key, faults.JOB), order, identifier)
        jobs.accept(db, call.account, order, required, plan, fate, now, self.speed, identifier)
        db.execute(
            "UPDATE journal SET generation_id = ?, credits = ? WHERE id = ?", (identifier, -required, call.entry)
        )
        return fate

    def fate(self, wanted: list[faults.Fault], order: Order, identifier: str) -> jobs.Fate:
        if wanted:
            fault = wanted[0]
            return jobs.Fate(
                fails=fault.options.get("message", jobs.DEFAULT_FAILURE) if fault.kind == "fail" else None,
                never=fault.kind == "never",
                instant=fault.kind == "instant",
                seconds=fault.options.get("seconds", 1.0) if fault.kind == "duration" else None,
            )
        if jobs.chance(identifier, "fail") < self.fail_rate:
            return jobs.Fate(fails=jobs.DEFAULT_FAILURE)
        return jobs.magic(order.prompt) or jobs.Fate()

    def status(self, call: Call, request: Request, identifier: str) -> dict[str, Any]:
        with self.store.transaction() as db:
            jobs.settle(db, time.time())
            job = db.execute(
                "SELECT * FROM generations WHERE id = ? AND account = ?", (identifier, call.account)
            ).fetchone()
            secret, seconds = store.setting(db, "secret"), store.setting(db, "link_seconds")
            if job is None:
                raise Refusal(404, "Generation not found")
            db.execute("UPDATE journal SET generation_id = ? WHERE id = ?", (identifier, call.entry))
        done = job["status"] == "completed"
        return jobs.status(job, self.files.link(request, secret, seconds, identifier) if done else None)

    def credits(self, call: Call, request: Request) -> dict[str, Any]:
        with self.store.transaction() as db:
            balance = store.balance(db, call.account)
        return {"success": True, "credits": balance, "balance": balance}

    def upload(self, call: Call, request: Request) -> dict[str, Any]:
        request.max_content_length = media.LIMITS["video"] + 1024 * 1024
        try:
            file = request.files.get("file")
        except RequestEntityTooLarge:
            raise Invalid("file is too large") from None
        if file is None:
            raise Invalid("file is required")
        name = media.keep_upload(self.files.uploads, file)
        return {"url": f"{request.host_url}uploads/{name}", "key": f"uploads/{name}"}


def bearer(request: Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme == "Bearer" and key.strip() else None


def json_body(request: Request) -> Any:
    """The body as JSON, or a 400."""
    if request.mimetype != "application/json":
        raise Invalid("The body must be JSON (Content-Type: application/json)")
    if (request.content_length or 0) > JSON_LIMIT:
        raise Invalid("The body is too large")
    try:
        return json.loads(request.get_data())
    except ValueError:
        raise Invalid("The body is not valid JSON") from None


def prompt_of(request: Request) -> str | None:
    """The prompt for the journal, if the body can be read at all."""
    try:
        body = json_body(request)
    except Invalid:
        return None
    prompt = body.get("prompt") if isinstance(body, dict) else None
    return prompt if isinstance(prompt, str) else None


def refused(refusal: Refusal) -> Response:
    return faults.error(refusal.status, retry_after=refusal.retry_after, body=refusal.body)
