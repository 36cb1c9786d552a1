"""What people do with clips, one or many at once: the clip's page, a tile and the bar of a selection post here alike.

`pick` names the clips. Those that are not this person's to open are not there: when none is, the answer is 404. Every
answer says to how many it applied and what was left out, and why.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from generations import access, shelf, wastebin
from generations.models import Collection, Generation, Mark
from generations.shelf import CannotOrganise, Done
from generations.views.gallery import tiles
from generations.views.gate import Request, ring_bin

MOST = 1000  # clips in one deed
MARKS = {"keep": (Mark.KEEP, "marked as kept"), "reject": (Mark.REJECT, "marked as rejected")}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def picked(request: Request, rows: QuerySet[Generation]) -> tuple[list[Generation], int]:
    """The clips that were named, in the order they were named in, and how many of the names mean nothing here."""
    pks = list(dict.fromkeys(_number(text) for text in request.POST.getlist("pick")))
    if not pks:
        raise CannotOrganise(f"Select a clip first. {shelf.NOTHING}")
    if len(pks) > MOST:
        raise CannotOrganise(f"Up to {MOST:,} clips go at once; these are {len(pks):,}. {shelf.NOTHING}")
    found = rows.filter(pk__in=pks).select_related("team", "clip").in_bulk()
    if not found:
        raise Http404("None of these clips is there.")
    return [found[pk] for pk in pks if pk in found], len(pks) - len(found)


def makers_only(request: Request, clips: Sequence[Generation]) -> None:
    if not any(access.may_organise(request.user, team) for team in {clip.team for clip in clips}):
        raise PermissionDenied("You watch this team’s clips. Members and managers put them in order.")


def back(request: Request, otherwise: str = "gallery") -> HttpResponse:
    """To the page that the form stood on."""
    to = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(to, {request.get_host()}, require_https=request.is_secure())
    return redirect(to if safe else otherwise)


def told(request: Request, done: Done, deed: str, unknown: int, *, gone: bool = False) -> HttpResponse:
    """What was done, in a sentence: on the page again, or under htmx with the parts of it that changed."""
    if unknown:
        done.left_out["not there any more"] = unknown
    (messages.success if len(done) else messages.warning)(request, done.in_words(deed))
    if not request.htmx:
        return back(request)
    context: dict[str, Any] = {"gone": done.pks if gone else [], "changed": []}
    context["may_generate"] = access.makes_anywhere(request.user)
    if not gone:
        context["changed"] = tiles(access.generations_for(request.user), request.user).filter(pk__in=done.pks)
    if request.POST.get("part") == "shelf":
        one = tiles(access.generations_for(request.user), request.user).filter(pk=_number(request.POST["pick"])).first()
        context["one"] = one
        context |= shelf_context(request, one) if one else {}
    return render(request, "selection/_done.html", context)


def refused(request: Request, no: CannotOrganise) -> HttpResponse:
    """A sentence, and nothing was changed."""
    messages.error(request, str(no))
    if request.htmx:
        return render(request, "selection/_done.html", {}, status=422)
    return back(request)


def shelf_context(request: Request, generation: Generation) -> dict[str, Any]:
    """What the clip's page shows of tags, marks and collections."""
    user, team = request.user, generation.team
    collections = access.collections_for(user).filter(team=team).order_by("name")
    inside = set(collections.filter(items__generation=generation).values_list("pk", flat=True))
    return {
        "g": generation,
        "organises": access.may_organise(user, team),
        "may_bin": access.may_bin(user, generation),
        "tag_names": list(generation.tags.order_by("name").values_list("name", flat=True)),
        "tags_suggested": shelf.suggested(team),
        "in_collections": [each for each in collections if each.pk in inside],
        "other_collections": [each for each in collections if each.pk not in inside],
        "tag_length": shelf.TAG_LENGTH,
        "name_length": shelf.NAME_LENGTH,
    }


# -- the deeds --------------------------------------------------------------------------------------------------------


@login_required
@require_POST
def favourite(request: Request) -> HttpResponse:
    """One's own heart: everybody has it, who watches too."""
    try:
        clips, unknown = picked(request, access.generations_for(request.user))
    except CannotOrganise as no:
        return refused(request, no)
    on = request.POST.get("on", request.GET.get("on")) != "0"
    done = shelf.favour(request.user, clips, on)
    return told(request, done, "among your favourites now" if on else "no longer among your favourites", unknown)


@login_required
@require_POST
def mark(request: Request) -> HttpResponse:
    try:
        clips, unknown = picked(request, access.generations_for(request.user))
    except CannotOrganise as no:
        return refused(request, no)
    makers_only(request, clips)
    word, deed = MARKS.get(request.POST.get("mark", ""), (Mark.NONE, "without a mark now"))
    return told(request, shelf.mark(request.user, clips, word), deed, unknown)


@login_required
@require_POST
def tag(request: Request) -> HttpResponse:
    try:
        clips, unknown = picked(request, access.generations_for(request.user))
        makers_only(request, clips)
        names = shelf.read_tags(request.POST.get("tag", ""))
    except CannotOrganise as no:
        return refused(request, no)
    deed = "tagged " + ", ".join(f"“{name}”" for name in names)
    return told(request, shelf.tag(request.user, clips, names), deed, unknown)


@login_required
@require_POST
def untag(request: Request) -> HttpResponse:
    try:
        clips, unknown = picked(request, access.generations_for(request.user))
    except CannotOrganise as no:
        return refused(request, no)
    makers_only(request, clips)
    name = request.POST.get("tag", "")[:200]
    return told(request, shelf.untag(request.user, clips, name), f"without the tag “{name}” now", unknown)


@login_required
@require_POST
def collect(request: Request) -> HttpResponse:
    """Into a collection that there is, or into a new one."""
    try:
        clips, unknown = picked(request, access.generations_for(request.user))
        makers_only(request, clips)
        collection = _collection(request, clips[0])
        done = shelf.add(request.user, clips, collection)
    except CannotOrganise as no:
        return refused(request, no)
    return told(request, done, f"added to “{collection}”", unknown)


def _collection(request: Request, first: Generation) -> Collection:
    typed = request.POST.get("collection", "")
    if typed and typed != "new":
        return get_object_or_404(access.collections_for(request.user), pk=_number(typed))
    private = request.POST.get("private") == "1"
    return shelf.make(request.user, first.team, request.POST.get("name", ""), private)


@login_required
@require_POST
def uncollect(request: Request) -> HttpResponse:
    try:
        clips, unknown = picked(request, access.generations_for(request.user))
    except CannotOrganise as no:
        return refused(request, no)
    makers_only(request, clips)
    collection = get_object_or_404(access.collections_for(request.user), pk=_number(request.POST.get("collection", "")))
    done = shelf.remove(request.user, clips, collection)
    of_page = request.POST.get("next", "").startswith(reverse("collection", args=[collection.pk]))
    return told(request, done, f"taken out of “{collection}”", unknown, gone=of_page)


@login_required
@require_POST
def throw(request: Request) -> HttpResponse:
    """Into the bin."""
    try:
        clips, unknown = picked(request, access.generations_for(request.user))
    except CannotOrganise as no:
        return refused(request, no)
    done = wastebin.throw(request.user, clips)
    if not done and set(done.left_out) == {wastebin.NOT_YOURS}:
        raise PermissionDenied("Members delete their own clips, managers everybody’s. Nothing was deleted.")
    return told(request, done, "moved to the bin", unknown, gone=True)


@login_required
@require_POST
def restore(request: Request) -> HttpResponse:
    try:
        clips, unknown = picked(request, access.bin_for(request.user))
    except CannotOrganise as no:
        return refused(request, no)
    return told(request, wastebin.restore(request.user, clips), "back in the gallery", unknown, gone=True)


@login_required
@require_POST
def erase(request: Request) -> HttpResponse:
    """Out of the bin, for good."""
    try:
        clips, unknown = picked(request, access.bin_for(request.user))
    except CannotOrganise as no:
        return refused(request, no)
    if not any(access.may_erase(request.user, team) for team in {clip.team for clip in clips}):
        raise PermissionDenied("Managers empty the bin before its time. Nothing was deleted.")
    done = wastebin.erase(request.user, clips)
    ring_bin()
    return told(request, done, "deleted for good; what was charged stays in the books", unknown, gone=True)
