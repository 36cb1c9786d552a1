"""Real servers and real processes of Dailies for the tests: private, on this machine only, each ended by its own id."""

import ctypes
import itertools
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import psycopg

from scripts.test_tools import find_postgres, find_redis

ROOT = Path(__file__).resolve().parent.parent
# What Dailies reads from its environment. Tests never inherit any of it.
VARIABLES = (
    "SECRET_KEY DEBUG ALLOWED_HOSTS CSRF_TRUSTED_ORIGINS DATABASE_URL REDIS_URL VEEVID_API_URL VEEVID_API_KEY "
    "VEEVID_MEDIA_HOSTS DATA_DIR PORT SECRETS_KEYS SIMULATOR_URL DJANGO_SETTINGS_MODULE EMAIL_URL EMAIL_FROM "
    "OIDC_ISSUER OIDC_CLIENT_ID OIDC_CLIENT_SECRET OIDC_GROUPS OIDC_NAME "
    "S3_BUCKET S3_ENDPOINT_URL S3_REGION S3_DIRECT_DOWNLOADS "
    "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_REGION AWS_ENDPOINT_URL "
    "WEBHOOK_HOSTS SITE_URL"
).split()
API_KEY = "vv_sk_test_key_of_the_stack"


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that would configure Dailies, and then `more`."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def free_port() -> int:
    """Below the range that outgoing connections take ports from, and even: the one after it is nobody's either."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000, 2)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def wait_for(what: str, happened: Callable[[], Any], seconds: float = 20, every: float = 0.05) -> Any:
    """The first true answer of `happened`; fails the test with the sentence `what` when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)
    return answer


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(url: str, timeout: float = 5) -> tuple[int, str]:
    """A plain GET: status and text. A connection that fails gives status 0."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError:
        return 0, ""


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a killed test run leaves nothing behind


class Process:
    """One child process in a session of its own, with everything it says in a file."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, env: Mapping[str, str], user: str | None = None
    ) -> None:
        self.name, self.command, self.folder = name, [str(part) for part in command], folder
        self.env, self.user = dict(env), user
        self.log = folder / f"{name}.log"
        self.running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.running, f"{self.name} is not running"
        return self.running.pid

    def start(self) -> "Process":
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command,
                cwd="/" if self.user else ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
                user=self.user,
            )
        return self

    def ready(self, answers: Callable[[], Any], seconds: float = 30) -> "Process":
        wait_for(f"{self.name} to start", lambda: self.ended() or answers(), seconds)
        assert not self.ended(), f"{self.name} ended at its start:\n{self.said()}"
        return self

    def ended(self) -> bool:
        return self.running is None or self.running.poll() is not None

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """kill -9 of the whole family at once, as when a machine loses power."""
        if self.running:
            _signal_group(self.running.pid, signal.SIGKILL)
            self.running.wait()

    def stop(self, how: int = signal.SIGTERM, seconds: float = 10) -> None:
        if not self.ended() and self.running:
            self.running.send_signal(how)
            try:
                self.running.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        self.kill()


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


class Postgres:
    """A private PostgreSQL server. Everything in it is thrown away with it."""

    def __init__(self) -> None:
        programs = find_postgres()
        assert programs, "no PostgreSQL server programs: see scripts/test_tools.py"
        self.user = _unprivileged() if os.geteuid() == 0 else None  # initdb refuses root
        self.home = Path(tempfile.mkdtemp(prefix="dailies-pg-"))
        if self.user:
            shutil.chown(self.home, self.user)
        self.port, self.programs = free_port(), programs
        self.numbers = itertools.count(1)
        options = [f"-D{self.home}/data", f"-p{self.port}", f"-k{self.home}", "-h127.0.0.1"]
        options += ["-cfsync=off", "-cfull_page_writes=off", "-cmax_connections=120", "-cshared_buffers=64MB"]
        self.process = Process("postgres", [programs / "postgres", *options], self.home, _plain(), self.user)
        self.template = ""

    def start(self) -> "Postgres":
        if not (self.home / "data").exists():
            shape = ["-Udailies", "-Atrust", "-EUTF8", "--locale=C", "--no-sync"]
            make: list[str | Path] = [self.programs / "initdb", f"-D{self.home}/data", *shape]
            subprocess.run(make, check=True, capture_output=True, cwd="/", user=self.user, env=_plain())
        self.process.start().ready(lambda: "ready to accept connections" in self.process.said() and listens(self.port))
        return self

    def url(self, database: str = "postgres") -> str:
        return f"postgres://dailies@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What one statement answers: fields separated by |, rows by line ends."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            answer = connection.execute(statement)
            rows = answer.fetchall() if answer.description else []
        return "\n".join("|".join("" if field is None else str(field) for field in row) for row in rows)

    def new_database(self) -> str:
        """The URL of a new database with the tables of Dailies (migrated once, then copied)."""
        if not self.template:
            self.sql("CREATE DATABASE migrated")
            with tempfile.TemporaryDirectory() as folder:
                env = clean_environment(DATABASE_URL=self.url("migrated"), DATA_DIR=folder)
                for step in (["migrate", "-v0"], ["createcachetable"]):
                    manage(env, *step, seconds=240)
            self.template = "migrated"
        name = f"dailies_{next(self.numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        return self.url(name)

    def end(self) -> None:
        self.process.stop(signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _plain() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


class Redis:
    """A private Redis server that writes each command to disk, as production does."""

    def __init__(self, folder: Path) -> None:
        program = find_redis()
        assert program, "no Redis server program: see scripts/test_tools.py"
        self.port, self.folder = free_port(), folder
        self.numbers = itertools.cycle(range(1, 16))
        command: list[str | Path] = [
            program,
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            folder,
            "--save",
            "",
        ]
        command += ["--appendonly", "yes", "--appendfsync", "everysec"]
        self.process = Process("redis", command, folder, _plain())

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def new_url(self) -> str:
        """The URL of an empty database of this server."""
        number = next(self.numbers)
        self.command("SELECT", str(number), then="FLUSHDB")
        return f"redis://127.0.0.1:{self.port}/{number}"

    def command(self, *words: str, then: str = "") -> str:
        """Says one or two commands; returns the raw answer."""
        line = " ".join(words) + "\r\n" + (then + "\r\n" if then else "")
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(line.encode())
            return connection.recv(65536).decode()

    def start(self) -> "Redis":
        self.process.start().ready(lambda: listens(self.port) and "PONG" in self.command("PING"))
        return self

    def end(self) -> None:
        self.process.stop()


class S3:
    """A server that speaks S3 (moto's), with whatever is put into it in memory."""

    SECRETS = {"AWS_ACCESS_KEY_ID": "key-of-the-tests", "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests"}

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = Process("s3", command, folder, clean_environment(**self.SECRETS))
        self.numbers = itertools.count(1)

    def start(self) -> "S3":
        self.process.start().ready(lambda: listens(self.port))
        return self

    def client(self) -> Any:
        keys = {name.lower(): value for name, value in self.SECRETS.items()}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    def new_bucket(self) -> dict[str, str]:
        """The environment of a Dailies whose files are in a new bucket of this server."""
        name = f"clips-{next(self.numbers)}"
        self.client().create_bucket(Bucket=name)
        return {"S3_BUCKET": name, "S3_ENDPOINT_URL": self.url, "S3_REGION": "us-east-1", **self.SECRETS}

    def end(self) -> None:
        self.process.stop()


def manage(
    env: Mapping[str, str], *arguments: str, seconds: float = 180, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs manage.py in another process; its output is in the answer."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 or not check, f"manage.py {arguments[0]}:\n{done.stdout}\n{done.stderr}"
    return done


def last_json(text: str) -> Any:
    """The last line of an output, as JSON."""
    return json.loads(text.strip().splitlines()[-1])
