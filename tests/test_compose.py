"""The compose page, used without JavaScript and by htmx: every bad input is answered, and nothing is spent."""

import html
import re
from collections.abc import Iterator

import pytest
import responses

from generations import catalogue, lifecycle
from generations.models import ApiCall, Media, Membership, SwitchedOff, Team, User
from tests.makers import API, confirmed, make_account, make_person, price_is, sent_to
from tests.pages import HTMX, filled, form_in, nothing_happened, review, sealed_in, text_of
from tests.test_uploads import file_named, picture

pytestmark = pytest.mark.django_db

EVERYTHING = [(model.mode, kind) for model in catalogue.MODELS.values() for kind in model.types]


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def upstream() -> Iterator[None]:
    with responses.mock:
        make_account()
        price_is(140)
        yield


@pytest.fixture
def desk(client, mara, upstream):
    """Mara's browser. Nothing but a price is ever asked of upstream here."""
    client.force_login(mara)
    return client


def refused(answer, field: str, sentence: str) -> None:
    """422 with the sentence tied to the field where it was typed, and nothing sent or held."""
    page = text_of(answer)
    assert answer.status_code == 422
    assert re.search(rf'id="e-{field}"[^>]*>[^<]*{re.escape(sentence)}', page), page[:3000]
    assert 'aria-invalid="true"' in page
    nothing_happened()


# -- the form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kind"), EVERYTHING)
def test_every_model_and_type_can_be_reviewed_as_the_form_comes(desk, mode, kind):
    answer = review(desk, mode, kind)
    page = text_of(answer)
    assert answer.status_code == 200, page[:2000]
    assert "Generate for 140 credits" in page
    assert catalogue.in_words(mode, kind, catalogue.clean(mode, kind, {})) in page
    nothing_happened()


def test_opening_the_page_asks_no_price_by_itself(desk):
    desk.get("/new")
    assert ApiCall.objects.count() == 0


def test_a_known_price_stands_on_the_page_at_once(desk):
    filled_in = filled(desk)
    desk.post("/new/price", filled_in, **HTMX)
    assert '<div class="price-big">140 <small>credits' in desk.get("/new?mode=veo3").content.decode()
    assert sent_to("quote") == 1


def test_models_that_cannot_start_from_a_video_are_dimmed_with_the_reason(desk):
    page = desk.get("/new?type=video-to-video").content.decode()
    assert page.count("Cannot start from a video") == len(catalogue.MODELS) - 1
    assert re.search(r'id="mode-wan-2-6"[^>]*checked', page)


def test_a_switched_off_model_is_hidden_and_refused(desk):
    fields = filled(desk, "grok-imagine")
    SwitchedOff.objects.create(mode="grok-imagine")
    assert "Grok Imagine" not in desk.get("/new").content.decode()
    refused(desk.post("/new/review", fields, **HTMX), "mode", "Grok Imagine is switched off.")


def test_without_any_model_the_page_says_so(desk):
    for mode in catalogue.MODELS:
        SwitchedOff.objects.create(mode=mode)
    assert "switched off every model" in text_of(desk.get("/new"))


def test_switching_the_model_keeps_prompt_media_and_what_is_still_allowed(desk):
    fields = filled(desk, "kling-3", "image-to-video", duration="10", video_quality="720p")
    changed = {**fields, "image": "https://example.com/a.jpg", "mode": "kling-2-6"}
    kept = form_in(desk.post("/new/form", changed).content.decode())
    assert (kept["prompt"], kept["duration"], kept["video_quality"]) == (["A lone walker"], ["10"], ["720p"])
    assert kept["image"] == ["https://example.com/a.jpg"]
    assert kept["shown"] == ["kling-2-6/image-to-video"]


def test_an_image_is_kept_while_the_type_has_no_place_for_it(desk):
    fields = filled(desk, "veo3", "image-to-video", image="https://example.com/a.jpg")
    without = form_in(desk.post("/new/form", {**fields, "generation_type": "text-to-video"}).content.decode())
    again = form_in(desk.post("/new/form", {**without, "generation_type": "reference-to-video"}).content.decode())
    assert ("image" not in without, again["images"]) == (True, ["https://example.com/a.jpg"])


def test_settings_of_another_model_are_never_reviewed_unseen(desk):
    answer = desk.post("/new/review", {**filled(desk, "veo3"), "mode": "kling-3"}, **HTMX)
    assert answer.status_code == 422
    assert "The settings are now those of Kling 3.0." in text_of(answer)
    nothing_happened()


def test_a_remix_starts_from_the_earlier_generation(desk, mara):
    order = lifecycle.Order(
        "grok-imagine", "image-to-video", catalogue.clean("grok-imagine", "image-to-video", {"duration": "15"}),
        "Rain on glass", {"image": ["https://example.com/a.jpg"]},
    )  # fmt: skip
    generation = confirmed(mara, order=order)
    fields = form_in(desk.get(f"/new?from={generation.pk}").content.decode())
    assert (fields["prompt"], fields["duration"], fields["mode"]) == (["Rain on glass"], ["15"], ["grok-imagine"])
    assert fields["image"] == ["https://example.com/a.jpg"]


def test_a_remix_of_another_teams_generation_is_not_found(desk, mara):
    generation = confirmed(make_person("luc@example.com", "Elsewhere"))
    assert [desk.get(f"/new?from={pk}").status_code for pk in (generation.pk, "9" * 30, "x")] == [404, 404, 404]


def test_a_viewer_reads_why_nothing_can_be_generated(client, upstream):
    client.force_login(make_person("vic@example.com", role="viewer"))
    answers = [client.get("/new"), *(client.post(f"/new/{part}", {}) for part in ("form", "price", "review", "media"))]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert "you may watch, but not generate" in text_of(answers[0])
    nothing_happened()


# -- the price --------------------------------------------------------------------------------------------------------


def test_the_price_is_asked_once_for_the_same_parameters(desk):
    fields = filled(desk)
    for prompt in ("A", "A lone", "A lone walker"):
        answer = desk.post("/new/price", {**fields, "prompt": prompt}, **HTMX)
    assert "140 <small>credits" in text_of(answer)
    assert sent_to("quote") == 1


def test_no_price_is_asked_for_what_cannot_be_sent(desk):
    answer = desk.post("/new/price", {**filled(desk, "kling-2-6"), "duration": "7"}, **HTMX)
    assert "Length can be 5 or 10 seconds for Kling 2.6." in text_of(answer)
    assert sent_to("quote") == 0


def test_a_wrong_seed_does_not_hide_the_price(desk):
    answer = desk.post("/new/price", {**filled(desk, "wan-2-6"), "seed": "abc"}, **HTMX)
    assert "140 <small>credits" in text_of(answer)


def test_the_vendors_own_words_stand_where_a_price_cannot_be_had(desk):
    responses.remove(responses.POST, f"{API}/quote")
    responses.post(f"{API}/quote", json={"error": "mode veo3 is retired"}, status=400)
    fields = filled(desk)
    page = text_of(desk.post("/new/price", fields, **HTMX))
    assert "mode veo3 is retired" in page
    assert "Try again" in page
    answer = desk.post("/new/review", fields, **HTMX)
    assert (answer.status_code, "mode veo3 is retired" in text_of(answer)) == (422, True)
    nothing_happened()


def test_too_few_credits_are_said_plainly_and_cannot_be_spent(desk):
    price_is(140, balance=12)
    page = text_of(review(desk))
    assert "This needs 140 credits, the account has 12 credits. Nothing was charged." in page
    assert "Generate for" not in page
    assert "/new/confirm" not in page
    nothing_happened()


# -- bad input --------------------------------------------------------------------------------------------------------


def test_a_prompt_of_5001_characters_is_refused_and_kept(desk):
    answer = review(desk, prompt="x" * 5001)
    refused(answer, "prompt", "The prompt can be at most 5,000 characters; this is 5,001.")
    assert "x" * 5001 in text_of(answer)


@pytest.mark.parametrize("prompt", ["", "  \n\t "])
def test_an_empty_prompt_is_refused(desk, prompt):
    refused(review(desk, prompt=prompt), "prompt", "Write a prompt")


@pytest.mark.parametrize(
    ("mode", "field", "value", "sentence"),
    [
        ("kling-2-6", "duration", "7", "Length can be 5 or 10 seconds"),
        ("kling-2-6", "duration", "-5", "Length can be 5 or 10 seconds"),
        ("kling-2-6", "duration", "9" * 400, "Length can be 5 or 10 seconds"),
        ("kling-2-6", "video_quality", "4320p", "Quality can be 720p or 1080p"),
        ("veo3", "aspect_ratio", "<script>", "Shape can be 16:9 or 9:16"),
        ("wan-2-6", "seed", "-2", "Seed can be a whole number"),
        ("wan-2-6", "seed", "9" * 30, "Seed can be a whole number"),
        ("wan-2-6", "seed", "1e5", "Seed can be a whole number"),
        ("kling-3", "cfg_scale", "-0.1", "Prompt strength can be a number"),
        ("kling-3", "cfg_scale", "NaN", "Prompt strength can be a number"),
        ("kling-3", "negative_prompt", "n" * 2501, "Words to avoid can be at most 2,500 characters"),
        ("kling-3", "generate_audio", "maybe", "Generate sound can only be on or off"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_where_it_stands(desk, mode, field, value, sentence):
    refused(review(desk, mode, **{field: value}), field, sentence)
    assert sent_to("quote") == 0


def test_scenes_that_do_not_add_up_are_refused_and_kept(desk):
    scenes = {"scenes.text": ["A door opens", "", ""], "scenes.duration": ["4", "", ""]}
    answer = review(desk, "sora2", model_version="sora-2-pro-storyboard", **scenes)
    refused(answer, "scenes", "the durations must add up to 10 seconds; they add up to 4.")
    assert form_in(f'<form id="compose">{answer.content.decode()}</form>')["scenes.text"][0] == "A door opens"


def test_scenes_reach_the_confirmation(desk):
    scenes = {"scenes.text": ["A door opens", "It closes"], "scenes.duration": ["4", "6"]}
    answer = review(desk, "sora2", model_version="sora-2-pro-storyboard", **scenes)
    said = lifecycle.unseal(sealed_in(answer))["orders"][0]
    assert [scene["duration"] for scene in said["params"]["scenes"]] == ["4", "6"]


def test_a_field_that_the_model_does_not_have_is_refused(desk):
    answer = review(desk, "veo3", made_up="1")
    assert (answer.status_code, "Veo 3.1 has no such setting." in text_of(answer)) == (422, True)
    nothing_happened()


@pytest.mark.parametrize("mode", ["", "veo99", "x" * 5000])
def test_an_unknown_model_is_refused(desk, mode):
    fields = {**filled(desk), "mode": mode, "shown": f"{mode}/text-to-video"}
    refused(desk.post("/new/review", fields, **HTMX), "mode", "Choose one of the models")


@pytest.mark.parametrize(
    "address", ["not a url", "javascript:alert(1)", "ftp://example.com/a", "http://", "file:///etc/passwd"]
)
def test_what_is_no_web_address_is_refused_where_it_was_typed(desk, address):
    answer = review(desk, "veo3", "image-to-video", **{"image.url": address})
    refused(answer, "image", "give an http or https address")
    assert html.escape(address) in answer.content.decode()


def test_a_missing_start_frame_is_asked_for(desk):
    refused(review(desk, "veo3", "image-to-video", **{"image.url": ""}), "image", "Start frame: add an image.")


def test_four_reference_images_are_too_many(desk):
    sources = [f"https://example.com/{number}.jpg" for number in range(4)]
    answer = review(desk, "veo3", "reference-to-video", images=sources, **{"images.url": ""})
    refused(answer, "images", "at most 3 can be used")


@pytest.mark.parametrize("source", ["media:6f9619ff-8b86-d011-b42d-00c04fc964ff", "media:nonsense", "media:"])
def test_an_upload_that_is_not_there_is_refused(desk, source):
    answer = review(desk, "veo3", "image-to-video", image=source, **{"image.url": ""})
    refused(answer, "image", "belongs to another team")


def test_another_teams_upload_is_refused(desk):
    luc = make_person("luc@example.com", "Elsewhere")
    theirs = Media.objects.create(
        team=luc.teams.get(), owner=luc, kind="image", name="theirs.jpg", size=1, width=64, height=64
    )
    answer = review(desk, "veo3", "image-to-video", image=f"media:{theirs.key}", **{"image.url": ""})
    refused(answer, "image", "belongs to another team")
    assert "theirs.jpg" not in text_of(answer)


def test_an_upload_of_a_team_one_only_watches_cannot_be_carried_into_another(desk, mara):
    other = Team.objects.create(name="Zenith")
    Membership.objects.create(team=other, user=mara, role="viewer")
    luc = make_person("luc@example.com", "Zenith")
    theirs = Media.objects.create(team=other, owner=luc, kind="image", name="theirs.jpg", size=1, width=64, height=64)
    answer = review(desk, "veo3", "image-to-video", image=f"media:{theirs.key}", **{"image.url": ""})
    refused(answer, "image", "belongs to another team")


def test_a_file_chosen_without_javascript_is_kept_at_review(desk, mara):
    fields = filled(desk, "veo3", "image-to-video", **{"image.url": "", "image.file": picture()})
    answer = desk.post("/new/review", fields)
    assert answer.status_code == 200
    media = Media.objects.get()
    assert lifecycle.unseal(sealed_in(answer))["orders"][0]["media"] == {"image": [f"media:{media.key}"]}


def test_a_fake_image_at_review_is_refused_and_nothing_else_is_lost(desk):
    fake = file_named("start.jpg", b"I am text")
    answer = review(desk, "veo3", "image-to-video", **{"image.url": "", "image.file": fake})
    refused(answer, "image", "This is no image that Dailies can read.")
    assert not Media.objects.exists()


def test_a_body_that_is_too_large_is_refused_unread(desk):
    answer = desk.post("/new/media?slot=image", {}, CONTENT_LENGTH="300000000", **HTMX)
    assert answer.status_code == 413
    nothing_happened()


def test_text_without_end_is_answered_politely(desk):
    assert desk.post("/new/review", {"prompt": "x" * 3_000_000}, **HTMX).status_code == 400
    nothing_happened()
