"""docker-compose.yml, Dockerfile and .env.example: complete, and without a secret in them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from generations import tasks, veevid
from scripts.test_tools import find_compose
from tests.servers import ROOT, Process, clean_environment, wait_for
from veevid_site import programs, supervisor

NEEDED = ["SECRET_KEY", "SECRETS_KEYS", "VEEVID_API_KEY", "POSTGRES_PASSWORD", "ALLOWED_HOSTS"]
GIVEN = {name: f"given-{name.lower()}" for name in NEEDED}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = sorted(set(SERVICES) - {"prepare"})


def config(env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`docker compose config`, away from any .env file of this checkout."""
    command = find_compose()
    if not command:
        pytest.skip("no docker compose")
    files = ["-f", str(ROOT / "docker-compose.yml"), "--project-directory", str(folder)]
    clean = {name: value for name, value in clean_environment().items() if name not in NEEDED}
    return subprocess.run(
        [*command, *files, "config"], capture_output=True, text=True, env={**clean, **env}, check=False
    )


def literals(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for value in node.values() for text in literals(value)]
    if isinstance(node, list):
        return [text for value in node for text in literals(value)]
    return [str(node)]


def test_compose_accepts_the_file_when_everything_is_given(tmp_path: Path) -> None:
    done = config(GIVEN, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "postgres://dailies:given-postgres_password@postgres:5432/dailies" in done.stdout


@pytest.mark.parametrize("name", NEEDED)
def test_compose_names_the_variable_that_is_missing(name: str, tmp_path: Path) -> None:
    done = config({key: value for key, value in GIVEN.items() if key != name}, tmp_path)
    assert done.returncode != 0
    assert f"set {name}" in done.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "SECRETS_KEYS", "VEEVID_API_KEY", "POSTGRES_PASSWORD"])
def test_a_secret_has_no_value_in_the_file(name: str) -> None:
    uses = [service["environment"][name] for service in SERVICES.values() if name in service.get("environment", {})]
    assert uses
    assert set(uses) == {f"${{{name}:?set {name}}}"}


def test_no_password_is_written_into_a_url() -> None:
    urls = [text for text in literals(COMPOSE) if "://" in text]
    written = [url for url in urls if re.search(r"://[^/:@]*:(?!\$\{)[^/@]*@", url)]
    assert written == []


@pytest.mark.parametrize("name", LASTING)
def test_every_lasting_service_has_a_health_check_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_worker_can_be_scaled() -> None:
    assert not {"ports", "container_name", "hostname"} & set(SERVICES["worker"])


def test_only_the_web_is_reachable_and_only_from_this_host() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"web": ["127.0.0.1:${PORT:-8000}:8000"]}


def test_nothing_starts_before_the_tables_are_there() -> None:
    names = ("web", "worker", "fetcher", "beat")
    waiting = [SERVICES[name]["depends_on"].get("prepare") for name in names]
    assert waiting == [{"condition": "service_completed_successfully"}] * 4


def test_containers_run_what_one_command_starts() -> None:
    started = {"worker": programs.bell_worker(), "fetcher": programs.fetcher(), "beat": programs.beat()}
    assert {name: SERVICES[name]["command"] for name in started} == {name: run[2:] for name, run in started.items()}


def test_every_queue_is_taken_from_and_downloads_by_the_fetcher_alone() -> None:
    taken = [program[program.index("-Q") + 1] for program in (programs.bell_worker(), programs.fetcher())]
    assert taken == ["dailies", "fetches"] == [queue.name for queue in settings.CELERY_TASK_QUEUES]
    routes = settings.CELERY_TASK_ROUTES
    slow = (tasks.fetch, tasks.deliver, tasks.empty_bin)  # each may wait for others' servers
    assert routes == {task.name: {"queue": "fetches"} for task in slow}


def test_the_worker_may_finish_a_paid_request_before_it_is_stopped() -> None:
    assert SERVICES["worker"]["stop_grace_period"] == "90s"
    assert veevid.DEADLINE + 5 <= supervisor.GRACE < 90


# -- the supervisor: how `make run` ends ------------------------------------------------------------------------------

SUPERVISED = """
import sys, time
from pathlib import Path
from veevid_site import supervisor
folder = Path(sys.argv[1])
supervisor.PATIENCE = 0.2
program = [sys.executable, "-u", "-c", sys.argv[2]]
try:
    with supervisor.Supervisor(folder, {}, folder, lambda line: print(line, flush=True)) as boss:
        boss.start(supervisor.Program("worker", program, 1, lambda: (folder / "up").exists()))
        boss.wait_until_ready(boss.running[0])
        print("ready", flush=True)
        boss.watch()
except supervisor.AskedToStop:
    print("stopped")
"""
IDLE = "open('up', 'w'); import time; time.sleep(60)"
ON_TERM = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: {}); open('up', 'w'); time.sleep(60)"
BUSY = ON_TERM.format("(time.sleep(1), open('paid', 'w'), exit())")
STUCK = ON_TERM.format("None")


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    running: list[Process] = []

    def start(code: str) -> Process:
        command = [sys.executable, "-c", SUPERVISED, str(tmp_path), code]
        running.append(Process("up", command, tmp_path, clean_environment()).start())
        return running[0].ready(lambda: "ready" in running[0].said())

    yield start
    for process in running:
        process.stop(signal.SIGKILL)


def ends(process: Process, seconds: float) -> float:
    began = time.monotonic()
    wait_for("the supervisor to end", process.ended, seconds)
    return time.monotonic() - began


def test_what_has_nothing_to_do_stops_at_once(supervised) -> None:
    up = supervised(IDLE)
    up.running.send_signal(signal.SIGINT)
    assert ends(up, 10) < 1.5
    assert "Waiting" not in up.said()


def test_what_is_in_the_middle_of_something_is_waited_for_and_named(supervised, tmp_path: Path) -> None:
    up = supervised(BUSY)
    up.running.send_signal(signal.SIGINT)
    ends(up, 10)
    assert (tmp_path / "paid").exists()
    assert "Waiting up to 85 s for worker to finish. Ctrl-C again ends it now." in up.said()
    assert up.said().rstrip().endswith("stopped")


def test_a_second_ctrl_c_waits_for_nothing(supervised) -> None:
    up = supervised(STUCK)
    up.running.send_signal(signal.SIGINT)
    wait_for("the supervisor to wait", lambda: "Waiting" in up.said())
    time.sleep(1)
    up.running.send_signal(signal.SIGINT)
    assert ends(up, 10) < 1.5
    assert up.running.returncode == 130


def test_redis_writes_to_disk() -> None:
    assert "--appendonly yes" in " ".join(SERVICES["redis"]["command"])


def test_clips_uploads_and_tables_survive_a_new_container() -> None:
    mounts = {name: service["volumes"] for name, service in SERVICES.items()}
    assert mounts["web"] == mounts["worker"] == ["data:/data"]
    assert mounts["postgres"] == ["postgres:/var/lib/postgresql/data"]


def test_the_example_environment_names_all_that_is_needed_and_gives_no_secret() -> None:
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    example = dict(lines)
    assert set(NEEDED) <= set(example)
    assert [name for name in NEEDED if example[name]] == []


def test_the_image_runs_as_nobody_special_and_installs_what_is_locked() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER dailies" in lines
    assert "RUN pip install --require-hashes -r requirements/runtime.txt" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_no_secret_is_baked_into_the_image() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"(SECRET|PASSWORD|API_KEY)\w*\s*=", text)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert not any(line.startswith("!.env") for line in ignored)


def test_everything_the_image_needs_is_copied_into_it() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"generations", "veevid_site", "simulator", "templates", "static", "manage.py", "gunicorn.conf.py"} <= kept
    assert all(os.path.exists(ROOT / name) for name in kept)
