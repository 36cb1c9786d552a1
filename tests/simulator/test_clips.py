"""Clips as files: right shape, true length, readable everywhere; and uploads."""

import io
import time
from collections.abc import Iterator
from typing import Any

import av
import pytest
import requests
from PIL import Image

from simulator import scenes
from tests.simulator.process import KEY, Simulator


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A simulator that draws real clips."""
    simulator = Simulator(
        tmp_path_factory.mktemp("studio"), "--speed", "1000", "--concurrent", "50", "--minute-limit", "9999",
        "--hour-limit", "9999", "--balance", "99999",
    )  # fmt: skip
    yield simulator
    simulator.stop()


def clip(simulator: Simulator, **values: Any) -> bytes:
    accepted = simulator.generate(**values)
    assert accepted.status_code == 200, accepted.text
    done = simulator.ended(accepted.json()["generation_id"], seconds=60, every=0.2)
    data = requests.get(done["video_url"], timeout=10).content
    assert done["video_metadata"]["file_size"] == len(data)
    return data


def seen(data: bytes) -> dict[str, Any]:
    """What a player would find."""
    with av.open(io.BytesIO(data)) as container:
        video = container.streams.video[0]
        frames = len(list(container.decode(video=0)))
        return {
            "codec": video.codec_context.name,
            "format": video.codec_context.pix_fmt,
            "size": (video.width, video.height),
            "seconds": round(frames / float(video.average_rate or 1), 2),
            "sound": [stream.codec_context.name for stream in container.streams.audio],
        }


def first_frame(data: bytes) -> Image.Image:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_image()


def upload(simulator: Simulator, name: str, data: bytes, kind: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {KEY}"}
    files = {"file": (name, data, kind)}
    return requests.post(f"{simulator.base}/api/storage/upload", files=files, headers=headers, timeout=10)


def picture(tone: tuple[int, int, int], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), tone).save(buffer, kind)
    return buffer.getvalue()


def test_a_clip_is_h264_with_sound_and_can_play_before_it_is_whole(studio: Simulator) -> None:
    data = clip(studio, mode="kling-3", duration="3", prompt="dunes at golden hour")
    assert seen(data) == {
        "codec": "h264",
        "format": "yuv420p",
        "size": (640, 360),
        "seconds": 3.0,
        "sound": ["aac"],
    }
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert len(data) < 2_000_000


@pytest.mark.parametrize(
    ("shape", "ratio"),
    [("auto", 16 / 9), ("9:16", 9 / 16), ("1:1", 1), ("4:3", 4 / 3), ("3:4", 3 / 4), ("21:9", 21 / 9)],
)
def test_a_clip_has_the_shape_and_length_asked_for(simulator: Simulator, shape: str, ratio: float) -> None:
    found = seen(clip(simulator, mode="seedance-1.5-pro", aspect_ratio=shape, duration="4", prompt="snow"))
    assert found["size"][0] / found["size"][1] == pytest.approx(ratio, rel=0.02)
    assert found["seconds"] == 4.0
    assert found["sound"] == []


def test_the_longest_clip_is_25_seconds_long(simulator: Simulator) -> None:
    assert seen(clip(simulator, mode="sora2", duration="25", prompt="aurora"))["seconds"] == 25.0


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        ("A caravan crossing the desert", "dunes"),
        ("An old lighthouse in a storm", "sea"),
        ("Log cabin in the snow", "cabin"),
        ("Northern lights over Tromsø", "aurora"),
        ("Neon alley, heavy rain", "neon"),
        ("Glowing jellyfish", "jellyfish"),
        ("Deer in an ancient forest", "forest"),
    ],
)
def test_the_words_of_a_prompt_choose_the_scene(prompt: str, scene: str) -> None:
    assert scenes.choose(prompt) == scene


def test_prompts_without_known_words_are_spread_over_all_scenes() -> None:
    assert {scenes.choose(f"xyzzy {number}") for number in range(300)} == set(scenes.SCENES)


def test_two_prompts_make_visibly_different_clips(simulator: Simulator) -> None:
    one, other = (clip(simulator, prompt=prompt) for prompt in ("dunes, early", "dunes, late"))
    assert first_frame(one).tobytes() != first_frame(other).tobytes()


@pytest.mark.parametrize("name", scenes.SCENES)
def test_every_scene_moves_in_every_shape(name: str) -> None:
    for size in ((160, 90), (90, 160), (154, 66)):
        scene = scenes.make(name, size, 5, scenes.seed(name))
        first, later = scene.picture(0.0), scene.picture(5.0)
        assert first.size == size
        assert first.mode == "RGB"
        assert first.tobytes() != later.tobytes()


def test_the_same_recipe_is_drawn_once(studio: Simulator) -> None:
    before = len(list((studio.data / "videos").glob("*.mp4")))
    clip(studio, mode="kling-3", duration="3", prompt="city at night")
    began = time.monotonic()
    clip(studio, mode="kling-3", duration="3", prompt="city at night")
    assert time.monotonic() - began < 1
    assert len(list((studio.data / "videos").glob("*.mp4"))) == before + 1


@pytest.mark.parametrize(
    ("kind", "content_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_an_image_is_uploaded_and_served(simulator: Simulator, kind: str, content_type: str) -> None:
    data = picture((200, 30, 30), kind)
    answer = upload(simulator, "start", data, content_type).json()
    assert answer["url"].endswith(answer["key"])
    served = requests.get(answer["url"], timeout=5)
    assert served.content == data
    assert served.headers["Content-Type"] == content_type


def test_image_to_video_begins_with_the_uploaded_image(simulator: Simulator) -> None:
    address = upload(simulator, "red.png", picture((210, 20, 20)), "image/png").json()["url"]
    data = clip(simulator, mode="kling-3", generation_type="image-to-video", image=address, duration="3")
    red, green, blue = first_frame(data).resize((1, 1)).convert("RGB").tobytes()
    assert red > 120
    assert green < 70 > blue


def test_an_image_that_cannot_be_read_fails_the_generation_with_a_refund(simulator: Simulator) -> None:
    address = upload(simulator, "cut.png", picture((1, 2, 3))[:40], "image/png").json()["url"]
    accepted = simulator.generate(generation_type="image-to-video", image=address).json()
    done = simulator.ended(accepted["generation_id"])
    assert "could not be read" in done["error_message"]
    assert simulator.balance() == 5000
    assert simulator.ended(simulator.generate().json()["generation_id"])["status"] == "completed"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"plain text", "text/plain"),
        (b"GIF89a" + b"\0" * 30, "image/gif"),
        (b"plain text", "image/png"),
        (picture((1, 2, 3)), "image/jpeg"),
        (picture((1, 2, 3)) + b"\0" * (20 * 1024 * 1024), "image/png"),
    ],
    ids=["text", "gif", "no image", "another type", "too large"],
)
def test_other_uploads_are_a_400(simulator: Simulator, data: bytes, kind: str) -> None:
    assert upload(simulator, "file", data, kind).status_code == 400


def test_an_upload_needs_a_file_and_a_key(simulator: Simulator) -> None:
    assert simulator.api("POST", "/storage/upload", {}).status_code == 400
    assert requests.post(f"{simulator.base}/api/storage/upload", timeout=5).status_code == 401


def test_a_video_can_be_uploaded_as_a_source(simulator: Simulator) -> None:
    data = clip(simulator)
    address = upload(simulator, "source.mp4", data, "video/mp4").json()["url"]
    accepted = simulator.generate(mode="wan-2-6", generation_type="video-to-video", video=address)
    assert accepted.status_code == 200
