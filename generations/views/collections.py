"""Collections: the list of them with the team's tags, and a page for each."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from generations import access, shelf
from generations.filters import Filters
from generations.models import Clip, Collection, CollectionItem, Team
from generations.shelf import CannotOrganise
from generations.story import Desk
from generations.views.gallery import BUSY, IDLE, Watch, dressed, telling, tiles
from generations.views.gate import Request, current_team

PAGE = 60
COVERS = 4


def _listed(request: Request, team: Team) -> QuerySet[Collection]:
    there = Count("items", filter=Q(items__generation__binned_at=None))
    return access.collections_for(request.user).filter(team=team).annotate(number=there).order_by("name")


def _covers(collections: list[Collection]) -> dict[int, list[int]]:
    """The newest clips of each collection, that there is a poster of: collection -> generations."""
    found: dict[int, list[int]] = {}
    items = CollectionItem.objects.filter(
        generation__binned_at=None, generation__clip__state=Clip.State.STORED
    ).order_by("-pk")
    for collection in collections:
        mine = items.filter(collection=collection)
        found[collection.pk] = list(mine.values_list("generation", flat=True)[:COVERS])
    return found


def _list(request: Request, team: Team, status: int = 200, **more: Any) -> HttpResponse:
    pages = Paginator(_listed(request, team).select_related("owner"), PAGE)
    shown = pages.get_page(request.GET.get("page"))
    covers = _covers(list(shown))
    context = {
        "page": shown,
        "collections": [(collection, covers[collection.pk]) for collection in shown],
        "tags": shelf.tags_of(team),
        "organises": access.may_organise(request.user, team),
        "name_length": shelf.NAME_LENGTH,
        "tag_length": shelf.TAG_LENGTH,
    }
    return render(request, "collections.html", context | more, status=status)


@login_required
@require_safe
def listing(request: Request) -> HttpResponse:
    return _list(request, current_team(request))


def _organised_team(request: Request) -> Team:
    team = current_team(request)
    if not access.may_organise(request.user, team):
        raise PermissionDenied("You watch this team’s clips. Members and managers put them in order.")
    return team


@login_required
@require_POST
def make(request: Request) -> HttpResponse:
    team, name = _organised_team(request), request.POST.get("name", "")
    private = request.POST.get("private") == "1"
    try:
        collection = shelf.make(request.user, team, name, private)
    except CannotOrganise as no:
        return _list(request, team, 422, wrong=str(no), typed=name[:200], private_typed=private)
    messages.success(request, f"“{collection}” is there. Add clips from the gallery or from a clip’s page.")
    return redirect("collection", collection.pk)


def _find(request: Request, pk: int) -> Collection:
    return get_object_or_404(access.collections_for(request.user).select_related("team", "owner"), pk=pk)


def _to_change(request: Request, pk: int) -> Collection:
    collection = _find(request, pk)
    if not access.may_change_collection(request.user, collection):
        raise PermissionDenied("Whoever made a collection changes it, and the team’s managers. Nothing was changed.")
    return collection


def _one(request: Request, collection: Collection, status: int = 200, **more: Any) -> HttpResponse:
    rows = access.generations_for(request.user).filter(places__collection=collection).order_by("places__pk")
    pages = Paginator(tiles(rows, request.user), PAGE)
    shown, desk = pages.get_page(request.GET.get("page")), Desk()
    drawn = [dressed(generation, desk, telling(collection.team)) for generation in shown]
    live = any(tile["state"] for tile in drawn)
    kept = rows.filter(clip__state=Clip.State.STORED).order_by()
    context = {
        "collection": collection,
        "page": shown,
        "tiles": drawn,
        "watch": Watch(collection.team, Filters(collection=collection.pk), None, BUSY if live else IDLE),
        "totals": kept.aggregate(number=Count("pk"), size=Sum("clip__size"), charged=Sum("charged")),
        "organises": access.may_organise(request.user, collection.team),
        "may_share": access.may_share_collection(request.user, collection),
        "may_change": access.may_change_collection(request.user, collection),
        "name_length": shelf.NAME_LENGTH,
        "collections": access.collections_for(request.user).filter(team=collection.team).order_by("name"),
        "tags_suggested": shelf.suggested(collection.team),
        "tag_length": shelf.TAG_LENGTH,
        "picking": "select" in request.GET,
        "within": f"collection={collection.pk}",
    }
    return render(request, "collection.html", context | more, status=status)


@login_required
@require_safe
def page(request: Request, pk: int) -> HttpResponse:
    return _one(request, _find(request, pk))


@login_required
@require_POST
def rename(request: Request, pk: int) -> HttpResponse:
    """`seen` is the name that the form was drawn with."""
    collection, name = _to_change(request, pk), request.POST.get("name", "")
    try:
        shelf.rename(request.user, collection, request.POST.get("seen", ""), name)
    except CannotOrganise as no:
        fresh = _find(request, pk)
        return _one(request, fresh, 422, wrong=str(no), typed=name[:200])
    messages.success(request, f"It is called “{collection}” now.")
    return redirect("collection", pk)


@login_required
@require_POST
def delete(request: Request, pk: int) -> HttpResponse:
    collection = _to_change(request, pk)
    shelf.delete(request.user, collection)
    messages.success(request, f"“{collection}” is deleted. Its clips stay in the gallery.")
    return redirect("collections")


# -- tags -------------------------------------------------------------------------------------------------------------


@login_required
@require_POST
def rename_tag(request: Request) -> HttpResponse:
    team, seen = _organised_team(request), request.POST.get("seen", "")
    try:
        name = shelf.rename_tag(request.user, team, seen, request.POST.get("name", ""))
    except CannotOrganise as no:
        return _list(request, team, 422, tag_wrong=str(no), tag_seen=seen)
    messages.success(request, f"The tag “{seen}” is “{name}” now, on every clip.")
    return redirect("collections")


@login_required
@require_POST
def delete_tag(request: Request) -> HttpResponse:
    team, name = _organised_team(request), request.POST.get("name", "")
    try:
        number = shelf.delete_tag(request.user, team, name)
    except CannotOrganise as no:
        return _list(request, team, 422, tag_wrong=str(no))
    messages.success(request, f"The tag “{name}” is off {shelf.count_words(number)}.")
    return redirect("collections")
