"""Dunes at golden hour, mountains in mist."""

import math

from PIL import Image, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import Colour, colour, mix

DUNES = (
    # sky from the top to the horizon, sun, lit sand, shaded sand
    (("5a5f9e", "a98bb0", "f3b98a", "ffe2a0"), "fff3cf", "f0a33f", "7c2c33"),
    (("2f3f77", "8a6a9c", "ef8f77", "ffc98a"), "fff0d2", "e07f45", "571f38"),
    (("7fa3c4", "c9c3bd", "f6d6a6", "fff0c8"), "fffbe6", "e9c07a", "9a5b3a"),
    (("3b2a5c", "9c3f6a", "f0694f", "ffb35c"), "ffe0a8", "cf5a34", "45152f"),
)
MOUNTAINS = (
    (("7d8fc4", "c9b3d0", "f6d0c4"), "f7d9d2", "232a4d"),
    (("3d5a80", "98a9bf", "f4c9a0"), "f6d3b0", "14202f"),
    (("c65d3a", "f0a35a", "ffe0a0"), "ffd9a0", "3a1420"),
    (("5b8f9c", "b9d2cb", "f3ecd2"), "e6eee0", "12303a"),
)


class Dunes(Scene):
    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        sky, sun, lit, shade = rng.choice(DUNES)
        tones = [colour(tone) for tone in sky]
        self.horizon = round(h * (0.52 if self.wide > 0.9 else 0.6))
        stops = [(0.0, tones[0]), (0.32, tones[1]), (0.5, tones[2]), (self.horizon / h, tones[3]), (1.0, tones[3])]
        self.sky = brush.gradient(self.size, stops, rng)
        x, y = w * rng.uniform(0.3, 0.72), self.horizon - self.unit * rng.uniform(0.09, 0.16)
        brush.shine(self.sky, brush.tinted(brush.glow(round(self.unit * 0.9), 2.6), colour(sun), 0.30), (x, y))
        brush.shine(self.sky, brush.tinted(brush.glow(round(self.unit * 0.22), 1.6), colour(sun), 0.34), (x, y))
        ball = brush.disc(self.unit * 0.042, 1.0)
        self.sky.paste(
            mix(colour(sun), (255, 255, 255), 0.6), (round(x - ball.width / 2), round(y - ball.height / 2)), ball
        )
        self.layers = [self._layer(number, tones[3], colour(lit), colour(shade)) for number in range(5)]
        self.dust = [(rng.random(), rng.random(), rng.uniform(0.4, 1.0), rng.uniform(0, 6)) for _ in range(46)]
        self.dust_tone = mix(colour(sun), colour(lit), 0.25)

    def _layer(self, number: int, haze: Colour, lit: Colour, shade: Colour) -> tuple[Image.Image, ...]:
        """One row of dunes: its sand in light, its sand in shade, and a mask for each."""
        rng, (w, h) = self.rng, self.size
        depth = number / 4
        width = w + round(self.travel(0.03 + 0.26 * depth**1.5)) + 2
        middle = self.horizon + (h - self.horizon) * (0.0, 0.08, 0.22, 0.46, 0.8)[number]
        swing = self.unit * (0.018, 0.045, 0.08, 0.11, 0.12)[number]
        tops = [
            middle - swing * (abs(v) ** 0.8 * (1 if v > 0 else -1))
            for v in brush.hills(width, rng, width / (self.unit * (0.9, 1.0, 1.5, 2.0, 2.4)[number]), 0.38, 3)
        ]
        top = max(0, int(min(tops)) - 2)
        size = (width, h - top)
        mask = brush.silhouette(size, [value - top for value in tops])
        dark = brush.shapes(size, lambda pen, scale: self._shaded_sides(pen, scale, tops, top, swing))
        dark = dark.filter(ImageFilter.GaussianBlur(0.6))
        near = mix(haze, lit, 0.42 + 0.58 * depth)
        low = mix(near, shade, 0.32 + 0.3 * depth)
        light = brush.gradient((w, h - top), [(0, near), (0.5, mix(near, low, 0.5)), (1, low)], rng)
        ripples = brush.noise((w, h - top), rng, (60, 3)).point(lambda value: (value - 90) // 9 if value > 90 else 0)
        light.paste(mix(near, shade, 0.6), (0, 0), ripples)
        dim = mix(haze, shade, 0.35 + 0.65 * depth)
        dark_sand = brush.gradient((w, h - top), [(0, dim), (1, mix(dim, low, 0.3))], rng)
        return light, dark_sand, mask, dark

    def _shaded_sides(self, pen: ImageDraw.ImageDraw, scale: int, tops: list[float], top: int, swing: float) -> None:
        """From every crest a shadow runs down the far side and ends in a curved tongue."""
        gap = 6
        crests = [
            x
            for x in range(gap, len(tops) - gap)
            if tops[x] == min(tops[x - gap : x + gap + 1]) and tops[x] < tops[x - gap]
        ]
        for crest in crests:
            valley = crest
            while valley < len(tops) - 1 and tops[valley + 1] >= tops[valley] - 0.01:
                valley += 1
            if valley - crest < self.unit * 0.16:
                continue
            long = min(swing * self.rng.uniform(2.0, 2.8), (valley - crest) * 0.6)
            lean = (valley - crest) * self.rng.uniform(-0.1, 0.25)
            ridge = [(x, tops[x] - top) for x in range(crest, valley, 2)]
            tip = (crest + lean + (valley - crest) * 0.62, tops[crest] - top + long)
            back = []
            for step in range(1, 30):
                part = step / 30
                x = tip[0] + (crest - tip[0]) * part + math.sin(part * math.pi * 1.6) * (valley - crest) * 0.12
                back.append((x, tip[1] + (tops[crest] - top - tip[1]) * part))
            out = [
                (valley + (tip[0] - valley) * part**1.4, tops[valley] - top + (tip[1] - tops[valley] + top) * part**0.8)
                for part in (0.2, 0.4, 0.6, 0.8, 1.0)
            ]
            pen.polygon([(x * scale, y * scale) for x, y in [*ridge, *out, *back]], fill=255)

    def frame(self, moment: float) -> Image.Image:
        frame = self.sky.copy()
        part = moment / self.seconds
        for light, shade, mask, dark in self.layers:
            left = (mask.width - self.width) * part
            top = self.height - mask.height
            moved = brush.window(mask, self.width, left)
            frame.paste(light, (0, top), moved)
            frame.paste(
                shade, (0, top), Image.composite(brush.window(dark, self.width, left), moved.point(lambda _: 0), moved)
            )
        pen = ImageDraw.Draw(frame, "RGBA")
        for x, y, size, phase in self.dust:
            across = ((x + moment * 0.035 * size) % 1.1 - 0.05) * self.width
            down = self.horizon + (y * 1.2 - 0.15) * (self.height - self.horizon) + math.sin(moment * 0.7 + phase) * 5
            reach = size * self.unit / 300
            alpha = round(70 + 60 * math.sin(moment * 1.1 + phase))
            pen.ellipse((across - reach, down - reach, across + reach, down + reach), fill=(*self.dust_tone, alpha))
        return frame


class Mountains(Scene):
    corners = 0.3

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        sky, haze, near = rng.choice(MOUNTAINS)
        tones = [colour(tone) for tone in sky]
        self.sky = brush.gradient(self.size, [(0, tones[0]), (0.22, tones[1]), (0.43, tones[2]), (1, tones[2])], rng)
        sun = (w * rng.uniform(0.25, 0.75), h * rng.uniform(0.2, 0.28))
        brush.shine(
            self.sky,
            brush.tinted(brush.glow(round(self.unit * 0.8), 2.4), mix(tones[2], (255, 255, 255), 0.4), 0.45),
            sun,
        )
        ball = brush.disc(self.unit * 0.05, 1.2)
        self.sky.paste(
            mix(tones[2], (255, 252, 240), 0.8), (round(sun[0] - ball.width / 2), round(sun[1] - ball.height / 2)), ball
        )
        self.layers = []
        count = 6
        for number in range(count):
            depth = number / (count - 1)
            width = w + round(self.travel(0.02 + 0.2 * depth**1.6)) + 2
            base = h * (0.47 + 0.43 * depth**1.1)
            rise = self.unit * (0.17 - 0.03 * depth)
            tops = [
                base - rise * value for value in brush.ridges(width, rng, max(3, round(width / self.unit * 3)), 0.52)
            ]
            top = max(0, int(min(tops)) - 1)
            mask = brush.silhouette((width, h - top), [value - top for value in tops])
            crest = mix(mix(tones[2], colour(haze), 0.5), colour(near), 0.16 + 0.84 * depth**1.2)
            fog = mix(crest, colour(haze), 0.75 * (1 - depth) + 0.12)
            reach = min(1.0, (rise * 1.5 + h * 0.12) / (h - top))
            fill = brush.gradient((w, h - top), [(0, crest), (reach, fog), (1, fog)], rng)
            self.layers.append((fill, mask, top))
        wisps = brush.levels(
            brush.billows((w * 2, h // 2), rng, (round(self.unit * 0.55), round(self.unit * 0.09)), 4), 0.5, 0.95, 0.5
        )
        self.mist = Image.composite(
            wisps, Image.new("L", wisps.size), brush.fade(wisps.size, lambda y: math.sin(math.pi * y))
        )
        self.haze = colour(haze)
        self.birds = [(rng.uniform(-0.1, 0.1), rng.uniform(-0.04, 0.04), rng.uniform(0, 6)) for _ in range(7)]
        self.flock = (rng.uniform(0.1, 0.3), rng.uniform(0.14, 0.22))
        self.ink = mix(colour(haze), colour(near), 0.75)

    def frame(self, moment: float) -> Image.Image:
        frame = self.sky.copy()
        part = moment / self.seconds
        for number, (fill, mask, top) in enumerate(self.layers):
            frame.paste(fill, (0, top), brush.window(mask, self.width, (mask.width - self.width) * part))
            if number == 1:
                self._fly(frame, moment)
            if number in (2, 4):
                left = (moment * self.width * (0.012 + 0.006 * number)) % self.width
                mist = brush.window(self.mist, self.width, left)
                frame.paste(self.haze, (0, round(self.height * (0.36 + 0.07 * number))), mist)
        return frame

    def _fly(self, frame: Image.Image, moment: float) -> None:
        pen = ImageDraw.Draw(frame)
        x0 = (self.flock[0] + moment * 0.016) * self.width
        y0 = self.flock[1] * self.height
        span = self.unit * 0.011
        for dx, dy, phase in self.birds:
            x, y = x0 + dx * self.unit, y0 + dy * self.unit + math.sin(moment * 0.8 + phase) * 2
            lift = math.sin(moment * 7 + phase) * span * 0.5
            pen.line([(x - span, y - lift), (x, y), (x + span, y - lift)], fill=self.ink, width=1, joint="curve")
