"""Days as pages ask for them and say them."""

import re
from datetime import date, timedelta


def month(day: date) -> tuple[date, date]:
    """First and last day of the month that a day lies in."""
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def read(text: str) -> date | None:
    """A day as a browser writes it, of this century."""
    try:
        return date.fromisoformat(text) if re.fullmatch(r"20\d\d-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        return None


def in_words(first: date, last: date) -> str:
    """`October 2026`, `3–9 October 2026`, `3 October – 9 November 2026`."""
    if (first, last) == month(first):
        return f"{first:%B %Y}"
    if first == last:
        return f"{first:%-d %B %Y}"
    if (first, last) == (date(first.year, 1, 1), date(first.year, 12, 31)):
        return f"{first.year}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{last:%-d %B %Y}"
    return f"{first:%-d %B}{'' if first.year == last.year else first.strftime(' %Y')} – {last:%-d %B %Y}"
