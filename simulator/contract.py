"""What the vendor's parameter reference allows, and nothing else.

`read_generation` and `read_quote` turn a request body into an `Order`, or raise `Invalid` with the
sentence that goes into the 400. Unknown names, wrong types and values outside a model's row are refused;
nothing is clamped, nothing is guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from simulator.rows import PROMPT_LIMIT, REFERENCE, ROWS, TEXT, VIDEO, Invalid, one_of

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


@dataclass(frozen=True)
class Order:
    """A checked request: what was asked, with the model's defaults filled in."""

    mode: str
    generation_type: str
    values: Mapping[str, Any]
    prompt: str = ""
    media: tuple[str, ...] = ()


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
