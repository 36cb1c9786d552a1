"""The judge sees each thing that can be wrong: a judge that overlooks it would prove nothing."""

import copy
from typing import Any

import pytest

from tests.chaos.judge import Books, Judge, Verdict

NOON = "2026-01-01 12:00:00"
CALM = {"exceeded": [], "total": 0}


class Case:
    """One clip that was accepted and completed at 24 credits: nothing is wrong with it."""

    def __init__(self) -> None:
        self.books = Books(
            generations=[(1, "clip 1", "COMPLETED", 24, "vg_1")],
            submissions=[(11, 1, 1, "001x", "accepted", "Accepted as vg_1", NOON)],
            decisions=[],
            clips=[(1, "STORED", "a.mp4")],
            ledger=[(1, "hold", 24, 0), (1, "capture", -24, 24)],
        )
        self.journal = [self.request(1)]
        self.upstream = [self.clip("vg_1")]
        self.violations: dict[str, Any] = copy.copy(CALM)
        self.confirmed, self.taken = {"clip 1"}, 24

    def request(self, number: int) -> dict[str, Any]:
        return {"id": number, "endpoint": "generate", "prompt": "clip 1", "key": "vv_sk_chaos_key_001x"}

    def clip(self, name: str, status: str = "completed", refunded: int = 0) -> dict[str, Any]:
        return {
            "id": name,
            "prompt": "clip 1",
            "status": status,
            "charged": 24,
            "refunded": refunded,
            "created_at": 0.0,
        }

    def second_attempt(self, first_ended: str, accepted: bool) -> None:
        self.books.submissions.insert(0, (10, 1, 0, "001x", first_ended, "", NOON))
        self.books.submissions = [(row[0], 1, place, *row[3:]) for place, row in enumerate(self.books.submissions, 1)]
        self.journal.append(self.request(2))
        if accepted:
            self.upstream.append(self.clip("vg_0", "failed", 24))

    def open_unknown(self) -> None:
        self.books.generations = [(1, "clip 1", "UNCONFIRMED", 24, None)]
        self.books.submissions = [(11, 1, 1, "001x", "unclear", "cut off", NOON)]
        self.books.clips, self.books.ledger = [], [(1, "hold", 24, 0)]

    def judged(self) -> Verdict:
        said = (self.books, self.journal, self.upstream, self.violations, self.confirmed, self.taken)
        return Judge(*said).verdict()


@pytest.fixture
def case() -> Case:
    return Case()


def wrong(said: Verdict) -> list[str]:
    names = ("double_charges", "lost", "unaccounted", "books", "limits")
    return [name for name in names if getattr(said, name)] + (["difference"] if said.difference else [])


def test_nothing_is_wrong_with_a_clip_that_was_paid_once(case):
    assert wrong(case.judged()) == []


def test_a_second_acceptance_without_a_decision_is_a_double_charge(case):
    case.second_attempt("returned", accepted=True)
    assert wrong(case.judged()) == ["double_charges"]


def test_a_second_acceptance_by_a_decision_is_none_but_named(case):
    case.second_attempt("unclear", accepted=True)
    case.books.decisions = [(10, "again", 1)]
    said = case.judged()
    assert wrong(said) == []
    assert len(said.allowed) == 1


def test_a_second_attempt_after_an_unclear_end_needs_a_decision(case):
    case.second_attempt("unclear", accepted=False)
    assert wrong(case.judged()) == ["unaccounted"]


def test_a_second_attempt_after_a_certain_refusal_needs_none(case):
    case.second_attempt("returned", accepted=False)
    assert wrong(case.judged()) == []


def test_a_paid_request_that_joins_to_no_submission_is_unaccounted_for(case):
    case.journal.append(case.request(2))
    assert wrong(case.judged()) == ["unaccounted"]


def test_a_confirmed_clip_that_is_nowhere_is_lost(case):
    case.confirmed.add("clip 2")
    assert wrong(case.judged()) == ["lost"]


def test_a_clip_that_nobody_works_on_any_more_is_lost(case):
    case.books.generations = [(1, "clip 1", "PROCESSING", 24, "vg_1")]
    assert "lost" in wrong(case.judged())


def test_an_end_without_its_settlement_is_lost(case):
    case.books.ledger.pop()
    assert wrong(case.judged()) == ["lost", "books", "difference"]


def test_a_completed_clip_that_is_not_stored_is_unaccounted_for(case):
    case.books.clips = [(1, "PENDING", "")]
    assert wrong(case.judged()) == ["unaccounted"]


def test_a_refund_that_the_ledger_does_not_know_is_a_difference(case):
    case.upstream = [case.clip("vg_1", "failed", refunded=24)]
    case.taken = 0
    assert wrong(case.judged()) == ["books", "difference"]


def test_what_an_unknown_outcome_took_is_counted_and_listed(case):
    case.open_unknown()
    said = case.judged()
    assert wrong(said) == []
    assert said.ambiguous == ["clip 1: upstream vg_1 completed. Ours: cut off"]


def test_a_limit_that_was_passed_is_seen(case):
    case.violations = {"exceeded": [], "total": 1}
    assert wrong(case.judged()) == ["limits"]


def test_safe_mode_without_a_restore_is_seen(case):
    case.books.freezes = [("the log names one that is not here",)]
    assert wrong(case.judged()) == ["unaccounted"]
