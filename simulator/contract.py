"""What the vendor's parameter reference allows, model by model, and nothing else.

`read_generation` and `read_quote` turn a request body into an `Order`, or raise `Invalid` with the
sentence that goes into the 400. Unknown names, wrong types and values outside a model's row are refused;
nothing is clamped, nothing is guessed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PROMPT_LIMIT = 5000
TEXT, IMAGE, REFERENCE, VIDEO = "text-to-video", "image-to-video", "reference-to-video", "video-to-video"
MEDIA_NAMES = ("image", "images", "video")
BILLING_NAMES = {
    "duration",
    "video_quality",
    "aspect_ratio",
    "model_version",
    "generate_audio",
    "remove_watermark",
    "grokMode",
    "target_fps",
}


class Invalid(ValueError):
    """A parameter the model does not take; the text is meant for the client."""


@dataclass(frozen=True)
class Order:
    """A checked request: what was asked, with the model's defaults filled in."""

    mode: str
    generation_type: str
    values: Mapping[str, Any]
    prompt: str = ""
    media: tuple[str, ...] = ()


Check = Callable[[str, Any], None]


@dataclass(frozen=True)
class Row:
    """One line of the model table: checks by parameter name, and what an absent parameter means."""

    types: tuple[str, ...]
    checks: Mapping[str, Check]
    defaults: Mapping[str, Any] = field(default_factory=dict)


def one_of(*allowed: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise Invalid(f"{name} must be a string")
        if value not in allowed:
            raise Invalid(f"{name} must be one of: {', '.join(allowed)}")

    return check


def seconds(*allowed: int) -> Check:
    return one_of(*(str(length) for length in allowed))


def boolean(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise Invalid(f"{name} must be true or false")


def integer(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{name} must be an integer")


def integer_of(*allowed: int) -> Check:
    def check(name: str, value: Any) -> None:
        integer(name, value)
        if value not in allowed:
            raise Invalid(f"{name} must be one of: {', '.join(map(str, allowed))}")

    return check


def number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{name} must be a number")
    if not 0 <= value <= 1:
        raise Invalid(f"{name} must be between 0 and 1")


def text(limit: int) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str):
            raise Invalid(f"{name} must be a string")
        if len(value) > limit:
            raise Invalid(f"{name} must be at most {limit} characters")

    return check


def parts(words: str) -> Check:
    """A list of {<words>, duration}: Kling's shots, Sora's scenes."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, list) or not value:
            raise Invalid(f"{name} must be a list with at least one entry")
        for entry in value:
            if not isinstance(entry, dict) or set(entry) != {words, "duration"}:
                raise Invalid(f"every entry of {name} must be {{{words}, duration}}")
            if not isinstance(entry[words], str) or not entry[words].strip():
                raise Invalid(f"{name}: {words} is required")
            if len(entry[words]) > PROMPT_LIMIT:
                raise Invalid(f"{name}: {words} must be at most {PROMPT_LIMIT} characters")
            length = entry["duration"]
            if not isinstance(length, str) or not length.isascii() or not length.isdigit() or int(length) < 1:
                raise Invalid(f"{name}: duration must be a string of whole seconds")

    return check


SEEDANCE = Row(
    types=(TEXT, IMAGE),
    checks={
        "duration": seconds(*range(4, 13)),
        "video_quality": one_of("480p", "720p", "1080p"),
        "aspect_ratio": one_of("auto", "16:9", "9:16", "1:1", "4:3", "3:4", "21:9"),
        "generate_audio": boolean,
        "camera_fixed": boolean,
        "seed": integer,
    },
    defaults={
        "duration": "5",
        "video_quality": "720p",
        "aspect_ratio": "auto",
        "generate_audio": False,
        "camera_fixed": False,
    },
)

ROWS: dict[str, Row] = {
    "veo3": Row(
        types=(TEXT, IMAGE, REFERENCE),
        checks={
            "video_quality": one_of("standard", "pro"),
            "aspect_ratio": one_of("16:9", "9:16"),
            "watermark": text(200),
            "remove_watermark": boolean,
        },
        defaults={"video_quality": "standard", "aspect_ratio": "16:9"},
    ),
    "grok-imagine": Row(
        types=(TEXT, IMAGE),
        checks={
            "duration": seconds(6, 10, 15),
            "video_quality": one_of("480p", "720p"),
            "aspect_ratio": one_of("16:9", "9:16", "1:1", "2:3", "3:2"),
            "grokMode": one_of("fun", "normal", "spicy"),
        },
        defaults={"duration": "6", "video_quality": "720p", "aspect_ratio": "1:1", "grokMode": "normal"},
    ),
    "veevid-1.0-pro": SEEDANCE,
    "seedance-1.5-pro": SEEDANCE,
    "kling-3": Row(
        types=(TEXT, IMAGE),
        checks={
            "duration": seconds(*range(3, 16)),
            "video_quality": one_of("720p", "1080p"),
            "aspect_ratio": one_of("16:9", "9:16", "1:1"),
            "model_version": one_of("kling-3-standard", "kling-3-pro"),
            "generate_audio": boolean,
            "cfg_scale": number,
            "negative_prompt": text(PROMPT_LIMIT),
            "shot_type": one_of("single", "multi", "customize", "intelligent"),
            "multi_prompt": parts("prompt"),
        },
        defaults={
            "duration": "5",
            "video_quality": "720p",
            "aspect_ratio": "16:9",
            "model_version": "kling-3-standard",
            "generate_audio": True,
            "cfg_scale": 0.5,
            "shot_type": "customize",
        },
    ),
    "ltx-2-3": Row(
        types=(TEXT, IMAGE),
        checks={
            "duration": seconds(*range(6, 21, 2)),
            "video_quality": one_of("1080p", "1440p", "2160p"),
            "aspect_ratio": one_of("16:9", "9:16", "auto"),
            "model_version": one_of("ltx-2.3", "ltx-2.3-fast"),
            "target_fps": integer_of(24, 25, 48, 50),
            "generate_audio": boolean,
        },
        defaults={
            "duration": "6",
            "video_quality": "1080p",
            "aspect_ratio": "auto",
            "model_version": "ltx-2.3",
            "target_fps": 24,
            "generate_audio": True,
        },
    ),
    "kling-2-6": Row(
        types=(TEXT, IMAGE),
        checks={
            "duration": seconds(5, 10),
            "video_quality": one_of("720p", "1080p"),
            "aspect_ratio": one_of("16:9", "9:16", "1:1"),
        },
        defaults={"duration": "5", "video_quality": "720p", "aspect_ratio": "16:9"},
    ),
    "sora2-stable": Row(
        types=(TEXT, IMAGE),
        checks={
            "duration": seconds(4, 8, 12, 16, 20),
            "video_quality": one_of("standard", "hd"),
            "aspect_ratio": one_of("16:9", "9:16"),
            "model_version": one_of("sora-2", "sora-2-pro"),
        },
        defaults={"duration": "4", "video_quality": "standard", "aspect_ratio": "16:9", "model_version": "sora-2"},
    ),
    "sora2": Row(
        types=(TEXT, IMAGE),
        checks={
            "duration": seconds(10, 15, 25),
            "video_quality": one_of("standard", "hd"),
            "aspect_ratio": one_of("16:9", "9:16"),
            "model_version": one_of("sora-2", "sora-2-pro", "sora-2-pro-storyboard"),
            "scenes": parts("description"),
            "remove_watermark": boolean,
        },
        defaults={
            "duration": "10",
            "video_quality": "standard",
            "aspect_ratio": "16:9",
            "model_version": "sora-2",
            "remove_watermark": False,
        },
    ),
    "wan-2-6": Row(
        types=(TEXT, IMAGE, VIDEO),
        checks={
            "duration": seconds(5, 10, 15),
            "video_quality": one_of("720p", "1080p"),
            "aspect_ratio": one_of("16:9", "9:16", "1:1", "4:3", "3:4", "landscape", "portrait"),
            "negative_prompt": text(PROMPT_LIMIT),
            "shot_type": one_of("single", "multi"),
            "enable_prompt_expansion": boolean,
            "seed": integer,
        },
        defaults={
            "duration": "5",
            "video_quality": "720p",
            "aspect_ratio": "16:9",
            "shot_type": "single",
            "enable_prompt_expansion": True,
            "seed": -1,
        },
    ),
}


def read_quote(body: Any) -> Order:
    """The body of POST /quote: the model, the type and what affects the price."""
    mode, generation_type, rest = _model_and_type(body)
    for name in rest:
        if name not in BILLING_NAMES:
            raise Invalid(f"Unknown parameter for a quote: {name}")
    return Order(mode, generation_type, _values(mode, rest))


def read_generation(body: Any) -> Order:
    """The body of POST /generate-video."""
    mode, generation_type, rest = _model_and_type(body)
    prompt = rest.pop("prompt", None)
    if not isinstance(prompt, str) or not prompt.strip():
        raise Invalid("prompt is required")
    if len(prompt) > PROMPT_LIMIT:
        raise Invalid(f"prompt must be at most {PROMPT_LIMIT} characters")
    media = _media(mode, generation_type, {name: rest.pop(name) for name in MEDIA_NAMES if name in rest})
    return Order(mode, generation_type, _values(mode, rest), prompt, media)


def _model_and_type(body: Any) -> tuple[str, str, dict[str, Any]]:
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object")
    rest = dict(body)
    mode, generation_type = rest.pop("mode", None), rest.pop("generation_type", None)
    if not isinstance(mode, str) or mode not in ROWS:
        raise Invalid(f"mode must be one of: {', '.join(ROWS)}")
    one_of(*ROWS[mode].types)("generation_type", generation_type)
    return mode, generation_type, rest


def _values(mode: str, given: Mapping[str, Any]) -> dict[str, Any]:
    row = ROWS[mode]
    for name, value in given.items():
        if name not in row.checks:
            raise Invalid(f"Unknown parameter for {mode}: {name}")
        row.checks[name](name, value)
    values = {**row.defaults, **given}
    _check_together(mode, values)
    return values


def _check_together(mode: str, values: Mapping[str, Any]) -> None:
    """The rules of the table that tie one parameter to another."""
    version = values.get("model_version")
    if mode == "ltx-2-3":
        length = int(values["duration"])
        if version == "ltx-2.3" and length > 10:
            raise Invalid("duration must be one of: 6, 8, 10 for ltx-2.3")
        if length > 10 and values["video_quality"] != "1080p":
            raise Invalid("video_quality must be 1080p above 10 seconds")
    if mode == "sora2-stable" and values["video_quality"] == "hd" and version != "sora-2-pro":
        raise Invalid("video_quality hd needs model_version sora-2-pro")
    if mode == "sora2" and "scenes" in values and version != "sora-2-pro-storyboard":
        raise Invalid("scenes need model_version sora-2-pro-storyboard")


def _media(mode: str, generation_type: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The URLs a generation type takes: exactly the fields it needs, no others."""
    if generation_type == TEXT:
        _only(given, generation_type)
        return ()
    if generation_type == REFERENCE:
        _only(given, generation_type, "images")
        return _urls("images", given.get("images"), 1, 3)
    if generation_type == VIDEO:
        _only(given, generation_type, "video")
        return (_url("video", given.get("video")),)
    if mode == "kling-3" and "images" in given:
        _only(given, "image-to-video with images", "images")
        return _urls("images", given["images"], 2, 2)
    _only(given, generation_type, "image")
    return (_url("image", given.get("image")),)


def _only(given: Mapping[str, Any], what: str, *allowed: str) -> None:
    for name in given:
        if name not in allowed:
            raise Invalid(f"{name} is not allowed for {what}")


def _urls(name: str, value: Any, least: int, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        count = f"{least} to {most}" if least < most else str(most)
        raise Invalid(f"{name} must be a list of {count} URLs")
    return tuple(_url(name, entry) for entry in value)


def _url(name: str, value: Any) -> str:
    if value is None:
        raise Invalid(f"{name} is required")
    if not isinstance(value, str) or any(character.isspace() for character in value):
        raise Invalid(f"{name} must be an http(s) URL")
    try:
        address = urlsplit(value)
        host = address.hostname
    except ValueError:
        raise Invalid(f"{name} must be an http(s) URL") from None
    if address.scheme not in ("http", "https") or not host:
        raise Invalid(f"{name} must be an http(s) URL")
    return value
