"""Credits that came onto an account: bought, or the refund of a clip? An admin says so, clip by clip."""

from django.contrib import messages
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from generations import books, dispatch, ledger
from generations.models import Generation, LedgerEntry
from generations.views.gate import Request, origin
from generations.views.settings import admins_only
from generations.words import credits

SHOWN = 20


def _rise(pk: int) -> LedgerEntry:
    return get_object_or_404(books.outside(dispatch.demo_mode()).filter(kind=LedgerEntry.Kind.TOPUP), pk=pk)


@admins_only
@require_safe
def rise(request: Request, pk: int) -> HttpResponse:
    """What could be the refund."""
    return _show(request, _rise(pk))


def _show(request: Request, entry: LedgerEntry, wrong: str = "") -> HttpResponse:
    left = books.left_of(entry)
    context = {"entry": entry, "left": left, "clips": books.refundable(entry, left)[:SHOWN], "wrong": wrong}
    return render(request, "refund.html", context, status=422 if wrong else 200)


@admins_only
@require_POST
def record(request: Request, pk: int) -> HttpResponse:
    """An admin's word that one of them was."""
    entry = _rise(pk)
    chosen = request.POST.get("generation", "")
    if not chosen:
        return _show(request, entry, "Choose the clip whose charge came back. Nothing was changed.")
    if not (chosen.isascii() and chosen.isdigit() and len(chosen) < 18):
        raise Http404
    generation = get_object_or_404(Generation.objects.select_related("quote__account", "owner"), pk=int(chosen))
    try:
        refund = books.refund(entry, generation, request.user, **origin(request))
    except (ledger.NotRefundable, IntegrityError):
        return _show(
            request, entry, "It was refunded already, or its charge is not what came back. Nothing was changed."
        )
    messages.success(request, f"Recorded: {credits(-refund.spent)} of {generation.owner} were refunded.")
    return redirect("rise", pk=entry.pk)
