"""Sunrise over a planet."""

import math

from PIL import Image, ImageChops, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import colour, mix

PLANETS = (("3d8bff", "ffb45a"), ("4bd6c4", "ffd98a"), ("b06bff", "ff9a6b"), ("ff7a4b", "8fd0ff"))


class Planet(Scene):
    """A limb of atmosphere, cities on the night side, and the sun coming up very slowly."""

    corners = 0.25

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        air, fire = (colour(tone) for tone in rng.choice(PLANETS))
        self.radius = max(w, h) * 1.05
        self.middle = (w * rng.uniform(0.42, 0.58), h * (0.52 if self.wide > 0.9 else 0.62) + self.radius)
        self.space = ImageChops.add(
            brush.gradient(self.size, [(0, (4, 5, 10)), (1, (9, 10, 18))], rng),
            brush.stars(self.size, rng, w * h // 420),
        )
        self.body = self._disc(0.0)
        rim = self._disc(-0.001).filter(ImageFilter.GaussianBlur(self.unit * 0.03))
        self.air = brush.tinted(ImageChops.multiply(rim, ImageChops.invert(self.body)), air, 1.5)
        inner = ImageChops.multiply(
            ImageChops.invert(self._disc(0.0).filter(ImageFilter.GaussianBlur(self.unit * 0.035))), self.body
        )
        self.inner = brush.tinted(inner, air, 0.9)
        edge = ImageChops.subtract(self.body, self._disc(0.0022).filter(ImageFilter.GaussianBlur(1)))
        self.edge = brush.tinted(edge.filter(ImageFilter.GaussianBlur(0.8)), mix(air, (255, 255, 255), 0.55), 0.8)
        travel = w + round(self.travel(0.16)) + 2
        top = round(self.middle[1] - self.radius)
        self.top, tall = top, h - top
        land = brush.levels(brush.billows((travel, tall), rng, (self.unit // 3, self.unit // 6), 4), 0.5, 0.62)
        grain = brush.levels(brush.noise((travel, tall), rng, (2, 2)), 0.72, 0.95)
        hubs = brush.levels(brush.billows((travel, tall), rng, (self.unit // 9, self.unit // 12), 3), 0.52, 0.75)
        self.cities = brush.tinted(ImageChops.multiply(ImageChops.multiply(grain, hubs), land), fire, 1.4)
        self.haze = brush.tinted(
            brush.levels(brush.billows((travel, tall), rng, (self.unit // 2, self.unit // 14), 4), 0.55, 0.95),
            mix(air, (120, 140, 180), 0.5),
            0.2,
        )
        self.flare = [
            brush.tinted(brush.glow(round(self.unit * size), power), tone, strength)
            for size, power, tone, strength in (
                (0.75, 3.2, air, 0.5),
                (0.32, 2.4, mix(fire, (255, 255, 255), 0.5), 0.8),
                (0.1, 1.4, (255, 255, 255), 1.0),
            )
        ]
        streak = brush.glow(64, 2.5).resize((round(w * 1.1), 5), Image.Resampling.BICUBIC)
        self.streak = brush.tinted(streak, mix(air, (255, 255, 255), 0.3), 0.55)
        self.begin = rng.uniform(-0.13, -0.07) * rng.choice((-1, 1))

    def _disc(self, smaller: float) -> Image.Image:
        radius = self.radius * (1 - smaller)
        x, y = self.middle
        return brush.shapes(
            self.size,
            lambda pen, k: pen.ellipse(
                [(x - radius) * k, (y - radius) * k, (x + radius) * k, (y + radius) * k], fill=255
            ),
        )

    def frame(self, moment: float) -> Image.Image:
        frame = self.space.copy()
        part = moment / self.seconds
        frame.paste((5, 7, 13), (0, 0), self.body)
        left = (self.cities.width - self.width) * part
        ground = ImageChops.add(
            brush.window(self.cities, self.width, left), brush.window(self.haze, self.width, left * 0.6)
        )
        box = (0, self.top, self.width, self.height)
        frame.paste(ImageChops.add(frame.crop(box), ground), (0, self.top), self.body.crop(box))
        for light in (self.inner, self.air, self.edge):
            frame = ImageChops.add(frame, light)
        angle = self.begin + 0.006 * min(self.seconds, 16) * part * (1 if self.begin < 0 else -1)
        reach = self.radius * (1.0 + 0.004 * part)
        sun = (self.middle[0] + math.sin(angle * 2.4) * reach, self.middle[1] - math.cos(angle * 2.4) * reach)
        pulse = 0.94 + 0.06 * math.sin(moment * 0.9)
        for light in self.flare:
            brush.shine(frame, light.point(lambda value: round(value * pulse)), sun)
        brush.shine(frame, self.streak, sun)
        return frame
