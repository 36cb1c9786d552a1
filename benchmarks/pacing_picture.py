"""Draws docs/images/pacing.svg: when a generation is looked at, as generations/pacing.py decides it.

`python -m benchmarks.pacing_picture`
"""

import random
from pathlib import Path

from generations import pacing

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "pacing.svg"
LEFT, RIGHT, TOP, FOOT = 200, 860, 30, 190  # of the curve
LAST = 220  # seconds, at the right end
INK, FAINT, LAMP = "#37332e", "#c9c5be", "#12707a"


def spread(count: int) -> list[float]:
    """So many requests, evenly over the last hour."""
    return [pacing.HOUR * place / (count + 1) for place in range(1, count + 1)]


#: what the account has to do -> its load, as dispatch would count it
ROWS = {
    "5 clips an hour": pacing.Load(spread(60), running=1, waiting=0, submitted=5),
    "20 clips an hour": pacing.Load(spread(140), running=1, waiting=0, submitted=20),
    "40 clips an hour": pacing.Load(spread(160), running=2, waiting=0, submitted=40),
    "a full queue": pacing.Load(spread(192), running=3, waiting=100, submitted=72),
}


def x(seconds: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * seconds / LAST, 1)


def y(share: float) -> float:
    return round(FOOT - (FOOT - TOP) * share, 1)


def looks(seen: list[float], load: pacing.Load) -> list[float]:
    """When it is looked at, as long as it goes on rendering."""
    at: list[float] = []
    while not at or at[-1] < max(seen):
        elapsed = at[-1] if at else 0.0
        at.append(elapsed + pacing.next_look(elapsed, seen, load, turn=0.99))
    return [time for time in at if time <= LAST]


def text(left: float, top: float, words: str, anchor: str = "start", colour: str = INK) -> str:
    return f'<text x="{left}" y="{top}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def mean_looks(times: list[float], seen: list[float]) -> float:
    return sum(1 + sum(time < took for time in times) for took in seen) / len(seen)


def draw(seen: list[float]) -> str:
    known = pacing.curve(tuple(seen))
    line = [(0.0, 0.0), *zip(known.at, known.done, strict=True), (float(LAST), known.done[-1])]
    path = " ".join(f"{x(min(at, LAST))},{y(1 - done)}" for at, done in line)
    parts = [text(LEFT - 12, y(1) + 5, "all still render", "end"), text(LEFT - 12, y(0) + 5, "none", "end")]
    parts += [f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="2"/>']
    bottom = FOOT + 40 + 44 * len(ROWS)
    for seconds in range(0, LAST + 1, 20):
        parts.append(
            f'<line x1="{x(seconds)}" x2="{x(seconds)}" y1="{TOP}" y2="{bottom}" stroke="{FAINT}" opacity=".5"/>'
        )
        parts.append(text(x(seconds), bottom + 20, f"{seconds} s", "middle"))
    for row, (name, load) in enumerate(ROWS.items()):
        middle = FOOT + 46 + 44 * row
        times = looks(seen, load)
        parts.append(text(LEFT - 12, middle + 5, name, "end"))
        parts.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{middle}" y2="{middle}" stroke="{FAINT}"/>')
        parts += [f'<circle cx="{x(time)}" cy="{middle}" r="5" fill="{LAMP}"/>' for time in times]
        parts.append(text(RIGHT + 14, middle + 5, f"{mean_looks(times, seen):.1f} looks a clip", colour=LAMP))
    words = "The share of clips that still render over time, and below it when Dailies looks, under four loads"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {bottom + 36}" role="img" aria-label="{words}" '
        f'font-family="Inter, system-ui, sans-serif" font-size="15"><title>{words}</title>'
        f'<rect width="1000" height="{bottom + 36}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    dice = random.Random(7)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw([dice.uniform(60, 180) for _ in range(pacing.NEWEST)]))
    print(PICTURE)
