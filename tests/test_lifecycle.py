"""Quote -> confirm -> submit -> look -> complete, with the vendor's wire faked."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
import requests
import responses
import time_machine
from django.core import signing
from django.db import IntegrityError, transaction
from django.utils import timezone
from urllib3.exceptions import NewConnectionError

from generations import catalogue, dispatch, ledger, lifecycle, sending
from generations.models import (
    NEXT,
    ApiAccount,
    ApiCall,
    ApiKey,
    AppendOnly,
    BalanceReading,
    Clip,
    Generation,
    LedgerEntry,
    NotAllowed,
    Quote,
    Status,
    Submission,
    User,
)
from tests.makers import (
    API,
    CLIP_URL,
    accepts,
    confirmed,
    make_account,
    make_order,
    make_person,
    price_is,
    sealed_for,
    sent_to,
    status_is,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


def totals():
    return ledger.totals(demo=False)


def due_now(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(next_look_at=timezone.now())


def submitted(user: User, **answer: Any) -> Generation:
    generation = confirmed(user)
    accepts(**answer)
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    return generation


# -- quote ------------------------------------------------------------------------------------------------------------


def test_one_price_is_asked_once_and_kept_for_a_day(mara):
    price_is(140)
    billing = make_order().billing
    assert lifecycle.quote(billing).credits == lifecycle.quote(dict(reversed(billing.items()))).credits == 140
    assert sent_to("quote") == 1
    with time_machine.travel(timezone.now() + timedelta(days=1, minutes=1)):
        lifecycle.quote(billing)
    assert sent_to("quote") == 2


def test_a_price_that_could_not_be_paid_is_asked_again_soon(mara):
    price_is(140, balance=12)
    billing = make_order().billing
    lifecycle.quote(billing)
    with time_machine.travel(timezone.now() + timedelta(seconds=31)):
        lifecycle.quote(billing)
    assert sent_to("quote") == 2


def test_the_balance_is_read_off_the_quote(mara):
    price_is(140, balance=451)
    lifecycle.quote(make_order().billing)
    assert dispatch.balance(demo=False)[0] == BalanceReading.objects.get().credits == 451


def test_a_price_refused_upstream_is_told_in_words_with_the_vendors_own(mara):
    responses.post(f"{API}/quote", status=400, json={"error": "duration not allowed"})
    with pytest.raises(lifecycle.NoPrice) as refused:
        lifecycle.quote(make_order().billing)
    assert refused.value.upstream_words == "duration not allowed"
    assert not Quote.objects.exists()


def test_without_any_account_the_price_says_so(db):
    with pytest.raises(lifecycle.NoPrice, match="No Veevid account"):
        lifecycle.quote(make_order().billing)


# -- confirm ----------------------------------------------------------------------------------------------------------


def test_a_confirmation_makes_one_queued_generation_with_its_hold(mara):
    generation = confirmed(mara, 140)
    assert (generation.status, generation.price, generation.owner) == (Status.QUEUED, 140, mara)
    assert totals() == ledger.Totals(held=140, spent=0)


def test_the_same_confirmation_twice_is_one_generation_and_one_hold(mara):
    sealed = sealed_for(mara)
    assert lifecycle.confirm(mara, sealed) == lifecycle.confirm(mara, sealed)
    assert Generation.objects.count() == LedgerEntry.objects.count() == 1


def refused(user: User, sealed: str, words: str) -> None:
    with pytest.raises(lifecycle.ConfirmAgain, match=words):
        lifecycle.confirm(user, sealed)
    assert not Generation.objects.exists()
    assert not LedgerEntry.objects.exists()
    assert sent_to("generate-video") == 0


def test_an_altered_confirmation_is_refused(mara):
    sealed = sealed_for(mara)
    refused(mara, sealed[:10] + ("A" if sealed[10] != "A" else "B") + sealed[11:], "altered")


def test_a_confirmation_signed_for_another_purpose_is_refused(mara):
    refused(mara, signing.dumps({"nonce": uuid.uuid4().hex}, salt="something else"), "altered")


def test_a_confirmation_older_than_half_an_hour_is_refused(mara):
    sealed = sealed_for(mara)
    with time_machine.travel(timezone.now() + timedelta(minutes=31)):
        refused(mara, sealed, "half an hour")


def test_somebody_elses_confirmation_is_refused(mara):
    refused(make_person("luc@example.com"), sealed_for(mara), "somebody else")


def test_a_price_that_changed_since_is_shown_again(mara):
    sealed = sealed_for(mara, 140)
    with time_machine.travel(timezone.now() + timedelta(seconds=1)):
        Quote.objects.create(
            account=ApiAccount.objects.get(),
            digest=lifecycle.digest_of(make_order().billing),
            billing=make_order().billing,
            credits=150,
        )
        refused(mara, sealed, "no longer the one")


def test_leaving_demo_mode_never_sends_a_demo_confirmation_to_a_paid_account(db, settings):
    settings.SIMULATOR_URL = "http://127.0.0.1:1/api"
    account = ApiAccount.objects.create(name="Demo", demo=True)
    ApiKey.objects.create(account=account, secret="vv_sk_demo", last4="demo", digest="d")
    responses.post(
        "http://127.0.0.1:1/api/quote", json={"required_credits": 5, "current_balance": 9, "sufficient": True}
    )
    luc = make_person("luc@example.com")
    order = make_order()
    sealed = lifecycle.seal(luc, luc.teams.get(), order, lifecycle.quote(order.billing))
    make_account()
    refused(luc, sealed, "left demo mode")


# -- submit -----------------------------------------------------------------------------------------------------------


def test_what_is_sent_is_exactly_what_was_confirmed(mara):
    generation = submitted(mara)
    body = next(call.request.body for call in responses.calls if "generate" in call.request.url)
    expected = catalogue.body("veo3", "text-to-video", generation.params, "A lone walker", {})
    assert requests.models.complexjson.loads(body) == expected


def test_an_accepted_generation_keeps_its_hold_and_is_looked_at_later(mara):
    generation = submitted(mara)
    assert (generation.status, generation.upstream_id) == (Status.PROCESSING, "vg_1")
    assert generation.next_look_at > timezone.now()
    assert totals() == ledger.Totals(held=140, spent=0)


def test_the_intent_is_committed_before_the_request_leaves(mara):
    generation = confirmed(mara)
    seen = []

    def answer(request):
        seen.append((Submission.objects.get().outcome, Generation.objects.get().status))
        return 200, {}, '{"generation_id": "vg_1", "status": "processing"}'

    responses.add(responses.CallbackResponse(responses.POST, f"{API}/generate-video", callback=answer))
    sending.submit(generation.pk, "worker")
    assert seen == [(Submission.Outcome.OPEN, Status.SUBMITTING)]


def test_submitting_twice_sends_once(mara):
    generation = submitted(mara)
    sending.submit(generation.pk, "another worker")
    assert sent_to("generate-video") == 1


UNCLEAR = {
    "no answer in time": {"body": requests.ReadTimeout()},
    "a reset connection": {"body": requests.ConnectionError("reset")},
    "a server error": {"status": 500, "json": {"error": "boom"}},
    "a redirect": {"status": 307, "headers": {"Location": f"{API}/generate-video"}},
    "a page of HTML": {"body": "<html>ok</html>"},
    "broken JSON": {"body": '{"generation_id": "vg'},
    "an answer without an id": {"json": {"status": "processing"}},
}


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_is_unconfirmed_keeps_its_hold_and_is_never_sent_again(mara, answer):
    generation = confirmed(mara)
    responses.post(f"{API}/generate-video", **answer)
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.UNCONFIRMED
    assert totals() == ledger.Totals(held=140, spent=0)
    sending.submit(generation.pk, "worker")
    assert generation.pk not in dispatch.due(timezone.now() + timedelta(days=1)).submit
    assert sent_to("generate-video") == 1


def test_a_refused_parameter_ends_it_with_the_vendors_words_and_nothing_charged(mara):
    generation = confirmed(mara)
    responses.post(f"{API}/generate-video", status=400, json={"error": "prompt violates policy"})
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_words) == (Status.REJECTED, "prompt violates policy")
    assert totals() == ledger.Totals(held=0, spent=0)


def returned(mara: User, **answer: Any) -> Generation:
    generation = confirmed(mara)
    responses.post(f"{API}/generate-video", **answer)
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED
    assert Submission.objects.get().outcome == Submission.Outcome.RETURNED
    assert totals() == ledger.Totals(held=140, spent=0)
    return generation


def test_too_few_credits_waits_and_says_how_many_are_missing(mara):
    generation = returned(mara, status=402, json={"error": "Insufficient credits", "required": 140, "balance": 12})
    assert generation.wait_why == "credits"
    assert "140" in Submission.objects.get().upstream_words
    assert dispatch.due().submit == []


def test_a_top_up_seen_anywhere_lets_it_go_on(mara):
    generation = returned(mara, status=402, json={"error": "Insufficient credits", "required": 140, "balance": 12})
    price_is(20, balance=900)
    lifecycle.quote(make_order(mode="grok-imagine").billing)
    assert dispatch.due().submit == [generation.pk]


def test_a_refused_key_is_set_aside_and_another_key_carries_it(mara):
    generation = returned(mara, status=401, json={"error": "invalid key"})
    assert ApiKey.objects.get().state == ApiKey.State.REFUSED
    assert dispatch.due().submit == []
    ApiKey.objects.create(account=ApiAccount.objects.get(), secret="vv_sk_second", last4="cond", digest="2")
    assert dispatch.due().submit == [generation.pk]


def test_a_suspended_account_takes_nothing_more(mara):
    returned(mara, status=403, json={"error": "account suspended"})
    account = ApiAccount.objects.get()
    assert (account.state, account.state_why) == (ApiAccount.State.SUSPENDED, "account suspended")
    assert dispatch.due(timezone.now() + timedelta(days=9)).submit == []


def test_busy_waits_as_long_as_it_was_told(mara):
    generation = returned(mara, status=429, headers={"Retry-After": "40"}, json={"error": "slow down"})
    assert dispatch.due(timezone.now() + timedelta(seconds=38)).submit == []
    assert dispatch.due(timezone.now() + timedelta(seconds=42)).submit == [generation.pk]


def test_a_refused_connection_waits_and_does_not_count_against_the_limits(mara):
    returned(mara, body=requests.ConnectionError(NewConnectionError(None, "refused")))
    account = ApiAccount.objects.get()
    assert (account.unreachable, account.wait_why) == (1, "unreachable")
    assert ApiCall.objects.get(kind="generate").outcome == ApiCall.Outcome.NOT_SENT
    assert dispatch.requests_this_hour(account) == 1  # the price's


def test_a_price_that_rose_while_waiting_is_not_spent(mara):
    generation = confirmed(mara, 140)
    price_is(200)
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.CANCELLED
    assert sent_to("generate-video") == 0
    assert totals() == ledger.Totals(held=0, spent=0)


def test_a_submission_whose_worker_vanished_becomes_unconfirmed_after_its_lease(mara):
    generation = confirmed(mara)
    submission = sending._claim(generation.pk, "a worker that dies here")
    assert sending.lost() == []
    with time_machine.travel(submission.deadline + timedelta(seconds=10)):
        assert sending.lost() == [submission.pk]
        sending.lose(submission.pk)
    generation.refresh_from_db()
    assert generation.status == Status.UNCONFIRMED
    assert sent_to("generate-video") == 0


def test_an_answer_that_comes_after_the_lease_is_still_kept(mara):
    generation = confirmed(mara)
    submission = sending._claim(generation.pk, "a slow worker")
    Generation.objects.filter(pk=generation.pk).update(status=Status.UNCONFIRMED)
    accepts()
    sending._accepted(submission, sending._send(submission, {}))
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_id) == (Status.PROCESSING, "vg_1")


def test_only_one_submission_of_an_account_is_in_flight(mara):
    first, second = confirmed(mara), confirmed(mara)
    assert sending._claim(first.pk, "one") is not None
    assert sending._claim(second.pk, "two") is None


def test_three_generations_at_once_and_no_fourth(mara):
    for number in range(3):
        generation = confirmed(mara)
        responses.remove(responses.POST, f"{API}/generate-video")
        accepts(f"vg_{number}")
        sending.submit(generation.pk, "worker")
    fourth = confirmed(mara)
    sending.submit(fourth.pk, "worker")
    fourth.refresh_from_db()
    assert fourth.status == Status.QUEUED
    assert sent_to("generate-video") == 3


# -- the balance ------------------------------------------------------------------------------------------------------


def expected_balance() -> int:
    known = dispatch.balance(demo=False)
    assert known is not None
    return known[0]


def test_the_balance_falls_by_what_was_accepted_since_it_was_read(mara):
    submitted(mara)
    assert expected_balance() == 5000 - 140


def test_the_balance_rises_again_when_a_generation_fails(mara):
    generation = submitted(mara)
    price_is(20, balance=4860)
    lifecycle.quote(make_order(mode="grok-imagine").billing)  # read while it renders: the 140 are already gone
    assert expected_balance() == 4860
    status_is(status="failed", error_message="capacity", credits_used=0)
    due_now(generation)
    lifecycle.look(generation.pk)
    assert expected_balance() == 5000


# -- look and end -----------------------------------------------------------------------------------------------------


def test_a_completed_generation_is_captured_at_the_real_charge(mara):
    generation = submitted(mara)
    status_is(status="completed", video_url=CLIP_URL, credits_used=120)
    due_now(generation)
    clip = lifecycle.look(generation.pk)
    generation.refresh_from_db()
    assert (generation.status, generation.charged) == (Status.COMPLETED, 120)
    assert totals() == ledger.Totals(held=0, spent=120)
    assert (clip.state, clip.source_url) == (Clip.State.PENDING, CLIP_URL)


def test_the_short_status_form_is_captured_at_the_confirmed_price(mara):
    generation = submitted(mara)
    status_is(status="completed", video_url=CLIP_URL)
    due_now(generation)
    lifecycle.look(generation.pk)
    assert totals() == ledger.Totals(held=0, spent=140)


def test_a_failed_generation_gives_its_hold_back(mara):
    generation = submitted(mara)
    status_is(status="failed", error_message="upstream capacity", credits_used=0)
    due_now(generation)
    lifecycle.look(generation.pk)
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_words) == (Status.FAILED, "upstream capacity")
    assert totals() == ledger.Totals(held=0, spent=0)


def test_an_instant_completion_is_looked_at_at_once(mara):
    generation = submitted(mara, status="completed", video_url=CLIP_URL)
    status_is(status="completed", video_url=CLIP_URL, credits_used=140)
    assert dispatch.due().look == [generation.pk]
    lifecycle.look(generation.pk)
    assert totals() == ledger.Totals(held=0, spent=140)


def test_an_unknown_status_word_is_looked_at_again(mara):
    generation = submitted(mara)
    status_is(status="dreaming", colour="blue")
    due_now(generation)
    lifecycle.look(generation.pk)
    generation.refresh_from_db()
    assert generation.status == Status.PROCESSING
    assert generation.next_look_at > timezone.now()


def test_a_look_that_is_not_due_asks_nothing(mara):
    generation = submitted(mara)
    status_is(status="processing")
    lifecycle.look(generation.pk)
    assert sent_to("video-generation") == 0


def test_a_404_for_a_known_id_is_no_refund(mara):
    generation = submitted(mara)
    responses.get(f"{API}/video-generation/vg_1/status", status=404, json={"error": "no such generation"})
    due_now(generation)
    lifecycle.look(generation.pk)
    generation.refresh_from_db()
    assert generation.status == Status.PROCESSING
    assert totals() == ledger.Totals(held=140, spent=0)


def test_what_never_ends_is_stalled_and_still_settles_when_it_completes_late(mara):
    generation = submitted(mara)
    status_is(status="processing")
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        lifecycle.look(generation.pk)
        generation.refresh_from_db()
        assert generation.status == Status.STALLED
    status_is(status="completed", video_url=CLIP_URL, credits_used=140)
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        lifecycle.look(generation.pk)
    generation.refresh_from_db()
    assert generation.status == Status.COMPLETED
    assert totals() == ledger.Totals(held=0, spent=140)


@pytest.mark.parametrize(("usually", "still", "no_more"), [(20, 9, 11), (400, 60, 70)])
def test_what_counts_as_never_ending_is_learned_from_its_like(mara, usually, still, no_more):
    for number in range(5):
        done = Generation.objects.filter(pk=confirmed(mara).pk)
        done.update(status=Status.COMPLETED, took=usually + number / 10, finished_at=timezone.now(), charged=140)
    generation, now = submitted(mara), timezone.now()
    status_is(status="processing")
    for minutes, status in ((still, Status.PROCESSING), (no_more, Status.STALLED)):
        with time_machine.travel(now + timedelta(minutes=minutes)):
            Generation.objects.filter(pk=generation.pk).update(next_look_at=timezone.now())
            lifecycle.look(generation.pk)
        generation.refresh_from_db()
        assert generation.status == status


# -- cancel, moves, books ---------------------------------------------------------------------------------------------


def test_cancelling_a_queued_generation_gives_its_hold_back(mara):
    generation = confirmed(mara)
    assert lifecycle.cancel(generation, mara)
    assert totals() == ledger.Totals(held=0, spent=0)
    sending.submit(generation.pk, "worker")
    assert sent_to("generate-video") == 0


def test_what_was_sent_cannot_be_cancelled(mara):
    generation = submitted(mara)
    assert not lifecycle.cancel(generation, mara)
    assert totals() == ledger.Totals(held=140, spent=0)


def test_a_move_that_somebody_else_made_first_changes_nothing(mara):
    generation = confirmed(mara)
    stale = Generation.objects.get(pk=generation.pk)
    assert generation.move(Status.SUBMITTING)
    assert not stale.move(Status.CANCELLED)
    stale.refresh_from_db()
    assert stale.status == Status.SUBMITTING


def test_a_move_the_machine_does_not_have_is_an_error(mara):
    with pytest.raises(NotAllowed):
        confirmed(mara).move(Status.COMPLETED)


def test_every_status_stands_in_the_machine():
    assert set(NEXT) == set(Status)
    assert set().union(*NEXT.values()) <= set(Status)


def test_a_generation_is_settled_once(mara):
    generation = confirmed(mara)
    ledger.release(generation, "once")
    with pytest.raises(IntegrityError), transaction.atomic():
        ledger.capture(generation, 140)


def test_ledger_rows_are_only_ever_added(mara):
    entry = LedgerEntry.objects.get(generation=confirmed(mara))
    for change in (
        entry.delete,
        entry.save,
        LedgerEntry.objects.all().delete,
        lambda: LedgerEntry.objects.update(spent=0),
    ):
        with pytest.raises(AppendOnly):
            change()
