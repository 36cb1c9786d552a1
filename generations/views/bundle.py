"""Downloads of several clips as one zip."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from generations import access, bundle
from generations.bundle import Busy, CannotBundle
from generations.models import Generation
from generations.shelf import CannotOrganise
from generations.views.gate import Request
from generations.views.media import BUSY, Long
from generations.views.selection import picked


def _stream(request: Request, rows: QuerySet[Generation], pks: list[int], name: str) -> HttpResponseBase:
    """Raises CannotBundle."""
    bundle.check_size(rows.filter(pk__in=pks))
    turn = bundle.Turn.take(request.user)
    pieces = Long.take(bundle.Stream(rows, pks, turn, f"{request.scheme}://{request.get_host()}"))
    if pieces is None:
        turn.end()
        raise Busy(BUSY)
    answer = StreamingHttpResponse(pieces, content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="{name}-{timezone.localdate().isoformat()}.zip"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def _no(request: Request, why: Exception) -> HttpResponse:
    """A page with the reason: a download that is refused would otherwise be a file with an error in it."""
    status = 429 if isinstance(why, Busy) else 422
    context: dict[str, Any] = {"why": str(why), "next": request.POST.get("next", "")}
    return render(request, "no_zip.html", context, status=status)


@login_required
@require_POST
def selected(request: Request) -> HttpResponseBase:
    """The clips of a selection."""
    rows = access.generations_for(request.user)
    try:
        clips, unknown = picked(request, rows)
        if unknown:
            messages.warning(request, f"{unknown:,} of the selected clips are not there any more.")
        return _stream(request, rows, [clip.pk for clip in clips], "clips")
    except (CannotOrganise, CannotBundle) as no:
        return _no(request, no)


@login_required
@require_POST
def collection(request: Request, pk: int) -> HttpResponseBase:
    """A whole collection, in its order."""
    found = get_object_or_404(access.collections_for(request.user), pk=pk)
    rows = access.generations_for(request.user)
    inside = rows.filter(places__collection=found).order_by("places__pk")
    try:
        pks = list(inside.values_list("pk", flat=True)[: bundle.MOST_CLIPS + 1])
        return _stream(request, rows, pks, slugify(found.name)[:60] or "collection")
    except CannotBundle as no:
        return _no(request, no)
