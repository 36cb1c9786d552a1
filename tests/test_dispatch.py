"""Which rows are due, whose turn it is, and that no limit of Veevid is ever passed."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from generations import dispatch, pacing
from generations.models import ApiAccount, ApiCall, ApiKey
from tests import jobs
from tests.makers import make_account

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def account(db) -> ApiAccount:
    return make_account()


def answered(call: ApiCall, after: float = 0.2) -> None:
    ApiCall.objects.filter(pk=call.pk).update(finished_at=call.at + timedelta(seconds=after), outcome="ok")


def take(account: ApiAccount, kind: str, at: float, after: float = 0.2) -> bool:
    """One request at so many seconds after noon. False: no room."""
    with time_machine.travel(NOON + timedelta(seconds=at), tick=False):
        try:
            answered(dispatch.reserve(account, kind), after)
        except dispatch.NoRoom:
            return False
        return True


# -- limits -----------------------------------------------------------------------------------------------------------


def test_thirty_requests_a_minute_with_one_key_and_no_more(account):
    assert [take(account, "quote", second) for second in range(31)] == [True] * 30 + [False]
    assert take(account, "quote", 60.3)


def test_another_key_lifts_the_limit_of_the_minute(account):
    ApiKey.objects.create(account=account, secret="vv_sk_second", last4="cond", digest="2")
    assert all(take(account, "quote", second) for second in range(59))


def test_the_hour_keeps_five_requests_for_prices_and_the_last_of_them_for_recovery(account):
    sent = [take(account, "status", 10 * number) for number in range(pacing.PER_ACCOUNT_HOUR)]
    assert sum(sent) == pacing.PER_ACCOUNT_HOUR - pacing.KEPT
    prices = [take(account, "quote", 2000 + number) for number in range(pacing.KEPT)]
    assert prices == [True] * (pacing.KEPT - pacing.KEPT_FROM_PRICES) + [False] * pacing.KEPT_FROM_PRICES
    balances = [take(account, "credits", 2100 + number) for number in range(pacing.KEPT_FROM_PRICES + 1)]
    assert balances == [True] * pacing.KEPT_FROM_PRICES + [False]


def test_looks_leave_some_of_every_minute_to_people(account):
    looks = [take(account, "status", number / 10) for number in range(pacing.PER_KEY_MINUTE)]
    assert sum(looks) == pacing.PER_KEY_MINUTE - pacing.KEPT_OF_MINUTE
    assert take(account, "quote", 10)


def test_a_request_counts_from_when_its_answer_came(account):
    """It may have arrived upstream as late as that, so the window is never passed over there."""
    for number in range(30):
        assert take(account, "quote", number / 10, after=20)
    assert not take(account, "quote", 70)
    assert take(account, "quote", 83)


def test_an_unanswered_request_goes_on_counting(account):
    with time_machine.travel(NOON, tick=False):
        for _ in range(30):
            dispatch.reserve(account, "quote")
    assert not take(account, "quote", 90)


def test_a_request_that_was_never_sent_does_not_count(account):
    with time_machine.travel(NOON, tick=False):
        for _ in range(30):
            call = dispatch.reserve(account, "quote")
            ApiCall.objects.filter(pk=call.pk).update(outcome=ApiCall.Outcome.NOT_SENT, finished_at=NOON)
    assert take(account, "quote", 1)


def test_no_room_says_when_there_is_some_again(account):
    for second in range(30):
        take(account, "quote", second)
    with time_machine.travel(NOON + timedelta(seconds=30), tick=False), pytest.raises(dispatch.NoRoom) as full:
        dispatch.reserve(account, "quote")
    with time_machine.travel(full.value.until + timedelta(milliseconds=1), tick=False):
        dispatch.reserve(account, "quote")


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"state": "paused"}, "paused"), ({"state": "suspended"}, "account"),
     ({"wait_until": NOON + timedelta(days=999), "wait_why": "busy"}, "busy")],
)  # fmt: skip
def test_a_closed_lane_says_why(account, fields, why):
    ApiAccount.objects.filter(pk=account.pk).update(**fields)
    account.refresh_from_db()
    assert dispatch.lane(account, NOON) == why


def test_an_account_without_a_working_key_sends_nothing(account):
    ApiKey.objects.update(state=ApiKey.State.REFUSED)
    with pytest.raises(dispatch.NoRoom, match="no working key"):
        dispatch.reserve(account, "quote")
    assert not ApiCall.objects.exists()


RESERVE_IN_PARALLEL = """
import json
from concurrent.futures import ThreadPoolExecutor
from django.db import connection
from generations import dispatch
from generations.models import ApiAccount, ApiCall
account = ApiAccount.objects.get()
def reserve(_):
    try:
        dispatch.reserve(account, "quote")
    except dispatch.NoRoom:
        pass
    finally:
        connection.close()
with ThreadPoolExecutor(12) as pool:
    list(pool.map(reserve, range(60)))
print(json.dumps(ApiCall.objects.count()))
"""


@pytest.mark.processes
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_twelve_at_once_do_not_pass_the_limit_together(make_stack, make_simulator, database):
    dailies = make_stack(simulator=make_simulator(), database=database)
    assert dailies.python(RESERVE_IN_PARALLEL) == pacing.PER_KEY_MINUTE


# -- turns ------------------------------------------------------------------------------------------------------------


def queue(*owners: int) -> list[tuple[int, int, datetime]]:
    return [(number, owner, NOON + timedelta(seconds=number)) for number, owner in enumerate(owners)]


def test_nobody_waits_behind_one_persons_batch():
    assert dispatch.in_turn(queue(1, 1, 1, 1, 2, 3), Counter()) == [0, 4, 5, 1, 2, 3]


def test_what_a_person_has_under_way_counts_as_turns_taken():
    assert dispatch.in_turn(queue(1, 1, 2), Counter({1: 2})) == [2, 0, 1]


@given(st.lists(st.integers(1, 5), max_size=40), st.dictionaries(st.integers(1, 5), st.integers(0, 3)))
def test_everybody_is_served_and_nobody_gets_two_turns_more_than_another_who_waits(owners, running):
    order = dispatch.in_turn(queue(*owners), Counter(running))
    assert sorted(order) == list(range(len(owners)))
    served = Counter(running)
    for place, number in enumerate(order):
        still_waiting = {owners[other] for other in order[place:]}
        assert served[owners[number]] <= min(served[owner] for owner in still_waiting)
        served[owners[number]] += 1


# -- restarts ----------------------------------------------------------------------------------------------------------


@pytest.mark.processes
def test_a_restart_forgets_no_request(make_stack, make_simulator):
    """The limits are counted from rows: another process, started later, counts the same."""
    dailies = make_stack(simulator=make_simulator(), database="sqlite")
    jobs.add_people(dailies)
    reserve = "import json; from generations import dispatch; from generations.models import ApiAccount;"
    reserve += "a = ApiAccount.objects.get(); [dispatch.reserve(a, 'status') for _ in range({})];"
    reserve += "print(json.dumps(dispatch.requests_this_hour(a)))"
    assert [dailies.python(reserve.format(10)) for _ in range(2)] == [10, 20]
