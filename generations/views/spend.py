"""Spend: what one's own clips cost, and for managers and admins what everybody's did; any part of it, as CSV, too."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, Sum
from django.http import Http404, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from generations import access, books, catalogue, dispatch, reports, story
from generations.models import ApiAccount, Generation, LedgerEntry, Project, Status, Team, User
from generations.views import chart, days, export, meters
from generations.views.gallery import Chip
from generations.views.gate import Request, current_team

PAGE = 50
PROMPT_START = 200  # characters of a prompt in the CSV
STATUSES = {"ready": "Ready", "failed": "Failed or refused", "held": "Held now"}
EVERY_TEAM, NO_PROJECT = "all", "none"


# -- what the URL asks for --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What the URL asks for, as far as it means something. Teams, people and projects are checked already."""

    view: str  # team, or mine
    team: Team | None  # None: every team of the choice
    first: date
    last: date
    this_month: bool
    wrong: str = ""
    person: int | None = None
    project: int | str | None = None  # a project, or NO_PROJECT
    model: str = ""
    status: str = ""
    by: str = "person"

    def query(self, **changed: Any) -> str:
        """The page's query with some values changed; empty ones are left out."""
        every = EVERY_TEAM if self.view == "team" else ""
        values: dict[str, Any] = {"view": self.view, **self.days, "team": self.team.pk if self.team else every}
        values |= {"person": self.person, "project": self.project, "model": self.model, "status": self.status}
        values |= {"by": "" if self.by == "person" else self.by, **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value})

    @property
    def days(self) -> dict[str, str]:
        return {} if self.this_month else {"from": self.first.isoformat(), "to": self.last.isoformat()}

    @property
    def narrowed(self) -> bool:
        return bool(self.person or self.project or self.model or self.status)

    @property
    def days_in_words(self) -> str:
        return days.in_words(self.first, self.last)


@dataclass(frozen=True)
class Desk:
    """The question, and what it could be chosen from."""

    asked: Asked
    part: reports.Part
    today: date
    teams: list[Team]
    people: dict[int, User]
    projects: dict[int, Project]
    may_see_team: bool


def _ask(request: Request) -> Desk:
    """Reads the URL. A team, person or project that this person does not see is a 404; other nonsense is ignored."""
    query, user = request.GET, request.user
    seen = list(access.spend_teams(user))
    current = None if user.is_staff and not access.teams_of(user).exists() else current_team(request)
    default = "team" if seen and (current is None or current in seen) else "mine"
    view = query.get("view") if query.get("view") in ("team", "mine") else default
    if view == "team" and not seen:
        raise PermissionDenied("What the team spends is for its managers and for admins.")
    teams = seen if view == "team" else list(access.teams_of(user))
    team = _team(query.get("team", ""), teams, current if view == "team" else None, view == "team")
    among = None if team is None and view == "team" and user.is_staff else [team.pk] if team else [t.pk for t in teams]
    people = {person.pk: person for person in reports.people(among)} if view == "team" else {user.pk: user}
    projects = {project.pk: project for project in reports.projects(among)}
    place = team or current
    today = place.day() if place else timezone.localdate()
    first, last, wrong = _range(query, today)
    asked = Asked(
        view=str(view),
        team=team,
        first=first,
        last=last,
        this_month=(first, last) == days.month(today),
        wrong=wrong,
        person=_known(query.get("person", ""), people) if view == "team" else None,
        project=NO_PROJECT if query.get("project") == NO_PROJECT else _known(query.get("project", ""), projects),
        model=query["model"] if query.get("model") in catalogue.MODELS else "",
        status=query["status"] if query.get("status") in STATUSES else "",
        by=query["by"] if query.get("by") in _groups(team, teams) else "person",
    )
    return Desk(asked, _part(asked, user, among), today, teams, people, projects, bool(seen))


def _part(asked: Asked, user: User, among: list[int] | None) -> reports.Part:
    mine = asked.view == "mine"
    return reports.Part(
        demo=dispatch.demo_mode(),
        first=asked.first,
        last=asked.last,
        teams=None if among is None or (mine and asked.team is None) else tuple(among),
        user=user.pk if mine else asked.person,
        project=asked.project if isinstance(asked.project, int) else None,
        no_project=asked.project == NO_PROJECT,
        mode=asked.model,
        status=asked.status,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


def _team(text: str, teams: list[Team], current: Team | None, one: bool) -> Team | None:
    """The team that is asked for; without a word, the current one where `one` is usual, else all."""
    if text == EVERY_TEAM:
        return teams[0] if one and len(teams) == 1 else None
    number = _number(text)
    if number is None:
        return (current if current in teams else teams[0]) if one else None
    found = next((team for team in teams if team.pk == number), None)
    if found is None:
        raise Http404
    return found


def _known(text: str, choices: dict[int, Any]) -> int | None:
    number = _number(text)
    if number is not None and number not in choices:
        raise Http404
    return number


def _groups(team: Team | None, teams: list[Team]) -> dict[str, str]:
    several = {"team": "Team"} if team is None and len(teams) > 1 else {}
    return {"person": "Person", **several, "project": "Project", "model": "Model", "status": "Status"}


# -- days -------------------------------------------------------------------------------------------------------------


def _range(query: QueryDict, today: date) -> tuple[date, date, str]:
    """First day, last day, and what is wrong with what was asked. Without any, the running month."""
    texts = query.get("from", ""), query.get("to", "")
    first, last = map(days.read, texts)
    this = days.month(today)
    unread = next((text for text, day in zip(texts, (first, last), strict=True) if text and not day), "")
    if unread:
        return *this, f"“{unread[:20]}” is no day such as {today.isoformat()}, so this month is shown."
    first = first or (last.replace(day=1) if last else this[0])
    last = last or max(this[1], first)
    if first > last:
        return *this, "The first day lies after the last one, so this month is shown."
    return first, last, ""


def _ranges(asked: Asked, today: date, begin: date | None) -> list[tuple[str, str, bool]]:
    """Ranges to choose with one click: words, link, chosen."""
    months = [days.month(today)]
    for _ in range(2):
        months.append(days.month(months[-1][0] - timedelta(days=1)))
    choices = [(days.in_words(*month), month) for month in months]
    choices.append(("This year", (date(today.year, 1, 1), date(today.year, 12, 31))))
    if begin:
        choices.append(("From the beginning", (begin, max(months[0][1], begin))))
    chosen = (asked.first, asked.last)
    return [(words, _range_url(asked, offered, today), offered == chosen) for words, offered in choices]


def _range_url(asked: Asked, offered: tuple[date, date], today: date) -> str:
    return replace(asked, first=offered[0], last=offered[1], this_month=offered == days.month(today)).query()


# -- the bar of filters -----------------------------------------------------------------------------------------------


def _chip(asked: Asked, name: str, field: str, choices: dict[Any, str], every: str = "Any") -> Chip:
    value: Any = asked.team.pk if field == "team" and asked.team else getattr(asked, field) or ""
    empty = EVERY_TEAM if field == "team" else ""
    links = [(every, asked.query(**{field: empty}), not value)]
    links += [(label, asked.query(**{field: key}), key == value) for key, label in choices.items()]
    options = [(empty, every, not value), *((str(key), label, key == value) for key, label in choices.items())]
    return Chip(name, field, choices.get(value, ""), links, options)


def _chips(desk: Desk) -> list[Chip]:
    asked, chips = desk.asked, []
    if len(desk.teams) > 1:
        # Another team has other people and projects: those chosen are let go.
        other = replace(asked, person=None, project=None)
        chips.append(_chip(other, "All teams", "team", {team.pk: team.name for team in desk.teams}, "All teams"))
    if asked.view == "team":
        people = {person.pk: person.get_full_name() for person in desk.people.values()}
        chips.append(_chip(asked, "Person", "person", people))
    if desk.projects:
        projects: dict[Any, str] = {pk: _project_name(project, desk) for pk, project in desk.projects.items()}
        chips.append(_chip(asked, "Project", "project", {**projects, NO_PROJECT: "No project"}))
    models = {mode: model.name for mode, model in catalogue.MODELS.items()}
    return [*chips, _chip(asked, "Model", "model", models), _chip(asked, "Status", "status", STATUSES)]


def _project_name(project: Project, desk: Desk) -> str:
    """With its team where there are several: each may have a project of that name."""
    several = desk.asked.team is None and len(desk.teams) > 1
    return f"{project.name} ({project.team.name})" if several else project.name


# -- the page ---------------------------------------------------------------------------------------------------------


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    return _show(request, _ask(request))


def _show(request: Request, desk: Desk, wrong: str = "") -> HttpResponse:
    asked, part = desk.asked, desk.part
    lines = reports.breakdown(part, asked.by if asked.view == "team" else "model")
    sums = sum((line for _, _, line in lines), reports.Sums())
    going = reports.under_way(part)
    known = dispatch.balance(part.demo, asked.team or (current_team(request) if asked.view == "mine" else None))
    begin = reports.first_day(part)
    series = chart.series_of(_by_mode(lines, part.status))
    quoted = reports.quoted(part, sums.quoted)
    context: dict[str, Any] = {
        "asked": asked,
        "may_see_team": desk.may_see_team,
        "team_url": "?" + urlencode({"view": "team", **asked.days}),
        "mine_url": "?" + urlencode({"view": "mine", **asked.days}),
        "csv_url": reverse("spend_csv") + asked.query(by=""),
        "hidden": [(name, value) for name, value in parse_qsl(asked.query()[1:]) if name not in ("from", "to")],
        "clear_url": replace(asked, person=None, project=None, model="", status="").query(),
        "ranges": _ranges(asked, desk.today, begin),
        "chips": _chips(desk),
        "sums": sums,
        "under_way": going,
        "quoted": quoted,
        "more_than_quoted": sums.charged - quoted,
        "less_than_quoted": quoted - sums.charged,
        "unkept": reports.unkept(part, desk.today) if asked.status in ("", "ready") else None,
        "kept_within": reports.KEPT_WITHIN.days,
        "too_long": export.too_long() if sums.confirmed > export.LONGEST else "",
        "account_balance": known[0] if known else None,
        "balance_at": known[1] if known else None,
        "chart": _chart(desk, begin, series),
    }
    if asked.view == "team":
        context |= _team_context(desk, lines, sums, going, series)
        context["days_left"] = reports.days_left(known[0], part.demo, asked.team) if known else None
        rooms = reports.rooms(asked.team, part.demo) if asked.team else []
        if access.may_configure(request.user) and (asked.team is None or len(desk.teams) == 1):
            context |= _books_context(asked, part, request.GET.get("outside", ""))
    else:
        mine = asked.team or current_team(request)
        rooms = reports.rooms(mine, part.demo, request.user)
        paginator = Paginator(reports.lines(part), PAGE)
        paginator.count = going.clips if asked.status == "held" else sums.confirmed  # known, so not counted again
        context["entries"] = entries = paginator.get_page(request.GET.get("page"))
        context["rows"] = [(line, *story.SHAPES[Status(line.status)]) for line in entries]
        context["page_url"] = asked.query() + "&page="
    context["meters"] = meters.of_rooms(rooms, request.user)
    return render(request, "spend.html", context | {"wrong": wrong or asked.wrong}, status=422 if wrong else 200)


def _by_mode(lines: Iterable[tuple[Any, str, reports.Sums]], status: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for _, mode, sums in lines:
        found[mode] = found.get(mode, 0) + sums.figure(status)
    return found


def _model_names() -> dict[str, str]:
    return {mode: model.name for mode, model in catalogue.MODELS.items()}


def _chart(desk: Desk, begin: date | None, series: dict[str, str]) -> chart.Chart | None:
    """Of the days that are asked for, without years before the first clip or after this month."""
    asked = desk.asked
    first = max(asked.first, begin) if begin and asked.first < begin.replace(day=1) else asked.first
    last = min(asked.last, max(days.month(desk.today)[1], first))
    if begin is None or first > last or not series:
        return None
    rows = reports.over_time(replace(desk.part, first=first, last=last), chart.step_of(first, last))
    figures = [(start, mode, sums.figure(asked.status)) for start, mode, sums in rows]
    return chart.draw(figures, first, last, series, _model_names(), desk.today)


# -- all of a team ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of the table: a person, a team, a project, a model or a status."""

    name: str
    url: str
    clips: int
    credits: int
    held: int
    failed_spent: int
    share: int  # percent of all
    bars: list[tuple[str, str, str]]
    initials: str = ""


def _team_context(
    desk: Desk,
    lines: list[tuple[int | None, str, reports.Sums]],
    sums: reports.Sums,
    going: reports.UnderWay,
    series: dict[str, str],
) -> dict[str, Any]:
    asked = desk.asked
    groups = _groups(asked.team, desk.teams)
    if asked.by == "status":
        table = _by_status(desk, lines, sums, going, series)
    else:
        table = _table(
            desk, [(whose if asked.by in reports.BY else mode, mode, one) for whose, mode, one in lines], series
        )
    return {
        "groups": [
            (words, asked.query(by="" if by == "person" else by), by == asked.by) for by, words in groups.items()
        ],
        "group": groups[asked.by],
        "table": table,
        "whose": asked.team.name if asked.team else "all teams",
    }


def _table(desk: Desk, lines: list[tuple[Any, str, reports.Sums]], series: dict[str, str]) -> list[Line]:
    """Most spent first. With nothing narrowed, everybody of a team has a line."""
    asked = desk.asked
    found: dict[Any, reports.Sums] = {}
    stacks: dict[Any, dict[str, int]] = {}
    if asked.by == "person" and asked.team and not asked.narrowed:
        found = {pk: reports.Sums() for pk in desk.people}
    for key, mode, sums in lines:
        found[key] = found.get(key, reports.Sums()) + sums
        stack, css = stacks.setdefault(key, {}), series.get(mode, chart.OTHER)
        stack[css] = stack.get(css, 0) + sums.figure(asked.status)
    shown = {key: sums for key, sums in found.items() if sums.confirmed or sums.held or asked.by == "person"}
    rows = [_line(desk, key, sums, stacks.get(key, {}), shown.values(), asked.status) for key, sums in shown.items()]
    return sorted(rows, key=lambda row: (-row.credits, row.name.lower()))


def _line(
    desk: Desk, key: Any, sums: reports.Sums, stack: dict[str, int], every: Iterable[reports.Sums], status: str
) -> Line:
    figures = [one.figure(status) for one in every]
    credits, total, most = sums.figure(status), sum(figures), max(figures)
    person = desk.people.get(key) if desk.asked.by == "person" else None
    return Line(
        name=_name(desk, key),
        url="" if desk.asked.by == "model" and key not in catalogue.MODELS else _line_url(desk.asked, key),
        clips=sums.completed,
        credits=credits,
        held=sums.held,
        failed_spent=sums.failed_spent,
        share=round(100 * credits / total) if total else 0,
        bars=chart.shares(stack, most),
        initials=person.initials if person else "",
    )


def _name(desk: Desk, key: Any) -> str:
    if desk.asked.by == "person":
        return desk.people[key].get_full_name()
    if desk.asked.by == "team":
        return next(team.name for team in desk.teams if team.pk == key)
    if desk.asked.by == "project":
        return _project_name(desk.projects[key], desk) if key else "No project"
    return _model_names().get(key, key)


def _line_url(asked: Asked, key: Any) -> str:
    """Only this line, and by model: what one wants to know next."""
    by = "" if asked.by == "model" else "model"
    return asked.query(by=by, **{asked.by: key or NO_PROJECT})


def _by_status(
    desk: Desk,
    lines: list[tuple[int | None, str, reports.Sums]],
    sums: reports.Sums,
    going: reports.UnderWay,
    series: dict[str, str],
) -> list[Line]:
    asked = desk.asked
    clips = {"ready": sums.completed, "failed": sums.failed, "held": going.clips}
    stacks: dict[str, dict[str, int]] = {status: {} for status in STATUSES}
    for _, mode, one in lines:
        css = series.get(mode, chart.OTHER)
        for status, stack in stacks.items():
            stack[css] = stack.get(css, 0) + one.of(status).figure(status)
    credits = {status: sum(stack.values()) for status, stack in stacks.items()}
    total, most = sum(credits.values()), max(credits.values())
    return [
        Line(
            name=words,
            url=asked.query(status=status, by="model"),
            clips=clips[status],
            credits=credits[status],
            held=credits[status] if status == "held" else 0,
            failed_spent=credits[status] if status == "failed" else 0,
            share=round(100 * credits[status] / total) if total else 0,
            bars=chart.shares(stacks[status], most),
        )
        for status, words in STATUSES.items()
        if asked.status in ("", status)
    ]


# -- the books --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Book:
    """One account: whether what we wrote down is what Veevid says."""

    account: ApiAccount
    state: books.State
    going: int

    @property
    def missing(self) -> int:
        return abs(self.state.missing)


def _books_context(asked: Asked, part: reports.Part, page: str) -> dict[str, Any]:
    """Every account's state, and what was spent or bought elsewhere in the days that are asked for."""
    accounts = dispatch.accounts(part.demo).select_related("compared", "team")
    states = [(account, books.state(account)) for account in accounts]
    outside = books.outside(part.demo).filter(until__at__date__gte=part.first, after__at__date__lte=part.last)
    spent = Sum("spent", filter=Q(kind=LedgerEntry.Kind.OUTSIDE), default=0)
    totals = outside.order_by().aggregate(spent=spent, bought=Sum("bought", default=0))
    shown = Paginator(outside, PAGE).get_page(page)
    return {
        "suspects": books.suspects(shown.object_list),
        "books": [
            Book(account, state, books.under_way(state.reading).count() if state.reading else 0)
            for account, state in states
        ],
        "outside": shown,
        "outside_sums": totals,
        "outside_url": asked.query() + "&outside=",
    }


# -- CSV --------------------------------------------------------------------------------------------------------------

HEAD = (
    "Day,Time,Time zone,Team,Person,Project,Model,Status,Quoted credits,Charged credits,Refunded credits,Held credits,"
    "Prompt"
).split(",")


@login_required
@require_safe
def download(request: Request) -> HttpResponseBase:
    """One line for each generation behind the page with the same query."""
    desk = _ask(request)
    asked = desk.asked
    if reports.number_of_lines(desk.part) > export.LONGEST:
        return _show(request, desk, export.too_long())
    whose = "mine" if asked.view == "mine" else slugify(asked.team.name) if asked.team else "all-teams"
    name = f"spend-{whose or 'team'}-{asked.first.isoformat()}-{asked.last.isoformat()}"
    return export.answer(name, HEAD, map(_cells, reports.every_line(desk.part)))


def _cells(generation: Generation) -> list[str | int]:
    zone, back = generation.team.time_zone, getattr(generation, "refunded", 0) or 0
    return [
        generation.day.isoformat(),
        f"{timezone.localtime(generation.created_at, ZoneInfo(zone)):%H:%M:%S}",
        zone,
        generation.team.name,
        generation.owner.get_full_name(),
        generation.project.name if generation.project else "",
        _model_names().get(generation.mode, generation.mode),
        generation.get_status_display(),
        generation.price,
        (getattr(generation, "spent", 0) or 0) + back,
        back,
        getattr(generation, "held", 0) or 0,
        generation.prompt[:PROMPT_START],
    ]
