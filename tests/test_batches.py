"""Several clips confirmed together: all of them or none, once, and no more of them after too many failures."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import responses
from django.core import signing
from django.db import connection
from django.utils import timezone

from generations import budgets, lifecycle, sending
from generations.models import (
    Approval,
    ApprovalRule,
    Batch,
    Budget,
    Forecast,
    Generation,
    LedgerEntry,
    Project,
    Status,
    SwitchedOff,
    Team,
    User,
)
from tests.makers import (
    API,
    accepts,
    make_account,
    make_order,
    make_person,
    prices_are,
    sealed_together,
    sent_to,
    status_is,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]

THREE = {"veo3": 100, "kling-3": 250, "sora2": 90}


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


@pytest.fixture
def team(mara) -> Team:
    return mara.teams.get()


def nothing_was_made() -> None:
    assert not Batch.objects.exists()
    assert not Generation.objects.exists()
    assert not LedgerEntry.objects.exists()
    assert sent_to("generate-video") == 0


def statuses() -> list[str]:
    return list(Generation.objects.order_by("position").values_list("status", flat=True))


# -- all of them or none ----------------------------------------------------------------------------------------------


def test_one_confirmation_makes_every_clip_with_its_hold_in_one_batch(mara):
    made = lifecycle.confirm_all(mara, sealed_together(mara, THREE))
    batch = Batch.objects.get()
    assert [(g.mode, g.price, g.batch, g.position, g.status) for g in made] == [
        (mode, price, batch, position, Status.QUEUED) for position, (mode, price) in enumerate(THREE.items())
    ]
    assert sum(LedgerEntry.objects.values_list("held", flat=True)) == sum(THREE.values()) == 440
    assert LedgerEntry.objects.count() == 3


def test_of_each_it_is_told_when_it_will_be_ready(mara):
    lifecycle.confirm_all(mara, sealed_together(mara, THREE, prompts=["A", "B"]))
    assert Forecast.objects.filter(stage="queued").count() == 6


def test_a_price_is_asked_once_for_each_set_of_parameters_however_many_prompts(mara):
    sealed_together(mara, THREE, prompts=["A", "B", "C", "D"])
    assert sent_to("quote") == 3


def test_the_same_confirmation_twice_is_one_batch(mara):
    sealed = sealed_together(mara, THREE)
    first, second = lifecycle.confirm_all(mara, sealed), lifecycle.confirm_all(mara, sealed)
    assert [g.pk for g in first] == [g.pk for g in second]
    assert (Batch.objects.count(), Generation.objects.count(), LedgerEntry.objects.count()) == (1, 3, 3)


@pytest.mark.parametrize("whose", ["team", "person", "project"])
def test_a_budget_refuses_them_together_though_each_alone_would_fit(mara, team, whose):
    project = Project.objects.create(team=team, name="Alpine Rail")
    target = {"team": {}, "person": {"user": mara}, "project": {"project": project}}[whose]
    Budget.objects.create(team=team, credits=439, **target)
    sealed = sealed_together(mara, THREE)
    if whose == "project":
        said = lifecycle.unseal(sealed)
        orders = [{**one, "project": project.pk} for one in said["orders"]]
        sealed = signing.dumps({**said, "orders": orders}, salt=lifecycle.CONFIRMATION_SALT)
    with pytest.raises(budgets.OverBudget, match=r"This needs 440 credits\. .*439 credits left of 439, 1 credit short"):
        lifecycle.confirm_all(mara, sealed)
    nothing_was_made()


def test_what_fits_a_budget_to_the_last_credit_is_taken_whole(mara, team):
    Budget.objects.create(team=team, credits=440)
    assert len(lifecycle.confirm_all(mara, sealed_together(mara, THREE))) == 3


def test_two_batches_at_once_never_exceed_a_budget_together(mara, team):
    Budget.objects.create(team=team, credits=500)
    first, second = sealed_together(mara, THREE), sealed_together(mara, THREE)
    lifecycle.confirm_all(mara, first)
    with pytest.raises(budgets.OverBudget, match="60 credits left of 500, 380 credits short"):
        lifecycle.confirm_all(mara, second)
    assert Generation.objects.count() == 3


def test_a_price_that_rose_between_review_and_confirmation_confirms_nothing(mara):
    sealed = sealed_together(mara, THREE)
    prices_are({**THREE, "kling-3": 260})
    lifecycle.ask_price(make_order("kling-3").billing, False, None)
    with pytest.raises(lifecycle.ConfirmAgain, match=r"The price of Kling 3\.0 .* is no longer the one you saw"):
        lifecycle.confirm_all(mara, sealed)
    nothing_was_made()


def test_a_model_switched_off_meanwhile_confirms_none_of_them(mara):
    sealed = sealed_together(mara, THREE)
    SwitchedOff.objects.create(mode="sora2")
    with pytest.raises(lifecycle.ConfirmAgain, match="switched off meanwhile"):
        lifecycle.confirm_all(mara, sealed)
    nothing_was_made()


def test_media_that_is_gone_for_the_last_of_them_takes_the_first_back_too(mara):
    said = lifecycle.unseal(sealed_together(mara, THREE))
    said["orders"][-1]["media"] = {"image": ["media:6a0f3b7e-0000-4000-8000-000000000000"]}
    with pytest.raises(lifecycle.ConfirmAgain, match="not there any more"):
        lifecycle.confirm_all(mara, signing.dumps(said, salt=lifecycle.CONFIRMATION_SALT))
    nothing_was_made()


@pytest.mark.parametrize(
    "forge",
    [
        lambda sealed, said: sealed[:-2],
        lambda sealed, said: signing.dumps(said, salt="another purpose"),
        lambda sealed, said: signing.dumps({**said, "user": said["user"] + 1}, salt=lifecycle.CONFIRMATION_SALT),
    ],
    ids=["cut", "another salt", "another person"],
)
def test_a_forged_confirmation_confirms_nothing(mara, forge):
    sealed = sealed_together(mara, THREE)
    with pytest.raises(lifecycle.ConfirmAgain):
        lifecycle.confirm_all(mara, forge(sealed, lifecycle.unseal(sealed)))
    nothing_was_made()


# -- approval ---------------------------------------------------------------------------------------------------------


def test_a_rule_parks_only_the_clips_that_need_it(mara, team):
    ApprovalRule.objects.create(team=team, above=200)
    lifecycle.confirm_all(mara, sealed_together(mara, THREE))
    assert statuses() == [Status.QUEUED, Status.AWAITING_APPROVAL, Status.QUEUED]
    assert Approval.objects.get().why == "Anything above 200 credits needs approval."


def test_a_soft_budget_parks_what_does_not_fit_any_more_in_their_order(mara, team):
    Budget.objects.create(team=team, credits=360, over="park")
    lifecycle.confirm_all(mara, sealed_together(mara, THREE))
    assert statuses() == [Status.QUEUED, Status.QUEUED, Status.AWAITING_APPROVAL]
    assert "80 credits short" in Approval.objects.get().why


# -- one request each, and an end after failures ----------------------------------------------------------------------


def send(generation: Generation) -> Generation:
    sending.submit(generation.pk, "test")
    generation.refresh_from_db()
    return generation


def fail(generation: Generation) -> None:
    status_is(str(generation.upstream_id), status="failed", credits_used=0, error_message="upstream capacity")
    Generation.objects.filter(pk=generation.pk).update(next_look_at=timezone.now())
    lifecycle.look(generation.pk)


def test_every_clip_is_sent_exactly_once(mara):
    made = lifecycle.confirm_all(mara, sealed_together(mara, THREE))
    for number, generation in enumerate(made):
        responses.remove(responses.POST, f"{API}/generate-video")
        accepts(f"vg_{number}")
        send(generation)
        send(generation)
    assert statuses() == [Status.PROCESSING] * 3
    assert sent_to("generate-video") == 3


def test_after_so_many_failures_the_rest_is_cancelled_and_given_back(mara, team):
    made = lifecycle.confirm_all(mara, sealed_together(mara, THREE, prompts=["A", "B"], stop_after=2))
    for number, generation in enumerate(made[:2]):
        responses.remove(responses.POST, f"{API}/generate-video")
        accepts(f"vg_{number}")
        fail(send(generation))
        assert statuses().count(Status.CANCELLED) == (0 if number == 0 else 4)
    assert Batch.objects.get().stopped_at
    assert sum(LedgerEntry.objects.values_list("held", flat=True)) == 0
    assert "the batch stops after 2 failures" in LedgerEntry.objects.order_by("-pk")[0].why


def test_a_refusal_counts_as_a_failure(mara):
    made = lifecycle.confirm_all(mara, sealed_together(mara, THREE, stop_after=1))
    responses.post(f"{API}/generate-video", status=400, json={"error": "prompt violates policy"})
    send(made[0])
    assert statuses() == [Status.REJECTED, Status.CANCELLED, Status.CANCELLED]


def test_without_a_limit_the_rest_goes_on(mara):
    made = lifecycle.confirm_all(mara, sealed_together(mara, THREE))
    responses.post(f"{API}/generate-video", status=400, json={"error": "prompt violates policy"})
    send(made[0])
    assert statuses() == [Status.REJECTED, Status.QUEUED, Status.QUEUED]


def test_a_worker_that_died_before_it_cancelled_the_rest_lets_nothing_more_be_sent(mara, monkeypatch):
    made = lifecycle.confirm_all(mara, sealed_together(mara, THREE, stop_after=1))
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "stop_if_too_many_failed", lambda generation: None)
        accepts("vg_0")
        fail(send(made[0]))
    assert statuses() == [Status.FAILED, Status.QUEUED, Status.QUEUED]
    send(made[1])
    assert statuses() == [Status.FAILED, Status.CANCELLED, Status.QUEUED]
    assert sent_to("generate-video") == 1


def test_cancelling_the_rest_leaves_what_was_sent(mara):
    made = lifecycle.confirm_all(mara, sealed_together(mara, THREE))
    accepts("vg_0")
    send(made[0])
    cancelled = lifecycle.cancel_rest(Batch.objects.get(), mara)
    assert [generation.pk for generation in cancelled] == [made[1].pk, made[2].pk]
    assert statuses() == [Status.PROCESSING, Status.CANCELLED, Status.CANCELLED]


# -- prices -----------------------------------------------------------------------------------------------------------


def test_prices_are_asked_for_only_as_long_as_the_limits_allow_and_the_rest_is_named(mara):
    billings = [make_order("grok-imagine", duration=str(length)).billing for length in (6, 10, 15)]
    prices_are({"grok-imagine": 20})
    lifecycle.quote_all(billings[:1])
    responses.remove(responses.POST, f"{API}/quote")
    responses.post(f"{API}/quote", status=429, json={"error": "slow down"}, headers={"Retry-After": "60"})
    found = lifecycle.quote_all(billings)
    assert (len(found.quotes), len(found.missing)) == (1, 2)
    assert sent_to("quote") == 2  # the one that is known, and one refusal: it holds for all


def test_a_set_that_upstream_refuses_does_not_keep_the_others_from_their_price(mara):
    prices_are(THREE)
    orders = [make_order(mode).billing for mode in THREE]
    with_refusal = responses.CallbackResponse(responses.POST, f"{API}/quote", callback=_refuses_kling)
    responses.remove(responses.POST, f"{API}/quote")
    responses.add(with_refusal)
    found = lifecycle.quote_all(orders)
    assert (len(found.quotes), [no.refused for no in found.missing.values()]) == (2, [True])


def _refuses_kling(request: Any) -> tuple[int, dict[str, str], str]:
    if b"kling-3" in request.body:
        return 400, {}, '{"error": "no such quality"}'
    return 200, {}, '{"required_credits": 20, "current_balance": 5000, "sufficient": true}'


# -- at once ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_tabs_that_confirm_at_once_make_one_batch(mara):
    sealed = sealed_together(mara, THREE)
    found = _at_once([lambda: lifecycle.confirm_all(mara, sealed)] * 4)
    assert len(found) == 4
    assert len({tuple(g.pk for g in made) for made in found}) == 1
    assert (Batch.objects.count(), Generation.objects.count(), LedgerEntry.objects.count()) == (1, 3, 3)


def _at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    found: list[Any] = []

    def run(job: Callable[[], Any]) -> None:
        try:
            found.append(job())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
