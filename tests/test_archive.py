"""Fetching clips from a real file server: whole or not at all, and never from a place that was not named."""

from datetime import timedelta
from pathlib import Path

import pytest
import requests
import time_machine
from django.utils import timezone

from generations import archive
from generations.models import ApiAccount, Clip, Generation, Status
from tests.makers import make_account, make_person
from tests.stack import Simulator
from tests.test_gallery import make_generation

pytestmark = [pytest.mark.django_db, pytest.mark.processes]


@pytest.fixture(scope="module")
def simulator(make_simulator) -> Simulator:
    limits = ("--minute-limit", "100000", "--hour-limit", "100000")
    return make_simulator("--speed", "1000", "--balance", "100000", *limits)


@pytest.fixture
def finished(simulator, settings) -> Clip:
    """A clip to fetch, of a generation that the simulator really made."""
    settings.VEEVID_API_URL, settings.VEEVID_MEDIA_HOSTS = simulator.url, [simulator.host]
    simulator.clear_faults()
    make_account(simulator.key)
    headers = {"Authorization": f"Bearer {simulator.key}"}
    body = {"mode": "grok-imagine", "generation_type": "text-to-video", "prompt": "A dune", "duration": "6"}
    made = requests.post(f"{simulator.url}/generate-video", json=body, headers=headers, timeout=10).json()
    where = f"{simulator.url}/video-generation/{made['generation_id']}/status"
    for _ in range(100):
        status = requests.get(where, headers=headers, timeout=10).json()
        if status["status"] == "completed":
            break
    generation = make_generation(
        make_person(), Status.COMPLETED, upstream_id=made["generation_id"], account=ApiAccount.objects.get()
    )
    return Clip.objects.create(generation=generation, source_url=status["video_url"])


def leftovers(settings) -> list[Path]:
    return list((settings.DATA_DIR / "tmp").glob("*")) if (settings.DATA_DIR / "tmp").exists() else []


def again(clip: Clip) -> bool:
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        return archive.fetch(clip.pk)


def not_stored(clip: Clip, words: str, settings) -> None:
    assert not archive.fetch(clip.pk)
    clip.refresh_from_db()
    assert (clip.state, clip.file.name) == (Clip.State.PENDING, "")
    assert words in clip.trouble
    assert clip.fetch_at is not None
    assert clip.fetch_at > timezone.now()
    assert leftovers(settings) == []


def test_a_clip_is_kept_with_its_poster_and_preview(finished, settings):
    assert archive.fetch(finished.pk)
    finished.refresh_from_db()
    assert (finished.state, finished.width == finished.height, finished.sound) == (Clip.State.STORED, True, True)
    assert abs(finished.seconds - 6) < 0.2
    assert finished.file.size == finished.size
    assert finished.poster.open("rb").read(4) == b"RIFF"
    assert finished.preview.size > 1000
    assert leftovers(settings) == []


def test_a_clip_is_fetched_once_however_often_it_is_announced(finished):
    assert [archive.fetch(finished.pk) for _ in range(3)] == [True, False, False]


def test_a_connection_cut_in_the_middle_stores_nothing_and_is_tried_again(finished, simulator, settings):
    simulator.fault("video", "truncated")
    not_stored(finished, "broke", settings)
    assert again(finished)


def test_a_file_that_is_no_video_is_not_stored(finished, simulator, settings):
    simulator.fault("video", "text")
    not_stored(finished, "no playable video", settings)


def test_a_server_error_is_tried_again(finished, simulator, settings):
    simulator.fault("video", "error", status=500)
    not_stored(finished, "500", settings)


def test_a_dead_link_is_replaced_by_a_fresh_one_without_a_new_generation(finished, simulator, settings):
    before = simulator.submissions()
    simulator.fault("video", "expired")
    not_stored(finished, "ended", settings)
    assert again(finished)
    assert simulator.submissions() == before


def test_a_link_that_stays_dead_is_said_to_be_lost_and_is_no_refund(finished, settings):
    Generation.objects.update(upstream_id="vg_unknown")
    Clip.objects.update(source_url=finished.source_url.replace("/videos/", "/videos/none-"), tries=10)
    assert not archive.fetch(finished.pk)
    finished.refresh_from_db()
    assert finished.state == Clip.State.GONE
    assert finished.generation.status == Status.COMPLETED


@pytest.mark.parametrize(
    ("url", "good"),
    [("https://cdn.veevid.ai/a.mp4", True), ("http://cdn.veevid.ai/a.mp4", False),
     ("https://cdn.veevid.ai:8443/a.mp4", False), ("https://evil.example/cdn.veevid.ai", False),
     ("https://cdn.veevid.ai@evil.example/a.mp4", False), ("http://127.0.0.1:9000/a.mp4", True),
     ("http://127.0.0.1:9001/a.mp4", False), ("http://127.0.0.1/a.mp4", False), ("file:///etc/passwd", False),
     ("https://cdn.veevid.ai:99999/a", False), ("", False)],
)  # fmt: skip
def test_clips_come_only_from_the_hosts_that_are_named(settings, url, good):
    settings.VEEVID_MEDIA_HOSTS = ["cdn.veevid.ai", "127.0.0.1:9000"]
    assert archive.allowed(url, demo=False) is good


def test_a_clip_from_another_host_is_not_fetched(finished, settings):
    settings.VEEVID_MEDIA_HOSTS = ["cdn.veevid.ai"]
    not_stored(finished, "VEEVID_MEDIA_HOSTS", settings)
