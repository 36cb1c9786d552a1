"""Running simulators for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.process import Launch, Simulator


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(
        tmp_path_factory.mktemp("simulator"), "--speed", "1000", "--clips", "quick",
        "--minute-limit", "100000", "--hour-limit", "100000", "--concurrent", "100",
    )  # fmt: skip
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(shared: Simulator) -> Simulator:
    """One process for all tests, as new for each, with wide limits and tiny clips."""
    shared.control("reset", {})
    shared.control(
        "settings", {"speed": 1000, "fail_rate": 0, "minute_limit": 100000, "hour_limit": 100000, "concurrent": 100}
    )
    return shared


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start a simulator of one's own with any options."""
    running: list[Simulator] = []

    def start(*options: str) -> Simulator:
        running.append(Simulator(tmp_path / "data", *options))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.stop()
