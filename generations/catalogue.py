"""The models of the Veevid API and their parameters: frozen data, and pure functions that read it.

Forms, validation, quotes and generation bodies all come from the one table at `MODELS`. When the vendor changes a row,
the row here is the only thing to change.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

TYPES = {
    "text-to-video": "Text",
    "image-to-video": "Image",
    "reference-to-video": "References",
    "video-to-video": "Video",
}
PROMPT_LIMIT = 5000
URL_LIMIT = 2048
SOURCE_VIDEO_FIELD = "video"  # of video-to-video; the vendor does not name it: our assumption


@dataclass(frozen=True)
class Limit:
    """Narrows a choice to `only` while every (field, values) pair of `when` is chosen. `words` completes "... for"."""

    only: tuple[str, ...]
    when: tuple[tuple[str, tuple[str, ...]], ...]
    words: str


@dataclass(frozen=True)
class Param:
    name: str  # the vendor's field name
    kind: str  # choice, integer, number, switch, text, scenes, shots
    label: str
    choices: tuple[tuple[str, str], ...] = ()
    default: Any = None  # None: optional, and not sent when empty
    minimum: float = 0
    maximum: float = 0  # of a number; of scenes and shots: how many
    step: float | None = None
    max_length: int = 0  # of a text; of scenes and shots: of each description
    hint: str = ""
    billing: bool = False  # goes into the quote
    advanced: bool = False  # stands under "More"
    as_integer: bool = False  # a choice that the vendor takes as a JSON integer
    types: tuple[str, ...] = ()  # applies to these generation types only; empty: all. Elsewhere the vendor ignores it
    when: tuple[str, tuple[str, ...]] | None = None  # applies only while (field) is one of (values)
    limits: tuple[Limit, ...] = ()
    scope: str = ""  # what the limit in force is about; filled in when a limit narrows the choices

    @property
    def text_key(self) -> str:
        """The name of the text inside one row of scenes or shots."""
        return "description" if self.kind == "scenes" else "prompt"


@dataclass(frozen=True)
class MediaSlot:
    name: str  # "image", "end_image", "images" or "video"
    label: str
    kind: str  # "image" or "video"
    minimum: int
    maximum: int


@dataclass(frozen=True)
class Model:
    mode: str
    name: str
    strength: str
    types: tuple[str, ...]
    price_min: int
    price_max: int
    lengths: str  # for people: "3–15 s"
    params: tuple[Param, ...] = field(repr=False)  # in the order of the form
    fixed_length: int | None = None  # seconds, where the vendor takes no duration

    def settling_order(self) -> list[Param]:
        """The version first, because it decides what else is possible; otherwise the form's order."""
        return sorted(self.params, key=lambda param: param.name != "model_version")


class Invalid(ValueError):
    """What was entered cannot be sent. `errors` maps a field to one sentence for people."""

    def __init__(self, errors: Mapping[str, str]):
        self.errors = dict(errors)
        super().__init__(" ".join(self.errors.values()))


def _same(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value) for value in values)


def _length(seconds: Sequence[int], default: int, limits: tuple[Limit, ...] = ()) -> Param:
    choices = tuple((str(second), f"{second} seconds") for second in seconds)
    return Param("duration", "choice", "Length", choices, str(default), billing=True, limits=limits)


def _quality(choices: tuple[tuple[str, str], ...], default: str, limits: tuple[Limit, ...] = ()) -> Param:
    return Param("video_quality", "choice", "Quality", choices, default, billing=True, limits=limits)


_SHAPE_WORDS = {"auto": "Automatic", "landscape": "Landscape", "portrait": "Portrait"}


def _shape(*values: str, default: str = "16:9", types: tuple[str, ...] = (), hint: str = "") -> Param:
    choices = tuple((value, _SHAPE_WORDS.get(value, value)) for value in values)
    return Param("aspect_ratio", "choice", "Shape", choices, default, billing=True, types=types, hint=hint)


def _version(*choices: tuple[str, str]) -> Param:
    return Param("model_version", "choice", "Version", choices, choices[0][0], billing=True)


def _sound(default: bool) -> Param:
    return Param("generate_audio", "switch", "Generate sound", default=default, billing=True)


def _seed(minimum: int, hint: str) -> Param:
    return Param("seed", "integer", "Seed", minimum=minimum, maximum=2**31 - 1, step=1, hint=hint, advanced=True)


def _avoid(max_length: int) -> Param:
    hint = "What the clip should not show."
    return Param("negative_prompt", "text", "Words to avoid", max_length=max_length, hint=hint, advanced=True)


_TEXT_OR_IMAGE = ("text-to-video", "image-to-video")
_REMOVE_WATERMARK = Param("remove_watermark", "switch", "Remove watermark", default=False, billing=True)
_SEEDANCE = (
    _length(range(4, 13), 5),
    _quality(_same("480p", "720p", "1080p"), "720p"),
    _shape("auto", "16:9", "9:16", "1:1", "4:3", "3:4", "21:9", default="auto"),
    _sound(False),
    Param("camera_fixed", "switch", "Keep the camera still", default=False, advanced=True),
    _seed(0, "The same seed gives a similar clip. Empty: random."),
)
_LTX_FAST_LONG = (("model_version", ("ltx-2.3-fast",)), ("duration", ("12", "14", "16", "18", "20")))

_VEO = Model(
    "veo3", "Veo 3.1", "Budget-friendly and fast", (*_TEXT_OR_IMAGE, "reference-to-video"), 20, 140, "8 s",
    (
        _quality((("standard", "Standard"), ("pro", "Pro")), "standard"),
        _shape("16:9", "9:16"),
        _REMOVE_WATERMARK,
        Param("watermark", "text", "Watermark text", max_length=200, advanced=True),
    ),
    fixed_length=8,
)  # fmt: skip
_GROK = Model(
    "grok-imagine", "Grok Imagine", "Fastest", _TEXT_OR_IMAGE, 10, 60, "6–15 s",
    (
        _length((6, 10, 15), 6),
        _quality(_same("480p", "720p"), "720p"),
        _shape("16:9", "9:16", "1:1", "2:3", "3:2", default="1:1"),
        Param(
            "grokMode", "choice", "Mood", (("fun", "Fun"), ("normal", "Normal"), ("spicy", "Spicy")), "normal",
            billing=True,
        ),
    ),
)  # fmt: skip
_VEEVID = Model(
    "veevid-1.0-pro", "Veevid 1.0 Pro", "Sound in sync with picture", _TEXT_OR_IMAGE, 12, 288, "4–12 s", _SEEDANCE
)
_SEEDANCE_PRO = Model(
    "seedance-1.5-pro", "Seedance 1.5 Pro", "Wide aspect ratios", _TEXT_OR_IMAGE, 12, 288, "4–12 s", _SEEDANCE
)
_KLING_3 = Model(
    "kling-3", "Kling 3.0", "Multi-shot, renders text", _TEXT_OR_IMAGE, 48, 495, "3–15 s",
    (
        _length(range(3, 16), 5),
        _version(("kling-3-standard", "Standard"), ("kling-3-pro", "Pro")),
        _quality(_same("720p", "1080p"), "1080p"),
        # From an image the vendor ignores the ratio: the clip follows the start frame.
        _shape("16:9", "9:16", "1:1", types=("text-to-video",)),
        Param(
            "shot_type", "choice", "Shots",
            (("single", "Single"), ("multi", "Multi"), ("customize", "Customize"), ("intelligent", "Intelligent")),
            "customize",
        ),
        Param(
            "multi_prompt", "shots", "Shot list", maximum=6, max_length=500,
            hint="Optional. The shots together are as long as the clip.", when=("shot_type", ("multi", "customize")),
        ),
        _sound(True),
        _avoid(2500),
        Param(
            "cfg_scale", "number", "Prompt strength", default=0.5, minimum=0, maximum=1, step=0.1, advanced=True,
            hint="0 is free, 1 keeps closest to the prompt.",
        ),
    ),
)  # fmt: skip
_LTX = Model(
    "ltx-2-3", "LTX 2.3", "Up to 4K, native portrait", _TEXT_OR_IMAGE, 48, 960, "6–20 s",
    (
        _length(
            range(6, 21, 2), 6, (Limit(("6", "8", "10"), (("model_version", ("ltx-2.3",)),), "LTX 2.3 Pro"),)
        ),
        _version(("ltx-2.3", "Pro"), ("ltx-2.3-fast", "Fast")),
        _quality(
            _same("1080p", "1440p", "2160p"), "1080p",
            (Limit(("1080p",), _LTX_FAST_LONG, "LTX 2.3 Fast above 10 seconds"),),
        ),
        _shape("16:9", "9:16", "auto", default="auto"),
        Param(
            "target_fps", "choice", "Frame rate", tuple((str(fps), f"{fps} fps") for fps in (24, 25, 48, 50)), 24,
            billing=True, as_integer=True,
        ),
        _sound(True),
    ),
)  # fmt: skip
_KLING_2 = Model(
    "kling-2-6", "Kling 2.6", "Cinematic", _TEXT_OR_IMAGE, 70, 280, "5, 10 s",
    (_length((5, 10), 5), _quality(_same("720p", "1080p"), "720p"), _shape("16:9", "9:16", "1:1")),
)  # fmt: skip
_SORA_STABLE = Model(
    "sora2-stable", "Sora 2 Stable", "Follows the prompt best", _TEXT_OR_IMAGE, 80, 2000, "4–20 s",
    (
        _length((4, 8, 12, 16, 20), 4),
        _version(("sora-2", "Standard"), ("sora-2-pro", "Pro")),
        _quality(
            (("standard", "720p"), ("hd", "1080p")), "standard",
            (Limit(("standard",), (("model_version", ("sora-2",)),), "Sora 2 Stable Standard; 1080p needs Pro"),),
        ),
        _shape("16:9", "9:16"),
    ),
)  # fmt: skip
_SORA = Model(
    "sora2", "Sora 2", "Longest clips, storyboard", _TEXT_OR_IMAGE, 20, 315, "10–25 s",
    (
        _length((10, 15, 25), 10),
        _version(("sora-2", "Standard"), ("sora-2-pro", "Pro"), ("sora-2-pro-storyboard", "Pro Storyboard")),
        _quality((("standard", "Standard"), ("hd", "HD")), "standard"),
        _shape("16:9", "9:16"),
        Param(
            "scenes", "scenes", "Scenes", maximum=10, max_length=1000,
            hint="Optional. The scenes together are as long as the clip.",
            when=("model_version", ("sora-2-pro-storyboard",)),
        ),
        _REMOVE_WATERMARK,
    ),
)  # fmt: skip
_WAN = Model(
    "wan-2-6", "Wan 2.6", "Video to video, multi-shot", (*_TEXT_OR_IMAGE, "video-to-video"), 100, 450, "5–15 s",
    (
        _length((5, 10, 15), 5),
        _quality(_same("720p", "1080p"), "720p"),
        _shape("16:9", "9:16", "1:1", "4:3", "3:4", "landscape", "portrait"),
        Param("shot_type", "choice", "Shots", (("single", "Single"), ("multi", "Multi")), "single"),
        Param("enable_prompt_expansion", "switch", "Expand the prompt", default=True, advanced=True),
        _avoid(500),
        _seed(-1, "The same seed gives a similar clip. Empty or −1: random."),
    ),
)  # fmt: skip

MODELS: dict[str, Model] = {
    model.mode: model
    for model in (
        _VEO, _GROK, _VEEVID, _SEEDANCE_PRO, _KLING_3, _LTX, _KLING_2, _SORA_STABLE, _SORA, _WAN,
    )
}  # fmt: skip


# What applies, and what was entered


def params(mode: str, generation_type: str, chosen: Mapping[str, Any]) -> tuple[Param, ...]:
    """The parameters that apply now, narrowed by what is chosen. Nonsense in `chosen` counts as the default."""
    model = _model(mode, generation_type)
    return _settle(model, generation_type, chosen).params if model else ()


def clean(mode: str, generation_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Typed values of everything that applies, defaults included. Raises `Invalid`; nothing is clamped.

    Form strings are understood. An absent field takes its default; an absent switch too, so a form posts a hidden
    "false" beside each checkbox. Fields that belong to the model but are ignored for this type are left out.
    """
    model = _model(mode, generation_type)
    if model is None:
        raise Invalid(_wrong_model(mode))
    values = values if isinstance(values, Mapping) else {}
    settled = _settle(model, generation_type, values)
    errors = {**settled.errors, **_misplaced(model, values, settled)}
    if "duration" in errors:  # rows cannot add up to a length that is itself wrong: one sentence is enough
        errors = {name: sentence for name, sentence in errors.items() if name not in ("scenes", "multi_prompt")}
    if errors:
        raise Invalid(errors)
    return settled.values


def fit(mode: str, generation_type: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What of `values` another model still allows, the rest at its default: for switching the model in a form."""
    model = _model(mode, generation_type)
    return _settle(model, generation_type, values).values if model else {}


@dataclass
class _Settled:
    params: tuple[Param, ...]
    values: dict[str, Any]
    errors: dict[str, str]


def _model(mode: Any, generation_type: Any) -> Model | None:
    model = MODELS.get(mode) if isinstance(mode, str) else None
    return model if model and generation_type in model.types else None


def _wrong_model(mode: Any) -> dict[str, str]:
    model = MODELS.get(mode) if isinstance(mode, str) else None
    if model is None:
        return {"mode": "Choose one of the models: " + _either([each.name for each in MODELS.values()]) + "."}
    return {"generation_type": f"{model.name} can start from {_either([TYPES[t].lower() for t in model.types])}."}


def _settle(model: Model, generation_type: str, given: Mapping[str, Any]) -> _Settled:
    """Reads every parameter once, in the order in which one choice can narrow the next."""
    given = given if isinstance(given, Mapping) else {}
    applying: dict[str, Param] = {}
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for param in model.settling_order():
        if param.types and generation_type not in param.types:
            continue
        if param.when and values.get(param.when[0]) not in param.when[1]:
            continue
        applying[param.name] = param = _narrow(param, values)
        try:
            value = _read(param, given.get(param.name), model, values)
        except _Wrong as wrong:
            errors[param.name] = str(wrong)
            value = param.default
        if value is not None:
            values[param.name] = value
    in_form_order = tuple(applying[param.name] for param in model.params if param.name in applying)
    return _Settled(in_form_order, {p.name: values[p.name] for p in in_form_order if p.name in values}, errors)


def _narrow(param: Param, values: Mapping[str, Any]) -> Param:
    for limit in param.limits:
        if all(values.get(name) in allowed for name, allowed in limit.when):
            choices = tuple(choice for choice in param.choices if choice[0] in limit.only)
            default = param.default if param.default in limit.only else choices[0][0]
            return replace(param, choices=choices, default=default, scope=limit.words)
    return param


def _misplaced(model: Model, values: Mapping[Any, Any], settled: _Settled) -> dict[str, str]:
    """Fields that were given a value and do not belong here."""
    known = {param.name: param for param in model.params}
    here = {param.name for param in settled.params}
    errors: dict[str, str] = {}
    for name, value in values.items():
        if name in here or value is None or value in ("", "[]", []) or len(errors) == 10:
            continue
        if name not in known:
            shown = name[:40] if isinstance(name, str) else "unknown"
            errors[shown] = f"{model.name} has no such setting."
        elif condition := known[name].when:  # otherwise the vendor ignores it for this type, and so do we
            errors[name] = f"{known[name].label} can only be used when {_condition(known, condition)}."
    return errors


def _condition(known: Mapping[str, Param], when: tuple[str, tuple[str, ...]]) -> str:
    other = known[when[0]]
    return f"{other.label} is " + _either([label for value, label in other.choices if value in when[1]])


# Reading one value


class _Wrong(ValueError):
    """A sentence about one value."""


_ON = ("on", "true", "1", "yes")
_OFF = ("off", "false", "0", "no", "")
_INTEGER = re.compile(r"-?[0-9]{1,12}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)


def _read(param: Param, raw: Any, model: Model, values: Mapping[str, Any]) -> Any:
    """The typed value, the default for nothing, or `_Wrong`."""
    if raw is None:
        return param.default
    if param.kind == "switch":
        return _read_switch(param, raw)
    if isinstance(raw, str) and not raw.strip():
        return param.default
    if param.kind == "choice":
        return _read_choice(param, raw, model)
    if param.kind in ("integer", "number"):
        return _read_number(param, raw)
    if param.kind == "text":
        return _read_text(param, raw)
    return _read_rows(param, raw, length(model.mode, values))


def _read_switch(param: Param, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) and len(raw) < 20 else None
    if word in _ON or word in _OFF:
        return word in _ON
    raise _Wrong(f"{param.label} can only be on or off.")


def _read_choice(param: Param, raw: Any, model: Model) -> str | int:
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 1000:
        raw = str(raw)
    if isinstance(raw, str) and raw.strip() in [value for value, _ in param.choices]:
        return int(raw) if param.as_integer else raw.strip()
    allowed = _allowed(param)
    can = "can only be" if len(param.choices) == 1 else "can be"
    raise _Wrong(f"{param.label} {can} {allowed} for {param.scope or model.name}.")


def _read_number(param: Param, raw: Any) -> int | float:
    whole = param.kind == "integer"
    if isinstance(raw, str) and (_INTEGER if whole else _NUMBER).fullmatch(raw.strip()):
        raw = int(raw) if whole else float(raw)
    right_type = isinstance(raw, int if whole else (int, float))
    if not right_type or isinstance(raw, bool) or not param.minimum <= raw <= param.maximum:  # nor NaN
        what = "a whole number" if whole else "a number"
        raise _Wrong(f"{param.label} can be {what} from {param.minimum:,} to {param.maximum:,}.")
    return raw if whole else float(raw)


def _read_text(param: Param, raw: Any) -> str | None:
    if not isinstance(raw, str):
        raise _Wrong(f"{param.label} must be text.")
    text = _plain(raw)
    if len(text) > param.max_length:
        raise _Wrong(f"{param.label} can be at most {param.max_length:,} characters; this is {len(text):,}.")
    return text or None


def _read_rows(param: Param, raw: Any, seconds: int) -> list[dict[str, Any]] | None:
    """Scenes or shots: a list of rows, or the same as JSON text from a form. Rows left blank do not count."""
    rows = _from_json(raw) if isinstance(raw, str) else raw
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, Mapping) for row in rows):
        raise _Wrong(f"{param.label} must be a list, each with a {param.text_key} and a duration.")
    rows = [row for row in rows if any(value not in (None, "") for value in row.values())]
    if len(rows) > param.maximum:
        raise _Wrong(f"{param.label} can have at most {param.maximum:.0f} entries; these are {len(rows):,}.")
    read = [_read_row(param, row, number, seconds) for number, row in enumerate(rows, 1)]
    total = sum(int(row["duration"]) for row in read)
    if read and total != seconds:
        raise _Wrong(f"{param.label}: the durations must add up to {seconds} seconds; they add up to {total}.")
    return read or None


def _read_row(param: Param, row: Mapping[Any, Any], number: int, seconds: int) -> dict[str, Any]:
    text, duration = row.get(param.text_key), row.get("duration")
    if any(key not in (param.text_key, "duration") for key in row):
        raise _Wrong(f"{param.label}, {number}: only a {param.text_key} and a duration are allowed.")
    text = _plain(text) if isinstance(text, str) else ""
    if not text or len(text) > param.max_length:
        raise _Wrong(f"{param.label}, {number}: write a {param.text_key} of 1 to {param.max_length:,} characters.")
    if isinstance(duration, str) and re.fullmatch(r"[0-9]{1,3}", duration.strip(), re.ASCII):
        duration = int(duration)
    if not isinstance(duration, int) or isinstance(duration, bool) or not 1 <= duration <= seconds:
        raise _Wrong(f"{param.label}, {number}: the duration can be 1 to {seconds} whole seconds.")
    return {param.text_key: text, "duration": str(duration)}


def _from_json(raw: str) -> Any:
    try:
        return json.loads(raw) if len(raw) <= 100_000 else None
    except (ValueError, RecursionError):
        return None


def _plain(text: str) -> str:
    """Without what is invisible and cannot be stored or sent: control characters and lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")).strip()


def _allowed(param: Param) -> str:
    labels = [label for _, label in param.choices]
    if param.name != "duration":
        return _either(labels)
    numbers = [int(value) for value, _ in param.choices]
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]} seconds"
    return _either([str(number) for number in numbers]) + " seconds"


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


# Prompt and media


def clean_prompt(text: Any) -> str:
    """The prompt without blanks around it; raises `Invalid` when it is empty or too long."""
    prompt = _plain(text) if isinstance(text, str) else ""
    if not prompt:
        raise Invalid({"prompt": "Write a prompt: what happens in the shot?"})
    if len(prompt) > PROMPT_LIMIT:
        raise Invalid({"prompt": f"The prompt can be at most {PROMPT_LIMIT:,} characters; this is {len(prompt):,}."})
    return prompt


def media_slots(mode: str, generation_type: str) -> tuple[MediaSlot, ...]:
    """The pictures or the video that this start needs."""
    if _model(mode, generation_type) is None or generation_type == "text-to-video":
        return ()
    if generation_type == "reference-to-video":
        return (MediaSlot("images", "Reference image", "image", 1, 3),)
    if generation_type == "video-to-video":
        return (MediaSlot("video", "Source video", "video", 1, 1),)
    start = MediaSlot("image", "Start frame", "image", 1, 1)
    return (start, MediaSlot("end_image", "End frame", "image", 0, 1)) if mode == "kling-3" else (start,)


def clean_media(mode: str, generation_type: str, media: Mapping[str, Any]) -> dict[str, list[str]]:
    """Slot name -> URLs, counted and checked. Slots without a URL are left out; raises `Invalid`."""
    model = _model(mode, generation_type)
    if model is None:
        raise Invalid(_wrong_model(mode))
    slots = {slot.name: slot for slot in media_slots(mode, generation_type)}
    media = media if isinstance(media, Mapping) else {}
    cleaned: dict[str, list[str]] = {}
    errors: dict[str, str] = {}
    for name, value in media.items():
        if name not in slots and value not in (None, "", [], ()):
            shown = name[:40] if isinstance(name, str) else "unknown"
            errors[shown] = f"{model.name} takes no such file when it starts from {TYPES[generation_type].lower()}."
    for slot in slots.values():
        urls = _urls(media.get(slot.name))
        if urls is None:
            errors[slot.name] = f"{slot.label}: give an http or https address of at most {URL_LIMIT:,} characters."
        elif not slot.minimum <= len(urls) <= slot.maximum:
            errors[slot.name] = _count_sentence(slot, len(urls))
        elif urls:
            cleaned[slot.name] = urls
    if errors:
        raise Invalid(errors)
    return cleaned


def _count_sentence(slot: MediaSlot, count: int) -> str:
    thing = "an image" if slot.kind == "image" else "a video"
    if count == 0:
        return f"{slot.label}: add {thing}."
    return f"{slot.label}: at most {slot.maximum} can be used; these are {count:,}."


def _urls(value: Any) -> list[str] | None:
    if value is None:
        return []
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(url, str) for url in given):
        return None
    urls = [url.strip() for url in given if url.strip()]
    return urls if all(is_web_address(url) for url in urls) else None


def is_web_address(url: str) -> bool:
    """An http or https URL with a host, without a password, blanks or control characters."""
    if len(url) > URL_LIMIT or "\\" in url:
        return False
    if any(c.isspace() or unicodedata.category(c) in ("Cc", "Cs", "Cf") for c in url):
        return False
    try:
        parts = urlsplit(url)
        plain_host = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        return plain_host and parts.scheme in ("http", "https")
    except ValueError:  # a broken port or IPv6 address
        return False


# What is sent


def billing(mode: str, generation_type: str, cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """The body of POST /quote: what affects the price, no prompt and no media."""
    priced = [param.name for param in MODELS[mode].params if param.billing]
    fields = {name: cleaned[name] for name in priced if name in cleaned}
    return {"mode": mode, "generation_type": generation_type, **fields}


def body(
    mode: str, generation_type: str, cleaned: Mapping[str, Any], prompt: str, media: Mapping[str, list[str]]
) -> dict[str, Any]:
    """The body of POST /generate-video. Everything with a default is said explicitly."""
    sent: dict[str, Any] = {"mode": mode, "generation_type": generation_type, "prompt": prompt, **cleaned}
    if media.get("end_image"):
        sent["images"] = [media["image"][0], media["end_image"][0]]
    elif media.get("image"):
        sent["image"] = media["image"][0]
    if media.get("images"):
        sent["images"] = list(media["images"])
    if media.get("video"):
        sent[SOURCE_VIDEO_FIELD] = media["video"][0]
    return sent


# In words. A model or a value that has left the catalogue since is shown as it was stored.


def length(mode: str, cleaned: Mapping[str, Any]) -> int:
    """How many seconds the clip will have; 0 when that is not known."""
    model = MODELS.get(mode)
    if model and model.fixed_length:
        return model.fixed_length
    seconds = cleaned.get("duration")
    return int(seconds) if isinstance(seconds, str) and _INTEGER.fullmatch(seconds) else 0


def in_words(mode: str, generation_type: str, cleaned: Mapping[str, Any]) -> str:
    """One line such as: Kling 3.0 Standard, 10 seconds, 1080p, 16:9, with sound."""
    model = MODELS.get(mode)
    name = model.name if model else mode
    version = _label(model, "model_version", cleaned)
    words = [f"{name} {version}".strip()]
    if seconds := length(mode, cleaned):
        words.append(f"{seconds} seconds")
    if quality := _label(model, "video_quality", cleaned):
        words.append(quality if quality[0].isdigit() else f"{quality[0].lower()}{quality[1:]} quality")
    if shape := _label(model, "aspect_ratio", cleaned):
        words.append("automatic shape" if shape == "Automatic" else shape.lower())
    if cleaned.get("target_fps", 24) != 24:
        words.append(_label(model, "target_fps", cleaned))
    if cleaned.get("grokMode", "normal") != "normal":
        words.append(f"{_label(model, 'grokMode', cleaned).lower()} mood")
    if "generate_audio" in cleaned:
        words.append("with sound" if cleaned["generate_audio"] else "without sound")
    if cleaned.get("remove_watermark"):
        words.append("without watermark")
    return ", ".join(words)


def facts(mode: str, generation_type: str, cleaned: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Every parameter as (label, value in words), in the order of the form."""
    model = MODELS.get(mode)
    fixed = (("Length", f"{model.fixed_length} seconds"),) if model and model.fixed_length else ()
    labels = {param.name: param.label for param in model.params} if model else {}
    return fixed + tuple((labels.get(name, name), _label(model, name, cleaned)) for name in cleaned)


def _label(model: Model | None, name: str, cleaned: Mapping[str, Any]) -> str:
    value = cleaned.get(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "On" if value else "Off"
    if isinstance(value, list):
        return "; ".join(" ".join([*[str(v) for k, v in row.items() if k != "duration"], f"({row.get('duration')} s)"])
                         for row in value if isinstance(row, Mapping))  # fmt: skip
    param = next((each for each in model.params if each.name == name), None) if model else None
    return dict(param.choices).get(str(value), str(value)) if param else str(value)


_RATIOS = ("16x9", "9x16", "1x1", "4x3", "3x4", "21x9", "3x2", "2x3")


def ratio_class(mode: str, generation_type: str, cleaned: Mapping[str, Any]) -> str:
    """The CSS class of the shape that the clip will most likely have: "r-16x9"."""
    shape = str(cleaned.get("aspect_ratio", "")).replace(":", "x")
    shape = "9x16" if shape == "portrait" else shape
    return f"r-{shape}" if shape in _RATIOS else "r-16x9"
