"""Every kind of trouble that can be ordered, as a client sees it."""

import time
from typing import Any

import pytest
import requests

from tests.simulator.process import Simulator


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500, 503])
def test_any_error_can_be_ordered_for_the_next_calls(simulator: Simulator, status: int) -> None:
    simulator.fault("quote", "error", status=status, message="Ordered", times=2)
    answers = [simulator.quote() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json()["error"] == "Ordered"
    assert ("required" in answers[0].json()) == (status == 402)


def test_a_429_comes_with_or_without_retry_after(simulator: Simulator) -> None:
    simulator.fault("status", "error", status=429, retry_after=7)
    simulator.fault("status", "error", status=429)
    first, second = (simulator.api("GET", "/video-generation/vg_x/status") for _ in range(2))
    assert first.headers["Retry-After"] == "7"
    assert "Retry-After" not in second.headers


@pytest.mark.parametrize("kind", ["close", "reset"])
@pytest.mark.parametrize(("when", "charged"), [("before", 0), ("after", 20)])
def test_an_answer_can_be_lost_before_or_after_acceptance(
    simulator: Simulator, kind: str, when: str, charged: int
) -> None:
    simulator.fault("generate", kind, when=when)
    with pytest.raises(requests.ConnectionError) as lost:
        simulator.generate()
    assert ("reset" in str(lost.value).lower()) == (kind == "reset")
    assert simulator.balance() == 5000 - charged
    entry = simulator.control("journal?endpoint=generate")[0]
    assert (entry["fault"], entry["status"], entry["credits"]) == (f"{kind}:{when}", None, -charged)
    assert entry["prompt"] == "a lighthouse at night"
    assert bool(entry["generation_id"]) == bool(charged)


@pytest.mark.parametrize(("when", "charged"), [("before", 0), ("after", 20)])
def test_a_call_can_hang(simulator: Simulator, when: str, charged: int) -> None:
    simulator.fault("generate", "hang", seconds=1, when=when)
    with pytest.raises(requests.ReadTimeout):
        simulator.api("POST", "/generate-video", body(), timeout=0.3)
    assert simulator.balance() == 5000 - charged


def test_a_call_can_be_accepted_after_the_client_gave_up(simulator: Simulator) -> None:
    simulator.fault("generate", "late", seconds=0.5)
    with pytest.raises(requests.ReadTimeout):
        simulator.api("POST", "/generate-video", body(), timeout=0.2)
    assert simulator.balance() == 5000
    time.sleep(0.6)
    assert simulator.balance() == 4980


def test_an_answer_can_drip_byte_by_byte(simulator: Simulator) -> None:
    simulator.fault("credits", "drip", seconds=0.01)
    began = time.monotonic()
    assert simulator.balance() == 5000
    assert time.monotonic() - began > 0.4


@pytest.mark.parametrize(
    ("kind", "options", "status"),
    [
        ("html", {}, 200),
        ("html", {"status": 502}, 502),
        ("broken_json", {}, 200),
        ("empty", {}, 200),
        ("redirect", {}, 307),
        ("error", {"status": 500}, 500),
        ("huge", {"bytes": 2_000_000}, 200),
    ],
)
@pytest.mark.parametrize(("when", "charged"), [("before", 0), ("after", 20)])
def test_an_unreadable_answer_can_hide_an_acceptance_or_not(
    simulator: Simulator, kind: str, options: dict[str, Any], status: int, when: str, charged: int
) -> None:
    simulator.fault("generate", kind, when=when, **options)
    answer = simulator.generate()
    assert answer.status_code == status
    assert "vg_" not in answer.text or kind == "broken_json"
    assert simulator.balance() == 5000 - charged


def test_a_redirect_that_is_followed_would_submit_again(simulator: Simulator) -> None:
    simulator.fault("generate", "redirect", when="after")
    headers = {"Authorization": "Bearer vv_sk_demo_simulator_key"}
    requests.post(f"{simulator.base}/api/generate-video", json=body(), headers=headers, timeout=5)
    assert simulator.submissions() == 2
    assert simulator.balance() == 4960


def test_true_answers_can_come_in_unusual_forms(simulator: Simulator) -> None:
    identifier = simulator.generate().json()["generation_id"]
    simulator.ended(identifier)
    simulator.fault("status", "short")
    assert set(simulator.status(identifier)) == {"status", "video_url"}
    simulator.fault("status", "strings")
    assert simulator.status(identifier)["credits_used"] == "20"
    simulator.fault("status", "word", word="post_processing")
    simulator.fault("status", "extra")
    both = simulator.status(identifier)
    assert both["status"] == "post_processing"
    assert "beta_score" in both
    simulator.fault("status", "patch", fields={"credits_used": 33})
    assert simulator.status(identifier)["credits_used"] == 33
    simulator.fault("generate", "drop", fields=["generation_id"])
    assert "generation_id" not in simulator.generate().json()


def test_the_short_form_of_a_running_job_is_its_status_alone(simulator: Simulator) -> None:
    simulator.fault("generate", "never")
    simulator.fault("status", "short", times=None)
    identifier = simulator.generate().json()["generation_id"]
    assert simulator.status(identifier) == {"status": "processing"}


def test_the_next_job_can_fail_with_given_words_and_a_refund(simulator: Simulator) -> None:
    simulator.fault("generate", "fail", message="Content policy")
    identifier = simulator.generate().json()["generation_id"]
    assert simulator.ended(identifier)["error_message"] == "Content policy"
    assert simulator.balance() == 5000
    assert simulator.ended(simulator.generate().json()["generation_id"])["status"] == "completed"


def test_a_refused_submission_leaves_the_ordered_failure_waiting(simulator: Simulator) -> None:
    simulator.fault("generate", "fail")
    assert simulator.generate(duration="8").status_code == 400
    assert simulator.ended(simulator.generate().json()["generation_id"])["status"] == "failed"


def test_a_job_can_complete_in_the_first_answer(simulator: Simulator) -> None:
    simulator.fault("generate", "instant")
    answer = simulator.generate().json()
    assert answer["status"] == "completed"
    assert requests.get(answer["video_url"], timeout=10).status_code == 200


def test_a_job_can_take_a_given_time(simulator: Simulator) -> None:
    simulator.fault("generate", "duration", seconds=0.5)
    identifier = simulator.generate().json()["generation_id"]
    time.sleep(0.25)
    assert simulator.status(identifier)["status"] == "processing"
    assert simulator.ended(identifier)["status"] == "completed"


def test_a_share_of_generations_can_fail(simulator: Simulator) -> None:
    simulator.control("settings", {"fail_rate": 1})
    assert simulator.ended(simulator.generate().json()["generation_id"])["status"] == "failed"


def test_balance_and_price_can_change_from_outside(simulator: Simulator) -> None:
    simulator.control("account", {"add": 100})
    simulator.control("account", {"spend": 30})
    simulator.control("settings", {"price_factor": 1.5})
    assert simulator.quote().json() == {"required_credits": 30, "current_balance": 5070, "sufficient": True}
    simulator.control("settings", {"price_factor": 1})


def test_a_link_expires_and_a_new_status_gives_a_fresh_one(simulator: Simulator) -> None:
    identifier = simulator.generate().json()["generation_id"]
    simulator.ended(identifier)
    simulator.control("settings", {"link_seconds": -1})
    assert requests.get(simulator.status(identifier)["video_url"], timeout=5).status_code == 410
    simulator.control("settings", {"link_seconds": 3600})
    link = simulator.status(identifier)["video_url"]
    assert requests.get(link, timeout=5).status_code == 200
    assert requests.get(link[:-4], timeout=5).status_code == 403


def test_a_download_can_be_cut_wrong_or_expired(simulator: Simulator) -> None:
    link = simulator.ended(simulator.generate().json()["generation_id"])["video_url"]
    simulator.fault("video", "truncated", keep=0.5)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(link, timeout=5)
    simulator.fault("video", "text")
    wrong = requests.get(link, timeout=5)
    assert wrong.headers["Content-Type"] == "video/mp4"
    assert wrong.text.startswith("this is not a video")
    simulator.fault("video", "html")
    assert requests.get(link, timeout=5).text.startswith("<!doctype html>")
    simulator.fault("video", "expired")
    assert requests.get(link, timeout=5).status_code == 410
    assert requests.get(link, timeout=5).content[4:8] == b"ftyp"


def test_a_fault_can_wait_for_one_key(simulator: Simulator) -> None:
    simulator.control("key", {"key": "vv_sk_second"})
    simulator.fault("credits", "error", status=401, key="vv_sk_second", times=None)
    assert simulator.api("GET", "/credits").status_code == 200
    assert simulator.api("GET", "/credits", key="vv_sk_second").status_code == 401


@pytest.mark.parametrize(
    "fault",
    [{"kind": "gremlin"}, {"kind": "error"}, {"kind": "close", "wen": "after"}, {"kind": "close", "times": 0}],
    ids=repr,
)
def test_a_misspelt_fault_is_refused(simulator: Simulator, fault: dict[str, Any]) -> None:
    with pytest.raises(requests.HTTPError):
        simulator.control("faults", {"endpoint": "quote", **fault})


def body() -> dict[str, Any]:
    return {"mode": "veo3", "generation_type": "text-to-video", "prompt": "a lighthouse at night"}
