"""Lights out of focus behind a cup of coffee, a motorway at dusk."""

import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import Colour, colour, mix

LIGHTS = (
    ("ff9d3c", "ffd9a0", "e0303f", "3f7bff", "1a1014"),
    ("ff6fae", "ffc6e0", "8a6bff", "4bd0ff", "150f22"),
    ("ffd24b", "fff1c4", "5bd08a", "2fa0b0", "0c1614"),
    ("ffb070", "ff7a4b", "ffe6c4", "b05bff", "190f14"),
)
DUSKS = (
    ("0c0f2e", "4a2f86", "e0589c", "fff0c8", "ff2a2a"),
    ("071a2c", "1f4f74", "f0a060", "f2f7ff", "ff4a20"),
    ("140a20", "6a2450", "ff7a4b", "ffe6b0", "ff1f4a"),
    ("04121a", "0f4a52", "8fd0a0", "eafff4", "ff5a3a"),
)


class Bokeh(Scene):
    """The lights are drawn half as large, each in a few strengths made ready before."""

    every = 3
    corners = 0.45
    steps = 6

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        tones = [colour(tone) for tone in rng.choice(LIGHTS)]
        self.dark = tones.pop()
        self.sill = round(h * (0.84 if self.wide > 0.9 else 0.8))
        self.back = brush.gradient(
            self.size,
            [(0, mix(self.dark, (0, 0, 0), 0.35)), (0.55, mix(self.dark, tones[0], 0.16)), (1, self.dark)],
            rng,
        )
        centre = w * rng.uniform(0.4, 0.6)
        brush.shine(self.back, brush.tinted(brush.glow(round(self.unit * 0.7), 2), tones[0], 0.3), (centre, h * 0.5))
        self.discs = []
        for number in range(round(34 + 22 * max(self.wide, 1 / self.wide))):
            size = self.unit * (0.012 + 0.075 * rng.random() ** 1.6)
            x, y = rng.gauss(0.5, 0.27), rng.gauss(0.44, 0.2)
            tone = mix(rng.choice(tones), (255, 255, 255), 0.12 * rng.random())
            sharp, strength = self._aperture(size / 2), rng.uniform(0.35, 0.75)
            light = [
                brush.tinted(sharp, tone, strength * (0.6 + 0.4 * step / self.steps)) for step in range(self.steps + 1)
            ]
            drift = (rng.uniform(0.004, 0.016) * (-1 if number % 3 else 1), rng.uniform(-0.003, 0.003))
            self.discs.append((x, y, light, drift, rng.uniform(0, 6), rng.uniform(0.4, 1.3)))
        mask = brush.shapes(self.size, lambda pen, k: self._cup(pen, k, w * (0.5 + (0.5 - centre / w) * 1.2)))
        self.front = mask.filter(ImageFilter.GaussianBlur(0.5))
        rim = ImageChops.subtract(mask, ImageChops.offset(mask, 0, 2))
        self.rim = brush.tinted(rim.filter(ImageFilter.GaussianBlur(0.7)), tones[0], 0.75)
        self.puff = brush.glow(round(self.unit * 0.1), 1.7)
        self.steam = mix(tones[1], (255, 255, 255), 0.4)

    def _aperture(self, radius: float) -> Image.Image:
        """A light out of focus: an even disc with a brighter edge."""
        body = brush.disc(radius, max(0.8, radius * 0.045))
        ring = ImageChops.subtract(
            body, brush.disc(radius * 0.88, max(0.8, radius * 0.05)).resize(body.size) if radius > 4 else body
        )
        return ImageChops.add(
            body.point(lambda value: round(value * 0.55)), ring.point(lambda value: round(value * 0.4))
        )

    def _cup(self, pen: ImageDraw.ImageDraw, k: int, x: float) -> None:
        w, h = self.size
        s, y = self.unit * 0.15, self.sill + 1
        pen.rectangle([0, y * k, w * k, h * k], fill=255)
        self.cup = (x, y - 1.55 * s)
        points = [
            (-0.72, -1.5),
            (0.72, -1.5),
            (0.64, -0.3),
            (0.5, -0.04),
            (0.44, 0.03),
            (-0.44, 0.03),
            (-0.5, -0.04),
            (-0.64, -0.3),
        ]
        pen.polygon([((x + px * s) * k, (y + py * s) * k) for px, py in points], fill=255)
        pen.ellipse([(x - 0.72 * s) * k, (y - 1.6 * s) * k, (x + 0.72 * s) * k, (y - 1.4 * s) * k], fill=255)
        pen.arc(
            [(x + 0.42 * s) * k, (y - 1.2 * s) * k, (x + 1.12 * s) * k, (y - 0.4 * s) * k],
            265,
            95,
            fill=255,
            width=round(0.13 * s * k),
        )

    def frame(self, moment: float) -> Image.Image:
        w, h = self.width // 2, self.height // 2
        lights = Image.new("RGB", (w, h))
        for x, y, light, drift, phase, rate in self.discs:
            px = ((x + drift[0] * moment) % 1.2 - 0.1) * w
            py = (y + drift[1] * moment + 0.006 * math.sin(moment * 0.5 + phase)) * h
            brush.shine(lights, light[round((0.5 + 0.5 * math.sin(moment * rate + phase)) * self.steps)], (px, py))
        frame = ImageChops.add(self.back, lights.resize(self.size, Image.Resampling.BILINEAR))
        for number in range(9):
            age = (moment * 0.11 + number / 9) % 1
            reach = round(self.puff.width * (0.5 + 0.9 * age))
            puff = brush.faded(self.puff.resize((reach, reach)), 0.22 * math.sin(math.pi * age))
            px = self.cup[0] + math.sin(age * 6 + moment * 0.5 + number) * self.unit * 0.03 * (0.3 + age)
            frame.paste(
                self.steam, (round(px - reach / 2), round(self.cup[1] - age * self.unit * 0.36 - reach / 2)), puff
            )
        frame.paste(mix(self.dark, (0, 0, 0), 0.72), (0, 0), self.front)
        return ImageChops.add(frame, self.rim)


class Trails(Scene):
    """Long exposure: white towards us on one side, red away on the other."""

    corners = 0.4

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        top, middle, low, white, red = (colour(tone) for tone in rng.choice(DUSKS))
        self.white, self.red = white, red
        self.horizon = round(h * (0.5 if self.wide > 0.9 else 0.56))
        edge = self.horizon / h
        back = brush.gradient(self.size, [(0, top), (edge * 0.6, middle), (edge, low), (1, low)], rng)
        self.far = (w * rng.uniform(0.46, 0.6), self.horizon + self.unit * 0.01)
        brush.shine(back, brush.tinted(brush.glow(round(self.unit * 0.55), 2), low, 0.35), self.far)
        for depth in (0.0, 1.0):
            self._skyline(back, depth, mix(mix(low, middle, 0.6), mix(top, (0, 0, 0), 0.5), 0.35 + 0.65 * depth), white)
        ground = brush.gradient(
            (w, h - self.horizon),
            [(0, mix(top, (0, 0, 0), 0.4)), (0.4, mix(top, (0, 0, 0), 0.62)), (1, (4, 4, 8))],
            rng,
        )
        back.paste(ground, (0, self.horizon))
        brush.shine(back, brush.tinted(brush.glow(round(self.unit * 0.2), 1.8), white, 0.55), self.far)
        self.top = self.horizon - round(self.unit * 0.03)
        self.lanes = {side: [self._lanes(side) for _ in range(3)] for side in (-1, 1)}
        self.beats = {side: [(rng.random(), rng.uniform(0.2, 0.36)) for _ in range(3)] for side in (-1, 1)}
        for side, tone in ((-1, white), (1, red)):
            for lanes in self.lanes[side]:
                back.paste(tone, (0, self.top), brush.faded(lanes, 0.5))
        self.back = back
        reach = h * 1.12 - self.far[1] * 0.12
        self.shares = [max(0.0, (y - self.far[1]) / (reach - self.far[1])) ** (1 / 2.1) for y in range(self.top, h)]

    def _skyline(self, back: Image.Image, depth: float, tone: Colour, lamp: Colour) -> None:
        rng, (w, _), u = self.rng, self.size, self.unit
        mask = Image.new("L", self.size)
        lights = Image.new("RGB", self.size)
        pen, glow = ImageDraw.Draw(mask), ImageDraw.Draw(lights)
        x = -4.0
        while x < w:
            wide = u * rng.uniform(0.02, 0.06) * (0.8 + 0.5 * depth)
            tall = u * rng.uniform(0.04, 0.13 + 0.1 * (1 - depth)) * (1.25 - 0.55 * depth)
            pen.rectangle((x, self.horizon - tall, x + wide, self.horizon + 2), fill=255)
            for px in range(round(x) + 2, round(x + wide) - 1, 3):
                for py in range(round(self.horizon - tall) + 3, self.horizon - 1, 4):
                    if rng.random() < 0.2:
                        glow.point((px, py), fill=mix((0, 0, 0), lamp, rng.uniform(0.25, 0.75)))
            x += wide + u * rng.uniform(0, 0.02)
        back.paste(tone, (0, 0), mask)
        back.paste(ImageChops.add(back, lights), (0, 0))

    def _lanes(self, side: int) -> Image.Image:
        """The light of a few vehicles, from the vanishing point and bending towards a lower corner."""
        (w, h), (x0, y0) = self.size, self.far
        big = 3
        mask = Image.new("L", (w * big, (h - self.top) * big))
        pen = ImageDraw.Draw(mask)
        for _ in range(5):
            reach = (0.07 + 0.62 * self.rng.random()) * max(w * 0.62, h * 0.5)
            level = round(255 * self.rng.uniform(0.45, 1.0))
            points = []
            for step in range(81):
                share = (step / 80) ** 2.1
                bend = math.sin(share * math.pi * 0.9) * self.unit * 0.09
                x = x0 + side * reach * share * 1.15 - bend + side * share * 3
                points.append((x * big, (y0 - self.top + (h - y0) * 1.12 * share) * big))
            for step in range(80):
                thick = 1.6 + self.unit * 0.009 * (step / 80) ** 1.5 * big
                pen.line(points[step : step + 2], fill=level, width=round(thick))
        sharp = mask.resize((w, h - self.top), Image.Resampling.BOX)
        soft = sharp.filter(ImageFilter.GaussianBlur(self.unit * 0.014)).point(
            lambda value: min(255, round(value * 0.9))
        )
        return ImageChops.add(sharp, soft)

    def _beat(self, side: int, begin: float, rate: float, moment: float) -> Image.Image:
        """Where on the road it is bright now: waves running away from us, or towards us."""
        run = begin + moment * rate * -side
        levels = bytes(
            round(255 * max(0.0, 1 - abs((share * 1.15 - run) % 1 - 0.5) * 2.6) ** 1.3) for share in self.shares
        )
        return Image.frombytes("L", (1, len(levels)), levels).resize((self.width, len(levels)))

    def frame(self, moment: float) -> Image.Image:
        frame = self.back.copy()
        for side, tone in ((-1, self.white), (1, self.red)):
            light = Image.new("L", (self.width, len(self.shares)))
            for lanes, (begin, rate) in zip(self.lanes[side], self.beats[side], strict=True):
                light = ImageChops.add(light, ImageChops.multiply(lanes, self._beat(side, begin, rate, moment)))
            frame.paste(mix(tone, (255, 255, 255), 0.25), (0, self.top), light)
        return frame
