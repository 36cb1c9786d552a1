"""Spend: what one's own clips cost this month, and for managers and admins what everybody's did."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from generations import access, catalogue, dispatch, reports, story
from generations.models import Status, Team, User
from generations.views.gate import Request, current_team
from generations.words import credits

PAGE = 50
SERIES = ("s1", "s2", "s3", "s4", "s5")  # classes of the five models most spent on
OTHER = "s6"

# The chart, in pixels from top to bottom and in percent from left to right, so that it stretches with the page.
TOP, BASE, LEFT = 0.5, 200.5, 6.5
GAP = 1.5  # pixels between two models of one day


@dataclass(frozen=True)
class Bar:
    series: str
    y: str
    height: str


@dataclass(frozen=True)
class Day:
    title: str
    x: str
    width: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Chart:
    """A stacked bar for each day. Every number is text already: templates would group its digits."""

    grid: Sequence[tuple[str, str, str]]  # y of the line, y of its words, the words
    days: Sequence[Day]
    labels: Sequence[tuple[str, str, str, bool]]  # x, words, anchor, today
    legend: Sequence[tuple[str, str]]  # class, model
    table: Sequence[tuple[str, Sequence[int], int]]  # day, credits by series, sum


@dataclass(frozen=True)
class Person:
    name: str
    initials: str
    clips: int
    spent: int
    share: int  # percent of the team's
    bars: Sequence[tuple[str, str, str]]  # class, x, width in percent


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    team = current_team(request)
    may_see_team = access.may_see_team_spend(request.user, team)
    view = request.GET.get("view", "team" if may_see_team else "mine")
    if view == "team" and not may_see_team:
        raise PermissionDenied("What the team spends is for its managers and for admins.")
    month = reports.Month.read(request.GET.get("month", ""))
    demo = dispatch.demo_mode()
    rows = reports.books(demo, team=team) if view == "team" else reports.books(demo, user=request.user)
    figures = reports.figures(rows, month)
    known = dispatch.balance(demo, team)
    context: dict[str, Any] = {
        "view": "team" if view == "team" else "mine",
        "may_see_team": may_see_team,
        "may_generate": access.may_generate(request.user, team),
        "month": month,
        "earlier": month.before() if figures.first and figures.first < month.start else None,
        "later": None if month.running else month.after(),
        "figures": figures,
        "account_balance": known[0] if known else None,
        "balance_at": known[1] if known else None,
    }
    if view == "team":
        context |= _team(team, rows, month)
        context["days_left"] = reports.days_left(known[0], demo, team) if known else None
    else:
        entries = Paginator(reports.behind(rows, month), PAGE).get_page(request.GET.get("page"))
        context["entries"] = entries
        context["rows"] = [
            (entry, *story.SHAPES[Status(entry.generation.status)]) for entry in entries if entry.generation
        ]
    return render(request, "spend.html", context)


def _team(team: Team, rows: Any, month: reports.Month) -> dict[str, Any]:
    by_day = reports.by_day(rows, month)
    by_person = reports.by_person(rows, month)
    spent: dict[str, int] = {}
    for _, mode, credits_spent in by_day:
        spent[mode] = spent.get(mode, 0) + credits_spent
    order = sorted(spent, key=lambda mode: (-spent[mode], mode))
    series = {mode: SERIES[place] if place < len(SERIES) else OTHER for place, mode in enumerate(order)}
    return {"chart": _chart(by_day, series, month), "people": _people(team, by_person, series)}


# -- the chart --------------------------------------------------------------------------------------------------------


def _name(mode: str) -> str:
    return catalogue.MODELS[mode].name if mode in catalogue.MODELS else mode


def _step(highest: int) -> int:
    """A round distance between grid lines, so that at most four of them are enough."""
    rough = max(highest, 4) / 4
    power = 10 ** int(math.log10(rough))
    return int(next(power * step for step in (1, 2, 2.5, 3, 5, 10) if power * step >= rough and power * step % 1 == 0))


def _chart(by_day: list[tuple[int, str, int]], series: dict[str, str], month: reports.Month) -> Chart | None:
    if not by_day:
        return None
    legend = [(css, _name(mode)) for mode, css in series.items() if css != OTHER]
    if OTHER in series.values():
        legend.append((OTHER, "Other"))
    classes = [css for css, _ in legend]
    sums: dict[int, dict[str, int]] = {day: dict.fromkeys(classes, 0) for day in range(1, month.days + 1)}
    for day, mode, spent in by_day:
        sums[day][series[mode]] += spent
    step = _step(max(sum(stack.values()) for stack in sums.values()))
    top = step * 4
    lines = [(line, BASE - (BASE - TOP) * line / top) for line in range(step, top + 1, step)]
    return Chart(
        grid=[(f"{y:.1f}", f"{y - 5:.1f}", credits(line) if line == top else f"{line:,}") for line, y in lines],
        days=[_day(day, stack, top, month) for day, stack in sums.items()],
        labels=_labels(month),
        legend=legend,
        table=[
            (f"{day} {month.start:%B}", list(stack.values()), sum(stack.values()))
            for day, stack in sums.items()
            if any(stack.values())
        ],
    )


def _x(day: int, month: reports.Month, share: float) -> str:
    """Percent from the left of a place within a day: 0 its beginning, 1 its end."""
    return f"{LEFT + (100 - LEFT) / month.days * (day - 1 + share):.2f}"


def _day(day: int, stack: dict[str, int], top: int, month: reports.Month) -> Day:
    bars, y = [], BASE - 0.5
    for css, spent in stack.items():
        if spent:
            height = (BASE - TOP) * spent / top
            y -= height
            bars.append(Bar(css, f"{y:.1f}", f"{max(height - GAP, 1):.1f}"))
    width = (100 - LEFT) / month.days * 0.68
    return Day(f"{day} {month.start:%B}: {credits(sum(stack.values()))}", _x(day, month, 0.16), f"{width:.2f}", bars)


def _labels(month: reports.Month) -> list[tuple[str, str, str, bool]]:
    today = timezone.localtime().day if month.running else 0
    marked = [day for day in (1, 10, 20) if not today or abs(day - today) > 4]
    labels = [(_x(day, month, 0.5), f"{day} {month.start:%b}", "middle", False) for day in marked]
    if today:
        near_end = today > month.days - 2
        labels.append(("100" if near_end else _x(today, month, 0.5), "Today", "end" if near_end else "middle", True))
    if not today or today < month.days - 5:
        labels.append(("100", f"{month.days} {month.start:%b}", "end", False))
    return labels


# -- people -----------------------------------------------------------------------------------------------------------


def _people(team: Team, by_person: list[tuple[int, str, int, int]], series: dict[str, str]) -> list[Person]:
    """Everybody of the team, and whoever spent in it and has left; most spent first."""
    spent: dict[int, dict[str, int]] = {user.pk: {} for user in team.members.all()}
    clips: dict[int, int] = {}
    for user, mode, credits_spent, made in by_person:
        stack = spent.setdefault(user, {})
        css = series.get(mode, OTHER)
        stack[css] = stack.get(css, 0) + credits_spent
        clips[user] = clips.get(user, 0) + made
    everything = sum(sum(stack.values()) for stack in spent.values())
    most = max((sum(stack.values()) for stack in spent.values()), default=0)
    users = User.objects.in_bulk(spent)
    people = [
        Person(
            name=users[pk].get_full_name(),
            initials=users[pk].initials,
            clips=clips.get(pk, 0),
            spent=sum(stack.values()),
            share=round(100 * sum(stack.values()) / everything) if everything else 0,
            bars=_bars(stack, most),
        )
        for pk, stack in spent.items()
    ]
    return sorted(people, key=lambda person: (-person.spent, person.name.lower()))


def _bars(stack: dict[str, int], most: int) -> list[tuple[str, str, str]]:
    bars, x = [], 0.0
    for css in sorted(stack):
        if stack[css]:
            width = 100 * stack[css] / most
            bars.append((css, f"{x:.2f}", f"{max(width - 0.6, 0.4):.2f}"))
            x += width
    return bars
