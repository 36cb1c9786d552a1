"""Safe mode, for the site's admins: what this database does not know, and the release."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from generations import safe_mode
from generations.models import Freeze
from generations.views.gate import Request, origin, ring
from generations.views.settings import admins_only
from generations.words import credits


def _show(request: Request, wrong: str = "") -> HttpResponse:
    released = Freeze.objects.exclude(released_at=None).select_related("released_by").order_by("-released_at").first()
    context = {"frozen_now": safe_mode.overview(), "last": released, "wrong": wrong}
    return render(request, "safe_mode.html", context, status=422 if wrong else 200)


@admins_only
@require_safe
def page(request: Request) -> HttpResponse:
    return _show(request)


@admins_only
@require_POST
def read_balances(request: Request) -> HttpResponse:
    """Asks for the balance of each account. That spends a request of each, and no credits."""
    safe_mode.read_balances()
    return redirect("safe_mode")


@admins_only
@require_POST
def take_in(request: Request) -> HttpResponse:
    """Makes rows for a clip that only the log knows, or for all of them, so that it is fetched and in the books."""
    chosen = request.POST.get("nonce", "")
    try:
        nonces = [chosen] if chosen else safe_mode.to_take_in()
        taken = [safe_mode.take_in(nonce, request.user, **origin(request)) for nonce in nonces]
    except safe_mode.CannotTakeIn as no:
        return _show(request, str(no))
    ring()
    held = credits(sum(generation.price for generation in taken))
    messages.success(request, f"Taken in: {held} held. Nothing was sent, what Veevid made is fetched now.")
    return redirect("safe_mode")


@admins_only
@require_POST
def release(request: Request) -> HttpResponse:
    """Ends safe mode: what waits is sent again. Kept with its admin and time."""
    seen = request.POST.get("seen", "")
    try:
        safe_mode.release(request.user, int(seen) if seen.isdecimal() and len(seen) < 19 else 0, **origin(request))
    except safe_mode.CannotRelease as no:
        return _show(request, str(no))
    ring()
    messages.success(request, "Released. What waits is sent in turn.")
    return redirect("safe_mode")
