"""Aurora over a lake, snow falling on a cabin."""

import math
from functools import partial

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import colour, mix

AURORAS = (
    ("04101f", "0d3350", "3dffb0", "9b6bff"),
    ("0a0a24", "1d2a5a", "58ffd0", "ff6bd0"),
    ("05141a", "0f3d46", "a8ff6b", "39c6ff"),
    ("0d0820", "2b1a4f", "c58bff", "4bffc9"),
)
WINTERS = (
    ("0b1a4a", "3d6fc0", "b9cdf0", "ffd23c"),
    ("141033", "5a4a8f", "c4b8e0", "ffb347"),
    ("06222e", "2f7a8c", "bfe0e6", "ffd98a"),
)


class Aurora(Scene):
    """Curtains are painted a quarter as large: they are light, and light has no edges."""

    every = 3
    corners = 0.35
    small = 4

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        top, low, first, second = (colour(tone) for tone in rng.choice(AURORAS))
        self.shore = round(h * (0.74 if self.wide > 0.9 else 0.78))
        sky = brush.gradient(self.size, [(0, top), (self.shore / h, low), (1, low)], rng)
        self.sky = ImageChops.add(sky, brush.stars(self.size, rng, w * h // 700))
        self.tints = [first, mix(first, second, 0.35), second]
        peaks = brush.ridges(w, rng, max(4, round(w / self.unit * 3)), 0.55)
        rise = self.unit * 0.2
        self.hills = brush.silhouette(self.size, [self.shore - 4 - rise * value for value in peaks])
        self.hill_tone = brush.gradient(
            self.size, [(0, mix(top, low, 0.5)), (self.shore / h, mix(top, (0, 0, 0), 0.3)), (1, top)]
        )
        self.trees = brush.shapes(self.size, self._trees)
        self.water = brush.fade((w, h - self.shore), lambda y: 0.18 + 0.5 * y)
        s = self.small
        self.field = (w // s, self.shore // s)
        self.streaks = [
            brush.noise((self.field[0] * 3, 1), rng, (cell, 1))
            for cell in (max(2, w // 90), max(3, w // 40), max(3, w // 60))
        ]
        self.paths = [
            (
                rng.uniform(0.24, 0.34) + 0.11 * number,
                [
                    (rng.uniform(0.6, 2.4) * self.wide, rng.uniform(0, 6), rng.uniform(0.15, 0.4) * rng.choice((-1, 1)))
                    for _ in range(3)
                ],
            )
            for number in range(3)
        ]
        tall = round(self.field[1] * 0.62)
        self.curtain = [self._sliver(tall, level / 15) for level in range(16)]

    def _sliver(self, tall: int, strength: float) -> Image.Image:
        """One column of a curtain: a sharp lower edge and a long fading top."""
        column = Image.new("L", (1, tall))
        for y in range(tall):
            height = 1 - y / tall
            edge = min(1.0, height / 0.09)
            column.putpixel((0, y), round(255 * strength * edge * (1 - height) ** 1.7))
        return column

    def _trees(self, pen: ImageDraw.ImageDraw, scale: int) -> None:
        rng, (w, _) = self.rng, self.size
        x = -5.0
        while x < w + 5:
            edge = abs(x / w - 0.5) * 2
            brush.pines(
                pen, scale, x, self.shore + 2, self.unit * rng.uniform(0.035, 0.07) * (0.7 + 1.3 * edge**2), rng
            )
            x += self.unit * rng.uniform(0.008, 0.03)
        pen.rectangle((0, (self.shore - 2) * scale, w * scale, (self.shore + 2) * scale), fill=255)

    def _ribbon(self, number: int, moment: float) -> Image.Image:
        mask = Image.new("L", self.field)
        level, waves = self.paths[number]
        streak = self.streaks[number]
        drift = (moment * (1.2 + number * 0.7)) % self.field[0]
        row = list(brush.window(streak, self.field[0], drift).tobytes())
        tall = self.curtain[0].height
        breath = 0.75 + 0.25 * math.sin(moment * 0.5 + number * 2)
        for x in range(self.field[0]):
            part = x / self.field[0]
            bend = sum(math.sin(math.tau * speed * part + phase + moment * rate) for speed, phase, rate in waves) / 3
            foot = (level + 0.62 * 0.35 + bend * 0.15) * self.field[1]
            wave = 0.55 + 0.45 * math.sin(math.tau * part * 1.3 * self.wide + moment * 0.35 + number * 2.1)
            bright = min(15, max(0, round(row[x] / 255 * 15 * (0.35 + 0.65 * wave) * breath * 1.35)))
            mask.paste(self.curtain[bright], (x, round(foot) - tall))
        return mask

    def frame(self, moment: float) -> Image.Image:
        w, h = self.size
        light = Image.new("RGB", self.field)
        for number, tint in enumerate(self.tints):
            ribbon = self._ribbon(number, moment)
            light = ImageChops.add(light, brush.tinted(ribbon, tint, 1.05 - 0.3 * number))
        light = light.filter(ImageFilter.BoxBlur(0.7)).resize((w, self.shore), Image.Resampling.BILINEAR)
        frame = self.sky.copy()
        frame.paste(ImageChops.add(frame.crop((0, 0, w, self.shore)), light), (0, 0))
        frame.paste(self.hill_tone, (0, 0), self.hills)
        frame.paste((3, 6, 12), (0, 0), self.trees)
        depth = h - self.shore
        mirror = frame.crop((0, max(0, self.shore - depth * 2), w, self.shore)).transpose(
            Image.Transpose.FLIP_TOP_BOTTOM
        )
        lake = mirror.resize((w // 3, depth), Image.Resampling.BOX).resize((w, depth), Image.Resampling.BILINEAR)
        for row in range(2, depth, 3):
            shift = round(math.sin(row * 0.9 + moment * 1.6) * (1 + row * 0.03))
            lake.paste(lake.crop((0, row, w, row + 1)), (shift, row))
        lake.paste((2, 5, 12), (0, 0), self.water)
        frame.paste(lake, (0, self.shore))
        return frame


class Cabin(Scene):
    corners = 0.38

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        top, low, snow, lamp = (colour(tone) for tone in rng.choice(WINTERS))
        self.lamp = lamp
        self.ground = h * (0.62 if self.wide > 0.9 else 0.68)
        back = brush.gradient(self.size, [(0, top), (self.ground / h, low), (1, low)], rng)
        back = ImageChops.add(back, brush.stars((w, h), rng, w * h // 1600))
        far = [
            self.ground - self.unit * (0.03 + 0.09 * value)
            for value in brush.ridges(w, rng, max(3, round(self.wide * 4)), 0.5)
        ]
        back.paste(mix(top, low, 0.72), (0, 0), brush.silhouette(self.size, far))
        for depth in (0.0, 0.5, 1.0):
            forest = brush.shapes(self.size, partial(self._row, depth=depth))
            back.paste(mix(mix(low, snow, 0.12), mix(top, (0, 0, 0), 0.35), 0.35 + 0.65 * depth), (0, 0), forest)
            if depth < 1:
                self._snow(back, depth, snow, low)
        self._snow(back, 1.0, snow, low)
        self.x = w * (rng.uniform(0.36, 0.64) if self.wide > 0.9 else rng.uniform(0.4, 0.6))
        self.y = self.ground + self.unit * 0.1
        self._house(back, snow, top)
        self.back = back
        self.light = brush.tinted(brush.glow(round(self.unit * 0.42), 2.2), mix(lamp, (255, 140, 40), 0.35), 0.34)
        self.pool = brush.glow(round(self.unit * 0.2), 1.6).resize((round(self.unit * 0.5), round(self.unit * 0.15)))
        self.puff = brush.glow(round(self.unit * 0.045), 1.4)
        self.smoke = mix(snow, low, 0.35)
        self.flakes = [(rng.random(), rng.random(), rng.random() ** 2, rng.uniform(0, 6)) for _ in range(190)]
        self.soft = [brush.disc(self.unit * size, self.unit * 0.004) for size in (0.006, 0.009, 0.013)]

    def _row(self, pen: ImageDraw.ImageDraw, scale: int, depth: float) -> None:
        rng, w = self.rng, self.width
        base = self.ground + self.unit * (0.005 + 0.05 * depth)
        x = 0.0
        while x < w:
            clear = depth > 0.2 and abs(x / w - 0.5) < 0.17 + 0.08 * depth
            if not clear:
                brush.pines(
                    pen,
                    scale,
                    x,
                    base + rng.uniform(-2, 3),
                    self.unit * (0.06 + 0.13 * depth) * rng.uniform(0.6, 1.25),
                    rng,
                )
            x += self.unit * (0.02 + 0.05 * depth) * rng.uniform(0.5, 2.2)

    def _snow(self, back: Image.Image, depth: float, snow: brush.Colour, low: brush.Colour) -> None:
        w, h = self.size
        base = self.ground + self.unit * 0.052 * depth - self.unit * 0.004
        tops = [base - value * self.unit * 0.018 for value in brush.hills(w, self.rng, self.wide * 1.4, 0.5, 3)]
        tone = mix(snow, low, 0.45 - 0.3 * depth)
        fill = brush.gradient(self.size, [(0, tone), (self.ground / h, tone), (1, mix(tone, low, 0.55))], self.rng)
        back.paste(fill, (0, 0), brush.silhouette(self.size, tops))

    def _house(self, back: Image.Image, snow: brush.Colour, dark: brush.Colour) -> None:
        s, x, y = self.unit * 0.1, self.x, self.y
        wood = mix(dark, (46, 28, 24), 0.75)
        parts = [
            (wood, [(x - s, y), (x - s, y - 0.85 * s), (x + s, y - 0.85 * s), (x + s, y)]),
            (
                wood,
                [
                    (x + 0.45 * s, y - 1.1 * s),
                    (x + 0.45 * s, y - 1.75 * s),
                    (x + 0.68 * s, y - 1.75 * s),
                    (x + 0.68 * s, y - 1.1 * s),
                ],
            ),
            (
                mix(snow, (255, 255, 255), 0.35),
                [
                    (x - 1.2 * s, y - 0.8 * s),
                    (x - 0.82 * s, y - 1.48 * s),
                    (x + 0.82 * s, y - 1.48 * s),
                    (x + 1.2 * s, y - 0.8 * s),
                ],
            ),
            (
                mix(snow, (255, 255, 255), 0.5),
                [
                    (x + 0.42 * s, y - 1.74 * s),
                    (x + 0.42 * s, y - 1.83 * s),
                    (x + 0.71 * s, y - 1.83 * s),
                    (x + 0.71 * s, y - 1.74 * s),
                ],
            ),
        ]
        for left in (-0.72, 0.28):
            frame = [(left, -0.62), (left + 0.44, -0.62), (left + 0.44, -0.22), (left, -0.22)]
            parts.append((mix(self.lamp, (255, 250, 225), 0.35), [(x + px * s, y + py * s) for px, py in frame]))
        parts.append(
            (
                mix(wood, (0, 0, 0), 0.4),
                [(x - 0.13 * s, y), (x - 0.13 * s, y - 0.6 * s), (x + 0.13 * s, y - 0.6 * s), (x + 0.13 * s, y)],
            )
        )
        for tone, outline in parts:
            mask = brush.shapes(
                self.size,
                partial(brush.polygon, outline=outline),
            )
            back.paste(tone, (0, 0), mask)
        bars = brush.shapes(self.size, lambda pen, scale: self._bars(pen, scale, s))
        back.paste(wood, (0, 0), bars)

    def _bars(self, pen: ImageDraw.ImageDraw, scale: int, s: float) -> None:
        for left in (-0.72, 0.28):
            middle = self.x + (left + 0.22) * s
            pen.line(
                [(middle * scale, (self.y - 0.62 * s) * scale), (middle * scale, (self.y - 0.22 * s) * scale)],
                fill=255,
                width=scale,
            )
            pen.line(
                [
                    ((middle - 0.22 * s) * scale, (self.y - 0.42 * s) * scale),
                    ((middle + 0.22 * s) * scale, (self.y - 0.42 * s) * scale),
                ],
                fill=255,
                width=scale,
            )

    def frame(self, moment: float) -> Image.Image:
        frame = self.back.copy()
        w, h = self.size
        s = self.unit * 0.1
        flicker = 0.9 + 0.06 * math.sin(moment * 5.1) + 0.04 * math.sin(moment * 8.3)
        brush.shine(frame, self.light.point(lambda value: round(value * flicker)), (self.x, self.y - s * 0.4))
        spot = brush.faded(self.pool, 0.8 * flicker)
        frame.paste(self.lamp, (round(self.x - spot.width / 2), round(self.y + s * 0.45 - spot.height / 2)), spot)
        for number in range(14):
            age = (moment * 0.13 + number / 14) % 1
            reach = round(self.puff.width * (0.35 + 0.9 * age))
            puff = brush.faded(self.puff.resize((reach, reach)), 0.34 * (1 - age) * min(1, age * 8))
            x = self.x + 0.57 * s + math.sin(age * 5 + moment * 0.3) * s * 0.5 * age + age * age * s * 1.6
            frame.paste(
                self.smoke, (round(x - reach / 2), round(self.y - 1.85 * s - age * self.unit * 0.3 - reach / 2)), puff
            )
        pen = ImageDraw.Draw(frame, "RGBA")
        for x, y, near, phase in self.flakes:
            down = (y + moment * (0.035 + 0.11 * near)) % 1.06 * h - 0.03 * h
            across = (x + moment * 0.012 * (0.5 + near) + math.sin(moment * (0.5 + near) + phase) * 0.012) % 1 * w
            if near > 0.55:
                flake = self.soft[min(2, int((near - 0.55) * 7))]
                frame.paste((246, 249, 255), (round(across), round(down)), brush.faded(flake, 0.75))
            else:
                size = self.unit * (0.0015 + 0.004 * near)
                pen.ellipse(
                    (across - size, down - size, across + size, down + size),
                    fill=(240, 245, 255, round(110 + 200 * near)),
                )
        return frame
