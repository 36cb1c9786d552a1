"""The team's uploads: found, added, used again, deleted; and pictures taken from clips."""

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from generations import access, library, uploads
from generations.models import Clip, Media, Team, User
from generations.views.compose import for_makers, limited
from generations.views.gate import Request, current_team

PAGE = 60
LONGEST_SEARCH = 200
MOST_FILES = 20
KINDS = {"": "All", Media.Kind.IMAGE.value: "Images", Media.Kind.VIDEO.value: "Videos"}
SHOWN = {"": "Everybody’s", "mine": "Mine", "unused": "Unused"}


@dataclass(frozen=True)
class Asked:
    """What the URL asks for. Anything it cannot mean is ignored."""

    kind: str = ""
    show: str = ""
    q: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "Asked":
        kind, show = query.get("kind", ""), query.get("show", "")
        q = query.get("q", "").replace("\x00", "").strip()[:LONGEST_SEARCH]
        return cls(kind if kind in KINDS else "", show if show in SHOWN else "", q)

    def url(self, **changed: Any) -> str:
        values = {"kind": self.kind, "show": self.show, "q": self.q, **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def apply(self, rows: QuerySet[Media], user: User) -> QuerySet[Media]:
        if self.kind:
            rows = rows.filter(kind=self.kind)
        if self.show == "mine":
            rows = rows.filter(owner=user)
        if self.show == "unused":
            rows = library.unused(rows)
        for word in self.q.split():
            rows = rows.filter(name__icontains=word)
        return rows

    @property
    def any(self) -> bool:
        return bool(self.kind or self.show or self.q)


def _seen(request: Request) -> QuerySet[Media]:
    return access.library_for(request.user).filter(team=current_team(request))


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    team, asked = current_team(request), Asked.read(request.GET)
    rows = library.counted(asked.apply(_seen(request), request.user)).select_related("owner").order_by("-pk")
    part = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    manages = access.may_manage(request.user, team)
    may_make = access.may_generate(request.user, team)
    context = {
        "asked": asked,
        "part": part,
        "rows": [(media, manages or (may_make and media.owner_id == request.user.pk)) for media in part],
        "sums": library.sums(_seen(request)),
        "kinds": [(words, asked.url(kind=key), key == asked.kind) for key, words in KINDS.items()],
        "shown": [(words, asked.url(show=key), key == asked.show) for key, words in SHOWN.items()],
        "newer_url": asked.url(page=part.number - 1) if part.has_previous() else "",
        "older_url": asked.url(page=part.number + 1) if part.has_next() else "",
        "may_make": may_make,
        "may_delete": may_make or manages,
        "most_files": MOST_FILES,
    }
    return render(request, "library.html", context)


@limited
@for_makers
@require_POST
def add(request: Request, team: Team) -> HttpResponse:
    """Keeps files without making a clip of them yet."""
    files = request.FILES.getlist("files")
    if not files or len(files) > MOST_FILES:
        messages.error(request, f"Choose one to {MOST_FILES} files. Nothing was stored.")
    kept = 0
    for file in files if len(files) <= MOST_FILES else []:
        try:
            uploads.keep(team, request.user, file, uploads.kind_of(file))
            kept += 1
        except uploads.CannotKeep as problem:
            messages.error(request, f"{(file.name or 'A file')[:80]}: {problem}")
    if kept:
        messages.success(request, f"{kept} file{'' if kept == 1 else 's'} in the library.")
    return redirect("library")


# -- deleting ---------------------------------------------------------------------------------------------------------


@login_required
@require_POST
def delete(request: Request) -> HttpResponse:
    """Asks with the figures first, then deletes what is unused and takes what is used out of the library."""
    team = current_team(request)
    mine = access.deletable_media(request.user, team)
    everything = request.POST.get("all") == "unused"
    chosen = library.unused(mine) if everything else _chosen(request, mine)
    if request.POST.get("sure") != "1":
        context = {"chosen": chosen.order_by("-pk"), "sums": library.sums(chosen), "everything": everything}
        context["unused_sums"] = library.sums(library.unused(chosen))
        return render(request, "library/delete.html", context)
    gone, hidden = library.remove(team, chosen)
    said = [f"{gone:,} deleted."] if gone or not hidden else []
    said += [f"{hidden:,} taken out of the library; their clips keep them."] if hidden else []
    messages.success(request, " ".join(said))
    return redirect("library")


def _chosen(request: Request, mine: QuerySet[Media]) -> QuerySet[Media]:
    """The uploads named by the form. One that is not there is a 404, one that is somebody else's is refused."""
    keys = set(request.POST.getlist("key"))
    try:
        there = list(_seen(request).filter(key__in=keys))
    except ValidationError:
        raise Http404("No such upload.") from None
    if len(there) != len(keys):
        raise Http404("No such upload.")
    chosen = mine.filter(pk__in=[media.pk for media in there])
    if chosen.count() != len(there):
        raise PermissionDenied("Only who uploaded a file, or a manager, can delete it. Nothing was changed.")
    return chosen


# -- pictures of clips ------------------------------------------------------------------------------------------------


@for_makers
@require_POST
def frame(request: Request, team: Team, pk: int) -> HttpResponse:
    """Takes the last picture of a clip, or the one at a time, and opens compose with it as the start frame."""
    clips = access.clips_for(request.user).filter(state=Clip.State.STORED).select_related("generation__team")
    clip = get_object_or_404(clips, generation_id=pk)
    if clip.generation.team_id != team.pk:
        messages.error(request, f"This clip is {clip.generation.team}’s. Switch to that team to go on from it.")
        return redirect(clip.generation)
    try:
        media = library.frame_of(clip, request.user, _seconds(request.POST.get("at", ""), clip))
    except library.NoFrame as no:
        messages.error(request, f"{no} Nothing was charged.")
        return redirect(clip.generation)
    return redirect(f"{reverse('compose')}?from={pk}&media={media.key}")


def _seconds(typed: str, clip: Clip) -> float | None:
    """A time within the clip. None, for the last picture, when nothing usable was sent."""
    try:
        at = float(typed)
    except ValueError:
        return None
    return min(max(at, 0.0), clip.seconds or 0.0) if math.isfinite(at) else None
