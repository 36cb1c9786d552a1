"""From a recipe to a small MP4: H.264 in the asked ratio and true length, quiet sound where the model makes any."""

import math
import random
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image

from simulator import scenes

VERSION = 1  # part of the cache's key: raise it when scenes change
RATE = 24
SIZES = {
    "16:9": (640, 360),
    "9:16": (360, 640),
    "1:1": (512, 512),
    "4:3": (592, 444),
    "3:4": (444, 592),
    "3:2": (624, 416),
    "2:3": (416, 624),
    "21:9": (616, 264),
}
HERTZ = 22050
TONES = {  # scene: what is heard, as (hertz, strength), and how much wind or water
    "dunes": ((110.0, 165.0, 220.0), 0.5),
    "sea": ((98.0, 147.0, 196.0), 0.9),
    "aurora": ((130.8, 196.0, 261.6), 0.25),
    "cabin": ((146.8, 220.0, 293.7), 0.4),
    "neon": ((87.3, 130.8, 207.7), 0.8),
    "jellyfish": ((116.5, 174.6, 233.1), 0.35),
    "forest": ((123.5, 185.0, 246.9), 0.5),
    "mountains": ((98.0, 146.8, 220.0), 0.5),
    "clouds": ((130.8, 164.8, 196.0), 0.45),
    "bokeh": ((146.8, 185.0, 220.0), 0.2),
    "trails": ((82.4, 123.5, 164.8), 0.7),
    "planet": ((65.4, 98.0, 130.8), 0.25),
}


def draw(path: Path, plan: dict[str, Any], image: Path | None, quick: bool, stopped: Callable[[], bool]) -> bool:
    """Write the clip; False when told to stop half way."""
    size, seconds = SIZES[plan["ratio"]], plan["seconds"]
    pictures = _quick_pictures(plan, size, image) if quick else _pictures(plan, size, image)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as out:
        video = out.add_stream("libx264", rate=RATE, options={"preset": "superfast", "crf": "28", "threads": "1"})
        video.width, video.height, video.pix_fmt = *next(pictures).size, "yuv420p"
        hum = array("h", bytes(2 * HERTZ)) if quick else _hum(plan)
        sound = out.add_stream("aac", rate=HERTZ, layout="mono", bit_rate=48_000) if plan["sound"] else None
        for number, picture in zip(range(seconds * RATE), pictures, strict=False):
            if stopped():
                return False
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(video.encode(frame))
            if sound is not None and number % RATE == 0:
                out.mux(sound.encode(_second(hum, number // RATE, seconds - 1)))
        out.mux(video.encode(None))
        if sound is not None:
            out.mux(sound.encode(None))
    return True


def _pictures(plan: dict[str, Any], size: tuple[int, int], image: Path | None) -> Iterator[Image.Image]:
    """The first picture once for its size, then one after the other."""
    scene = scenes.make(plan["scene"], size, plan["seconds"], plan["seed"], image)
    here = scene.picture(0.0)
    yield here
    for step in range(plan["seconds"] * RATE // scene.every):
        following = scene.picture(min((step + 1) * scene.every / RATE, plan["seconds"]))
        yield here
        for part in range(1, scene.every):
            yield Image.blend(here, following, part / scene.every)
        here = following


def _quick_pictures(plan: dict[str, Any], size: tuple[int, int], image: Path | None) -> Iterator[Image.Image]:
    """One tiny still, for tests that do not look."""
    tiny = (size[0] // 8 * 2, size[1] // 8 * 2)
    still = scenes.make(plan["scene"], tiny, plan["seconds"], plan["seed"], image).picture(0.5)
    while True:
        yield still


def _hum(plan: dict[str, Any]) -> array:
    """One second of a soft, slowly beating chord and a breath of noise, made to follow itself without a click."""
    chord, breath = TONES[plan["scene"]]
    turn = 1 + (plan["seed"] % 7 - 3) * 0.03
    pitches = [round(hertz * turn) for hertz in chord]
    step = math.tau / HERTZ
    waves = [step * (pitch + beat) for pitch in pitches for beat in (0, 1)]
    rng = random.Random(plan["seed"])
    grains = [rng.uniform(-1, 1) for _ in range(HERTZ // 18)]
    grains.append(grains[0])
    samples = array("h", bytes(2 * HERTZ))
    for number in range(HERTZ):
        at, part = divmod(number, 18)
        air = grains[at] + (grains[at + 1] - grains[at]) * part / 18
        tone = sum(math.sin(number * wave) for wave in waves) / len(waves)
        samples[number] = round(1300 * tone + 500 * breath * air)
    return samples


def _second(hum: array, number: int, last: int) -> av.AudioFrame:
    """The hum for one second of the clip, faded in at the beginning and out at the end."""
    samples = hum
    if number in (0, last) and any(hum):
        samples = array("h", hum)
        for place in range(HERTZ):
            rise = place / HERTZ if number == 0 else 1.0
            fall = 1 - place / HERTZ if number == last else 1.0
            samples[place] = round(hum[place] * rise * fall)
    frame = av.AudioFrame(format="s16", layout="mono", samples=HERTZ, align=1)
    frame.planes[0].update(samples.tobytes())
    frame.sample_rate, frame.pts, frame.time_base = HERTZ, number * HERTZ, Fraction(1, HERTZ)
    return frame
