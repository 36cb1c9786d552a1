"""Dailies and the simulator as real processes, the way production runs them."""

import json
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers import API_KEY, Process, clean_environment, free_port, get, last_json, listens, manage, wait_for
from veevid_site import programs


class Simulator:
    """The stand-in for Veevid, and its control API (simulator/README.md)."""

    def __init__(self, folder: Path, *options: str, key: str = API_KEY) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "simulator",
            "--port",
            str(self.port),
            "--data",
            folder,
            "--key",
            key,
        ]
        self.process = Process("simulator", [*command, "--clips", "quick", *options], folder, clean_environment())
        self.base = f"http://127.0.0.1:{self.port}"
        self.url, self.host, self.key = f"{self.base}/api", f"127.0.0.1:{self.port}", key

    def start(self) -> "Simulator":
        self.process.start().ready(lambda: listens(self.port))
        return self

    def end(self) -> None:
        self.process.stop()

    def control(self, path: str, body: Any = None, method: str = "") -> Any:
        """GET without a body, POST with one; the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/control/{path}", data=data, method=method or None)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def fault(self, endpoint: str, kind: str, **options: Any) -> None:
        self.control("faults", {"endpoint": endpoint, "kind": kind, **options})

    def clear_faults(self) -> None:
        self.control("faults", method="DELETE")

    def journal(self, **filters: Any) -> list[dict[str, Any]]:
        """Every request the simulator saw; filters: endpoint, key, account, status, generation_id, prompt, since …"""
        return self.control("journal?" + urllib.parse.urlencode(filters))

    def submissions(self, **filters: Any) -> int:
        return len(self.journal(endpoint="generate", **filters))

    def violations(self) -> dict[str, Any]:
        return self.control("violations")

    def generations(self) -> list[dict[str, Any]]:
        return self.control("generations")

    def balance(self, account: str = "demo") -> int:
        return next(row["balance"] for row in self.control("account") if row["account"] == account)


class Dailies:
    """One instance: its environment, and its web, worker and beat processes, any number of each."""

    def __init__(
        self, folder: Path, database_url: str, redis_url: str, simulator: Simulator | None, **env: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.simulator = folder, simulator
        given = {"DATA_DIR": str(folder), "DATABASE_URL": database_url, "REDIS_URL": redis_url}
        given |= {"SECRET_KEY": "a key of the tests, long enough to be taken"}
        if simulator:
            given |= {"VEEVID_API_URL": simulator.url, "VEEVID_API_KEY": simulator.key}
            given |= {"VEEVID_MEDIA_HOSTS": simulator.host}
        self.env = clean_environment(**{**given, **env})
        self.processes: list[Process] = []
        self.url = ""

    def manage(self, *arguments: str, check: bool = True) -> str:
        return manage(self.env, *arguments, check=check).stdout

    def python(self, code: str) -> Any:
        """Runs code inside Dailies (`manage.py shell`, models are imported); what it prints last is read as JSON."""
        return last_json(self.manage("shell", "-v0", "-c", code))

    def prepare(self) -> "Dailies":
        """Tables (when the database is new), static files, the account of the environment's key."""
        self.manage("migrate", "-v0")
        self.manage("createcachetable")
        self.manage("collectstatic", "--no-input", "-v0")
        self.manage("ensure_accounts")
        return self

    def start_web(self) -> Process:
        port = free_port()
        process = self._start("web", programs.web(port))
        self.url = f"http://127.0.0.1:{port}"
        process.ready(lambda: get(f"{self.url}/healthz")[0] == 200)
        return process

    def start_worker(self, concurrency: int = 2, queues: str = "dailies,fetches") -> Process:
        number = sum(process.name.startswith("worker") for process in self.processes) + 1
        process = self._start("worker", [*programs.worker(concurrency, queues), "-n", f"worker{number}@tests"])
        return process.ready(lambda: " ready." in process.said())

    def start_fetcher(self, concurrency: int = 2) -> Process:
        process = self._start("fetcher", programs.fetcher(concurrency))
        return process.ready(lambda: " ready." in process.said())

    def start_beat(self) -> Process:
        return self._start("beat", programs.beat())

    def start(self) -> "Dailies":
        self.start_beat()
        self.start_worker()
        self.start_web()
        return self

    def end(self) -> None:
        for process in reversed(self.processes):
            process.stop(seconds=8)

    def said(self) -> str:
        """Everything its processes wrote, for the message of a failed test."""
        return "\n".join(f"--- {process.name}\n{process.said()}" for process in self.processes)

    def wait_for(self, what: str, happened: Any, seconds: float = 20) -> Any:
        return wait_for(f"{what}\n{self.said()[-3000:]}", happened, seconds)

    def _start(self, name: str, command: list[str]) -> Process:
        number = sum(process.name.startswith(name) for process in self.processes) + 1
        process = Process(f"{name}-{number}", command, self.folder, self.env).start()
        self.processes.append(process)
        return process
