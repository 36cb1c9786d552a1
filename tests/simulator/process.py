"""The simulator as a real process, and a small client for it. Needs no Django."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
KEY = "vv_sk_demo_simulator_key"


class Simulator:
    """A running simulator; `api` and `control` are plain HTTP calls."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data, self.options = data, options
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "simulator", "--port", "0", "--data", str(self.data)]
        self.process = subprocess.Popen([*command, *self.options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()
        self.base = self.line.removeprefix("simulator ready on ").removesuffix("/api")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def api(self, method: str, path: str, body: Any = None, key: str | None = KEY, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        more.setdefault("timeout", 20)
        return requests.request(
            method, f"{self.base}/api{path}", json=body, headers=headers, allow_redirects=False, **more
        )

    def control(self, path: str, body: Any = None) -> Any:
        url = f"{self.base}/control/{path}"
        answer = requests.get(url, timeout=10) if body is None else requests.post(url, json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def quote(self, **values: Any) -> requests.Response:
        return self.api("POST", "/quote", {"mode": "veo3", "generation_type": "text-to-video", **values})

    def generate(self, **values: Any) -> requests.Response:
        body = {"mode": "veo3", "generation_type": "text-to-video", "prompt": "a lighthouse at night", **values}
        key = body.pop("key", KEY)
        given = {name: value for name, value in body.items() if value is not None}
        return self.api("POST", "/generate-video", given, key)

    def status(self, identifier: str) -> dict[str, Any]:
        return self.api("GET", f"/video-generation/{identifier}/status").json()

    def balance(self) -> int:
        return self.api("GET", "/credits").json()["balance"]

    def fault(self, endpoint: str, kind: str, **options: Any) -> None:
        self.control("faults", {"endpoint": endpoint, "kind": kind, **options})

    def ended(self, identifier: str, seconds: float = 20, every: float = 0.05) -> dict[str, Any]:
        """The status once it is no longer processing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.status(identifier)
            if answer["status"] != "processing":
                return answer
            time.sleep(every)
        raise AssertionError(f"{identifier} did not end in {seconds} s")

    def submissions(self) -> int:
        return len(self.control("journal?endpoint=generate"))


Launch = Callable[..., Simulator]
