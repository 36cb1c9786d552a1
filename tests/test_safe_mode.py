"""A database that is older than what was sent: frozen, compared with the log, brought along, released by an admin."""

import fcntl
import json
import os
import socket
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
import requests
import responses
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from urllib3.exceptions import NewConnectionError

from generations import accounts, dispatch, ledger, lifecycle, safe_mode, sending, sentlog, tasks, waiting
from generations.models import (
    ApiAccount,
    AuditEntry,
    Clip,
    DaySum,
    Decision,
    Freeze,
    Generation,
    GenerationMedia,
    LedgerEntry,
    Status,
    Stray,
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
    sealed_for,
    sent_to,
    status_is,
)
from tests.pages import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    """For the log."""
    settings.DATA_DIR = tmp_path


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


@pytest.fixture
def chief(client):
    user = make_person("chief@example.com", is_staff=True)
    client.force_login(user)
    return user


@pytest.fixture
def log(settings) -> Path:
    return settings.DATA_DIR / "sent" / "sent.log"


def send(generation: Generation, upstream_id: str = "vg_1") -> Generation:
    responses.remove(responses.POST, f"{API}/generate-video")
    accepts(upstream_id)
    return send_as_it_is(generation)


def send_as_it_is(generation: Generation) -> Generation:
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    return generation


def forget_submission(generation: Generation, status: str = Status.QUEUED) -> None:
    """What a restore does to a clip that waited when the backup was taken."""
    Submission.objects.filter(generation=generation).delete()
    Generation.objects.filter(pk=generation.pk).update(
        status=status, attempt=0, account=None, upstream_id=None, sent_at=None, next_look_at=None
    )


def forget_generation(generation: Generation) -> None:
    """What a restore does to a clip that was confirmed after the backup."""
    LedgerEntry.objects.filter(generation=generation)._raw_delete("default")
    DaySum.objects.all().delete()
    Submission.objects.filter(generation=generation).delete()
    GenerationMedia.objects.filter(generation=generation).delete()
    Generation.objects.filter(pk=generation.pk).delete()


def restored(owner: User, **more) -> Generation:
    """A clip that was sent and accepted as vg_1, in a database that believes it still waits. Found by the tick."""
    generation = send(confirmed(owner, 140))
    forget_submission(generation, **more)
    safe_mode.check()
    generation.refresh_from_db()
    return generation


def lines(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def release(client, seen: int | None = None):
    newest = safe_mode.overview()
    return client.post(
        reverse("safe_mode_release"), {"seen": str(newest.newest if seen is None and newest else seen or 0)}
    )


# -- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_names_a_submission_before_it_is_sent_and_says_what_came_of_it(mara, log):
    seen: list[list[dict]] = []

    def answer(request):
        seen.append(lines(log))
        return 200, {}, json.dumps({"generation_id": "vg_1", "status": "processing", "video_url": None})

    responses.add_callback(responses.POST, f"{API}/generate-video", answer)
    generation = send_as_it_is(confirmed(mara, 140))
    [[before]] = seen
    assert before["sent"] == generation.nonce.hex
    assert (before["attempt"], before["price"], before["owner"], before["team"]) == (1, 140, mara.email, "Northlight")
    assert lines(log)[1] | {"end": "accepted", "id": "vg_1"} == lines(log)[1]
    assert log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "answer",
    [*({"status": status, "json": {"error": "no"}} for status in (400, 401, 402, 403, 429)),
     {"body": requests.ConnectionError(NewConnectionError(None, "refused"))}],  # type: ignore[arg-type]
)  # fmt: skip
def test_what_was_clearly_not_accepted_is_said_in_the_log(mara, log, answer):
    responses.post(f"{API}/generate-video", **answer)
    send_as_it_is(confirmed(mara, 140))
    assert [line.get("end") for line in lines(log)] == [None, "not accepted"]


def test_what_got_no_clear_answer_has_no_end_in_the_log(mara, log):
    responses.post(f"{API}/generate-video", body=requests.ReadTimeout())
    assert send_as_it_is(confirmed(mara, 140)).status == Status.UNCONFIRMED
    assert [line.get("end") for line in lines(log)] == [None]


def test_nothing_is_sent_while_the_log_cannot_be_written(mara, settings):
    (settings.DATA_DIR / "sent").write_text("a file where the folder should be")
    accepts()
    generation = confirmed(mara, 140)
    for _ in range(2):
        Generation.objects.update(not_before=None)
        send_as_it_is(generation)
    assert (generation.status, generation.wait_why) == (Status.QUEUED, "disk")
    assert sent_to("generate-video") == 0
    assert ledger.totals(demo=False).held == 140
    (settings.DATA_DIR / "sent").unlink()
    Generation.objects.update(not_before=None)
    assert send_as_it_is(generation).status == Status.PROCESSING


def test_nothing_is_sent_when_only_the_line_does_not_fit(mara, monkeypatch, log):
    send(confirmed(mara, 140), "vg_0")
    before = log.read_bytes()
    generation = confirmed(mara, 140)
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        send_as_it_is(generation)
    assert (generation.status, generation.wait_why) == (Status.QUEUED, "disk")
    assert sent_to("generate-video") == 1
    assert log.read_bytes().startswith(before)
    Generation.objects.update(not_before=None)
    assert send(generation, "vg_2").status == Status.PROCESSING
    safe_mode.check()
    assert not dispatch.frozen()


def test_submissions_of_demo_mode_are_not_logged(settings, log):
    settings.SIMULATOR_URL = API
    accounts.ensure_demo()
    assert send(confirmed(make_person(), 140)).status == Status.PROCESSING
    assert not log.exists()


def test_a_process_that_is_stopped_amid_its_line_does_not_stop_the_others(mara, log, monkeypatch):
    send(confirmed(mara, 140), "vg_1")
    monkeypatch.setattr(sentlog.append, "__defaults__", (0.05,))
    waits = confirmed(mara, 140)
    with (log.parent / ".lock").open("a") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        send_as_it_is(waits)
        assert (waits.status, waits.wait_why, sent_to("generate-video")) == (Status.QUEUED, "disk", 1)
    Generation.objects.update(not_before=None)
    assert send(waits, "vg_2").status == Status.PROCESSING


def test_the_log_keeps_its_newest_part(tmp_path, monkeypatch):
    monkeypatch.setattr(sentlog, "FULL", 1000)
    nonces = [uuid.uuid4().hex for _ in range(100)]
    for nonce in nonces:
        sentlog.append(tmp_path, {"sent": nonce, "attempt": 1}, sync=False)
        assert sentlog.newest(tmp_path)["sent"] == nonce
    kept = [line["sent"] for line in sentlog.lines(tmp_path)]
    assert kept == nonces[-len(kept) :]
    assert len(kept) >= 1000 // 60
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2200


def test_the_newest_submission_is_found_behind_any_number_of_ends_and_in_a_long_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sentlog, "TAIL", 500)
    nonce = uuid.uuid4().hex
    sentlog.append(tmp_path, {"sent": nonce, "attempt": 7, "prompt": "long " * 1000}, sync=False)
    for _ in range(50):
        sentlog.append(tmp_path, {"sent": nonce, "attempt": 7, "end": "accepted"}, sync=False)
    assert sentlog.newest(tmp_path)["attempt"] == 7


def test_a_line_that_a_kill_cut_short_counts_for_nothing_and_the_next_one_stands_alone(mara, log):
    first = send(confirmed(mara, 140), "vg_1")
    with log.open("ab") as torn:
        torn.write(b'{"sent":"' + uuid.uuid4().hex.encode()[:20])
    assert safe_mode.check()
    assert not dispatch.frozen()
    second = send(confirmed(mara, 140), "vg_2")
    assert [line["sent"] for line in lines(log)] == [g.nonce.hex for g in (first, first, second, second)]


def test_a_log_of_nothing_but_a_torn_line_is_empty(mara, log):
    log.parent.mkdir()
    log.write_bytes(b'{"sent":"')
    assert send(confirmed(mara, 140)).status == Status.PROCESSING
    assert len(lines(log)) == 2


@pytest.mark.parametrize("garbage", [b"\x00\x00\x00\n", b"{}\n", b'{"sent":"x","attempt":1}\n', b"[]\n", b"null\n"])
def test_a_whole_line_that_cannot_be_read_freezes_once(mara, chief, client, log, garbage):
    send(confirmed(mara, 140))
    with log.open("ab") as spoilt:
        spoilt.write(garbage)
    waits = send_as_it_is(confirmed(mara, 140))
    assert waits.status == Status.QUEUED
    assert sent_to("generate-video") == 1
    assert "1 line of the log cannot be read" in text_of(client.get("/settings/safe-mode"))
    release(client)
    assert send(waits, "vg_2").status == Status.PROCESSING
    assert not dispatch.frozen()
    row = AuditEntry.objects.get(action="safe_mode.released")
    assert row.who == chief
    assert row.what.startswith("The log of ")


def test_no_log_is_nothing_to_compare_with(mara, log):
    generation = send(confirmed(mara, 140))
    log.unlink()
    assert safe_mode.check()
    assert not dispatch.frozen()
    assert generation.status == Status.PROCESSING


# -- frozen -----------------------------------------------------------------------------------------------------------


def test_a_database_that_lacks_the_newest_submission_sends_nothing(mara):
    old = restored(mara)
    other = confirmed(mara, 140)
    account = ApiAccount.objects.get()
    assert dispatch.lane(account) == "frozen"
    assert dispatch.due().submit == []
    for generation in (old, other):
        send_as_it_is(generation)
    assert other.status == Status.QUEUED
    assert sent_to("generate-video") == 1
    assert Freeze.objects.count() == 1
    assert ledger.totals(demo=False).held == 280


def test_the_submission_itself_finds_out_when_no_tick_came_before(mara):
    generation = send(confirmed(mara, 140))
    forget_submission(generation)
    send_as_it_is(generation)
    assert sent_to("generate-video") == 1
    assert dispatch.frozen()
    assert (generation.status, generation.upstream_id) == (Status.PROCESSING, "vg_1")


def test_what_was_claimed_before_the_freeze_is_not_sent_after_it(mara):
    generation = confirmed(mara, 140)
    accepts()
    submission = sending._claim(generation.pk, "worker")
    safe_mode.freeze_by_hand("test")
    assert not sending._announced(submission)
    generation.refresh_from_db()
    assert (generation.status, sent_to("generate-video")) == (Status.QUEUED, 0)


def test_a_database_that_is_replaced_between_claim_and_line_is_found_out(mara):
    sent = send(confirmed(mara, 140))
    generation = confirmed(mara, 140)
    submission = sending._claim(generation.pk, "worker")
    forget_submission(sent)
    assert not sending._announced(submission)
    assert dispatch.frozen()
    generation.refresh_from_db()
    assert (generation.status, sent_to("generate-video")) == (Status.QUEUED, 1)


def test_the_demo_goes_on_while_real_accounts_are_frozen(settings, mara):
    restored(mara)
    settings.SIMULATOR_URL = API
    accounts.ensure_demo()
    assert dispatch.lane(ApiAccount.objects.get(demo=True)) == ""


def test_looks_go_on_while_frozen_and_the_clip_comes_into_the_books(mara):
    generation = restored(mara)
    status_is("vg_1", status="completed", video_url=CLIP_URL, credits_used=130)
    assert lifecycle.look(generation.pk) is not None
    assert (ledger.totals(demo=False).held, ledger.totals(demo=False).spent) == (0, 130)
    assert Clip.objects.get().generation == generation


def test_a_tick_freezes_and_submits_nothing(mara, monkeypatch):
    generation = send(confirmed(mara, 140))
    forget_submission(generation)
    rung: list[str] = []
    for task in (tasks.submit, tasks.look, tasks.fetch, tasks.check):
        monkeypatch.setattr(task, "apply_async", lambda *a, name=task.name, **k: rung.append(name))
    confirmed(mara, 140)
    tasks.tick()
    assert dispatch.frozen()
    assert "generations.tasks.submit" not in rung
    assert "generations.tasks.look" in rung


def test_asking_costs_a_few_small_queries(mara):
    send(confirmed(mara, 140))
    with CaptureQueriesContext(connection) as queries:
        assert safe_mode.check()
    assert len(queries) <= 3


# -- what the log proves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.QUEUED, Status.AWAITING_APPROVAL, Status.SUBMITTING])
def test_what_was_accepted_is_brought_along_with_its_id_and_never_sent_again(mara, chief, client, status):
    generation = restored(mara, status=status)
    assert (generation.status, generation.upstream_id, generation.attempt) == (Status.PROCESSING, "vg_1", 1)
    submission = generation.submissions.get()
    assert submission.outcome == Submission.Outcome.ACCEPTED
    assert "says the log" in submission.words
    assert 0 <= (submission.answered_at - submission.at).total_seconds() < 30
    release(client)
    send_as_it_is(generation)
    assert sent_to("generate-video") == 1
    assert ledger.totals(demo=False).held == 140


def test_an_acceptance_that_the_database_saw_only_begin_is_brought_along(mara):
    """The backup was taken while the request was on its way."""
    generation = send(confirmed(mara, 140))
    Submission.objects.update(outcome=Submission.Outcome.OPEN)
    Generation.objects.update(status=Status.SUBMITTING, upstream_id=None)
    later = send_lost(mara)
    safe_mode.check()
    generation.refresh_from_db()
    assert later
    assert (generation.status, generation.upstream_id) == (Status.PROCESSING, "vg_1")


def send_lost(owner: User) -> bool:
    """One more was sent since, and the database knows nothing of it."""
    line = {"sent": uuid.uuid4().hex, "attempt": 1, "at": timezone.now().isoformat(), "prompt": "lost", "price": 20}
    line |= {"account": ApiAccount.objects.get().pk, "account_name": "Veevid", "owner": owner.email, "mode": "veo3"}
    line |= {"type": "text-to-video", "params": {}, "media": [], "team": "Northlight"}
    sentlog.append(safe_mode._folder(), line, sync=True)
    return True


def test_what_the_log_knows_no_answer_of_becomes_an_unknown_outcome(mara):
    responses.post(f"{API}/generate-video", body=requests.ReadTimeout())
    generation = send_as_it_is(confirmed(mara, 140))
    forget_submission(generation)
    safe_mode.check()
    generation.refresh_from_db()
    assert generation.status == Status.UNCONFIRMED
    assert "this database is older" in generation.submissions.get().words
    assert ledger.totals(demo=False).held == 140


def test_an_id_that_another_clip_has_here_is_not_taken_twice(mara):
    taken = send(confirmed(mara, 140), "vg_1")
    generation = send(confirmed(mara, 140), "vg_2")
    forget_submission(generation)
    Generation.objects.filter(pk=taken.pk).update(upstream_id="vg_2")
    safe_mode.check()
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_id) == (Status.UNCONFIRMED, None)


def test_what_was_refused_back_then_waits_on_and_may_be_sent_after_the_release(mara, chief, client):
    responses.post(f"{API}/generate-video", status=429, json={"error": "slow down"})
    generation = send_as_it_is(confirmed(mara, 140))
    forget_submission(generation)
    safe_mode.check()
    generation.refresh_from_db()
    assert (generation.status, generation.attempt) == (Status.QUEUED, 1)
    assert dispatch.frozen()
    release(client)
    ApiAccount.objects.update(wait_until=None)
    assert send(generation).attempt == 2
    assert sent_to("generate-video") == 2


def test_several_attempts_are_brought_along_in_their_order(mara):
    generation = confirmed(mara, 140)
    responses.post(f"{API}/generate-video", status=429, json={"error": "slow down"})
    send_as_it_is(generation)
    Generation.objects.update(not_before=None)
    ApiAccount.objects.update(wait_until=None)
    send(generation, "vg_2")
    forget_submission(generation)
    safe_mode.check()
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_id, generation.attempt) == (Status.PROCESSING, "vg_2", 2)
    outcomes = list(generation.submissions.order_by("attempt").values_list("outcome", flat=True))
    assert outcomes == [Submission.Outcome.RETURNED, Submission.Outcome.ACCEPTED]


def test_a_second_attempt_in_the_log_tells_of_the_decision_between(mara):
    responses.post(f"{API}/generate-video", body=requests.ReadTimeout())
    generation = send_as_it_is(confirmed(mara, 140))
    first = generation.submissions.get()
    ApiAccount.objects.update(wait_until=None)
    Submission.objects.update(check_at=None)
    Generation.objects.update(status=Status.QUEUED, account=None)
    send(generation, "vg_2")
    Submission.objects.filter(attempt=2).delete()
    Generation.objects.update(status=Status.UNCONFIRMED, attempt=1, upstream_id=None)
    safe_mode.check()
    generation.refresh_from_db()
    assert (generation.status, generation.upstream_id) == (Status.PROCESSING, "vg_2")
    assert Decision.objects.get(submission=first).kind == Decision.Kind.AGAIN


def test_what_went_on_otherwise_here_is_left_alone(mara):
    generation = send(confirmed(mara, 140))
    Submission.objects.all().delete()
    Generation.objects.update(status=Status.CANCELLED, attempt=0, upstream_id=None)
    safe_mode.check()
    generation.refresh_from_db()
    assert (generation.status, generation.submissions.count()) == (Status.CANCELLED, 0)


def test_a_confirmation_that_comes_in_again_after_the_restore_is_not_sent_again(mara, chief, client):
    sealed = sealed_for(mara, 140)
    first = send(lifecycle.confirm(mara, sealed))
    forget_generation(first)
    safe_mode.check()
    release(client)
    again = send_as_it_is(lifecycle.confirm(mara, sealed))
    assert (again.status, again.upstream_id) == (Status.PROCESSING, "vg_1")
    assert sent_to("generate-video") == 1
    assert ledger.totals(demo=False).held == 140


# -- the page ---------------------------------------------------------------------------------------------------------

ACTIONS = ["safe_mode", "safe_mode_balances", "safe_mode_take_in", "safe_mode_release"]


@pytest.mark.parametrize("role", ["viewer", "member", "manager", None])
@pytest.mark.parametrize("name", ACTIONS)
def test_only_admins_see_and_release(mara, client, role, name):
    restored(mara)
    if role:
        client.force_login(make_person("luc@example.com", role=role))
    answer = client.get(reverse(name)) if name == "safe_mode" else client.post(reverse(name), {"seen": "999"})
    assert answer.status_code == (403 if role else 302)
    assert dispatch.frozen()
    assert sent_to("credits") == 0


@pytest.mark.parametrize("name", ACTIONS[1:])
def test_a_link_alone_releases_nothing(mara, chief, client, name):
    restored(mara)
    assert client.get(reverse(name)).status_code == 405
    assert dispatch.frozen()


def test_the_page_shows_what_was_sent_and_asks_veevid_nothing(mara, chief, client):
    known, unknown = send(confirmed(mara, 140), "vg_1"), send(confirmed(mara, 140), "vg_2")
    forget_submission(known)
    forget_generation(unknown)
    confirmed(mara, 140)
    asked = len(responses.calls)
    safe_mode.check()
    page = text_of(client.get("/settings/safe-mode"))
    for words in ("2 clips, 280 credits", "vg_1", "vg_2", mara.email, "A lone walker", "Rendering", "Take in all 1",
                  "Waiting in this database: 1 clip, 140 credits."):  # fmt: skip
        assert words in page
    assert len(responses.calls) == asked


def test_everybody_reads_that_nothing_is_sent_and_admins_find_the_way(mara, chief, client):
    restored(mara)
    assert "Look and release" in text_of(client.get("/settings"))
    client.force_login(mara)
    page = text_of(client.get("/spend"))
    assert "Nothing is sent now: an admin looks after a restore first." in page
    assert "Look and release" not in page


def test_the_queue_says_why_a_clip_waits(mara):
    restored(mara)
    confirmed(mara, 140)
    [row] = waiting.queue(mara.teams.get()).waiting
    assert row.why == "Frozen after a restore, until an admin releases it"
    assert row.eta == "when an admin has looked"


def test_the_balance_is_set_against_what_books_and_log_expect(mara, chief, client):
    send(confirmed(mara, 140), "vg_1")
    lost = send(confirmed(mara, 140), "vg_2")
    forget_generation(lost)
    safe_mode.check()
    assert "Not read yet" in text_of(client.get("/settings/safe-mode"))
    responses.get(f"{API}/credits", json={"success": True, "credits": 4660, "balance": 4660})
    client.post(reverse("safe_mode_balances"))
    [balance] = safe_mode.overview().balances
    assert (balance.expected, balance.logged, balance.observed, balance.missing) == (4860, 140, 4660, 60)
    assert "60 credits less than the log explains" in text_of(client.get("/settings/safe-mode"))


def test_a_balance_that_cannot_be_read_says_so(mara, chief, client):
    restored(mara)
    responses.get(f"{API}/credits", status=500)
    client.post(reverse("safe_mode_balances"))
    assert safe_mode.overview().balances[0].trouble
    assert client.get("/settings/safe-mode").status_code == 200


# -- taking in --------------------------------------------------------------------------------------------------------


def lost_clip(owner: User, upstream_id: str = "vg_1", order: lifecycle.Order | None = None) -> str:
    """Confirmed and sent after the backup: the restored database has nothing of it. Its nonce."""
    generation = send(confirmed(owner, 140, order), upstream_id)
    forget_generation(generation)
    safe_mode.check()
    return generation.nonce.hex


def test_a_clip_that_only_the_log_knows_is_taken_in_whole(mara, chief, client):
    nonce = lost_clip(mara, order=make_order("kling-3", "image-to-video"))
    client.post(reverse("safe_mode_take_in"), {"nonce": nonce})
    assert AuditEntry.objects.get(action="safe_mode.taken_in").who == chief
    row = Generation.objects.get()
    assert (row.nonce.hex, row.owner, row.team.name, row.price) == (nonce, mara, "Northlight", 140)
    assert (row.status, row.upstream_id, row.prompt) == (Status.PROCESSING, "vg_1", "A lone walker")
    assert row.media.get().url == "https://example.com/a.jpg"
    assert ledger.totals(user=mara, demo=False).held == 140
    status_is("vg_1", status="completed", video_url=CLIP_URL, credits_used=140)
    lifecycle.look(row.pk)
    assert ledger.totals(user=mara, demo=False).spent == 140
    assert client.get(f"/g/{row.pk}").status_code in (200, 404)
    assert sent_to("generate-video") == 1


def test_what_is_taken_in_is_no_price_to_confirm_with(mara, chief, client):
    order = make_order()
    nonce = lost_clip(mara, order=order)
    quotes = lifecycle.newest_quote(order.billing, False)
    client.post(reverse("safe_mode_take_in"), {"nonce": nonce})
    assert lifecycle.newest_quote(order.billing, False) == quotes


def test_a_clip_without_a_known_answer_is_taken_in_as_an_unknown_outcome(mara, chief, client):
    responses.post(f"{API}/generate-video", body=requests.ReadTimeout())
    generation = send_as_it_is(confirmed(mara, 140))
    forget_generation(generation)
    safe_mode.check()
    client.post(reverse("safe_mode_take_in"), {"nonce": generation.nonce.hex})
    assert Generation.objects.get().status == Status.UNCONFIRMED
    assert ledger.totals(demo=False).held == 140


def test_all_are_taken_in_at_once_and_twice_is_once(mara, chief, client):
    generations = [send(confirmed(mara, 140), f"vg_{number}") for number in range(3)]
    for generation in generations:
        forget_generation(generation)
    safe_mode.check()
    for _ in range(2):
        assert client.post(reverse("safe_mode_take_in")).status_code == 302
    assert Generation.objects.count() == LedgerEntry.objects.count() == 3
    again = client.post(reverse("safe_mode_take_in"), {"nonce": generations[0].nonce.hex})
    assert again.status_code == 422
    assert "It is here already" in text_of(again)


def test_a_clip_of_somebody_who_is_not_here_becomes_the_admins(mara, client):
    chief = make_person("chief@example.com", "Cutters", is_staff=True)
    client.force_login(chief)
    nonce = lost_clip(mara)
    User.objects.filter(pk=mara.pk).update(email="other@example.com")
    mara.teams.update(name="Southlight")
    client.post(reverse("safe_mode_take_in"), {"nonce": nonce})
    row = Generation.objects.get()
    assert (row.owner, row.team.name) == (chief, "Cutters")


def test_a_clip_of_an_account_that_is_not_here_is_not_taken_in(mara, chief, client):
    nonce = lost_clip(mara)
    ApiAccount.objects.update(name="Another account")
    answer = client.post(reverse("safe_mode_take_in"), {"nonce": nonce})
    assert answer.status_code == 422
    assert "Veevid is not an account here" in text_of(answer)
    assert not Generation.objects.exists()


@pytest.mark.parametrize("nonce", ["x", "0" * 32, "½", "a" * 5000])
def test_a_nonce_that_nobody_logged_takes_nothing_in(mara, chief, client, nonce):
    lost_clip(mara)
    assert client.post(reverse("safe_mode_take_in"), {"nonce": nonce}).status_code == 422
    assert not Generation.objects.exists()


# -- the release ------------------------------------------------------------------------------------------------------


def test_after_the_release_what_waits_is_sent_once_and_it_stays_released(mara, chief, client):
    restored(mara)
    waits = confirmed(mara, 140)
    assert release(client).status_code == 302
    freeze = Freeze.objects.get()
    assert (freeze.released_by, freeze.released_at is not None) == (chief, True)
    assert send(waits, "vg_2").status == Status.PROCESSING
    for _ in range(2):
        safe_mode.check()
    assert not dispatch.frozen()
    assert sent_to("generate-video") == 2
    assert "released by Chief" in text_of(client.get("/settings/safe-mode"))


def test_of_two_admins_one_releases(mara, chief, client):
    restored(mara)
    release(client)
    other = make_person("second@example.com", is_staff=True)
    client.force_login(other)
    answer = release(client, 999)
    assert answer.status_code == 422
    assert "released already" in text_of(answer)
    assert Freeze.objects.get().released_by == chief


def test_what_another_host_found_since_the_page_was_shown_is_looked_at_first(mara, chief, client, monkeypatch):
    restored(mara)
    seen = safe_mode.overview().newest
    monkeypatch.setattr(safe_mode, "_host", lambda: "another host")
    send_lost(mara)
    safe_mode.check()
    answer = release(client, seen)
    assert answer.status_code == 422
    assert "More was found" in text_of(answer)
    assert dispatch.frozen()
    assert Freeze.objects.count() == 1
    assert set(Freeze.objects.get().logs) == {"another host", socket.gethostname()}


def test_the_page_names_the_hosts_that_sent_before_and_have_not_compared_their_log(mara, chief, client, monkeypatch):
    send(confirmed(mara, 140), "vg_0")
    Submission.objects.update(worker="studio-2:71", at=timezone.now() - timedelta(minutes=1))
    restored(mara)
    assert "Not compared yet: studio-2." in text_of(client.get("/settings/safe-mode"))
    monkeypatch.setattr(safe_mode, "_host", lambda: "studio-2")
    safe_mode.check()
    assert "Not compared yet" not in text_of(client.get("/settings/safe-mode"))


def test_a_host_that_comes_later_with_more_freezes_again(mara, chief, client):
    restored(mara)
    release(client)
    send_lost(mara)
    waits = send_as_it_is(confirmed(mara, 140))
    assert dispatch.frozen()
    assert waits.status == Status.QUEUED
    assert sent_to("generate-video") == 1


def test_the_same_backup_restored_a_second_time_freezes_again(mara, chief, client):
    generation = restored(mara)
    release(client)
    Stray.objects.all().delete()
    Freeze.objects.all().delete()
    forget_submission(generation)
    assert safe_mode.check()
    assert dispatch.frozen()


@pytest.mark.parametrize("seen", ["", "x", "-1", "½", "9" * 400])
def test_a_release_that_does_not_say_what_was_seen_releases_nothing(mara, chief, client, seen):
    restored(mara)
    assert client.post(reverse("safe_mode_release"), {"seen": seen}).status_code == 422
    assert dispatch.frozen()


def test_the_console_freezes_by_hand_and_an_admin_releases(mara, chief, client):
    call_command("freeze")
    assert send_as_it_is(confirmed(mara, 140)).status == Status.QUEUED
    assert sent_to("generate-video") == 0
    assert "Frozen by hand" in text_of(client.get("/settings/safe-mode"))
    release(client)
    assert not dispatch.frozen()
