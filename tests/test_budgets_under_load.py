"""Sixteen processes confirm at once against every kind of budget: nothing is overspent, leaked or refused falsely."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest

from tests.servers import ROOT, last_json
from tests.stack import Dailies

pytestmark = [pytest.mark.processes, pytest.mark.timeout(500)]

PROCESSES, CONFIRMS = 16, 1000
SETTLING = 1.0  # seconds: a credit that is being given back may not be there yet

#: One team, four people with a budget each, two projects with one each, one for the team. All prices are known.
PREPARE = """
import json
from generations import catalogue, lifecycle
from generations.models import Budget, Project
from tests.makers import make_order, make_person
people = [make_person(f"p{number}@example.com") for number in range(4)]
team = people[0].teams.get()
projects = [Project.objects.create(team=team, name=name) for name in ("Alpine", "Harbour")]
Budget.objects.create(team=team, credits=20_000)
for person in people:
    Budget.objects.create(team=team, user=person, credits=6_000, window="day")
for project in projects:
    Budget.objects.create(team=team, project=project, credits=7_000, window="total")
modes = [mode for mode, model in catalogue.MODELS.items() if "text-to-video" in model.types]
print(json.dumps([lifecycle.quote(make_order(mode).billing).credits for mode in modes]))
"""

#: One process: so many confirmations, a fifth of them of three clips together, some cancelled at once. Prints what was
#: refused, with when that was.
CONFIRM = """
import json, random, time
from django.db import OperationalError
from generations import budgets, catalogue, lifecycle
from generations.models import Project, User
from tests.makers import make_order
dice = random.Random({seed})
people, projects = list(User.objects.order_by("pk")), [None, *Project.objects.order_by("pk")]
modes = [mode for mode, model in catalogue.MODELS.items() if "text-to-video" in model.types]
team, made, refused = people[0].teams.get(), 0, []
for number in range({count}):
    user, project = dice.choice(people), dice.choice(projects)
    together = dice.random() < 0.2
    wanted = [make_order(mode) for mode in dice.sample(modes, 3 if together else 1)]
    orders = [lifecycle.Order(each.mode, each.generation_type, each.params, each.prompt, {{}},
                              project.pk if project else None) for each in wanted]
    priced = [(each, lifecycle.quote(each.billing)) for each in orders]
    plan = lifecycle.Plan("models", "A", {{}}, 3) if together else None
    sealed = lifecycle.seal_all(user, team, priced, plan)
    cancels = dice.random() < 0.3
    while True:
        before = time.time()
        try:
            for generation in lifecycle.confirm_all(user, sealed):
                if cancels:
                    lifecycle.cancel(generation, user)
            made += 1
        except budgets.OverBudget:
            total = sum(price.credits for _, price in priced)
            refused.append([user.pk, project.pk if project else None, total, before, time.time()])
        except OperationalError:  # SQLite, when it is locked for long: the person presses the button again
            continue
        break
print(json.dumps([made, refused]))
"""

BOOKS = """
import json
from django.db.models import Count
from generations.models import Batch, Budget, Generation, LedgerEntry
entries = LedgerEntry.objects.order_by("at", "pk").values_list("user_id", "project_id", "held", "at")
budgets = Budget.objects.values_list("user_id", "project_id", "credits")
print(json.dumps([
    [[user, project, held, at.timestamp()] for user, project, held, at in entries], list(budgets),
    Generation.objects.filter(status="CANCELLED").count(),
    Batch.objects.count(), Batch.objects.annotate(clips=Count("generations")).exclude(clips=3).count(),
]))
"""


def confirm_from_many_processes(dailies: Dailies) -> list[Any]:
    def start(seed: int) -> subprocess.Popen[str]:
        code = CONFIRM.format(seed=seed, count=CONFIRMS // PROCESSES + (seed < CONFIRMS % PROCESSES))
        command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=ROOT, env=dailies.env, text=True, **pipes)

    running = [start(seed) for seed in range(PROCESSES)]
    said = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, said
    return [last_json(out) for out, _ in said]


def course(entries: list[list[Any]], budget: list[Any]) -> list[tuple[float, int]]:
    """What is used of one budget from each moment on."""
    mine = [entry for entry in entries if budget[0] in (None, entry[0]) and budget[1] in (None, entry[1])]
    return list(zip([at for *_, at in mine], accumulate(held for *_, held, _ in mine), strict=True))


def within(used: list[tuple[float, int]], begin: float, end: float) -> Iterator[int]:
    """What may have been seen as used between two moments."""
    yield next((amount for at, amount in reversed(used) if at <= begin), 0)
    yield from (amount for at, amount in used if begin < at <= end)


@pytest.mark.parametrize("database", ["postgres", "sqlite"])
def test_budgets_hold_while_sixteen_processes_confirm(make_stack, database):
    dailies = make_stack(database=database)
    prices = dailies.python(PREPARE)
    told = confirm_from_many_processes(dailies)
    entries, budgets, cancelled, batches, torn = dailies.python(BOOKS)
    courses = [(budget, course(entries, budget)) for budget in budgets]
    overspent = sum(max((used for _, used in line), default=0) > budget[2] for budget, line in courses)
    refused = [each for _, some in told for each in some]
    false = 0
    for user, project, price, begin, end in refused:
        its = [(b, line) for b, line in courses if b[0] in (None, user) and b[1] in (None, project)]
        false += all(max(within(line, begin - SETTLING, end)) + price <= b[2] for b, line in its)
    made, held = sum(count for count, _ in told), sum(entry[2] for entry in entries)
    leaked = held - sum_of_queued(dailies)
    print(
        f"\n{database}: {PROCESSES} processes, {made + len(refused)} confirmations at {min(prices)} to {max(prices)}"
        f" credits: {made} taken ({batches} of three clips together, {torn} of them torn),"
        f" {cancelled} clips cancelled, {len(refused)} refused;"
        f" overspent budgets {overspent}, leaked credits {leaked}, false refusals {false}"
    )
    assert made + len(refused) == CONFIRMS
    assert made > 100
    assert len(refused) > 100
    assert batches > 10
    assert (overspent, leaked, false, torn) == (0, 0, 0, 0)
    assert dailies.simulator.submissions() == 0
    assert "The books are right." in dailies.manage("ledger_check")


def sum_of_queued(dailies: Dailies) -> int:
    code = "import json; from django.db.models import Sum; from generations.models import Generation; "
    code += "print(json.dumps(Generation.objects.filter(status='QUEUED').aggregate(s=Sum('price'))['s'] or 0))"
    return int(json.loads(json.dumps(dailies.python(code))))
