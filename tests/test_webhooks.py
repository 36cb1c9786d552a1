"""Webhooks: what they are told, signed, over real HTTP; addresses that are refused; receivers that fail."""

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from generations import notify, outbox, receiver, webhooks
from generations.models import ApprovalRule, AuditEntry, BalanceReading, Delivery, Team, User, Webhook
from tests.makers import confirmed, make_account, make_person

pytestmark = pytest.mark.django_db


class Receiver(ThreadingHTTPServer):
    """A receiver on this machine. It answers what it is told to, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.headers: dict[str, str] = {}
        self.status, self.body, self.drip = 200, b"ok", 0.0

    def handle_error(self, *_: Any) -> None:
        """A connection that was cut, as a test meant it to be."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/services/T000/B000/secretsecret"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.server.drip:
            for _ in range(200):
                self.wfile.write(b"H")
                time.sleep(self.server.drip)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def there(settings) -> Iterator[Receiver]:
    """A receiver that WEBHOOK_HOSTS names."""
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.WEBHOOK_HOSTS = [server.host]
    settings.SITE_URL = "https://dailies.example.com"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def mara() -> User:
    return make_person("mara@example.com", role="manager")


@pytest.fixture
def team(mara) -> Team:
    return mara.teams.get()


@pytest.fixture
def desk(mara) -> Client:
    client = Client()
    client.force_login(mara)
    return client


@pytest.fixture
def happened(wire, team) -> None:
    """A request of Luc's is parked."""
    notify.sweep(timezone.now() - timedelta(minutes=1))
    ApprovalRule.objects.create(team=team, above=100)
    make_account()
    confirmed(make_person("luc@example.com"))


def add(desk: Client, url: str, shape: str = "signed", **more: Any) -> Any:
    given = {"name": "Producers", "shape": shape, "url": url, "kinds": ["parked", "budget"], **more}
    return desk.post("/team/webhooks", given)


def secret_in(answer: Any) -> str:
    return re.findall(r'value="(whsec_[^"]+)"', answer.content.decode())[0]


def send_out(now: Any = None) -> None:
    while pks := outbox.due(now):
        for pk in pks:
            outbox.deliver(pk, now)


# -- what arrives ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("happened")
def test_a_signed_message_is_told_once_and_its_signature_fits(desk, there):
    secret = secret_in(add(desk, there.url))
    for _ in range(3):
        notify.sweep()
        send_out()
    [(path, headers, body)] = there.got
    assert path == "/services/T000/B000/secretsecret"
    assert json.loads(body) == {
        "type": "parked",
        "timestamp": json.loads(body)["timestamp"],
        "data": {
            "title": "Luc asks for 140 credits",
            "team": "Northlight",
            "generation": json.loads(body)["data"]["generation"],
            "url": "https://dailies.example.com/approvals",
        },
    }
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert b"A lone walker" not in body  # no prompt leaves


@pytest.mark.usefixtures("happened")
def test_slack_gets_one_line_with_a_link_and_nothing_it_would_take_for_a_mark(desk, there):
    User.objects.filter(email="luc@example.com").update(name="<!channel> & Luc")
    add(desk, there.url, "slack")
    notify.sweep()
    send_out()
    [(_, headers, body)] = there.got
    link = "<https://dailies.example.com/approvals|Open in Dailies>"
    assert json.loads(body) == {"text": f"Northlight: &lt;!channel&gt; &amp; Luc asks for 140 credits {link}"}
    assert not [name for name in headers if name.startswith("webhook-")]


@pytest.mark.usefixtures("happened")
def test_a_webhook_hears_of_its_own_team_and_of_what_was_chosen_only(desk, there, mara):
    add(desk, there.url, kinds=["budget"])
    webhooks.add(Team.objects.create(name="Southlight"), mara, "Others", "slack", there.url, ["parked"])
    webhooks.add(None, mara, "Site", "slack", there.url, ["parked"])
    notify.sweep()
    send_out()
    assert [Delivery.objects.get(webhook__isnull=False).webhook.name] == ["Site"]
    assert len(there.got) == 1


def test_the_site_hears_of_a_low_balance(there, mara, wire):
    webhooks.add(None, mara, "Site", "signed", there.url, ["balance"])
    BalanceReading.objects.create(account=make_account(), credits=12)
    notify.sweep()
    notify.sweep()
    send_out()
    [(_, _, body)] = there.got
    assert json.loads(body)["data"]["title"] == "Veevid has 12 credits left"


def test_the_test_button_sends_a_message_now_and_says_so(desk, there, team):
    add(desk, there.url)
    answer = desk.post(f"/team/webhooks/{Webhook.objects.get().pk}/test")
    assert "It took the test message." in answer.content.decode()
    assert len(there.got) == 1
    there.status, there.body = 410, b"no_such_channel <b>"
    answer = desk.post(f"/team/webhooks/{Webhook.objects.get().pk}/test")
    assert "was not taken. It answered 410: no_such_channel &lt;b&gt;." in answer.content.decode()
    assert outbox.due(timezone.now() + timedelta(days=1)) == []


# -- addresses ---------------------------------------------------------------------------------------------------------


REFUSED = [
    "",
    "hooks.example.com",
    "ftp://hooks.example.com/a",
    "file:///etc/passwd",
    "http://hooks.example.com/a",
    "https://hooks.example.com:8443/a",
    "https://user:word@hooks.example.com/a",
    "https://hooks.example.com/a#b",
    "https://hooks.example.com/a b",
    "https://hooks.example.com/\nHost: elsewhere",
    "https://[::1",
    "https://127.0.0.1/a",
    "https://[::1]/a",
    "https://[::ffff:10.0.0.1]/a",
    "https://[64:ff9b::a00:1]/a",
    "https://10.1.2.3/a",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/a",
    "https://0.0.0.0/a",
    "https://224.0.0.1/a",
    "http://127.0.0.1:9/a",
    "https://hooks.example.com/" + "a" * 2000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_an_address_that_nothing_may_be_sent_to_is_refused_in_words(desk, url, there):
    answer = add(desk, url)
    assert answer.status_code == 422
    assert "Nothing was changed." in answer.content.decode()
    assert url not in answer.content.decode() or url in ("", "hooks.example.com")
    assert not Webhook.objects.exists()
    assert not AuditEntry.objects.exists()
    assert there.got == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "fd00::1", "::ffff:192.168.1.1"]
)
def test_a_public_name_that_leads_to_a_private_address_is_not_connected_to(desk, monkeypatch, address):
    connected = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(socket.AF_INET, 1, 6, "", (address, 443))])
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: connected.append(a))
    add(desk, "https://hooks.example.com/a")
    answer = desk.post(f"/team/webhooks/{Webhook.objects.get().pk}/test")
    assert "hooks.example.com lies in a private network." in answer.content.decode()
    assert connected == []
    assert Delivery.objects.get().state == "given_up"


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    """A name that answers otherwise the second time gains nothing: it is asked once."""
    asked, connected = [], []

    def resolve(*args: Any, **more: Any) -> Any:
        asked.append(args)
        return [(socket.AF_INET, 1, 6, "", ("93.184.216.34" if len(asked) == 1 else "127.0.0.1", 443))]

    def connect(address: Any, **more: Any) -> Any:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(receiver.NotTaken):
        receiver.post("https://hooks.example.com/a", b"{}", {})
    assert connected == [("93.184.216.34", 443)]
    assert len(asked) == 1


def test_a_redirect_is_not_followed(desk, there):
    there.status, there.headers = 302, {"Location": f"http://{there.host}/elsewhere"}
    add(desk, there.url)
    answer = desk.post(f"/team/webhooks/{Webhook.objects.get().pk}/test")
    assert "It answered 302, a redirect. Redirects are not followed" in answer.content.decode()
    assert len(there.got) == 1


def test_an_answer_that_drips_is_cut_off_in_time(there, monkeypatch):
    monkeypatch.setattr(receiver, "DEADLINE", 0.5)
    there.drip = 0.05
    began = time.monotonic()
    with pytest.raises(receiver.NotTaken, match="no answer within"):
        receiver.post(there.url, b"{}", {})
    assert time.monotonic() - began < 5


def test_of_a_long_answer_only_the_beginning_is_read(there):
    there.status, there.body = 500, b"x" * 5_000_000
    with pytest.raises(receiver.NotTaken) as no:
        receiver.post(there.url, b"{}", {})
    assert len(str(no.value)) < 200


# -- receivers that fail -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("happened")
def test_a_receiver_that_fails_is_tried_less_and_less_often_then_given_up_and_shown(desk, there):
    there.status, there.body = 503, b"try later"
    add(desk, there.url)
    notify.sweep()
    at, waits = timezone.now(), []
    while Delivery.objects.get().state == "waiting":
        send_out(at)
        due = Delivery.objects.get().next_try_at
        waits.append(round((due - at).total_seconds()))
        at = due
    assert waits[:-1] == [30, 60, 120, 240, 480, 960, 1920]
    assert len(there.got) == 8
    page = desk.get("/team").content.decode()
    assert "Given up" in page
    assert "It answered 503: try later." in page
    assert "tried 8 times" in page
    send_out(at + timedelta(days=1))
    assert len(there.got) == 8
    assert len({headers["webhook-id"] for _, headers, _ in there.got}) == 1  # a receiver can tell it is the same


@pytest.mark.usefixtures("happened")
def test_what_a_failing_receiver_missed_comes_when_it_is_back(desk, there):
    there.status = 500
    add(desk, there.url)
    notify.sweep()
    send_out()
    there.status = 204
    send_out(timezone.now() + timedelta(seconds=31))
    assert Delivery.objects.get().state == "sent"
    assert len(there.got) == 2


def test_while_a_receiver_fails_all_that_waits_for_it_waits_and_nothing_else_does(there, team, mara, settings):
    settings.WEBHOOK_HOSTS = [there.host, "127.0.0.1:1"]
    hooks = [webhooks.add(team, mara, name, "slack", there.url, ["budget"])[0] for name in ("dead", "well")]
    message = {"kind": "budget", "at": "", "title": "x", "team": "", "generation": None, "path": "/"}
    for hook in hooks:
        for number in range(3):
            Delivery.objects.create(webhook=hook, kind="budget", key=str(number), message=message)
    Webhook.objects.filter(name="dead").update(url=there.url.replace(there.host, "127.0.0.1:1"))
    send_out()
    assert Delivery.objects.filter(webhook=hooks[0], tries=0).count() == 2
    assert Delivery.objects.filter(webhook=hooks[1], state="sent").count() == 3


def test_a_delivery_whose_worker_died_is_sent_by_another(desk, there, team, mara):
    hook = webhooks.add(team, mara, "a", "slack", there.url, ["budget"])[0]
    message = {"kind": "budget", "at": "", "title": "x", "team": "", "generation": None, "path": "/"}
    delivery = Delivery.objects.create(webhook=hook, kind="budget", key="1", message=message)
    Delivery.objects.update(next_try_at=timezone.now() + outbox.LEASE, tries=1)  # claimed, and never ended
    assert outbox.due() == []
    assert outbox.due(timezone.now() + outbox.LEASE) == [delivery.pk]


def test_of_two_workers_at_the_same_delivery_one_sends_it(there, team, mara):
    hook = webhooks.add(team, mara, "a", "slack", there.url, ["budget"])[0]
    message = {"kind": "budget", "at": "", "title": "x", "team": "", "generation": None, "path": "/"}
    delivery = Delivery.objects.create(webhook=hook, kind="budget", key="1", message=message)
    now = timezone.now()
    outbox.deliver(delivery.pk, now)
    outbox.deliver(delivery.pk, now)
    assert len(there.got) == 1


# -- handling them -----------------------------------------------------------------------------------------------------


def test_the_address_is_encrypted_and_never_shown_again(desk, there):
    secret = secret_in(add(desk, there.url))
    with connection.cursor() as cursor:
        cursor.execute("SELECT url, secret, masked FROM generations_webhook")
        url, sealed, masked = cursor.fetchone()
    assert "secretsecret" not in url
    assert secret not in sealed
    assert masked == f"http://{there.host}/…cret"
    page = desk.get("/team").content.decode()
    assert masked in page
    assert "secretsecret" not in page
    assert secret not in page
    assert "secretsecret" not in str(list(AuditEntry.objects.values()))


def test_adding_testing_and_removing_are_in_the_audit_trail(desk, there, team, mara):
    add(desk, there.url)
    pk = Webhook.objects.get().pk
    desk.post(f"/team/webhooks/{pk}/test")
    desk.post(f"/team/webhooks/{pk}/remove")
    rows = AuditEntry.objects.order_by("pk").values_list("action", "who", "team")
    assert list(rows) == [(f"webhook.{what}", mara.pk, team.pk) for what in ("added", "tested", "removed")]
    assert f"http://{there.host}/…cret" in AuditEntry.objects.earliest("pk").what


@pytest.mark.usefixtures("happened")
def test_a_removed_webhook_is_told_nothing_more_and_its_address_is_gone(desk, there):
    add(desk, there.url)
    notify.sweep()
    desk.post(f"/team/webhooks/{Webhook.objects.get().pk}/remove")
    send_out()
    notify.sweep()
    send_out()
    assert there.got == []
    assert Webhook.objects.get().plain_url() == ""
    assert desk.post(f"/team/webhooks/{Webhook.objects.get().pk}/test").status_code == 404


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"name": " "}, "Give it a name"),
        ({"name": "n" * 81}, "Give it a name"),
        ({"shape": "pigeon"}, "Choose Slack or JSON"),
        ({"kinds": []}, "Choose at least one thing"),
        ({"kinds": ["balance", "nonsense"]}, "Choose at least one thing"),
    ],
)
def test_what_cannot_be_is_said_in_words(desk, there, more, says):
    answer = add(desk, there.url, **more)
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not Webhook.objects.exists()


def test_there_are_ten_of_a_team_at_most(desk, there):
    for _ in range(10):
        assert add(desk, there.url).status_code == 200
    answer = add(desk, there.url)
    assert answer.status_code == 422
    assert "There are 10 webhooks already" in answer.content.decode()


@pytest.mark.usefixtures("happened")
def test_a_key_ring_that_lost_its_key_is_said_and_breaks_nothing(desk, there, settings, mara):
    add(desk, there.url)
    notify.sweep()
    settings.SECRETS_KEYS = [base64.urlsafe_b64encode(b"x" * 32).decode()]
    send_out()
    assert "SECRETS_KEYS has changed" in Delivery.objects.get().error
    assert "SECRETS_KEYS has changed" in desk.get("/team").content.decode()
