"""The catalogue against the vendor's parameter reference, and against whatever a form may post."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generations import catalogue
from generations.catalogue import MODELS, TYPES, Invalid, billing, body, clean, fit, params

EVERY_START = [(mode, kind) for mode, model in MODELS.items() for kind in model.types]
BILLING_FIELDS = {
    "mode", "generation_type", "duration", "video_quality", "aspect_ratio", "model_version", "generate_audio",
    "remove_watermark", "grokMode", "target_fps",
}  # fmt: skip
T2V, I2V, R2V, V2V = TYPES
JPG = "https://cdn.example/a.jpg"


def choices(mode, kind, name, **chosen):
    found = [param for param in params(mode, kind, chosen) if param.name == name]
    return [value for value, _ in found[0].choices] if found else None


def refusal(mode, kind, **values):
    with pytest.raises(Invalid) as caught:
        clean(mode, kind, values)
    return caught.value.errors


# The table


def test_the_ten_models_stand_in_the_vendors_order():
    assert list(MODELS) == [
        "veo3", "grok-imagine", "veevid-1.0-pro", "seedance-1.5-pro", "kling-3", "ltx-2-3", "kling-2-6",
        "sora2-stable", "sora2", "wan-2-6",
    ]  # fmt: skip


TABLE = {
    "veo3": {"video_quality": "standard pro", "aspect_ratio": "16:9 9:16"},
    "grok-imagine": {
        "duration": "6 10 15", "video_quality": "480p 720p", "aspect_ratio": "16:9 9:16 1:1 2:3 3:2",
        "grokMode": "fun normal spicy",
    },
    "veevid-1.0-pro": {
        "duration": "4 5 6 7 8 9 10 11 12", "video_quality": "480p 720p 1080p",
        "aspect_ratio": "auto 16:9 9:16 1:1 4:3 3:4 21:9",
    },
    "seedance-1.5-pro": {
        "duration": "4 5 6 7 8 9 10 11 12", "video_quality": "480p 720p 1080p",
        "aspect_ratio": "auto 16:9 9:16 1:1 4:3 3:4 21:9",
    },
    "kling-3": {
        "duration": "3 4 5 6 7 8 9 10 11 12 13 14 15", "video_quality": "720p 1080p", "aspect_ratio": "16:9 9:16 1:1",
        "model_version": "kling-3-standard kling-3-pro", "shot_type": "single multi customize intelligent",
    },
    "ltx-2-3": {
        "duration": "6 8 10", "video_quality": "1080p 1440p 2160p", "aspect_ratio": "16:9 9:16 auto",
        "model_version": "ltx-2.3 ltx-2.3-fast", "target_fps": "24 25 48 50",
    },
    "kling-2-6": {"duration": "5 10", "video_quality": "720p 1080p", "aspect_ratio": "16:9 9:16 1:1"},
    "sora2-stable": {
        "duration": "4 8 12 16 20", "video_quality": "standard", "aspect_ratio": "16:9 9:16",
        "model_version": "sora-2 sora-2-pro",
    },
    "sora2": {
        "duration": "10 15 25", "video_quality": "standard hd", "aspect_ratio": "16:9 9:16",
        "model_version": "sora-2 sora-2-pro sora-2-pro-storyboard",
    },
    "wan-2-6": {
        "duration": "5 10 15", "video_quality": "720p 1080p",
        "aspect_ratio": "16:9 9:16 1:1 4:3 3:4 landscape portrait", "shot_type": "single multi",
    },
}  # fmt: skip
DEFAULTS = {
    "veo3": {"video_quality": "standard", "aspect_ratio": "16:9", "remove_watermark": False},
    "grok-imagine": {"duration": "6", "video_quality": "720p", "aspect_ratio": "1:1", "grokMode": "normal"},
    "veevid-1.0-pro": {
        "duration": "5", "video_quality": "720p", "aspect_ratio": "auto", "generate_audio": False, "camera_fixed": False
    },
    "seedance-1.5-pro": {
        "duration": "5", "video_quality": "720p", "aspect_ratio": "auto", "generate_audio": False, "camera_fixed": False
    },
    "kling-3": {
        "duration": "5", "model_version": "kling-3-standard", "video_quality": "1080p", "aspect_ratio": "16:9",
        "shot_type": "customize", "generate_audio": True, "cfg_scale": 0.5,
    },
    "ltx-2-3": {
        "duration": "6", "model_version": "ltx-2.3", "video_quality": "1080p", "aspect_ratio": "auto",
        "target_fps": 24, "generate_audio": True,
    },
    "kling-2-6": {"duration": "5", "video_quality": "720p", "aspect_ratio": "16:9"},
    "sora2-stable": {"duration": "4", "model_version": "sora-2", "video_quality": "standard", "aspect_ratio": "16:9"},
    "sora2": {
        "duration": "10", "model_version": "sora-2", "video_quality": "standard", "aspect_ratio": "16:9",
        "remove_watermark": False,
    },
    "wan-2-6": {
        "duration": "5", "video_quality": "720p", "aspect_ratio": "16:9", "shot_type": "single",
        "enable_prompt_expansion": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("mode", MODELS)
def test_every_choice_of_the_vendors_table_is_offered_and_no_other(mode):
    offered = {p.name: " ".join(v for v, _ in p.choices) for p in params(mode, T2V, {}) if p.kind == "choice"}
    assert offered == TABLE[mode]


@pytest.mark.parametrize("mode", MODELS)
def test_an_empty_form_means_the_vendors_defaults_said_aloud(mode):
    assert clean(mode, T2V, {}) == DEFAULTS[mode]


def test_the_price_ranges_are_the_vendors():
    assert [(m.price_min, m.price_max) for m in MODELS.values()] == [
        (20, 140), (10, 60), (12, 288), (12, 288), (48, 495), (48, 960), (70, 280), (80, 2000), (20, 315), (100, 450),
    ]  # fmt: skip


def test_only_veo_takes_references_and_only_wan_takes_a_video():
    assert [mode for mode, model in MODELS.items() if R2V in model.types] == ["veo3"]
    assert [mode for mode, model in MODELS.items() if V2V in model.types] == ["wan-2-6"]
    assert all(T2V in model.types and I2V in model.types for model in MODELS.values())


@pytest.mark.parametrize(("mode", "kind"), EVERY_START)
def test_every_default_is_one_of_its_choices(mode, kind):
    for param in params(mode, kind, {}):
        assert param.kind != "choice" or str(param.default) in [value for value, _ in param.choices]
        assert param.label[0].isupper()


# Rules between fields


def test_ltx_pro_offers_three_lengths_and_fast_eight():
    assert choices("ltx-2-3", T2V, "duration") == ["6", "8", "10"]
    assert choices("ltx-2-3", T2V, "duration", model_version="ltx-2.3-fast") == [str(n) for n in range(6, 21, 2)]


def test_ltx_fast_above_ten_seconds_offers_1080p_only():
    fast = {"model_version": "ltx-2.3-fast"}
    assert choices("ltx-2-3", T2V, "video_quality", duration="10", **fast) == ["1080p", "1440p", "2160p"]
    assert choices("ltx-2-3", T2V, "video_quality", duration="12", **fast) == ["1080p"]
    errors = refusal("ltx-2-3", T2V, duration="12", video_quality="2160p", **fast)
    assert errors == {"video_quality": "Quality can only be 1080p for LTX 2.3 Fast above 10 seconds."}


def test_a_length_that_became_impossible_is_refused_with_what_is_allowed():
    assert refusal("ltx-2-3", T2V, duration="14") == {"duration": "Length can be 6, 8 or 10 seconds for LTX 2.3 Pro."}
    assert refusal("wan-2-6", T2V, duration="7") == {"duration": "Length can be 5, 10 or 15 seconds for Wan 2.6."}
    assert refusal("kling-3", T2V, duration="2") == {"duration": "Length can be 3 to 15 seconds for Kling 3.0."}


def test_hd_of_sora_2_stable_needs_the_pro_version():
    assert choices("sora2-stable", T2V, "video_quality", model_version="sora-2-pro") == ["standard", "hd"]
    assert "1080p needs Pro" in refusal("sora2-stable", T2V, video_quality="hd")["video_quality"]
    assert clean("sora2-stable", T2V, {"video_quality": "hd", "model_version": "sora-2-pro"})["video_quality"] == "hd"


def test_scenes_belong_to_the_storyboard_only():
    scenes = [{"description": "Dawn", "duration": 4}, {"description": "Noon", "duration": "6"}]
    said = clean("sora2", T2V, {"model_version": "sora-2-pro-storyboard", "scenes": scenes})
    assert said["scenes"] == [{"description": "Dawn", "duration": "4"}, {"description": "Noon", "duration": "6"}]
    assert refusal("sora2", T2V, scenes=scenes) == {"scenes": "Scenes can only be used when Version is Pro Storyboard."}


@pytest.mark.parametrize(
    "scenes",
    [
        [{"description": "Dawn", "duration": 4}],
        [{"description": "Dawn", "duration": 10}] * 11,
        [{"description": "", "duration": 10}],
        [{"description": "Dawn", "duration": 0}, {"description": "Noon", "duration": 10}],
        [{"description": "Dawn", "duration": 10, "camera": "pan"}],
        [{"description": "Dawn", "duration": True}],
        [{"description": ["Dawn"], "duration": 10}],
        [{"description": "x" * 1001, "duration": 10}],
        ["Dawn"],
        "[[[",
        "[" * 90_000,
        {"description": "Dawn", "duration": 10},
        7,
    ],
)
def test_scenes_that_do_not_make_the_clip_are_refused(scenes):
    errors = refusal("sora2", T2V, model_version="sora-2-pro-storyboard", scenes=scenes)
    assert list(errors) == ["scenes"]
    assert len(errors["scenes"]) < 120


def test_blank_rows_of_a_storyboard_form_do_not_count():
    rows = json.dumps([{"description": "Dawn", "duration": "10"}, {"description": "", "duration": ""}])
    said = clean("sora2", T2V, {"model_version": "sora-2-pro-storyboard", "scenes": rows})
    assert said["scenes"] == [{"description": "Dawn", "duration": "10"}]


def test_shots_of_kling_need_a_shot_type_that_uses_them():
    shots = [{"prompt": "Wide", "duration": 2}, {"prompt": "Close", "duration": 3}]
    assert len(clean("kling-3", T2V, {"multi_prompt": shots})["multi_prompt"]) == 2
    sentence = "Shot list can only be used when Shots is Multi or Customize."
    assert refusal("kling-3", T2V, multi_prompt=shots, shot_type="single") == {"multi_prompt": sentence}


def test_kling_from_an_image_drops_the_ratio_that_the_vendor_ignores():
    assert choices("kling-3", I2V, "aspect_ratio") is None
    said = clean("kling-3", I2V, {"aspect_ratio": "9:16"})
    assert "aspect_ratio" not in said
    assert "aspect_ratio" not in billing("kling-3", I2V, said)


def test_veo_never_sends_a_length_but_is_known_to_last_eight_seconds():
    said = clean("veo3", T2V, {})
    assert "duration" not in body("veo3", T2V, said, "A dune", {})
    assert catalogue.length("veo3", said) == 8
    assert refusal("veo3", T2V, duration="8") == {"duration": "Veo 3.1 has no such setting."}


# One value


@pytest.mark.parametrize(
    ("mode", "name", "posted", "typed"),
    [
        ("ltx-2-3", "target_fps", "48", 48),
        ("ltx-2-3", "generate_audio", "off", False),
        ("seedance-1.5-pro", "generate_audio", "on", True),
        ("seedance-1.5-pro", "seed", "42", 42),
        ("wan-2-6", "seed", -1, -1),
        ("wan-2-6", "duration", 10, "10"),
        ("kling-3", "cfg_scale", "0.7", 0.7),
        ("kling-3", "cfg_scale", 1, 1.0),
        ("veo3", "watermark", "  ours ", "ours"),
        ("veo3", "remove_watermark", "", False),
    ],
)
def test_what_a_form_posts_becomes_the_type_the_vendor_wants(mode, name, posted, typed):
    said = clean(mode, T2V, {name: posted})[name]
    assert (said, type(said)) == (typed, type(typed))


def test_empty_optional_fields_are_not_sent():
    said = clean("wan-2-6", T2V, {"seed": "", "negative_prompt": "  ", "duration": ""})
    assert not {"seed", "negative_prompt"} & set(said)
    assert said["duration"] == "5"


NOT_FREE_TEXT = [(m, p.name) for m in ("kling-3", "wan-2-6") for p in MODELS[m].params if p.kind != "text"]
NONSENSE = [
    math.nan,
    math.inf,
    -math.inf,
    10**5000,
    -(10**5000),
    ["5"],
    {"a": 1},
    b"5",
    object(),
    "9" * 10_000,
    "٥",
    "1e3",
]


@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(("mode", "name"), NOT_FREE_TEXT)
def test_nonsense_is_refused_in_one_short_sentence(mode, name, value):
    errors = refusal(mode, T2V, **{name: value})
    assert list(errors) == [name]
    assert len(errors[name]) < 150
    assert errors[name].endswith(".")


@pytest.mark.parametrize("seed", [-2, 2**31, "1.5", 1.5, True])
def test_a_seed_is_a_whole_number_within_limits(seed):
    assert refusal("wan-2-6", T2V, seed=seed) == {"seed": "Seed can be a whole number from -1 to 2,147,483,647."}


def test_a_watermark_has_at_most_200_characters():
    assert len(clean("veo3", T2V, {"watermark": "x" * 200})["watermark"]) == 200
    assert "at most 200 characters" in refusal("veo3", T2V, watermark="x" * 201)["watermark"]


def test_an_unknown_setting_model_or_start_is_refused():
    assert refusal("veo3", T2V, zoom="2") == {"zoom": "Veo 3.1 has no such setting."}
    assert "mode" in refusal("veo9", T2V)
    assert refusal("kling-3", V2V) == {"generation_type": "Kling 3.0 can start from text or image."}
    assert "mode" in refusal(["veo3"], T2V)


# Prompt and media


def test_a_prompt_has_1_to_5000_characters():
    assert catalogue.clean_prompt("  A dune\r\nat dusk\x00 ") == "A dune\nat dusk"
    assert len(catalogue.clean_prompt("x" * 5000)) == 5000
    for wrong in ("", " \n", None, 5, ["A dune"], "x" * 5001):
        with pytest.raises(Invalid) as caught:
            catalogue.clean_prompt(wrong)
        assert list(caught.value.errors) == ["prompt"]


def test_media_are_counted_by_slot():
    assert catalogue.clean_media("kling-2-6", I2V, {"image": JPG}) == {"image": [JPG]}
    assert catalogue.clean_media("veo3", R2V, {"images": [JPG] * 3, "image": []}) == {"images": [JPG] * 3}
    wrong = [("kling-2-6", I2V, {}), ("kling-2-6", I2V, {"image": [JPG, JPG]}), ("veo3", R2V, {"images": [JPG] * 4}),
             ("kling-2-6", I2V, {"image": [JPG], "end_image": [JPG]}), ("veo3", T2V, {"image": [JPG]}),
             ("kling-3", I2V, {"end_image": [JPG]}), ("wan-2-6", V2V, {"image": [JPG]})]  # fmt: skip
    for mode, kind, media in wrong:
        with pytest.raises(Invalid):
            catalogue.clean_media(mode, kind, media)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/b.jpg", "file:///etc/passwd", "//a.example/b", "http://", "http:///b.jpg", "a.jpg",
        "javascript:alert(1)", "https://user:word@a.example/b", "https://a.example/b c", "https://a.example/\nb",
        "https://a.example:99999/", "https://[::1", "https://a.example/" + "x" * 2048, "https://a\\b.example/", 5, None,
        ["x"], b"https://a.example/",
    ],
)  # fmt: skip
def test_only_web_addresses_pass_as_media(url):
    with pytest.raises(Invalid) as caught:
        catalogue.clean_media("kling-2-6", I2V, {"image": [url]})
    assert len(caught.value.errors["image"]) < 120


# What is sent


def test_the_quote_of_the_vendors_example_carries_what_is_billed_and_nothing_else():
    said = clean("kling-3", T2V, {"duration": "10", "negative_prompt": "rain", "cfg_scale": "0.8"})
    assert billing("kling-3", T2V, said) == {
        "mode": "kling-3", "generation_type": T2V, "duration": "10", "video_quality": "1080p", "aspect_ratio": "16:9",
        "model_version": "kling-3-standard", "generate_audio": True,
    }  # fmt: skip


def test_one_frame_is_sent_as_image_and_two_as_images():
    said = clean("kling-3", I2V, {})
    assert body("kling-3", I2V, said, "A dune", {"image": ["http://a/1"]})["image"] == "http://a/1"
    both = body("kling-3", I2V, said, "A dune", {"image": ["http://a/1"], "end_image": ["http://a/2"]})
    assert both["images"] == ["http://a/1", "http://a/2"]
    assert not {"image", "end_image"} & set(both)


def test_a_source_video_stands_under_the_one_assumed_name():
    sent = body("wan-2-6", V2V, clean("wan-2-6", V2V, {}), "A dune", {"video": ["http://a/v.mp4"]})
    assert sent["video"] == "http://a/v.mp4"


# In words


def test_a_generation_is_told_in_one_line():
    said = clean("kling-3", T2V, {"duration": "10"})
    assert catalogue.in_words("kling-3", T2V, said) == "Kling 3.0 Standard, 10 seconds, 1080p, 16:9, with sound"
    said = clean("veo3", T2V, {})
    assert catalogue.in_words("veo3", T2V, said) == "Veo 3.1, 8 seconds, standard quality, 16:9"


def test_a_model_that_has_left_the_catalogue_is_still_told():
    assert catalogue.in_words("veo1", T2V, {"duration": "4", "video_quality": "360p"}) == "veo1, 4 seconds, 360p"
    assert catalogue.facts("veo1", T2V, {"duration": "4"}) == (("duration", "4"),)


@pytest.mark.parametrize(
    ("shape", "css"),
    [("16:9", "r-16x9"), ("21:9", "r-21x9"), ("auto", "r-16x9"), ("landscape", "r-16x9"), ("portrait", "r-9x16")],
)
def test_a_shape_has_its_css_class(shape, css):
    assert catalogue.ratio_class("wan-2-6", T2V, {"aspect_ratio": shape}) == css
    assert catalogue.ratio_class("kling-3", I2V, {}) == "r-16x9"


# Whatever comes

FIELDS = sorted({param.name for model in MODELS.values() for param in model.params})
WORDS = sorted({value for model in MODELS.values() for param in model.params for value, _ in param.choices})
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS)
    | st.sampled_from(["on", "false", "0.5"]) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["description", "prompt", "duration"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FORMS = st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=8)
STARTS = st.sampled_from(EVERY_START)


def outcome(mode, kind, values):
    try:
        return clean(mode, kind, values), {}
    except Invalid as invalid:
        return {}, invalid.errors or {"": "no sentence"}


@settings(deadline=None)
@given(STARTS, FORMS | st.dictionaries(JUNK.filter(lambda key: key.__hash__ is not None), JUNK, max_size=4))
def test_cleaning_accepts_or_refuses_but_never_crashes(start, values):
    said, errors = outcome(*start, values)
    assert all(len(sentence) < 200 for sentence in errors.values())
    if not errors:
        assert clean(*start, said) == said
        assert set(billing(*start, said)) <= BILLING_FIELDS
        json.dumps(body(*start, said, "A dune", {}), allow_nan=False)


@settings(deadline=None)
@given(STARTS, FORMS)
def test_what_fits_is_always_valid(start, values):
    fitted = fit(*start, values)
    assert clean(*start, fitted) == fitted
    assert {param.name for param in params(*start, values)} >= set(fitted)


@settings(deadline=None)
@given(STARTS, STARTS)
def test_what_was_valid_for_one_model_fits_any_other(before, after):
    assert clean(*after, fit(*after, clean(*before, {})))


@settings(deadline=None)
@given(JUNK, JUNK, JUNK)
def test_junk_for_a_model_never_crashes_the_form(mode, kind, chosen):
    assert params(mode, kind, chosen) == ()
    assert catalogue.media_slots(mode, kind) == ()
    assert fit(mode, kind, chosen) == {}
