"""Jellyfish drifting through shafts of light."""

import math
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import colour, mix

DEEPS = (
    ("0a2a6b", "050b2a", "ff7fd0", "8a6bff"),
    ("07505e", "031722", "ffb36b", "5ee6d0"),
    ("3a1a6b", "0d0626", "6be0ff", "c58bff"),
    ("0b3a5a", "04101f", "a8ffb8", "5aa8ff"),
)


@dataclass(frozen=True)
class Animal:
    x: float
    y: float
    radius: float
    tone: brush.Colour
    phase: float
    tails: list[tuple[float, float, float]]
    bell: Image.Image


class Jellyfish(Scene):
    corners = 0.5
    small = 2

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        top, low, first, second = (colour(tone) for tone in rng.choice(DEEPS))
        self.back = brush.gradient(self.size, [(0, top), (0.75, mix(low, top, 0.12)), (1, low)], rng)
        self.ray = mix(top, (190, 225, 255), 0.6)
        self.shafts = [
            (rng.random(), rng.uniform(0.02, 0.07), rng.uniform(0, 6), rng.uniform(0.35, 1)) for _ in range(8)
        ]
        self.animals = []
        side = rng.choice((-1, 1))
        for number, scale in enumerate((0.075, 0.11, 0.24) if self.wide < 1.3 else (0.07, 0.1, 0.13, 0.23)):
            side = -side
            apart = 0.3 + 0.1 * rng.random() - 0.08 * (self.wide > 1.3) * rng.random()
            x = 0.5 + side * apart if scale < 0.2 else 0.5 + rng.uniform(-0.04, 0.04)
            y = (0.24, 0.6, 0.68)[number % 3] + rng.uniform(-0.05, 0.05) if scale < 0.2 else 0.42
            tone = first if scale > 0.2 or rng.random() < 0.3 else second
            tails = [(rng.uniform(-0.8, 0.8), rng.uniform(1.6, 3.1), rng.uniform(0, 6)) for _ in range(11)]
            self.animals.append(
                Animal(x * w, y * h, scale * self.unit, tone, rng.uniform(0, 6), tails, self._bell(tone))
            )
        self.specks = [(rng.random(), rng.random(), rng.uniform(0.3, 1), rng.uniform(0, 6)) for _ in range(80)]

    def _bell(self, tone: brush.Colour) -> Image.Image:
        """The bell as light, 200 pixels wide: a bright rim, veins, a glow around it."""
        side, middle, reach = 320, 160, 100
        body = Image.new("L", (side, side))
        pen = ImageDraw.Draw(body)
        pen.pieslice((middle - reach, middle - reach, middle + reach, middle + reach), 180, 360, fill=105)
        pen.ellipse((middle - reach, middle - 24, middle + reach, middle + 24), fill=105)
        rim = body.filter(ImageFilter.GaussianBlur(7))
        rim = ImageChops.multiply(
            ImageChops.invert(rim.point(lambda value: min(255, value * 2))),
            body.point(lambda value: 255 if value else 0),
        )
        veins = Image.new("L", (side, side))
        pen = ImageDraw.Draw(veins)
        for step in range(-4, 5):
            line = [
                (
                    middle + math.sin(step * 0.33) * reach * math.sin(part * math.pi / 40) * 0.98,
                    middle - math.cos(part * math.pi / 40) * reach * 0.92 * math.cos(step * 0.12),
                )
                for part in range(21)
            ]
            pen.line(line, fill=120, width=3)
        heart = brush.glow(60, 1.5)
        light = ImageChops.add(body.filter(ImageFilter.GaussianBlur(2)), rim.point(lambda value: round(value * 0.75)))
        light = ImageChops.add(
            light,
            ImageChops.multiply(
                veins.filter(ImageFilter.GaussianBlur(2.5)), body.point(lambda value: 210 if value else 0)
            ),
        )
        light.paste(ImageChops.add(light.crop((100, 75, 220, 195)), heart.point(lambda value: value // 2)), (100, 75))
        halo = body.filter(ImageFilter.GaussianBlur(26))
        return ImageChops.add(
            brush.tinted(light, mix(tone, (255, 255, 255), 0.16), 0.95), brush.tinted(halo, tone, 0.75)
        )

    def frame(self, moment: float) -> Image.Image:
        frame = self.back.copy()
        w, h = self.size
        s = self.small
        mask = Image.new("L", (w // 8, h // 8))
        pen = ImageDraw.Draw(mask)
        for x, wide, phase, strength in self.shafts:
            at = (x * 1.3 - 0.15 + 0.03 * math.sin(moment * 0.3 + phase)) * w / 8
            lean, broad = (x - 0.5) * w * 0.09, wide * w / 8
            level = round(80 * strength * (0.65 + 0.35 * math.sin(moment * 0.7 + phase)))
            pen.polygon(
                [
                    (at - broad * 0.4, -2),
                    (at + broad * 0.4, -2),
                    (at + broad * 1.7 + lean, h / 8),
                    (at - broad * 1.7 + lean, h / 8),
                ],
                fill=level,
            )
        mask = ImageChops.multiply(
            mask.filter(ImageFilter.GaussianBlur(2)), brush.fade(mask.size, lambda y: (1 - y) ** 1.2)
        )
        frame.paste(self.ray, (0, 0), mask.resize(self.size, Image.Resampling.BICUBIC))
        light = Image.new("RGB", (w // s, h // s))
        for animal in self.animals:
            self._draw(light, animal, moment)
        frame = ImageChops.add(frame, light.resize(self.size, Image.Resampling.BILINEAR))
        self._drift(frame, moment)
        return frame

    def _draw(self, light: Image.Image, animal: Animal, moment: float) -> None:
        s, radius, phase, bell = self.small, animal.radius, animal.phase, animal.bell
        beat = math.sin(moment * 2.1 + phase)
        x = (animal.x + math.sin(moment * 0.35 + phase) * radius * 0.25) / s
        y = (
            animal.y
            - (moment - self.seconds / 2) * radius * 0.05
            - math.sin(moment * 2.1 + phase + 1.2) * radius * 0.07
        ) / s
        wide, tall = radius / s * (1 + 0.07 * beat), radius / s * (1 - 0.08 * beat)
        size = (round(bell.width * wide / 100), round(bell.height * tall / 100))
        self._tails(light, (x, y), wide, animal, moment)
        brush.shine(light, bell.resize(size, Image.Resampling.BILINEAR), (x, y))

    def _tails(self, light: Image.Image, at: tuple[float, float], wide: float, animal: Animal, moment: float) -> None:
        """Arms with frills and thin tentacles, swaying; drawn twice as large for smooth lines."""
        big = wide * 2
        reach, tall = round(big * 1.4), round(big * 3.5)
        mask = Image.new("L", (reach * 2, tall))
        pen = ImageDraw.Draw(mask)
        steps = 16
        for number, (root, long, own) in enumerate(animal.tails):
            arm = number < 4
            points = []
            for step in range(steps + 1):
                part = step / steps
                sway = math.sin(part * 5.5 - moment * 2.0 + own + animal.phase) * part * (0.16 if arm else 0.11)
                frill = math.sin(part * 22 + own) * 0.05 * part if arm else 0.0
                spread = root * (0.35 if arm else 0.95) * (1 - 0.35 * part)
                points.append(
                    (reach + (spread + sway + frill) * big, (0.2 + part * long * (0.8 if arm else 1.05)) * big)
                )
            for step in range(steps):
                level = round((165 if arm else 120) * (1 - step / steps) ** 0.8 * min(1.0, 0.3 + step * 0.35))
                thick = big * (0.085 if arm else 0.018) * (1 - step / steps * 0.6)
                pen.line(points[step : step + 2], fill=level, width=max(1, round(thick)))
        soft = mask.reduce(2)
        tone = mix(animal.tone, (255, 255, 255), 0.1)
        brush.shine(light, brush.tinted(soft, tone, 0.7), (at[0], at[1] + tall / 4))

    def _drift(self, frame: Image.Image, moment: float) -> None:
        pen = ImageDraw.Draw(frame, "RGBA")
        for x, y, size, phase in self.specks:
            px = (x + math.sin(moment * 0.3 + phase) * 0.01) % 1 * self.width
            py = (y - moment * 0.008 * size) % 1 * self.height
            reach = size * self.unit / 260
            level = round(150 * size * (0.55 + 0.45 * math.sin(moment * 0.8 + phase)))
            pen.ellipse((px - reach, py - reach, px + reach, py + reach), fill=(*self.ray, level))
