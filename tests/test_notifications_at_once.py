"""Sweeps and deliveries at the same moment, in threads with their own connections, on both databases."""

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

AT_ONCE = """
import json, threading, uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from django.conf import settings
from django.db import connection
from django.utils import timezone
from generations import ledger, notify, outbox, webhooks
from generations.models import *
from tests.makers import make_order, make_person

class Handler(BaseHTTPRequestHandler):
    got = []
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append(self.headers["webhook-id"])
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
settings.WEBHOOK_HOSTS = [f"127.0.0.1:{server.server_port}"]

def at_once(deed, times):
    gate = threading.Barrier(times)
    def run(_):
        gate.wait()
        try:
            deed()
        finally:
            connection.close()
    with ThreadPoolExecutor(times) as pool:
        list(pool.map(run, range(times)))

notify.sweep(timezone.now() - timedelta(minutes=1))
mara, ada = make_person(role="manager"), make_person("ada@example.com", team="", is_staff=True)
team, account, order = mara.teams.get(), ApiAccount.objects.earliest("pk"), make_order()
quote = Quote.objects.create(account=account, digest="0" * 64, billing={}, credits=10)
Budget.objects.create(team=team, credits=10)
ApiKey.objects.filter(account=account).update(state="refused")
for number in range(20):
    row = Generation.objects.create(
        team=team, owner=mara, nonce=uuid.uuid4(), status="FAILED", mode=order.mode, params=order.params, quote=quote,
        generation_type=order.generation_type, prompt="A", price=10, finished_at=timezone.now())
    ledger.hold(row)
webhooks.add(None, mara, "a", "signed", f"http://127.0.0.1:{server.server_port}/a", ["failed", "budget", "key"])
for _ in range(4):
    at_once(notify.sweep, 6)

def send_out():
    while pks := outbox.due():
        for pk in pks:
            while pk:
                pk = outbox.deliver(pk)

at_once(send_out, 6)
print(json.dumps({
    "told": [Notification.objects.filter(user=user).count() for user in (mara, ada)],
    "deliveries": Delivery.objects.count(), "sent": Delivery.objects.filter(state="sent").count(),
    "episodes": Episode.objects.count(), "arrived": len(Handler.got), "different": len(set(Handler.got)),
}))
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_sweeps_and_workers_at_once_tell_everything_once(make_stack, make_simulator, database) -> None:
    dailies = make_stack(simulator=make_simulator(), database=database)
    found = dailies.python(AT_ONCE)
    print(f"\n{database}: {found}")
    assert found == {
        "told": [21, 1],  # twenty failures and a budget; a refused key
        "deliveries": 22,
        "sent": 22,
        "episodes": 1,
        "arrived": 22,
        "different": 22,
    }
