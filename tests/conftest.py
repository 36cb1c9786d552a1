"""Fixtures for every test. First of all it gives this run a private DATA_DIR, before Django reads its settings."""

import atexit
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
import responses
from django.conf import settings
from django.core.cache import caches
from playwright.sync_api import Browser, sync_playwright

from scripts.test_tools import find_chromium, find_postgres, find_redis
from tests.servers import S3, VARIABLES, Postgres, Redis
from tests.stack import Dailies, Simulator

if "veevid_site.settings" in sys.modules:
    raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: the tests load the settings with a DATA_DIR of their own")
for variable in VARIABLES:
    os.environ.pop(variable, None)
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="dailies-test-")
atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
os.environ["DJANGO_SETTINGS_MODULE"] = "veevid_site.settings"
settings.DATABASES["default"]["TEST"] = {"NAME": str(settings.DATA_DIR / "test.sqlite3")}  # a file: threads share it
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
settings.CELERY_BROKER_URL = "memory://"
settings.STATIC_ROOT.mkdir()  # whitenoise warns about a folder that is not there
django.setup()

IN_CI = os.environ.get("CI") == "true"


def pytest_configure() -> None:
    # The processes of xdist and those that tests start choose their own settings.
    for variable in ("DJANGO_SETTINGS_MODULE", "DATA_DIR"):
        os.environ.pop(variable, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start real processes come first: they take longest, and must not be what one worker ends with."""
    slow = {item.path for item in items if item.get_closest_marker("processes")}
    items.sort(key=lambda item: item.path not in slow)


# -- in CI, a test that was skipped has not passed ------------------------------------------------------------------
def _skipped(config: pytest.Config) -> list[Any]:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    return terminal.stats.get("skipped", []) if IN_CI and terminal and not hasattr(config, "workerinput") else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for report in _skipped(config):
        terminalreporter.write_line(f"SKIPPED IN CI, which counts as failed: {report.nodeid}")


# -- only this machine ------------------------------------------------------------------------------------------------
class OutsideConnection(RuntimeError):
    """A test tried to reach another machine."""


def _is_here(host: object) -> bool:
    name = _name(host)
    return name in ("", "localhost", "::1", "0.0.0.0", "::") or name.startswith("127.")


def _is_address(host: object) -> bool:
    try:
        return bool(ipaddress.ip_address(_name(host)))
    except ValueError:
        return False


def _name(host: object) -> str:
    return (host.decode() if isinstance(host, bytes) else str(host or "")).strip("[]")


@pytest.fixture(autouse=True, scope="session")
def only_this_machine() -> Iterator[None]:
    """Connections elsewhere raise; other machines' names do not resolve."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family != socket.AF_UNIX and not _is_here(address[0]):
            raise OutsideConnection(f"a test may not connect to {address[0]}")

    def guarded_connect(sock: socket.socket, address: Any) -> None:
        check(sock, address)
        connect(sock, address)

    def guarded_connect_ex(sock: socket.socket, address: Any) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_here(host) and not _is_address(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known (the tests use this machine only)")
        return getaddrinfo(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def nothing_drawn_by_another_test() -> None:
    caches["near"].clear()


@pytest.fixture(autouse=True)
def no_log_of_another_test() -> None:
    """Each test begins with an empty database, so with an empty log of what was sent, too: else it is frozen."""
    shutil.rmtree(Path(settings.DATA_DIR) / "sent", ignore_errors=True)


@pytest.fixture
def wire() -> Iterator[None]:
    """Nothing leaves: every request to the vendor is answered by `responses`, which also counts them."""
    with responses.mock:
        yield
    responses.reset()


# -- servers ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A private PostgreSQL. `.new_database()` gives the URL of a fresh, migrated database; `.sql(text)` asks it."""
    if not find_postgres():
        pytest.skip("no PostgreSQL server programs")
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A private Redis. `.new_url()` gives an empty database of it. A test that kills Redis takes `make_redis`."""
    if not find_redis():
        pytest.skip("no Redis server program")
    server = Redis(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A private server that speaks S3. `.new_bucket()` gives the environment that leads to an empty bucket of it."""
    server = S3(tmp_path_factory.mktemp("s3"))
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture
def make_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Redis]]:
    """Starts a Redis of the test's own."""
    servers: list[Redis] = []

    def make() -> Redis:
        servers.append(Redis(tmp_path_factory.mktemp("redis")).start())
        return servers[-1]

    yield make
    for server in servers:
        server.end()


@pytest.fixture(scope="module")
def make_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Simulator]]:
    """Starts a simulator: make_simulator("--speed", "1000", …)."""
    running: list[Simulator] = []

    def make(*options: str, **more: str) -> Simulator:
        running.append(Simulator(tmp_path_factory.mktemp("simulator"), *options, **more).start())
        return running[-1]

    yield make
    for simulator in running:
        simulator.end()


@pytest.fixture(scope="module")
def make_stack(
    make_simulator: Callable[..., Simulator], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Dailies]]:
    """Prepares an instance, with nothing of it running yet: make_stack(simulator=…, database="sqlite", NAME="value").

    On PostgreSQL and Redis unless `database="sqlite"` or a `redis_url` says otherwise. Then `.start()` starts beat, a
    worker and the web; `.start_web()`, `.start_worker(concurrency)`, `.start_beat()` start one each.
    """
    made: list[Dailies] = []

    def make(
        simulator: Simulator | None = None, database: str = "postgres", redis_url: str = "", **env: str
    ) -> Dailies:
        simulator = simulator or make_simulator("--speed", "100")
        url = request.getfixturevalue("postgres_server").new_database() if database == "postgres" else ""
        broker = redis_url or request.getfixturevalue("redis_server").new_url()
        dailies = Dailies(tmp_path_factory.mktemp("dailies"), url, broker, simulator, **env)
        made.append(dailies)
        return dailies.prepare()

    yield make
    for dailies in made:
        dailies.end()


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Dailies]) -> Dailies:
    """Dailies as production runs it (PostgreSQL, Redis, simulator, beat, a worker, web), one for the whole module."""
    return make_stack().start()


# -- the browser ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")  # not longer: while Playwright's loop runs, Django takes the thread for an async one
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium. Take a context from it: `browser.new_context()`."""
    program = find_chromium()
    if not program:
        pytest.skip("no Chromium")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    quiet += ["--disable-quic", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=quiet, chromium_sandbox=os.geteuid() != 0, env={**os.environ, "HOME": _home()}
        )
        yield chromium
        chromium.close()


def _home() -> str:
    """Chromium keeps crash files and caches under HOME; the run's own folder goes away with it."""
    home = Path(settings.DATA_DIR) / "home"
    home.mkdir(exist_ok=True)
    return str(home)
