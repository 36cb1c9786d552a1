"""Two hundred generations with failures, refunds, outside spending and a top-up: the books agree to the credit."""

import pytest

from tests import jobs
from tests.stack import Dailies

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1000)]

CLIPS = 200
ENDED = "SELECT count(*) FROM generations_generation WHERE status IN ('COMPLETED', 'FAILED', 'REJECTED', 'CANCELLED')"
OUTSIDE = "SELECT kind, sum(spent), sum(bought) FROM generations_ledgerentry WHERE generation_id IS NULL GROUP BY kind"


def ended(dailies: Dailies) -> int:
    return jobs.ask(dailies, ENDED)[0][0]


def wanted(count: int, word: str) -> list[tuple[str, str, str]]:
    """Every tenth clip fails upstream, and is given back there."""
    return [
        (mode, kind, f"{prompt} [fail]" if number % 10 == 0 else prompt)
        for number, (mode, kind, prompt) in enumerate(jobs.clips(count, word))
    ]


def test_after_200_generations_the_books_and_the_balance_agree(make_stack, make_simulator):
    simulator = make_simulator(
        *("--speed", "400", "--balance", "50000", "--hour-limit", "100000", "--minute-limit", "1000"),
    )
    accounts = [f"books{number}" for number in range(5)]
    dailies = make_stack(simulator=simulator, VEEVID_API_KEY="")
    for name in accounts:
        simulator.control("account", {"account": name, "balance": 50_000})
        for number in range(3):
            key = f"vv_sk_{name}_key_number_{number}"
            simulator.control("key", {"key": key, "account": name})
            dailies.python(ADD_KEY.format(key=key, name=name))
    jobs.add_people(dailies)
    dailies.start_beat()
    dailies.start_worker(4)
    jobs.confirm_all(dailies, wanted(CLIPS // 2, "before noon"))
    dailies.wait_for("half of them are under way", lambda: ended(dailies) >= CLIPS // 4, 400)
    simulator.control("account", {"account": accounts[0], "spend": 777})
    simulator.control("account", {"account": accounts[1], "add": 5000})
    jobs.confirm_all(dailies, wanted(CLIPS // 2, "after noon"))
    dailies.wait_for("all are done", lambda: ended(dailies) == CLIPS, 500)
    dailies.wait_for("every account was read at rest", lambda: said_right(dailies), 200)
    print(f"\n{dailies.manage('ledger_check')}")
    outside = {kind: (int(spent), int(bought)) for kind, spent, bought in jobs.ask(dailies, OUTSIDE)}
    assert outside == {"outside": (777, 0), "topup": (0, 5000)}
    upstream = sum(simulator.balance(name) for name in accounts)
    assert jobs.state(dailies)["spent"] == 5 * 50_000 + 5000 - upstream  # ours, and the 777
    failed = jobs.state(dailies)["statuses"]["FAILED"]
    assert failed == CLIPS // 10


ADD_KEY = """
import json
from django.utils import timezone
from generations import accounts, books
from generations.models import ApiAccount, ApiKey
known = ApiAccount.objects.filter(name={name!r}).first()
key = accounts.add_key(known, {key!r})
ApiAccount.objects.filter(pk=key.account_id).update(name={name!r})
ApiKey.objects.filter(pk=key.pk).update(accepted_at=timezone.now())
if known is None:
    books.read(key.account)  # where its books begin, as when an admin adds a key
print(json.dumps(key.account_id))
"""

READ = """
import json
from django.db.models import Max
from generations import books
from generations.models import ApiAccount
rows = ApiAccount.objects.filter(demo=False).select_related("compared")
rows = list(rows.annotate(ended=Max("generations__finished_at"), heard=Max("readings__at"), newest=Max("readings")))
read = all(row.heard > row.ended and row.examined == row.newest for row in rows)
print(json.dumps(read and all(state.agree and state.resting for state in map(books.state, rows))))
"""


def said_right(dailies: Dailies) -> bool:
    return bool(dailies.python(READ))
