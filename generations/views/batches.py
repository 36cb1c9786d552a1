"""A batch: its clips as a grid, how far it is, what it costs, when the last is ready; cancelling the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from generations import access, catalogue, comparisons, dispatch, forecast, lifecycle, story
from generations.models import UNFINISHED, Batch, Clip, Generation, Status
from generations.views.gallery import dressed, tiles
from generations.views.gate import Request
from generations.words import credits

ENDED_BADLY = (Status.FAILED, Status.REJECTED)


@dataclass(frozen=True)
class Row:
    """One prompt of a matrix, or all there is of a batch without variables."""

    values: Sequence[tuple[str, str]]
    cells: Sequence[dict[str, Any]]


def _rows(batch: Batch, clips: Sequence[Generation], winner: int | None) -> Iterator[Row]:
    desk = story.Desk()
    prompts = max(prod(len(given) for given in batch.values.values()), 1)
    wide = max(len(clips) // prompts, 1)
    for place, chosen in enumerate(product(*batch.values.values())):
        cells = [
            {
                **dressed(generation, desk),
                "words": catalogue.in_words(generation.mode, generation.generation_type, generation.params),
                "wins": generation.pk == winner,
            }
            for generation in clips[place * wide : (place + 1) * wide]
        ]
        yield Row(list(zip(batch.values, chosen, strict=True)), cells)


def _progress(clips: Sequence[Generation]) -> list[tuple[str, int]]:
    """`("ready", 3), ("failed", 1)`: what became of how many, in words."""
    groups = (
        ("ready", (Status.COMPLETED,)),
        ("under way", (Status.SUBMITTING, Status.PROCESSING, Status.STALLED)),
        ("waiting", (Status.QUEUED,)),
        ("waiting for approval", (Status.AWAITING_APPROVAL,)),
        ("failed or refused", ENDED_BADLY),
        ("with an unknown outcome", (Status.UNCONFIRMED,)),
        ("cancelled", (Status.CANCELLED,)),
    )
    counted = [(words, sum(clip.status in statuses for clip in clips)) for words, statuses in groups]
    return [(words, count) for words, count in counted if count]


def _context(request: Request, batch: Batch) -> dict[str, Any]:
    clips = list(
        tiles(batch.generations.filter(binned_at=None), request.user).select_related("team").order_by("position")
    )
    comparison = comparisons.found(clips) if clips else None
    waiting = [clip for clip in clips if clip.status in (Status.QUEUED, Status.AWAITING_APPROVAL)]
    pending = [clip for clip in clips if clip.status == Status.COMPLETED and not _settled(clip)]
    unfinished = [clip for clip in clips if clip.status in UNFINISHED]
    ended = len(clips) - len(unfinished)
    demo = clips[0].quote.account.demo if clips else dispatch.demo_mode()
    return {
        "batch": batch,
        "rows": list(_rows(batch, clips, comparison.winner_id if comparison else None)),
        "comparison": comparison,
        "clips": len(clips),
        "progress": _progress(clips),
        "percent": round(100 * ended / len(clips)) if clips else 100,
        "price": sum(clip.price for clip in clips),
        "charged": sum(clip.charged or 0 for clip in clips),
        "moving": bool(unfinished or pending),
        "ready_in": forecast.Outlook(demo).rest_of(clips) if unfinished else None,
        "failed": sum(clip.status in ENDED_BADLY for clip in clips),
        "waiting": len(waiting),
        "back": sum(clip.price for clip in waiting),
        "may_cancel": bool(waiting) and access.may_cancel_batch(request.user, batch),
        "comparable": sum(_stored(clip) for clip in clips),
        "most": comparisons.MOST,
        "may_generate": access.may_generate(request.user, batch.team),
    }


def _stored(generation: Generation) -> bool:
    clip = getattr(generation, "clip", None)
    return clip is not None and clip.state == Clip.State.STORED


def _settled(generation: Generation) -> bool:
    """Its file is here, or will never be."""
    clip = getattr(generation, "clip", None)
    return clip is not None and clip.state != Clip.State.PENDING


def _find(request: Request, pk: int) -> Batch:
    return get_object_or_404(access.batches_for(request.user).select_related("team", "owner"), pk=pk)


def _hidden(request: Request, context: dict[str, Any]) -> str:
    """Where to vote first: this page shows what the blind vote hides."""
    comparison = context["comparison"]
    if comparison and comparison.voting and comparisons.voted(comparison, request.user) is None:
        return f"{reverse('compare')}?ids={comparison.key}"
    return ""


@login_required
@require_safe
def page(request: Request, pk: int) -> HttpResponse:
    context = _context(request, _find(request, pk))
    there = _hidden(request, context)
    return redirect(there) if there else render(request, "batch.html", context)


@login_required
@require_safe
def live(request: Request, pk: int) -> HttpResponse:
    """The part of the page that changes while work is under way."""
    context = _context(request, _find(request, pk))
    if there := _hidden(request, context):
        return HttpResponseClientRedirect(there) if request.htmx else redirect(there)
    return render(request, "batches/_live.html", context)


@login_required
@require_POST
def cancel(request: Request, pk: int) -> HttpResponse:
    """Cancels what waits of a batch. What was sent cannot be called back."""
    batch = _find(request, pk)
    if not access.may_cancel_batch(request.user, batch):
        raise PermissionDenied("Only its owner or a manager can cancel this batch. Nothing was changed.")
    ended = lifecycle.cancel_rest(batch, request.user)
    if ended:
        clips = "1 clip" if len(ended) == 1 else f"{len(ended)} clips"
        back = credits(sum(generation.price for generation in ended))
        messages.success(request, f"{clips} cancelled. {back} given back, nothing was charged for them.")
    else:
        messages.info(request, "Nothing of it waits any more: nothing was changed.")
    return redirect(batch)
