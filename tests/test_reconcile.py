"""Unknown outcomes: what the balance says, what people decide, and that nothing is sent without a decision."""

from datetime import timedelta

import pytest
import requests
import responses
import time_machine
from django.utils import timezone

from generations import dispatch, ledger, lifecycle, reconcile, sending
from generations.models import ApiAccount, Decision, Evidence, Generation, Membership, Status, User
from tests.makers import API, CLIP_URL, accepts, confirmed, make_account, make_person, price_is, sent_to, status_is

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]

Verdict, Kind = Evidence.Verdict, Decision.Kind


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person(role=Membership.Role.MANAGER)


@pytest.fixture
def lost(mara) -> Generation:
    """A generation whose submission got no answer. The balance before it was 5,000 credits, its price 140."""
    return lose_one(mara)


def lose_one(owner: User) -> Generation:
    generation = confirmed(owner, 140)
    responses.remove(responses.POST, f"{API}/generate-video")
    responses.post(f"{API}/generate-video", body=requests.ReadTimeout())
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    return generation


def check_at(generation: Generation, balance: int, seconds: float = 11) -> Evidence | None:
    """Reads the balance so many seconds from now."""
    responses.remove(responses.GET, f"{API}/credits")
    responses.get(f"{API}/credits", json={"success": True, "credits": balance, "balance": balance})
    with time_machine.travel(timezone.now() + timedelta(seconds=seconds)):
        for pk in reconcile.due():
            reconcile.check(pk)
    generation.refresh_from_db()
    return Evidence.objects.order_by("-pk").first()


def words(generation: Generation) -> str:
    return reconcile.in_words(generation.submissions.get())


# -- evidence ---------------------------------------------------------------------------------------------------------


def test_the_balance_is_read_after_it_had_time_to_settle_and_not_before(lost):
    assert reconcile.due() == []
    assert check_at(lost, 5000) is not None
    assert sent_to("credits") == 1


@pytest.mark.parametrize(
    ("balance", "verdict", "said"),
    [(4860, Verdict.DROPPED, "fell from 5,000 to 4,860, exactly this price"), (5000, Verdict.UNCHANGED, "unchanged"),
     (4700, Verdict.UNCLEAR, "should be 5,000 and is 4,700"), (6000, Verdict.UNCLEAR, "something else moved it")],
)  # fmt: skip
def test_the_evidence_says_in_plain_words_what_the_balance_did(lost, balance, verdict, said):
    evidence = check_at(lost, balance)
    assert (evidence.verdict, evidence.alone) == (verdict, True)
    assert said in words(lost)


def test_evidence_alone_moves_nothing(lost):
    for balance in (5000, 4860):
        check_at(lost, balance)
    assert lost.status == Status.UNCONFIRMED
    assert ledger.totals(demo=False).held == 140
    assert sent_to("generate-video") == 1


def test_an_unchanged_balance_beside_other_work_is_called_no_proof(mara):
    other = confirmed(mara, 20)
    accepts("vg_other")
    sending.submit(other.pk, "worker")
    lost = lose_one(mara)
    evidence = check_at(lost, 5000 - 20)
    assert not evidence.alone
    assert "A refund can hide a charge" in words(lost)


def test_what_our_own_other_work_cost_is_not_taken_for_this_charge(mara):
    """Another generation completes in between at less than its price: the books expect that."""
    other = confirmed(mara, 140)
    accepts("vg_other")
    sending.submit(other.pk, "worker")
    lost = lose_one(mara)
    status_is("vg_other", status="completed", video_url=CLIP_URL, credits_used=140)
    Generation.objects.filter(pk=other.pk).update(next_look_at=timezone.now())
    lifecycle.look(other.pk)
    assert check_at(lost, 5000 - 140).verdict == Verdict.UNCHANGED


def test_the_lane_is_held_until_the_balance_was_read(mara, lost):
    waiting = confirmed(mara, 140)
    assert dispatch.lane(ApiAccount.objects.get()) == "checking"
    sending.submit(waiting.pk, "worker")
    assert sent_to("generate-video") == 1
    check_at(lost, 5000)
    assert dispatch.lane(ApiAccount.objects.get()) == ""


def test_a_balance_that_cannot_be_read_holds_the_lane_for_minutes_and_not_for_ever(lost):
    responses.get(f"{API}/credits", status=500, json={"error": "boom"})
    with time_machine.travel(timezone.now() + timedelta(seconds=11)):
        for pk in reconcile.due():
            reconcile.check(pk)
    assert not Evidence.objects.exists()
    assert dispatch.lane(ApiAccount.objects.get(), timezone.now() + timedelta(minutes=10)) == ""


def test_an_answer_that_came_late_after_all_ends_the_check(lost):
    Generation.objects.update(status=Status.PROCESSING)
    assert check_at(lost, 5000) is None
    assert sent_to("credits") == 0


# -- an exclusive account ---------------------------------------------------------------------------------------------


@pytest.fixture
def exclusive(mara) -> None:
    ApiAccount.objects.update(exclusive=True)


def test_two_equal_readings_on_an_exclusive_account_release_it_and_say_so(exclusive, lost):
    check_at(lost, 5000, 11)
    assert lost.status == Status.UNCONFIRMED
    check_at(lost, 5000, 60)
    assert lost.status == Status.QUEUED
    decision = Decision.objects.get()
    assert (decision.kind, decision.who) == (Kind.AGAIN, None)


@pytest.mark.parametrize("second", [4860, 5100])
def test_a_second_reading_that_differs_leaves_it_to_people(exclusive, lost, second):
    check_at(lost, 5000, 11)
    check_at(lost, second, 60)
    assert lost.status == Status.UNCONFIRMED
    assert not Decision.objects.exists()


def test_an_exclusive_account_with_other_work_under_way_leaves_it_to_people(exclusive, mara):
    other = confirmed(mara, 20)
    accepts("vg_other")
    sending.submit(other.pk, "worker")
    lost = lose_one(mara)
    for seconds in (11, 60, 120):
        check_at(lost, 5000 - 20, seconds)
    assert lost.status == Status.UNCONFIRMED


# -- decisions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


def decide(page, generation: Generation, kind: str, **more: str):
    answer = page.post(f"/g/{generation.pk}/decide", {"kind": kind, **more}, follow=True)
    generation.refresh_from_db()
    return answer


def test_adopting_a_clip_found_upstream_brings_it_home(page, lost):
    status_is("vg_found", status="completed", video_url=CLIP_URL, credits_used=140)
    decide(page, lost, Kind.ADOPT, upstream_id=" vg_found ")
    assert (lost.status, lost.upstream_id) == (Status.PROCESSING, "vg_found")
    lifecycle.look(lost.pk)
    assert ledger.totals(demo=False) == ledger.Totals(held=0, spent=140)
    assert sent_to("generate-video") == 1


def test_marking_as_charged_settles_the_hold_without_a_clip(page, lost):
    decide(page, lost, Kind.CHARGED)
    assert (lost.status, lost.charged) == (Status.FAILED, 140)
    assert ledger.totals(demo=False) == ledger.Totals(held=0, spent=140)


def test_release_and_send_again_sends_exactly_once_more(page, lost):
    check_at(lost, 5000)
    decide(page, lost, Kind.AGAIN)
    responses.remove(responses.POST, f"{API}/generate-video")
    accepts("vg_2")
    sending.submit(lost.pk, "worker")
    sending.submit(lost.pk, "worker")
    lost.refresh_from_db()
    assert lost.status == Status.PROCESSING
    assert sent_to("generate-video") == 2
    assert lost.submissions.count() == 2
    assert ledger.totals(demo=False).held == 140


def test_giving_the_credits_back_sends_nothing(page, lost):
    decide(page, lost, Kind.RELEASE)
    assert lost.status == Status.CANCELLED
    assert ledger.totals(demo=False) == ledger.Totals(held=0, spent=0)
    assert sent_to("generate-video") == 1


def test_every_decision_is_recorded_with_its_person_and_shown(page, mara, lost):
    html = decide(page, lost, Kind.CHARGED).content.decode()
    assert Decision.objects.get().who == mara
    assert "Decided by Mara" in html


@pytest.mark.parametrize(
    ("typed", "said"),
    [("", "Enter the generation id"), ("vg_unknown", "knows no generation"), ("../credits", "does not look like"),
     ("x" * 500, "does not look like"), ("vg_taken", "belongs to another clip")],
)  # fmt: skip
def test_an_id_that_cannot_be_adopted_says_why_and_changes_nothing(page, mara, lost, typed, said):
    responses.get(f"{API}/video-generation/vg_unknown/status", status=404, json={"error": "not found"})
    other = confirmed(mara, 20)
    Generation.objects.filter(pk=other.pk).update(upstream_id="vg_taken")
    answer = decide(page, lost, Kind.ADOPT, upstream_id=typed)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert lost.status == Status.UNCONFIRMED
    assert not Decision.objects.exists()


def test_deciding_twice_decides_once(page, lost):
    decide(page, lost, Kind.CHARGED)
    answer = decide(page, lost, Kind.AGAIN)
    assert answer.status_code == 422
    assert lost.status == Status.FAILED
    assert sent_to("generate-video") == 1


def test_a_member_sees_the_evidence_and_cannot_decide(client, lost):
    client.force_login(make_person("luc@example.com"))
    check_at(lost, 4860)
    html = client.get(f"/g/{lost.pk}").content.decode()
    assert "fell from 5,000 to 4,860" in html
    assert "A manager of Northlight or an admin decides" in html
    assert client.post(f"/g/{lost.pk}/decide", {"kind": "again"}).status_code == 403
    lost.refresh_from_db()
    assert lost.status == Status.UNCONFIRMED


def test_a_strangers_decision_is_a_404(client, lost):
    client.force_login(make_person("stranger@example.com", team="Elsewhere", role="manager"))
    assert client.post(f"/g/{lost.pk}/decide", {"kind": "again"}).status_code == 404


def test_what_was_never_unclear_cannot_be_decided(page, mara):
    generation = confirmed(mara)
    price_is(140)
    assert decide(page, generation, Kind.AGAIN).status_code == 422
    assert generation.status == Status.QUEUED


def test_an_adopted_clip_that_never_ends_comes_back_after_a_week_and_can_be_decided_again(lost, mara):
    status_is("vg_9", id="vg_9", status="processing")
    reconcile.adopt(lost, mara, "vg_9")
    now = timezone.now()
    for days, status in ((6, Status.STALLED), (8, Status.UNCONFIRMED)):
        with time_machine.travel(now + timedelta(days=days), tick=False):
            lifecycle.look(lost.pk)
        lost.refresh_from_db()
        assert lost.status == status
    reconcile.decide(lost, mara, Kind.RELEASE)
    assert [decision.kind for decision in Decision.objects.order_by("pk")] == [Kind.ADOPT, Kind.RELEASE]
    assert ledger.totals(user=mara, demo=False).held == 0
