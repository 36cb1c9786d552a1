"""Input of the page that makes several clips at once: models with their settings, and what stands for the variables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from django.http import QueryDict

from generations import catalogue, forms, variables
from generations.lifecycle import Order, Plan
from generations.models import Batch, Team, User

MOST_SETS = 10
MOST_CLIPS = 60
LONGEST_VALUE = 1000
VARIABLE = "var:"  # before the name of a field that has the values of a variable


@dataclass
class Several:
    """One filled form, as typed. A set is a model with its settings; its number stays while others come and go."""

    shared: forms.Draft  # the prompt with its variables, the type, media, project; its model only says which media fit
    sets: dict[int, forms.Draft] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # variable -> its values as typed, one on each line
    stop_after: str = ""

    @property
    def names(self) -> list[str]:
        return variables.names_in(self.shared.prompt)

    @property
    def values(self) -> dict[str, list[str]]:
        """Of each variable of the prompt, without blanks, each once."""
        lines = {name: (line.strip() for line in self.texts.get(name, "").splitlines()) for name in self.names}
        return {name: list(dict.fromkeys(line for line in given if line)) for name, given in lines.items()}

    @property
    def able(self) -> dict[int, forms.Draft]:
        """The sets whose model can start from the chosen type and is switched on."""
        models = forms.visible_models()
        kind = self.shared.generation_type
        return {n: draft for n, draft in self.sets.items() if draft.mode in models and kind in models[draft.mode].types}

    @property
    def prompts(self) -> int:
        """How many prompts the variables make of the one."""
        return prod(len(given) for given in self.values.values())

    @property
    def clips(self) -> int:
        return self.prompts * len(self.able)


def posted(post: QueryDict) -> Several:
    """Reads a posted form. Nothing is checked yet."""
    shared = forms.posted(post)
    numbers = [
        int(number) for number in post.getlist("set") if number.isascii() and number.isdigit() and len(number) < 5
    ]
    several = Several(shared, stop_after=post.get("stop_after", ""))
    several.sets = {number: _set(post, f"{number}-") for number in numbers[:MOST_SETS]}
    several.texts = {name.removeprefix(VARIABLE): post.get(name, "") for name in post if name.startswith(VARIABLE)}
    return several


def _set(post: QueryDict, prefix: str) -> forms.Draft:
    own = QueryDict(mutable=True)
    for name in post:
        if name.startswith(prefix):
            own.setlist(name.removeprefix(prefix), post.getlist(name))
    return forms.posted(own)


def begin(draft: forms.Draft, modes: Sequence[str] = ()) -> Several:
    """From the form of a single clip: its model is the first set."""
    several = Several(draft)
    first = forms.Draft(draft.mode, draft.generation_type, values=dict(draft.values))
    several.sets = {1: first} if draft.mode in catalogue.MODELS else {}
    for mode in modes:
        add(several, mode)
    return several


def from_orders(orders: Sequence[Order], plan: Plan) -> Several:
    """What was ordered, as the form again."""
    several = Several(forms.from_order(orders[0]), stop_after=str(plan.stop_after or ""))
    several.shared.prompt = plan.template
    several.texts = {name: "\n".join(given) for name, given in plan.values.items()}
    several.sets = {number: forms.from_order(order) for number, order in enumerate(orders[: plan.sets], start=1)}
    for order in orders[: plan.sets]:  # one set may take more media than another
        several.shared.media |= {slot: list(sources) for slot, sources in order.media.items()}
    return several


def from_batch(batch: Batch) -> Several:
    """The form of a batch that was confirmed, to begin another one from."""
    clips = list(batch.generations.order_by("position"))
    several = Several(forms.remix(clips[0]), stop_after=str(batch.stop_after or ""))
    several.shared.prompt = batch.template
    several.texts = {name: "\n".join(given) for name, given in batch.values.items()}
    sets = clips[: max(len(clips) // max(several.prompts, 1), 1)]
    several.sets = {number: forms.remix(clip) for number, clip in enumerate(sets, start=1)}
    for draft in several.sets.values():  # one set may take more media than another
        several.shared.media |= draft.media
    return several


def add(several: Several, mode: str) -> str:
    """One more set. Says in a sentence why not."""
    if mode not in forms.visible_models():
        return "This model is not there."
    if len(several.sets) >= MOST_SETS:
        return f"At most {MOST_SETS} models can be asked at once. Take one out first."
    several.sets[max(several.sets, default=0) + 1] = forms.Draft(mode, several.shared.generation_type)
    return ""


def copy(several: Several, number: int) -> str:
    """The same set once more, to be changed. Says in a sentence why not."""
    draft = several.sets.get(number)
    if draft is None or (wrong := add(several, draft.mode)):
        return wrong if draft else ""
    several.sets[max(several.sets)].values = dict(draft.values)
    return ""


def settle(several: Several) -> None:
    """Gives every set the shared type and media. Their settings stay as typed."""
    shared = several.shared
    if shared.generation_type not in catalogue.TYPES:
        shared.generation_type = "text-to-video"
    for draft in several.sets.values():
        draft.generation_type = shared.generation_type
    several.sets = {number: draft for number, draft in several.sets.items() if draft.mode in catalogue.MODELS}
    slots = {each.mode: len(catalogue.media_slots(each.mode, shared.generation_type)) for each in several.able.values()}
    shared.mode = max(slots, key=lambda mode: slots[mode], default=_anything(shared.generation_type))
    forms.place_media(shared)
    _share_media(several)


def refit(several: Several) -> None:
    """The same after a change of what decides: settings that a model does not allow any more take their default."""
    settle(several)
    for draft in several.able.values():
        forms.refit(draft)
    _share_media(several)


def _share_media(several: Several) -> None:
    for draft in several.able.values():
        names = [slot.name for slot in draft.slots]
        draft.media = {name: list(several.shared.media[name]) for name in names if several.shared.media.get(name)}
        draft.typed = {name: several.shared.typed[name] for name in names if several.shared.typed.get(name)}
        draft.project = several.shared.project


def _anything(generation_type: str) -> str:
    """A model that can start so: where no set can, its media still have a place."""
    return next(mode for mode, model in catalogue.MODELS.items() if generation_type in model.types)


# -- checking ---------------------------------------------------------------------------------------------------------


def check(several: Several, user: User, team: Team) -> tuple[list[Order], Plan]:
    """The orders, one for each prompt and set, ready to be priced and sealed.

    Raises Invalid with every sentence at its field. Errors of a set's settings are named `<number>-<field>`.
    """
    errors = _check_amounts(several)
    project, checked = None, []
    try:
        project = forms.check_project(several.shared, team)
    except catalogue.Invalid as invalid:
        errors |= invalid.errors
    _share_media(several)
    for number, draft in several.able.items():
        draft.prompt = several.shared.prompt
        try:
            params, _, media = forms.check(draft, user, team)
        except catalogue.Invalid as invalid:
            errors |= _at(number, draft, invalid.errors)
        else:
            checked.append((draft, params, media))
    if errors:
        raise catalogue.Invalid(errors)
    version = forms.started_from(several.shared, user, team)
    about = project.pk if project else None, version.pk if version else None
    orders = [
        Order(draft.mode, draft.generation_type, params, prompt, media, *about)
        for prompt in map(catalogue.clean_prompt, _filled(several))
        for draft, params, media in checked
    ]
    values = several.values
    kind = Batch.Kind.MATRIX if values else Batch.Kind.MODELS
    stop_after = int(several.stop_after) if several.stop_after.strip() else None
    return orders, Plan(kind, several.shared.prompt.strip(), values, len(checked), stop_after)


def _at(number: int, draft: forms.Draft, errors: Mapping[str, str]) -> dict[str, str]:
    everybodys = {"prompt", *(slot.name for slot in draft.slots)}
    return {name if name in everybodys else f"{number}-{name}": sentence for name, sentence in errors.items()}


def _check_amounts(several: Several) -> dict[str, str]:
    errors: dict[str, Any] = {}
    for name, given in several.values.items():
        if not given:
            errors[f"{VARIABLE}{name}"] = f"Write at least one value for {{{name}}}, each on a line of its own."
        elif max(map(len, given)) > LONGEST_VALUE:
            errors[f"{VARIABLE}{name}"] = f"A value can be at most {LONGEST_VALUE:,} characters."
    if not several.able:
        errors["sets"] = "Add a model that can start from this."
    elif several.clips > MOST_CLIPS:
        errors["sets"] = (
            f"These are {several.clips:,} clips: {_times(several)}. At most {MOST_CLIPS} can be confirmed together. "
            "Take out values or models."
        )
    elif not errors and (wrong := _wrong_prompt(several)):
        errors["prompt"] = wrong
    stop = several.stop_after.strip()
    if stop and not (stop.isascii() and stop.isdigit() and 1 <= int(stop[:6]) <= MOST_CLIPS):
        errors["stop_after"] = f"Type a whole number from 1 to {MOST_CLIPS}, or nothing."
    return errors


def _times(several: Several) -> str:
    """`3 values of animal × 4 values of style × 2 models`."""
    factors = [f"{len(given)} values of {name}" for name, given in several.values.items()]
    return " × ".join([*factors, f"{len(several.able)} models"])


def _wrong_prompt(several: Several) -> str:
    """What is wrong with one of the prompts that the values make."""
    try:
        catalogue.clean_prompt(several.shared.prompt)
    except catalogue.Invalid:
        return ""  # each set says so
    try:
        for prompt in _filled(several):
            catalogue.clean_prompt(prompt)
    except catalogue.Invalid as invalid:
        return f"With its values: {invalid}"
    return ""


def _filled(several: Several) -> list[str]:
    """Every prompt that the values make, the last variable changing fastest."""
    values = several.values
    return [
        variables.fill(several.shared.prompt, dict(zip(values, chosen, strict=True)))
        for chosen in product(*values.values())
    ]
