"""The books against Veevid's balances: what was spent elsewhere is listed, what is under way blames nobody."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from generations import books, dispatch, ledger
from generations.models import ApiAccount, ApiCall, BalanceReading, DaySum, Generation, LedgerEntry, Status, User
from tests.makers import confirmed, make_account, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]

Kind = LedgerEntry.Kind


@pytest.fixture
def clock():
    """Time stands still, and moves when a test says so."""
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


@pytest.fixture
def mara(clock) -> User:
    make_account()
    return make_person()


@pytest.fixture
def account(mara) -> ApiAccount:
    return ApiAccount.objects.get()


def read(account: ApiAccount, credits: int, clock) -> BalanceReading:
    """Veevid tells a balance; a while later the books are compared."""
    clock.shift(10)
    call = dispatch.reserve(account, ApiCall.Kind.CREDITS)
    clock.shift(1)
    dispatch.note_balance(call, credits)
    clock.shift(10)
    books.compare()
    account.refresh_from_db()
    return BalanceReading.objects.latest("pk")


def send(user: User, account: ApiAccount, clock, price: int = 140) -> Generation:
    generation = confirmed(user, price)
    clock.shift(30)
    BalanceReading.objects.all().filter(call__kind="quote").delete()  # only the readings of the test count
    generation.move(Status.SUBMITTING, account=account, sent_at=timezone.now(), attempt=1)
    generation.move(Status.PROCESSING, upstream_id=f"vg_{generation.pk}")
    clock.shift(30)
    return generation


def complete(generation: Generation, clock, charged: int | None = None) -> None:
    spent = generation.price if charged is None else charged
    generation.move(Status.COMPLETED, charged=spent, finished_at=timezone.now())
    ledger.capture(generation, spent)
    clock.shift(30)


def fail(generation: Generation, clock) -> None:
    generation.move(Status.FAILED, charged=0, finished_at=timezone.now())
    ledger.release(generation, "failed: nothing charged")
    clock.shift(30)


def listed() -> list[tuple[str, int, int]]:
    return [(row.kind, row.spent, row.bought) for row in books.outside(demo=False).order_by("pk")]


def test_the_first_balance_is_where_the_books_begin(account, clock):
    read(account, 5000, clock)
    assert (books.state(account).agree, listed()) == (True, [])


def test_what_we_spent_is_expected(mara, account, clock):
    read(account, 5000, clock)
    complete(send(mara, account, clock), clock)
    read(account, 4860, clock)
    assert (books.state(account).agree, listed()) == (True, [])


def test_a_charge_that_differs_from_its_price_is_expected_as_charged(mara, account, clock):
    read(account, 5000, clock)
    complete(send(mara, account, clock), clock, charged=120)
    read(account, 4880, clock)
    assert listed() == []


def test_a_refunded_failure_leaves_no_trace(mara, account, clock):
    read(account, 5000, clock)
    fail(send(mara, account, clock), clock)
    read(account, 5000, clock)
    assert listed() == []


def test_credits_spent_elsewhere_are_listed_with_the_readings_they_lie_between(mara, account, clock):
    before = read(account, 5000, clock)
    complete(send(mara, account, clock), clock)
    after = read(account, 4800, clock)
    entry = LedgerEntry.objects.get(kind=Kind.OUTSIDE)
    assert (entry.spent, entry.after, entry.until, entry.account) == (60, before, after, account)
    assert books.state(account).agree


def test_a_top_up_is_listed_as_bought(account, clock):
    read(account, 100, clock)
    read(account, 5100, clock)
    assert listed() == [(Kind.TOPUP, 0, 5000)]


def test_nothing_is_listed_twice(account, clock):
    read(account, 5000, clock)
    read(account, 4900, clock)
    books.compare()
    read(account, 4900, clock)
    assert listed() == [(Kind.OUTSIDE, 100, 0)]


@pytest.mark.parametrize("balance", [5000, 4860], ids=["given back already", "charged"])
def test_a_clip_under_way_may_be_charged_or_not(mara, account, clock, balance):
    read(account, 5000, clock)
    generation = send(mara, account, clock)
    read(account, balance, clock)
    state = books.state(account)
    assert (state.agree, state.expected) == (True, books.Expected(4860, 5000))
    complete(generation, clock)
    read(account, 4860, clock)
    assert listed() == []


def test_what_lies_outside_the_range_is_said_but_not_listed_until_the_account_rests(mara, account, clock):
    read(account, 5000, clock)
    generation = send(mara, account, clock)
    read(account, 4800, clock)
    assert (books.state(account).missing, listed()) == (60, [])
    complete(generation, clock)
    read(account, 4800, clock)
    assert listed() == [(Kind.OUTSIDE, 60, 0)]


def test_an_account_that_never_rests_is_judged_by_its_range_after_a_day(mara, account, clock):
    read(account, 5000, clock)
    generation = send(mara, account, clock)
    clock.shift(timedelta(days=2))
    read(account, 4800, clock)
    assert listed() == [(Kind.OUTSIDE, 60, 0)]
    complete(generation, clock)
    read(account, 4800, clock)
    assert listed() == [(Kind.OUTSIDE, 60, 0)]


def test_a_charge_above_the_price_that_was_in_the_balance_before_it_was_known_here_is_ours(mara, account, clock):
    """Also on an account that never rests."""
    read(account, 5000, clock)
    generation = send(mara, account, clock)
    clock.shift(2 * 24 * 3600)
    call = dispatch.reserve(account, ApiCall.Kind.CREDITS)
    clock.shift(1)
    dispatch.note_balance(call, 4835)
    complete(generation, clock, charged=165)
    books.compare()
    assert listed() == []
    read(account, 4835, clock)
    assert (books.state(ApiAccount.objects.get()).agree, listed()) == (True, [])


def test_an_unknown_outcome_that_was_charged_is_no_outside_spending(mara, account, clock):
    read(account, 5000, clock)
    generation = confirmed(mara)
    BalanceReading.objects.filter(call__kind="quote").delete()
    generation.move(Status.SUBMITTING, account=account, sent_at=timezone.now(), attempt=1)
    generation.move(Status.UNCONFIRMED)
    read(account, 4860, clock)
    assert (books.state(account).agree, listed()) == (True, [])


def test_a_balance_is_asked_for_once_an_account_came_to_rest(mara, account, clock):
    read(account, 5000, clock)
    generation = send(mara, account, clock)
    assert books.unread() == []
    complete(generation, clock)
    assert books.unread() == [account]
    read(account, 4860, clock)
    assert books.unread() == []


def test_ledger_check_prints_the_figures_of_right_books(mara, account, clock, capsys):
    read(account, 5000, clock)
    complete(send(mara, account, clock), clock)
    confirmed(mara)
    BalanceReading.objects.filter(call__kind="quote").delete()
    read(account, 4860, clock)
    call_command("ledger_check")
    said = capsys.readouterr().out
    assert "The books are right." in said
    assert "the books expect 4,860, Veevid said 4,860, difference 0" in said
    assert "held for QUEUED" in said


def break_a_sum(generation: Generation) -> None:
    DaySum.objects.update(spent=1)


def lose_a_settlement(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(charged=139)


@pytest.mark.parametrize("damage", [break_a_sum, lose_a_settlement])
def test_ledger_check_fails_over_wrong_books(mara, account, clock, damage, capsys):
    generation = send(mara, account, clock)
    complete(generation, clock)
    damage(generation)
    with pytest.raises(CommandError, match="1 of the checks above failed"):
        call_command("ledger_check")
    assert "1 wrong" in capsys.readouterr().out
