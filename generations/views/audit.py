"""The audit trail: who did what to what, when, from where; any part of it, as CSV, too."""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from generations import access, audit
from generations.models import AuditEntry, Team, User
from generations.views import days, export
from generations.views.gallery import Chip
from generations.views.gate import Request

PAGE = 50
LONGEST_SEARCH = 100
ITSELF = "dailies"  # what nobody did
HEAD = "Time,Time zone,Person,Email,Team,Action,What,Address,Browser".split(",")


@dataclass(frozen=True)
class Asked:
    """What the URL asks for, as far as it means something. Teams and people are checked already."""

    group: str = ""
    team: int | None = None
    person: int | str | None = None  # somebody, or ITSELF
    first: date | None = None
    last: date | None = None
    text: str = ""
    wrong: str = ""

    def query(self, **changed: Any) -> str:
        values: dict[str, Any] = {"group": self.group, "team": self.team, "person": self.person, "text": self.text}
        values |= {"from": self.first, "to": self.last, **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value})

    @property
    def narrowed(self) -> bool:
        return any((self.group, self.team, self.person, self.first, self.last, self.text))

    @property
    def days_in_words(self) -> str:
        if self.first and self.last:
            return days.in_words(self.first, self.last)
        if self.first:
            return f"Since {self.first:%-d %B %Y}"
        return f"Until {self.last:%-d %B %Y}" if self.last else "All days"

    def part(self, zone: ZoneInfo) -> audit.Part:
        after_last = self.last + timedelta(days=1) if self.last else None
        return audit.Part(
            group=self.group,
            team=self.team,
            who=self.person if isinstance(self.person, int) else None,
            by_itself=self.person == ITSELF,
            since=datetime.combine(self.first, time(), zone) if self.first else None,
            before=datetime.combine(after_last, time(), zone) if after_last else None,
            text=self.text,
        )


@dataclass(frozen=True)
class Desk:
    """The question, what it could be chosen from, and what may be seen of the answer."""

    asked: Asked
    rows: QuerySet[AuditEntry]
    teams: dict[int, Team]
    people: dict[int, User]
    zone: ZoneInfo


def _ask(request: Request) -> Desk:
    """Reads the URL. A team or person that this person does not see is a 404; other nonsense is ignored."""
    if not access.manages_any(request.user):
        raise PermissionDenied("The audit trail is for managers of a team and for admins.")
    query, seen = request.GET, access.deeds_for(request.user)
    teams = {team.pk: team for team in access.spend_teams(request.user)}
    did = User.objects.filter(Exists(seen.filter(who=OuterRef("pk"))))
    people = {person.pk: person for person in did.order_by("name", "email")}
    first, last, wrong = _days(query.get("from", ""), query.get("to", ""))
    asked = Asked(
        group=query["group"] if query.get("group") in (*audit.GROUPS, audit.OTHER) else "",
        team=_known(query.get("team", ""), teams),
        person=ITSELF if query.get("person") == ITSELF else _known(query.get("person", ""), people),
        first=first,
        last=last,
        text=query.get("text", "").replace("\x00", "").strip()[:LONGEST_SEARCH],
        wrong=wrong,
    )
    one = teams[asked.team] if asked.team else next(iter(teams.values())) if len(teams) == 1 else None
    zone = ZoneInfo(one.time_zone) if one else ZoneInfo(timezone.get_default_timezone_name())
    return Desk(asked, asked.part(zone).of(seen), teams, people, zone)


def _known(text: str, choices: dict[int, Any]) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        return None
    if int(text) not in choices:
        raise Http404
    return int(text)


def _days(*texts: str) -> tuple[date | None, date | None, str]:
    """First day, last day, and what is wrong with what was asked."""
    first, last = map(days.read, texts)
    unread = next((text for text, day in zip(texts, (first, last), strict=True) if text and not day), "")
    if unread:
        return None, None, f"“{unread[:20]}” is no day such as 2026-10-01, so all days are shown."
    if first and last and first > last:
        return None, None, "The first day lies after the last one, so all days are shown."
    return first, last, ""


# -- the page ---------------------------------------------------------------------------------------------------------


def _chip(asked: Asked, name: str, field: str, choices: dict[Any, str], every: str = "Any") -> Chip:
    value = getattr(asked, field)
    links = [(every, asked.query(**{field: None}), not value)]
    links += [(label, asked.query(**{field: key}), key == value) for key, label in choices.items()]
    options = [("", every, not value), *((str(key), label, key == value) for key, label in choices.items())]
    return Chip(name, field, choices.get(value, ""), links, options)


def _chips(desk: Desk) -> list[Chip]:
    groups = {group: words for group, (words, _) in audit.GROUPS.items()} | {audit.OTHER: "Other"}
    people: dict[Any, str] = {pk: person.get_full_name() for pk, person in desk.people.items()}
    chips = [
        _chip(desk.asked, "What", "group", groups, "Anything"),
        _chip(desk.asked, "Person", "person", people | {ITSELF: "Dailies itself"}, "Anybody"),
    ]
    if len(desk.teams) > 1:
        teams = {pk: team.name for pk, team in desk.teams.items()}
        chips.append(_chip(desk.asked, "Team", "team", teams, "All teams"))
    return chips


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    return _show(request, _ask(request))


def _show(request: Request, desk: Desk, wrong: str = "") -> HttpResponse:
    asked, rows = desk.asked, desk.rows
    last = _known_row(request, rows)
    shown = list((audit.older(rows, last) if last else rows)[: PAGE + 1])
    opened = [entry.details.get("generation") for entry in shown]
    context = {
        "asked": asked,
        "wrong": wrong or asked.wrong,
        "entries": shown[:PAGE],
        "opens": set(access.generations_for(request.user).filter(pk__in=opened).values_list("pk", flat=True)),
        "chips": _chips(desk),
        "zone": desk.zone.key,
        "hidden": {"group": asked.group, "team": asked.team, "person": asked.person},
        "csv_url": asked.query(),
        "clear_url": replace(asked, group="", team=None, person=None, first=None, last=None, text="").query(),
        "newest_url": asked.query() if last else "",
        "older_url": asked.query(before=shown[PAGE - 1].pk) if len(shown) > PAGE else "",
    }
    return render(request, "audit.html", context, status=422 if wrong else 200)


def _known_row(request: Request, rows: QuerySet[AuditEntry]) -> AuditEntry | None:
    """The last row of the page before. One that is not in this part is a 404, as is what is no number."""
    text = request.GET.get("before", "")
    if not text:
        return None
    found = rows.filter(pk=int(text)).first() if text.isascii() and text.isdigit() and len(text) < 18 else None
    if found is None:
        raise Http404
    return found


# -- CSV --------------------------------------------------------------------------------------------------------------


@login_required
@require_safe
def download(request: Request) -> HttpResponseBase:
    """One line for each row behind the page with the same query."""
    desk = _ask(request)
    if desk.rows[export.LONGEST : export.LONGEST + 1].exists():
        return _show(request, desk, export.too_long())
    lines = (_cells(entry, desk.zone) for entry in audit.every(desk.rows))
    return export.answer("audit-trail", HEAD, lines)


def _cells(entry: AuditEntry, zone: ZoneInfo) -> list[export.Cell]:
    return [
        timezone.localtime(entry.at, zone).isoformat(" ", "seconds")[:19],
        zone.key,
        entry.who.get_full_name() if entry.who else "Dailies",
        entry.who.email if entry.who else "",
        entry.team.name if entry.team else "",
        entry.action,
        entry.what,
        entry.address or "",
        entry.agent,
    ]
