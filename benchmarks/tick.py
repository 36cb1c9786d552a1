"""Measures one tick's questions to PostgreSQL for more and more accounts, all of them busy for an hour already.

`python -m benchmarks.tick` fills a private database: each account with three clips that render, 190 requests of the
last hour and a day of finished clips; one account in a hundred (at least one) has a slot free, a hundredth of the looks
are due, and 5,000 clips wait. The best of several times is printed, since the machine may be busy with other things.
"""

import argparse
import tempfile
from pathlib import Path

import psycopg

from benchmarks.machine import say
from tests.servers import Postgres
from tests.stack import Dailies

WAITING = 5000
PEOPLE = """
import json
from generations import accounts
from generations.models import ApiAccount, ApiKey, Quote, Team, User

Team.objects.create(name="Northlight")
people = [user.pk for user in User.objects.bulk_create(User(email=f"p{{n}}@example.com") for n in range(20))]
first = accounts.add_key(None, "vv_sk_of_account_number_1").account
key = ApiKey.objects.get()
ApiAccount.objects.bulk_create(ApiAccount(name=f"Veevid {{n}}") for n in range(2, {accounts} + 1))
rest = list(ApiAccount.objects.exclude(pk=first.pk).values_list("pk", flat=True))
ApiKey.objects.bulk_create(
    (ApiKey(account_id=pk, secret=key.secret, digest=f"{{pk:064d}}", last4=key.last4) for pk in rest), batch_size=1000
)
quote = Quote.objects.create(account=first, digest="x", billing={{}}, credits=10)
print(json.dumps([min(people), quote.pk]))
"""
ROWS = """
INSERT INTO generations_generation (team_id, owner_id, nonce, status, mode, generation_type, params, prompt, quote_id,
    price, account_id, attempt, upstream_id, video_url, upstream_words, wait_why, next_look_at, looks,
    looks_unanswered, created_at, queued_at, sent_at, finished_at, took)
SELECT (SELECT min(id) FROM generations_team), {low} + n % 20, gen_random_uuid(), {status}, 'veo3', 'text-to-video',
    '{{"duration": "8"}}', repeat('A lone walker in the fog. ', 10), {quote}, 10, {account}, 1, {upstream}, '', '', '',
    {look}, 1, 0, now(), now(), {sent}, {finished}, {took}
FROM generate_series(0, {count} - 1) n
"""
CALLS = """
INSERT INTO generations_apicall (account_id, key_id, kind, at, finished_at, outcome, status)
SELECT k.account_id, k.id, CASE WHEN n % 3 = 0 THEN 'generate' ELSE 'status' END,
    now() - n * interval '18.9 s', now() - n * interval '18.9 s' + interval '0.3 s', 'ok', 200
FROM generations_apikey k, generate_series(0, {each} - 1) n
"""
ASK = """
import json, time
from django.db import connection
from django.test.utils import CaptureQueriesContext
from generations import dispatch

due = dispatch.due()
walls, own = [], []
for _ in range(15):
    began, used = time.perf_counter(), time.process_time()
    dispatch.due()
    walls.append(time.perf_counter() - began)
    own.append(time.process_time() - used)
with CaptureQueriesContext(connection) as queries:
    dispatch.due()
print(json.dumps([min(walls) * 1000, min(own) * 1000, len(queries), len(due.send), len(due.look)]))
"""
SIZES = """
SELECT pg_table_size('generations_apicall'), pg_indexes_size('generations_apicall'),
       (SELECT count(*) FROM generations_apicall)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, nargs="+", default=[1, 10, 100, 1000, 10000])
    parser.add_argument("--finished", type=int, default=100, help="clips that each account has finished")
    given = parser.parse_args()
    postgres = Postgres()
    try:
        postgres.start()
        say("| accounts | a tick asks | of it Python | queries | submissions, looks due | row + indexes of ApiCall |")
        say("|---|---|---|---|---|---|")
        for accounts in given.accounts:
            with tempfile.TemporaryDirectory(prefix="dailies-bench-") as folder:
                say(measured(Dailies(Path(folder), postgres.new_database(), "", None), accounts, given.finished))
    finally:
        postgres.end()


def measured(dailies: Dailies, accounts: int, finished: int) -> str:
    low, quote = dailies.python(PEOPLE.format(accounts=accounts))
    free = max(accounts // 100, 1)
    account = "(SELECT min(id) FROM generations_apiaccount) + n % " + str(accounts)
    common = {"low": low, "quote": quote}
    rendering = {"status": "'PROCESSING'", "account": account, "upstream": "'vg_' || n", "sent": "now()",
                 "finished": "NULL", "took": "NULL",
                 "look": f"now() + (n - {accounts * 3 // 100}) * interval '1 s'"}  # fmt: skip
    waiting = {"status": "'QUEUED'", "account": "NULL", "upstream": "NULL", "sent": "NULL", "finished": "NULL",
               "took": "NULL", "look": "NULL"}  # fmt: skip
    over = {"status": "'COMPLETED'", "account": account, "upstream": "'vg_over_' || n", "took": "60 + n % 120",
            "sent": "now() - (n + 200) * interval '1 s'", "finished": "now() - n * interval '1 s'",
            "look": "NULL"}  # fmt: skip
    with psycopg.connect(dailies.env["DATABASE_URL"], autocommit=True) as connection:
        for count, fields in ((accounts * 3 - free, rendering), (WAITING, waiting), (accounts * finished, over)):
            connection.execute(ROWS.format(count=count, **common, **fields))
        connection.execute(CALLS.format(each=180))
        connection.execute("VACUUM ANALYZE")
        table, indexes, rows = connection.execute(SIZES).fetchone() or (0, 0, 1)
    wall, own, queries, submissions, looks = dailies.python(ASK)
    size = f"{table / rows:.0f} + {indexes / rows:.0f} bytes"
    return f"| {accounts} | {wall:.1f} ms | {own:.1f} ms | {queries} | {submissions}, {looks} | {size} |"


if __name__ == "__main__":
    main()
