"""Input of the compose page: what was posted, and the form's controls, both read off the catalogue."""

import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict

from generations import access, budgets, catalogue, lifecycle
from generations.models import Generation, Media, Project, PromptVersion, SwitchedOff, Team, User

OURS = "media:"  # a source that is an upload of ours: media:<key>
STAND_IN = "https://ours.invalid/"  # what such a source looks like to the catalogue, which knows only addresses
ABOUT = frozenset(
    {
        "csrfmiddlewaretoken",
        "mode",
        "generation_type",
        "prompt",
        "shown",
        "kept",
        "remove",
        "sealed",
        "project",
        "version",
    }
)
MEDIA = frozenset({"image", "end_image", "images", "video"})
BLANK_ROWS = 2
MOST = 1_000_000_000  # credits of a budget or a rule
SEG_CHARACTERS = 28  # more than that in one row of choices is a list


def visible_models() -> dict[str, catalogue.Model]:
    """The models that no admin has switched off, in the vendor's order."""
    off = set(SwitchedOff.objects.values_list("mode", flat=True))
    return {mode: model for mode, model in catalogue.MODELS.items() if mode not in off}


# -- what was entered -------------------------------------------------------------------------------------------------


@dataclass
class Draft:
    """One filled form, as typed."""

    mode: str
    generation_type: str
    prompt: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    media: dict[str, list[str]] = field(default_factory=dict)  # slot -> media:<key> or addresses
    typed: dict[str, str] = field(default_factory=dict)  # slot -> an address not yet added
    kept: list[tuple[str, str]] = field(default_factory=list)  # (slot, source) that this type has no place for
    shown: str = ""  # for which model and type the controls were drawn
    project: str = ""  # its id, as chosen
    version: str = ""  # the id of the version of the saved prompt that it started from

    @property
    def place(self) -> str:
        return f"{self.mode}/{self.generation_type}"

    @property
    def slots(self) -> tuple[catalogue.MediaSlot, ...]:
        return catalogue.media_slots(self.mode, self.generation_type)

    def add_typed(self) -> None:
        """Addresses typed beside the slots become media; broken ones stay where they were typed."""
        for slot in self.slots:
            address = self.typed.get(slot.name, "").strip()
            if catalogue.is_web_address(address):
                self.media.setdefault(slot.name, []).append(address)
                del self.typed[slot.name]


def posted(post: QueryDict) -> Draft:
    """Reads a posted form. Nothing is checked yet."""
    rows = [param for model in catalogue.MODELS.values() for param in model.params if param.kind in ("scenes", "shots")]
    values: dict[str, Any] = {}
    for param in rows:
        texts, lengths = post.getlist(f"{param.name}.text"), post.getlist(f"{param.name}.duration")
        if texts or lengths:
            width = max(len(texts), len(lengths))
            texts, lengths = ([*given, *[""] * (width - len(given))] for given in (texts, lengths))
            pairs = zip(texts, lengths, strict=True)
            values[param.name] = [{param.text_key: text, "duration": length} for text, length in pairs]
    for name in post:
        if name not in ABOUT and name not in MEDIA and "." not in name:
            values[name] = post.getlist(name)[-1]  # a switch posts "false" and, when on, "true" after it
    kept = [tuple(entry.split("=", 1)) for entry in post.getlist("kept") if "=" in entry]
    return Draft(
        mode=post.get("mode", ""),
        generation_type=post.get("generation_type", ""),
        prompt=post.get("prompt", ""),
        values=values,
        media={slot: sources for slot in MEDIA if (sources := [s for s in post.getlist(slot) if s])},
        typed={slot: address for slot in MEDIA if (address := post.get(f"{slot}.url", ""))},
        kept=[(slot, source) for slot, source in kept if slot in MEDIA and source],
        shown=post.get("shown", ""),
        project=post.get("project", ""),
        version=post.get("version", ""),
    )


def remix(generation: Generation) -> Draft:
    """A draft that starts from an earlier generation."""
    media: dict[str, list[str]] = {}
    for item in generation.media.select_related("media"):
        media.setdefault(item.slot, []).append(f"{OURS}{item.media.key}" if item.media else item.url)
    draft = Draft(generation.mode, generation.generation_type, generation.prompt, dict(generation.params), media)
    draft.project = str(generation.project_id or "")
    draft.version = str(generation.from_version_id or "")
    return draft


def from_order(order: lifecycle.Order) -> Draft:
    """A draft that says what was ordered."""
    media = {slot: list(sources) for slot, sources in order.media.items()}
    draft = Draft(order.mode, order.generation_type, order.prompt, dict(order.params), media)
    draft.project, draft.version = str(order.project or ""), str(order.version or "")
    return draft


def start_from(draft: Draft, media: Media) -> None:
    """Makes an upload what a draft starts from: an image its start frame, a video its source."""
    slot, kind = ("image", "image-to-video") if media.kind == Media.Kind.IMAGE else ("video", "video-to-video")
    draft.generation_type, draft.media, draft.kept = kind, {slot: [f"{OURS}{media.key}"]}, []


def started_from(draft: Draft, user: User, team: Team) -> PromptVersion | None:
    """The version of a saved prompt that a draft started from, if this person sees it in this team."""
    known = draft.version.isascii() and draft.version.isdecimal() and len(draft.version) < 19
    rows = PromptVersion.objects.filter(prompt__in=access.prompts_for(user), prompt__team=team)
    return rows.filter(pk=int(draft.version)).first() if known else None


def settle(draft: Draft, models: Mapping[str, catalogue.Model]) -> str:
    """Makes model and type fit each other and what is switched on. Says in a sentence what had to change."""
    wanted = catalogue.MODELS.get(draft.mode)
    if draft.generation_type not in catalogue.TYPES:
        draft.generation_type = wanted.types[0] if wanted else "text-to-video"
    if draft.mode in models and draft.generation_type in models[draft.mode].types:
        return ""
    able = [model for model in models.values() if draft.generation_type in model.types]
    if not able:
        draft.generation_type, able = "text-to-video", list(models.values())
    draft.mode = able[0].mode
    if wanted is None:
        return ""
    if wanted.mode not in models:
        return f"{wanted.name} is switched off. {able[0].name} is chosen instead."
    return (
        f"{wanted.name} cannot start from {catalogue.TYPES[draft.generation_type].lower()}. {able[0].name} is chosen."
    )


def refit(draft: Draft) -> None:
    """After a change of model or type: keeps what is still allowed and gives media their new places."""
    fitted = catalogue.fit(draft.mode, draft.generation_type, draft.values)
    params = catalogue.params(draft.mode, draft.generation_type, draft.values)
    typed = {p.name for p in params if p.kind in ("text", "integer", "scenes", "shots")}
    draft.values = {**fitted, **{name: value for name, value in draft.values.items() if name in typed and value}}
    place_media(draft)


def fitted(draft: Draft) -> dict[str, Any]:
    """What is entered as far as it is allowed, the rest at its default."""
    return catalogue.fit(draft.mode, draft.generation_type, draft.values)


def place_media(draft: Draft) -> None:
    everything = [(slot, source) for slot, sources in draft.media.items() for source in sources] + draft.kept
    draft.media = {}
    for slot in draft.slots:
        same_kind = [entry for entry in everything if (entry[0] == "video") == (slot.kind == "video")]
        same_name = [entry for entry in same_kind if entry[0] == slot.name]
        fitting = same_name or (same_kind if slot.minimum else [])
        for entry in fitting[: slot.maximum]:
            draft.media.setdefault(slot.name, []).append(entry[1])
            everything.remove(entry)
    draft.kept = everything[:8]


# -- checking ---------------------------------------------------------------------------------------------------------


def uploads_of(user: User, sources: Iterable[str]) -> dict[str, Media]:
    """The uploads among the sources that this person may see, by source."""
    keys = set()
    for source in sources:
        if source.startswith(OURS):
            with suppress(ValueError):
                keys.add(uuid.UUID(source.removeprefix(OURS)))
    return {f"{OURS}{media.key}": media for media in access.media_for(user).filter(key__in=keys).distinct()}


def check(draft: Draft, user: User, team: Team) -> tuple[dict[str, Any], str, dict[str, list[str]]]:
    """Parameters, prompt and media of an order for this team, ready to be priced and sealed.

    Raises Invalid with every sentence at its field.
    """
    errors: dict[str, str] = {}
    params: dict[str, Any] = {}
    prompt, media = "", {}
    if draft.mode not in visible_models() and draft.mode in catalogue.MODELS:
        errors["mode"] = f"{catalogue.MODELS[draft.mode].name} is switched off. Choose another model."
    try:
        params = catalogue.clean(draft.mode, draft.generation_type, draft.values)
    except catalogue.Invalid as invalid:
        errors = {**invalid.errors, **errors}
    try:
        prompt = catalogue.clean_prompt(draft.prompt)
    except catalogue.Invalid as invalid:
        errors |= invalid.errors
    try:
        media = check_media(draft, user, team)
    except catalogue.Invalid as invalid:
        errors |= invalid.errors
    if errors:
        raise catalogue.Invalid(errors)
    return params, prompt, media


def check_media(draft: Draft, user: User, team: Team) -> dict[str, list[str]]:
    """The media of a draft, counted and checked. Raises Invalid.

    Uploads must be the team's own: who only watches another team must not carry its files out of it.
    """
    seen = uploads_of(user, (source for sources in draft.media.values() for source in sources))
    ours = {source: media for source, media in seen.items() if media.team_id == team.pk}
    stand_ins = {STAND_IN + source.removeprefix(OURS): source for source in ours}
    given = {
        slot: [STAND_IN + source.removeprefix(OURS) if source in ours else source for source in sources]
        for slot, sources in draft.media.items()
    }
    for slot, address in draft.typed.items():  # what could not be read as an address is refused where it was typed
        given.setdefault(slot, []).append(address)
    kinds = {slot.name: slot.kind for slot in draft.slots}
    errors = {}
    for name, sources in draft.media.items():
        if any(source.startswith(OURS) and source not in ours for source in sources):
            errors[name] = "This upload is not there any more, or it belongs to another team. Add the file again."
        elif name in kinds and any(source in ours and ours[source].kind != kinds[name] for source in sources):
            errors[name] = f"This place takes {'an image' if kinds[name] == 'image' else 'a video'}."
    try:
        cleaned = catalogue.clean_media(draft.mode, draft.generation_type, given)
    except catalogue.Invalid as invalid:
        raise catalogue.Invalid({**invalid.errors, **errors}) from None
    if errors:
        raise catalogue.Invalid(errors)
    return {slot: [stand_ins.get(source, source) for source in sources] for slot, sources in cleaned.items()}


def open_projects(team: Team) -> QuerySet[Project]:
    """What a new clip can be charged to, by name."""
    return team.projects.filter(archived_at=None).order_by("name")


def project_of(draft: Draft, team: Team) -> Project | None:
    """The chosen project, if the team has it and it is not archived."""
    known = draft.project.isdecimal() and len(draft.project) < 19
    return open_projects(team).filter(pk=int(draft.project)).first() if known else None


def check_project(draft: Draft, team: Team) -> Project | None:
    """Raises Invalid for a project that is not the team's, or not any more."""
    project = project_of(draft, team)
    if draft.project and project is None:
        raise catalogue.Invalid({"project": "This project is not there any more. Choose another one."})
    return project


def amount(text: str) -> int:
    """Credits as people type them: `1500` or `1,500`. Raises CannotSet for anything else."""
    plain = text.strip()
    if not re.fullmatch(r"\d{1,10}|\d{1,3}(,\d{3}){1,3}", plain, re.ASCII) or int(plain.replace(",", "")) > MOST:
        raise budgets.CannotSet(f"Type a whole number of credits, from 0 to {MOST:,}. Nothing was changed.")
    return int(plain.replace(",", ""))


def billing(draft: Draft) -> tuple[dict[str, Any], str]:
    """What a price is asked for, and the same in words. Raises Invalid when something that decides it is wrong."""
    try:
        params = catalogue.clean(draft.mode, draft.generation_type, draft.values)
    except catalogue.Invalid as invalid:
        model = catalogue.MODELS.get(draft.mode)
        decide = {param.name for param in model.params if param.billing} if model else set()
        wrong = {name: text for name, text in invalid.errors.items() if name in (*decide, "mode", "generation_type")}
        if wrong:
            raise catalogue.Invalid(wrong) from None
        rest = {name: value for name, value in draft.values.items() if name not in invalid.errors}
        params = catalogue.clean(draft.mode, draft.generation_type, rest)
    words = catalogue.in_words(draft.mode, draft.generation_type, params)
    return catalogue.billing(draft.mode, draft.generation_type, params), words


# -- the controls -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """One control of the settings panel, ready to be drawn."""

    name: str
    label: str
    widget: str  # seg, slide, select, switch, number, text, area, rows, fixed
    value: str = ""
    words: str = ""  # of a slider's value, and of what is fixed
    choices: tuple[tuple[str, str, bool], ...] = ()  # value, label, chosen
    rows: tuple[tuple[str, str], ...] = ()
    row_name: str = ""
    opened: bool = False  # of rows: something is in them, or they are what this version is for
    low: str = ""
    high: str = ""
    step: str = ""
    unit: str = ""
    ticks: tuple[str, ...] = ()
    hint: str = ""
    error: str = ""
    limit: int = 0
    icon: str = ""
    decides: bool = False  # other controls depend on it
    priced: bool = False
    advanced: bool = False


def controls(draft: Draft, errors: Mapping[str, str]) -> list[Control]:
    """The settings that apply to this model and type, in the form's order; what is fixed is said in words."""
    model = catalogue.MODELS[draft.mode]
    fitted = catalogue.fit(draft.mode, draft.generation_type, draft.values)
    params = catalogue.params(draft.mode, draft.generation_type, draft.values)
    decides = {name for each in model.params for name in _depends_on(each)}
    made = [
        _control(param, draft.values.get(param.name), fitted.get(param.name), model, param.name in decides, errors)
        for param in params
    ]
    if model.fixed_length:
        words = f"{model.fixed_length} seconds, fixed for {model.name}"
        made.insert(0, Control("fixed-length", "Length", "fixed", words=words, icon="clock"))
    follows = next((p for p in model.params if p.types and draft.generation_type not in p.types), None)
    if follows:
        at = next((i for i, control in enumerate(made) if control.name == "video_quality"), 0) + 1
        made.insert(at, Control("fixed-shape", follows.label, "fixed", words="Follows the start frame", icon="image"))
    return made


def _depends_on(param: catalogue.Param) -> set[str]:
    names = {name for limit in param.limits for name, _ in limit.when}
    return names | ({param.when[0]} if param.when else set())


def _control(
    param: catalogue.Param, raw: Any, fitted: Any, model: catalogue.Model, decides: bool, errors: Mapping[str, str]
) -> Control:
    common: dict[str, Any] = {
        "name": param.name,
        "label": param.label,
        "hint": param.hint,
        "error": errors.get(param.name, ""),
        "decides": decides,
        "priced": param.billing,
        "advanced": param.advanced,
        "limit": param.max_length,
    }
    if param.kind == "choice":
        return _choice(param, "" if fitted is None else str(fitted), model, common)
    if param.kind == "switch":
        return Control(**common, widget="switch", value="true" if fitted else "")
    if param.kind == "number":
        value = f"{fitted:g}"
        low, high, step = f"{param.minimum:g}", f"{param.maximum:g}", f"{param.step or 1:g}"
        return Control(**common, widget="slide", value=value, words=value, low=low, high=high, step=step)
    if param.kind in ("scenes", "shots"):
        given = [row for row in raw if any(row.values())] if isinstance(raw, list) else []
        rows = [(str(row.get(param.text_key, "")), str(row.get("duration", ""))) for row in given]
        rows += [("", "")] * (max(BLANK_ROWS - len(rows), 0))
        one = "scene" if param.kind == "scenes" else "shot"
        opened = one == "scene" or bool(given) or bool(common["error"])
        high = f"{param.maximum:g}"
        return Control(**common, widget="rows", rows=tuple(rows), row_name=one, high=high, opened=opened)
    value = "" if raw is None else str(raw)
    if param.kind == "integer":
        return Control(**common, widget="number", value=value)
    return Control(**common, widget="area" if param.max_length > 200 else "text", value=value)


SHAPE_ICONS = {"16:9": "a-16x9", "9:16": "a-9x16", "1:1": "a-1x1"}


def _choice(param: catalogue.Param, value: str, model: catalogue.Model, common: dict[str, Any]) -> Control:
    long = dict(param.choices)
    if param.scope and len(param.choices) > 1:
        common["hint"] = f"All that {param.scope} allows."
    if len(param.choices) == 1:
        words = f"{long[value]}, fixed for {param.scope or model.name}"
        return Control(**common, widget="fixed", value=value, words=words)
    short = {key: label.replace(" seconds", " s") for key, label in param.choices}
    choices = tuple((key, label, key == value) for key, label in short.items())
    if param.name == "duration" and len(choices) > 4:
        seconds = [int(key) for key in short]
        step = seconds[1] - seconds[0]
        if seconds == list(range(seconds[0], seconds[-1] + 1, step)):
            ticks = tuple(str(second) for second in _ticks(seconds))
            low, high = str(seconds[0]), str(seconds[-1])
            return Control(
                **common, widget="slide", value=value, words=long[value], low=low, high=high, step=str(step),
                unit="seconds", ticks=ticks,
            )  # fmt: skip
    fits = len(choices) <= 4 and sum(len(label) for label in short.values()) <= SEG_CHARACTERS
    if fits:
        return Control(**common, widget="seg", value=value, choices=choices)
    choices = tuple((key, label, key == value) for key, label in param.choices)
    return Control(**common, widget="select", value=value, choices=choices, icon=SHAPE_ICONS.get(value, ""))


def _ticks(seconds: list[int]) -> list[int]:
    """About five marks, evenly apart, both ends among them."""
    gaps = len(seconds) - 1
    apart = next((apart for apart in (1, 2, 3, 4, 5) if gaps % apart == 0 and gaps // apart <= 5), gaps)
    return seconds[::apart]
