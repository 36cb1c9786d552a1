"""Settings, for the site's admins: Veevid accounts and their keys, models on and off, the way to people."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from generations import access, accounts, audit, budgets, catalogue, dispatch, forms, waiting, webhooks
from generations.models import ApiAccount, ApiKey, BalanceReading, SiteRules, SwitchedOff, Team
from generations.views import webhooks as hooks
from generations.views.gate import Request, origin

EVERYDAY = ("", "turn", "slots", "paused", "account")  # of dispatch.WAITING: no news, or said by the account's state

View = Callable[..., HttpResponse]


def admins_only(view: View) -> View:
    """Strangers sign in first; members get the plain words of the 403 page."""

    @login_required
    @wraps(view)
    def guarded(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        if not access.may_configure(request.user):
            raise PermissionDenied("Settings are for admins.")
        return view(request, *args, **kwargs)

    return guarded


# -- what is shown ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """One account, as its panel shows it."""

    account: ApiAccount
    limits: waiting.Limits
    reading: BalanceReading | None
    keys: list[ApiKey]
    lane: str  # why new clips wait, when an admin may want to know
    teams: list[Team]  # it may be reserved for


def _panel(account: ApiAccount) -> Panel:
    now = timezone.now()
    lane = dispatch.lane(account, now)
    return Panel(
        account=account,
        limits=waiting.limits(account, now),
        reading=account.readings.order_by("-at", "-pk").first(),
        keys=list(account.keys.exclude(state=ApiKey.State.REPLACED).order_by("pk")),
        lane="" if lane in EVERYDAY else dispatch.WAITING[lane],
        teams=list(Team.objects.order_by("name")),
    )


def _shown_accounts() -> list[ApiAccount]:
    """The real accounts; the demo account as long as it is the one in use."""
    shown = ApiAccount.objects.order_by("pk")
    return list(shown if dispatch.demo_mode() else shown.filter(demo=False))


def _in_demo() -> bool:
    """Without a simulator there is none to speak of, even before the first key."""
    return bool(settings.SIMULATOR_URL) and dispatch.demo_mode()


def _models() -> list[tuple[catalogue.Model, bool]]:
    off = set(SwitchedOff.objects.values_list("mode", flat=True))
    return [(model, mode not in off) for mode, model in catalogue.MODELS.items()]


def _show(request: Request, status: int = 200, **more: Any) -> HttpResponse:
    """The whole page. `more` says which form was not taken, and why."""
    context = {
        "panels": [_panel(account) for account in _shown_accounts()],
        "real_accounts": ApiAccount.objects.filter(demo=False).order_by("pk"),
        "models": _models(),
        "demo_mode": _in_demo(),
        "welcome": "welcome" in request.GET,
        "low_balance": (SiteRules.objects.first() or SiteRules()).low_balance,
        **hooks.shown(None),
    }
    return render(request, "settings.html", context | more, status=status)


def _back(request: Request) -> HttpResponse:
    if request.htmx:
        return HttpResponseClientRedirect(reverse("settings"))
    return redirect("settings")


def _panel_again(request: Request, account: ApiAccount) -> HttpResponse:
    """The account's panel under htmx, else the page again."""
    if not request.htmx:
        return redirect("settings")
    account.refresh_from_db()
    return render(request, "settings/_account.html", {"panel": _panel(account), "alone": True})


@admins_only
@require_safe
def page(request: Request) -> HttpResponse:
    return _show(request)


# -- keys -------------------------------------------------------------------------------------------------------------


def _key(pk: int) -> ApiKey:
    return get_object_or_404(ApiKey.objects.select_related("account").exclude(state=ApiKey.State.REPLACED), pk=pk)


@sensitive_post_parameters("secret")
@admins_only
@require_POST
def add_key(request: Request) -> HttpResponse:
    """Adds a key and tries it out once. A wrong one is explained at its field; the key itself is never sent back."""
    chosen, label = request.POST.get("account", ""), request.POST.get("label", "").strip()[:80]
    account = _real_account(chosen) if chosen else None
    was_demo = _in_demo()
    try:
        key = accounts.add_key(account, request.POST.get("secret", ""), label, request.user, **origin(request))
    except accounts.CannotAdd as no:
        wrong: dict[str, Any] = {"add_wrong": str(no), "label": label, "chosen": chosen}
        if request.htmx:
            wrong |= {"real_accounts": ApiAccount.objects.filter(demo=False).order_by("pk"), "demo_mode": was_demo}
            return render(request, "settings/_add_key.html", wrong, status=422)
        return _show(request, 422, **wrong)
    words = accounts.test_key(_key(key.pk), request.user, **origin(request))
    key.refresh_from_db()
    works = key.state == ApiKey.State.ACTIVE and not (was_demo and _in_demo())
    level = messages.SUCCESS if works else messages.WARNING
    messages.add_message(request, level, f"Key {key} added. {words}{_about_demo(was_demo)}")
    return _back(request)


def _real_account(chosen: str) -> ApiAccount:
    if not (chosen.isdecimal() and len(chosen) < 20):
        raise Http404("No such account.")
    return get_object_or_404(ApiAccount, pk=int(chosen), demo=False)


def _about_demo(was_demo: bool) -> str:
    """What became of demo mode, after a key was tried in it."""
    if not was_demo:
        return ""
    if _in_demo():
        return " Demo mode goes on until Veevid has taken a key."
    return " Demo mode is over: clips made from now on are charged to this account."


@admins_only
@require_POST
def test_key(request: Request, pk: int) -> HttpResponse:
    key = _key(pk)
    was_demo = _in_demo()
    words = accounts.test_key(key, request.user, **origin(request))
    if not request.htmx or _in_demo() != was_demo:
        messages.info(request, f"{key}: {words}{_about_demo(was_demo and not key.account.demo)}")
        return _back(request)
    key.account.refresh_from_db()
    context = {"panel": _panel(key.account), "alone": True, "tested": key.pk, "words": words}
    return render(request, "settings/_account.html", context)


@admins_only
@require_POST
def pause_key(request: Request, pk: int) -> HttpResponse:
    """Uses a key no more; with `for_good` the list forgets it, too, unless Veevid has ever taken it."""
    key = _key(pk)
    if request.POST.get("for_good") == "1":
        accounts.remove_key(key, request.user, **origin(request))
    else:
        accounts.set_key_active(key, False, request.user, **origin(request))
    return _panel_again(request, key.account)


@admins_only
@require_POST
def resume_key(request: Request, pk: int) -> HttpResponse:
    key = _key(pk)
    try:
        accounts.set_key_active(key, True, request.user, **origin(request))
    except accounts.CannotAdd as no:
        messages.error(request, str(no))
    return _panel_again(request, key.account)


@sensitive_post_parameters("secret")
@admins_only
@require_POST
def replace_key(request: Request, pk: int) -> HttpResponse:
    """Rotation. The old key stays as it was when the new one does not work."""
    old = _key(pk)
    if old.account.demo:
        raise Http404("The demo key is not replaced.")
    was_demo = _in_demo()
    try:
        key = accounts.replace_key(old, request.POST.get("secret", ""), request.user, **origin(request))
    except accounts.CannotAdd as no:
        stays = f"{old} stays in use." if old.state == ApiKey.State.ACTIVE else f"{old} stays as it was."
        wrong = {"replace_wrong": f"{no} {stays}", "replacing": old.pk}
        if request.htmx:
            context = wrong | {"panel": _panel(old.account), "alone": True}
            return render(request, "settings/_account.html", context, status=422)
        return _show(request, 422, **wrong)
    messages.success(request, f"Key {key} has replaced {old}. {key.checked_words}{_about_demo(was_demo)}")
    return _back(request)


# -- accounts ---------------------------------------------------------------------------------------------------------


def _set_open(request: Request, pk: int, opened: bool) -> HttpResponse:
    account = get_object_or_404(ApiAccount, pk=pk)
    accounts.set_account_open(account, opened, request.user, **origin(request))
    return _panel_again(request, account)


@admins_only
@require_POST
def pause_account(request: Request, pk: int) -> HttpResponse:
    return _set_open(request, pk, False)


@admins_only
@require_POST
def resume_account(request: Request, pk: int) -> HttpResponse:
    return _set_open(request, pk, True)


@admins_only
@require_POST
def share_account(request: Request, pk: int) -> HttpResponse:
    """Whether nothing but Dailies spends on this account, which is what lets a clean balance decide."""
    account = get_object_or_404(ApiAccount, pk=pk, demo=False)
    accounts.set_exclusive(account, request.POST.get("exclusive") == "1", request.user, **origin(request))
    return _panel_again(request, account)


@admins_only
@require_POST
def reserve_account(request: Request, pk: int) -> HttpResponse:
    """Keeps an account for one team, or opens it to all again. What is under way on it goes on."""
    account = get_object_or_404(ApiAccount, pk=pk, demo=False)
    chosen = request.POST.get("team")
    if chosen is None or not (chosen == "" or (chosen.isdecimal() and len(chosen) < 19)):
        raise Http404("No such team.")
    team = get_object_or_404(Team, pk=int(chosen)) if chosen else None
    accounts.reserve_for(account, team, request.user, **origin(request))
    return _panel_again(request, account)


# -- models -----------------------------------------------------------------------------------------------------------


@admins_only
@require_POST
def switch_model(request: Request) -> HttpResponse:
    """Takes a model out of the form, or back in. What was confirmed already is not touched."""
    mode = request.POST.get("mode", "")
    if mode not in catalogue.MODELS:
        raise Http404("No such model.")
    switched = _switch(request, mode, request.POST.get("on") == "1")
    wrong = "" if switched else "One model has to stay on: else nobody can make a clip."
    if request.htmx:
        context = {"models": _models(), "models_wrong": wrong}
        return render(request, "settings/_models.html", context, status=422 if wrong else 200)
    return _show(request, 422, models_wrong=wrong) if wrong else redirect(reverse("settings") + "#models")


def _switch(request: Request, mode: str, on: bool) -> bool:
    """False: this was the last one on."""
    changed: object
    with transaction.atomic():
        list(ApiAccount.objects.select_for_update().order_by("pk"))  # two admins at once: one after the other
        if on:
            changed = SwitchedOff.objects.filter(mode=mode).delete()[0]
        elif not set(catalogue.MODELS) - set(SwitchedOff.objects.values_list("mode", flat=True)) - {mode}:
            return False
        else:
            _, changed = SwitchedOff.objects.get_or_create(mode=mode)
        if changed:
            action, name = "model.on" if on else "model.off", catalogue.MODELS[mode].name
            audit.record(request.user, action, f"Model {name}", team=None, **origin(request))
        return True


# -- notifications ----------------------------------------------------------------------------------------------------


@admins_only
@require_POST
def set_low_balance(request: Request) -> HttpResponse:
    """Below how many credits of an account admins are told."""
    typed = request.POST.get("low_balance", "")
    try:
        webhooks.set_low_balance(request.user, forms.amount(typed), **origin(request))
    except budgets.CannotSet as no:
        return _show(request, 422, low_wrong=str(no), low_balance=typed[:40])
    messages.success(request, "Saved. It holds from now on.")
    return redirect(reverse("settings") + "#low_balance")


def _hooks(request: Request, status: int = 200, **more: Any) -> HttpResponse:
    """The panel under htmx, else the whole page."""
    if not request.htmx:
        return _show(request, status, **more)
    return render(request, "settings/_webhooks.html", hooks.shown(None) | {"alone": True} | more, status=status)


@sensitive_post_parameters("url")
@admins_only
@require_POST
def add_webhook(request: Request) -> HttpResponse:
    said = hooks.added(request, None)
    return _hooks(request, 422 if "hook_wrong" in said else 200, **said)


@admins_only
@require_POST
def test_webhook(request: Request, pk: int) -> HttpResponse:
    return _hooks(request, **hooks.tested(request, None, pk))


@admins_only
@require_POST
def remove_webhook(request: Request, pk: int) -> HttpResponse:
    hooks.removed(request, None, pk)
    return _hooks(request) if request.htmx else redirect(reverse("settings") + "#webhooks")
