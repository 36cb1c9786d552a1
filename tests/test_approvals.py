"""Parked requests: who decides, once, at the price of now; what nobody decides expires. The hold stays until then."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from generations import approvals, budgets, ledger, lifecycle, tasks
from generations.models import (
    ApiAccount,
    Approval,
    ApprovalRule,
    AuditEntry,
    Budget,
    Generation,
    LedgerEntry,
    Status,
    Team,
    User,
)
from tests.makers import confirmed, make_account, make_person, price_is, sent_to

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]

Verdict = Approval.Verdict


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


@pytest.fixture
def luc(mara) -> User:
    return make_person("luc@example.com", role="manager")


@pytest.fixture
def parked(mara) -> Generation:
    ApprovalRule.objects.create(team=mara.teams.get(), above=100)
    return confirmed(mara)


def held(user: User) -> int:
    return ledger.totals(user=user, demo=False).held


def unchanged(parked: Generation, credits: int = 140) -> None:
    parked.refresh_from_db()
    assert (parked.status, parked.price, held(parked.owner)) == (Status.AWAITING_APPROVAL, credits, credits)
    assert sent_to("generate-video") == 0


def test_a_parked_request_holds_its_credits_and_is_not_sent(parked):
    unchanged(parked)
    assert Approval.objects.get().verdict == Verdict.OPEN


def test_an_approved_one_goes_into_the_line_with_the_same_hold(parked, luc):
    approvals.approve(parked, luc, shown=140)
    approval = Approval.objects.get()
    assert (parked.status, held(parked.owner)) == (Status.QUEUED, 140)
    assert (approval.verdict, approval.who) == (Verdict.APPROVED, luc)


def test_nobody_approves_their_own_request(parked, mara):
    mara.memberships.update(role="manager")
    with pytest.raises(approvals.CannotDecide, match="their own request"):
        approvals.approve(parked, mara, shown=140)
    unchanged(parked)


def test_not_even_an_admin_approves_their_own_request(parked, mara):
    User.objects.filter(pk=mara.pk).update(is_staff=True)
    with pytest.raises(approvals.CannotDecide, match="their own request"):
        approvals.approve(parked, User.objects.get(pk=mara.pk), shown=140)
    unchanged(parked)


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_members_and_viewers_decide_nothing(parked, role):
    aiko = make_person("aiko@example.com", role=role)
    for decide in (lambda: approvals.approve(parked, aiko, 140), lambda: approvals.reject(parked, aiko, "no")):
        with pytest.raises(approvals.CannotDecide, match="Only managers"):
            decide()
    unchanged(parked)


def test_a_manager_of_another_team_decides_nothing(parked):
    stranger = make_person("eve@example.com", team="Elsewhere", role="manager")
    with pytest.raises(approvals.CannotDecide, match="Only managers"):
        approvals.approve(parked, stranger, 140)
    assert list(approvals.waiting_for(stranger)) == []
    unchanged(parked)


def test_a_price_that_rose_is_shown_and_asked_again(parked, luc):
    price_is(200)
    with pytest.raises(approvals.PriceChanged, match="rose from 140 credits to 200 credits"):
        approvals.approve(parked, luc, shown=140)
    unchanged(parked)
    approvals.approve(parked, luc, shown=200)
    assert (parked.status, parked.price, held(parked.owner)) == (Status.QUEUED, 200, 200)
    assert [entry.held for entry in LedgerEntry.objects.order_by("pk")] == [140, 60]


def test_a_price_that_fell_is_taken_at_once_and_the_rest_given_back(parked, luc):
    price_is(100)
    approvals.approve(parked, luc, shown=140)
    assert (parked.price, held(parked.owner)) == (100, 100)


def test_a_price_that_rose_beyond_a_budget_is_refused(parked, luc):
    Budget.objects.create(team=parked.team, credits=150)
    price_is(200)
    with pytest.raises(budgets.OverBudget, match="10 credits left of 150, 50 credits short"):
        approvals.approve(parked, luc, shown=200)
    unchanged(parked)


def test_without_a_price_of_now_nothing_is_approved(parked, luc):
    make_account_unreachable(parked)
    with pytest.raises(lifecycle.NoPrice):
        approvals.approve(parked, luc, shown=140)
    unchanged(parked)


def make_account_unreachable(parked: Generation) -> None:
    account = parked.quote.account
    account.state = "suspended"
    account.save()


def test_a_rejected_one_gives_its_credits_back_and_says_why(parked, luc):
    approvals.reject(parked, luc, "Not this month")
    approval = Approval.objects.get()
    assert (parked.status, held(parked.owner), approval.verdict) == (Status.CANCELLED, 0, Verdict.REJECTED)
    assert approval.reason == "Not this month"


def test_a_rejection_needs_a_reason(parked, luc):
    with pytest.raises(approvals.CannotDecide, match="Say why"):
        approvals.reject(parked, luc, "  ")
    unchanged(parked)


def test_of_two_decisions_one_stands(parked, luc):
    again = Generation.objects.get(pk=parked.pk)
    approvals.reject(parked, luc, "no")
    with pytest.raises(approvals.CannotDecide):
        approvals.approve(again, luc, shown=140)
    assert Generation.objects.get().status == Status.CANCELLED
    assert held(parked.owner) == 0


def test_a_cancelled_request_cannot_be_approved(parked, mara, luc):
    again = Generation.objects.get(pk=parked.pk)
    lifecycle.cancel(parked, mara)
    with pytest.raises(approvals.CannotDecide, match="cancelled"):
        approvals.approve(again, luc, shown=140)
    assert (Approval.objects.get().verdict, held(mara)) == (Verdict.CANCELLED, 0)


def test_what_nobody_decides_expires_and_gives_its_credits_back(parked, mara):
    assert approvals.expire() == []
    assert approvals.expire(timezone.now() + timedelta(days=8)) == [parked]
    assert (Generation.objects.get().status, held(mara)) == (Status.CANCELLED, 0)
    assert Approval.objects.get().verdict == Verdict.EXPIRED


def test_managers_see_the_open_requests_of_their_teams_and_admins_all(parked, luc):
    admin = make_person("root@example.com", team="", is_staff=True)
    Team.objects.create(name="Elsewhere")
    for person in (luc, admin):
        assert [approval.generation for approval in approvals.waiting_for(person)] == [parked]


def test_a_price_that_rose_counts_on_the_day_of_the_confirmation(mara, luc, parked):
    """It is held in the budget of that day, so that budget has to have the room."""
    Budget.objects.create(team=parked.team, window="day", credits=150)
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        price_is(200)
        with pytest.raises(budgets.OverBudget, match="10 credits left of 150, 50 credits short"):
            approvals.approve(parked, luc, shown=200)
    unchanged(parked)


def test_a_request_that_demo_mode_took_with_it_waits_for_nobody(mara, luc):
    ApprovalRule.objects.create(team=mara.teams.get(), above=100)
    parked = confirmed(mara)
    ApiAccount.objects.update(demo=True)
    lifecycle.end_demo()
    assert (Generation.objects.get(pk=parked.pk).status, Approval.objects.get().verdict) == ("CANCELLED", "cancelled")
    assert list(approvals.waiting_for(luc)) == []
    assert approvals.expire(timezone.now() + timedelta(days=8)) == []


def test_every_decision_is_in_the_audit_trail_with_where_it_came_from(parked, luc):
    approvals.reject(parked, luc, "Not this month", address="192.0.2.7", agent="Firefox")
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.action, entry.team) == (luc, "approval.rejected", parked.team)
    assert (entry.address, entry.agent) == ("192.0.2.7", "Firefox")
    assert entry.what == f"140 credits for Mara, generation {parked.pk}: Not this month"


def test_the_tick_ends_what_nobody_decided(parked, mara):
    with time_machine.travel(timezone.now() + timedelta(days=8)):
        tasks.tick()
    assert (Generation.objects.get().status, held(mara)) == (Status.CANCELLED, 0)
