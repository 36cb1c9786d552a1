"""What the scenes are painted with: gradients, soft noise, silhouettes that slide by parts of a pixel, light.

Cost decides the shape of this: a layer is a still picture shown through a greyscale mask, because moving a
mask is five times cheaper than moving a picture.
"""

import colorsys
import itertools
import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Size = tuple[int, int]
FINE = 2  # silhouettes are drawn this much larger, then shrunk: smooth edges


def colour(text: str) -> Colour:
    """From "ffcc88"."""
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """From the first colour (0) to the second (1)."""
    share = min(1.0, max(0.0, share))
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def turned(tone: Colour, hue: float, bright: float = 1.0) -> Colour:
    """The colour with its hue turned by a part of the circle."""
    h, light, saturation = colorsys.rgb_to_hls(*(part / 255 for part in tone))
    red, green, blue = colorsys.hls_to_rgb((h + hue) % 1, min(1.0, light * bright), saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def smooth(position: float) -> float:
    """0 to 1 with soft ends."""
    position = min(1.0, max(0.0, position))
    return position * position * (3 - 2 * position)


def gradient(size: Size, stops: Sequence[tuple[float, Colour]], rng: random.Random | None = None) -> Image.Image:
    """Top to bottom through the stops; with `rng`, a breath of grain against banding."""
    width, height = size
    column = Image.new("RGB", (1, height))
    for y in range(height):
        column.putpixel((0, y), _at(stops, y / max(1, height - 1)))
    picture = column.resize(size)
    if rng is None:
        return picture
    grain = Image.frombytes("L", size, rng.randbytes(width * height)).point(lambda value: value // 52)
    return ImageChops.subtract(
        ImageChops.add(picture, Image.merge("RGB", [grain] * 3)), Image.new("RGB", size, (2,) * 3)
    )


def _at(stops: Sequence[tuple[float, Colour]], position: float) -> Colour:
    for (begin, first), (end, second) in itertools.pairwise(stops):
        if position <= end:
            return mix(first, second, smooth((position - begin) / max(1e-6, end - begin)))
    return stops[-1][1]


def fade(size: Size, levels: Callable[[float], float]) -> Image.Image:
    """A mask whose strength depends on the height: `levels` maps 0 (top) to 1 (bottom) to 0 to 1."""
    column = Image.new("L", (1, size[1]))
    for y in range(size[1]):
        column.putpixel((0, y), round(255 * min(1.0, max(0.0, levels(y / max(1, size[1] - 1))))))
    return column.resize(size)


def noise(size: Size, rng: random.Random, cell: Size) -> Image.Image:
    """Soft greyscale noise; `cell` is the size of its grains in pixels."""
    columns, rows = max(2, size[0] // cell[0] + 2), max(2, size[1] // cell[1] + 2)
    return Image.frombytes("L", (columns, rows), rng.randbytes(columns * rows)).resize(size, Image.Resampling.BICUBIC)


def billows(size: Size, rng: random.Random, cell: Size, octaves: int = 4) -> Image.Image:
    """Cloud noise: each octave half as large and half as strong."""
    picture = noise(size, rng, cell)
    share = 0.5
    for _ in range(octaves - 1):
        cell = max(1, cell[0] // 2), max(1, cell[1] // 2)
        share *= 0.62
        picture = Image.blend(picture, noise(size, rng, cell), share)
    return picture


def levels(mask: Image.Image, low: float, high: float, strength: float = 1.0) -> Image.Image:
    """Stretch a mask: below `low` nothing, above `high` full."""
    return mask.point(lambda value: round(255 * strength * smooth((value / 255 - low) / (high - low))))


def faded(mask: Image.Image, strength: float) -> Image.Image:
    return mask.point(_table(255, round(strength, 2)))


def hills(width: int, rng: random.Random, waves: float, rough: float = 0.5, octaves: int = 5) -> list[float]:
    """A skyline: one height per pixel, about -1 to 1; `waves` across the width, `rough` 0 (dune) to 1 (alp)."""
    parts = [
        (2**step * waves * rng.uniform(0.8, 1.25), rng.uniform(0, math.tau), rough**step) for step in range(octaves)
    ]
    whole = sum(part[2] for part in parts)
    return [
        sum(math.sin(math.tau * speed * x / width + phase) * weight for speed, phase, weight in parts) / whole
        for x in range(width)
    ]


def ridges(width: int, rng: random.Random, peaks: int, jag: float = 0.55) -> list[float]:
    """A mountain skyline by halving: heights 0 to 1."""
    points = [rng.random() for _ in range(peaks + 1)]
    spread = 0.5
    while len(points) < width:
        points = [
            value
            for left, right in itertools.pairwise(points)
            for value in (left, (left + right) / 2 + rng.uniform(-spread, spread) * 0.5)
        ] + [points[-1]]
        spread *= jag
    step = (len(points) - 1) / width
    heights = [points[int(x * step)] for x in range(width)]
    low, high = min(heights), max(heights)
    return [(height - low) / (high - low) for height in heights]


def silhouette(size: Size, tops: Sequence[float]) -> Image.Image:
    """Everything below a skyline given in pixels from the top, one per column."""
    mask = Image.new("L", (size[0] * FINE, size[1] * FINE))
    outline = [(x * FINE, top * FINE) for x, top in enumerate(tops)]
    edge = [(size[0] * FINE, outline[-1][1]), (size[0] * FINE, size[1] * FINE), (0, size[1] * FINE)]
    ImageDraw.Draw(mask).polygon([*outline, *edge], fill=255)
    return mask.resize(size, Image.Resampling.BOX)


def shapes(size: Size, draw: Callable[[ImageDraw.ImageDraw, int], None]) -> Image.Image:
    """A mask drawn large by `draw(pen, scale)` and shrunk."""
    mask = Image.new("L", (size[0] * FINE, size[1] * FINE))
    draw(ImageDraw.Draw(mask), FINE)
    return mask.resize(size, Image.Resampling.BOX)


def polygon(pen: ImageDraw.ImageDraw, scale: int, outline: Sequence[tuple[float, float]]) -> None:
    """A filled outline, for `shapes`."""
    pen.polygon([(x * scale, y * scale) for x, y in outline], fill=255)


def window(mask: Image.Image, width: int, left: float, top: int = 0, height: int | None = None) -> Image.Image:
    """A part of a wide picture from a fractional position: how layers slide without jumping."""
    height = mask.height - top if height is None else height
    left = min(max(0.0, left), mask.width - width)
    box = (left, top, left + width, top + height)
    return mask.resize((width, height), Image.Resampling.BILINEAR, box=box)


def glow(radius: int, power: float = 2.0) -> Image.Image:
    """A round light: full in the middle, gone at the radius."""
    falloff = Image.radial_gradient("L").point(lambda value: round(255 * max(0.0, 1 - value / 181.0 * 1.414) ** power))
    return falloff.resize((2 * radius, 2 * radius), Image.Resampling.BICUBIC)


def disc(radius: float, soft: float = 0.6) -> Image.Image:
    """A filled circle with a slightly soft edge."""
    side = math.ceil(radius + soft) * 2 + 2
    mask = Image.new("L", (side * 4, side * 4))
    middle = side * 2
    reach = radius * 4
    ImageDraw.Draw(mask).ellipse((middle - reach, middle - reach, middle + reach, middle + reach), fill=255)
    mask = mask.resize((side, side), Image.Resampling.BOX)
    return mask.filter(ImageFilter.GaussianBlur(soft)) if soft else mask


@lru_cache(maxsize=4096)
def _table(part: int, strength: float) -> list[int]:
    return [round(value * part * strength / 255) for value in range(256)]


def tinted(mask: Image.Image, tone: Colour, strength: float = 1.0) -> Image.Image:
    """A mask as coloured light, to be added."""
    return Image.merge("RGB", [mask.point(_table(part, strength)) for part in tone])


def shine(frame: Image.Image, light: Image.Image, centre: tuple[float, float]) -> None:
    """Add coloured light around a point, in place."""
    left, top = round(centre[0] - light.width / 2), round(centre[1] - light.height / 2)
    box = (max(0, left), max(0, top), min(frame.width, left + light.width), min(frame.height, top + light.height))
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    part = light.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top))
    frame.paste(ImageChops.add(frame.crop(box), part), box)


def vignette(size: Size, strength: float = 0.45) -> Image.Image:
    """The dark of the corners, as a mask for black."""
    falloff = Image.radial_gradient("L").point(
        lambda value: round(255 * strength * smooth((value / 255 - 0.35) / 0.75))
    )
    return falloff.resize(size, Image.Resampling.BICUBIC)


def stars(size: Size, rng: random.Random, count: int, tone: Colour = (225, 232, 255)) -> Image.Image:
    """Coloured light of a starry sky, thinner towards the bottom."""
    sky = Image.new("RGB", size)
    for _ in range(count):
        x, y = rng.randrange(size[0]), int(size[1] * rng.random() ** 1.3)
        bright = rng.random() ** 3 * 0.85 + 0.15
        sky.putpixel((x, y), mix((0, 0, 0), tone, bright))
        if bright > 0.75 and 0 < x < size[0] - 1 and 0 < y < size[1] - 1:
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                sky.putpixel((x + dx, y + dy), mix((0, 0, 0), tone, bright * 0.35))
    return sky


def pines(pen: ImageDraw.ImageDraw, scale: int, x: float, base: float, height: float, rng: random.Random) -> None:
    """A conifer standing at (x, base)."""
    width = height * rng.uniform(0.30, 0.38)
    tiers = 7
    outline = [(x, base - height)]
    right, left = [], []
    for tier in range(1, tiers + 1):
        y = base - height * (1 - tier / tiers * 0.93)
        reach = width / 2 * (tier / tiers) ** 0.85 * rng.uniform(0.88, 1.1)
        right += [(x + reach, y), (x + reach * 0.55, y - height * 0.015)]
        left += [(x - reach, y), (x - reach * 0.55, y - height * 0.015)]
    trunk = [(x + width * 0.06, base), (x - width * 0.06, base)]
    whole = [*outline, *right, *trunk, *reversed(left)]
    pen.polygon([(px * scale, py * scale) for px, py in whole], fill=255)
