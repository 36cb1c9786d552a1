"""From an idea to a confirmed price: the form, its price and its media, the review, the confirmation."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget

from generations import access, budgets, catalogue, dispatch, forms, lifecycle, uploads
from generations.models import Status, Team
from generations.views import composer, gate
from generations.views.gate import Request
from generations.words import credits

View = Callable[..., HttpResponse]


class HttpResponseSeeOther(HttpResponseRedirect):
    """To another page, by GET, whatever the method was."""

    status_code = 303


# -- who may come in, and with what -----------------------------------------------------------------------------------


def limited(view: View) -> View:
    """Refuses a body that is too large before any of it is read."""
    protected = csrf_protect(view)

    @csrf_exempt
    @wraps(view)
    def guarded(request: Request, **named: Any) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > uploads.LARGEST_REQUEST:
            return HttpResponse("The file is too large. Nothing was stored.", status=413, content_type="text/plain")
        return protected(request, **named)

    return guarded


def for_makers(view: View) -> View:
    """Lets in who may generate in the current team, and hands that team on."""

    @login_required
    @wraps(view)
    def guarded(request: Request, **named: Any) -> HttpResponse:
        team = gate.current_team(request)
        if not access.may_generate(request.user, team):
            return refused(request, f"In {team} you may watch, but not generate. A manager can change that.")
        if not forms.visible_models():
            return refused(request, "An admin has switched off every model. Nothing can be generated now.", 409)
        return view(request, team, **named)

    return guarded


def refused(request: Request, sentence: str, status: int = 403) -> HttpResponse:
    answer = render(request, "compose/_refused.html", {"sentence": sentence}, status=status)
    answer["HX-Trigger"] = json.dumps({"toast": {"text": f"{sentence} Nothing was charged.", "kind": "error"}})
    return answer


# -- the page and its parts -------------------------------------------------------------------------------------------


@for_makers
@require_safe
def page(request: Request, team: Team) -> HttpResponse:
    """The form: empty, or started from an earlier generation."""
    models = forms.visible_models()
    earlier = request.GET.get("from", "")
    if earlier:
        generations = access.generations_for(request.user)
        draft = forms.remix(get_object_or_404(generations, pk=int(earlier) if earlier.isdecimal() else 0))
        if draft.mode not in catalogue.MODELS:
            draft.mode = next(iter(models))
    else:
        mode, generation_type = request.GET.get("mode", ""), request.GET.get("type", "")
        draft = forms.Draft(mode, generation_type, request.GET.get("prompt", ""))
    if key := request.GET.get("media", ""):
        ours = forms.uploads_of(request.user, [f"{forms.OURS}{key}"])
        media = next((each for each in ours.values() if each.team_id == team.pk), None)
        if media is None:
            raise Http404("no such upload in this team")
        forms.start_from(draft, media)
    notice = forms.settle(draft, models)
    forms.refit(draft)
    return render(request, "compose.html", composer.context(request, draft, notice=notice))


@limited
@for_makers
@require_http_methods(["GET", "HEAD", "POST"])
def form(request: Request, team: Team) -> HttpResponse:
    """The form again after a change of what decides about the rest: everything typed is kept."""
    if request.method != "POST":
        return redirect("compose")
    said = said_in(request)
    if said and said["user"] == request.user.pk:
        draft = forms.from_order(lifecycle.orders_of(said)[0])
    else:
        draft = forms.posted(request.POST)
        remove(draft, request.POST.get("remove", ""))
        _pick(draft, request.POST.get("add", ""))
    notice = forms.settle(draft, forms.visible_models())
    errors = take_files(request, team, draft)
    forms.refit(draft)
    template = "compose/_parts.html" if request.htmx else "compose.html"
    context = composer.context(request, draft, errors=errors, notice=notice, ask=not request.htmx)
    return render(request, template, context)


@limited
@for_makers
@require_POST
def price(request: Request, team: Team) -> HttpResponse:
    """The price of what is entered now."""
    draft = forms.posted(request.POST)
    forms.settle(draft, forms.visible_models())
    context = {"price": composer.price_of(request, draft, ask=True), "demo": dispatch.demo_mode(), "alone": True}
    return render(request, "compose/_price.html", context)


@limited
@for_makers
@require_POST
def add_media(request: Request, team: Team) -> HttpResponse:
    """Takes a file or an address into one slot, or one out of it, and shows that slot."""
    draft = forms.posted(request.POST)
    forms.settle(draft, forms.visible_models())
    name = request.GET.get("slot", "")
    if name not in [slot.name for slot in draft.slots]:
        raise Http404("this model has no such slot")
    errors: dict[str, str] = {}
    if request.POST.get("remove"):
        remove(draft, request.POST["remove"])
    elif request.POST.get("add"):
        _pick(draft, request.POST["add"])
    else:
        draft.typed = {slot: address for slot, address in draft.typed.items() if slot == name}
        errors = take_files(request, team, draft, only=name)
        draft.add_typed()
        if draft.typed.get(name) and name not in errors:
            errors[name] = "This is no http or https address. Check that all of it was copied."
    slots = composer.slots_shown(request, draft, errors)
    shown = {"each": next(each for each in slots if each["slot"].name == name)}
    return render(request, "compose/_slot.html", shown, status=422 if errors else 200)


def remove(draft: forms.Draft, what: str) -> None:
    """Takes `slot:position` out of the media."""
    slot, _, position = what.partition(":")
    sources = draft.media.get(slot, [])
    if position.isdecimal() and int(position) < len(sources):
        del sources[int(position)]


def _pick(draft: forms.Draft, what: str) -> None:
    """Puts `slot=media:<key>`, chosen from the library, into its place; `check_media` looks whose it is."""
    name, _, source = what.partition("=")
    slot = next((slot for slot in draft.slots if slot.name == name), None)
    if slot and source.startswith(forms.OURS) and source not in draft.media.get(name, []):
        there = draft.media.get(name, []) if slot.maximum > 1 else []
        draft.media[name] = [*there, source][: slot.maximum]


def take_files(request: Request, team: Team, draft: forms.Draft, only: str = "") -> dict[str, str]:
    """Keeps the files that came with the form. A file for a single place takes that place. Errors by slot."""
    errors: dict[str, str] = {}
    for slot in draft.slots:
        files = request.FILES.getlist(f"{slot.name}.file")
        if not files or (only and slot.name != only):
            continue
        there = draft.media.get(slot.name, []) if slot.maximum > 1 else []
        if len(there) + len(files) > slot.maximum:
            errors[slot.name] = f"At most {slot.maximum} can be used. None of these {len(files)} was stored."
            continue
        for file in files:
            try:
                media = uploads.keep(team, request.user, file, slot.kind)
            except uploads.CannotKeep as problem:
                errors[slot.name] = str(problem)
            else:
                source = f"{forms.OURS}{media.key}"
                there = there if source in there else [*there, source]  # the same content is one upload
                draft.media[slot.name] = there
    return errors


# -- review -----------------------------------------------------------------------------------------------------------


@limited
@for_makers
@require_POST
def review(request: Request, team: Team) -> HttpResponse:
    """Checks everything and shows what will be confirmed. Nothing is held, nothing but a price is asked for."""
    draft = forms.posted(request.POST)
    drawn_for = draft.shown
    changed = draft.place != drawn_for and draft.mode in catalogue.MODELS and draft.generation_type in catalogue.TYPES
    errors = take_files(request, team, draft)
    if changed:
        notice = forms.settle(draft, forms.visible_models())
        forms.refit(draft)
        name = catalogue.MODELS[draft.mode].name
        notice = notice or f"The settings are now those of {name}. Check them, then review."
        return _form_again(request, draft, errors, notice)
    draft.add_typed()
    project = None
    try:
        project = forms.check_project(draft, team)
    except catalogue.Invalid as invalid:
        errors |= invalid.errors
    try:
        params, prompt, media = forms.check(draft, request.user, team)
    except catalogue.Invalid as invalid:
        errors = {**invalid.errors, **errors}
    if errors:
        notice = forms.settle(draft, forms.visible_models())
        return _form_again(request, draft, errors, notice)
    version = forms.started_from(draft, request.user, team)
    about = project.pk if project else None, version.pk if version else None
    return _sheet(request, team, lifecycle.Order(draft.mode, draft.generation_type, params, prompt, media, *about))


def _form_again(request: Request, draft: forms.Draft, errors: Mapping[str, str], notice: str) -> HttpResponse:
    context = composer.context(request, draft, errors=errors, notice=notice)
    if not request.htmx:
        return render(request, "compose.html", context, status=422)
    context["alone"] = True
    answer = render(request, "compose/_form.html", context, status=422)
    return reswap(retarget(answer, "#compose"), "innerHTML")


def _sheet(request: Request, team: Team, order: lifecycle.Order, sentence: str = "") -> HttpResponse:
    """The decision: what it is, what it costs, and one button that spends."""
    status = 422 if sentence else 200
    try:
        quote = lifecycle.quote(order.billing, team)
    except lifecycle.NoPrice as no:
        return trouble(request, "No price now", str(no), no.upstream_words)
    project = forms.open_projects(team).filter(pk=order.project).first() if order.project else None
    weighed = composer.weighed(request.user, team, project, order.mode, quote.credits)
    if weighed["verdict"].refusing:
        sentence, status = str(budgets.OverBudget(quote.credits, weighed["verdict"].refusing)), 422
    sources = [source for slot in order.media.values() for source in slot]
    ours = forms.uploads_of(request.user, sources)
    context = {
        "order": order,
        "team": team,
        "media": [composer.item(source, ours.get(source)) for source in sources],
        "price": composer.Price(quote=quote, **composer.money(request, order.mode, order.params), **weighed),
        "project": project,
        "sealed": lifecycle.seal(request.user, team, order, quote),
        "sentence": sentence,
        "demo": dispatch.demo_mode(),
        "parked_days": lifecycle.PARKED_FOR.days,
    }
    return in_sheet(request, "compose/_confirm.html", context, status)


def trouble(request: Request, title: str, sentence: str, said: str = "") -> HttpResponse:
    return in_sheet(request, "compose/_trouble.html", {"title": title, "sentence": sentence, "said": said}, 422)


def in_sheet(request: Request, template: str, context: dict[str, Any], status: int) -> HttpResponse:
    if request.htmx:
        return render(request, template, context, status=status)
    return render(request, "compose/_sheet_page.html", {**context, "inside": template}, status=status)


# -- confirm ----------------------------------------------------------------------------------------------------------


def said_in(request: Request) -> dict[str, Any] | None:
    """What the posted confirmation says, however old it is. None when there is none or it was altered."""
    try:
        return lifecycle.unseal(request.POST.get("sealed", ""), lasts=None)
    except lifecycle.ConfirmAgain:
        return None


@limited
@login_required
@require_POST
def confirm(request: Request) -> HttpResponse:
    """The one click that spends. The same confirmation twice is one generation."""
    said = said_in(request)
    if said is None or said["user"] != request.user.pk:
        return not_confirmed(request)
    team = access.teams_of(request.user).filter(pk=said["team"]).first()
    if team is None or not access.may_generate(request.user, team):
        return refused(request, "You may no longer generate in the team this was meant for. Nothing was held.")
    if lifecycle.plan_of(said):
        return trouble(request, "Not confirmed", "This confirms several clips. Review them again. Nothing was charged.")
    already = lifecycle.made_of(said)
    if already:
        generation = already[0]
        messages.success(request, f"Already confirmed: {credits(generation.price)} held once, nothing more.")
        return _to_gallery(request)
    try:
        generation = lifecycle.confirm(request.user, request.POST["sealed"])
    except lifecycle.ConfirmAgain as again:
        return _ask_again(request, team, lifecycle.orders_of(said)[0], str(again))
    except budgets.OverBudget as over:
        return _ask_again(request, team, lifecycle.orders_of(said)[0], str(over))
    if generation.status == Status.AWAITING_APPROVAL:
        messages.success(request, f"Asked for approval: {credits(generation.price)} held. Nothing is sent before.")
        return _to_gallery(request)
    gate.ring()
    messages.success(request, f"On its way: {credits(generation.price)} held.")
    return _to_gallery(request)


def _to_gallery(request: Request) -> HttpResponse:
    gallery = reverse("gallery")
    return HttpResponseClientRedirect(gallery) if request.htmx else HttpResponseSeeOther(gallery)


def not_confirmed(request: Request) -> HttpResponse:
    try:
        lifecycle.confirm(request.user, request.POST.get("sealed", ""))
    except lifecycle.ConfirmAgain as again:
        sentence = str(again).replace(" Here is the price again.", "")
        return trouble(request, "Not confirmed", f"{sentence} Go back to the form and review it again.")
    raise RuntimeError("a confirmation that cannot be read was accepted")


def _ask_again(request: Request, team: Team, order: lifecycle.Order, sentence: str) -> HttpResponse:
    """The confirmation no longer stands: the same order with its price of now, if it still can be made."""
    draft = forms.from_order(order)
    try:
        forms.check_project(draft, team)
        forms.check(draft, request.user, team)
    except catalogue.Invalid:
        return trouble(request, "Not confirmed", sentence)
    return _sheet(request, team, order, sentence)
