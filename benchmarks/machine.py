"""What the benchmarks of the real system share: all of it as real processes, and what those cost."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import Postgres, Process, Redis, clean_environment
from tests.stack import Dailies, Simulator
from veevid_site import broker

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class System:
    """Dailies, the simulator that it speaks to, and the servers beside it."""

    dailies: Dailies
    simulator: Simulator
    servers: list[Process]

    @property
    def processes(self) -> list[Process]:
        return [*self.dailies.processes, self.simulator.process, *self.servers]


@contextmanager
def system(database: str, *simulator_options: str) -> Iterator[System]:
    """Everything prepared, with no process of Dailies running yet; all of it ends and vanishes at the end.

    `sqlite`: the embedded broker, as `make run` has it. `postgres`: private PostgreSQL and Redis servers.
    """
    folder = Path(tempfile.mkdtemp(prefix="dailies-bench-"))
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        simulator = Simulator(folder / "simulator", *simulator_options)
        ends.callback(simulator.end)
        simulator.start()
        servers, database_url, redis_url = [], "", ""
        if database == "postgres":
            postgres = Postgres()
            ends.callback(postgres.end)
            database_url = postgres.start().new_database()
            (folder / "redis").mkdir()
            redis = Redis(folder / "redis")
            ends.callback(redis.end)
            redis_url = redis.start().url
            servers = [postgres.process, redis.process]
        dailies = Dailies(folder / "dailies", database_url, redis_url, simulator)
        if not redis_url:
            path = dailies.folder / "broker.sock"
            command = broker.command(path, dailies.folder / "broker")
            servers = [Process("broker", command, folder, clean_environment())]
            ends.callback(servers[0].stop)
            servers[0].start().ready(lambda: broker.answers(path))
        ends.callback(dailies.end)
        dailies.prepare()
        yield System(dailies, simulator, servers)


@dataclass
class Cost:
    """Of one kind of process, with all its children."""

    cpu: float = 0.0  # seconds
    memory: float = 0.0  # MB, pages shared with others counted in part
    processes: int = 0

    def since(self, before: "Cost") -> "Cost":
        return Cost(self.cpu - before.cpu, self.memory, self.processes)


def costs(processes: Iterable[Process]) -> dict[str, Cost]:
    """What each kind of process (web, worker, beat …) has used so far, with all its children."""
    names = {process.pid: process.name.rsplit("-", 1)[0] for process in processes if not process.ended()}
    stats: dict[int, list[str]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                stats[int(place.name)] = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended just now
    found: dict[str, Cost] = {}
    for pid, fields in stats.items():
        ancestor = pid
        while ancestor in stats and ancestor not in names:
            ancestor = int(stats[ancestor][1])
        if ancestor in stats:
            cost = found.setdefault(names[ancestor], Cost())
            cost.cpu += sum(int(field) for field in fields[11:15]) / TICKS  # its own, and of children that have ended
            cost.memory += _memory(pid)
            cost.processes += 1
    return found


def _memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def quantile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)] if ranked else float("nan")


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def shares(counts: Counter[str]) -> str:
    whole = sum(counts.values()) or 1
    return ", ".join(f"{name} {number} ({number / whole:.0%})" for name, number in sorted(counts.items())) or "none"


def say(line: str = "") -> None:
    print(line, flush=True)
