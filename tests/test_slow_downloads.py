"""A download that takes its time delays no submission: real workers, and a simulator whose file server hangs."""

import pytest

from tests import jobs

pytestmark = [pytest.mark.processes, pytest.mark.timeout(200)]


def test_while_every_download_hangs_clips_are_sent_and_completed(make_stack, make_simulator):
    simulator = make_simulator("--speed", "100", "--balance", "100000")
    simulator.fault("video", "hang", seconds=120, times=None)
    dailies = make_stack(simulator=simulator)
    jobs.add_people(dailies)
    dailies.start_beat()
    dailies.start_worker(1, queues="dailies")
    dailies.start_fetcher(1)
    jobs.confirm_all(dailies, jobs.clips(1, "hanging"))
    dailies.wait_for("a download hangs", lambda: simulator.journal(endpoint="video"), 60)
    jobs.confirm_all(dailies, jobs.clips(3, "afterwards"))
    dailies.wait_for("the others are completed", lambda: jobs.state(dailies)["statuses"] == {"COMPLETED": 4}, 60)
    assert jobs.state(dailies)["clips"] == {"PENDING": 4}
    assert len(simulator.journal(endpoint="video")) == 1  # the fetcher is still at the first one


def test_the_fetcher_keeps_several_clips_at_once(make_stack, make_simulator):
    simulator = make_simulator("--speed", "100", "--balance", "100000")
    dailies = make_stack(simulator=simulator)
    jobs.add_people(dailies)
    dailies.start_beat()
    dailies.start_worker(2, queues="dailies")
    dailies.start_fetcher(2)
    jobs.confirm_all(dailies, jobs.clips(4, "clip"))
    dailies.wait_for("all clips are kept", lambda: jobs.all_stored(dailies, 4), 90)
