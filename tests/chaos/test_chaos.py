"""Everything goes wrong at once, for a minute on each database: nothing is paid twice, nothing is lost.

`make chaos` is the long form of the same. README.md says what the figures mean.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import run
from tests.chaos.names import LEASE, POINTS
from tests.servers import ROOT, clean_environment, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1200)]

KILLS, SEED, SECONDS = 36, 7, 420  # at most so long: it ends when every point had its kill


@pytest.fixture(scope="module")
def storms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The figures of one run on each database; both run at the same time."""
    folder = tmp_path_factory.mktemp("figures")
    started = {name: start(name, folder) for name in ("sqlite", "postgres")}
    for name, process in started.items():
        said, _ = process.communicate()
        print(f"\n{name}:\n{said}")
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in started}


def start(database: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.chaos", "--database", database, "--json", str(folder / f"{database}.json")]
    command += ["--kills", str(KILLS), "--seed", str(SEED), "--seconds", str(SECONDS)]
    return subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_nothing_is_paid_twice_nothing_is_lost_and_the_books_match(storms, database):
    figures = storms[database]
    assert [words for name in run.WRONG for words in figures[name]] == []
    assert figures["difference"] == 0
    assert figures["counts"]["accepted upstream"] >= 10


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_processes_died_at_every_named_point(storms, database):
    figures = storms[database]
    assert [point for point in POINTS if not figures["by point"].get(point)] == []
    assert figures["kills"] >= KILLS


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_everything_else_went_wrong_as_well(storms, database):
    others = [what for word, those in run.MUST.items() if (word, database) != ("database", "sqlite") for what in those]
    assert [what for what in others if not storms[database]["disturbances"].get(what)] == []


def test_a_process_that_was_stopped_past_its_lease_sends_nothing_when_it_goes_on():
    chaos = run.Chaos("sqlite", 0, SEED, with_=())
    chaos.exclusive = False  # nobody decides: what is sent would be sent by the process that went on
    try:
        chaos.start()
        for point in ("before the request", "before the first byte"):
            chaos.order(point, "stop")
        chaos.confirm(2)
        ask = "SELECT count(*) FROM generations_generation WHERE status = 'UNCONFIRMED'"

        def both_unknown() -> bool:
            chaos.count()
            chaos.at_times("confirm", 1.0, lambda: chaos.confirm(0))
            return chaos.ask(ask) == [(2,)]

        wait_for("both leases to run out", both_unknown, 60)
        assert len(chaos.stopped) == 2
        for _, pid in chaos.stopped:
            run.tell(pid, signal.SIGCONT)
        time.sleep(LEASE)
        assert chaos.simulator.submissions() == 0
        assert chaos.ask(ask) == [(2,)]
        outcomes = chaos.ask("SELECT outcome FROM generations_submission")
        assert outcomes == [("unclear",), ("unclear",)]
    finally:
        chaos.end()
