"""What was charged and came back: once for each clip, never more than was charged, by an admin's word."""

import csv
import io
import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from generations import books, budgets, dispatch, ledger, steering
from generations.models import (
    ApiAccount,
    AuditEntry,
    BalanceReading,
    Budget,
    DaySum,
    Decision,
    Generation,
    LedgerEntry,
    Status,
    Submission,
    User,
)
from tests.makers import make_person
from tests.pages import text_of
from tests.test_books import account, clock, complete, mara, read, send  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]

Kind = LedgerEntry.Kind


@pytest.fixture
def ada(account) -> User:  # noqa: F811
    return make_person("ada@example.com", role="manager", is_staff=True, is_superuser=True)


@pytest.fixture
def desk(ada) -> Client:
    client = Client()
    client.force_login(ada)
    return client


def charged_in_vain(user: User, account: ApiAccount, clock, price: int = 140) -> Generation:  # noqa: F811
    """Nobody could tell what became of it, and somebody marked it as charged."""
    generation = send(user, account, clock, price)
    more = {"account": account, "key": account.keys.get(), "deadline": timezone.now()}
    submission = Submission.objects.create(generation=generation, attempt=1, outcome="unclear", **more)
    Decision.objects.create(submission=submission, kind=Decision.Kind.CHARGED, who=user)
    generation.move(Status.FAILED, charged=price, finished_at=timezone.now())
    ledger.capture(generation, price, "marked as charged by Mara")
    clock.shift(30)
    return generation


@pytest.fixture
def lost(mara, account, clock) -> Generation:  # noqa: F811
    """Charged without a clip; then Veevid gave the credits back."""
    read(account, 5000, clock)
    generation = charged_in_vain(mara, account, clock)
    read(account, 4860, clock)
    read(account, 5000, clock)
    return generation


def rise() -> LedgerEntry:
    return LedgerEntry.objects.get(kind=Kind.TOPUP)


def sums() -> dict[str, int]:
    names = ("held", "spent", "refunded", "failed_spent", "failed_refunded")
    return {name: sum(getattr(row, name) for row in DaySum.objects.all()) for name in names}


# -- the ledger -------------------------------------------------------------------------------------------------------


def test_what_came_back_counts_as_bought_until_somebody_says_whose_it_was(lost, account, ada, capsys) -> None:  # noqa: F811
    assert (rise().bought, sums()["spent"]) == (140, 140)
    entry = books.refund(rise(), lost, ada)
    assert (entry.spent, entry.bought, entry.held, entry.account, entry.user) == (-140, -140, 0, account, lost.owner)
    assert sums() == {"held": 0, "spent": 0, "refunded": 140, "failed_spent": 0, "failed_refunded": 140}
    assert books.left_of(rise()) == 0
    call_command("ledger_check")
    said = capsys.readouterr().out
    assert "The books are right." in said
    assert f"140 of it refunded, for generation {lost.pk}" in said


def test_the_balance_that_is_read_next_agrees_with_the_books(lost, account, ada, clock, mara) -> None:  # noqa: F811
    books.refund(rise(), lost, ada)
    complete(send(mara, account, clock), clock, charged=200)
    read(account, 4800, clock)
    assert books.state(account).agree
    assert LedgerEntry.objects.filter(kind__in=(Kind.OUTSIDE, Kind.TOPUP)).count() == 1


def test_on_an_account_that_never_rests_a_refund_is_counted_once(mara, account, ada, clock) -> None:  # noqa: F811
    """The rise is written down after a day; the refund lies within the same stretch as its charge."""
    read(account, 5000, clock)
    lost = charged_in_vain(mara, account, clock)
    going = send(mara, account, clock, 100)
    clock.shift(timedelta(hours=25))
    read(account, 5100, clock)  # 140 charged and back again, 100 bought at least
    left = rise().bought
    assert left == 240
    books.refund(rise(), lost, ada)
    complete(going, clock)
    read(account, 5000, clock)
    assert books.state(account).agree
    assert LedgerEntry.objects.filter(kind=Kind.OUTSIDE).count() == 0


def test_a_clip_is_refunded_once(lost, ada) -> None:
    books.refund(rise(), lost, ada)
    with pytest.raises(ledger.NotRefundable):
        books.refund(rise(), lost, ada)
    with pytest.raises(IntegrityError), transaction.atomic():
        ledger.refund(lost, 140, rise(), "again")
    assert sums()["refunded"] == 140


@pytest.mark.parametrize("credits", [0, -1, 141])
def test_never_more_than_was_charged_comes_back(lost, credits) -> None:
    before = LedgerEntry.objects.count()
    with pytest.raises(ledger.NotRefundable, match="cannot be its refund"):
        ledger.refund(lost, credits, rise(), "too much")
    assert (LedgerEntry.objects.count(), sums()["refunded"]) == (before, 0)


def test_what_was_never_charged_is_not_refunded(lost, mara, account, clock, ada) -> None:  # noqa: F811
    going = send(mara, account, clock)
    with pytest.raises(ledger.NotRefundable):
        books.refund(rise(), going, ada)
    assert not LedgerEntry.objects.filter(kind=Kind.REFUND).exists()


def test_two_refunds_share_one_rise_and_never_exceed_it(mara, account, clock, ada) -> None:  # noqa: F811
    read(account, 5000, clock)
    first, second, third = (charged_in_vain(mara, account, clock, price) for price in (140, 60, 140))
    read(account, 4660, clock)
    read(account, 4860, clock)
    books.refund(rise(), first, ada)
    assert list(books.refundable(rise(), books.left_of(rise()))) == [second]
    books.refund(rise(), second, ada)
    with pytest.raises(ledger.NotRefundable):
        books.refund(rise(), third, ada)
    assert sums()["spent"] == 140


def test_a_ready_clip_is_its_charge_only_when_all_of_it_came_back(mara, account, clock, ada) -> None:  # noqa: F811
    read(account, 5000, clock)
    ready = send(mara, account, clock)
    complete(ready, clock)
    read(account, 4860, clock)
    read(account, 5001, clock)
    assert list(books.refundable(rise(), 141)) == []
    assert list(books.refundable(rise(), 140)) == [ready]


def test_a_clip_of_another_account_is_no_candidate(lost, ada, clock) -> None:  # noqa: F811
    other = ApiAccount.objects.create(name="Veevid 2")
    at = timezone.now()
    after, until = (BalanceReading.objects.create(account=other, credits=one, at=at) for one in (0, 140))
    elsewhere = ledger.outside(after, until, -140)
    with pytest.raises(ledger.NotRefundable):
        books.refund(elsewhere, lost, ada)


# -- budgets ----------------------------------------------------------------------------------------------------------


def test_a_refund_gives_the_budget_its_room_back(lost, ada) -> None:
    budget = Budget(team=lost.team, credits=200)
    steering.add_budget(budget, ada)
    assert budgets.used(budget, lost.day, False) == 140
    books.refund(rise(), lost, ada)
    assert budgets.used(budget, lost.day, False) == 0


def test_a_refund_of_what_a_reset_forgave_makes_no_room_twice(lost, ada, mara, account, clock) -> None:  # noqa: F811
    budget = Budget(team=lost.team, credits=200)
    steering.add_budget(budget, ada)
    steering.reset_budget(budget, ada)
    complete(send(mara, account, clock), clock, charged=60)
    books.refund(rise(), lost, ada)
    budget.refresh_from_db()
    assert budgets.used(budget, lost.day, False) == 60


def test_a_refund_of_what_was_charged_after_a_reset_is_room(lost, ada, mara, account, clock) -> None:  # noqa: F811
    budget = Budget(team=lost.team, credits=500)
    steering.add_budget(budget, ada)
    steering.reset_budget(budget, ada)
    clock.shift(5)
    late = charged_in_vain(mara, account, clock, 60)
    read(account, 4940, clock)
    read(account, 5000, clock)
    books.refund(LedgerEntry.objects.filter(kind=Kind.TOPUP).latest("pk"), late, ada)
    budget.refresh_from_db()
    assert (budget.forgiven, budgets.used(budget, lost.day, False)) == (140, 0)


# -- pages ------------------------------------------------------------------------------------------------------------


def test_the_books_say_that_a_rise_is_as_much_as_a_clip_that_was_charged_in_vain(lost, desk) -> None:
    page = text_of(desk.get("/spend?view=team&team=all"))
    assert "As much as a clip without a film cost: its refund?" in page
    choice = text_of(desk.get(f"/spend/rises/{rise().pk}"))
    assert "Charged without a clip" in choice
    assert "140 credits came onto Veevid" in choice


def test_an_admin_records_it_and_every_page_says_so(lost, desk, ada) -> None:
    answer = desk.post(f"/spend/rises/{rise().pk}/refund", {"generation": str(lost.pk)}, follow=True)
    assert "All of it was refunded." in text_of(answer)
    spend = text_of(desk.get("/spend?view=team"))
    assert "140 charged, 140 refunded" in spend
    assert "and charged exactly" in spend
    clip = text_of(desk.get(f"/g/{lost.pk}"))
    assert "It was, and came back. 140 credits charged, 140 credits refunded." in clip
    assert "Refunded 140 credits" in clip
    row = AuditEntry.objects.get(action="refund.recorded")
    assert (row.who, row.team, row.details["generation"]) == (ada, lost.team, lost.pk)
    text = b"".join(desk.get("/spend.csv?view=team").streaming_content).decode("utf-8-sig")
    line = next(iter(csv.DictReader(io.StringIO(text))))
    assert (line["Quoted credits"], line["Charged credits"], line["Refunded credits"]) == ("140", "140", "140")


def test_a_clip_that_was_marked_as_charged_says_by_whose_word(lost, desk) -> None:
    page = text_of(desk.get(f"/g/{lost.pk}"))
    assert "Marked as charged without a clip." in page
    assert "Refunded" not in page


@pytest.mark.parametrize("chosen", ["", "999999", "x", "other"])
def test_nothing_changes_for_a_clip_that_is_none_of_them(lost, desk, mara, account, clock, chosen) -> None:  # noqa: F811
    if chosen == "other":
        going = send(mara, account, clock)
        chosen = str(going.pk)
    answer = desk.post(f"/spend/rises/{rise().pk}/refund", {"generation": chosen})
    assert answer.status_code in (404, 422)
    if answer.status_code == 422:
        assert "Nothing was changed." in text_of(answer)
    assert not LedgerEntry.objects.filter(kind=Kind.REFUND).exists()
    assert not AuditEntry.objects.filter(action="refund.recorded").exists()


def test_what_was_spent_outside_is_no_rise(desk, account, clock) -> None:  # noqa: F811
    read(account, 5000, clock)
    read(account, 4900, clock)
    assert desk.get(f"/spend/rises/{LedgerEntry.objects.get(kind=Kind.OUTSIDE).pk}").status_code == 404


def test_figures_by_status_know_what_was_refunded(lost, desk, ada) -> None:
    books.refund(rise(), lost, ada)
    assert "140 charged, 140 refunded" in text_of(desk.get("/spend?view=team&status=failed"))
    assert "refunded" not in text_of(desk.get("/spend?view=team&status=ready")).split("Rejected")[0]


def test_a_refund_is_only_ever_added(lost, ada) -> None:
    entry = books.refund(rise(), lost, ada)
    with pytest.raises(Exception, match="only ever added"):
        entry.delete()
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerEntry(
            kind=Kind.REFUND, generation=lost, team=lost.team, account=lost.account, spent=5, why=uuid.uuid4().hex
        ).save()
    assert dispatch.since(BalanceReading.objects.latest("pk")) == 5000
