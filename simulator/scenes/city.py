"""Neon in the rain, lights out of focus behind a cup of coffee, a motorway at dusk."""

import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import Colour, colour, mix

NEONS = (
    ("ff3ea5", "34e0ff", "8a5bff", "140a22"),
    ("ff6a3d", "ffc24b", "ff2f6d", "1a0b10"),
    ("3dffb0", "4bb8ff", "d05bff", "061318"),
    ("ff4b4b", "5bd0ff", "ffd24b", "0c0d1a"),
)
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


class Neon(Scene):
    """A wet street: what glows above the kerb glows once more below it."""

    corners = 0.5

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        tones = [colour(tone) for tone in rng.choice(NEONS)]
        self.tones, self.dark = tones[:3], tones[3]
        self.kerb = round(h * (0.64 if self.wide > 0.9 else 0.66))
        street = brush.gradient((w, self.kerb), [(0, self.dark), (0.6, mix(self.dark, self.tones[2], 0.22)), (1, mix(self.dark, self.tones[0], 0.45))], rng)
        brush.shine(street, brush.tinted(brush.glow(round(self.unit * 0.5), 1.8), mix(self.tones[0], (255, 255, 255), 0.3), 0.6), (w * 0.5, self.kerb * 0.93))
        self._houses(street)
        haze = brush.tinted(brush.levels(brush.billows((w, self.kerb), rng, (self.unit // 3, self.unit // 5), 3), 0.45, 1.0), self.tones[2], 0.22)
        lit = ImageChops.add(street, haze)
        signs = self._signs()
        self.bright, self.dim = self._wet(ImageChops.add(lit, signs[0])), self._wet(ImageChops.add(lit, signs[1]))
        self.walker = brush.shapes(self.size, self._person)
        reflected = self.walker.crop((0, self.kerb - round(h * 0.4), w, self.feet)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        self.shadow = brush.faded(reflected.filter(ImageFilter.GaussianBlur(2.5)), 0.62)
        self.rim = brush.tinted(ImageChops.subtract(self.walker.filter(ImageFilter.GaussianBlur(1.2)), self.walker.filter(ImageFilter.GaussianBlur(2.2))), self.tones[1], 0.9)
        self.rain = [(rng.random(), rng.random(), rng.random() ** 1.5) for _ in range(150)]
        self.rings = [(rng.random(), rng.random(), rng.random()) for _ in range(26)]

    def _houses(self, street: Image.Image) -> None:
        """Walls to both sides, darker and taller the nearer they are."""
        rng, w = self.rng, self.width
        for depth in (0.0, 0.35, 0.7, 1.0):
            def draw(pen: ImageDraw.ImageDraw, k: int, d: float = depth) -> None:
                inner = 0.12 + 0.26 * d
                for side in (-1, 1):
                    x = w * (0.5 + side * inner)
                    top = self.kerb * (0.52 - 0.6 * d + rng.uniform(-0.05, 0.05))
                    pen.rectangle([min(x, x + side * w) * k, top * k, max(x, x + side * w) * k, self.kerb * k], fill=255)
            mask = brush.shapes((w, self.kerb), draw)
            if depth < 0.5:
                mask = mask.filter(ImageFilter.GaussianBlur(2.5 - 3 * depth))
            street.paste(mix(mix(self.dark, self.tones[2], 0.3 * (1 - depth)), (0, 0, 0), 0.15 + 0.3 * depth), (0, 0), mask)

    def _signs(self) -> tuple[Image.Image, Image.Image]:
        """All signs as light: once with every tube on, once with some nearly out."""
        rng, w = self.rng, self.width
        pictures = [Image.new("RGB", (w, self.kerb)) for _ in range(2)]
        for number in range(15):
            depth = rng.random()
            side = -1 if number % 2 else 1
            x = w * (0.5 + side * (0.15 + 0.33 * depth) + rng.uniform(-0.02, 0.02))
            wide, tall = self.unit * (0.018 + 0.05 * depth) * rng.uniform(0.7, 1.5), self.unit * (0.05 + 0.2 * depth) * rng.uniform(0.5, 1.2)
            y = self.kerb * rng.uniform(0.12, 0.78)
            tone = rng.choice(self.tones)
            pad = round(max(wide, tall) * 0.9 + 24)
            mask = Image.new("L", (round(wide) + 2 * pad, round(tall) + 2 * pad))
            pen = ImageDraw.Draw(mask)
            box = (pad, pad, pad + wide, pad + tall)
            if rng.random() < 0.55:
                pen.rounded_rectangle(box, radius=wide * 0.25, outline=255, width=max(2, round(wide * 0.12)))
                for bar in range(rng.randrange(2, 5)):
                    down = pad + tall * (0.18 + 0.18 * bar)
                    pen.line([(pad + wide * 0.28, down), (pad + wide * rng.uniform(0.5, 0.75), down)], fill=220, width=max(1, round(wide * 0.1)))
            else:
                pen.rounded_rectangle(box, radius=wide * 0.3, fill=150)
            light = brush.tinted(mask.filter(ImageFilter.GaussianBlur(1.6 - depth)), mix(tone, (255, 255, 255), 0.45), 0.95)
            for blur, strength in ((5 + 5 * depth, 1.5), (15 + 12 * depth, 1.3)):
                light = ImageChops.add(light, brush.tinted(mask.filter(ImageFilter.GaussianBlur(blur)), tone, strength))
            weak = 0.15 if number in (2, 7, 11) else 0.86
            brush.shine(pictures[0], light, (x, y))
            brush.shine(pictures[1], light.point(lambda value, weak=weak: round(value * weak)), (x, y))
        return pictures[0], pictures[1]

    def _wet(self, street: Image.Image) -> Image.Image:
        """The street and its mirror: stretched downwards, broken by the asphalt."""
        w, h = self.size
        deep = h - self.kerb
        mirror = street.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((w, round(self.kerb * 1.25))).crop((0, 0, w, deep))
        streaked = mirror.filter(ImageFilter.BoxBlur((1.5, 11)))
        if not hasattr(self, "asphalt"):
            self.asphalt = brush.levels(brush.billows((w, deep), self.rng, (self.unit // 5, self.unit // 16), 4), 0.3, 0.72)
        frame = Image.new("RGB", self.size, self.dark)
        frame.paste(street, (0, 0))
        frame.paste(Image.composite(streaked, Image.blend(streaked, Image.new("RGB", (w, deep), self.dark), 0.72), self.asphalt), (0, self.kerb))
        return frame

    @property
    def feet(self) -> int:
        return round(self.kerb + self.height * 0.1)

    def _person(self, pen: ImageDraw.ImageDraw, k: int) -> None:
        """Someone under an umbrella, seen from behind."""
        x, y, s = self.width * 0.5, self.feet, self.unit * 0.105
        def polygon(*points: tuple[float, float]) -> None:
            pen.polygon([((x + px * s) * k, (y + py * s) * k) for px, py in points], fill=255)
        polygon((-0.25, 0), (-0.22, -1.0), (-0.03, -1.0), (-0.06, 0))
        polygon((0.25, 0), (0.22, -1.0), (0.03, -1.0), (0.06, 0))
        polygon((-0.36, -0.72), (-0.3, -1.75), (-0.14, -1.92), (0.14, -1.92), (0.3, -1.75), (0.36, -0.72))
        pen.ellipse([(x - 0.16 * s) * k, (y - 2.26 * s) * k, (x + 0.16 * s) * k, (y - 1.88 * s) * k], fill=255)
        polygon((0.2, -1.6), (0.32, -1.9), (0.26, -2.95), (0.22, -2.95))
        top = [(0.24 + 1.15 * math.cos(a / 20 * math.pi), -2.42 - 0.72 * math.sin(a / 20 * math.pi)) for a in range(21)]
        scallops = [(0.24 - 1.15 + 2.3 * part / 24, -2.42 - 0.09 * abs(math.sin(part / 24 * math.pi * 6))) for part in range(25)]
        polygon(*top, *scallops)

    def frame(self, moment: float) -> Image.Image:
        w, h = self.size
        buzz = math.sin(moment * 1.7) + math.sin(moment * 4.3) * 0.5 + math.sin(moment * 13) * 0.25
        frame = Image.blend(self.dim, self.bright, brush.smooth(0.75 + buzz * 0.45))
        frame.paste((3, 3, 7), (0, self.feet), self.shadow)
        frame.paste((5, 5, 10), (0, 0), self.walker)
        frame = ImageChops.add(frame, self.rim)
        pen = ImageDraw.Draw(frame, "RGBA")
        for x, y, begin in self.rings:
            age = (moment * 0.9 + begin) % 1
            px, py = x * w, self.kerb + (0.06 + 0.94 * y) * (h - self.kerb)
            reach = self.unit * (0.006 + 0.035 * age) * (0.5 + y)
            pen.ellipse((px - reach, py - reach * 0.3, px + reach, py + reach * 0.3), outline=(*mix(self.tones[1], (255, 255, 255), 0.5), round(110 * (1 - age))))
        for x, y, near in self.rain:
            down = (y + moment * (0.8 + 0.9 * near)) % 1.15 * h - 0.08 * h
            across = (x - down / h * 0.04) % 1 * w
            long = self.unit * (0.03 + 0.07 * near)
            pen.line([(across, down), (across - long * 0.07, down + long)], fill=(205, 222, 255, round(26 + 70 * near)), width=1 if near < 0.85 else 2)
        return frame


class Bokeh(Scene):
    """The lights are drawn half as large, each in a few strengths made ready before."""

    corners = 0.45
    steps = 6

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        tones = [colour(tone) for tone in rng.choice(LIGHTS)]
        self.dark = tones.pop()
        self.sill = round(h * (0.84 if self.wide > 0.9 else 0.8))
        self.back = brush.gradient(self.size, [(0, mix(self.dark, (0, 0, 0), 0.35)), (0.55, mix(self.dark, tones[0], 0.16)), (1, self.dark)], rng)
        centre = w * rng.uniform(0.4, 0.6)
        brush.shine(self.back, brush.tinted(brush.glow(round(self.unit * 0.7), 2), tones[0], 0.3), (centre, h * 0.5))
        self.discs = []
        for number in range(round(34 + 22 * max(self.wide, 1 / self.wide))):
            size = self.unit * (0.012 + 0.075 * rng.random() ** 1.6)
            x, y = rng.gauss(0.5, 0.27), rng.gauss(0.44, 0.2)
            tone = mix(rng.choice(tones), (255, 255, 255), 0.12 * rng.random())
            sharp, strength = self._aperture(size / 2), rng.uniform(0.35, 0.75)
            light = [brush.tinted(sharp, tone, strength * (0.6 + 0.4 * step / self.steps)) for step in range(self.steps + 1)]
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
        ring = ImageChops.subtract(body, brush.disc(radius * 0.88, max(0.8, radius * 0.05)).resize(body.size) if radius > 4 else body)
        return ImageChops.add(body.point(lambda value: round(value * 0.55)), ring.point(lambda value: round(value * 0.4)))

    def _cup(self, pen: ImageDraw.ImageDraw, k: int, x: float) -> None:
        w, h = self.size
        s, y = self.unit * 0.15, self.sill + 1
        pen.rectangle([0, y * k, w * k, h * k], fill=255)
        self.cup = (x, y - 1.55 * s)
        points = [(-0.72, -1.5), (0.72, -1.5), (0.64, -0.3), (0.5, -0.04), (0.44, 0.03), (-0.44, 0.03), (-0.5, -0.04), (-0.64, -0.3)]
        pen.polygon([((x + px * s) * k, (y + py * s) * k) for px, py in points], fill=255)
        pen.ellipse([(x - 0.72 * s) * k, (y - 1.6 * s) * k, (x + 0.72 * s) * k, (y - 1.4 * s) * k], fill=255)
        pen.arc([(x + 0.42 * s) * k, (y - 1.2 * s) * k, (x + 1.12 * s) * k, (y - 0.4 * s) * k], 265, 95, fill=255, width=round(0.13 * s * k))

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
            frame.paste(self.steam, (round(px - reach / 2), round(self.cup[1] - age * self.unit * 0.36 - reach / 2)), puff)
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
        ground = brush.gradient((w, h - self.horizon), [(0, mix(top, (0, 0, 0), 0.4)), (0.4, mix(top, (0, 0, 0), 0.62)), (1, (4, 4, 8))], rng)
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
        soft = sharp.filter(ImageFilter.GaussianBlur(self.unit * 0.014)).point(lambda value: min(255, round(value * 0.9)))
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
