"""The gallery: the team's clips, newest first, with work in progress that becomes a clip by itself."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from generations import access, catalogue
from generations.models import RENDERING, Clip, Generation, Status, Team, User
from generations.story import Desk
from generations.views.gate import Request, current_team

PAGE = 40
LONGEST_SEARCH = 200

STATUSES = {
    "ready": ("Ready", [Status.COMPLETED]),
    "working": ("In progress", [Status.QUEUED, Status.AWAITING_APPROVAL, *RENDERING]),
    "trouble": ("Failed or refused", [Status.FAILED, Status.REJECTED]),
    "unknown": ("Outcome unknown", [Status.UNCONFIRMED]),
    "cancelled": ("Cancelled", [Status.CANCELLED]),
}
RATIOS = {
    "16x9": 16 / 9,
    "9x16": 9 / 16,
    "1x1": 1.0,
    "4x3": 4 / 3,
    "3x4": 3 / 4,
    "21x9": 21 / 9,
    "3x2": 1.5,
    "2x3": 2 / 3,
}


@dataclass(frozen=True)
class Filters:
    """What the URL asks for. Anything it cannot mean is ignored."""

    mine: bool = False
    model: str = ""
    type: str = ""
    status: str = ""
    person: int | None = None
    q: str = ""

    @classmethod
    def read(cls, query: Any) -> "Filters":
        person = query.get("person", "")
        return cls(
            mine=query.get("show") == "mine",
            model=query.get("model") if query.get("model") in catalogue.MODELS else "",
            type=query.get("type") if query.get("type") in catalogue.TYPES else "",
            status=query.get("status") if query.get("status") in STATUSES else "",
            person=int(person) if person.isascii() and person.isdigit() and len(person) < 18 else None,
            q=query.get("q", "").replace("\x00", "").strip()[:LONGEST_SEARCH],
        )

    def url(self, **changed: Any) -> str:
        """This page's query with some values changed; empty ones are left out."""
        values: dict[str, Any] = {
            "show": "mine" if self.mine else "",
            "model": self.model,
            "type": self.type,
            "status": self.status,
        }
        values |= {"person": self.person or "", "q": self.q, **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def apply(self, rows: QuerySet[Generation], user: User) -> QuerySet[Generation]:
        if self.mine:
            rows = rows.filter(owner=user)
        if self.model:
            rows = rows.filter(mode=self.model)
        if self.type:
            rows = rows.filter(generation_type=self.type)
        if self.person:
            rows = rows.filter(owner_id=self.person)
        for word in self.q.split():
            rows = rows.filter(prompt__icontains=word)
        return (
            rows.filter(status__in=STATUSES[self.status][1]) if self.status else rows.exclude(status=Status.CANCELLED)
        )

    @property
    def any(self) -> bool:
        return self != Filters(mine=self.mine)


@dataclass(frozen=True)
class Chip:
    """One filter of the bar: its name, what is chosen, and a link for each choice."""

    name: str
    field: str
    chosen: str
    links: list[tuple[str, str, bool]]
    options: list[tuple[str, str, bool]]


def _chip(filters: Filters, name: str, field: str, choices: dict[Any, str]) -> Chip:
    value = getattr(filters, field)
    links = [("Any", filters.url(**{field: ""}), not value)]
    links += [(label, filters.url(**{field: key}), key == value) for key, label in choices.items()]
    options = [("", "Any", not value)] + [(str(key), label, key == value) for key, label in choices.items()]
    return Chip(name, field, choices.get(value, "") if value else "", links, options)


def _chips(filters: Filters, team: Team) -> list[Chip]:
    people = User.objects.filter(generations__team=team).distinct().order_by("name", "email")
    return [
        _chip(filters, "Person", "person", {person.pk: person.get_full_name() for person in people}),
        _chip(filters, "Model", "model", {mode: model.name for mode, model in catalogue.MODELS.items()}),
        _chip(filters, "Type", "type", dict(catalogue.TYPES)),
        _chip(filters, "Status", "status", {key: words for key, (words, _) in STATUSES.items()}),
    ]


def ratio(generation: Generation) -> str:
    """The CSS class of the tile's shape: of the clip that is there, else of the one to come."""
    clip = getattr(generation, "clip", None)
    if clip and clip.width and clip.height:
        shape = clip.width / clip.height
        return "r-" + min(RATIOS, key=lambda name: abs(RATIOS[name] / shape - 1))
    return catalogue.ratio_class(generation.mode, generation.generation_type, generation.params)


def dressed(generation: Generation, desk: Desk, fresh: bool = False) -> dict[str, Any]:
    """Everything that one tile shows."""
    clip = getattr(generation, "clip", None)
    return {
        "g": generation,
        "clip": clip if clip and clip.state == Clip.State.STORED else None,
        "lost": clip.get_state_display() if clip and clip.state in (Clip.State.GONE, Clip.State.DAMAGED) else "",
        "place": desk.place(generation),
        "ratio": ratio(generation),
        "length": catalogue.length(generation.mode, generation.params),
        "ghost": next((m.media for m in generation.media.all() if m.media), None),
        "fresh": fresh,
    }


def tiles(rows: QuerySet[Generation]) -> QuerySet[Generation]:
    """With all that a tile needs, in a constant number of queries."""
    return rows.select_related("owner", "clip", "quote__account").prefetch_related("media__media")


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    team = current_team(request)
    filters = Filters.read(request.GET)
    rows = filters.apply(access.generations_for(request.user).filter(team=team), request.user)
    total = rows.count()
    after = request.GET.get("after", "")
    if after.isascii() and after.isdigit() and len(after) < 18:
        rows = rows.filter(pk__lt=int(after))
    shown = list(tiles(rows).order_by("-pk")[: PAGE + 1])
    more = filters.url(after=shown[PAGE - 1].pk) if len(shown) > PAGE else ""
    desk = Desk()
    context = {
        "tiles": [dressed(generation, desk) for generation in shown[:PAGE]],
        "more": more,
        "more_count": min(PAGE, total - PAGE) if not after else PAGE,
        "total": total,
        "filters": filters,
        "chips": _chips(filters, team),
        "clear_search_url": filters.url(q=""),
        "all_url": filters.url(show=""),
        "mine_url": filters.url(show="mine"),
    }
    fragment = request.htmx and after
    answer = render(request, "gallery/_tiles.html" if fragment else "gallery.html", context)
    answer["Vary"] = "HX-Request, Cookie"
    return answer


@login_required
@require_safe
def tile(request: Request, pk: int) -> HttpResponse:
    """One tile alone, as its card in progress asks for it."""
    generation = get_object_or_404(tiles(access.generations_for(request.user)), pk=pk)
    return render(request, "gallery/_tile.html", {"t": dressed(generation, Desk(), fresh=True)})
