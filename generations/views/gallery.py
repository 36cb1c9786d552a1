"""The gallery: the team's clips, newest first, with work in progress that becomes a clip by itself."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from random import randrange
from time import time
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.cache import caches
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from generations import access, catalogue, filters, shelf
from generations.filters import MARKS, STATUSES, Filters, WrongPlace
from generations.models import UNFINISHED, Clip, Favourite, Generation, Status, Team, User
from generations.story import Desk, shared_desk
from generations.views.gate import Request, current_team

PAGE = 40
RETOLD = 15  # seconds after which a tile in progress says anew when it will be ready
WATCHED = 150  # tiles in progress that one page asks about
MOST_NEW = 100  # that are counted
BUSY, IDLE = 3, 20  # seconds between two questions of an open page, with work in progress and without
AT_EASE = 80  # pages with work in progress that one process answers so often; with more of them each asks less often
RARELY = 4  # times BUSY, at most
ENDED = "ended"
SLOT = 5  # seconds over which the questions are counted
CHOICES = 200  # collections and tags that the bar offers
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


# -- the bar ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chip:
    """One filter of the bar: its name, what is chosen, and a link for each choice."""

    name: str
    field: str
    chosen: str
    links: list[tuple[str, str, bool]]
    options: list[tuple[str, str, bool]]


def _chip(asked: Filters, name: str, field: str, choices: Iterable[tuple[Any, str]]) -> Chip:
    value = asked.values.get(field, "")
    named = {str(key): label for key, label in choices}
    links = [("Any", asked.url(**{field: ""}), not value)]
    links += [(label, asked.url(**{field: key}), key == value) for key, label in named.items()]
    options = [("", "Any", not value)] + [(key, label, key == value) for key, label in named.items()]
    return Chip(name, field, named.get(value, value), links, options)


def _chips(asked: Filters, user: User, team: Team) -> list[Chip]:
    """The last four only when the team has any such thing, or one is asked for."""
    made = Exists(Generation.objects.filter(team=team, owner=OuterRef("pk")))
    people = User.objects.filter(made | Q(memberships__team=team)).distinct().order_by("name", "email")
    collections = access.collections_for(user).filter(team=team).order_by("name").values_list("pk", "name")
    tags = team.tags.order_by("name").values_list("name", "name")
    chips = [
        _chip(asked, "Person", "person", [(person.pk, person.get_full_name()) for person in people]),
        _chip(asked, "Model", "model", [(mode, model.name) for mode, model in catalogue.MODELS.items()]),
        _chip(asked, "Type", "type", catalogue.TYPES.items()),
        _chip(asked, "Status", "status", [(key, words) for key, (words, _) in STATUSES.items()]),
        _chip(asked, "Mark", "mark", [(key, mark.label) for key, mark in MARKS.items()]),
    ]
    some = [
        _chip(asked, "Project", "project", team.projects.order_by("name").values_list("pk", "name")),
        _chip(asked, "Collection", "collection", collections[:CHOICES]),
        _chip(asked, "Tag", "tag", tags[:CHOICES]),
    ]
    return chips + [chip for chip in some if chip.chosen or len(chip.links) > 1]


# -- the tiles --------------------------------------------------------------------------------------------------------


def telling(team: Team) -> int:
    """Changes every quarter of a minute: then what a page says of the time to come is told anew.

    At one moment for a whole team, whose people share what is drawn then; at another for each team.
    """
    return int(timezone.now().timestamp() + team.pk * 7) // RETOLD % 1000


def state(pk: int, status: str, clip: str | None, told: int) -> str:
    """What a tile in progress shows, in short: when it changes, the tile is shown anew. Empty when it has ended."""
    if status == Status.AWAITING_APPROVAL:
        return f"{pk}-{status[:2]}"
    if status in UNFINISHED or (status == Status.COMPLETED and clip in (None, Clip.State.PENDING)):
        return f"{pk}-{status[:2]}{told}"
    return ""


def ratio(generation: Generation) -> str:
    """The CSS class of the tile's shape: of the clip that is there, else of the one to come."""
    clip = getattr(generation, "clip", None)
    if clip and clip.width and clip.height:
        shape = clip.width / clip.height
        return "r-" + min(RATIOS, key=lambda name: abs(RATIOS[name] / shape - 1))
    return catalogue.ratio_class(generation.mode, generation.generation_type, generation.params)


def dressed(generation: Generation, desk: Desk, told: int = 0, fresh: bool = False) -> dict[str, Any]:
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
        "state": state(generation.pk, generation.status, clip and clip.state, told),
    }


def tiles(rows: QuerySet[Generation], user: User) -> QuerySet[Generation]:
    """With all that a tile needs, in a constant number of queries; `hearted` is this person's own heart."""
    hearts = Favourite.objects.filter(user=user, generation=OuterRef("pk"))
    rows = rows.select_related("owner", "clip", "quote__account").prefetch_related("media__media")
    return rows.annotate(hearted=Exists(hearts))


# -- the page ---------------------------------------------------------------------------------------------------------


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    team = current_team(request)
    asked = Filters.read(request.GET)
    rows = asked.apply(request.user, team)
    place = request.GET.get("after", "")
    context: dict[str, Any] = {"filters": asked, "start_url": asked.url() or "?"}
    try:
        older = rows.filter(pk__lt=asked.after(team, place)) if place else rows
    except WrongPlace:
        return render(request, "gallery/wrong_place.html", context, status=400)
    shown = list(tiles(older, request.user).order_by("-pk")[: PAGE + 1])
    more = shown[PAGE - 1].pk if len(shown) > PAGE else None
    desk, told = Desk(), telling(team)
    context["tiles"] = [dressed(generation, desk, told) for generation in shown[:PAGE]]
    context["within"] = asked.url()[1:]  # by which the clip's page knows its neighbours
    context["more"] = more and asked.url(after=asked.place(team, more))
    fragment = request.htmx and place
    if not fragment:
        total, beyond = filters.counted(rows)
        live = any(tile["state"] for tile in context["tiles"])
        context |= {
            "watch": Watch(team, asked, None if place else newest(team), BUSY if live else IDLE),
            "total": total,
            "beyond": beyond,
            "misread": filters.misread(request.GET),
            "chips": _chips(asked, request.user, team),
            "clear_search_url": asked.url(q=""),
            "clear_days_url": asked.url(**{"from": "", "to": ""}),
            "picking": "select" in request.GET,
            "select_url": asked.url(select=1),
            "collections": access.collections_for(request.user).filter(team=team).order_by("name")[:CHOICES],
            "tags_suggested": shelf.suggested(team),
            "all_url": asked.url(show="", favourite=""),
            "mine_url": asked.url(show="mine", favourite=""),
            "favourites_url": asked.url(show="", favourite=1),
        }
    answer = render(request, "gallery/_tiles.html" if fragment else "gallery.html", context)
    answer["Vary"] = "HX-Request, Cookie"
    return answer


# -- what an open page asks again and again ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Watch:
    """What an open page is told: how many clips came since it was made, and when to ask again."""

    team: Team
    filters: Filters
    newest: int | None  # what was the newest generation then; None on a later page, which tells of nothing new
    pace: int
    arrived: int = 0

    @property
    def every(self) -> str:
        """The pace as htmx takes it, a little different for each page: those that were told together do not ask so."""
        return f"{self.pace * (850 + randrange(300))}ms"  # noqa: S311 - no secret

    @property
    def arrived_words(self) -> str:
        return f"{self.arrived} new" if self.arrived < MOST_NEW else f"{MOST_NEW}+ new"


def newest(team: Team) -> int:
    return team.generations.order_by("-pk").values_list("pk", flat=True).first() or 0


@login_required
@require_safe
def live(request: Request) -> HttpResponse:
    """One question for all tiles in progress on a page: only those that changed come back, or nothing at all (204)."""
    team, query = current_team(request), request.GET
    shown = {filters.number(text.partition("-")[0]) or 0: text for text in query.getlist("tile")[:WATCHED]}
    if query.get("team") != str(team.pk):
        return HttpResponse(status=204)  # the page of another team: reloading it leads on
    asked, since, told = Filters.read(query), filters.number(query.get("newest", "")), telling(team)
    rows = access.generations_for(request.user).filter(team=team, pk__in=shown)
    found = {pk: seen for pk, *seen in rows.values_list("pk", "status", "clip__state", "mark")}
    states = {pk: state(pk, status, clip, told) for pk, (status, clip, _) in found.items()}
    arrived = asked.apply(request.user, team).filter(pk__gt=since)[:MOST_NEW].count() if since is not None else 0
    pace = busy_pace(query.get("pace", "")) if any(states.values()) else IDLE
    watch = Watch(team, asked, since, pace, arrived)
    changed = [pk for pk, now_told in states.items() if now_told != shown[pk]]
    if not changed and [str(watch.pace), str(arrived)] == [query.get("pace"), query.get("arrived")]:
        return HttpResponse(status=204)
    sights = {pk: states[pk] or "-".join(map(str, (ENDED, pk, *found[pk]))) for pk in changed}
    drawn = _drawn(request, team, rows, sights, told, asked.url()[1:])
    return render(request, "gallery/_live.html", {"watch": watch, "drawn": drawn})


def busy_pace(told: str) -> int:
    """Seconds until a page with work in progress asks again: more while many are open, or all time went into them.

    `told` is what the page was told before: its question stands for that many seconds of one page.
    """
    near, slot = caches["near"], int(time()) // SLOT
    near.add(f"asked-{slot}", 0, 3 * SLOT)
    with suppress(ValueError):  # forgotten meanwhile, for want of room
        near.incr(f"asked-{slot}", min(filters.number(told) or BUSY, BUSY * RARELY))
    pages = max(near.get_many([f"asked-{slot - 1}", f"asked-{slot}"]).values(), default=0) / SLOT
    return BUSY * min(max(ceil(pages / AT_EASE), 1), RARELY)


def _drawn(
    request: Request, team: Team, rows: QuerySet[Generation], sights: dict[int, str], told: int, within: str
) -> list[SafeString]:
    """The tiles that changed, newest first. Who asks next for one that looks the same gets what was drawn already.

    `sights` says in short what each shows. Only one that has ended shows more: the person's heart, what they may do.
    """
    near, user = caches["near"], request.user
    ended = [pk for pk, sight in sights.items() if sight.startswith(ENDED)]
    hearted = set(user.favourites.filter(generation__in=ended).values_list("generation", flat=True)) if ended else set()
    makes = access.may_generate(user, team) if ended else False
    page = sha256(f"{within} {makes}".encode()).hexdigest()[:16]
    keys = {pk: f"tile-{sight}-{pk in hearted}-{page}" for pk, sight in sights.items()}
    kept = near.get_many(keys.values())
    found = {pk: mark_safe(kept[key]) for pk, key in keys.items() if key in kept}  # noqa: S308 - a template drew it
    missing = [pk for pk in sights if pk not in found]
    desk = shared_desk()
    for generation in tiles(rows.filter(pk__in=missing), user) if missing else []:
        tile = dressed(generation, desk, told, fresh=True)
        context = {"t": tile, "oob": True, "within": within, "may_generate": makes}
        found[generation.pk] = render_to_string("gallery/_tile.html", context, request)
        if (tile["state"] or ENDED) == (ENDED if generation.pk in ended else sights[generation.pk]):  # as it was seen
            near.set(keys[generation.pk], str(found[generation.pk]), RETOLD)
    return [found[pk] for pk in sorted(found, reverse=True)]
