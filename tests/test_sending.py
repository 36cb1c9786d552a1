"""The paid request at its worst moments: late answers, dead databases, prices that rose, uploads that fail."""

import json
import uuid
from datetime import timedelta

import pytest
import responses
import time_machine
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from generations import dispatch, journal, ledger, lifecycle, reconcile, sending, tasks, veevid
from generations.models import (
    ApiAccount,
    ApiCall,
    ApiKey,
    BalanceReading,
    Decision,
    Generation,
    GenerationMedia,
    Media,
    Quote,
    Status,
    Submission,
    User,
)
from generations.veevid import Busy, GenerateAnswer, NotSent
from tests.makers import (
    API,
    CLIP_URL,
    accepts,
    confirmed,
    make_account,
    make_order,
    make_person,
    price_is,
    sent_to,
    status_is,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    """For the journal."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


def answer(generation_id: str) -> GenerateAnswer:
    return GenerateAnswer(generation_id, "processing", "processing", None, None, {"generation_id": generation_id})


def released_and_claimed_again(owner: User) -> tuple[Submission, Submission]:
    """Attempt 1 was lost, a person released it, attempt 2 is on the wire."""
    generation = confirmed(owner)
    first = sending._claim(generation.pk, "a frozen worker")
    assert first
    Generation.objects.filter(pk=generation.pk).update(status=Status.UNCONFIRMED)
    reconcile.decide(Generation.objects.get(pk=generation.pk), owner, Decision.Kind.AGAIN)
    second = sending._claim(generation.pk, "another worker")
    assert second
    return first, second


# -- bells ------------------------------------------------------------------------------------------------------------


def test_a_submission_rings_for_the_next_and_one_that_finds_nothing_does_not(mara, monkeypatch):
    first, second = confirmed(mara), confirmed(mara)
    account = first.quote.account
    accepts()
    rung: list[tuple[int, int]] = []
    monkeypatch.setattr(tasks.submit, "apply_async", lambda about, **options: rung.append(about))
    for _ in range(2):
        tasks.submit(first.pk, account.pk)
    assert rung == [(second.pk, account.pk)]
    assert sent_to("generate-video") == 1


# -- only the newest attempt moves the row ----------------------------------------------------------------------------


def test_a_late_refusal_of_an_old_attempt_does_not_send_a_third(mara):
    first, second = released_and_claimed_again(mara)
    sending._not_accepted(first, Busy("slow down", status=429, charged="no"))
    row = Generation.objects.get()
    assert (row.status, row.attempt) == (Status.SUBMITTING, second.attempt)
    assert dispatch.due().submit == []


def test_a_late_acceptance_of_an_old_attempt_does_not_take_the_new_ones_row_and_is_kept(mara):
    first, second = released_and_claimed_again(mara)
    sending._keep(first, answer("vg_1"))
    sending._accepted(first, answer("vg_1"))
    sending._keep(second, answer("vg_2"))
    sending._accepted(second, answer("vg_2"))
    row = Generation.objects.get()
    assert (row.status, row.upstream_id) == (Status.PROCESSING, "vg_2")
    first.refresh_from_db()
    assert "vg_1" in first.words
    assert "charged, too" in first.words


def test_a_late_acceptance_after_the_release_and_before_the_next_attempt_saves_the_second_payment(mara):
    generation = confirmed(mara)
    first = sending._claim(generation.pk, "a frozen worker")
    Generation.objects.update(status=Status.UNCONFIRMED)
    reconcile.decide(Generation.objects.get(), mara, Decision.Kind.AGAIN)
    sending._keep(first, answer("vg_1"))
    sending._accepted(first, answer("vg_1"))
    assert Generation.objects.get().status == Status.PROCESSING
    accepts("vg_2")
    sending.submit(generation.pk, "worker")
    assert sent_to("generate-video") == 0


def test_a_worker_frozen_after_its_last_look_at_the_clock_sends_nothing_and_the_row_waits_for_another(
    mara, monkeypatch
):
    generation = confirmed(mara)
    accepts("vg_1")
    monkeypatch.setattr(sending.time, "monotonic", lambda: 1000.0)
    asked: list[float] = []

    def too_late(self, body, *, begin_by):
        asked.append(begin_by)
        raise NotSent(reason="too late to begin")

    monkeypatch.setattr(veevid.Veevid, "generate", too_late)
    sending.submit(generation.pk, "worker")
    assert 1000 < asked[0] <= 1000 + sending.SEND_MARGIN.total_seconds()
    row = Generation.objects.get()
    assert (row.status, row.submissions.get().outcome, sent_to("generate-video")) == ("QUEUED", "returned", 0)


def test_an_old_attempt_left_open_does_not_end_the_next_one(mara):
    generation = confirmed(mara)
    first = sending._claim(generation.pk, "killed between two writes")
    Generation.objects.update(status=Status.QUEUED, account=None, sent_at=None)
    with time_machine.travel(first.deadline + timedelta(minutes=5)):
        assert sending._claim(generation.pk, "the next worker") is not None
        assert sending.lost() == []
        sending.lose(first.pk)
    assert Generation.objects.get().status == Status.SUBMITTING


# -- the id is written first ------------------------------------------------------------------------------------------


def test_an_answer_whose_database_was_away_is_brought_in_by_a_later_tick(mara, monkeypatch, settings):
    generation = confirmed(mara)
    accepts("vg_paid")

    def away(*args, **kwargs):
        raise OperationalError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(sending, "_write_id", away)
        with pytest.raises(OperationalError):
            sending.submit(generation.pk, "worker")
    assert Generation.objects.get().status == Status.SUBMITTING
    assert [pk for pk, _ in journal.left_over(settings.DATA_DIR / "journal", -1)] == [Submission.objects.get().pk]
    monkeypatch.setattr(sending, "JOURNAL_MAY_LIE", -1)
    sending.bring_in()
    row = Generation.objects.get()
    assert (row.status, row.upstream_id) == (Status.PROCESSING, "vg_paid")
    assert Submission.objects.get().outcome == Submission.Outcome.ACCEPTED
    assert list(journal.left_over(settings.DATA_DIR / "journal", -1)) == []


def test_the_journal_is_empty_when_all_went_well(mara, settings):
    generation = confirmed(mara)
    accepts()
    sending.submit(generation.pk, "worker")
    assert list((settings.DATA_DIR / "journal").iterdir()) == []


def test_an_id_that_another_clip_has_is_unclear_and_loses_nothing(mara):
    for _ in range(2):
        generation = confirmed(mara)
        responses.remove(responses.POST, f"{API}/generate-video")
        accepts("vg_same")
        sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.UNCONFIRMED
    assert "vg_same" in generation.submissions.get().words


def test_odd_text_and_numbers_in_an_answer_do_not_break_its_row(mara):
    generation = confirmed(mara)
    body = '{"generation_id": "vg_1", "status": "processing", "note": "a\\u0000b\\ud800", "big": 1e999}'
    responses.post(f"{API}/generate-video", body=body, content_type="application/json")
    sending.submit(generation.pk, "worker")
    assert Submission.objects.get().outcome == Submission.Outcome.ACCEPTED
    assert "\\u0000" not in json.dumps(Submission.objects.get().answer)


# -- uploads ----------------------------------------------------------------------------------------------------------


def with_upload(owner: User) -> Generation:
    generation = confirmed(owner)
    media = Media.objects.create(
        team=generation.team, owner=owner, kind="image", name="a.png", file="uploads/none.png",
        content_type="image/png", size=1, width=64, height=64,
    )  # fmt: skip
    GenerationMedia.objects.create(generation=generation, slot="image", media=media)
    return generation


def test_an_upload_that_is_missing_here_ends_it_with_nothing_charged(mara):
    generation = with_upload(mara)
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.REJECTED
    assert ledger.totals(demo=False) == ledger.Totals(held=0, spent=0)
    assert sent_to("generate-video") == 0
    assert ApiCall.objects.get(kind="generate").outcome == ApiCall.Outcome.NOT_SENT


@pytest.mark.parametrize(("status", "attempts"), [(413, 1), (500, sending.UPLOAD_ATTEMPTS)])
def test_an_upload_that_upstream_never_takes_is_given_up(mara, monkeypatch, status, attempts):
    generation = with_upload(mara)
    monkeypatch.setattr("django.db.models.fields.files.FieldFile.open", lambda self, mode: _Bytes())
    responses.post(f"{API}/storage/upload", status=status, body="<html>no</html>")
    for hour in range(10):
        with time_machine.travel(timezone.now() + timedelta(hours=hour + 1)):
            sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.REJECTED
    assert sent_to("storage/upload") == attempts
    assert ledger.totals(demo=False).held == 0


class _Bytes:
    def __enter__(self):
        return self

    def __exit__(self, *args):
        return False

    def read(self) -> bytes:
        return b"picture"


# -- credits and prices -----------------------------------------------------------------------------------------------


def test_a_price_that_upstream_raised_is_not_paid_under_the_old_confirmation(mara):
    generation = confirmed(mara, 140)
    responses.post(f"{API}/generate-video", status=402, json={"error": "no", "required": 200, "balance": 150})
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.REJECTED
    assert "rose from 140 to 200" in generation.upstream_words
    assert ledger.totals(demo=False).held == 0
    assert lifecycle.newest_quote(generation.quote.billing, demo=False) is None


def test_a_dearer_real_charge_makes_the_known_price_stale(mara):
    generation = confirmed(mara, 140)
    accepts()
    sending.submit(generation.pk, "worker")
    status_is(status="completed", video_url=CLIP_URL, credits_used=200)
    Generation.objects.update(next_look_at=timezone.now())
    lifecycle.look(generation.pk)
    assert lifecycle.newest_quote(make_order().billing, demo=False) is None
    assert ledger.totals(demo=False).spent == 200


def test_rows_that_cannot_be_paid_do_not_ask_again_and_again(mara):
    for _ in range(3):
        confirmed(mara, 140)
    responses.post(f"{API}/generate-video", status=402, json={"error": "no", "required": 140, "balance": 12})
    for second in range(30):
        with time_machine.travel(timezone.now() + timedelta(seconds=second)):
            for pk in dispatch.due().submit:
                sending.submit(pk, "worker")
    assert sent_to("generate-video") == 1
    assert set(Generation.objects.values_list("wait_why", flat=True)) == {"credits"}


def test_an_account_without_credits_does_not_keep_a_full_one_from_working(mara):
    empty = ApiAccount.objects.get()
    full = ApiAccount.objects.create(name="full")
    ApiKey.objects.create(account=full, secret="vv_sk_full", last4="full", digest="full", accepted_at=timezone.now())
    generation = confirmed(mara, 140)
    BalanceReading.objects.create(account=empty, credits=5)
    accepts()
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.account == full


def test_a_model_that_is_no_longer_priced_ends_what_waited_for_it(mara):
    generation = confirmed(mara, 140)
    responses.remove(responses.POST, f"{API}/quote")
    responses.post(f"{API}/quote", status=400, json={"error": "model retired"})
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        for _ in range(5):
            sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    assert generation.status == Status.CANCELLED
    assert sent_to("quote") == 2  # the first, and the one that was refused
    assert ledger.totals(demo=False).held == 0


# -- waiting as long as upstream said ---------------------------------------------------------------------------------


def test_a_success_elsewhere_does_not_shorten_a_wait_that_upstream_asked_for(mara):
    generation = confirmed(mara)
    responses.post(f"{API}/generate-video", status=429, headers={"Retry-After": "600"}, json={"error": "slow down"})
    sending.submit(generation.pk, "worker")
    ApiAccount.objects.update(unreachable=2)
    price_is(20)
    lifecycle.quote(make_order(mode="grok-imagine").billing)
    wait = ApiAccount.objects.get().wait_until
    assert wait is not None
    assert wait > timezone.now() + timedelta(seconds=590)


# -- what never ends --------------------------------------------------------------------------------------------------


def test_generations_that_upstream_has_forgotten_do_not_close_the_account_for_ever(mara):
    for number in range(3):
        generation = confirmed(mara)
        responses.remove(responses.POST, f"{API}/generate-video")
        accepts(f"vg_{number}")
        sending.submit(generation.pk, "worker")
        responses.get(f"{API}/video-generation/vg_{number}/status", status=404, json={"error": "unknown"})
    for hours in (1, 2, 24 * 8):
        with time_machine.travel(timezone.now() + timedelta(hours=hours)):
            Generation.objects.exclude(next_look_at=None).update(next_look_at=timezone.now())
            for pk in dispatch.due().look:
                lifecycle.look(pk)
            if hours == 2:
                assert dispatch.lane(ApiAccount.objects.get()) == ""
                assert set(Generation.objects.values_list("status", flat=True)) == {Status.STALLED}
    assert set(Generation.objects.values_list("status", flat=True)) == {Status.UNCONFIRMED}
    assert ledger.totals(demo=False).held == 3 * 140


def test_completed_without_a_link_for_an_hour_is_taken_at_its_word(mara):
    generation = confirmed(mara)
    accepts()
    sending.submit(generation.pk, "worker")
    status_is(status="completed", credits_used=140)
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        lifecycle.look(generation.pk)
    generation.refresh_from_db()
    assert (generation.status, generation.clip.state) == (Status.COMPLETED, "GONE")
    assert ledger.totals(demo=False).spent == 140


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_below_the_disks_floor_nothing_new_is_sent_and_everything_else_goes_on(mara, settings):
    sent = confirmed(mara)
    accepts()
    sending.submit(sent.pk, "worker")
    waiting = confirmed(mara)
    settings.DISK_FLOOR = 10**18
    sending.submit(waiting.pk, "worker")
    assert sent_to("generate-video") == 1
    assert dispatch.lane(ApiAccount.objects.get()) == "disk"
    status_is(status="completed", video_url=CLIP_URL, credits_used=140)
    Generation.objects.filter(pk=sent.pk).update(next_look_at=timezone.now())
    lifecycle.look(sent.pk)
    assert ledger.totals(demo=False).spent == 140


def test_a_stale_quote_is_not_reused(mara):
    price_is(140)
    lifecycle.quote(make_order().billing)
    Quote.objects.update(stale=True)
    lifecycle.quote(make_order().billing)
    assert sent_to("quote") == 2


# -- the end of demo mode ---------------------------------------------------------------------------------------------


def test_what_demo_mode_left_unfinished_ends_when_no_simulator_runs_any_more(db, settings):
    settings.SIMULATOR_URL = "http://127.0.0.1:1/api"
    account = ApiAccount.objects.create(name="Demo", demo=True)
    luc = make_person("luc@example.com")
    for number, status in enumerate((Status.QUEUED, Status.PROCESSING, Status.STALLED, Status.UNCONFIRMED)):
        quote = Quote.objects.create(account=account, digest=str(number), billing={}, credits=20)
        ledger.hold(
            Generation.objects.create(
                team=luc.teams.get(), owner=luc, nonce=uuid.uuid4(), status=status, mode="veo3",
                generation_type="text-to-video", params={}, prompt="x", quote=quote, price=20, account=account,
            )
        )  # fmt: skip
    settings.SIMULATOR_URL, settings.VEEVID_API_KEY = "", "vv_sk_real_0123456789"
    call_command("ensure_accounts")
    assert ledger.totals(demo=True) == ledger.Totals(held=0, spent=0)
    assert set(Generation.objects.values_list("status", flat=True)) == {Status.CANCELLED, Status.FAILED}
    assert sent_to("") == 0


# -- what an attempt is remembered as ---------------------------------------------------------------------------------


def test_a_lease_that_ends_while_the_answer_is_written_does_not_unsay_the_acceptance(mara, monkeypatch):
    generation = confirmed(mara)
    submission = sending._claim(generation.pk, "a slow worker")
    assert submission
    overdue = [submission.pk]

    def answered_just_now() -> list[int]:
        mine = Submission.objects.select_related("generation", "account").get(pk=submission.pk)
        sending._keep(mine, answer("vg_1"))
        sending._accepted(mine, answer("vg_1"))
        return overdue

    monkeypatch.setattr(sending, "lost", answered_just_now)
    sending.lose(submission.pk)
    submission.refresh_from_db()
    assert Generation.objects.get().status == Status.PROCESSING
    assert submission.outcome == Submission.Outcome.ACCEPTED


def test_an_acceptance_brought_in_after_the_decision_is_kept_with_its_id(mara, monkeypatch, settings):
    generation = confirmed(mara)
    submission = sending._claim(generation.pk, "a worker whose database was away")
    assert submission
    journal.keep(settings.DATA_DIR / "journal", submission.pk, {"generation_id": "vg_late", "video_url": None})
    Generation.objects.update(status=Status.UNCONFIRMED)
    reconcile.decide(Generation.objects.get(), mara, Decision.Kind.RELEASE)
    monkeypatch.setattr(sending, "JOURNAL_MAY_LIE", -1)
    sending.bring_in()
    submission.refresh_from_db()
    assert submission.outcome == Submission.Outcome.ACCEPTED
    assert "vg_late" in submission.words
    assert "charged, too" in submission.words
    assert Generation.objects.get().status == Status.CANCELLED


def test_a_journal_file_that_cannot_be_read_stops_nothing_and_stays(settings):
    folder = settings.DATA_DIR / "journal"
    journal.keep(folder, 2, {"generation_id": "vg_2", "video_url": None})
    (folder / "1.json").write_text("{broken")
    assert [pk for pk, _ in journal.left_over(folder, -1)] == [2]
    assert (folder / "1.json").exists()
