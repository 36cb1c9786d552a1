"""Figures and times in words. Pure functions; the templates' filters are made of them."""

import re
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would compute what begins with one of these


def credits(number: int | None) -> str:
    """`1750` -> `1,750 credits`: a number never stands alone."""
    if number is None:
        return "not known"
    return f"{number:,} credit{'' if number == 1 else 's'}"


def bytes_words(size: int | None) -> str:
    """`18400000` -> `18.4 MB`."""
    if size is None:
        return ""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} bytes"


def clock(seconds: float | None) -> str:
    """`72` -> `1:12`, as on a player."""
    whole = round(seconds or 0)
    return f"{whole // 60}:{whole % 60:02d}"


def duration_words(seconds: float | None) -> str:
    """`115` -> `1 min 55 s`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"


def range_words(between: tuple[float, float] | None) -> str:
    """`(30.2, 80)` -> `30–80 s`; from two minutes on in minutes. An honest range, never a countdown."""
    if between is None:
        return ""
    low, high = max(between[0], 0.0), max(between[1], 1.0)
    if high < 120:
        step = 10 if high >= 30 else 5 if high >= 10 else 1
        bottom, top = int(low // step * step), int(-(-high // step) * step)
        bottom = max(bottom, 1)
        return f"{top} s" if bottom >= top else f"{bottom}–{top} s"
    bottom, top = max(int(low // 60), 1), int(-(-high // 60))
    return f"{top} min" if bottom >= top else f"{bottom}–{top} min"


def relative(at: datetime, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that says something."""
    ago = (now or timezone.now()) - at
    if ago < timedelta(seconds=10):
        return "just now"
    if ago < timedelta(minutes=1):
        return f"{int(ago.total_seconds())} s ago"
    if ago < timedelta(hours=1):
        return f"{int(ago.total_seconds() // 60)} min ago"
    if ago < timedelta(days=1):
        return f"{int(ago.total_seconds() // 3600)} h ago"
    if ago < timedelta(days=2):
        return "yesterday"
    if ago < timedelta(days=30):
        return f"{ago.days} days ago"
    return f"{timezone.localtime(at):%-d %B %Y}"


def remaining(until: datetime, now: datetime | None = None) -> str:
    """How long until then: `in 6 days`."""
    left = until - (now or timezone.now())
    if left <= timedelta(0):
        return "now"
    if left < timedelta(hours=1):
        return f"in {max(int(left.total_seconds() // 60), 1)} min"
    if left < timedelta(days=2):
        return f"in {round(left.total_seconds() / 3600)} h"
    return f"in {round(left.total_seconds() / 86400)} days"


def ordinal_words(place: int) -> str:
    """`3` -> `3rd in line`; the first is next."""
    if place <= 1:
        return "next in line"
    suffix = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{suffix} in line"


def plain_cell(value: Any) -> Any:
    """For a CSV. Text stays text: no spreadsheet takes it for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


BROWSERS = {
    "Edg": "Edge",
    "OPR": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
}
BROWSERS |= {"Chrome": "Chrome", "CriOS": "Chrome", "Safari": "Safari"}  # the first that is named counts
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "CrOS": "ChromeOS", "Windows": "Windows"}
SYSTEMS |= {"Mac OS X": "macOS", "Linux": "Linux"}

PREVIEWS = re.compile(
    r"(?<!cu)bot\b|crawler|spider|externalhit|whatsapp|skypeuripreview", re.IGNORECASE
)  # Cubot makes phones


def client_words(agent: str) -> str:
    """What somebody looks with, roughly: `Chrome on Android`. Too little to tell people apart."""
    browser = next((name for mark, name in BROWSERS.items() if mark in agent), "Another program")
    system = next((name for mark, name in SYSTEMS.items() if mark in agent), "")
    return f"{browser} on {system}" if system else browser


def makes_previews(agent: str) -> bool:
    """Whether this is one of the programs that fetch a page when its link is pasted into a chat."""
    return bool(PREVIEWS.search(agent))
