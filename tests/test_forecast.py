"""When clips are said to be ready: ranges from the looks' own curves, remembered, and counted when they come true."""

import time
import uuid
from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from django.core.management import call_command
from django.utils import timezone

from generations import accounts, dispatch, forecast, lifecycle, outlook, pacing, sending
from generations.models import ApiAccount, Forecast, Generation, Quote, Status, User
from tests.makers import CLIP_URL, accepts, confirmed, make_account, make_person, sealed_for, status_is

EMPTY = pacing.Load([], 0, 0)
QUEUED, SENT = Forecast.Stage.QUEUED, Forecast.Stage.SENT


# -- the arithmetic ---------------------------------------------------------------------------------------------------


def kind(seen=pacing.PRIOR, load: pacing.Load = EMPTY) -> outlook.Kind:
    return outlook.kind(seen, [seen], load)


def line(*whose: int, like: outlook.Kind | None = None) -> list[outlook.Turn]:
    """Who waits, in the order they came."""
    like = like or kind()
    return [outlook.Turn(n, who, 1, n - 1000.0, like) for n, who in enumerate(whose, start=1)]


def free(number: int = 3, **fields) -> list[outlook.Place]:
    return [outlook.Place(0, **fields)] * number


def test_a_range_holds_four_times_of_five_of_durations_it_has_not_seen():
    dice = Random(4)
    like = kind([dice.uniform(60, 180) for _ in range(80)])
    low, high = outlook.between(like.takes)
    took = [dice.uniform(60, 180) for _ in range(999)]
    noticed = [next((at for at in like.takes if at >= each), like.takes[-1]) for each in took]
    share = sum(low <= each <= high for each in noticed) / len(noticed)
    print(f"held {100 * share:.0f} % between {low:.0f} and {high:.0f} s")
    assert 0.72 < share < 0.92


def test_dear_looks_notice_later_and_the_range_says_so():
    busy = pacing.Load([float(60 * n) for n in range(1, 60)] * 3, 3, 50, 60)
    seen = [float(60 + 3 * n) for n in range(40)]
    assert sum(kind(seen, busy).takes) > sum(kind(seen).takes) + 500  # five seconds each, of a hundred
    assert kind(seen, busy).requests < kind(seen).requests


def test_who_waits_behind_others_is_ready_later_and_less_surely():
    ready = outlook.ready(free(1), line(1, 2, 3, 4), EMPTY)
    lows, highs = [ready[n][0] for n in range(1, 5)], [ready[n][1] for n in range(1, 5)]
    assert lows == sorted(lows)
    assert highs == sorted(highs)
    assert highs[3] - lows[3] > highs[0] - lows[0]


def test_the_line_is_played_in_turn_so_one_person_with_many_does_not_delay_another():
    ready = outlook.ready(free(), line(1, 1, 1, 1, 1, 1, 2), EMPTY)
    assert ready[7][1] < ready[6][0]


def test_newcomers_are_reckoned_with_by_those_whom_they_may_overtake():
    others = [outlook.Turn(-n, n % 5 + 10, 1, -600.0 - n * 90, kind()) for n in range(1, 101)]
    alone = outlook.ready(free(), line(*[1] * 12), EMPTY)
    company = outlook.ready(free(), line(*[1] * 12), EMPTY, others)
    assert company[12][1] > 1.5 * alone[12][1]
    assert company[1] == alone[1]


def test_a_slot_reserved_for_a_team_serves_no_other():
    mine, theirs = line(1, 2)
    theirs = outlook.Turn(2, 2, 9, -1.0, theirs.kind)
    ready = outlook.ready(free(1, team=9), [mine, theirs], EMPTY)
    assert list(ready) == [2]


def test_used_up_requests_delay_who_needs_them():
    full = pacing.Load([1800.0] * 190, 0, 0)
    assert outlook.ready(free(), line(1), full)[1][0] > 1800
    assert outlook.room(EMPTY, 50) == 0
    assert outlook.room(EMPTY, 200) == 3600


def test_the_same_question_gets_the_same_answer():
    assert outlook.ready(free(), line(1, 2, 1), EMPTY) == outlook.ready(free(), line(1, 2, 1), EMPTY)


def test_what_takes_longer_than_anything_seen_may_take_much_longer():
    rest = outlook.left(kind().takes, 1000)
    assert min(rest) > 0
    assert max(rest) > 300


def test_a_line_of_a_thousand_is_foreseen_at_once():
    long = line(*(n % 20 for n in range(1000)))
    started = time.perf_counter()
    ready = outlook.ready(free(), long, EMPTY, [outlook.Turn(-n, n % 20, 1, -9.0 * n, kind()) for n in range(1, 300)])
    took = time.perf_counter() - started
    print(f"1000 waiting: {1000 * took:.0f} ms")
    assert len(ready) == 1000
    assert took < 3


# -- what is told -----------------------------------------------------------------------------------------------------


@pytest.fixture
def mara(db, wire) -> User:
    make_account()
    return make_person()


def render(generation: Generation, charged: int = 140) -> None:
    status_is("vg_1", status="completed", video_url=CLIP_URL, credits_used=charged)
    Generation.objects.filter(pk=generation.pk).update(next_look_at=timezone.now())
    lifecycle.look(generation.pk)


def test_what_was_said_is_remembered_when_it_is_confirmed_and_when_it_is_sent(mara):
    generation = confirmed(mara)
    told = Forecast.objects.get()
    assert (told.stage, told.generation) == (QUEUED, generation)
    assert timedelta(seconds=50) < told.low - told.at < told.high - told.at < timedelta(seconds=300)
    accepts("vg_1")
    sending.submit(generation.pk, "worker")
    assert list(Forecast.objects.order_by("pk").values_list("stage", flat=True)) == [QUEUED, SENT]


def test_the_same_confirmation_twice_is_told_once(mara):
    sealed = sealed_for(mara)
    lifecycle.confirm(mara, sealed)
    lifecycle.confirm(mara, sealed)
    assert Forecast.objects.count() == 1


def test_nothing_is_promised_while_nothing_is_sent(mara):
    sealed = sealed_for(mara)
    accounts.set_account_open(ApiAccount.objects.get(), False)
    lifecycle.confirm(mara, sealed)
    assert not Forecast.objects.exists()


def test_nothing_is_promised_while_the_disk_is_full(mara, settings):
    sealed = sealed_for(mara)
    settings.DISK_FLOOR = 2**62
    lifecycle.confirm(mara, sealed)
    assert not Forecast.objects.exists()


def test_a_thousand_that_wait_do_not_slow_a_confirmation_noticeably(mara):
    quote = Quote.objects.create(account=ApiAccount.objects.get(), digest="d", billing={}, credits=140)
    Generation.objects.bulk_create(
        Generation(
            team=mara.teams.get(), owner=mara, nonce=uuid.uuid4(), mode="veo3", generation_type="text-to-video",
            params={"duration": 8}, price=140, quote=quote, prompt="one of many",
        )
        for _ in range(1000)
    )  # fmt: skip
    sealed = sealed_for(mara)
    started = time.process_time()
    generation = lifecycle.confirm(mara, sealed)
    took = time.process_time() - started
    print(f"confirmed behind 1000: {1000 * took:.0f} ms of work")
    told = Forecast.objects.get(generation=generation)
    assert told.low - told.at > timedelta(hours=5)
    assert took < 1


def test_forecasts_and_looks_go_by_the_same_samples(mara, monkeypatch):
    asked = Counter()
    real = dispatch.seen
    monkeypatch.setattr(dispatch, "seen", lambda demo: asked.update(["seen"]) or real(demo))
    generation = confirmed(mara)
    assert asked["seen"] == 1
    dispatch.Pace(ApiAccount.objects.get()).next_look(generation, 0.0)
    assert asked["seen"] == 2


def test_a_kind_that_was_seen_often_is_foreseen_by_itself(mara):
    now = timezone.now()
    for number in range(20):
        make_done(mara, took=20.0 + number % 3, told=None, params={"duration": 8}, finished_at=now)
        make_done(mara, took=300.0 + number % 3, told=None, params={"duration": 12}, finished_at=now)
    ahead = forecast.Outlook(demo=False)
    short = outlook.between(ahead.kind(dispatch.kind_of("veo3", {"duration": 8})).takes)
    long = outlook.between(ahead.kind(dispatch.kind_of("veo3", {"duration": 12})).takes)
    assert short[1] < 40 < 250 < long[0]


# -- whether it held --------------------------------------------------------------------------------------------------


def make_done(owner: User, took: float = 100.0, told: tuple[float, float] | None = (60, 180), **fields) -> Generation:
    """A clip that was ready so many seconds after it was confirmed, and was said to be between two times."""
    now = timezone.now()
    quote = Quote.objects.create(account=ApiAccount.objects.get(), digest="d", billing={}, credits=140)
    fields = {"params": {}, "finished_at": now, "took": took, **fields}
    generation = Generation.objects.create(
        team=owner.teams.get(), owner=owner, nonce=uuid.uuid4(), mode="veo3", generation_type="text-to-video",
        price=140, quote=quote, prompt="A lone walker", status=Status.COMPLETED, **fields,
    )  # fmt: skip
    if told:
        at = now - timedelta(seconds=took)
        low, high = (at + timedelta(seconds=seconds) for seconds in told)
        Forecast.objects.create(generation=generation, stage=QUEUED, at=at, low=low, high=high)
    return generation


def words(client, person: User) -> str:
    client.force_login(person)
    return " ".join(client.get("/queue").content.decode().split())


def test_the_queue_says_how_often_it_held(client, mara):
    for took in [100.0] * 9 + [20.0, 300.0, 400.0]:
        make_done(mara, took)
    assert "Of the last 12 clips, 9 were ready within the time said when they were confirmed." in words(client, mara)


def test_of_fewer_than_ten_clips_nothing_is_said(client, mara):
    for _ in range(9):
        make_done(mara)
    assert "were ready within the time" not in words(client, mara)


def test_another_teams_clips_do_not_count(client, mara):
    stranger = make_person("stranger@example.com", team="Elsewhere")
    for _ in range(12):
        make_done(stranger)
    assert "were ready within the time" not in words(client, mara)


def test_a_real_clip_counts_when_it_is_ready(mara):
    for _ in range(9):
        make_done(mara)
    generation = confirmed(mara)
    accepts("vg_1")
    sending.submit(generation.pk, "worker")
    assert forecast.record(mara.teams.get()) is None
    render(generation)
    assert forecast.record(mara.teams.get()) == forecast.Record(10, 9)  # it was ready at once, far too soon


def test_the_command_prints_how_it_held_by_model(mara, capsys):
    for took in (100.0, 100.0, 20.0, 300.0):
        make_done(mara, took)
    call_command("eta")
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split() == "Veo 3.1 when it was confirmed 4 50.0% 25.0% 25.0%".split()
