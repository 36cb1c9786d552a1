"""When to look again: promptly while requests are plentiful, sparingly when they are not, never past a limit."""

import uuid
from datetime import timedelta
from itertools import pairwise
from statistics import fmean

import pytest
import responses
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import pacing as benchmark
from generations import dispatch, pacing
from generations.models import ApiCall, Status
from tests.makers import confirmed, make_account, make_person

SPREAD = [float(second) for second in range(60, 181, 2)]
IDLE = pacing.Load(ends=(), running=1, waiting=0)
FULL = pacing.Load(ends=[18.0 * place for place in range(1, 190)], running=3, waiting=100, submitted=72)


def looks_until(done_after: float, seen: list[float], load: pacing.Load, turn: float = 0.5) -> tuple[int, float]:
    """How many looks a job of this length takes, and how late the last one notices."""
    at, count = 0.0, 0
    while at < done_after:
        at += pacing.next_look(at, seen, load, turn=turn)
        count += 1
    return count, at - done_after


loads = st.builds(
    pacing.Load,
    ends=st.lists(st.floats(0, 3600), max_size=220).map(sorted),
    running=st.integers(0, 3),
    waiting=st.floats(0, 1e4),
    submitted=st.integers(0, 200),
    others=st.integers(0, 200),
    keys=st.integers(0, 5),
)


@given(st.floats(0, 1e6), st.lists(st.floats(0.1, 5000), max_size=80), loads, st.floats(0, 1))
def test_the_next_look_lies_ahead_and_before_all_is_forgotten(elapsed, seen, load, turn):
    wait = pacing.next_look(elapsed, seen, load, turn=turn)
    assert 0.4 < wait <= max(pacing.STALLED_EVERY, 5 * max(seen, default=180))


@given(st.lists(st.floats(0.1, 5000), min_size=3, max_size=80), loads)
def test_a_dearer_look_is_taken_more_rarely(seen, load):
    known = pacing.curve(tuple(seen))
    looks = [pacing.plan(known, price).looks for price in pacing.PRICES]
    assert all(more >= fewer - 1e-6 for more, fewer in pairwise(looks))


def test_with_requests_to_spare_the_end_is_noticed_within_a_few_seconds():
    late = [looks_until(done, SPREAD, IDLE)[1] for done in range(61, 180, 7)]
    print(f"\nplenty of requests: noticed after {fmean(late):.1f} s on average, {max(late):.1f} s at most")
    assert fmean(late) <= 2.5
    assert max(late) <= 5


def test_a_full_queue_takes_about_one_and_a_half_looks_for_each_job():
    looks = [looks_until(done, SPREAD, FULL, pacing.turn(done))[0] for done in range(61, 180)]
    print(f"\nfull queue: {fmean(looks):.2f} looks for each job")
    assert 1.3 < fmean(looks) < 1.9


def test_what_is_foreseen_fits_the_requests_that_come_free():
    price = pacing.price([SPREAD], FULL, turn=0.0)
    made = pacing.plan(pacing.curve(tuple(SPREAD)), price * 1.35)
    jobs = 3600 * pacing.AT_ONCE / (fmean(SPREAD) + made.delay)
    assert jobs * (1 + made.looks) <= 1.1 * (pacing.PER_ACCOUNT_HOUR - pacing.KEPT)


def test_after_a_pause_the_first_clips_do_not_spend_the_whole_hour():
    """Seven clips in the ten minutes since it began are 42 an hour, not 7."""
    begun = pacing.Load(ends=[3000 + 12.0 * place for place in range(50)], running=2, waiting=0, submitted=7)
    steady = pacing.Load(ends=[72.0 * place for place in range(50)], running=2, waiting=0, submitted=7)
    assert (begun.pace, round(steady.pace)) == (42, 7)
    assert pacing.price([SPREAD], begun) > 3 * pacing.price([SPREAD], steady)


def test_two_prices_are_mixed_so_that_the_hour_is_spent():
    assert len({pacing.price([SPREAD], FULL, pacing.turn(number)) for number in range(50)}) == 2


def test_a_queue_of_quick_clips_does_not_set_the_looks_at_slow_ones_alone():
    """The price comes from all that the account renders; the times come from the generation's own kind."""
    slow, quick = [200.0 + k for k in range(20)], [20.0 + k / 10 for k in range(20)]
    assert pacing.next_look(0, slow, FULL, [slow, quick]) > 190
    assert pacing.next_look(0, quick, FULL, [slow, quick]) < 30


def test_a_quick_model_nobody_knows_yet_is_not_kept_waiting():
    assert looks_until(8, [], IDLE) == (3, 2.0)


def test_three_clips_of_a_sped_up_simulator_are_enough_to_learn_from():
    assert looks_until(1.2, [0.9, 1.1, 1.5], IDLE) == (1, pytest.approx(pacing.CLOSEST - 1.2, abs=1))


def test_three_that_render_share_the_minute_of_their_key():
    closest = pacing.Load(ends=(), running=3, waiting=0).closest
    assert 3 * 60 / closest <= pacing.PER_KEY_MINUTE - pacing.KEPT_OF_MINUTE


def test_what_takes_for_ever_is_looked_at_rarely():
    assert pacing.next_look(3600, [60, 90, 120], IDLE) >= 1000


def test_what_is_like_it_comes_first_then_its_model_then_everything():
    newest = [(("veo3", "8"), 1.0)] * 5 + [(("veo3", "4"), 2.0)] * 3 + [(("kling-3", "5"), 3.0)] * 2
    assert pacing.samples(newest, ("veo3", "8"))[0] == [1.0] * 5
    assert sorted(pacing.samples(newest, ("veo3", "4"))[0]) == [1.0] * 5 + [2.0] * 3
    assert len(pacing.samples(newest, ("kling-3", "5"))[0]) == 10


def test_only_the_newest_eighty_of_a_kind_are_learned_from():
    assert pacing.samples([(("a",), float(n)) for n in range(100)], ("a",))[0] == [float(n) for n in range(80)]


@given(st.floats(0, 500), st.lists(st.floats(1, 1000), max_size=20))
def test_an_estimate_is_an_honest_range_or_none(elapsed, seen):
    between = pacing.foreseen(elapsed, seen)
    assert between is None or 0 < between[0] <= between[1]


def test_a_decision_takes_less_than_five_milliseconds_even_when_nothing_is_cached():
    took = benchmark.decision_times()
    print(f"\na decision: {took[len(took) // 2]:.1f} ms of processor time, {took[-1]:.1f} ms at most")
    assert took[len(took) // 2] < 5


@pytest.mark.django_db
def test_an_account_counts_what_still_counts_upstream():
    account = make_account()
    now = timezone.now()
    kinds = ["status"] * 3 + ["generate"] * 2 + ["quote"]
    for place, kind in enumerate(kinds):
        at = now - timedelta(minutes=10 * place)
        ApiCall.objects.create(account=account, key=account.keys.get(), kind=kind, at=at, finished_at=at, outcome="ok")
    load = dispatch.load(account, now)
    assert [round(end) for end in load.ends] == [600, 1200, 1800, 2400, 3000, 3600]
    assert (load.submitted, load.others, load.keys, load.running, load.waiting) == (2, 1, 1, 0, 0)


@pytest.mark.django_db
def test_a_look_is_timed_from_what_its_own_length_and_quality_took():
    account = make_account()
    with responses.mock:
        generation = confirmed(make_person())
    generation.status, generation.took, generation.finished_at = Status.COMPLETED, 100.0, timezone.now()
    for _ in range(pacing.OFTEN):
        generation.pk, generation.nonce = None, uuid.uuid4()
        generation.save()
    wait = (dispatch.Pace(account).next_look(generation, 0.0) - timezone.now()).total_seconds()
    assert 90 < wait < 110


def test_a_day_with_an_endless_queue_and_one_with_a_few_clips_break_no_limit():
    """A short form of benchmarks/pacing.py, which is the measure."""
    law = benchmark.LAWS["uniform 60-180"][0]
    full = benchmark.run(law, benchmark.Shipped(), seed=1, hours=8)
    light = benchmark.run(law, benchmark.Shipped(), seed=1, hours=8, per_hour=5)
    print(f"\nendless: {full.done / full.hours:.1f} clips an hour of 75.25; a few: {fmean(light.delays):.1f} s late")
    assert (full.refused, full.violations, light.refused, light.violations) == (0, 0, 0, 0)
    assert full.done / full.hours > 0.93 * 75.25
    assert fmean(light.delays) < 5


def test_the_judge_of_the_benchmark_sees_what_passes_a_limit():
    upstream = benchmark.Upstream()
    upstream.arrived = [float(second) for second in range(31)]
    assert upstream.violations() == 1
    upstream.arrived, upstream.jobs = [], [(0.0, 10.0)] * 4
    assert upstream.violations() == 1
