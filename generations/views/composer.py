"""What the compose page shows: the model cards, the places for media, the settings, the price panel."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generations import access, budgets, catalogue, dispatch, forecast, forms, ledger, lifecycle
from generations.models import Media, Project, Quote, Team, User
from generations.views.gate import Request, current_team
from generations.views.meters import Meter, of_rooms

CHEAPEST, DEAREST = 10, 2000  # credits: the ends of the scale on a model's card
LIBRARY_SHOWN = 24  # of the newest, beside a place for media; the others are on the library's page
FROM_WORDS = {
    "text-to-video": "from text",
    "image-to-video": "from an image",
    "reference-to-video": "from references",
    "video-to-video": "from a video",
}


@dataclass(frozen=True)
class Card:
    """One model in the picker."""

    model: catalogue.Model
    chosen: bool
    able: bool
    why: str

    @property
    def x(self) -> str:
        return f"{100 * _on_scale(self.model.price_min):.1f}%"

    @property
    def width(self) -> str:
        return f"{100 * (_on_scale(self.model.price_max) - _on_scale(self.model.price_min)):.1f}%"


def _on_scale(price: int) -> float:
    return math.log(price / CHEAPEST) / math.log(DEAREST / CHEAPEST)


def cards(draft: forms.Draft, models: Mapping[str, catalogue.Model]) -> list[Card]:
    made = []
    for mode, model in models.items():
        able = draft.generation_type in model.types
        why = model.strength if able else f"Cannot start {FROM_WORDS[draft.generation_type]}"
        made.append(Card(model, mode == draft.mode, able, why))
    return made


def types(draft: forms.Draft, models: Mapping[str, catalogue.Model]) -> list[dict[str, Any]]:
    able = {name for model in models.values() for name in model.types}
    return [
        {"name": name, "label": label, "chosen": name == draft.generation_type, "able": name in able}
        for name, label in catalogue.TYPES.items()
    ]


def slots_shown(request: Request, draft: forms.Draft, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    ours = forms.uploads_of(request.user, (source for sources in draft.media.values() for source in sources))
    team = current_team(request)
    slots = []
    library: dict[str, list[Media]] = {}
    for slot in draft.slots:
        if slot.kind not in library:
            rows = access.library_for(request.user).filter(team=team, kind=slot.kind).order_by("-pk")
            library[slot.kind] = list(rows[:LIBRARY_SHOWN])
        sources = [s for s in draft.media.get(slot.name, []) if s in ours or not s.startswith(forms.OURS)]
        slots.append(
            {
                "slot": slot,
                "items": [item(source, ours.get(source)) for source in sources],
                "room": len(sources) < slot.maximum,
                "left": slot.maximum - len(sources),
                "library": [media for media in library[slot.kind] if f"{forms.OURS}{media.key}" not in sources],
                "typed": draft.typed.get(slot.name, ""),
                "error": errors.get(slot.name, ""),
                "what": "image" if slot.kind == "image" else "video",
                "accept": "image/jpeg,image/png,image/webp" if slot.kind == "image" else "video/mp4,video/quicktime",
            }
        )
    return slots


def item(source: str, media: Media | None) -> dict[str, Any]:
    return {"source": source, "media": media, "name": media.name if media else source.split("://", 1)[-1]}


@dataclass(frozen=True)
class Price:
    """What the price panel says."""

    words: str = ""
    quote: Quote | None = None
    asking: bool = False  # the panel asks for it by itself as soon as it is on the page
    problem: str = ""
    said: str = ""  # by the vendor
    balance: int | None = None
    spent: int = 0
    held: int = 0
    ready: tuple[float, float] | None = None
    verdict: budgets.Verdict | None = None
    meters: Sequence[Meter] = ()
    approver: str = "A manager"

    @property
    def credits(self) -> int:
        return self.quote.credits if self.quote else 0

    @property
    def sufficient(self) -> bool:
        return bool(self.quote and self.quote.sufficient)

    @property
    def tightest(self) -> Meter | None:
        """The budget with the least left, for where there is room for one figure."""
        return min((meter for meter in self.meters if meter.left >= 0), key=lambda meter: meter.left, default=None)

    @property
    def balance_after(self) -> int | None:
        return None if self.balance is None else self.balance - self.credits

    @property
    def spent_after(self) -> int:
        return self.spent + self.credits


def price_of(request: Request, draft: forms.Draft, ask: bool) -> Price:
    """The price of a draft: the known one, or asked for now if `ask`. A price that cannot be had is said in words."""
    try:
        billing, words = forms.billing(draft)
    except catalogue.Invalid as invalid:
        return Price(problem=" ".join(invalid.errors.values()), **money(request, draft.mode, {}))
    problem = said = ""
    quote, team, demo = None, current_team(request), dispatch.demo_mode()
    try:
        quote = lifecycle.quote(billing, team) if ask else lifecycle.known_quote(billing, demo, team)
    except lifecycle.NoPrice as no:
        problem, said = str(no), no.upstream_words
    asking = quote is None and not ask
    more = weighed(request.user, team, forms.project_of(draft, team), draft.mode, quote.credits if quote else 0)
    return Price(words, quote, asking, problem, said, **money(request, draft.mode, billing), **more)


def weighed(user: User, team: Team, project: Project | None, mode: str, price: int) -> dict[str, Any]:
    """What the team's budgets and rules say of a price, before anything is confirmed."""
    verdict = budgets.weigh(team, user, project, mode, price, dispatch.demo_mode())
    approver = "Another manager" if access.may_manage(user, team) else "A manager"
    return {"verdict": verdict, "meters": of_rooms(verdict.rooms, user, price), "approver": approver}


def money(request: Request, mode: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a clip would do to the balance, and when it would be ready."""
    demo, team = dispatch.demo_mode(), current_team(request)
    known = dispatch.balance(demo, team)
    own = ledger.totals(user=request.user, since=ledger.month_start(), demo=demo)
    return {
        "balance": known[0] if known else None,
        "spent": own.spent,
        "held": own.held,
        "ready": forecast.Outlook(demo).draft(request.user, team, dispatch.kind_of(mode, params)),
    }


def context(
    request: Request,
    draft: forms.Draft,
    *,
    errors: Mapping[str, str] | None = None,
    notice: str = "",
    ask: bool = False,
) -> dict[str, Any]:
    errors = errors or {}
    models = forms.visible_models()
    controls = forms.controls(draft, errors)
    slots = slots_shown(request, draft, errors)
    team = current_team(request)
    projects = forms.open_projects(team)
    places = {
        "prompt",
        "mode",
        *(["project"] if projects else []),
        *(control.name for control in controls),
        *(each["slot"].name for each in slots),
    }
    more = [control for control in controls if control.advanced]
    return {
        "draft": draft,
        "model": catalogue.MODELS[draft.mode],
        "from_words": FROM_WORDS[draft.generation_type],
        "types": types(draft, models),
        "cards": cards(draft, models),
        "slots": slots,
        "controls": [control for control in controls if not control.advanced],
        "more": more,
        "projects": [(project, str(project.pk) == draft.project) for project in projects],
        "more_open": any(control.error for control in more),
        "version": forms.started_from(draft, request.user, team) if draft.version else None,
        "errors": errors,
        "elsewhere": [sentence for name, sentence in errors.items() if name not in places],
        "notice": notice,
        "limit": catalogue.PROMPT_LIMIT,
        "price": price_of(request, draft, ask),
        "demo": dispatch.demo_mode(),
    }
