"""The happy path and everything the vendor refuses."""

from itertools import product
from typing import Any

import pytest
import requests

from simulator import contract, prices, rows
from tests.simulator.process import Simulator

T2V, I2V, R2V, V2V = "text-to-video", "image-to-video", "reference-to-video", "video-to-video"
URL = "https://example.org/a.jpg"


def test_a_generation_is_quoted_accepted_charged_and_completed(simulator: Simulator) -> None:
    quote = simulator.quote(video_quality="pro").json()
    assert quote == {"required_credits": 140, "current_balance": 5000, "sufficient": True}
    accepted = simulator.generate(video_quality="pro")
    assert accepted.status_code == 200
    identifier = accepted.json()["generation_id"]
    assert accepted.json() == {"generation_id": identifier, "status": "processing", "video_url": None}
    assert identifier.startswith("vg_")
    assert simulator.balance() == 4860
    done = simulator.ended(identifier)
    assert requests.get(done["video_url"], timeout=10).headers["Content-Type"] == "video/mp4"
    assert simulator.balance() == 4860


def test_the_status_answer_has_exactly_the_fields_of_its_state(simulator: Simulator) -> None:
    simulator.fault("generate", "never")
    waiting = simulator.status(simulator.generate().json()["generation_id"])
    assert waiting["credits_used"] == 20
    assert waiting["video_url"] is None
    assert set(waiting) == {"id", "status", "video_url", "error_message", "credits_used", "created_at"}
    done = simulator.ended(simulator.generate().json()["generation_id"])
    assert set(done) == set(waiting) | {"completed_at", "provider_task_id", "video_quality", "video_metadata"}
    assert set(done["video_metadata"]) == {"content_type", "file_name", "file_size"}
    assert done["created_at"].endswith("Z")
    assert len(done["created_at"]) == len("2026-03-01T10:00:00.000Z")
    failed = simulator.ended(simulator.generate(prompt="[fail] please").json()["generation_id"])
    assert set(failed) == set(waiting) | {"completed_at"}
    assert failed["error_message"]
    assert failed["credits_used"] == 0
    assert failed["video_url"] is None


def test_credits_are_told_twice(simulator: Simulator) -> None:
    assert simulator.api("GET", "/credits").json() == {"success": True, "credits": 5000, "balance": 5000}


def test_a_failed_generation_gives_its_credits_back_in_full(simulator: Simulator) -> None:
    identifier = simulator.generate(prompt="[fail]", video_quality="pro").json()["generation_id"]
    assert simulator.ended(identifier)["status"] == "failed"
    assert simulator.balance() == 5000


@pytest.mark.parametrize("key", [None, "vv_sk_unknown", ""])
def test_no_key_or_an_unknown_one_is_401(simulator: Simulator, key: str | None) -> None:
    assert simulator.api("GET", "/credits", key=key).status_code == 401


def test_a_disabled_key_is_401_while_its_sister_works(simulator: Simulator) -> None:
    simulator.control("key", {"key": "vv_sk_second"})
    simulator.control("key", {"key": "vv_sk_second", "active": False})
    assert simulator.api("GET", "/credits", key="vv_sk_second").status_code == 401
    assert simulator.api("GET", "/credits").status_code == 200


def test_an_account_has_at_most_five_active_keys(simulator: Simulator) -> None:
    for number in range(4):
        simulator.control("key", {"key": f"vv_sk_{number}"})
    with pytest.raises(requests.HTTPError):
        simulator.control("key", {"key": "vv_sk_sixth"})


def test_a_suspended_account_is_403_until_reopened(simulator: Simulator) -> None:
    simulator.control("account", {"suspended": True})
    assert simulator.quote().status_code == 403
    simulator.control("account", {"suspended": False})
    assert simulator.quote().status_code == 200


def test_too_few_credits_is_402_with_what_is_needed_and_nothing_charged(simulator: Simulator) -> None:
    simulator.control("account", {"balance": 12})
    refused = simulator.generate(video_quality="pro")
    assert refused.status_code == 402
    assert refused.json() == {"error": "Insufficient credits", "required": 140, "balance": 12}
    assert simulator.balance() == 12
    assert simulator.quote().json()["sufficient"] is False


def test_another_accounts_generation_is_404(simulator: Simulator) -> None:
    simulator.control("account", {"account": "other", "balance": 100})
    simulator.control("key", {"key": "vv_sk_other", "account": "other"})
    identifier = simulator.generate(key="vv_sk_other").json()["generation_id"]
    assert simulator.api("GET", f"/video-generation/{identifier}/status").status_code == 404
    assert simulator.api("GET", "/video-generation/vg_unknown/status").status_code == 404


def test_other_paths_and_methods_are_answered_in_json(simulator: Simulator) -> None:
    assert simulator.api("GET", "/nothing").json() == {"error": "Not found"}
    assert simulator.api("GET", "/quote").status_code == 405
    assert simulator.api("POST", "/credits").json()["error"] == "Method not allowed"


GOOD: list[dict[str, Any]] = [
    {"mode": "veo3", "watermark": "x" * 200, "remove_watermark": True, "aspect_ratio": "9:16"},
    {"mode": "veo3", "generation_type": R2V, "images": [URL, URL, URL]},
    {"mode": "grok-imagine", "grokMode": "spicy", "aspect_ratio": "2:3", "duration": "15"},
    {"mode": "seedance-1.5-pro", "duration": "11", "aspect_ratio": "21:9", "camera_fixed": True, "seed": -7},
    {"mode": "veevid-1.0-pro", "generation_type": I2V, "image": URL, "aspect_ratio": "auto"},
    {"mode": "kling-3", "generation_type": I2V, "images": [URL, URL], "aspect_ratio": "1:1"},
    {"mode": "kling-3", "multi_prompt": [{"prompt": "a", "duration": "3"}], "cfg_scale": 1, "shot_type": "multi"},
    {"mode": "kling-3", "video_quality": "1080p", "model_version": "kling-3-pro", "negative_prompt": ""},
    {"mode": "ltx-2-3", "model_version": "ltx-2.3-fast", "duration": "20", "target_fps": 50},
    {"mode": "ltx-2-3", "model_version": "ltx-2.3-fast", "duration": "10", "video_quality": "2160p"},
    {"mode": "kling-2-6", "duration": "10"},
    {"mode": "sora2-stable", "model_version": "sora-2-pro", "video_quality": "hd"},
    {"mode": "sora2", "model_version": "sora-2-pro-storyboard", "scenes": [{"description": "a", "duration": "5"}]},
    {"mode": "wan-2-6", "generation_type": V2V, "video": "http://example.org/a.mp4", "seed": -1},
    {"mode": "wan-2-6", "aspect_ratio": "portrait", "enable_prompt_expansion": False, "shot_type": "multi"},
    {"prompt": "x" * 5000},
]
BAD: list[dict[str, Any]] = [
    {"mode": "veo4"},
    {"mode": None},
    {"generation_type": None},
    {"generation_type": V2V, "video": URL},
    {"prompt": None},
    {"prompt": "  "},
    {"prompt": "x" * 5001},
    {"prompt": 5},
    {"duration": "8"},
    {"surprise": 1},
    {"watermark": "x" * 201},
    {"remove_watermark": "true"},
    {"aspect_ratio": "1:1"},
    {"video_quality": "hd"},
    {"image": URL},
    {"generation_type": I2V},
    {"generation_type": I2V, "image": "a.jpg"},
    {"generation_type": I2V, "image": "ftp://example.org/a.jpg"},
    {"generation_type": I2V, "image": "data:image/png;base64,AAAA"},
    {"generation_type": I2V, "image": [URL]},
    {"generation_type": I2V, "images": [URL, URL]},
    {"generation_type": R2V, "images": []},
    {"generation_type": R2V, "images": [URL] * 4},
    {"mode": "grok-imagine", "duration": 6},
    {"mode": "grok-imagine", "duration": "7"},
    {"mode": "grok-imagine", "generate_audio": True},
    {"mode": "seedance-1.5-pro", "duration": "13"},
    {"mode": "seedance-1.5-pro", "seed": "5"},
    {"mode": "seedance-1.5-pro", "seed": True},
    {"mode": "kling-3", "duration": "2"},
    {"mode": "kling-3", "cfg_scale": "0.5"},
    {"mode": "kling-3", "multi_prompt": [{"prompt": "a"}]},
    {"mode": "kling-3", "generation_type": I2V, "image": URL, "images": [URL, URL]},
    {"mode": "ltx-2-3", "duration": "12"},
    {"mode": "ltx-2-3", "duration": "7"},
    {"mode": "ltx-2-3", "model_version": "ltx-2.3-fast", "duration": "12", "video_quality": "1440p"},
    {"mode": "ltx-2-3", "target_fps": "24"},
    {"mode": "ltx-2-3", "target_fps": 30},
    {"mode": "sora2-stable", "video_quality": "hd"},
    {"mode": "sora2", "scenes": [{"description": "a", "duration": "5"}]},
    {"mode": "wan-2-6", "generation_type": V2V},
    {"mode": "wan-2-6", "aspect_ratio": "21:9"},
]


@pytest.mark.parametrize("values", GOOD, ids=repr)
def test_what_a_row_allows_is_accepted(simulator: Simulator, values: dict[str, Any]) -> None:
    answer = simulator.generate(**values)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("values", BAD, ids=lambda values: repr(values)[:60])
def test_what_a_row_does_not_allow_is_a_400_and_costs_nothing(simulator: Simulator, values: dict[str, Any]) -> None:
    answer = simulator.generate(**values)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert simulator.balance() == 5000


@pytest.mark.parametrize(
    "values", [{"prompt": "a"}, {"image": URL}, {"watermark": "a"}, {"target_fps": 24}, {"duration": "8"}], ids=repr
)
def test_a_quote_takes_only_what_affects_the_price(simulator: Simulator, values: dict[str, Any]) -> None:
    assert simulator.quote(**values).status_code == 400


def test_a_body_that_is_no_json_object_is_a_400(simulator: Simulator) -> None:
    assert simulator.api("POST", "/quote", [1]).status_code == 400
    assert simulator.api("POST", "/quote", data="{").status_code == 400


RANGES = {
    "veo3": (20, 140),
    "grok-imagine": (10, 60),
    "veevid-1.0-pro": (12, 288),
    "seedance-1.5-pro": (12, 288),
    "kling-3": (48, 495),
    "ltx-2-3": (48, 960),
    "kling-2-6": (70, 280),
    "sora2-stable": (80, 2000),
    "sora2": (20, 315),
    "wan-2-6": (100, 450),
}
CHOICES: dict[str, list[Any]] = {
    "duration": [None, *(str(second) for second in (3, 4, 5, 6, 8, 10, 12, 15, 20, 25))],
    "video_quality": [None, "standard", "pro", "480p", "720p", "1080p", "1440p", "2160p", "hd"],
    "model_version": [
        None, "kling-3-standard", "kling-3-pro", "ltx-2.3", "ltx-2.3-fast", "sora-2", "sora-2-pro",
        "sora-2-pro-storyboard",
    ],
    "switch": [{}, {"generate_audio": True}, {"generate_audio": False}, {"remove_watermark": True}],
    "target_fps": [None, 24, 50],
}  # fmt: skip
BY_MODEL = {
    "veo3": ("video_quality",),
    "kling-3": ("duration", "video_quality", "model_version", "switch"),
    "ltx-2-3": ("duration", "video_quality", "model_version", "target_fps"),
    "seedance-1.5-pro": ("duration", "video_quality", "switch"),
    "veevid-1.0-pro": ("duration", "video_quality", "switch"),
    "sora2-stable": ("duration", "video_quality", "model_version"),
    "sora2": ("duration", "video_quality", "model_version", "switch"),
}


def test_prices_reach_both_ends_of_every_models_range() -> None:
    """Enumerated in this process: over HTTP it would be thousands of requests."""
    for mode, expected in RANGES.items():
        names = BY_MODEL.get(mode, ("duration", "video_quality"))
        seen = set()
        for combination in product(*(CHOICES[name] for name in names)):
            values = {"mode": mode, "generation_type": T2V}
            for name, value in zip(names, combination, strict=True):
                values |= value if isinstance(value, dict) else {name: value} if value is not None else {}
            try:
                seen.add(prices.price(contract.read_quote(values)))
            except rows.Invalid:
                continue
        assert (min(seen), max(seen)) == expected, mode


@pytest.mark.parametrize(
    ("values", "credits"),
    [
        ({"mode": "grok-imagine", "video_quality": "480p", "duration": "6"}, 10),
        ({"mode": "kling-3", "video_quality": "1080p", "duration": "10", "generate_audio": True}, 250),
        ({"mode": "sora2-stable", "model_version": "sora-2-pro", "video_quality": "hd", "duration": "20"}, 2000),
        ({"mode": "wan-2-6"}, 100),
    ],
)
def test_the_prices_the_vendor_names(simulator: Simulator, values: dict[str, Any], credits: int) -> None:
    assert simulator.quote(**values).json()["required_credits"] == credits
