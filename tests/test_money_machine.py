"""The money side under any order of events: people, managers, clocks, price changes and a moody upstream.

Hypothesis makes up the stories. After each step, books of the test's own, added up from the rows of the ledger alone,
are held against what Dailies says. Upstream is played with the truth kept beside it: what was paid, and how often.
"""

import json
import logging
import os
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import responses
import time_machine
from django.conf import settings as site
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from urllib3.exceptions import NewConnectionError

from generations import approvals, books, budgets, forecast, ledger, lifecycle, reconcile, sending, steering
from generations.models import (
    ApprovalRule,
    Budget,
    Decision,
    Generation,
    LedgerEntry,
    Project,
    Quote,
    Status,
    Team,
    User,
)
from tests.makers import API, make_account, make_order, make_person

PARTS, EXAMPLES, STEPS = 4, int(os.environ.get("STORIES", "160")) // 4, 8  # STORIES=2000 is the long form
START = datetime(2026, 10, 29, 9, tzinfo=UTC)
MODES = ("veo3", "sora2", "kling-2-6")
ENDED = (Status.COMPLETED, Status.FAILED, Status.REJECTED, Status.CANCELLED)
NO = ("refused", "no credits", "busy", "not sent")  # certainly not accepted
MOODS: tuple[str, ...] = ("accepted", "completed at once", *NO, *("cut off, charged", "killed, charged") * 2)
MOODS += ("cut off, not charged", "killed, not charged")
ENDINGS = ("completed", "completed", "failed", "processing", "not found", "no answer")
DAY = 86_400

tally: Counter[str] = Counter()


class Killed(BaseException):
    """The worker died while it waited for the answer."""


@dataclass
class Job:
    """A clip as upstream knows it."""

    label: str
    charge: int
    ended: str = ""


@dataclass
class Vendor:
    """Upstream: its prices, its clips, the balance. It answers the next paid request as it was told to."""

    clock: Any
    prices: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MODES, 100))
    balance: int = 100_000
    mood: str = "accepted"
    jobs: dict[str, Job] = field(default_factory=dict)
    paid: list[tuple[int, int, str]] = field(default_factory=list)  # generation, attempt, what came of it
    ending: tuple[str, int] = ("processing", 0)

    def listen(self) -> None:
        responses.reset()
        for method, path, answer in (
            ("POST", "/quote", self.quote),
            ("POST", "/generate-video", self.generate),
            ("GET", "/credits", lambda request: {"success": True, "balance": self.balance}),
            ("GET", "/video-generation/([^/]+)/status", self.status),
        ):
            responses.add_callback(method, re.compile(re.escape(API) + path + "$"), self._timed(answer))

    def _timed(self, answer: Any) -> Any:
        def reply(request: Any) -> Any:
            self.clock.shift(0.2)
            said = answer(request)
            self.clock.shift(0.2)
            code, body = said if isinstance(said, tuple) else (200, said)
            return code, {}, body if isinstance(body, Exception) else json.dumps(body)

        return reply

    def quote(self, request: Any) -> dict[str, Any]:
        price = self.prices[json.loads(request.body)["mode"]]
        return {"required_credits": price, "current_balance": self.balance, "sufficient": True}

    def generate(self, request: Any) -> Any:
        body = json.loads(request.body)
        generation = Generation.objects.get(prompt=body["prompt"])
        self._may_be_paid(generation)
        self.paid.append((generation.pk, generation.attempt, self.mood))
        tally["paid requests"] += 1
        job = f"vg_{len(self.paid)}"
        if self.mood in ("accepted", "completed at once", "cut off, charged", "killed, charged"):
            self.jobs[job] = Job(body["prompt"], self.prices[body["mode"]])
            self.balance -= self.jobs[job].charge
        if self.mood.startswith("killed"):
            raise Killed
        url = "https://cdn.veevid.ai/videos/a.mp4"
        return {
            "accepted": {"generation_id": job, "status": "processing", "video_url": None},
            "completed at once": {"generation_id": job, "status": "completed", "video_url": url},
            "refused": (400, {"error": "No."}),
            "no credits": (402, {"error": "Top up.", "required": self.prices[body["mode"]], "balance": self.balance}),
            "busy": (429, {"error": "Slow down."}),
            "not sent": (0, NewConnectionError(None, "refused")),  # type: ignore[arg-type]
            "cut off, charged": (502, {}),
            "cut off, not charged": (502, {}),
        }[self.mood]

    def _may_be_paid(self, generation: Generation) -> None:
        """What was sent before was certainly not accepted, or somebody decided to send it again."""
        assert generation.status == Status.SUBMITTING
        assert generation.submissions.filter(attempt=generation.attempt, outcome="").exists(), "no intent was recorded"
        decided = dict(
            Decision.objects.filter(submission__generation=generation, kind=Decision.Kind.AGAIN).values_list(
                "submission__attempt", "who"
            )
        )
        for pk, attempt, mood in self.paid:
            if pk == generation.pk and mood not in NO:
                assert attempt in decided, f"{generation} is paid twice: attempt {attempt} ended {mood}"
                by_itself = decided[attempt] is None
                assert not (by_itself and mood != "cut off, not charged"), "Dailies itself paid twice"
        newest = Quote.objects.filter(digest=generation.quote.digest).latest("pk")
        assert newest.credits <= generation.price, "sent at a price that is known to be higher than the confirmed one"

    def status(self, request: Any) -> Any:
        job = self.jobs.get(request.url.split("/")[-2])
        word, change = self.ending
        if job is None or word == "not found":
            return 404, {"error": "No such generation."}
        if word == "no answer":
            return 502, {}
        if job.ended or word == "processing":  # what ended stays as it is
            return self._told(job)
        job.ended = word
        charge = 0 if word == "failed" and not change else max(job.charge + change, 0)
        self.balance += job.charge - charge
        job.charge = charge
        return self._told(job)

    def _told(self, job: Job) -> dict[str, Any]:
        if not job.ended:
            return {"status": "processing"}
        link = "https://cdn.veevid.ai/videos/a.mp4" if job.ended == "completed" else None
        return {"status": job.ended, "credits_used": job.charge, "video_url": link}


@dataclass
class Sealed:
    user: User
    project: Project | None
    mode: str
    credits: int
    text: str
    pk: int | None = None


class Row(NamedTuple):
    """A generation, as the database has it."""

    pk: int
    status: str
    price: int
    charged: int | None
    team_id: int
    owner_id: int
    project_id: int | None
    mode: str
    day: date


@dataclass
class Book:
    """The rows of one moment, and what they add up to. Read by plain SQL: it is done after each of many steps."""

    generations: dict[int, Row]
    entries: list[tuple[Any, ...]]  # whole rows
    kinds: dict[int | None, Counter[str]]
    held: Counter[int]
    spent: Counter[int]
    sums: Counter[tuple[Any, ...]]

    @classmethod
    def read(cls) -> "Book":
        columns = "id, status, price, charged, team_id, owner_id, project_id, mode, day"
        rows = rows_of(f"SELECT {columns} FROM generations_generation ORDER BY id")
        generations = {row[0]: Row(*row) for row in rows}
        columns = "generation_id, kind, held, spent, team_id, user_id, project_id, day"
        entries = rows_of(f"SELECT {columns}, * FROM generations_ledgerentry ORDER BY id")
        book = cls(generations, entries, defaultdict(Counter), Counter(), Counter(), Counter())
        for pk, kind, held, spent, team, user, project, day, *_ in entries:
            book.kinds[pk][kind] += 1
            book.held[pk] += held
            book.spent[pk] += spent
            if pk:
                key = (team, user, project, generations[pk].mode, day)
                book.sums[key, "held"] += held
                book.sums[key, "spent"] += spent
        return book

    def used(self, pk: int) -> int:
        return self.held[pk] + self.spent[pk]


def rows_of(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


class Money(RuleBasedStateMachine):
    """Two teams, five people, and everything that may happen to what they ask for."""

    people: list[User]
    managers: list[User]
    teams: list[Team]
    projects: list[Project]

    def __init__(self) -> None:
        super().__init__()
        tally["examples"] += 1
        for folder in ("sent", "journal"):
            shutil.rmtree(Path(site.DATA_DIR) / folder, ignore_errors=True)
        self.example = transaction.atomic()
        self.example.__enter__()
        self.travel = time_machine.travel(START, tick=False)
        self.vendor = Vendor(self.travel.start())
        self.vendor.listen()
        self.sealed: list[Sealed] = []
        self.since: dict[int, date] = {}  # hard budget: the window in which it became what it is
        self.forgiven: dict[int, set[int]] = defaultdict(set)  # budget: what had ended when it was reset
        self.history: list[tuple[Any, ...]] = []
        self.decided: list[int] = []  # parked once
        self.honest = True  # nobody decided otherwise than it was upstream
        self.came_back: Counter[int] = Counter()  # generation: what was refunded of it
        self.rises = 0  # how often upstream gave something back
        self.book = Book.read()

    def teardown(self) -> None:
        try:
            if tally["examples"] % 5 == 0:
                wrong = [check for check in books.check() if check.wrong]
                assert not wrong, wrong
            tally["generations"] += len(self.book.generations)
            for generation in self.book.generations.values():
                tally[f"ended {generation.status}"] += 1
                tally["charged above the hold"] += (generation.charged or 0) > generation.price
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)
            self.travel.stop()

    # -- what is there to choose from ---------------------------------------------------------------------------------

    def _any(self, index: int, *statuses: str) -> Generation:
        rows = [pk for pk, row in self.book.generations.items() if row.status in statuses]
        return self._get(rows[index % len(rows)])

    def _get(self, pk: int) -> Generation:
        return Generation.objects.select_related("quote__account", "team", "owner", "project").get(pk=pk)

    def _has(self, *statuses: str) -> bool:
        return any(row.status in statuses for row in self.book.generations.values())

    # -- the test's own arithmetic ------------------------------------------------------------------------------------

    def _within(self, budget: Budget, day: date) -> list[Row]:
        """What counts against a budget in the window of a day."""
        return [
            row
            for row in self.book.generations.values()
            if row.team_id == budget.team_id
            and budget.user_id in (None, row.owner_id)
            and budget.project_id in (None, row.project_id)
            and budget.first_day(row.day) == budget.first_day(day)
            and row.pk not in self.forgiven[budget.pk]
        ]

    def _used(self, budget: Budget, day: date) -> int:
        return sum(self.book.used(row.pk) for row in self._within(budget, day))

    def _short(self, team: Team, user: User, project: Project | None, more: int, day: date, over: str) -> list[Budget]:
        """Budgets of one kind that `more` credits do not fit into."""
        active = Budget.objects.filter(team=team, over=over, ended_at=None)
        applies = [
            budget
            for budget in active
            if budget.user_id in (None, user.pk) and budget.project_id in (None, project.pk if project else 0)
        ]
        return [budget for budget in applies if more > 0 and self._used(budget, day) + more > budget.credits]

    def _asks(self, team: Team, mode: str, price: int) -> bool:
        return any(rule.mode in ("", mode) and price > rule.above for rule in ApprovalRule.objects.filter(team=team))

    # -- people -------------------------------------------------------------------------------------------------------

    @initialize(
        credits=st.integers(100, 400),
        over=st.sampled_from([Budget.Over.REFUSE, Budget.Over.PARK]),
        modes=st.lists(st.sampled_from(MODES), min_size=1, max_size=2),
    )
    def begin(self, credits: int, over: str, modes: list[str]) -> None:
        """Every story has a budget and an order or two, so that a few steps lead far."""
        self.add_budget(0, "team", Budget.Window.MONTH, over, credits)
        for mode in modes:
            self.order(0, 2, mode)
            self.book = Book.read()

    @rule(who=st.integers(0, 3), project=st.integers(0, 3), mode=st.sampled_from(MODES))
    def order(self, who: int, project: int, mode: str) -> None:
        """Sees a price and confirms it."""
        if self._ask(who, project, mode):
            self._confirm(self.sealed[-1], surely=True)

    @rule(who=st.integers(0, 3), project=st.integers(0, 3), mode=st.sampled_from(MODES))
    def ask(self, who: int, project: int, mode: str) -> None:
        """Sees a price, and may confirm it later."""
        self._ask(who, project, mode)

    def _ask(self, who: int, project: int, mode: str) -> bool:
        user = self.people[who]
        team = user.teams.get()
        offered = [None, None, *[each for each in self.projects if each.team_id == team.pk]]
        chosen = offered[project % len(offered)]
        order = make_order(mode, prompt=f"clip {len(self.sealed)}")
        order = lifecycle.Order(
            order.mode, order.generation_type, order.params, order.prompt, {}, chosen.pk if chosen else None
        )
        try:
            price = lifecycle.quote(order.billing, team)
        except lifecycle.NoPrice:
            return False
        text = lifecycle.seal(user, team, order, price)
        self.sealed.append(Sealed(user, chosen, mode, price.credits, text))
        return True

    @precondition(lambda self: self.sealed)
    @rule(which=st.integers(0, 20))
    def confirm(self, which: int) -> None:
        """Confirms what was not confirmed, or confirms it once more."""
        self._confirm(self.sealed[which % len(self.sealed)], surely=False)

    def _confirm(self, sealed: Sealed, surely: bool) -> None:
        team = sealed.user.teams.get()
        order = (team, sealed.user, sealed.project)
        refusing = self._short(*order, sealed.credits, team.day(), Budget.Over.REFUSE)
        asking = self._short(*order, sealed.credits, team.day(), Budget.Over.PARK)
        try:
            generation = lifecycle.confirm(sealed.user, sealed.text)
        except budgets.OverBudget:
            assert refusing, "a false refusal"
            assert sealed.pk is None
            tally["refused by a budget"] += 1
        except lifecycle.ConfirmAgain:
            assert not surely
        else:
            assert sealed.pk in (None, generation.pk), "one confirmation, two generations"
            if sealed.pk is None:
                assert not refusing, f"beyond {refusing}"
                parked = generation.status == Status.AWAITING_APPROVAL
                assert parked == bool(asking or self._asks(team, sealed.mode, sealed.credits))
            sealed.pk = generation.pk

    @precondition(lambda self: self._has(Status.QUEUED, Status.AWAITING_APPROVAL, Status.PROCESSING))
    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        generation = self._any(which, Status.QUEUED, Status.AWAITING_APPROVAL, Status.PROCESSING)
        sent = generation.status == Status.PROCESSING
        assert lifecycle.cancel(generation, generation.owner) != sent

    # -- managers -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._has(Status.AWAITING_APPROVAL))
    @rule(which=st.integers(0, 20), who=st.integers(0, 2), sees_new_price=st.booleans())
    def approve(self, which: int, who: int, sees_new_price: bool) -> None:
        generation = self._any(which, Status.AWAITING_APPROVAL)
        now = self.vendor.prices[generation.mode]
        order = (generation.team, generation.owner, generation.project)
        refusing = self._short(*order, now - generation.price, generation.day, Budget.Over.REFUSE)
        shown = max(now, generation.price) if sees_new_price else generation.price
        try:
            approvals.approve(generation, self.managers[who], shown=shown)
        except approvals.PriceChanged:
            assert now > shown
        except budgets.OverBudget:
            assert refusing, "a false refusal"
        except approvals.CannotDecide:
            assert generation.owner == self.managers[who] or not self._manages(self.managers[who], generation)
        except lifecycle.NoPrice:
            pass
        else:
            assert not refusing
            assert now <= shown
            assert generation.owner != self.managers[who]
            assert self._manages(self.managers[who], generation)
            self.decided.append(generation.pk)
            tally["approved"] += 1

    def _manages(self, who: User, generation: Generation) -> bool:
        return who.is_staff or who.teams.get() == generation.team

    @precondition(lambda self: self._has(Status.AWAITING_APPROVAL))
    @rule(which=st.integers(0, 20))
    def reject(self, which: int) -> None:
        generation = self._any(which, Status.AWAITING_APPROVAL)
        approvals.reject(generation, self.managers[2], "too expensive")
        self.decided.append(generation.pk)

    @precondition(lambda self: self.decided)
    @rule(which=st.integers(0, 20))
    def decide_too_late(self, which: int) -> None:
        """From a page that was opened before it was decided."""
        generation = self._get(self.decided[which % len(self.decided)])
        generation.status = Status.AWAITING_APPROVAL
        with pytest.raises(approvals.CannotDecide):
            approvals.reject(generation, self.managers[2], "too late")
        with pytest.raises((approvals.CannotDecide, budgets.OverBudget, lifecycle.NoPrice)):
            approvals.approve(generation, self.managers[2], shown=10_000)

    @precondition(lambda self: self._has(Status.UNCONFIRMED))
    @rule(which=st.integers(0, 20), kind=st.sampled_from([*Decision.Kind]), right=st.booleans())
    def decide(self, which: int, kind: str, right: bool) -> None:
        """What a person makes of an unknown outcome, rightly or wrongly."""
        generation = self._any(which, Status.UNCONFIRMED)
        known = set(Generation.objects.exclude(upstream_id=None).values_list("upstream_id", flat=True))
        of_it = {name: job for name, job in self.vendor.jobs.items() if job.label == generation.prompt}
        charged = sum(job.charge for job in of_it.values())
        if kind == Decision.Kind.ADOPT:
            lost = next((name for name in of_it if name not in known), "vg_unknown")
            try:
                reconcile.adopt(generation, self.managers[2], lost if right else "vg_unknown")
            except reconcile.CannotDecide:
                return
            tally["adopted"] += 1
            return
        self.honest &= charged == (generation.price if kind == Decision.Kind.CHARGED else 0)
        reconcile.decide(generation, self.managers[2], kind)
        tally[f"decided: {kind}"] += 1

    # -- budgets and rules --------------------------------------------------------------------------------------------

    @rule(
        team=st.integers(0, 1),
        whom=st.sampled_from(["team", "person", "project"]),
        window=st.sampled_from([*Budget.Window]),
        over=st.sampled_from([Budget.Over.REFUSE, Budget.Over.REFUSE, Budget.Over.PARK, Budget.Over.WARN]),
        credits=st.integers(0, 500),
    )
    def add_budget(self, team: int, whom: str, window: str, over: str, credits: int) -> None:
        row = Budget(team=self.teams[team], window=window, over=over, credits=credits)
        if whom == "person":
            row.user = self.people[2 * team]
        if whom == "project":
            row.project = self.projects[2 * team]
        used = self._used(row, row.team.day())
        try:
            steering.add_budget(row, self.managers[2])
        except budgets.CannotSet:
            return
        assert credits >= used, "it starts out exceeded"
        self._begins(row)

    def _begins(self, budget: Budget) -> None:
        self.since[budget.pk] = budget.first_day(budget.team.day())

    @precondition(lambda self: self.since)
    @rule(
        which=st.integers(0, 20),
        how=st.sampled_from(["change", "reset", "reset", "end"]),
        credits=st.integers(0, 500),
        over=st.sampled_from([*Budget.Over]),
    )
    def change_budget(self, which: int, how: str, credits: int, over: str) -> None:
        rows = list(Budget.objects.filter(ended_at=None).select_related("team", "user", "project").order_by("pk"))
        if not rows:
            return
        row = rows[which % len(rows)]
        if how == "end":
            steering.end_budget(row, self.managers[2])
            return
        there = self._within(row, row.team.day())
        if how == "change":
            used = self._used(row, row.team.day())
            try:
                steering.change_budget(row, self.managers[2], credits, over)
            except budgets.CannotSet:
                return
            assert credits >= used, "it is less than what is used"
        else:  # what was spent is forgiven; what is held is not, for it may be given back
            steering.reset_budget(row, self.managers[2])
            self.forgiven[row.pk].update(each.pk for each in there if each.status in ENDED)
            tally["budgets reset"] += 1
        self._begins(row)

    @rule(team=st.integers(0, 1), mode=st.sampled_from(["", *MODES]), above=st.integers(0, 200))
    def set_rule(self, team: int, mode: str, above: int) -> None:
        steering.set_rule(self.teams[team], self.managers[2], mode, above)

    # -- upstream -----------------------------------------------------------------------------------------------------

    @rule(mode=st.sampled_from(MODES), price=st.integers(1, 200))
    def price_changes(self, mode: str, price: int) -> None:
        self.vendor.prices[mode] = price

    @precondition(lambda self: self._has(Status.QUEUED))
    @rule(which=st.integers(0, 20), mood=st.sampled_from(MOODS))
    def submit(self, which: int, mood: str) -> None:
        generation = self._any(which, Status.QUEUED)
        self.vendor.mood = mood
        before = len(self.vendor.paid)
        try:
            sending.submit(generation.pk, "a worker")
        except Killed:
            pass
        tally[f"sent: {mood}"] += len(self.vendor.paid) - before

    @precondition(lambda self: self._has(Status.PROCESSING, Status.STALLED))
    @rule(which=st.integers(0, 20), word=st.sampled_from(ENDINGS), change=st.sampled_from([0, 0, 0, -30, 25]))
    def look(self, which: int, word: str, change: int) -> None:
        self._look(self._any(which, Status.PROCESSING, Status.STALLED), word, change)

    def _look(self, generation: Generation, word: str, change: int) -> None:
        if generation.next_look_at and generation.next_look_at > timezone.now():
            self.vendor.clock.move_to(generation.next_look_at)
        self.vendor.ending = (word, change)
        lifecycle.look(generation.pk)

    @precondition(lambda self: self._has(Status.QUEUED))
    @rule(which=st.integers(0, 20), word=st.sampled_from(ENDINGS), change=st.sampled_from([0, 0, 0, -30, 25]))
    def submit_and_look(self, which: int, word: str, change: int) -> None:
        pk = self._any(which, Status.QUEUED).pk
        self.submit(which, "accepted")
        self._look(self._get(pk), word, change)

    @precondition(lambda self: self._charged())
    @rule(which=st.integers(0, 20), told=st.booleans())
    def refund(self, which: int, told: bool) -> None:
        """Upstream gives the whole charge of a clip back, and an admin says whose it was (`told`), or nobody does."""
        charged = self._charged()
        generation = self._get(charged[which % len(charged)])
        account = generation.account
        assert account is not None
        for given in (0, self.book.spent[generation.pk]):  # a reading before, and one after
            self.vendor.clock.shift(100)
            self.vendor.balance += given
            books.read(account)
            books.compare()
        self.rises += 1
        rise = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.TOPUP).last()
        if not told or rise is None or generation not in books.refundable(rise, books.left_of(rise)):
            return
        books.refund(rise, generation, self.managers[2])
        self.came_back[generation.pk] += self.book.spent[generation.pk]
        tally["refunded"] += 1
        with pytest.raises(ledger.NotRefundable):
            books.refund(rise, generation, self.managers[2])

    def _charged(self) -> list[int]:
        """What ended with a charge that was not given back."""
        rows = self.book.generations.values()
        return [row.pk for row in rows if row.status in (Status.COMPLETED, Status.FAILED) and self.book.spent[row.pk]]

    @rule(seconds=st.sampled_from([10, 200, 700, 3600, DAY, 3 * DAY, 8 * DAY, 32 * DAY]))
    def time_passes(self, seconds: int) -> None:
        """And Dailies does what it does by itself."""
        self.vendor.clock.shift(seconds)
        tally["expired"] += len(approvals.expire())
        for pk in sending.lost():
            sending.lose(pk)
        for pk in reconcile.due():
            reconcile.check(pk)
        for account in books.unread():
            books.read(account)
        books.compare()

    # -- what has to be true after each step --------------------------------------------------------------------------

    @invariant()
    def the_books_are_right(self) -> None:
        tally["steps"] += 1
        self.book = Book.read()
        self._nothing_was_rewritten()
        self._each_generation()
        self._sums_of_the_days()
        self._hard_budgets()
        if self.honest:
            assert not self.book.kinds[None]["outside"], "spent outside of Dailies?"
            assert self.book.kinds[None]["topup"] <= self.rises, "topped up?"

    def _nothing_was_rewritten(self) -> None:
        assert self.book.entries[: len(self.history)] == self.history
        self.history = self.book.entries

    def _each_generation(self) -> None:
        waiting = {pk for (pk,) in rows_of("SELECT generation_id FROM generations_approval WHERE verdict = ''")}
        for pk, row in self.book.generations.items():
            ended = row.status in ENDED
            kinds, held = self.book.kinds[pk], self.book.held[pk]
            assert kinds["hold"] == 1
            assert kinds["capture"] + kinds["release"] == int(ended), f"{row.status}: {kinds}"
            assert held == (0 if ended else row.price), f"{row.status}: {held} held of {row.price}"
            assert kinds["refund"] == int(pk in self.came_back)
            assert self.book.spent[pk] == (row.charged or 0) - self.came_back[pk], "spent is not what was charged"
            assert (pk in waiting) == (row.status == Status.AWAITING_APPROVAL)

    def _sums_of_the_days(self) -> None:
        said: Counter[tuple[Any, ...]] = Counter()
        columns = "team_id, user_id, project_id, mode, day, held, spent"
        for *key, held, spent in rows_of(f"SELECT {columns} FROM generations_daysum"):
            said[tuple(key), "held"] += held
            said[tuple(key), "spent"] += spent
        assert self.book.sums == said

    def _hard_budgets(self) -> None:
        """Nothing beyond a hard budget is ever held. A charge above its hold is the vendor's, and is told apart."""
        if not self.since:
            return
        for budget in Budget.objects.filter(ended_at=None, over=Budget.Over.REFUSE):
            days = {budget.first_day(row.day): row.day for row in self.book.generations.values()}
            for first, day in days.items():
                if first < self.since[budget.pk]:
                    continue
                rows = self._within(budget, day)
                beyond = sum(max((row.charged or 0) - row.price, 0) for row in rows)
                assert self._used(budget, day) <= budget.credits + beyond, f"{budget} is exceeded"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.django_db
@pytest.mark.usefixtures("wire")
def test_whatever_happens_in_whatever_order_the_books_hold(part, capsys, monkeypatch):
    monkeypatch.setattr(forecast, "tell", lambda *args: None)  # takes most of the time, and is no money
    monkeypatch.setattr(logging.root.manager, "disable", logging.ERROR)
    make_account()
    team, other = (Team.objects.create(name=name) for name in ("Northlight", "Southlight"))
    Team.objects.filter(pk=other.pk).update(time_zone="Pacific/Auckland")
    Money.teams = [team, Team.objects.get(pk=other.pk)]
    Money.people = [
        make_person("mara@example.com"),
        make_person("luc@example.com", role="manager"),
        make_person("aiko@example.com", team="Southlight"),
        make_person("ines@example.com", team="Southlight", role="manager"),
    ]
    admin = make_person("ada@example.com", team="", is_staff=True)
    Money.managers = [Money.people[1], Money.people[3], admin]
    Money.projects = [
        Project.objects.create(team=each, name=name) for each in Money.teams for name in ("Alpine", "Coast")
    ]
    tally.clear()
    run_state_machine_as_test(
        Money if "STORIES" in os.environ else seed(part)(Money),  # the short form tells the same stories each time
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[*HealthCheck],
            database=None,
        ),
    )
    assert tally["examples"] >= EXAMPLES
    with capsys.disabled():
        rest = ", ".join(f"{name} {number:,}" for name, number in sorted(tally.items()))
        print(f"\n{tally['examples']:,} examples, {tally['steps']:,} steps, 0 violations ({rest})")
