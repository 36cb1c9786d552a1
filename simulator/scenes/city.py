"""Neon in the rain."""

import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from simulator.scenes import brush
from simulator.scenes.base import Scene
from simulator.scenes.brush import colour, mix

NEONS = (
    ("ff3ea5", "34e0ff", "8a5bff", "140a22"),
    ("ff6a3d", "ffc24b", "ff2f6d", "1a0b10"),
    ("3dffb0", "4bb8ff", "d05bff", "061318"),
    ("ff4b4b", "5bd0ff", "ffd24b", "0c0d1a"),
)


class Neon(Scene):
    """A wet street: what glows above the kerb glows once more below it."""

    corners = 0.5

    def paint(self) -> None:
        rng, (w, h) = self.rng, self.size
        tones = [colour(tone) for tone in rng.choice(NEONS)]
        self.tones, self.dark = tones[:3], tones[3]
        self.kerb = round(h * (0.64 if self.wide > 0.9 else 0.66))
        street = brush.gradient(
            (w, self.kerb),
            [(0, self.dark), (0.6, mix(self.dark, self.tones[2], 0.22)), (1, mix(self.dark, self.tones[0], 0.45))],
            rng,
        )
        brush.shine(
            street,
            brush.tinted(brush.glow(round(self.unit * 0.5), 1.8), mix(self.tones[0], (255, 255, 255), 0.3), 0.6),
            (w * 0.5, self.kerb * 0.93),
        )
        self._houses(street)
        haze = brush.tinted(
            brush.levels(brush.billows((w, self.kerb), rng, (self.unit // 3, self.unit // 5), 3), 0.45, 1.0),
            self.tones[2],
            0.22,
        )
        lit = ImageChops.add(street, haze)
        signs = self._signs()
        self.bright, self.dim = self._wet(ImageChops.add(lit, signs[0])), self._wet(ImageChops.add(lit, signs[1]))
        self.walker = brush.shapes(self.size, self._person)
        reflected = self.walker.crop((0, self.kerb - round(h * 0.4), w, self.feet)).transpose(
            Image.Transpose.FLIP_TOP_BOTTOM
        )
        self.shadow = brush.faded(reflected.filter(ImageFilter.GaussianBlur(2.5)), 0.62)
        self.rim = brush.tinted(
            ImageChops.subtract(
                self.walker.filter(ImageFilter.GaussianBlur(1.2)), self.walker.filter(ImageFilter.GaussianBlur(2.2))
            ),
            self.tones[1],
            0.9,
        )
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
                    pen.rectangle(
                        [min(x, x + side * w) * k, top * k, max(x, x + side * w) * k, self.kerb * k], fill=255
                    )

            mask = brush.shapes((w, self.kerb), draw)
            if depth < 0.5:
                mask = mask.filter(ImageFilter.GaussianBlur(2.5 - 3 * depth))
            street.paste(
                mix(mix(self.dark, self.tones[2], 0.3 * (1 - depth)), (0, 0, 0), 0.15 + 0.3 * depth), (0, 0), mask
            )

    def _signs(self) -> tuple[Image.Image, Image.Image]:
        """All signs as light: once with every tube on, once with some nearly out."""
        rng, w = self.rng, self.width
        pictures = [Image.new("RGB", (w, self.kerb)) for _ in range(2)]
        for number in range(15):
            depth = rng.random()
            side = -1 if number % 2 else 1
            x = w * (0.5 + side * (0.15 + 0.33 * depth) + rng.uniform(-0.02, 0.02))
            wide, tall = (
                self.unit * (0.018 + 0.05 * depth) * rng.uniform(0.7, 1.5),
                self.unit * (0.05 + 0.2 * depth) * rng.uniform(0.5, 1.2),
            )
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
                    pen.line(
                        [(pad + wide * 0.28, down), (pad + wide * rng.uniform(0.5, 0.75), down)],
                        fill=220,
                        width=max(1, round(wide * 0.1)),
                    )
            else:
                pen.rounded_rectangle(box, radius=wide * 0.3, fill=150)
            light = brush.tinted(
                mask.filter(ImageFilter.GaussianBlur(1.6 - depth)), mix(tone, (255, 255, 255), 0.45), 0.95
            )
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
        mirror = (
            street.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((w, round(self.kerb * 1.25))).crop((0, 0, w, deep))
        )
        streaked = mirror.filter(ImageFilter.BoxBlur((1.5, 11)))
        if not hasattr(self, "asphalt"):
            self.asphalt = brush.levels(
                brush.billows((w, deep), self.rng, (self.unit // 5, self.unit // 16), 4), 0.3, 0.72
            )
        frame = Image.new("RGB", self.size, self.dark)
        frame.paste(street, (0, 0))
        frame.paste(
            Image.composite(
                streaked, Image.blend(streaked, Image.new("RGB", (w, deep), self.dark), 0.72), self.asphalt
            ),
            (0, self.kerb),
        )
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
        scallops = [
            (0.24 - 1.15 + 2.3 * part / 24, -2.42 - 0.09 * abs(math.sin(part / 24 * math.pi * 6))) for part in range(25)
        ]
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
            pen.ellipse(
                (px - reach, py - reach * 0.3, px + reach, py + reach * 0.3),
                outline=(*mix(self.tones[1], (255, 255, 255), 0.5), round(110 * (1 - age))),
            )
        for x, y, near in self.rain:
            down = (y + moment * (0.8 + 0.9 * near)) % 1.15 * h - 0.08 * h
            across = (x - down / h * 0.04) % 1 * w
            long = self.unit * (0.03 + 0.07 * near)
            pen.line(
                [(across, down), (across - long * 0.07, down + long)],
                fill=(205, 222, 255, round(26 + 70 * near)),
                width=1 if near < 0.85 else 2,
            )
        return frame
