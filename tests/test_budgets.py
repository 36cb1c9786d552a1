"""A budget is never exceeded and never blocks what fits; the page says which one does not fit, and by how much."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from generations import budgets, ledger, lifecycle
from generations.models import ApprovalRule, Budget, DaySum, Generation, LedgerEntry, Project, Status, Team, User
from tests.makers import confirmed, make_account, make_order, make_person, sealed_for, sent_to

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]

REFUSE, PARK, WARN = Budget.Over.REFUSE, Budget.Over.PARK, Budget.Over.WARN


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


@pytest.fixture
def team(mara) -> Team:
    return mara.teams.get()


def used(budget: Budget) -> int:
    return budgets.used(budget, budget.team.day(), demo=False)


def nothing_held(user: User, sealed: str) -> str:
    """The refusal's sentence, once it is certain that nothing was held or sent."""
    before = Generation.objects.count(), LedgerEntry.objects.count()
    with pytest.raises(budgets.OverBudget) as refused:
        lifecycle.confirm(user, sealed)
    assert (Generation.objects.count(), LedgerEntry.objects.count()) == before
    assert sent_to("generate-video") == 0
    return str(refused.value)


def test_what_fits_to_the_last_credit_is_taken(mara, team):
    budget = Budget.objects.create(team=team, credits=280)
    confirmed(mara)
    confirmed(mara)
    assert used(budget) == 280


def test_what_does_not_fit_is_refused_with_the_budget_and_by_how_much(mara, team):
    Budget.objects.create(team=team, credits=200)
    confirmed(mara)
    assert nothing_held(mara, sealed_for(mara)) == (
        "This needs 140 credits. Budget of Northlight this month: 60 credits left of 200, 80 credits short. "
        "Nothing was held or charged."
    )


def test_every_budget_that_applies_has_to_pass_and_only_the_failing_ones_are_named(mara, team):
    project = Project.objects.create(team=team, name="Alpine")
    Budget.objects.create(team=team, credits=10_000)
    Budget.objects.create(team=team, user=mara, credits=100, window="day")
    Budget.objects.create(team=team, project=project, credits=50, window="total")
    order = make_order()
    order = lifecycle.Order(order.mode, order.generation_type, order.params, order.prompt, {}, project.pk)
    said = nothing_held(mara, sealed_for(mara, order=order))
    assert "Budget of Mara today: 100 credits left" in said
    assert "Budget of Alpine in total: 50 credits left" in said
    assert "Northlight" not in said


def test_budgets_of_others_do_not_count(mara, team):
    luc = make_person("luc@example.com")
    Budget.objects.create(team=team, user=luc, credits=1)
    Budget.objects.create(team=team, project=Project.objects.create(team=team, name="Alpine"), credits=1)
    Budget.objects.create(team=Team.objects.create(name="Elsewhere"), credits=1)
    assert confirmed(mara).status == Status.QUEUED


def test_what_is_given_back_can_be_held_again(mara, team):
    budget = Budget.objects.create(team=team, credits=140)
    lifecycle.cancel(confirmed(mara), mara)
    assert used(budget) == 0
    assert confirmed(mara).status == Status.QUEUED


def test_a_charge_below_its_hold_leaves_the_rest_free(mara, team):
    budget = Budget.objects.create(team=team, credits=140)
    generation = confirmed(mara)
    generation.status = Status.COMPLETED
    ledger.capture(generation, 100)
    assert used(budget) == 100


def test_an_ended_budget_refuses_nothing(mara, team):
    budget = Budget.objects.create(team=team, credits=1)
    assert budgets.end(budget)
    assert not budgets.end(budget)
    assert confirmed(mara).status == Status.QUEUED


@pytest.mark.parametrize(
    ("window", "later", "counts"),
    [
        ("day", timedelta(days=1), False),
        ("week", timedelta(days=1), True),
        ("week", timedelta(days=7), False),
        ("month", timedelta(days=11), True),
        ("month", timedelta(days=19), False),
        ("total", timedelta(days=400), True),
    ],
)
def test_a_window_ends_when_the_next_begins(mara, team, window, later, counts):
    budget = Budget.objects.create(team=team, window=window, credits=200)
    tuesday = datetime(2026, 10, 13, 12, tzinfo=UTC)
    with time_machine.travel(tuesday, tick=False):
        confirmed(mara)
    with time_machine.travel(tuesday + later, tick=False):
        assert used(budget) == (140 if counts else 0)


def test_days_begin_at_midnight_of_the_team(mara, team):
    Team.objects.filter(pk=team.pk).update(time_zone="Pacific/Auckland")
    with time_machine.travel(datetime(2026, 10, 31, 12, tzinfo=UTC), tick=False):  # there, November has begun
        generation = confirmed(mara)
    assert f"{generation.day}" == "2026-11-01"
    assert f"{DaySum.objects.get().day}" == "2026-11-01"


def test_a_charge_counts_on_the_day_of_its_confirmation(mara, team):
    october = datetime(2026, 10, 31, 23, tzinfo=UTC)
    with time_machine.travel(october, tick=False):
        generation = confirmed(mara)
    with time_machine.travel(october + timedelta(hours=2), tick=False):
        generation.status = Status.COMPLETED
        ledger.capture(generation, 140)
    row = DaySum.objects.get()
    assert (f"{row.day}", row.held, row.spent, row.completed) == ("2026-10-31", 0, 140, 1)


def spent(generation: Generation, credits: int) -> None:
    generation.status = Status.COMPLETED
    ledger.capture(generation, credits)


def reset(budget: Budget) -> None:
    budgets.reset(budget, demo=False)
    budget.refresh_from_db()


def test_a_reset_begins_anew_and_rewrites_no_history(mara, team):
    budget = Budget.objects.create(team=team, credits=150)
    spent(confirmed(mara), 140)
    rows = list(LedgerEntry.objects.values())
    reset(budget)
    assert used(budget) == 0
    assert confirmed(mara).status == Status.QUEUED
    assert used(budget) == 140
    assert list(LedgerEntry.objects.values())[:2] == rows


def test_a_second_reset_forgives_the_rest_too(mara, team):
    budget = Budget.objects.create(team=team, credits=150)
    for _ in range(2):
        spent(confirmed(mara), 140)
        reset(budget)
        assert used(budget) == 0


def test_a_reset_never_gives_room_twice_for_what_was_only_held(mara, team):
    budget = Budget.objects.create(team=team, credits=150)
    held = confirmed(mara)
    reset(budget)
    assert used(budget) == 140
    lifecycle.cancel(held, mara)
    confirmed(mara)
    assert (used(budget), budgets.room(budget, team.day(), demo=False).left) == (140, 10)
    nothing_held(mara, sealed_for(mara))


def test_a_budget_below_what_is_held_or_spent_cannot_be_set(mara, team):
    budget = Budget.objects.create(team=team, credits=1000)
    confirmed(mara)
    with pytest.raises(budgets.CannotSet, match="140 credits of it are held or spent already"):
        budgets.check_amount(budget, 139, demo=False)
    budgets.check_amount(budget, 140, demo=False)


@pytest.mark.parametrize(("over", "status"), [(PARK, Status.AWAITING_APPROVAL), (WARN, Status.QUEUED)])
def test_beyond_a_soft_budget_it_is_parked_or_goes_on(mara, team, over, status):
    Budget.objects.create(team=team, credits=100, over=over)
    generation = confirmed(mara)
    assert generation.status == status
    assert LedgerEntry.objects.get().held == 140


def test_a_rule_parks_what_costs_more_and_nothing_else(mara, team):
    ApprovalRule.objects.create(team=team, above=200)
    assert confirmed(mara, 200).status == Status.QUEUED
    parked = confirmed(mara, 201, make_order("sora2"))
    assert parked.status == Status.AWAITING_APPROVAL
    assert parked.approval.why == "Anything above 200 credits needs approval."
    assert parked.approval.expires_at > timezone.now() + timedelta(days=6)


def test_a_rule_for_a_model_parks_only_that_model(mara, team):
    ApprovalRule.objects.create(team=team, mode="sora2")
    assert confirmed(mara).status == Status.QUEUED
    assert confirmed(mara, 140, make_order("sora2")).status == Status.AWAITING_APPROVAL


def test_an_archived_or_foreign_project_is_not_charged(mara, team):
    elsewhere = Project.objects.create(team=Team.objects.create(name="Elsewhere"), name="Theirs")
    archived = Project.objects.create(team=team, name="Old", archived_at=timezone.now())
    order = make_order()
    for project in (elsewhere, archived):
        chosen = lifecycle.Order(order.mode, order.generation_type, order.params, order.prompt, {}, project.pk)
        with pytest.raises(lifecycle.ConfirmAgain, match="not there any more"):
            lifecycle.confirm(mara, sealed_for(mara, order=chosen))
    assert Generation.objects.count() == LedgerEntry.objects.count() == sent_to("generate-video") == 0


def test_the_sums_of_the_days_are_those_of_the_ledger(mara, team):
    done, failed, cancelled = confirmed(mara), confirmed(mara), confirmed(mara)
    done.status = Status.COMPLETED
    ledger.capture(done, 150)
    failed.status = Status.FAILED
    ledger.capture(failed, 30)
    lifecycle.cancel(cancelled, mara)
    row = DaySum.objects.get()
    assert (row.held, row.spent, row.failed_spent, row.quoted) == (0, 180, 30, 280)
    assert (row.confirmed, row.completed, row.failed) == (3, 1, 1)
