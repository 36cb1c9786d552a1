"""Several clips at once: one prompt with several models, or a matrix of prompts and models, confirmed together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget

from generations import access, budgets, catalogue, dispatch, forecast, forms, ledger, lifecycle
from generations import several as together
from generations.models import Generation, Project, Quote, Status, Team
from generations.several import Several
from generations.views import composer, gate
from generations.views.compose import (
    HttpResponseSeeOther,
    for_makers,
    in_sheet,
    limited,
    refused,
    said_in,
    take_files,
    trouble,
)
from generations.views.gate import Request
from generations.views.meters import Meter, of_rooms
from generations.words import credits

# -- what it costs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One set on the bill: so many clips, each at its price."""

    words: str
    clips: int
    quote: Quote | None
    problem: str = ""

    @property
    def credits(self) -> int:
        return self.clips * self.quote.credits if self.quote else 0


@dataclass(frozen=True)
class Bill:
    """What all of it costs, and what that would do."""

    lines: Sequence[Line] = ()
    problem: str = ""  # why there is nothing to price
    asking: bool = False  # the panel asks for the missing prices as soon as it is on the page
    balance: int | None = None
    spent: int = 0
    held: int = 0
    ready: tuple[float, float] | None = None
    verdict: budgets.Verdict | None = None
    meters: Sequence[Meter] = ()
    approver: str = "A manager"

    @property
    def clips(self) -> int:
        return sum(line.clips for line in self.lines)

    @property
    def complete(self) -> bool:
        """Every price is known."""
        return bool(self.lines) and all(line.quote for line in self.lines)

    @property
    def missing(self) -> list[Line]:
        return [line for line in self.lines if line.quote is None]

    @property
    def credits(self) -> int:
        return sum(line.credits for line in self.lines)

    @property
    def oldest(self) -> Quote | None:
        return min((line.quote for line in self.lines if line.quote), key=lambda quote: quote.at, default=None)

    @property
    def sufficient(self) -> bool:
        """The balance has room for all of it, as far as it is known."""
        one_by_one = all(line.quote.sufficient for line in self.lines if line.quote)
        return one_by_one and (self.balance is None or self.credits <= self.balance)

    @property
    def balance_after(self) -> int | None:
        return None if self.balance is None else self.balance - self.credits

    @property
    def spent_after(self) -> int:
        return self.spent + self.credits

    @property
    def tightest(self) -> Meter | None:
        return min((meter for meter in self.meters if meter.left >= 0), key=lambda meter: meter.left, default=None)


def bill_of(request: Request, team: Team, several: Several, ask: bool) -> Bill:
    """Of what is entered now. Prices that are not known are asked for if `ask`, as far as the limits allow."""
    prompts = max(several.prompts, 1)  # a variable that has no value yet counts as one: a price is better than none
    billings: list[dict[str, Any]] = []
    words: list[str] = []
    for draft in several.able.values():
        try:
            billing, said = forms.billing(draft)
        except catalogue.Invalid as invalid:
            model = catalogue.MODELS[draft.mode].name
            return Bill(problem=f"{model}: {' '.join(invalid.errors.values())}", **_money(request, team, []))
        billings.append(billing)
        words.append(said)
    if not billings:
        return Bill(problem="Add a model that can start from this.", **_money(request, team, []))
    if len(billings) * prompts > together.MOST_CLIPS:
        sentence = f"{len(billings) * prompts:,} clips: at most {together.MOST_CLIPS} can be confirmed together."
        return Bill(problem=sentence, **_money(request, team, []))
    return _bill(request, team, billings, words, prompts, forms.project_of(several.shared, team), ask)


def _bill(
    request: Request,
    team: Team,
    billings: Sequence[dict[str, Any]],
    words: Sequence[str],
    prompts: int,
    project: Project | None,
    ask: bool,
) -> Bill:
    priced = lifecycle.quote_all(billings, team, ask)
    lines = []
    for billing, said in zip(billings, words, strict=True):
        digest = lifecycle.digest_of(billing)
        no = priced.missing.get(digest)
        problem = f"{no}{f' Veevid says: “{no.upstream_words}”' if no.upstream_words else ''}" if no and ask else ""
        lines.append(Line(said, prompts, priced.quotes.get(digest), problem))
    wanted = [
        (billing["mode"], line.quote.credits if line.quote else 0)
        for billing, line in zip(billings, lines, strict=True)
    ]
    verdict = budgets.weigh_all(team, request.user, project, wanted * prompts, dispatch.demo_mode())
    total = sum(line.credits for line in lines)
    return Bill(
        lines,
        asking=bool(priced.missing) and not ask,
        verdict=verdict,
        meters=of_rooms(verdict.rooms, request.user, total),
        approver="Another manager" if access.may_manage(request.user, team) else "A manager",
        **_money(request, team, [dispatch.kind_of(billing["mode"], billing) for billing in billings] * prompts),
    )


def _money(request: Request, team: Team, kinds: Sequence[Any]) -> dict[str, Any]:
    demo = dispatch.demo_mode()
    known = dispatch.balance(demo, team)
    own = ledger.totals(user=request.user, since=ledger.month_start(), demo=demo)
    ready = forecast.Outlook(demo).drafts(request.user, team, kinds) if kinds else None
    return {"balance": known[0] if known else None, "spent": own.spent, "held": own.held, "ready": ready}


# -- the page and its parts -------------------------------------------------------------------------------------------


def _sets(several: Several, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """The sets as the page draws them: controls named after their set, or why it is left out."""
    able, models = several.able, forms.visible_models()
    shown = []
    for number, draft in several.sets.items():
        model = catalogue.MODELS[draft.mode]
        each: dict[str, Any] = {"number": number, "model": model, "able": number in able}
        if number not in able:
            start = composer.FROM_WORDS[several.shared.generation_type]
            each["why"] = f"Cannot start {start}: left out." if draft.mode in models else "Switched off: left out."
            each["kept"] = [(f"{number}-{name}", value) for name, value in draft.values.items() if _plain(value)]
        else:
            own = {name.removeprefix(f"{number}-"): sentence for name, sentence in errors.items()}
            controls = [replace(c, name=f"{number}-{c.name}") for c in forms.controls(draft, own)]
            each["controls"] = [control for control in controls if not control.advanced]
            each["more"] = [control for control in controls if control.advanced]
            each["more_open"] = any(control.error for control in each["more"])
            each["words"] = catalogue.in_words(draft.mode, draft.generation_type, forms.fitted(draft))
        shown.append(each)
    return shown


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _context(
    request: Request,
    team: Team,
    several: Several,
    *,
    errors: Mapping[str, str] | None = None,
    notice: str = "",
    ask: bool = False,
) -> dict[str, Any]:
    errors, shared, models = errors or {}, several.shared, forms.visible_models()
    sets = _sets(several, errors)
    projects = forms.open_projects(team)
    slots = composer.slots_shown(request, shared, errors)
    drawn = [control.name for each in sets if each["able"] for control in (*each["controls"], *each["more"])]
    places = {"prompt", "sets", "stop_after", *(["project"] if projects else []), *drawn}
    places |= {each["slot"].name for each in slots} | {f"{together.VARIABLE}{name}" for name in several.names}
    values = several.values
    return {
        "draft": shared,
        "types": composer.types(shared, models),
        "cards": composer.cards(shared, models),
        "slots": slots,
        "slot_notes": _slot_notes(several),
        "form_url": reverse("several"),
        "sets": sets,
        "variables": [
            {
                "name": name,
                "field": f"{together.VARIABLE}{name}",
                "text": several.texts.get(name, ""),
                "count": len(values[name]),
                "error": errors.get(f"{together.VARIABLE}{name}", ""),
                "place": place,
            }
            for place, name in enumerate(values)
        ],
        "prompts": several.prompts,
        "clips": several.clips,
        "most_clips": together.MOST_CLIPS,
        "room": len(several.sets) < together.MOST_SETS,
        "stop_after": several.stop_after,
        "projects": [(project, str(project.pk) == shared.project) for project in projects],
        "errors": errors,
        "elsewhere": [sentence for name, sentence in errors.items() if name not in places],
        "notice": notice,
        "limit": catalogue.PROMPT_LIMIT,
        "bill": bill_of(request, team, several, ask),
        "demo": dispatch.demo_mode(),
    }


def _slot_notes(several: Several) -> list[str]:
    """For places that only some of the models have: which ones use them."""
    notes = []
    for slot in several.shared.slots:
        using = [draft for draft in several.able.values() if slot.name in [each.name for each in draft.slots]]
        if 0 < len(using) < len(several.able):
            names = ", ".join(dict.fromkeys(catalogue.MODELS[draft.mode].name for draft in using))
            notes.append(f"{slot.label}: only {names} uses it; the others leave it out.")
    return notes


@limited
@for_makers
@require_http_methods(["GET", "HEAD", "POST"])
def form(request: Request, team: Team) -> HttpResponse:
    """The form: begun from a link or from the form of a single clip; or again, after a change of what decides."""
    notice, errors = "", {}
    said = said_in(request)
    plan = lifecycle.plan_of(said) if said and said["user"] == request.user.pk else None
    if request.method != "POST":
        several = _begun(request)
    elif said and plan:
        several = together.from_orders(lifecycle.orders_of(said), plan)
    elif "mode" in request.POST and "set" not in request.POST and "several" not in request.POST:
        several = together.begin(forms.posted(request.POST))
        errors = take_files(request, team, several.shared)
    else:
        several = together.posted(request.POST)
        together.refit(several)
        notice = _changed(several, request)
        errors = take_files(request, team, several.shared)
    several.shared.add_typed()
    together.refit(several)
    template = "several/_parts.html" if request.htmx else "several.html"
    context = _context(
        request, team, several, errors=errors, notice=notice, ask=not request.htmx and request.method == "POST"
    )
    return render(request, template, context)


def _begun(request: Request) -> Several:
    batch = request.GET.get("batch", "")
    if batch:
        pk = int(batch) if batch.isascii() and batch.isdigit() and len(batch) < 18 else 0
        return together.from_batch(get_object_or_404(access.batches_for(request.user), pk=pk))
    earlier = request.GET.get("from", "")
    if earlier:
        generations = access.generations_for(request.user)
        found = get_object_or_404(generations, pk=int(earlier) if earlier.isdecimal() and len(earlier) < 18 else 0)
        return together.begin(forms.remix(found))
    draft = forms.Draft("", request.GET.get("type", "text-to-video"), request.GET.get("prompt", ""))
    return together.begin(draft, request.GET.getlist("model")[: together.MOST_SETS])


def _changed(several: Several, request: Request) -> str:
    """Does what a button of the form asked for. Says in a sentence what did not work."""
    post = request.POST
    if post.get("add"):
        return together.add(several, post["add"])
    number = post.get("copy") or post.get("drop") or ""
    if number.isascii() and number.isdigit() and len(number) < 5:
        if post.get("copy"):
            return together.copy(several, int(number))
        several.sets.pop(int(number), None)
    if post.get("remove"):
        slot, _, position = post["remove"].partition(":")
        sources = several.shared.media.get(slot, [])
        if position.isascii() and position.isdigit() and int(position[:4]) < len(sources):
            del sources[int(position[:4])]
    return ""


@limited
@for_makers
@require_POST
def price(request: Request, team: Team) -> HttpResponse:
    """What everything that is entered now costs together."""
    several = together.posted(request.POST)
    together.settle(several)
    context = {"bill": bill_of(request, team, several, ask=True), "demo": dispatch.demo_mode(), "alone": True}
    return render(request, "several/_price.html", context)


# -- review and confirmation ------------------------------------------------------------------------------------------


@limited
@for_makers
@require_POST
def review(request: Request, team: Team) -> HttpResponse:
    """Checks everything and shows what will be confirmed. Nothing is held, nothing but prices is asked for."""
    several = together.posted(request.POST)
    together.settle(several)
    errors = take_files(request, team, several.shared)
    if several.shared.shown != several.shared.generation_type:
        together.refit(several)
        start = composer.FROM_WORDS[several.shared.generation_type]
        return _form_again(request, team, several, errors, f"These are the settings {start}. Check them, then review.")
    several.shared.add_typed()
    try:
        orders, plan = together.check(several, request.user, team)
    except catalogue.Invalid as invalid:
        errors = {**invalid.errors, **errors}
    if errors:
        return _form_again(request, team, several, errors)
    return _sheet(request, team, orders, plan)


def _form_again(
    request: Request, team: Team, several: Several, errors: Mapping[str, str], notice: str = ""
) -> HttpResponse:
    context = _context(request, team, several, errors=errors, notice=notice)
    if not request.htmx:
        return render(request, "several.html", context, status=422)
    context["alone"] = True
    answer = render(request, "several/_form.html", context, status=422)
    return reswap(retarget(answer, "#compose"), "innerHTML")


def _sheet(
    request: Request, team: Team, orders: Sequence[lifecycle.Order], plan: lifecycle.Plan, sentence: str = ""
) -> HttpResponse:
    """The decision: what all of it is, what it costs, and one button that spends."""
    status = 422 if sentence else 200
    sets = orders[: plan.sets]
    project = forms.open_projects(team).filter(pk=orders[0].project).first() if orders[0].project else None
    billings, words = [order.billing for order in sets], [order.in_words for order in sets]
    bill = _bill(request, team, billings, words, len(orders) // plan.sets, project, ask=True)
    if bill.verdict and bill.complete and bill.verdict.refusing:
        sentence, status = str(budgets.OverBudget(bill.credits, bill.verdict.refusing)), 422
    quotes = [line.quote for line in bill.lines if line.quote]
    sealed = ""
    if bill.complete:
        prices = quotes * (len(orders) // plan.sets)
        sealed = lifecycle.seal_all(request.user, team, list(zip(orders, prices, strict=True)), plan)
    else:
        status = 422
    sources = list(dict.fromkeys(source for order in sets for slot in order.media.values() for source in slot))
    ours = forms.uploads_of(request.user, sources)
    context = {
        "orders": orders,
        "plan": plan,
        "team": team,
        "media": [composer.item(source, ours.get(source)) for source in sources],
        "price": bill,
        "project": project,
        "sealed": sealed,
        "sentence": sentence,
        "demo": dispatch.demo_mode(),
        "parked_days": lifecycle.PARKED_FOR.days,
        "back_url": reverse("several"),
    }
    return in_sheet(request, "several/_confirm.html", context, status)


@limited
@login_required
@require_POST
def confirm(request: Request) -> HttpResponse:
    """The one click that spends for all of them. The same confirmation twice is one batch."""
    said = said_in(request)
    plan = lifecycle.plan_of(said) if said else None
    if said is None or plan is None or said["user"] != request.user.pk:
        sentence = "This confirmation was altered on its way, or made for somebody else. Nothing was charged."
        return trouble(request, "Not confirmed", f"{sentence} Go back to the form and review it again.")
    team = access.teams_of(request.user).filter(pk=said["team"]).first()
    if team is None or not access.may_generate(request.user, team):
        return refused(request, "You may no longer generate in the team this was meant for. Nothing was held.")
    already = lifecycle.made_of(said)
    if already:
        total = credits(sum(generation.price for generation in already))
        messages.success(request, f"Already confirmed: {total} held once, nothing more.")
        return _to_batch(request, already)
    try:
        made = lifecycle.confirm_all(request.user, request.POST["sealed"])
    except (lifecycle.ConfirmAgain, budgets.OverBudget) as no:
        return _ask_again(request, team, said, plan, str(no))
    parked = sum(generation.status == Status.AWAITING_APPROVAL for generation in made)
    total = credits(sum(generation.price for generation in made))
    if parked < len(made):
        gate.ring()
    words = f"{len(made) - parked} clips on their way" if parked < len(made) else "Asked for approval"
    waits = f" {parked} wait for approval." if 0 < parked < len(made) else ""
    messages.success(request, f"{words}: {total} held.{waits}")
    return _to_batch(request, made)


def _to_batch(request: Request, made: Sequence[Generation]) -> HttpResponse:
    batch = made[0].batch
    there = batch.get_absolute_url() if batch else reverse("gallery")
    return HttpResponseClientRedirect(there) if request.htmx else HttpResponseSeeOther(there)


def _ask_again(
    request: Request, team: Team, said: Mapping[str, Any], plan: lifecycle.Plan, sentence: str
) -> HttpResponse:
    """The confirmation no longer stands: the same orders with their prices of now, if they still can be made."""
    several = together.from_orders(lifecycle.orders_of(said), plan)
    together.settle(several)
    try:
        orders, plan = together.check(several, request.user, team)
    except catalogue.Invalid:
        return trouble(request, "Not confirmed", sentence)
    if len(several.able) != len(several.sets):
        return trouble(request, "Not confirmed", sentence)
    return _sheet(request, team, orders, plan, sentence)
