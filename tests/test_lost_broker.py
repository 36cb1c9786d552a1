"""The broker may be lost for a minute: no generation is lost, nothing is paid twice. The simulator's journal judges."""

import time

import pytest

from tests import jobs

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

DOWN_FOR = 60  # seconds that the broker is away


def test_a_broker_that_is_away_for_a_minute_loses_nothing_and_sends_nothing_twice(
    make_stack, make_simulator, make_redis
):
    redis = make_redis()
    simulator = make_simulator("--speed", "10", "--balance", "100000")
    dailies = make_stack(simulator=simulator, database="sqlite", redis_url=redis.url)
    jobs.add_people(dailies)
    dailies.start_beat()
    dailies.start_worker(2)
    before = simulator.balance()
    jobs.confirm_all(dailies, jobs.clips(4, "before the loss"))
    dailies.wait_for("the first is sent", lambda: simulator.submissions() >= 1)
    redis.process.kill()
    jobs.confirm_all(dailies, jobs.clips(2, "while it is away"))
    time.sleep(DOWN_FOR)
    redis.start()
    dailies.wait_for("every clip is stored", lambda: jobs.all_stored(dailies, 6), 120)
    state = jobs.state(dailies)
    print(f"\nbroker away {DOWN_FOR} s: {state}, submissions at the simulator: {simulator.submissions()}")
    assert simulator.submissions() == 6
    assert (state["statuses"], state["held"]) == ({"COMPLETED": 6}, 0)
    assert state["spent"] == before - simulator.balance()
