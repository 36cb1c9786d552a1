"""A backup is put back under real processes: what was sent since is not sent again, and an admin releases the rest."""

import http.cookiejar
import shutil
import sqlite3
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests import jobs
from tests.pages import form_in
from tests.servers import manage
from tests.stack import Dailies, Simulator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]

CHIEF = """
import json
from tests.makers import make_person
print(json.dumps(make_person("chief@example.com", role="manager", is_staff=True, is_superuser=True).pk))
"""
CONFIRMED_BY_MARA = [("grok-imagine", "text-to-video", "waited in the backup")]


class Admin:
    """An admin's browser, without a screen."""

    def __init__(self, base: str) -> None:
        self.base = base
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.browser = urllib.request.build_opener(cookies)
        self.submit(
            "/accounts/login/", "/accounts/login/", login="chief@example.com", password="a long password of hers"
        )

    def read(self, path: str) -> str:
        with self.browser.open(self.base + path, timeout=20) as answer:
            return answer.read().decode()

    def submit(self, page: str, action: str, **more: str) -> str:
        """Opens a page and sends one of its forms."""
        fields = {name: values[-1] for name, values in form_in(self.read(page), action).items()}
        assert fields, f"no form to {action} on {page}"
        data = urllib.parse.urlencode(fields | more).encode()
        request = urllib.request.Request(self.base + action, data, headers={"Referer": self.base + page})
        with self.browser.open(request, timeout=20) as answer:
            return answer.read().decode()


def backup_sqlite(dailies: Dailies, target: Path) -> Callable[[], None]:
    file = dailies.folder / "dailies.sqlite3"
    with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(target / "backup.sqlite3")) as copy:
        live.backup(copy)

    def restore() -> None:
        for old in dailies.folder.glob("dailies.sqlite3*"):
            old.unlink()
        shutil.copy(target / "backup.sqlite3", file)

    return restore


def backup_postgres(dailies: Dailies, target: Path) -> Callable[[], None]:
    """With CREATE DATABASE … TEMPLATE: the private server has no pg_dump of its own."""
    url = urllib.parse.urlsplit(dailies.env["DATABASE_URL"])
    name, server = url.path.lstrip("/"), url._replace(path="/postgres").geturl()

    def copy(source: str, to: str) -> None:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {to} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {to} TEMPLATE {source}".encode())

    copy(name, f"{name}_backup")
    return lambda: copy(f"{name}_backup", name)


def prompts_paid(simulator: Simulator) -> list[str]:
    return sorted(row["prompt"] for row in simulator.generations())


@pytest.mark.parametrize(("database", "backup"), [("sqlite", backup_sqlite), ("postgres", backup_postgres)])
def test_a_clip_that_was_sent_after_the_backup_is_not_sent_again(
    make_stack, make_simulator, tmp_path, database, backup
):
    simulator = make_simulator("--speed", "100", "--balance", "100000")
    dailies = make_stack(simulator=simulator, database=database)
    jobs.add_people(dailies)
    dailies.python(CHIEF)
    jobs.confirm_all(dailies, CONFIRMED_BY_MARA)
    restore = backup(dailies, tmp_path)

    dailies.start_beat()
    dailies.start_worker(2)
    dailies.wait_for("it is kept", lambda: jobs.all_stored(dailies, 1), 60)
    jobs.confirm_all(dailies, jobs.clips(2, "confirmed after the backup"))
    dailies.wait_for("all are kept", lambda: jobs.all_stored(dailies, 3), 90)
    assert simulator.submissions() == 3
    spent = 100000 - simulator.balance()
    dailies.end()

    restore()
    assert jobs.state(dailies)["statuses"] == {"QUEUED": 1}
    dailies.processes.clear()
    dailies.start_beat()
    dailies.start_worker(2)
    dailies.start_worker(2)
    dailies.start_web()
    frozen = "SELECT count(*) FROM generations_freeze WHERE released_at IS NULL"
    dailies.wait_for("it is frozen", lambda: jobs.ask(dailies, frozen) == [(1,)])
    dailies.wait_for("the first clip is fetched, not made again", lambda: jobs.all_stored(dailies, 1), 60)
    jobs.confirm_all(dailies, jobs.clips(1, "confirmed while frozen"))

    admin = Admin(dailies.url)
    page = admin.read("/settings/safe-mode")
    for words in ("3 clips", "Take in all 2", "waited in the backup", "confirmed after the backup 1"):
        assert words in page
    admin.submit("/settings/safe-mode", "/settings/safe-mode/balances")
    assert "The log explains all of it" in admin.read("/settings/safe-mode")
    admin.submit("/settings/safe-mode", "/settings/safe-mode/take-in", nonce="")
    dailies.wait_for("what was taken in is fetched", lambda: jobs.all_stored(dailies, 3), 90)
    assert simulator.submissions() == 3
    assert jobs.state(dailies)["statuses"] == {"COMPLETED": 3, "QUEUED": 1}

    admin.submit("/settings/safe-mode", "/settings/safe-mode/release")
    dailies.wait_for("what waits is made", lambda: jobs.all_stored(dailies, 4), 90)
    state = jobs.state(dailies)
    print(f"\nrestored on {database}: {state}, submissions upstream: {simulator.submissions()}")
    assert simulator.submissions() == 4
    assert len(set(prompts_paid(simulator))) == 4
    assert state["spent"] == 100000 - simulator.balance() > spent
    assert state["held"] == 0


def test_a_new_database_beside_an_old_log_is_frozen_at_its_first_start(make_stack, make_simulator):
    dailies = make_stack(simulator=make_simulator("--speed", "100", "--balance", "100000"), database="sqlite")
    jobs.add_people(dailies)
    dailies.start_beat()
    dailies.start_worker(2)
    jobs.confirm_all(dailies, jobs.clips(1, "before"))
    dailies.wait_for("it is kept", lambda: jobs.all_stored(dailies, 1), 60)
    dailies.end()
    for old in dailies.folder.glob("dailies.sqlite3*"):
        old.unlink()
    said = manage(dailies.env, "prepare").stderr
    assert "Nothing is sent" in said
    assert jobs.ask(dailies, "SELECT count(*) FROM generations_freeze WHERE released_at IS NULL") == [(1,)]
