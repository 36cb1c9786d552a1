"""Above the clouds at sunset."""

import math

from PIL import Image, ImageChops

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import colour, mix

SKIES = (
    # top, middle, horizon, sun, clouds in light, clouds in shade
    ("2e4f9a", "9fb2d8", "ffd9a8", "fff3d0", "fff0e2", "8e7fae"),
    ("2a1b52", "b04f7c", "ff9e66", "ffe2b0", "ffb89a", "4a2a66"),
    ("123a5c", "5fa3b8", "ffe3b8", "fff6dc", "fdf3e6", "5c7f9c"),
    ("3a1030", "d0503f", "ffb04a", "fff0b8", "ffc078", "6a1f3c"),
)


class Clouds(Scene):
    corners = 0.3

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        top, middle, low, sun, lit, shade = (colour(tone) for tone in rng.choice(SKIES))
        self.horizon = h * (0.46 if self.wide > 0.9 else 0.5)
        edge = self.horizon / h
        self.sky = brush.gradient(
            self.size, [(0, top), (edge * 0.55, middle), (edge, low), (1, mix(low, shade, 0.5))], rng
        )
        x, y = w * rng.uniform(0.3, 0.7), self.horizon - self.unit * rng.uniform(0.03, 0.09)
        brush.shine(self.sky, brush.tinted(brush.glow(round(self.unit * 0.95), 2.6), sun, 0.28), (x, y))
        brush.shine(self.sky, brush.tinted(brush.glow(round(self.unit * 0.2), 1.5), sun, 0.26), (x, y))
        ball = brush.disc(self.unit * 0.04, 1.2)
        self.sky.paste(mix(sun, (255, 255, 255), 0.6), (round(x - ball.width / 2), round(y - ball.height / 2)), ball)
        self.cirrus = brush.levels(
            brush.billows((w * 2, round(h * 0.4)), rng, (round(self.unit * 0.9), round(self.unit * 0.07)), 5),
            0.5,
            0.95,
            0.55,
        )
        self.cirrus = ImageChops.multiply(
            self.cirrus, brush.fade(self.cirrus.size, lambda part: math.sin(math.pi * part))
        )
        self.high = mix(lit, low, 0.4)
        self.banks = [self._bank(number, lit, shade, low) for number in range(6)]
        self.light = brush.tinted(brush.glow(round(self.unit * 0.6), 2.4), sun, 0.22)
        self.sun = (x, y)

    def _bank(
        self, number: int, lit: brush.Colour, shade: brush.Colour, haze: brush.Colour
    ) -> tuple[Image.Image, Image.Image, Image.Image, int]:
        """One row of the sea of clouds: a billowing outline, and brighter tops within it."""
        rng, (w, h) = self.rng, self.size
        depth = number / 5
        width = w + round(self.travel(0.04 + 0.32 * depth**1.5)) + 2
        top = round(self.horizon + (h - self.horizon) * 0.86 * depth**1.5 - self.unit * (0.015 + 0.13 * depth))
        size = (width, max(8, h - top))
        puff = self.unit * (0.028 + 0.13 * depth)
        mask = Image.new("L", size)
        outline = brush.hills(width, rng, width / puff / 5, 0.6, 3)
        x = -puff
        while x < width + puff:
            reach = puff * rng.uniform(0.45, 1.0)
            rise = puff * (1.15 - 0.55 * outline[min(width - 1, max(0, int(x)))])
            ball = brush.disc(reach, reach * 0.1)
            mask.paste(255, (round(x - ball.width / 2), round(rise + puff * 0.35 - ball.height / 2)), ball)
            x += reach * rng.uniform(0.45, 0.85)
        solid = brush.silhouette(size, [puff * (1.5 - 0.55 * value) for value in outline])
        mask = ImageChops.lighter(mask, solid)
        tatter = brush.billows(size, rng, (max(4, round(puff * 0.9)), max(4, round(puff * 0.6))), 4)
        mask = ImageChops.multiply(mask, brush.levels(ImageChops.add(tatter, mask.resize(size), 1.35), 0.42, 0.8))
        tops = brush.levels(tatter, 0.38, 0.72, 0.9)
        reach = min(1.0, puff * 2.6 / size[1])
        tops = ImageChops.multiply(tops, brush.fade(size, lambda part: max(0.0, 1 - part / reach) ** 0.8 + 0.12))
        near = mix(haze, shade, 0.35 + 0.6 * depth)
        fill = brush.gradient((w, size[1]), [(0, mix(near, lit, 0.45)), (reach, near), (1, mix(near, haze, 0.35))], rng)
        bright = brush.gradient((w, size[1]), [(0, mix(lit, haze, 0.45 * (1 - depth))), (1, mix(lit, shade, 0.3))])
        return fill, bright, self._pair(mask, tops), top

    def _pair(self, mask: Image.Image, tops: Image.Image) -> Image.Image:
        """Outline and tops as one two-channel picture, so that they slide together."""
        return Image.merge("LA", (mask, ImageChops.multiply(mask, tops)))

    def frame(self, moment: float) -> Image.Image:
        frame = self.sky.copy()
        w = self.width
        frame.paste(self.high, (0, round(self.height * 0.02)), brush.window(self.cirrus, w, (moment * w * 0.01) % w))
        for number, (fill, bright, pair, top) in enumerate(self.banks):
            left = (pair.width - w) * moment / self.seconds
            mask = brush.window(pair.getchannel(0), w, left)
            tops = brush.window(pair.getchannel(1), w, left)
            frame.paste(fill, (0, top), mask)
            frame.paste(bright, (0, top), tops)
            if number == 2:
                brush.shine(frame, self.light, self.sun)
        return frame
