"""A lighthouse over a moonlit sea."""

import math

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
        sky.paste(
            mix(moon, (255, 255, 255), 0.3),
            (round(self.moon[0] - ball.width / 2), round(self.moon[1] - ball.height / 2)),
            ball,
        )
        sea = brush.gradient(
            (w, h - self.horizon),
            [(0, mix(low, deep, 0.3)), (0.25, mix(low, deep, 0.75)), (1, mix(deep, (0, 0, 0), 0.3))],
            rng,
        )
        sky.paste(sea, (0, self.horizon))
        self.back, self.moonlight, self.swell_tone = sky, mix(moon, (255, 255, 255), 0.15), mix(low, moon, 0.2)
        clouds = brush.levels(
            brush.billows((w * 2, self.horizon), rng, (round(self.unit * 0.8), round(self.unit * 0.1)), 4),
            0.52,
            0.95,
            0.55,
        )
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
        shore = brush.fade(
            self.size,
            lambda y: (
                1.0
                if y < (self.horizon + u * 0.2) / h
                else max(0.0, 1 - (y - (self.horizon + u * 0.2) / h) * h / (u * 0.07))
            ),
        )
        tower = brush.shapes(self.size, lambda pen, scale: self._tower(pen, scale))
        self.rock = ImageChops.lighter(ImageChops.multiply(rock, shore), tower)
        self.rock_fill = brush.gradient(
            self.size, [(0, mix(top, (8, 10, 16), 0.55)), (0.6, mix(top, (4, 6, 10), 0.8)), (1, (4, 6, 11))]
        )

    def _tower(self, pen: ImageDraw.ImageDraw, k: int) -> None:
        x, y, u = self.foot, self.cliff + self.unit * 0.02, self.unit

        def box(half: float, low: float, half_top: float, high: float) -> None:
            corners = [
                (x - half * u, y - low * u),
                (x + half * u, y - low * u),
                (x + half_top * u, y - high * u),
                (x - half_top * u, y - high * u),
            ]
            pen.polygon([(px * k, py * k) for px, py in corners], fill=255)

        box(0.032, -0.01, 0.019, 0.225)
        box(0.031, 0.222, 0.031, 0.232)
        box(0.017, 0.262, 0.017, 0.272)
        box(0.019, 0.272, 0.002, 0.298)
        for edge in (-0.014, 0.011):
            pen.rectangle(
                [(x + edge * u) * k, (y - 0.265 * u) * k, (x + (edge + 0.003) * u) * k, (y - 0.23 * u) * k], fill=255
            )
        for left in (0.05, 0.075):
            pen.polygon(
                [
                    ((x + self.side * px * u) * k, (y - py * u) * k)
                    for px, py in (
                        (left, -0.02),
                        (left, 0.035),
                        (left + 0.02, 0.055),
                        (left + 0.04, 0.035),
                        (left + 0.04, -0.02),
                    )
                ],
                fill=255,
            )

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
                pen.polygon(
                    [(x, y), (end, y + lift - spread * share), (end, y + lift + spread * share)],
                    fill=round(strength * (level + 255 * 0.55 * (1 - share))),
                )
        soft = mask.filter(ImageFilter.GaussianBlur(1.6)).resize(self.size, Image.Resampling.BILINEAR)
        frame.paste(self.lamp_tone, (0, 0), soft)
        front = max(0.0, math.sin(turn)) ** 6 + max(0.0, math.sin(turn + math.pi)) ** 6
        self.flash = 0.75 + 0.9 * front

    def frame(self, moment: float) -> Image.Image:
        frame = self.back.copy()
        w = self.width
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
            dark.ellipse(
                (centre - half, down * deep, centre + half, down * deep + 1 + down * 3),
                fill=round(26 + 22 * math.sin(moment * rate * 0.7 + phase)),
            )
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
            pen.ellipse(
                (centre - half, down * deep - tall, centre + half, down * deep + tall), fill=round(min(235, level))
            )
        frame.paste(self.moonlight, (0, self.horizon), shine.filter(ImageFilter.BoxBlur(0.6)))
