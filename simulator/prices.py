"""What an order costs, in credits. One small rule per model, chosen so that each reaches both ends of the
range the vendor prints, and the two prices the vendor names (Grok 480p 6 s = 10; Kling 3.0 standard 10 s
1080p with audio = 250). Most are a rate per second times the length.

    veo3              standard 20, pro 140, flat
    grok-imagine      480p 5/3 a second (rounded up), 720p 4
    seedance, veevid  480p 3, 720p 6, 1080p 12; twice that with audio
    kling-3           standard 16, x1.25 at 1080p, x1.25 with audio (16, 20, 20, 25); pro 8 more
    ltx-2-3           fast 8, pro 12; x1, x2, x4 for 1080p, 1440p, 2160p; x2 at 48 or 50 frames
    kling-2-6         720p 14, 1080p 28
    sora2-stable      sora-2 20; sora-2-pro 60, hd 100
    sora2             sora-2 2, hd 4; pro and storyboard 6, hd 12; 15 more without watermark
    wan-2-6           720p 20, 1080p 30
"""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.contract import Order

Values = Mapping[str, Any]


def price(order: Order, factor: float = 1.0) -> int:
    """Credits for a checked order; `factor` is the control API's change of price."""
    credits = RULES[order.mode](order.values)
    return credits if factor == 1.0 else max(1, round(credits * factor))


def _length(values: Values) -> int:
    return int(values["duration"])


def _veo(values: Values) -> int:
    return {"standard": 20, "pro": 140}[values["video_quality"]]


def _grok(values: Values) -> int:
    if values["video_quality"] == "720p":
        return 4 * _length(values)
    return -(-5 * _length(values) // 3)


def _seedance(values: Values) -> int:
    rate = {"480p": 3, "720p": 6, "1080p": 12}[values["video_quality"]]
    return rate * _length(values) * (2 if values["generate_audio"] else 1)


def _kling_3(values: Values) -> int:
    steps = (values["video_quality"] == "1080p") + bool(values["generate_audio"])
    rate = (16, 20, 25)[steps] + (8 if values["model_version"] == "kling-3-pro" else 0)
    return rate * _length(values)


def _ltx(values: Values) -> int:
    rate = {"ltx-2.3-fast": 8, "ltx-2.3": 12}[values["model_version"]]
    sharpness = {"1080p": 1, "1440p": 2, "2160p": 4}[values["video_quality"]]
    return rate * sharpness * (2 if values["target_fps"] >= 48 else 1) * _length(values)


def _kling_26(values: Values) -> int:
    return {"720p": 14, "1080p": 28}[values["video_quality"]] * _length(values)


def _sora_stable(values: Values) -> int:
    rates = {("sora-2", "standard"): 20, ("sora-2-pro", "standard"): 60, ("sora-2-pro", "hd"): 100}
    return rates[values["model_version"], values["video_quality"]] * _length(values)


def _sora(values: Values) -> int:
    standard, hd = (2, 4) if values["model_version"] == "sora-2" else (6, 12)
    rate = hd if values["video_quality"] == "hd" else standard
    return rate * _length(values) + (15 if values["remove_watermark"] else 0)


def _wan(values: Values) -> int:
    return {"720p": 20, "1080p": 30}[values["video_quality"]] * _length(values)


RULES: dict[str, Callable[[Values], int]] = {
    "veo3": _veo,
    "grok-imagine": _grok,
    "veevid-1.0-pro": _seedance,
    "seedance-1.5-pro": _seedance,
    "kling-3": _kling_3,
    "ltx-2-3": _ltx,
    "kling-2-6": _kling_26,
    "sora2-stable": _sora_stable,
    "sora2": _sora,
    "wan-2-6": _wan,
}
