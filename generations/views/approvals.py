"""Parked requests, for managers and admins: everything the confirm dialog showed, and the decision."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from generations import access, approvals, budgets, catalogue, dispatch, lifecycle
from generations.models import Approval, Generation, GenerationMedia, User
from generations.views.gate import Request, origin, ring
from generations.views.meters import Meter, of_rooms
from generations.words import credits

View = Callable[..., HttpResponse]
RECENT = 12  # decided ones below the open ones


def deciders_only(view: View) -> View:
    """Members get the plain words of the 403 page."""

    @login_required
    @wraps(view)
    def guarded(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        if not access.manages_any(request.user):
            raise PermissionDenied("Approvals are for managers of a team and for admins.")
        return view(request, *args, **kwargs)

    return guarded


# -- what is shown ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """One open request, with what approving it would do."""

    approval: Approval
    price: int  # that a click approves
    words: str
    media: list[GenerationMedia]
    picture: GenerationMedia | None
    meters: list[Meter]
    balance: int | None
    own: bool
    opens: bool  # its page can be opened by this person
    sentence: str = ""  # why the last decision was not taken
    reason: str | None = None  # of a rejection that was not taken, as typed

    @property
    def generation(self) -> Generation:
        return self.approval.generation

    @property
    def why(self) -> list[str]:
        return self.approval.why.splitlines()

    @property
    def balance_after(self) -> int | None:
        return None if self.balance is None else self.balance - self.price

    @property
    def enough(self) -> bool:
        return self.balance is None or self.balance >= self.price

    @property
    def reason_missing(self) -> bool:
        return self.reason is not None and not self.reason.strip() and not self.own

    @property
    def rows(self) -> list[tuple[str, int]]:
        """Scenes or shots: text and seconds."""
        params = self.generation.params
        shots = [(row["prompt"], row["duration"]) for row in params.get("multi_prompt") or []]
        return shots or [(row["description"], row["duration"]) for row in params.get("scenes") or []]


def _card(approval: Approval, user: User, teams: set[int], **more: Any) -> Card:
    generation = approval.generation
    demo = generation.quote.account.demo
    known = dispatch.balance(demo, generation.team)
    price = more.pop("price", generation.price)
    rooms = budgets.rooms(generation.team, generation.owner, generation.project, demo, generation.day)
    media = list(generation.media.all())
    opens = generation.team_id in teams
    return Card(
        approval=approval,
        price=price,
        words=catalogue.in_words(generation.mode, generation.generation_type, generation.params),
        media=media,
        picture=next((item for item in media if item.media), None) if opens else None,
        meters=of_rooms(rooms, user, price, counted=generation.price),
        balance=known[0] if known else None,
        own=generation.owner_id == user.pk,
        opens=opens,
        **more,
    )


def _cards(user: User, open_ones: Iterable[Approval]) -> list[Card]:
    teams = set(access.teams_of(user).values_list("pk", flat=True))
    return [_card(approval, user, teams) for approval in open_ones]


def _whole(rows: Any) -> Any:
    return rows.select_related(
        "generation__owner", "generation__team", "generation__project", "generation__quote__account", "who"
    ).prefetch_related("generation__media__media")


@deciders_only
@require_safe
def page(request: Request) -> HttpResponse:
    return _show(request)


def _show(request: Request, status: int = 200, said: Card | None = None, sentence: str = "") -> HttpResponse:
    """The whole page; `said` stands in the place of its card."""
    cards = _cards(request.user, _whole(approvals.waiting_for(request.user)))
    if said:
        cards = [said if card.approval.pk == said.approval.pk else card for card in cards]
    context = {
        "cards": cards,
        "decided": _whole(approvals.decided_for(request.user))[:RECENT],
        "sentence": sentence,
        "several": len({card.generation.team_id for card in cards}) > 1,
        "demo_mode": dispatch.demo_mode(),
    }
    return render(request, "approvals.html", context, status=status)


# -- the decision -----------------------------------------------------------------------------------------------------


def _find(request: Request, pk: int) -> Generation:
    """A request of a team that this person manages. Any other is as good as not there."""
    managed = access.managed_generations(request.user).filter(approval__isnull=False)
    return get_object_or_404(managed.select_related("team", "owner", "project", "quote__account"), pk=pk)


@deciders_only
@require_POST
def approve(request: Request, pk: int) -> HttpResponse:
    """Lets it into the line, at the price that was shown or less."""
    generation = _find(request, pk)
    shown = request.POST.get("shown", "")
    if not (shown.isdecimal() and len(shown) < 10):
        raise Http404("No such price.")
    try:
        approvals.approve(generation, request.user, int(shown), **origin(request))
    except approvals.PriceChanged as changed:
        return _again(request, pk, str(changed), price=changed.now)
    except (approvals.CannotDecide, budgets.OverBudget, lifecycle.NoPrice) as no:
        return _again(request, pk, str(no))
    ring()
    return _done(request, f"Approved for {credits(generation.price)}. It is in the queue now.")


@deciders_only
@require_POST
def reject(request: Request, pk: int) -> HttpResponse:
    generation = _find(request, pk)
    reason = request.POST.get("reason", "")
    try:
        approvals.reject(generation, request.user, reason, **origin(request))
    except approvals.CannotDecide as no:
        return _again(request, pk, str(no), reason=reason)
    return _done(request, f"Rejected. {credits(generation.price)} given back to {generation.owner.get_short_name()}.")


def _again(request: Request, pk: int, sentence: str, **more: Any) -> HttpResponse:
    """The same card with what is wrong; without it, when there is nothing to decide any more."""
    approval = _whole(approvals.waiting_for(request.user)).filter(generation__pk=pk).first()
    if approval is None:
        mine = Approval.objects.filter(generation__pk=pk, who=request.user).first()
        if mine:  # a second click on the same button
            return _done(request, f"You have {mine.get_verdict_display()} this already. Nothing more was changed.")
        if request.htmx:
            messages.warning(request, sentence)
            return HttpResponseClientRedirect(reverse("approvals"))
        return _show(request, 422, sentence=sentence)
    teams = set(access.teams_of(request.user).values_list("pk", flat=True))
    card = _card(approval, request.user, teams, sentence=sentence, **more)
    if request.htmx:
        return render(request, "approvals/_card.html", {"card": card}, status=422)
    return _show(request, 422, said=card)


def _done(request: Request, sentence: str) -> HttpResponse:
    messages.success(request, sentence)
    return HttpResponseClientRedirect(reverse("approvals")) if request.htmx else redirect("approvals")
