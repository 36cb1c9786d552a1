"""The bin of a team: what was deleted, by whom, until when it can be taken back."""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from generations import access, wastebin
from generations.models import Clip
from generations.views.gallery import ratio
from generations.views.gate import Request, current_team
from generations.views.media import BIGGEST_ID, send

PAGE = 50


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    team = current_team(request)
    if not access.may_organise(request.user, team):
        raise PermissionDenied("The bin is for members and managers. You watch this team’s clips.")
    rows = access.bin_for(request.user).filter(team=team).select_related("owner", "binned_by", "clip")
    pages = Paginator(rows.order_by("-binned_at", "-pk"), PAGE)
    shown = pages.get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "rows": [_row(generation) for generation in shown],
        "page": shown,
        "days": settings.BIN_DAYS,
        "may_erase": access.may_erase(request.user, team),
    }
    return render(request, "bin.html", context)


def _row(generation: Any) -> dict[str, Any]:
    clip = getattr(generation, "clip", None)
    return {
        "g": generation,
        "picture": clip is not None and clip.state == Clip.State.STORED,
        "ratio": ratio(generation),
        "seconds": clip.seconds if clip else None,
        "until": wastebin.kept_until(generation),
        "size": (clip.size or 0) if clip and clip.state == Clip.State.STORED else None,
    }


@login_required
@require_safe
def poster(request: Request, pk: int) -> HttpResponseBase:
    """The only byte of a clip in the bin that is served: a picture, to know it by."""
    rows = access.bin_for(request.user).filter(clip__state=Clip.State.STORED).select_related("clip")
    generation = get_object_or_404(rows, pk=min(pk, BIGGEST_ID))
    return send(request, generation.clip.poster, "image/webp", f"p{generation.clip.sha256}")
