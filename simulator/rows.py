"""The vendor's model table as data: which parameters a model takes, how each is checked, and its defaults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PROMPT_LIMIT = 5000
TEXT, IMAGE, REFERENCE, VIDEO = "text-to-video", "image-to-video", "reference-to-video", "video-to-video"


class Invalid(ValueError):
    """A parameter the model does not take; the text is meant for the client."""


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
