"""From a confirmation to a stored clip, through real processes and a simulator that speaks the contract strictly."""

import pytest

from generations import catalogue
from tests import jobs
from tests.stack import Dailies

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

EVERYTHING = [
    (model.mode, kind, f"{model.name} from {kind}") for model in catalogue.MODELS.values() for kind in model.types
]


def finish(dailies: Dailies, wanted: list[tuple[str, str, str]], seconds: float) -> dict:
    """Runs the job for all that is wanted, and checks what must be true of every run."""
    before = dailies.simulator.balance()
    jobs.confirm_all(dailies, wanted)
    dailies.wait_for("every clip is stored", lambda: jobs.all_stored(dailies, len(wanted)), seconds)
    state = jobs.state(dailies)
    print(f"\n{len(wanted)} generations: {state}; violations: {dailies.simulator.violations()}")
    assert state["statuses"] == {"COMPLETED": len(wanted)}
    assert dailies.simulator.submissions() == state["submissions"] == len(wanted)
    assert state["held"] == 0
    assert state["spent"] == before - dailies.simulator.balance()
    assert not [call for call in dailies.simulator.journal() if call["status"] == 429]
    return state


def test_every_model_and_type_comes_to_a_stored_clip(make_stack, make_simulator):
    simulator = make_simulator("--speed", "100", "--balance", "100000")
    dailies = make_stack(simulator=simulator, database="sqlite")
    jobs.add_people(dailies)
    jobs.many_keys(dailies)
    dailies.start_beat()
    dailies.start_worker(2)
    finish(dailies, EVERYTHING, 240)


def test_postgresql_redis_and_two_workers_share_the_work(make_stack, make_simulator):
    dailies = make_stack(simulator=make_simulator("--speed", "100", "--balance", "100000"))
    jobs.add_people(dailies)
    dailies.start_beat()
    dailies.start_worker(1)
    dailies.start_worker(1)
    wanted = [("grok-imagine", "text-to-video", f"clip {number}") for number in range(8)]
    finish(dailies, wanted, 120)
    done = jobs.tasks_done(dailies)
    print(f"tasks carried out: {done}")
    assert sorted(done) == ["worker1@tests", "worker2@tests"]
    assert min(done.values()) > 0
