"""Makes chaos: an instance of Dailies with workers that die, brokers and databases that go, a Veevid that misbehaves.

It confirms clips, decides about unknown outcomes by what the simulator knows, restarts what ended, and in the end
lets everything settle and asks the judge.
"""

import itertools
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from tests import jobs
from tests.chaos.judge import STATEMENTS, Books, Judge, Verdict
from tests.chaos.names import ACCOUNT_HOUR, KEY_MINUTE, LEASE, POINTS
from tests.servers import Postgres, Process, Redis, clean_environment, manage, wait_for
from tests.stack import Dailies, Simulator
from veevid_site import broker, programs

ACCOUNTS, BALANCE = 10, 1_000_000
WHOLE_EVERY = 15.0  # seconds between the ends of whole programs
AWAY = (OSError, sqlite3.Error, psycopg.Error)  # what a database says that is being killed
ALL = ("points", "random", "deliveries", "beats", "broker", "database", "pause", "clock", "faults")

#: What a disturbance has to have done before a run may end.
MUST = {
    "broker": ("broker flushed", "broker killed"),
    "database": ("PostgreSQL killed",),
    "pause": ("process stopped past its lease",),
    "clock": ("clock stepped",),
    "faults": ("fault upstream",),
}

SETUP = """
import json
from django.core.management import call_command
from generations import accounts
from generations.models import ApiAccount, ApiKey
from django.utils import timezone
call_command("migrate", verbosity=0)
call_command("createcachetable")
from tests.makers import make_person
for name in ("mara", "luc", "aiko"):
    make_person(f"{{name}}@example.com")
for number, (first, second) in enumerate({keys!r}):
    account = accounts.add_key(None, first).account
    accounts.add_key(account, second)
    accounts.set_exclusive(account, {exclusive!r} and number % 2 == 0)
ApiKey.objects.update(accepted_at=timezone.now())
print(json.dumps(1))
"""

FAULTS: tuple[dict[str, Any], ...] = (
    {"endpoint": "generate", "kind": "close", "when": "after"},
    {"endpoint": "generate", "kind": "close"},
    {"endpoint": "generate", "kind": "reset", "when": "after"},
    {"endpoint": "generate", "kind": "hang", "seconds": 12, "when": "after"},
    {"endpoint": "generate", "kind": "hang", "seconds": 3, "when": "after"},
    {"endpoint": "generate", "kind": "late", "seconds": 3},
    {"endpoint": "generate", "kind": "error", "status": 500, "when": "after"},
    {"endpoint": "generate", "kind": "error", "status": 503},
    {"endpoint": "generate", "kind": "error", "status": 429, "retry_after": 2},
    {"endpoint": "generate", "kind": "error", "status": 402, "body": {"error": "no", "required": 10, "balance": 9}},
    {"endpoint": "generate", "kind": "error", "status": 401},
    {"endpoint": "generate", "kind": "error", "status": 403},
    {"endpoint": "generate", "kind": "error", "status": 400},
    {"endpoint": "generate", "kind": "html", "when": "after"},
    {"endpoint": "generate", "kind": "broken_json", "when": "after"},
    {"endpoint": "generate", "kind": "empty", "when": "after"},
    {"endpoint": "generate", "kind": "huge", "when": "after"},
    {"endpoint": "generate", "kind": "redirect", "when": "after"},
    {"endpoint": "generate", "kind": "truncated"},
    {"endpoint": "generate", "kind": "drip", "seconds": 0.02},
    {"endpoint": "generate", "kind": "drop"},
    {"endpoint": "generate", "kind": "extra"},
    {"endpoint": "generate", "kind": "instant"},
    {"endpoint": "generate", "kind": "fail"},
    {"endpoint": "generate", "kind": "duration", "seconds": 15},
    {"endpoint": "status", "kind": "error", "status": 500, "times": 3},
    {"endpoint": "status", "kind": "error", "status": 429, "retry_after": 2},
    {"endpoint": "status", "kind": "error", "status": 404},
    {"endpoint": "status", "kind": "hang", "seconds": 6},
    {"endpoint": "status", "kind": "html", "times": 2},
    {"endpoint": "status", "kind": "word"},
    {"endpoint": "status", "kind": "short", "times": 2},
    {"endpoint": "status", "kind": "strings"},
    {"endpoint": "credits", "kind": "error", "status": 500},
    {"endpoint": "credits", "kind": "hang", "seconds": 6},
    {"endpoint": "quote", "kind": "error", "status": 500},
    {"endpoint": "video", "kind": "expired"},
    {"endpoint": "video", "kind": "truncated"},
    {"endpoint": "video", "kind": "text"},
    {"endpoint": "video", "kind": "close"},
    {"endpoint": "video", "kind": "reset", "when": "after"},
)


class Valkey:
    """The bundled broker, on a socket beside the data, as `manage.py up` starts it."""

    url = ""

    def __init__(self, data: Path) -> None:
        self.socket = data / "broker.sock"
        self.process = Process("valkey", broker.command(self.socket, data / "broker"), data, clean_environment())

    def start(self) -> "Valkey":
        self.process.start().ready(lambda: broker.answers(self.socket))
        return self


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def tell(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


class Chaos:
    """One run, on one database."""

    exclusive = True  # half of the accounts; unknown outcomes on them may be released by Dailies itself

    def __init__(self, database: str, kills: int, seed: int, with_: tuple[str, ...] = ALL, rate: float = 4.0) -> None:
        self.database, self.wanted, self.with_, self.rate = database, kills, with_, rate
        self.lot = random.Random(seed)
        self.line = 10 if kills < 200 else 24  # clips that wait for their turn
        self.calm = 25 if kills < 200 else 50  # seconds between two ends of a server
        self.spread = 1 + kills // 80  # how many more kills a point may have than the one with the fewest
        self.folder = Path(tempfile.mkdtemp(prefix="dailies-chaos-"))
        self.postgres = Postgres() if database == "postgres" else None
        limits = ["--minute-limit", str(KEY_MINUTE), "--hour-limit", str(ACCOUNT_HOUR)]
        self.simulator = Simulator(self.folder / "simulator", "--speed", "30", "--fail-rate", "0.25", *limits)
        self.programs: dict[str, Process] = {}
        self.asked: dict[str, float] = {}  # prompt: when its confirmation was last asked for
        self.there: set[str] = set()
        self.unknown: dict[int, float] = {}  # unconfirmed generation: since when it may be decided about
        self.by_point: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()  # the other disturbances
        self.armed: set[str] = set()
        self.ended_whole = time.monotonic()
        self.read = 0  # bytes of the list of kills that are counted
        self.stopped: list[tuple[float, int]] = []  # (when to go on, pid)
        self.due: dict[str, float] = {}
        self.seen, self.calls, self.faults = 0, Counter[str](), Counter[str]()  # of the simulator's journal
        self.broker_ends = itertools.cycle(("flushed", "killed", "flushed", "stopped"))
        self.database_ends = itertools.cycle(("killed", "stopped at once"))

    # -- the instance -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        data = self.folder / "data"
        (data / "orders").mkdir(parents=True)
        if self.postgres:
            self.postgres.start()
            self.redis: Redis | Valkey = Redis(self.folder)
        else:
            self.redis = Valkey(data)
        self.redis.start()
        self.simulator.start()
        url = self.postgres.url() if self.postgres else ""
        own = {"CHAOS_FOLDER": str(data), "CHAOS_WITH": ",".join(self.with_)}
        self.dailies = Dailies(data, url, self.redis.url, self.simulator, VEEVID_API_KEY="", **own)
        self.data, self.kills = data, data / "kills"
        keys = []
        for number in range(ACCOUNTS):
            self.simulator.control("account", {"account": f"a{number}", "balance": BALANCE})
            keys.append([f"vv_sk_chaos_key_{number:03d}{one}" for one in "xy"])
            for key in keys[-1]:
                self.simulator.control("key", {"key": key, "account": f"a{number}"})
        manage(self.dailies.env, "shell", "-v0", "-c", SETUP.format(keys=keys, exclusive=self.exclusive), seconds=120)
        broker_url = self.redis.url or f"redis+socket://{data / 'broker.sock'}"
        self.bell = Celery("chaos", broker=broker_url, set_as_current=False)  # else bells of later tests hang here
        self.bell.conf.update(task_default_queue="dailies", broker_transport_options={"socket_timeout": 2})
        for name in ("worker1", "worker2", "beat1", *(["beat2"] if "beats" in self.with_ else [])):
            self.start_program(name)

    def start_program(self, name: str) -> None:
        shipped = [*programs.worker(4), "-n", f"{name}@chaos"] if name.startswith("worker") else programs.beat()
        command = ["tests.chaos.worker" if word == "veevid_site" else word for word in shipped]
        env = {**self.dailies.env, "CHAOS_NAME": name}
        self.programs[name] = Process(name, command, self.data, env).start()

    def end(self) -> None:
        for process in [*self.programs.values(), self.simulator.process, self.redis.process]:
            process.kill()
        if self.postgres:
            self.postgres.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- asking and telling -------------------------------------------------------------------------------------------

    def ask(self, statement: str) -> list[tuple[Any, ...]] | None:
        """None while the database is away."""
        try:
            return jobs.ask(self.dailies, statement)
        except AWAY:
            return None

    def ring(self, task: str, *arguments: Any) -> None:
        """A bell that may be lost: it is rung again as long as what it asks for is not there."""
        with suppress(KombuError, RedisError, OSError), self.bell.connection_for_write() as line:
            self.bell.send_task(task, arguments, connection=line, expires=10, retry=False, ignore_result=True)

    # -- people -------------------------------------------------------------------------------------------------------

    def confirm(self, line: int) -> None:
        """Keeps so many in the line."""
        rows = self.ask("SELECT prompt, status FROM generations_generation")
        if rows is None:
            return
        self.there |= {prompt for prompt, _ in rows}
        waiting = sum(1 for _, status in rows if status == "QUEUED")
        missing = [prompt for prompt in self.asked if prompt not in self.there]
        for number in range(len(self.asked), len(self.asked) + max(0, line - waiting - len(missing))):
            missing.append(f"clip {number}")
            self.asked[missing[-1]] = 0.0
        for prompt in missing:
            if time.monotonic() - self.asked[prompt] > 4:
                self.asked[prompt] = time.monotonic()
                self.ring("chaos.confirm", prompt, "6" if number_of(prompt) % 3 else "10")

    def decide(self) -> None:
        """As managers do who look at Veevid's site; every tenth unknown outcome nobody decides about."""
        rows = self.ask("SELECT id, prompt FROM generations_generation WHERE status = 'UNCONFIRMED'")
        if not rows:
            return
        now = time.monotonic()
        self.unknown = {pk: self.unknown.get(pk, now + LEASE) for pk, _ in rows}
        ready = [(pk, prompt) for pk, prompt in rows if self.unknown[pk] < now and number_of(prompt) % 10]
        if not ready:
            return
        taken = {row[0] for row in self.ask("SELECT upstream_id FROM generations_generation") or []}
        upstream = self.simulator.generations()
        for pk, prompt in ready:
            self.unknown[pk] = now + 4
            found = [row for row in upstream if row["prompt"] == prompt and row["id"] not in taken]
            self.ring("chaos.decide", pk, *self.decision(found))

    def decision(self, found: list[dict[str, Any]]) -> tuple[str, str]:
        if not found:
            return self.lot.choice(("again", "again", "release")), ""
        paid = [row for row in found if row["status"] != "failed"]  # of two, the one that was not given back
        chosen = (paid or found)[-1]
        if chosen["status"] == "completed" and self.lot.random() < 0.3:
            return "charged", ""
        return "adopt", chosen["id"]

    # -- death --------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Reads who died where; returns the kills of this run so far."""
        if self.kills.exists():
            text = self.kills.read_text()[self.read :]
            self.read += text.rfind("\n") + 1
            for line in text[: text.rfind("\n") + 1].splitlines():
                point, how, pid = line.split("|")
                self.armed.discard(point)
                if how == "stop":
                    self.happened["process stopped past its lease"] += 1
                    self.stopped.append((time.monotonic() + LEASE + 4, int(pid)))
                else:
                    self.by_point[point] += 1
                    self.happened[f"kill of the {how}"] += 1
        return self.by_point.total()

    def arm(self) -> None:
        """An order at one of the points seen least."""
        least = min(self.by_point[point] for point in POINTS)
        most = least + (self.spread if least else 1)
        free = [point for point in POINTS if point not in self.armed and self.by_point[point] <= most]
        if free:
            self.order(self.lot.choice(free), "worker" if self.lot.random() < 0.1 and self.may_end_whole() else "child")

    def may_end_whole(self) -> bool:
        """A program that starts needs seconds of a processor. One at a time: something must be alive."""
        if time.monotonic() - self.ended_whole < WHOLE_EVERY:
            return False
        self.ended_whole = time.monotonic()
        return True

    def order(self, point: str, how: str) -> None:
        draft = self.data / "order"
        draft.write_text(how)
        draft.rename(self.data / "orders" / point)
        self.armed.add(point)

    def kill_somebody(self) -> None:
        """At a moment that nobody chose."""
        name = self.lot.choice(sorted(self.programs))
        process = self.programs[name]
        pids = [] if name.startswith("beat") else children(process.pid)
        if pids and self.lot.random() < 0.9:
            self.by_point["at random: a child"] += tell(self.lot.choice(pids), signal.SIGKILL)
        elif self.may_end_whole():
            process.kill()
            self.by_point["at random: a beat" if name.startswith("beat") else "at random: a worker"] += 1

    def look_after_programs(self) -> None:
        for name, process in self.programs.items():
            if process.ended():
                self.start_program(name)
        for until, pid in list(self.stopped):
            if time.monotonic() > until:
                tell(pid, signal.SIGCONT)
                self.stopped.remove((until, pid))

    # -- the weather --------------------------------------------------------------------------------------------------

    def broker(self) -> None:
        how = next(self.broker_ends)
        self.happened[f"broker {how}"] += 1
        if how == "flushed":
            self.flush()
            return
        self.redis.process.kill() if how == "killed" else self.redis.process.stop()
        time.sleep(self.lot.uniform(0, 3))
        self.redis.start()

    def flush(self) -> None:
        with suppress(KombuError, RedisError, OSError), self.bell.connection_for_write() as line:
            line.default_channel.client.flushall()

    def lose_database(self) -> None:
        if self.postgres is None:
            return
        server, how = self.postgres.process, next(self.database_ends)
        self.happened[f"PostgreSQL {how}"] += 1
        if how == "killed":
            family = [server.pid, *children(server.pid)]
            for pid in family:
                tell(pid, signal.SIGKILL)
            server.running.wait()
            wait_for("PostgreSQL's processes to end", lambda: not any(tell(pid, 0) for pid in family), 60)
        else:
            server.stop(signal.SIGQUIT)
        time.sleep(self.lot.uniform(0, 3))
        server.start()
        wait_for("PostgreSQL to come back", lambda: server.ended() or self.ask("SELECT 1"), 60)
        assert not server.ended(), server.said()[-2000:]

    def pause(self) -> None:
        """Stops a process with its attempt in hand until the lease is over, or a whole worker."""
        points = ("the intent is committed", "before the request", "the request is written", "the answer came")
        point = self.lot.choice((*points, "a worker"))
        if point == "a worker":
            process = self.programs[self.lot.choice(("worker1", "worker2"))]
            family = [process.pid, *children(process.pid)]
            for pid in family:
                if tell(pid, signal.SIGSTOP):
                    self.stopped.append((time.monotonic() + LEASE + 4, pid))
            self.happened["worker stopped past its leases"] += 1
        elif point not in self.armed:
            self.order(point, "stop")

    def clock(self) -> None:
        name = self.lot.choice(sorted(self.programs))
        seconds = self.lot.choice((-20, -8, 0, 0, 8, 20))
        (self.data / f"clock-{name}").write_text(str(seconds))
        self.happened["clock stepped"] += bool(seconds)

    def fault(self) -> None:
        """One for about every fourth request of a kind: the others have to come through."""
        calls = self.simulator.journal(since=self.seen)
        self.seen = calls[-1]["id"] if calls else self.seen
        self.calls.update(call["endpoint"] for call in calls)
        self.calls["video"] = self.calls["status"] // 3  # downloads are not in the journal
        endpoint = self.lot.choice(sorted({fault["endpoint"] for fault in FAULTS}))
        if self.calls[endpoint] < 4 * (self.faults[endpoint] + 1):
            return
        self.faults[endpoint] += 1
        self.simulator.control("faults", self.lot.choice([one for one in FAULTS if one["endpoint"] == endpoint]))
        self.happened["fault upstream"] += 1

    def at_times(self, what: str, every: float, do: Callable[[], None]) -> None:
        """About every so many seconds. A simulator that is too busy to be told is told the next time."""
        now = time.monotonic()
        if now >= self.due.setdefault(what, now + self.lot.uniform(0.2, 1) * every):
            with suppress(OSError):
                do()
            self.due[what] = time.monotonic() + self.lot.uniform(0.5, 1.5) * every

    # -- the run ------------------------------------------------------------------------------------------------------

    def storm(self, seconds: float) -> None:
        """Until there were as many kills as wanted, every point among them, or the time is over."""
        ends, on, say = time.monotonic() + seconds, self.with_, time.monotonic()
        while time.monotonic() < ends:
            done = self.count()
            if done >= self.wanted and not self.still_missing():
                return
            self.at_times("confirm", 1.0, lambda: self.confirm(self.line))
            self.at_times("decide", 1.5, self.decide)
            self.at_times("put right", 4, lambda: self.ring("chaos.put_right"))
            self.look_after_programs()
            if "points" in on:
                self.at_times("arm", 1 / self.rate, self.arm)
            if "random" in on:
                self.at_times("random", 8 / self.rate, self.kill_somebody)
            for word, every, do in (
                ("broker", self.calm, self.broker),
                ("database", self.calm, self.lose_database),
                ("pause", 15.0, self.pause),
                ("clock", 10.0, self.clock),
                ("faults", 1.0, self.fault),
            ):
                if word in on:
                    self.at_times(word, every, do)
            if time.monotonic() > say + 30:
                say = time.monotonic()
                still = self.still_missing()
                print(
                    f"{done} kills, {len(self.there)} confirmed" + (f", not yet: {still}" if still else ""), flush=True
                )
            time.sleep(0.05)

    def still_missing(self) -> list[str]:
        """Points at which nobody died so far, and disturbances that were not there."""
        words = [word for word in self.with_ if word != "database" or self.postgres]
        wanted = [what for word in words for what in MUST.get(word, ())]
        missing = [what for what in wanted if not self.happened[what]]
        return missing + [point for point in POINTS if "points" in self.with_ and not self.by_point[point]]

    def settle(self, seconds: float) -> None:
        """No more disturbances: what is under way comes to its end."""
        for order in (self.data / "orders").glob("*"):
            order.unlink(missing_ok=True)
        for clock in self.data.glob("clock-*"):
            clock.unlink()
        self.simulator.clear_faults()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not self.settled():
            self.count()
            self.look_after_programs()
            self.at_times("say", 30, self.say_what_is_left)
            self.at_times("confirm", 1.0, lambda: self.confirm(0))
            self.at_times("decide", 1.5, self.decide)
            self.at_times("put right", 4, lambda: self.ring("chaos.put_right"))
            time.sleep(0.2)

    def settled(self) -> bool:
        rows = self.ask(
            "SELECT g.prompt, g.status, c.state FROM generations_generation g"
            " LEFT JOIN generations_clip c ON c.generation_id = g.id"
        )
        if rows is None or {prompt for prompt, _, _ in rows} != set(self.asked) or self.stopped:
            return False
        left = [status for prompt, status, _ in rows if status == "UNCONFIRMED" and number_of(prompt) % 10]
        busy = [status for _, status, _ in rows if status in ("QUEUED", "SUBMITTING", "PROCESSING", "STALLED")]
        return not left and not busy and not [state for _, _, state in rows if state == "PENDING"]

    def say_what_is_left(self) -> None:
        rows = self.ask("SELECT status, count(*) FROM generations_generation GROUP BY status")
        clips = self.ask("SELECT state, count(*) FROM generations_clip GROUP BY state")
        print(f"settling: {dict(rows or ())}, {dict(clips or ())}", flush=True)

    def judge(self) -> Verdict:
        for process in self.programs.values():
            process.kill()
        books = Books(**{name: jobs.ask(self.dailies, statement) for name, statement in STATEMENTS.items()})
        balances = sum(row["balance"] for row in self.simulator.control("account") if row["account"] != "demo")
        return Judge(
            books,
            self.simulator.journal(),
            self.simulator.generations(),
            self.simulator.violations(),
            set(self.asked),
            ACCOUNTS * BALANCE - balances,
        ).verdict()


def number_of(prompt: str) -> int:
    return int(prompt.split()[-1])


def run(
    database: str,
    kills: int,
    seed: int,
    with_: tuple[str, ...] = ALL,
    seconds: float = 3600,
    keep: Path | None = None,
) -> dict[str, Any]:
    """One run from start to end; its figures. `keep`: where to leave logs and data of it."""
    chaos, began = Chaos(database, kills, seed, with_), time.monotonic()
    try:
        chaos.start()
        try:
            chaos.storm(seconds)
        except KeyboardInterrupt:
            print("No more kills; what is under way comes to its end.", flush=True)
        chaos.settle(400)
        verdict = chaos.judge()
        if keep:
            shutil.copytree(chaos.data, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
    finally:
        chaos.end()
    return {
        "database": database,
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "kills": chaos.by_point.total(),
        "by point": dict(sorted(chaos.by_point.items())),
        "disturbances": dict(sorted(chaos.happened.items())),
        **asdict(verdict),
    }


WRONG = ("double_charges", "lost", "unaccounted", "books", "limits")


def good(figures: dict[str, Any]) -> bool:
    return not any(figures[name] for name in WRONG) and figures["difference"] == 0


def told(figures: dict[str, Any]) -> list[str]:
    """What is listed and explained, then the one line of figures."""
    said = [
        f"    {name.replace('_', ' ')}: {words}" for name in (*WRONG, "allowed", "ambiguous") for words in figures[name]
    ]
    said += [f"    kills: {figures['by point']}", f"    also: {figures['disturbances']}"]
    zero = {
        "double charges": len(figures["double_charges"]),
        "lost generations": len(figures["lost"]),
        "rows unaccounted for": len(figures["unaccounted"]),
        "ledger minus upstream": -figures["difference"],
        "books that differ": len(figures["books"]),
        "limits violated": len(figures["limits"]),
    }
    some = {"kills": figures["kills"], **zero, "ambiguous": len(figures["ambiguous"]), **figures["counts"]}
    line = ", ".join(f"{name} {value}" for name, value in some.items())
    return [*said, f"{figures['database']} (seed {figures['seed']}, {figures['seconds']} s): {line}"]
