"""A still of the client's own, brought to life by a slow push."""

import math
import random
from pathlib import Path

from PIL import Image, ImageOps

from simulator.scenes.base import Scene
from simulator.scenes.brush import Size, smooth


class Photo(Scene):
    corners = 0.18

    def __init__(self, size: Size, seconds: float, rng: random.Random, path: Path) -> None:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        large = (round(size[0] * 1.5), round(size[1] * 1.5))
        self.still = ImageOps.fit(upright, large, Image.Resampling.LANCZOS)
        super().__init__(size, seconds, rng)

    def paint(self) -> None:
        self.aim = (self.rng.uniform(0.35, 0.65), self.rng.uniform(0.35, 0.6))

    def frame(self, moment: float) -> Image.Image:
        part = smooth(moment / self.seconds) * 0.85 + 0.15 * moment / self.seconds
        zoom = 1 - min(0.2, 0.06 + 0.014 * self.seconds) * part
        wide, tall = self.still.width * zoom, self.still.height * zoom
        sway = math.sin(moment * 0.6) * 0.006
        left = (self.still.width - wide) * min(1.0, max(0.0, self.aim[0] + sway))
        top = (self.still.height - tall) * self.aim[1]
        return self.still.resize(self.size, Image.Resampling.BILINEAR, box=(left, top, left + wide, top + tall))
