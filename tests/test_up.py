"""`manage.py up`, as a person meets it: real processes in a folder of their own."""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Process, clean_environment, free_port, get, manage, wait_for

SOCKET_FOLDER = "from django.conf import settings; print(settings.BROKER_SOCKET.parent)"
pytestmark = pytest.mark.processes

CODE = re.compile(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}\b")


class Up(Process):
    """One start of Dailies."""

    def __init__(self, data: Path, port: int | None = None, **env: str) -> None:
        self.data, self.port = data, port or free_port()
        given = clean_environment(DATA_DIR=str(data), PORT=str(self.port), **env)
        super().__init__("up", [sys.executable, "manage.py", "up"], data.parent, given)

    def until_ready(self) -> "Up":
        self.ready(lambda: "Dailies is ready" in self.said(), seconds=60)
        return self

    def family(self) -> dict[int, str]:
        """Every process of this start: those whose command or environment names its folder."""
        return processes_naming(str(self.data))

    def child(self, words: str) -> int:
        return min(pid for pid, command in self.family().items() if words in command)

    def code(self) -> int:
        assert self.running
        return self.running.wait(30)


def processes_naming(folder: str) -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and int(entry.name) != os.getpid() and folder in command + environment:
            found[int(entry.name)] = command
    return found


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The very first start, kept running for the tests that only look."""
    up = Up(tmp_path_factory.mktemp("first") / "data")
    began = time.monotonic()
    up.start()
    up.until_ready()
    print(f"\nthe first start is ready after {time.monotonic() - began:.1f} s")
    yield up
    up.stop()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an earlier start left it."""
    data = tmp_path_factory.mktemp("prepared") / "data"
    manage(clean_environment(DATA_DIR=str(data)), "prepare")
    return data


@pytest.fixture
def used(prepared: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a folder that has been used before; nothing runs there."""
    return clean_environment(DATA_DIR=str(shutil.copytree(prepared, tmp_path / "data")))


@pytest.fixture
def again(used: dict[str, str]) -> Iterator[Up]:
    """A start in a folder that has been used before; prints how long it took to the first page."""
    up = Up(Path(used["DATA_DIR"]))
    began = time.monotonic()
    up.start()
    up.ready(lambda: get(f"http://127.0.0.1:{up.port}/healthz")[0] == 200, 60)
    print(f"\na start with data answers after {time.monotonic() - began:.1f} s")
    yield up.until_ready()
    up.stop()


def test_the_first_start_answers_and_says_where(first: Up) -> None:
    assert get(f"http://127.0.0.1:{first.port}/healthz") == (200, "ok")
    assert f"http://127.0.0.1:{first.port}/" in first.said()
    assert str(first.data) in first.said()


def test_the_first_start_says_that_nothing_costs_money(first: Up) -> None:
    assert "demo mode" in first.said()


def test_the_first_start_prints_one_set_up_code(first: Up) -> None:
    assert len(CODE.findall(first.said())) == 1
    assert f"http://127.0.0.1:{first.port}/welcome/" in first.said()


def test_the_set_up_code_is_in_no_log(first: Up) -> None:
    code = CODE.findall(first.said())[0]
    assert not [log for log in (first.data / "logs").glob("*.log") if code in log.read_text(errors="replace")]


def test_a_new_set_up_code_can_be_asked_for(used: dict[str, str]) -> None:
    first, second = (CODE.findall(manage(used, "setup_code").stdout) for _ in range(2))
    assert len(first) == len(second) == 1
    assert first != second


def test_no_set_up_code_is_made_once_there_is_an_admin(used: dict[str, str]) -> None:
    manage(used, "shell", "-v0", "-c", "User.objects.create_superuser('ada@example.com', 'a long password')")
    refused = manage(used, "setup_code", check=False)
    assert refused.returncode == 1
    assert "There is an admin already" in refused.stderr


def test_a_second_start_in_the_same_folder_is_refused(first: Up) -> None:
    refused = manage({**first.env, "PORT": str(free_port())}, "up", check=False)
    assert refused.returncode == 1
    assert "already runs" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_in_use_is_named(first: Up, tmp_path: Path) -> None:
    refused = manage({**first.env, "DATA_DIR": str(tmp_path)}, "up", check=False)
    assert refused.returncode == 1
    assert f"PORT: {first.port} is in use" in refused.stderr
    assert not processes_naming(str(tmp_path))


def test_a_broker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    env = clean_environment(
        DATA_DIR=str(tmp_path), PORT=str(free_port()), REDIS_URL=f"redis://127.0.0.1:{free_port()}/0"
    )
    refused = manage(env, "up", check=False)
    assert refused.returncode == 1
    assert "REDIS_URL: the server does not answer" in refused.stderr


def test_ctrl_c_ends_everything_in_order(again: Up) -> None:
    again.running.send_signal(signal.SIGINT)
    assert again.code() == 0
    assert again.family() == {}
    assert again.said().rstrip().endswith("Stopped.")


def test_kill_9_of_the_supervisor_leaves_no_process(again: Up) -> None:
    assert len(again.family()) > 8
    os.kill(again.pid, signal.SIGKILL)
    again.running.wait()
    wait_for("the last process to go", lambda: not again.family(), seconds=5)


def test_when_one_process_dies_all_stop(again: Up) -> None:
    os.kill(again.child("veevid_site worker"), signal.SIGKILL)
    assert again.code() == 1
    assert again.family() == {}
    assert "worker has ended, so Dailies stops" in again.said()


def test_it_runs_in_a_folder_with_a_long_and_unusual_name(tmp_path: Path) -> None:
    data = tmp_path / ("ein sehr langer Name für den Ordner " * 3).strip() / "data %41 #1"
    data.mkdir(parents=True)
    up = Up(data)
    up.start()
    try:
        up.until_ready()
        wait_for("the beat's sign of life", (data / "beat.alive").exists)
        assert "ERROR" not in up.said()
        up.stop()
        assert not Path(manage(up.env, "shell", "-v0", "-c", SOCKET_FOLDER).stdout.strip()).exists()
    finally:
        up.stop()
