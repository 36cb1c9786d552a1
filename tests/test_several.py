"""Several models and prompt matrices, used without JavaScript and by htmx: priced together, or a sentence why not."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from django.core import signing

from generations import lifecycle
from generations.models import (
    ApprovalRule,
    Batch,
    Budget,
    Generation,
    LedgerEntry,
    Membership,
    Status,
    SwitchedOff,
    User,
)
from tests.makers import API, make_account, make_order, make_person, prices_are, sealed_for, sealed_together, sent_to
from tests.pages import HTMX, form_in, nothing_happened, text_of

pytestmark = pytest.mark.django_db

PRICES = {"veo3": 100, "kling-3": 250, "sora2": 90, "wan-2-6": 200, "grok-imagine": 20}
THREE = "/new/several?model=veo3&model=kling-3&model=sora2"


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def desk(client, mara) -> Iterator[Any]:
    client.force_login(mara)
    with responses.mock:
        make_account()
        prices_are(PRICES)
        yield client


def filled(desk, at: str = THREE, **more: Any) -> dict[str, Any]:
    return {**form_in(desk.get(at).content.decode()), "prompt": "A lone walker", **more}


def matrix(desk, at: str = THREE, **more: Any) -> dict[str, Any]:
    """Two animals in two styles."""
    values = {"var:animal": "fox\nowl", "var:style": "ink\n\nwatercolour\nink"}
    return filled(desk, at, prompt="A {animal} in {style}", **{**values, **more})


def review(desk, fields: dict[str, Any]):
    return desk.post("/new/several/review", fields, **HTMX)


def sealed_in(answer) -> str:
    return form_in(answer.content.decode(), "/new/several/confirm")["sealed"][0]


def refused(answer, sentence: str) -> None:
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    nothing_happened()


# -- the form ---------------------------------------------------------------------------------------------------------


def test_each_model_has_only_its_own_settings_at_their_defaults(desk):
    fields = filled(desk)
    assert {name for name in fields if name.startswith("1-")} >= {"1-mode", "1-video_quality", "1-aspect_ratio"}
    assert "1-duration" not in fields  # its length is fixed
    assert (fields["2-duration"], fields["2-model_version"]) == (["5"], ["kling-3-standard"])
    assert sent_to("quote") == 0  # opening the page asks nothing by itself


def test_the_form_of_a_single_clip_is_taken_over_with_all_that_was_entered(desk):
    single = form_in(desk.get("/new?mode=kling-3").content.decode())
    answer = desk.post("/new/several", {**single, "prompt": "A lone walker", "duration": "9"})
    fields = form_in(answer.content.decode())
    assert (fields["prompt"], fields["1-mode"], fields["1-duration"]) == (["A lone walker"], ["kling-3"], ["9"])


def test_a_model_is_added_copied_and_taken_out_and_the_others_keep_their_settings(desk):
    fields = filled(desk, **{"2-duration": "9"})
    more = form_in(desk.post("/new/several", {**fields, "add": "grok-imagine"}).content.decode())
    twice = form_in(desk.post("/new/several", {**more, "copy": "2"}).content.decode())
    fewer = form_in(desk.post("/new/several", {**twice, "drop": "1"}).content.decode())
    assert fewer["set"] == ["2", "3", "4", "5"]
    assert (fewer["2-duration"], fewer["5-mode"], fewer["5-duration"]) == (["9"], ["kling-3"], ["9"])


def test_a_model_that_cannot_start_so_says_it_and_comes_back_with_its_settings(desk):
    fields = filled(desk, "/new/several?model=wan-2-6&model=kling-3", **{"2-duration": "9"})
    answer = desk.post("/new/several", {**fields, "generation_type": "video-to-video"})
    assert "Cannot start from a video: left out." in text_of(answer)
    kept = form_in(answer.content.decode())
    back = form_in(desk.post("/new/several", {**kept, "generation_type": "text-to-video"}).content.decode())
    assert back["2-duration"] == ["9"]


def test_variables_of_the_prompt_are_asked_for(desk):
    answer = desk.post("/new/several", filled(desk, prompt="A {animal} in {art style}, {{not this}}"))
    assert re.findall(r'name="var:([^"]+)"', answer.content.decode()) == ["animal", "art style"]


@pytest.mark.parametrize("junk", ["add", "copy", "drop", "set", "remove"])
def test_nonsense_in_the_form_is_answered(desk, junk):
    for value in ("", "x", "-1", "٣", "9" * 30, "\x00"):
        answer = desk.post("/new/several", {**filled(desk), junk: value})
        assert answer.status_code == 200
    nothing_happened()


# -- prices -----------------------------------------------------------------------------------------------------------


def test_all_are_priced_together_with_one_total_and_a_price_for_each(desk):
    page = text_of(desk.post("/new/several/price", filled(desk), **HTMX))
    assert "440 <small>credits" in page
    assert all(f"{price} credits" in page for price in (100, 250, 90))
    assert sent_to("quote") == 3


def test_a_matrix_costs_each_model_times_its_prompts(desk):
    page = text_of(desk.post("/new/several/price", matrix(desk), **HTMX))
    assert "1,760 <small>credits" in page
    assert "4 clips at 250 credits each" in page
    assert sent_to("quote") == 3


def test_known_prices_are_not_asked_for_again(desk):
    desk.post("/new/several/price", filled(desk), **HTMX)
    desk.post("/new/several/price", matrix(desk), **HTMX)
    assert sent_to("quote") == 3


def test_when_a_price_cannot_be_had_it_is_named_and_nothing_can_be_confirmed(desk):
    desk.post("/new/several/price", filled(desk, "/new/several?model=veo3"), **HTMX)
    responses.remove(responses.POST, f"{API}/quote")
    responses.post(f"{API}/quote", status=500, json={})
    answer = review(desk, filled(desk))
    page = text_of(answer)
    assert answer.status_code == 422
    assert "2 of 3 prices cannot be had now. Nothing was charged." in page
    assert "several/confirm" not in page
    assert sent_to("quote") == 2  # one for the price that is known, one that failed: it holds for the others too
    nothing_happened()


# -- review -----------------------------------------------------------------------------------------------------------


def test_the_review_names_the_total_every_price_and_what_it_does_to_the_budget(desk, mara):
    Budget.objects.create(team=mara.teams.get(), user=mara, credits=1000)
    page = text_of(review(desk, filled(desk)))
    assert "Generate 3 clips for 440 credits" in page
    assert re.search(r"Your budget this month</th><td>1,000</td>.*?<td>560</td>", page)


def test_over_a_budget_the_page_says_which_and_by_how_much(desk, mara):
    Budget.objects.create(team=mara.teams.get(), credits=400)
    answer = review(desk, filled(desk))
    refused(answer, "Budget of Northlight this month: 400 credits left of 400, 40 credits short.")
    assert "several/confirm" not in text_of(answer)


def test_more_than_the_balance_is_said_plainly(desk):
    prices_are(PRICES, balance=300)
    page = text_of(review(desk, filled(desk)))
    assert "These need 440 credits, the account has 300 credits. Nothing was charged." in page
    assert "several/confirm" not in page


def test_what_waits_for_approval_is_said_before(desk, mara):
    ApprovalRule.objects.create(team=mara.teams.get(), above=200)
    page = text_of(review(desk, filled(desk)))
    assert "1 of 3 wait for approval, with their credits held. The others start at once." in page


def test_sixty_clips_are_the_most(desk):
    lines = "\n".join(f"animal {number}" for number in range(21))
    answer = review(desk, filled(desk, prompt="A {animal}", **{"var:animal": lines}))
    refused(answer, "These are 63 clips: 21 values of animal × 3 models. At most 60 can be confirmed together.")
    assert sent_to("quote") == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompt": ""}, "Write a prompt"),
        ({"prompt": "x" * 5001}, "The prompt can be at most 5,000 characters"),
        ({"prompt": "A {animal}", "var:animal": " \n "}, "Write at least one value for {animal}"),
        ({"prompt": "A {animal}", "var:animal": "x" * 1001}, "A value can be at most 1,000 characters."),
        ({"prompt": "{a} " * 900, "var:a": "long enough"}, "With its values: The prompt can be at most 5,000"),
        ({"stop_after": "0"}, "Type a whole number from 1 to 60, or nothing."),
        ({"stop_after": "-1"}, "Type a whole number from 1 to 60, or nothing."),
        ({"stop_after": "9" * 5000}, "Type a whole number from 1 to 60, or nothing."),
        ({"2-duration": "99"}, "Length can be 3 to 15 seconds for Kling 3.0."),
        ({"set": []}, "Add a model that can start from this."),
        ({"project": "77"}, "This project is not there any more."),
    ],
)
def test_what_cannot_be_made_is_refused_where_it_stands(desk, change, sentence):
    refused(review(desk, filled(desk, **change)), sentence)


def test_a_model_switched_off_is_left_out_and_named(desk):
    fields = filled(desk)
    SwitchedOff.objects.create(mode="sora2")
    page = text_of(desk.post("/new/several", fields))
    assert "Switched off: left out." in page


def test_a_viewer_reads_why_nothing_can_be_generated(client, mara):
    viewer = make_person("vera@example.com", role="viewer")
    client.force_login(viewer)
    assert client.get("/new/several").status_code == 403
    assert client.post("/new/several/confirm", {"sealed": "x"}).status_code == 422


# -- the confirmation -------------------------------------------------------------------------------------------------


def confirm(desk, sealed: str, **more: Any):
    return desk.post("/new/several/confirm", {"sealed": sealed}, **more)


def test_one_click_makes_a_batch_of_every_prompt_with_every_model(desk):
    answer = confirm(desk, sealed_in(review(desk, matrix(desk, stop_after="2"))))
    batch = Batch.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, f"/batches/{batch.pk}")
    assert (batch.kind, batch.stop_after, batch.values) == (
        "matrix", 2, {"animal": ["fox", "owl"], "style": ["ink", "watercolour"]},
    )  # fmt: skip
    prompts = list(batch.generations.order_by("position").values_list("prompt", flat=True))
    assert prompts[::3] == ["A fox in ink", "A fox in watercolour", "A owl in ink", "A owl in watercolour"]
    assert sum(LedgerEntry.objects.values_list("held", flat=True)) == 1760
    assert sent_to("generate-video") == 0


def test_braces_that_are_doubled_reach_the_model_as_braces(desk):
    confirm(desk, sealed_in(review(desk, filled(desk, prompt='A sign "{{sale}}"'))))
    assert set(Generation.objects.values_list("prompt", flat=True)) == {'A sign "{sale}"'}


def test_double_click_refresh_and_a_second_tab_are_one_batch(desk):
    sealed = sealed_in(review(desk, filled(desk)))
    answers = [confirm(desk, sealed), confirm(desk, sealed, **HTMX), confirm(desk, sealed)]
    assert [answer.status_code for answer in answers] == [303, 200, 303]
    assert (Batch.objects.count(), Generation.objects.count(), LedgerEntry.objects.count()) == (1, 3, 3)


def test_a_price_that_rose_is_shown_again_and_nothing_is_held(desk):
    sealed = sealed_in(review(desk, filled(desk)))
    prices_are({**PRICES, "kling-3": 260})
    lifecycle.ask_price(make_order("kling-3").billing, False, None)
    answer = confirm(desk, sealed, **HTMX)
    refused(answer, "is no longer the one you saw")
    assert "Generate 3 clips for 450 credits" in text_of(answer)


def test_a_budget_that_was_used_up_meanwhile_refuses_all_of_them(desk, mara):
    sealed = sealed_in(review(desk, filled(desk)))
    Budget.objects.create(team=mara.teams.get(), credits=439)
    refused(confirm(desk, sealed, **HTMX), "439 credits left of 439, 1 credit short")


@pytest.mark.parametrize("change", [lambda s: "", lambda s: s[:-1], lambda s: "A" + s])
def test_an_altered_confirmation_confirms_nothing(desk, change):
    refused(confirm(desk, change(sealed_in(review(desk, filled(desk)))), **HTMX), "was altered on its way")


def test_the_confirmation_of_a_single_clip_is_no_confirmation_of_several_nor_the_other_way_round(desk, mara):
    together = sealed_together(mara, {"veo3": 100, "sora2": 90})
    assert desk.post("/new/confirm", {"sealed": together}, **HTMX).status_code == 422
    assert confirm(desk, sealed_for(mara), **HTMX).status_code == 422
    nothing_happened()


def test_a_confirmation_from_before_the_update_asks_again(desk, mara):
    old = {"nonce": "0" * 32, "user": mara.pk, "team": mara.teams.get().pk, "mode": "veo3", "quote": 1, "credits": 1}
    sealed = signing.dumps(old, salt=lifecycle.CONFIRMATION_SALT)
    for path in ("/new/confirm", "/new/several/confirm"):
        assert desk.post(path, {"sealed": sealed}, **HTMX).status_code == 422
    nothing_happened()


def test_a_role_lost_since_the_review_confirms_nothing(desk, mara):
    sealed = sealed_in(review(desk, filled(desk)))
    Membership.objects.update(role="viewer")
    assert confirm(desk, sealed).status_code == 403
    nothing_happened()


def test_editing_again_without_javascript_brings_everything_back(desk):
    sealed = sealed_in(review(desk, matrix(desk, stop_after="2")))
    fields = form_in(desk.post("/new/several", {"sealed": sealed}).content.decode())
    assert (fields["prompt"], fields["stop_after"]) == (["A {animal} in {style}"], ["2"])
    assert (fields["var:animal"], fields["var:style"]) == (["fox\nowl"], ["ink\nwatercolour"])
    assert [fields[f"{number}-mode"] for number in (1, 2, 3)] == [["veo3"], ["kling-3"], ["sora2"]]


# -- the batch's page -------------------------------------------------------------------------------------------------


def test_the_batch_shows_its_clips_what_they_cost_and_when_all_are_ready(desk):
    page = text_of(desk.get(confirm(desk, sealed_in(review(desk, matrix(desk))))["Location"]))
    assert "12 waiting" in page
    assert "1,760 <small>credits" in page
    assert page.count('class="cell"') == 12
    assert re.search(r"All ready in</span><b class=\"num\">[\d–]+ (s|min)", page)


def test_cancelling_the_rest_gives_their_credits_back(desk):
    there = confirm(desk, sealed_in(review(desk, filled(desk))))["Location"]
    Generation.objects.filter(position=0).update(status=Status.PROCESSING)
    page = text_of(desk.post(f"{there}/cancel", follow=True))
    assert "2 clips cancelled. 340 credits given back" in page
    assert sum(LedgerEntry.objects.values_list("held", flat=True)) == 100


def test_a_colleague_cannot_cancel_somebody_elses_batch(desk, client):
    there = confirm(desk, sealed_in(review(desk, filled(desk))))["Location"]
    client.force_login(make_person("jonas@example.com"))
    assert client.get(there).status_code == 200
    assert client.post(f"{there}/cancel").status_code == 403
    assert Generation.objects.filter(status=Status.QUEUED).count() == 3


def test_a_batch_of_another_team_is_not_found(desk, client):
    there = confirm(desk, sealed_in(review(desk, filled(desk))))["Location"]
    client.force_login(make_person("stranger@example.com", team="Southlight", role="manager"))
    assert [client.get(there).status_code, client.post(f"{there}/cancel").status_code] == [404, 404]
