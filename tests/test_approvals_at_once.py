"""Two managers and the clock decide about the same request at once, on both databases: one decision, settled once."""

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

AT_ONCE = """
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from django.db import OperationalError, connection
from django.utils import timezone
from generations import approvals, lifecycle
from generations.models import Approval, ApprovalRule, AuditEntry, DaySum, Generation
from tests.makers import make_order, make_person

mara = make_person("mara@example.com")
luc, ines = (make_person(f"{name}@example.com", role="manager") for name in ("luc", "ines"))
team = mara.teams.get()
ApprovalRule.objects.create(team=team)
order, found = make_order(), []
price = lifecycle.quote(order.billing)

def run(gate, deed):
    gate.wait()
    for _ in range(20):
        try:
            return bool(deed() is not False)
        except approvals.CannotDecide:
            return False
        except OperationalError:  # SQLite, when it is locked for long: the person presses the button again
            continue
        finally:
            connection.close()

for number in range(8):
    parked = lifecycle.confirm(mara, lifecycle.seal(mara, team, order, price))
    Approval.objects.filter(generation=parked).update(expires_at=timezone.now() - timedelta(seconds=1))
    read = lambda: Generation.objects.select_related("team", "owner", "quote__account").get(pk=parked.pk)
    deeds = [
        lambda g=read(): approvals.approve(g, luc, shown=price.credits),
        lambda g=read(): approvals.reject(g, ines, "too dear"),
        lambda g=read(): approvals.approve(g, ines, shown=price.credits),
        lambda: bool(approvals.expire()),
        lambda g=read(): lifecycle.cancel(g, mara),
    ]
    gate = Barrier(len(deeds))
    with ThreadPoolExecutor(len(deeds)) as pool:
        won = sum(pool.map(lambda deed: run(gate, deed), deeds))
    row = read()
    ends = row.entries.filter(kind__in=("capture", "release")).count()
    held = sum(row.entries.values_list("held", flat=True))
    said = AuditEntry.objects.filter(details__generation=row.pk).count()
    verdict = Approval.objects.get(generation=row).verdict
    found.append([won, row.status, verdict, ends, held, said])
print(json.dumps([price.credits, found, sum(DaySum.objects.values_list("held", flat=True))]))
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_one_decision_counts_and_its_hold_is_settled_once(make_stack, database) -> None:
    price, found, held_by_days = make_stack(database=database).python(AT_ONCE)
    print(f"\n{database}: {[verdict for _, _, verdict, *_ in found]}")
    for won, status, verdict, ends, held, said in found:
        assert won == 1
        if verdict == "approved":
            assert (status, ends, held, said) == ("QUEUED", 0, price, 1)
        else:
            assert verdict in ("rejected", "expired", "cancelled")
            assert (status, ends, held, said) == ("CANCELLED", 1, 0, verdict != "cancelled")
    assert held_by_days == sum(held for *_, held, _ in found)
