"""One generation: its clip, its price, what happened; or what went wrong and what now."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from generations import access, archive, lifecycle, reconcile, story, wastebin
from generations.filters import Filters
from generations.models import UNFINISHED, Clip, Decision, Generation, PromptVersion, Status
from generations.views.gallery import ratio, tiles
from generations.views.gate import Request, origin, ring
from generations.views.selection import shelf_context
from generations.words import credits

LOST = (Clip.State.GONE, Clip.State.DAMAGED)


def _find(request: Request, pk: int) -> Generation:
    return get_object_or_404(tiles(access.generations_for(request.user), request.user).select_related("team"), pk=pk)


def _context(request: Request, generation: Generation) -> dict[str, Any]:
    clip = getattr(generation, "clip", None)
    if clip:
        archive.look_over(clip)  # a player for a file that is not there would say nothing
    asked = Filters.read(QueryDict(request.GET.get("in", "")[:2000]))  # the choice that the person came from
    neighbours = asked.apply(request.user, generation.team)
    unclear = reconcile.unclear_submission(generation)
    moving = generation.status in UNFINISHED or bool(clip and clip.state == Clip.State.PENDING)
    return {
        "g": generation,
        "clip": clip if clip and clip.state == Clip.State.STORED else None,
        "pending": clip if clip and clip.state == Clip.State.PENDING else None,
        "lost": clip if clip and clip.state in LOST else None,
        "moving": moving or bool(unclear and unclear.check_at),
        "unclear": unclear,
        "may_fetch": access.may_decide(request.user, generation),
        "may_decide": unclear is not None and access.may_decide(request.user, generation),
        "place": story.Desk().place(generation),
        "steps": story.steps(generation),
        "facts": story.facts(generation),
        "answers": story.answers(generation),
        "ratio": ratio(generation),
        "version": _saved_prompt(request, generation),
        "ghost": next((m.media for m in generation.media.all() if m.media), None),
        "within": asked.url()[1:],
        "newer": neighbours.filter(pk__gt=generation.pk).order_by("pk").values_list("pk", flat=True).first(),
        "older": neighbours.filter(pk__lt=generation.pk).order_by("-pk").values_list("pk", flat=True).first(),
        "asked": getattr(generation, "approval", None) if generation.status == Status.AWAITING_APPROVAL else None,
        "may_approve": access.may_approve(request.user, generation),
        "may_cancel": generation.status in (Status.QUEUED, Status.AWAITING_APPROVAL)
        and access.may_cancel(request.user, generation),
        "may_generate": access.may_generate(request.user, generation.team),
        **shelf_context(request, generation),
    }


def _saved_prompt(request: Request, generation: Generation) -> PromptVersion | None:
    """The version of the saved prompt that it was made from, for who sees that prompt."""
    rows = PromptVersion.objects.filter(generations=generation, prompt__in=access.prompts_for(request.user))
    return rows.select_related("prompt").first() if generation.from_version_id else None


def _gone(request: Request, generation: Generation) -> dict[str, Any]:
    return {
        "g": generation,
        "facts": story.facts(generation),
        "bin_until": wastebin.kept_until(generation),
        "may_restore": access.bin_for(request.user).filter(pk=generation.pk).exists(),
    }


@login_required
@require_safe
def page(request: Request, pk: int) -> HttpResponse:
    """Of a clip that was deleted: what became of it, what it cost, and how to have it back."""
    binned = access.records_for(request.user).filter(pk=pk, binned_at__isnull=False)
    gone = binned.select_related("team", "owner", "binned_by", "project").first()
    if gone:
        return render(request, "generation.html", _gone(request, gone))
    return render(request, "generation.html", _context(request, _find(request, pk)))


@login_required
@require_safe
def live(request: Request, pk: int) -> HttpResponse:
    """The part of the page that changes while work is under way."""
    return render(request, "generation/_live.html", _context(request, _find(request, pk)))


DECIDED = {
    Decision.Kind.ADOPT: "Adopted. Its clip is fetched as soon as it is ready.",
    Decision.Kind.CHARGED: "Marked as charged. The credits are settled.",
    Decision.Kind.AGAIN: "Released and back in the queue.",
    Decision.Kind.RELEASE: "Released. The credits are given back.",
}


@login_required
@require_POST
def decide(request: Request, pk: int) -> HttpResponse:
    """What becomes of a submission with an unknown outcome. Every decision is recorded with its person."""
    generation = _find(request, pk)
    if not access.may_decide(request.user, generation):
        raise PermissionDenied("A manager of the team or an admin decides this. Nothing was changed.")
    kind = request.POST.get("kind", "")
    try:
        if kind == Decision.Kind.ADOPT:
            reconcile.adopt(generation, request.user, request.POST.get("upstream_id", "")[:300], **origin(request))
        else:
            reconcile.decide(generation, request.user, kind, **origin(request))
    except reconcile.CannotDecide as no:
        context = {
            **_context(request, generation),
            "wrong": str(no),
            "typed": request.POST.get("upstream_id", "")[:300],
        }
        return render(request, "generation.html", context, status=422)
    messages.success(request, DECIDED[Decision.Kind(kind)])
    return redirect(generation)


@login_required
@require_POST
def fetch_again(request: Request, pk: int) -> HttpResponse:
    """One more try for a clip whose link had died, or whose file is damaged here. Fetching costs no credits."""
    generation = _find(request, pk)
    if not access.may_decide(request.user, generation):
        raise PermissionDenied("A manager of the team or an admin decides this. Nothing was changed.")
    clip = getattr(generation, "clip", None)
    if clip and archive.fetch_again(clip):
        ring()
        messages.success(request, "It is being fetched again. Nothing is charged for that.")
    return redirect(generation)


@login_required
@require_POST
def cancel(request: Request, pk: int) -> HttpResponse:
    """Takes a waiting generation out of the line. What was sent cannot be called back: upstream has no such call."""
    generation = _find(request, pk)
    if not access.may_cancel(request.user, generation):
        raise PermissionDenied("Only its owner or a manager can cancel this clip. Nothing was changed.")
    if lifecycle.cancel(generation, request.user, **origin(request)):
        messages.success(request, f"Cancelled. {credits(generation.price)} given back, nothing was charged.")
    elif generation.status == Status.CANCELLED:
        messages.info(request, "It was cancelled already. Nothing was charged.")
    else:
        messages.warning(request, "Too late to cancel: it was sent to Veevid already.")
    return redirect("queue" if request.POST.get("next") == "queue" else generation)
