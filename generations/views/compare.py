"""Clips side by side: the same moment of each, what differs, the winner, a blind vote; and which model is worth it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from generations import access, catalogue, comparisons, dispatch
from generations.models import Clip, Comparison, Generation, User
from generations.story import Desk
from generations.views.gallery import dressed, tiles
from generations.views.gate import Request, current_team

PERIODS = {"30": "30 days", "90": "90 days", "365": "A year", "": "Ever"}
OTHERS = 60  # clips that are offered to compare one with


class CannotCompare(Exception):
    """These clips cannot stand side by side. The message says why."""


def _asked(request: HttpRequest) -> list[int]:
    """The ids of `ids=1,2,3` or `ids=1&ids=2`, each once. Raises CannotCompare."""
    given = request.POST if request.method == "POST" else request.GET
    texts = given.getlist("ids") + given.getlist("pick")  # the gallery's selection has its own name for them
    words = [word.strip() for text in texts for word in text[:500].split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() and len(word) < 18 for word in words):
        raise CannotCompare("The address of a comparison names clips by their numbers, such as ?ids=12,15.")
    ids = list(dict.fromkeys(int(word) for word in words))
    if not comparisons.FEWEST <= len(ids) <= comparisons.MOST:
        are = {0: "None is named here", 1: "One is named here"}.get(len(ids), f"{len(ids)} are named here")
        raise CannotCompare(f"From {comparisons.FEWEST} to {comparisons.MOST} clips can stand side by side. {are}.")
    return ids


def _found(request: Request) -> list[Generation]:
    """The clips that are asked for, in that order. One that this person may not see is a 404."""
    ids = _asked(request)
    rows = tiles(access.generations_for(request.user), request.user).select_related("team").in_bulk(ids)
    if len(rows) < len(ids):
        raise Http404("not all of these clips are there")
    clips = [rows[pk] for pk in ids]
    if len({clip.team_id for clip in clips}) > 1:
        raise CannotCompare("These clips belong to different teams. Compare clips of one team.")
    return clips


def for_clips(view: Callable[[Request, list[Generation]], HttpResponse]) -> Callable[[Request], HttpResponse]:
    """Hands on the clips that the address or the form names; else says in a sentence what is wrong with it."""

    def guarded(request: Request) -> HttpResponse:
        try:
            clips = _found(request)
        except CannotCompare as no:
            return render(request, "compare/wrong.html", {"sentence": str(no)}, status=400)
        return view(request, clips)

    return guarded


# -- the page ---------------------------------------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@for_clips
def page(request: Request, clips: list[Generation]) -> HttpResponse:
    """The clips of the address. What was selected in the gallery is posted, and gets an address."""
    if request.method == "POST":
        return _back(request, clips)
    return render(request, "compare.html", _context(request, clips))


def _context(request: Request, clips: list[Generation], wrong: str = "") -> dict[str, Any]:
    comparison = comparisons.found(clips)
    mine = comparisons.voted(comparison, request.user)
    voting = comparison is not None and comparison.voting
    blind = voting and mine is None
    ordered = comparisons.in_order_for(clips, comparison, request.user)
    same, own = _facts(ordered)
    told = comparison is not None and comparison.closed_at is not None
    counts = comparisons.counts(comparison) if comparison and told else {}
    desk = Desk()
    items = []
    for place, generation in enumerate(ordered):
        items.append(
            {
                **dressed(generation, desk),
                "letter": "ABCDEF"[place],
                "facts": own[generation.pk],
                "wins": bool(comparison and comparison.winner_id == generation.pk),
                "mine": generation.pk == mine,
                "votes": counts.get(generation.pk, 0),
            }
        )
    return {
        "items": items,
        "ids": ",".join(str(clip.pk) for clip in clips),
        "team_of": clips[0].team,
        "same": same,
        "prompts": list(dict.fromkeys(clip.prompt for clip in clips)),
        "comparison": comparison,
        "voting": voting,
        "blind": blind,
        "told": told,
        "cast": comparison.votes.count() if comparison and (voting or told) else 0,
        "may_generate": access.may_generate(request.user, clips[0].team),
        "may_pick": not voting and _may_pick(request.user, clips, comparison),
        "may_open": _may_open(request.user, clips, comparison),
        "may_close": bool(comparison and voting and access.may_close_vote(request.user, comparison)),
        "ready": all(item["clip"] for item in items),
        "wrong": wrong,
        "batch": clips[0].batch if clips[0].batch_id and len({clip.batch_id for clip in clips}) == 1 else None,
    }


def _facts(clips: Sequence[Generation]) -> tuple[list[tuple[str, str]], dict[int, list[tuple[str, str]]]]:
    """What all of them have in common, and of each what differs."""
    each = {clip.pk: dict(catalogue.facts(clip.mode, clip.generation_type, clip.params)) for clip in clips}
    for clip in clips:
        each[clip.pk] |= {"Made from": catalogue.TYPES.get(clip.generation_type, clip.generation_type)}
    labels = list(dict.fromkeys(label for facts in each.values() for label in facts))
    alike = [label for label in labels if len({facts.get(label) for facts in each.values()}) == 1]
    first = each[clips[0].pk]
    same = [(label, first[label]) for label in alike]
    return same, {
        pk: [(label, facts.get(label, "–")) for label in labels if label not in alike] for pk, facts in each.items()
    }


def _may_pick(who: User, clips: Sequence[Generation], comparison: Comparison | None) -> bool:
    return access.may_pick(who, comparison or Comparison(team=clips[0].team))


def _may_open(who: User, clips: Sequence[Generation], comparison: Comparison | None) -> bool:
    begun = comparison is not None and (comparison.opened_at or comparison.winner_id)
    return not begun and access.may_generate(who, clips[0].team)


# -- deciding ---------------------------------------------------------------------------------------------------------


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


def _back(request: Request, clips: Sequence[Generation]) -> HttpResponse:
    return redirect(f"{reverse('compare')}?ids={','.join(str(clip.pk) for clip in clips)}")


def _again(request: Request, clips: list[Generation], no: Exception) -> HttpResponse:
    return render(request, "compare.html", _context(request, clips, str(no)), status=422)


@login_required
@require_POST
@for_clips
def winner(request: Request, clips: list[Generation]) -> HttpResponse:
    """One of them wins. Who picked it is recorded; they, managers and admins can change it."""
    if not access.may_generate(request.user, clips[0].team) and not access.may_manage(request.user, clips[0].team):
        raise PermissionDenied("Who only watches a team does not pick its winners. Nothing was changed.")
    before = _number(request.POST.get("was", ""))
    try:
        comparisons.pick(clips, request.user, _number(request.POST.get("winner", "")) or 0, before)
    except comparisons.CannotDecide as no:
        return _again(request, clips, no)
    messages.success(request, "The winner is picked.")
    return _back(request, clips)


@login_required
@require_POST
@for_clips
def open_vote(request: Request, clips: list[Generation]) -> HttpResponse:
    """Begins a blind vote of the team."""
    if not access.may_generate(request.user, clips[0].team):
        raise PermissionDenied("Who only watches a team can vote, but not begin a vote. Nothing was changed.")
    try:
        comparisons.open_vote(clips, request.user)
    except comparisons.CannotDecide as no:
        return _again(request, clips, no)
    messages.success(request, "The vote runs. Send the address of this page to your team.")
    return _back(request, clips)


@login_required
@require_POST
@for_clips
def vote(request: Request, clips: list[Generation]) -> HttpResponse:
    """One vote of one person. Everybody of the team has one."""
    try:
        comparisons.vote(clips, request.user, _number(request.POST.get("clip", "")) or 0)
    except comparisons.CannotDecide as no:
        return _again(request, clips, no)
    messages.success(request, "Your vote counts. Models and prices are shown to you now.")
    return _back(request, clips)


@login_required
@require_POST
@for_clips
def close_vote(request: Request, clips: list[Generation]) -> HttpResponse:
    """Ends a blind vote and shows everybody how it went."""
    comparison = comparisons.found(clips)
    if comparison and not access.may_close_vote(request.user, comparison):
        raise PermissionDenied("Who began the vote or a manager closes it. Nothing was changed.")
    if comparison is None or not comparisons.close_vote(comparison):
        return _again(request, clips, comparisons.CannotDecide("No vote runs about these clips. Nothing was changed."))
    messages.success(request, "The vote is closed.")
    return _back(request, clips)


# -- with which clip, and which model is worth it ---------------------------------------------------------------------


@login_required
@require_safe
def compare_with(request: Request, pk: int) -> HttpResponse:
    """Which other clips to put beside this one: of its batch, of the same prompt, else the newest."""
    mine = get_object_or_404(tiles(access.generations_for(request.user), request.user), pk=pk)
    others = tiles(access.generations_for(request.user), request.user).filter(
        team=mine.team_id, clip__state=Clip.State.STORED
    )
    others = others.exclude(pk=mine.pk).filter(binned_at=None).order_by("-pk")
    groups = []
    if mine.batch_id:
        groups.append(("Of the same batch", list(others.filter(batch=mine.batch_id)[:OTHERS])))
    taken = [clip.pk for _, clips in groups for clip in clips]
    groups.append(("Of the same prompt", list(others.filter(prompt=mine.prompt).exclude(pk__in=taken)[:OTHERS])))
    taken = [clip.pk for _, clips in groups for clip in clips]
    groups.append(("The newest others", list(others.exclude(pk__in=taken)[: 24 if not taken else 12])))
    desk = Desk()
    shown = [(title, [dressed(clip, desk) for clip in clips]) for title, clips in groups if clips]
    return render(request, "compare/with.html", {"t": dressed(mine, desk), "groups": shown, "most": comparisons.MOST})


@login_required
@require_safe
def worth(request: Request) -> HttpResponse:
    """Wins and credits per win, by model."""
    period = request.GET.get("days", "")
    period = period if period in PERIODS else ""
    since = timezone.now() - timedelta(days=int(period)) if period else None
    team = current_team(request)
    context = {
        "rows": comparisons.worth(team, dispatch.demo_mode(), since),
        "periods": [(key, label, key == period) for key, label in PERIODS.items()],
        "period": PERIODS[period],
        "team_of": team,
    }
    return render(request, "compare/worth.html", context)
