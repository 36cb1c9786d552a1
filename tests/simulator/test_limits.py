"""The rolling limits, the slots, and what a restart remembers."""

import signal
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.simulator.process import Launch, Simulator


def test_a_key_that_asks_too_often_gets_429_with_whole_seconds_to_wait(simulator: Simulator) -> None:
    simulator.control("settings", {"minute_limit": 3})
    assert [simulator.quote().status_code for _ in range(4)] == [200, 200, 200, 429]
    assert 55 <= int(simulator.quote().headers["Retry-After"]) <= 60


def test_the_minute_is_per_key_and_the_hour_per_account(simulator: Simulator) -> None:
    simulator.control("key", {"key": "vv_sk_second"})
    simulator.control("settings", {"minute_limit": 2, "hour_limit": 3})
    codes = [simulator.api("GET", "/credits").status_code for _ in range(3)]
    others = [simulator.api("GET", "/credits", key="vv_sk_second") for _ in range(2)]
    assert codes == [200, 200, 429]
    assert [answer.status_code for answer in others] == [200, 429]
    assert int(others[1].headers["Retry-After"]) > 3000


def test_refused_parameters_count_as_requests_too(simulator: Simulator) -> None:
    simulator.control("settings", {"minute_limit": 2})
    assert [simulator.quote(duration="8").status_code for _ in range(3)] == [400, 400, 429]


def test_a_fourth_generation_at_once_is_429_until_a_slot_is_free(simulator: Simulator) -> None:
    simulator.control("settings", {"concurrent": 3})
    simulator.fault("generate", "never", times=3)
    running = [simulator.generate().json()["generation_id"] for _ in range(3)]
    refused = simulator.generate()
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    simulator.control(f"generations/{running[0]}", {"action": "fail", "message": "Stopped"})
    assert simulator.generate().status_code == 200


def test_what_clients_tried_beyond_the_limits_is_counted(simulator: Simulator) -> None:
    assert simulator.control("violations")["total"] == 0
    simulator.control("settings", {"minute_limit": 2})
    for _ in range(4):
        simulator.quote()
    counted = simulator.control("violations")
    assert counted["refused"] == {"minute": 2, "hour": 0, "concurrent": 0}
    assert counted["busiest"]["minute"] == 4
    assert counted["exceeded"] == ["minute"]


def test_fifty_requests_at_once_are_all_answered(simulator: Simulator) -> None:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: simulator.quote().status_code, range(100)))
    assert answers == [200] * 100


def test_concurrent_submissions_never_pass_slots_or_balance(simulator: Simulator) -> None:
    simulator.control("settings", {"concurrent": 3})
    simulator.fault("generate", "never", times=None)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: simulator.generate().status_code, range(20)))
    assert answers.count(200) == 3
    assert answers.count(429) == 17
    assert simulator.balance() == 5000 - 3 * 20


def test_a_killed_simulator_remembers_everything(launch: Launch) -> None:
    simulator = launch("--speed", "400", "--minute-limit", "20", "--clips", "quick")
    identifier = simulator.generate().json()["generation_id"]
    simulator.fault("quote", "error", status=503)
    simulator.stop(signal.SIGKILL)
    simulator.start()
    assert simulator.quote().status_code == 503
    assert simulator.balance() == 4980
    done = simulator.ended(identifier, every=0.5)
    assert done["status"] == "completed"
    assert requests.get(done["video_url"], timeout=10).status_code == 200
    journal = simulator.control("journal")
    assert [entry["endpoint"] for entry in journal[:3]] == ["generate", "quote", "credits"]
    while simulator.quote().status_code == 200:
        continue
    assert sum(entry["counted"] for entry in simulator.control("journal")) == 20


def test_it_stops_cleanly_when_told_to(launch: Launch) -> None:
    simulator = launch("--clips", "quick")
    assert simulator.line.startswith("simulator ready on http://127.0.0.1:")
    assert simulator.stop(signal.SIGTERM) == 0
    simulator.start()
    assert simulator.stop(signal.SIGINT) == 0
