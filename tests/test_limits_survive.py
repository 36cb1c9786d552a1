"""The hour's limit outlives everything: the log of requests is in the database, and whoever starts again reads it."""

import time

import pytest

from tests import jobs
from tests.stack import Dailies

pytestmark = [pytest.mark.processes, pytest.mark.timeout(800)]

AN_HOUR = 200  # upstream's word
NEARLY = 185  # a few are kept for people's questions


def answered(dailies: Dailies) -> int:
    """Requests that the simulator counts."""
    return len(dailies.simulator.journal(account="demo"))


def kill_everything(dailies: Dailies) -> None:
    for process in dailies.processes:
        process.kill()


def sending_nothing(dailies: Dailies) -> bool:
    """A worker that is killed amid a paid request holds the account's lane for 80 s; no test waits for that here."""
    return not jobs.ask(dailies, "SELECT 1 FROM generations_generation WHERE status = 'SUBMITTING'")


def test_killing_and_restarting_everything_amid_the_hour_keeps_every_limit(make_stack, make_simulator, make_redis):
    simulator, redis = make_simulator("--speed", "100", "--balance", "1000000"), make_redis()
    dailies = make_stack(simulator=simulator, redis_url=redis.url)
    jobs.add_people(dailies)
    jobs.many_keys(dailies)  # so that the minute's 30 do not keep the hour from filling up
    jobs.confirm_all(dailies, jobs.clips(150, "[instant]"))
    for until in (60, 150):
        dailies.start()
        dailies.wait_for(f"{until} requests", lambda: answered(dailies) >= until, 240)  # noqa: B023
        dailies.wait_for("a moment between two submissions", lambda: sending_nothing(dailies), 30)
        kill_everything(dailies)
        redis.process.kill()
        redis.start()
    dailies.start()
    dailies.wait_for("the hour to be full", lambda: answered(dailies) >= NEARLY, 240)
    time.sleep(10)  # ten ticks that find a long line and no request left
    journal, state = simulator.journal(account="demo"), jobs.state(dailies)
    print(f"\n2 kills of everything: {len(journal)} requests, {simulator.violations()}, {state}")
    assert len(journal) <= AN_HOUR
    assert journal[-1]["at"] - journal[0]["at"] < 3600
    assert [row for row in journal if row["status"] == 429] == []
    assert simulator.violations()["total"] == 0
    assert simulator.violations()["exceeded"] == []
    assert state["statuses"]["QUEUED"] > 20
    assert simulator.submissions() == state["submissions"]
