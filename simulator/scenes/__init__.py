"""Small moving scenes, chosen by the words of a prompt; palette and details follow from the prompt, too."""

import hashlib
import random
import re
from pathlib import Path

from simulator.scenes.base import Scene
from simulator.scenes.brush import Size
from simulator.scenes.city import Neon
from simulator.scenes.deep import Jellyfish
from simulator.scenes.forest import Forest
from simulator.scenes.land import Dunes, Mountains
from simulator.scenes.lights import Bokeh, Trails
from simulator.scenes.night import Aurora, Cabin
from simulator.scenes.photo import Photo
from simulator.scenes.planet import Planet
from simulator.scenes.sea import Sea
from simulator.scenes.sky import Clouds

SCENES: dict[str, type[Scene]] = {
    "dunes": Dunes,
    "sea": Sea,
    "aurora": Aurora,
    "cabin": Cabin,
    "neon": Neon,
    "jellyfish": Jellyfish,
    "forest": Forest,
    "mountains": Mountains,
    "clouds": Clouds,
    "bokeh": Bokeh,
    "trails": Trails,
    "planet": Planet,
}
# The first word of the prompt found here decides; beginnings of words, so that plurals count.
WORDS = {
    "dunes": "dune desert sand sahara camel caravan canyon savann",
    "sea": "sea lighthouse ocean coast wave beach ship boat sail harbo island shore moonlight",
    "aurora": "aurora northern polar lake iceland norway",
    "cabin": "snow cabin winter christmas ice frost ski chalet cottage",
    "neon": "neon rain cyberpunk umbrella tokyo alley puddle night-market street",
    "jellyfish": "jellyfish underwater reef coral diver fish whale octopus deep",
    "forest": "forest wood tree jungle moss fern deer bamboo leaf leaves garden",
    "mountains": "mountain mist fog valley alps peak hill ridge summit hik",
    "clouds": "cloud sky plane airplane bird balloon heaven sunset sunrise dawn angel",
    "bokeh": "bokeh coffee cafe café cup restaurant bar party candle jazz kitchen tea portrait",
    "trails": "highway traffic car road motorway drive race truck city skyline downtown",
    "planet": "planet space orbit earth galaxy rocket astronaut satellite star moon mars",
}


def choose(prompt: str) -> str:
    """The scene for a prompt: by its words, else by chance that is the same every time."""
    for word in re.findall(r"[\w-]+", prompt.lower()):
        for name, beginnings in WORDS.items():
            if any(word.startswith(beginning) for beginning in beginnings.split()):
                if name == "bokeh" and word.startswith(("bar", "tea")) and word not in ("bar", "tea"):
                    continue
                return name
    names = list(SCENES)
    return names[seed(prompt) % len(names)]


def seed(prompt: str) -> int:
    return int.from_bytes(hashlib.sha256(prompt.strip().encode()).digest()[:4], "big")


def make(name: str, size: Size, seconds: float, number: int, image: Path | None = None) -> Scene:
    """A scene ready to be asked for frames; an image of the client's comes before any scene."""
    rng = random.Random(number)
    if image is not None:
        return Photo(size, seconds, rng, image)
    return SCENES[name](size, seconds, rng)
