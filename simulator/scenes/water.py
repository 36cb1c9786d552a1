"""A lighthouse over a moonlit sea, jellyfish drifting through shafts of light."""

import math
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import colour, mix

SEAS = (
    ("0a1230", "2c4a7a", "0d1a36", "fff3cf", "ffe9b0"),
    ("140f2e", "6a4a86", "1a1436", "ffe3d0", "ffd49a"),
    ("06171f", "2f6f78", "082028", "eefcf4", "fff0b8"),
    ("1c1026", "b0566a", "2a1530", "ffd9b8", "ffe0a0"),
)
DEEPS = (
    ("0a2a6b", "050b2a", "ff7fd0", "8a6bff"),
    ("07505e", "031722", "ffb36b", "5ee6d0"),
    ("3a1a6b", "0d0626", "6be0ff", "c58bff"),
    ("0b3a5a", "04101f", "a8ffb8", "5aa8ff"),
)


class Sea(Scene):
    corners = 0.42

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        top, low, deep, moon, lamp = (colour(tone) for tone in rng.choice(SEAS))
        self.horizon = round(h * (0.56 if self.wide > 0.9 else 0.6))
        self.side = rng.choice((-1, 1))
        self.moon = (w * (0.5 - self.side * rng.uniform(0.12, 0.24)), self.horizon * rng.uniform(0.38, 0.52))
        sky = brush.gradient(self.size, [(0, top), (self.horizon / h, low), (1, low)], rng)
        sky = ImageChops.add(sky, brush.stars((w, h), rng, w * h // 1300))
        brush.shine(sky, brush.tinted(brush.glow(round(self.unit * 0.7), 2.8), moon, 0.35), self.moon)
        brush.shine(sky, brush.tinted(brush.glow(round(self.unit * 0.16), 2.0), moon, 0.35), self.moon)
        ball = brush.disc(self.unit * 0.038, 0.9)
        sky.paste(mix(moon, (255, 255, 255), 0.3), (round(self.moon[0] - ball.width / 2), round(self.moon[1] - ball.height / 2)), ball)
        sea = brush.gradient((w, h - self.horizon), [(0, mix(low, deep, 0.3)), (0.25, mix(low, deep, 0.75)), (1, mix(deep, (0, 0, 0), 0.3))], rng)
        sky.paste(sea, (0, self.horizon))
        self.back, self.moonlight, self.swell_tone = sky, mix(moon, (255, 255, 255), 0.15), mix(low, moon, 0.2)
        clouds = brush.levels(brush.billows((w * 2, self.horizon), rng, (round(self.unit * 0.8), round(self.unit * 0.1)), 4), 0.52, 0.95, 0.55)
        self.clouds = ImageChops.multiply(clouds, brush.fade(clouds.size, lambda y: math.sin(math.pi * y) ** 0.7))
        self.cloud_tone = mix(mix(top, low, 0.7), moon, 0.18)
        self.foot = w * (0.5 + self.side * (0.3 if self.wide > 0.9 else 0.24))
        self._rock(top)
        self.lamp, self.lamp_tone = (self.foot, self.cliff - self.unit * 0.235), lamp
        self.halo = brush.tinted(brush.glow(round(self.unit * 0.13), 2.2), lamp, 0.75)
        self.spots = [(rng.random(), rng.gauss(0, 1), rng.uniform(0, 6), rng.uniform(0.6, 1.6)) for _ in range(150)]
        self.swells = [(rng.random(), rng.random(), rng.uniform(0, 6), rng.uniform(0.5, 1.5)) for _ in range(70)]

    def _rock(self, top: brush.Colour) -> None:
        rng, (w, h), u = self.rng, self.size, self.unit
        self.cliff = self.horizon - u * 0.05
        bumps = brush.hills(w, rng, self.wide * 5, 0.62, 6)
        tops = []
        for x in range(w):
            out = (x - self.foot) * -self.side / (u * 0.34)  # towards the open sea
            fall = brush.smooth(out) if out > 0 else 0.15 * brush.smooth(-out)
            tops.append(self.cliff + fall * u * 0.3 + bumps[x] * u * 0.022 * (0.3 + fall) if out < 1.05 else h + 9)
        rock = brush.silhouette(self.size, tops)
        shore = brush.fade(self.size, lambda y: 1.0 if y < (self.horizon + u * 0.2) / h else max(0.0, 1 - (y - (self.horizon + u * 0.2) / h) * h / (u * 0.07)))
        tower = brush.shapes(self.size, lambda pen, scale: self._tower(pen, scale))
        self.rock = ImageChops.lighter(ImageChops.multiply(rock, shore), tower)
        self.rock_fill = brush.gradient(self.size, [(0, mix(top, (8, 10, 16), 0.55)), (0.6, mix(top, (4, 6, 10), 0.8)), (1, (4, 6, 11))])

    def _tower(self, pen: ImageDraw.ImageDraw, k: int) -> None:
        x, y, u = self.foot, self.cliff + self.unit * 0.02, self.unit
        def box(half: float, low: float, half_top: float, high: float) -> None:
            corners = [(x - half * u, y - low * u), (x + half * u, y - low * u), (x + half_top * u, y - high * u), (x - half_top * u, y - high * u)]
            pen.polygon([(px * k, py * k) for px, py in corners], fill=255)
        box(0.032, -0.01, 0.019, 0.225)
        box(0.031, 0.222, 0.031, 0.232)
        box(0.017, 0.262, 0.017, 0.272)
        box(0.019, 0.272, 0.002, 0.298)
        for edge in (-0.014, 0.011):
            pen.rectangle([(x + edge * u) * k, (y - 0.265 * u) * k, (x + (edge + 0.003) * u) * k, (y - 0.23 * u) * k], fill=255)
        for left in (0.05, 0.075):
            pen.polygon([((x + self.side * px * u) * k, (y - py * u) * k) for px, py in ((left, -0.02), (left, 0.035), (left + 0.02, 0.055), (left + 0.04, 0.035), (left + 0.04, -0.02))], fill=255)

    def _beam(self, frame: Image.Image, moment: float) -> None:
        """The lamp turns once in eight seconds; what we see is the beam's length across our view."""
        turn = moment * math.tau / 8
        mask = Image.new("L", (self.width // 4, self.height // 4))
        pen = ImageDraw.Draw(mask)
        x, y = self.lamp[0] / 4, self.lamp[1] / 4
        for phase in (0.0, math.pi):
            across, towards = math.cos(turn + phase), math.sin(turn + phase)
            reach = across * self.width / 1.5
            spread = abs(reach) * 0.06 + 1.5 * max(0.0, towards)
            strength = 0.35 + 0.4 * max(0.0, towards)
            for share, level in ((1.0, 60), (0.62, 60), (0.34, 70), (0.16, 65)):
                end = x + reach * share
                lift = -abs(reach) * 0.02 * share
                pen.polygon([(x, y), (end, y + lift - spread * share), (end, y + lift + spread * share)], fill=round(strength * (level + 255 * 0.55 * (1 - share))))
        soft = mask.filter(ImageFilter.GaussianBlur(1.6)).resize(self.size, Image.Resampling.BILINEAR)
        frame.paste(self.lamp_tone, (0, 0), soft)
        front = max(0.0, math.sin(turn)) ** 6 + max(0.0, math.sin(turn + math.pi)) ** 6
        self.flash = 0.75 + 0.9 * front

    def frame(self, moment: float) -> Image.Image:
        frame = self.back.copy()
        w, h = self.size
        frame.paste(self.cloud_tone, (0, 0), brush.window(self.clouds, w, (moment * w * 0.012) % w))
        self._glitter(frame, moment)
        self._beam(frame, moment)
        frame.paste(self.rock_fill, (0, 0), self.rock)
        light = self.halo.point(lambda value: min(255, round(value * self.flash)))
        brush.shine(frame, light, self.lamp)
        return frame

    def _glitter(self, frame: Image.Image, moment: float) -> None:
        w, h = self.size
        deep = h - self.horizon
        shine, swell = Image.new("L", (w, deep)), Image.new("L", (w, deep))
        pen, dark = ImageDraw.Draw(shine), ImageDraw.Draw(swell)
        for y, x, phase, rate in self.swells:
            down = y**1.6
            centre = ((x + moment * 0.01 * (0.4 + down)) % 1.2 - 0.1) * w
            half = self.unit * (0.02 + 0.16 * down) * (0.7 + 0.3 * math.sin(moment * rate + phase))
            dark.ellipse((centre - half, down * deep, centre + half, down * deep + 1 + down * 3), fill=round(26 + 22 * math.sin(moment * rate * 0.7 + phase)))
        frame.paste(self.swell_tone, (0, self.horizon), swell)
        for y, x, phase, rate in self.spots:
            down = y**1.5
            blink = math.sin(moment * 2.2 * rate + phase)
            if blink < -0.35:
                continue
            spread = self.unit * (0.03 + 0.12 * down)
            centre = self.moon[0] + x * spread + math.sin(moment * 0.6 + phase) * self.unit * 0.01
            half = self.unit * (0.006 + 0.038 * down) * (0.45 + 0.55 * blink)
            tall = 0.5 + down * self.unit * 0.0038
            level = (90 + 150 * max(0.0, blink)) * math.exp(-abs(x) * 0.55)
            pen.ellipse((centre - half, down * deep - tall, centre + half, down * deep + tall), fill=round(min(235, level)))
        frame.paste(self.moonlight, (0, self.horizon), shine.filter(ImageFilter.BoxBlur(0.6)))


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
        self.shafts = [(rng.random(), rng.uniform(0.02, 0.07), rng.uniform(0, 6), rng.uniform(0.35, 1)) for _ in range(8)]
        self.animals = []
        side = rng.choice((-1, 1))
        for number, scale in enumerate((0.075, 0.11, 0.24) if self.wide < 1.3 else (0.07, 0.1, 0.13, 0.23)):
            side = -side
            apart = 0.3 + 0.1 * rng.random() - 0.08 * (self.wide > 1.3) * rng.random()
            x = 0.5 + side * apart if scale < 0.2 else 0.5 + rng.uniform(-0.04, 0.04)
            y = (0.24, 0.6, 0.68)[number % 3] + rng.uniform(-0.05, 0.05) if scale < 0.2 else 0.42
            tone = first if scale > 0.2 or rng.random() < 0.3 else second
            tails = [(rng.uniform(-0.8, 0.8), rng.uniform(1.6, 3.1), rng.uniform(0, 6)) for _ in range(11)]
            self.animals.append(Animal(x * w, y * h, scale * self.unit, tone, rng.uniform(0, 6), tails, self._bell(tone)))
        self.specks = [(rng.random(), rng.random(), rng.uniform(0.3, 1), rng.uniform(0, 6)) for _ in range(80)]

    def _bell(self, tone: brush.Colour) -> Image.Image:
        """The bell as light, 200 pixels wide: a bright rim, veins, a glow around it."""
        side, middle, reach = 320, 160, 100
        body = Image.new("L", (side, side))
        pen = ImageDraw.Draw(body)
        pen.pieslice((middle - reach, middle - reach, middle + reach, middle + reach), 180, 360, fill=105)
        pen.ellipse((middle - reach, middle - 24, middle + reach, middle + 24), fill=105)
        rim = body.filter(ImageFilter.GaussianBlur(7))
        rim = ImageChops.multiply(ImageChops.invert(rim.point(lambda value: min(255, value * 2))), body.point(lambda value: 255 if value else 0))
        veins = Image.new("L", (side, side))
        pen = ImageDraw.Draw(veins)
        for step in range(-4, 5):
            line = [(middle + math.sin(step * 0.33) * reach * math.sin(part * math.pi / 40) * 0.98, middle - math.cos(part * math.pi / 40) * reach * 0.92 * math.cos(step * 0.12)) for part in range(0, 21)]
            pen.line(line, fill=120, width=3)
        heart = brush.glow(60, 1.5)
        light = ImageChops.add(body.filter(ImageFilter.GaussianBlur(2)), rim.point(lambda value: round(value * 0.75)))
        light = ImageChops.add(light, ImageChops.multiply(veins.filter(ImageFilter.GaussianBlur(2.5)), body.point(lambda value: 210 if value else 0)))
        light.paste(ImageChops.add(light.crop((100, 75, 220, 195)), heart.point(lambda value: value // 2)), (100, 75))
        halo = body.filter(ImageFilter.GaussianBlur(26))
        return ImageChops.add(brush.tinted(light, mix(tone, (255, 255, 255), 0.16), 0.95), brush.tinted(halo, tone, 0.75))

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
            pen.polygon([(at - broad * 0.4, -2), (at + broad * 0.4, -2), (at + broad * 1.7 + lean, h / 8), (at - broad * 1.7 + lean, h / 8)], fill=level)
        mask = ImageChops.multiply(mask.filter(ImageFilter.GaussianBlur(2)), brush.fade(mask.size, lambda y: (1 - y) ** 1.2))
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
        y = (animal.y - (moment - self.seconds / 2) * radius * 0.05 - math.sin(moment * 2.1 + phase + 1.2) * radius * 0.07) / s
        wide, tall = radius / s * (1 + 0.07 * beat), radius / s * (1 - 0.08 * beat)
        size = (round(bell.width * wide / 100), round(bell.height * tall / 100))
        self._tails(light, (x, y), wide, animal, moment)
        brush.shine(light, bell.resize(size, Image.Resampling.BILINEAR), (x, y))

    def _tails(
        self, light: Image.Image, at: tuple[float, float], wide: float, animal: Animal, moment: float
    ) -> None:
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
                points.append((reach + (spread + sway + frill) * big, (0.2 + part * long * (0.8 if arm else 1.05)) * big))
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
