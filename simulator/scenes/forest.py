"""A forest with light between the trunks."""

import math
from functools import partial

from PIL import Image, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import colour, mix

FORESTS = (
    ("f4f6c8", "c3d488", "2d3d17"),
    ("fff0c4", "d9b46a", "33200f"),
    ("dff0f4", "94b8bc", "12292e"),
)


class Forest(Scene):
    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        light, middle, dark = (colour(tone) for tone in rng.choice(FORESTS))
        self.light = light
        self.back = brush.gradient(
            self.size, [(0, light), (0.55, mix(light, middle, 0.6)), (1, mix(middle, dark, 0.35))], rng
        )
        self.sun = w * rng.choice((rng.uniform(0.1, 0.3), rng.uniform(0.7, 0.9)))
        brush.shine(self.back, brush.tinted(brush.glow(round(self.unit * 0.9), 1.8), light, 0.35), (self.sun, h * 0.08))
        self.layers = []
        for number in range(5):
            depth = number / 4
            width = w + round(self.travel(0.03 + 0.32 * depth**1.7)) + 2
            mask = brush.shapes((width, h), partial(self._trunks, depth=depth, width=width))
            if depth < 0.5:
                mask = mask.filter(ImageFilter.GaussianBlur(1.4 - 2 * depth))
            if number == 4:
                mask = mask.filter(ImageFilter.GaussianBlur(1.6))
            tone = mix(middle, dark, 0.08 + 0.92 * depth**1.15)
            top = mix(tone, light, 0.55 * (1 - depth) + 0.08)
            fill = brush.gradient(self.size, [(0, top), (0.75, tone), (1, mix(tone, dark, 0.5))], rng)
            self.layers.append((fill, mask))
        self.rays = self._rays()
        self.motes = [(rng.random(), rng.random(), rng.uniform(0.5, 1.2), rng.uniform(0, 6)) for _ in range(60)]

    def _trunks(self, pen: ImageDraw.ImageDraw, scale: int, depth: float, width: int) -> None:
        rng, h = self.rng, self.height
        thick = self.unit * (0.012 + 0.07 * depth**1.6)
        x = rng.uniform(0, thick * 3)
        while x < width:
            wide = thick * rng.uniform(0.7, 1.3)
            lean = rng.uniform(-0.03, 0.03) * h
            foot = h * (0.80 + 0.16 * depth) + rng.uniform(-0.01, 0.02) * h
            outline = [
                (x - wide / 2 + lean, -2),
                (x + wide / 2 + lean, -2),
                (x + wide * 0.62, foot),
                (x - wide * 0.62, foot),
            ]
            pen.polygon([(px * scale, py * scale) for px, py in outline], fill=255)
            for _ in range(rng.randrange(0, 3)):
                y, side = rng.uniform(0.05, 0.6) * h, rng.choice((-1, 1))
                reach = wide * rng.uniform(1.5, 4)
                start = x + lean * (1 - y / h)
                pen.line(
                    [(start * scale, y * scale), ((start + side * reach) * scale, (y - reach * 0.35) * scale)],
                    fill=255, width=max(1, round(wide * 0.16 * scale)),
                )  # fmt: skip
            x += wide + thick * rng.uniform(1.8, 5.5 + 1.5 * depth)
        ground = [
            h * (0.8 + 0.16 * depth) - value * self.unit * 0.014
            for value in brush.hills(width, rng, width / self.unit * 2, 0.7, 6)
        ]
        pen.polygon(
            [*((px * scale, py * scale) for px, py in enumerate(ground)), (width * scale, h * scale), (0, h * scale)],
            fill=255,
        )

    def _rays(self) -> Image.Image:
        """Shafts of light from one corner, wider than the picture so that they can wander."""
        w, h = self.size
        mask = Image.new("L", (w // 2, h // 2))
        pen = ImageDraw.Draw(mask)
        source = (self.sun / 2, -h * 0.12)
        aim = 1 if self.sun < w / 2 else -1
        for _ in range(11):
            angle = math.pi / 2 - aim * self.rng.uniform(-0.12, 0.75)
            spread, far = self.rng.uniform(0.008, 0.035), h * 1.1
            ends = [
                (source[0] + math.cos(a) * far, source[1] + math.sin(a) * far) for a in (angle - spread, angle + spread)
            ]
            pen.polygon([source, *ends], fill=self.rng.randrange(90, 200))
        mask = mask.filter(ImageFilter.GaussianBlur(3)).resize((w, h), Image.Resampling.BILINEAR)
        return Image.composite(mask, Image.new("L", self.size), brush.fade(self.size, lambda y: (1 - y) ** 0.8))

    def frame(self, moment: float) -> Image.Image:
        frame = self.back.copy()
        part = moment / self.seconds
        for number, (fill, mask) in enumerate(self.layers):
            frame.paste(fill, (0, 0), brush.window(mask, self.width, (mask.width - self.width) * part))
            if number == 3:
                strength = 0.8 + 0.2 * math.sin(moment * 0.9)
                frame.paste(self.light, (0, 0), brush.faded(self.rays, strength))
        pen = ImageDraw.Draw(frame, "RGBA")
        for x, y, size, phase in self.motes:
            px = (x + 0.02 * math.sin(moment * 0.4 + phase) + moment * 0.004) % 1 * self.width
            py = (y - moment * 0.012 * size) % 1 * self.height
            reach = size * self.unit / 280
            alpha = max(0, round(120 * math.sin(moment * 0.9 + phase)))
            pen.ellipse((px - reach, py - reach, px + reach, py + reach), fill=(*self.light, alpha))
        return frame
