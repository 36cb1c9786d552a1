"""Charts as SVG: how high and how wide everything is drawn. The templates only write it down.

Pixels from top to bottom and percent from left to right, so that it stretches with the page. Every number is text
already: templates would group its digits.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from generations.words import credits

SERIES = ("s1", "s2", "s3", "s4", "s5")  # classes of the five models most spent on
OTHER = "s6"
TOP, BASE, LEFT = 0.5, 200.5, 6.5
GAP = 1.5  # pixels between two models of one bar
DAYS_SHOWN, WEEKS_SHOWN = 45, 45  # at most; longer ranges are drawn in larger steps
MARKS = 4  # words under the chart that a phone has room for


@dataclass(frozen=True)
class Bar:
    series: str
    y: str
    height: str


@dataclass(frozen=True)
class Bucket:
    title: str
    x: str
    width: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Chart:
    """A stacked bar for each day, week or month."""

    step: str
    grid: Sequence[tuple[str, str, str]]  # y of the line, y of its words, the words
    buckets: Sequence[Bucket]
    labels: Sequence[tuple[str, str, str, bool]]  # x, words, anchor, today
    legend: Sequence[tuple[str, str]]  # class, model
    table: Sequence[tuple[str, Sequence[int], int]]  # bucket, credits by series, sum


def step_of(first: date, last: date) -> str:
    days = (last - first).days + 1
    return "day" if days <= DAYS_SHOWN else "week" if days <= WEEKS_SHOWN * 7 else "month"


def series_of(spent: Mapping[str, int]) -> dict[str, str]:
    """model -> class: the five most spent on have their own, the rest is one."""
    order = sorted((mode for mode in spent if spent[mode]), key=lambda mode: (-spent[mode], mode))
    return {mode: SERIES[place] if place < len(SERIES) else OTHER for place, mode in enumerate(order)}


def legend_of(series: Mapping[str, str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    own = [(css, names.get(mode, mode)) for mode, css in series.items() if css != OTHER]
    return [*own, (OTHER, "Other")] if OTHER in series.values() else own


def draw(
    rows: Iterable[tuple[date, str, int]],
    first: date,
    last: date,
    series: Mapping[str, str],
    names: Mapping[str, str],
    today: date,
) -> Chart | None:
    """Of (first day of the bucket, model, credits). None: there is nothing to draw."""
    legend, step = legend_of(series, names), step_of(first, last)
    stacks = {start: {css: 0 for css, _ in legend} for start in _starts(first, last, step)}
    for start, mode, spent in rows:
        if spent:
            stacks[start][series[mode]] += spent
    highest = max((sum(stack.values()) for stack in stacks.values()), default=0)
    if not highest:
        return None
    line = _line(highest)
    top, starts = line * 4, list(stacks)
    heights = [(at, BASE - (BASE - TOP) * at / top) for at in range(line, top + 1, line)]
    words = {start: _words(start, step, first.year != last.year) for start in starts}
    return Chart(
        step=step,
        grid=[(f"{y:.1f}", f"{y - 5:.1f}", credits(at) if at == top else f"{at:,}") for at, y in heights],
        buckets=[_bucket(place, words[start], stacks[start], top, len(starts)) for place, start in enumerate(starts)],
        labels=_labels(starts, step, today),
        legend=legend,
        table=[
            (words[start], list(stack.values()), sum(stack.values()))
            for start, stack in stacks.items()
            if any(stack.values())
        ],
    )


def shares(stack: Mapping[str, int], most: int) -> list[tuple[str, str, str]]:
    """One line's bar: (class, x, width in percent), the longest line being full."""
    bars, x = [], 0.0
    for css in sorted(stack):
        if stack[css] and most:
            width = 100 * stack[css] / most
            bars.append((css, f"{x:.2f}", f"{max(width - 0.6, 0.4):.2f}"))
            x += width
    return bars


def _starts(first: date, last: date, step: str) -> list[date]:
    """The first day of each bucket; the first one may begin before the range."""
    if step == "month":
        months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
        return [date(month // 12, month % 12 + 1, 1) for month in months]
    days = 7 if step == "week" else 1
    begin = first - timedelta(days=first.weekday()) if step == "week" else first
    return [begin + timedelta(days=day) for day in range(0, (last - begin).days + 1, days)]


def _line(highest: int) -> int:
    """A round distance between grid lines, so that at most four of them are enough."""
    rough = max(highest, 4) / 4
    power = 10 ** int(math.log10(rough))
    return int(next(power * step for step in (1, 2, 2.5, 3, 5, 10) if power * step >= rough and power * step % 1 == 0))


def _words(start: date, step: str, with_year: bool) -> str:
    if step == "month":
        return f"{start:%B %Y}"
    day = f"{start:%-d %B %Y}" if with_year else f"{start:%-d %B}"
    return f"Week of {day}" if step == "week" else day


def _x(place: int, share: float, of: int) -> str:
    """Percent from the left of a place within a bucket: 0 its beginning, 1 its end."""
    return f"{LEFT + (100 - LEFT) / of * (place + share):.2f}"


def _bucket(place: int, words: str, stack: Mapping[str, int], top: int, of: int) -> Bucket:
    bars, y = [], BASE - 0.5
    for css, spent in stack.items():
        if spent:
            height = (BASE - TOP) * spent / top
            y -= height
            bars.append(Bar(css, f"{y:.1f}", f"{max(height - GAP, 1):.1f}"))
    width = min((100 - LEFT) / of * 0.68, 8)  # a few bars are no walls
    share = 0.5 - width * of / (100 - LEFT) / 2
    return Bucket(f"{words}: {credits(sum(stack.values()))}", _x(place, share, of), f"{width:.2f}", bars)


def _labels(starts: Sequence[date], step: str, today: date) -> list[tuple[str, str, str, bool]]:
    """A few words along the bottom. Today's bucket is named, and nothing too near to it."""
    of = len(starts)
    now = max((place for place, start in enumerate(starts) if start <= today), default=-1)
    if now == of - 1 and (today - starts[-1]).days >= {"day": 1, "week": 7, "month": 31}[step]:
        now = -1  # the range ended before today
    near = of / (MARKS + 1)
    places = {round(share * (of - 1) / (MARKS - 1)) for share in range(MARKS)} if of > MARKS else set(range(of))
    labels = []
    for place in sorted(places | ({now} if now >= 0 else set())):
        if place != now and now >= 0 and abs(place - now) < near:
            continue
        words = f"{starts[place]:%b %Y}" if step == "month" else f"{starts[place]:%-d %b}"
        named = {"day": "Today", "week": "This week", "month": "This month"}[step] if place == now else words
        at_end = place == of - 1 and of > MARKS
        labels.append(("100" if at_end else _x(place, 0.5, of), named, "end" if at_end else "middle", place == now))
    return labels
