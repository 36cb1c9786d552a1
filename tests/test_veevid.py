"""What the client concludes from every kind of answer, and that it never sends anything twice."""

import contextlib
import json
import logging
import re
import socket
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import responses

from generations import veevid
from generations.veevid import (
    AccountSuspended,
    BadParameters,
    Busy,
    KeyRefused,
    NoClearAnswer,
    NotEnoughCredits,
    NotFound,
    NotSent,
    Refused,
    UpstreamError,
    Veevid,
    in_plain_words,
)

BASE = "https://veevid.ai/api"
KEY = "vv_sk_test_0123456789abcd"
GENERATE = f"{BASE}/generate-video"
ACCEPTED = {"generation_id": "vg_abc123", "status": "processing", "video_url": None}
CLIP = "https://cdn.veevid.ai/videos/a.mp4"


@pytest.fixture
def web():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def client():
    return Veevid(BASE, KEY)


def failing(call, *args, sent=None):
    with pytest.raises(UpstreamError) as caught:
        call(*args)
    if sent is not None:
        assert len(sent.calls) == 1
    return caught.value


# Answers


def test_a_quote_is_asked_with_the_key_and_read(web, client):
    answer = {"required_credits": 250, "current_balance": 451, "sufficient": True}
    web.post(f"{BASE}/quote", json=answer)
    said = client.quote({"mode": "kling-3", "duration": "10"})
    assert (said.required_credits, said.current_balance, said.sufficient, said.raw) == (250, 451, True, answer)
    request = web.calls[0].request
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert json.loads(request.body) == {"mode": "kling-3", "duration": "10"}
    assert len(web.calls) == 1


@pytest.mark.parametrize("price", ["250", "250.0", 250.0, " 250 "])
def test_numbers_may_come_as_text(web, client, price):
    web.post(f"{BASE}/quote", json={"required_credits": price, "current_balance": "12", "new_field": [1]})
    said = client.quote({})
    assert (said.required_credits, said.current_balance, said.sufficient) == (250, 12, False)


@pytest.mark.parametrize("price", [None, -1, "-1", 12.5, "many", True, 10**10, [250], {}, "", "1e3"])
def test_an_absurd_price_is_no_price(web, client, price):
    web.post(f"{BASE}/quote", json={"required_credits": price, "current_balance": 451})
    assert isinstance(failing(client.quote, {}, sent=web), NoClearAnswer)


def test_an_accepted_generation_is_known_by_its_id(web, client):
    web.post(GENERATE, json=ACCEPTED)
    said = client.generate({"mode": "veo3", "prompt": "A dune"})
    assert (said.generation_id, said.status, said.video_url, said.credits_used) == (
        "vg_abc123",
        "processing",
        None,
        None,
    )
    assert len(web.calls) == 1


def test_a_generation_may_be_completed_at_once(web, client):
    web.post(GENERATE, json={"generation_id": "vg_1", "status": "completed", "video_url": CLIP, "credits_used": "20"})
    said = client.generate({})
    assert (said.status, said.video_url, said.credits_used) == ("completed", CLIP, 20)


@pytest.mark.parametrize(
    "odd", [{"status": None}, {"credits_used": -4}, {"video_url": "ftp://a/b"}, {"status": "on-it"}]
)
def test_an_id_is_kept_whatever_else_is_odd(web, client, odd):
    web.post(GENERATE, json=ACCEPTED | odd)
    said = client.generate({})
    assert (said.generation_id, said.video_url, said.credits_used) == ("vg_abc123", None, None)


@pytest.mark.parametrize("bad", [None, "", "   ", "a b", "x" * 201, "..", "a\nb", True, [], {"id": 1}, "vg_ü"])
def test_an_acceptance_without_a_usable_id_is_no_clear_answer(web, client, bad):
    web.post(GENERATE, json=ACCEPTED | {"generation_id": bad})
    error = failing(client.generate, {}, sent=web)
    assert (type(error), error.charged) == (NoClearAnswer, "unknown")


def test_a_full_status_answer_is_read(web, client):
    web.get(f"{BASE}/video-generation/vg_1/status", json={
        "id": "vg_1", "status": "completed", "video_url": CLIP, "error_message": None, "credits_used": 250,
        "created_at": "2026-03-01T10:00:00.000Z", "completed_at": "2026-03-01T10:01:30.500Z",
        "provider_task_id": "p", "video_quality": "1080p",
        "video_metadata": {"content_type": "video/mp4", "file_name": "a.mp4", "file_size": 12},
    })  # fmt: skip
    said = client.status("vg_1")
    assert (said.status, said.video_url, said.error_message, said.credits_used) == ("completed", CLIP, "", 250)
    assert said.completed_at - said.created_at == timedelta(seconds=90.5)
    assert said.metadata["file_size"] == 12


def test_a_short_status_answer_is_enough(web, client):
    web.get(f"{BASE}/video-generation/vg_1/status", json={"status": "processing"})
    said = client.status("vg_1")
    assert (said.status, said.credits_used, said.created_at, said.metadata) == ("processing", None, None, {})


def test_an_unknown_status_word_is_kept_and_logged(web, client, caplog):
    web.get(f"{BASE}/video-generation/vg_1/status", json={"status": "Reticulating", "created_at": "soon", "extra": 1})
    said = client.status("vg_1")
    assert (said.status, said.word, said.created_at) == ("unknown", "Reticulating", None)
    assert "Reticulating" in caplog.text


def test_an_id_is_quoted_in_the_path(web, client):
    web.get(f"{BASE}/video-generation/a%2F..%3Fb/status", json={"status": "failed", "error_message": "Too dark\x00"})
    assert client.status("a/..?b").error_message == "Too dark"
    for wrong in ("", "..", "a b", "é", None):
        with pytest.raises(ValueError, match="generation id"):
            client.status(wrong)
    assert len(web.calls) == 1


@pytest.mark.parametrize("answer", [{"balance": 451, "credits": 451, "success": True}, {"credits": "451"}])
def test_a_balance_is_read(web, client, answer):
    web.get(f"{BASE}/credits", json=answer)
    assert client.credits().balance == 451


@pytest.mark.parametrize("answer", [{}, {"balance": -5}, {"balance": 5, "success": False}])
def test_an_absurd_balance_is_no_balance(web, client, answer):
    web.get(f"{BASE}/credits", json=answer)
    assert isinstance(failing(client.credits, sent=web), NoClearAnswer)


def test_a_file_is_uploaded_as_the_field_file(web, client):
    web.post(f"{BASE}/storage/upload", json={"url": "https://cdn.veevid.ai/uploads/a.jpg", "key": "uploads/a.jpg"})
    said = client.upload('dune "1"\r\n.jpg', b"\xff\xd8picture", "image/jpeg\r\nX-Evil: 1")
    assert (said.url, said.key) == ("https://cdn.veevid.ai/uploads/a.jpg", "uploads/a.jpg")
    sent = web.calls[0].request.body
    assert b'name="file"; filename="dune_1_.jpg"' in sent
    assert b"\xff\xd8picture" in sent
    assert b"X-Evil" not in sent


# Refusals


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, BadParameters), (401, KeyRefused), (402, NotEnoughCredits), (403, AccountSuspended), (404, NotFound),
        (405, Refused), (409, Refused), (413, Refused), (415, Refused), (422, Refused),
    ],
)  # fmt: skip
def test_a_clear_no_is_sorted_by_its_code(web, client, code, kind):
    web.post(GENERATE, status=code, json={"error": "The vendor says no"})
    error = failing(client.generate, {}, sent=web)
    assert (type(error), error.status, error.message, error.charged) == (kind, code, "The vendor says no", "no")


def test_too_few_credits_says_how_many(web, client):
    web.post(GENERATE, status=402, json={"error": "Insufficient credits", "required": 140, "balance": "12"})
    error = failing(client.generate, {}, sent=web)
    assert (error.required, error.balance) == (140, 12)
    assert "140 credits are needed and 12 credits are there. Nothing was charged." in in_plain_words(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("20", 20),
        ("0", 0),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("999999", 3600),
        ("1.5", 1.5),
        ("9" * 400, None),
    ],
)
def test_busy_says_when_to_come_back(web, client, header, seconds):
    web.post(GENERATE, status=429, json={"error": "Slow down"}, headers={"Retry-After": header} if header else {})
    error = failing(client.generate, {}, sent=web)
    assert (type(error), error.retry_after) == (Busy, seconds)


def test_retry_after_may_be_a_date(web, client):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    web.get(f"{BASE}/credits", status=429, body="<html>", headers={"Retry-After": later})
    error = failing(client.credits, sent=web)
    assert isinstance(error, Busy)
    assert 90 < error.retry_after <= 100


UNCLEAR = [
    (200, "<html>hello</html>"), (200, ""), (200, "[]"), (200, '{"generation_id": "vg'),
    (200, '{"generation_id": "vg_1", "credits_used": NaN}'),
    (200, b"\xff\xfe{}"), (200, "[" * 100_000), (204, ""), (304, ""), (302, '{"error": "moved"}'),
    (400, "<html>"), (401, "<html>"), (402, ""), (403, "<html>"), (404, "<html>"), (429, "<html>"), (400, '{"ok": 1}'),
    (408, '{"error": "slow"}'), (499, '{"error": "gone"}'), (500, '{"error": "oops"}'), (502, "<html>"), (503, ""),
    (504, "<html>"), (599, "{}"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "content"), UNCLEAR, ids=lambda value: str(value)[:12])
def test_anything_else_after_a_submission_is_no_clear_answer(web, client, code, content):
    web.post(GENERATE, status=code, body=content)
    error = failing(client.generate, {}, sent=web)
    assert (type(error), error.charged) == (NoClearAnswer, "unknown")
    assert "It may have been charged" in in_plain_words(error)


def test_a_server_error_while_asking_charges_nothing(web, client):
    web.get(f"{BASE}/credits", status=500, json={"error": "oops"})
    error = failing(client.credits, sent=web)
    assert (type(error), error.message, error.charged) == (NoClearAnswer, "oops", "no")
    assert "Asking cost nothing" in in_plain_words(error)


def test_every_error_is_told_with_what_happened_what_it_cost_and_what_now():
    kinds = [BadParameters, KeyRefused, NotEnoughCredits, AccountSuspended, NotFound, Refused, Busy, NotSent,
             NoClearAnswer, UpstreamError]  # fmt: skip
    for kind in kinds:
        words = in_plain_words(kind())
        assert words.count(".") >= 3
        assert "charged" in words or "cost nothing" in words


def test_the_vendors_words_are_kept_short_and_plain(web, client):
    web.post(GENERATE, status=400, json={"error": "a\x00b\n" * 1000})
    message = failing(client.generate, {}).message
    assert len(message) <= 500
    assert message.isprintable()


# The key


@pytest.mark.parametrize(
    "key", ["", "sk_123", "vv_sk_", "vv_sk_a b", "vv_sk_a\r\nX: y", "vv_sk_ü", " vv_sk_abc", "vv_sk_a\n"]
)
def test_a_malformed_key_is_refused_without_repeating_it(key):
    with pytest.raises(ValueError, match="begins with vv_sk_") as caught:
        Veevid(BASE, key)
    assert not key.strip() or key not in str(caught.value) or key == "vv_sk_"


@pytest.mark.parametrize("url", ["", "veevid.ai/api", "ftp://veevid.ai", "https://", "https://me:word@veevid.ai/api"])
def test_a_malformed_address_is_refused(url):
    with pytest.raises(ValueError, match="address"):
        Veevid(url, KEY)


def test_the_key_shows_nowhere(web, client, caplog):
    caplog.set_level(logging.DEBUG)
    web.post(GENERATE, status=401, json={"error": f"Key {KEY} is unknown", "key": KEY})
    web.get(f"{BASE}/credits", json={"balance": 1, "echo": KEY})
    error = failing(client.generate, {"prompt": "A secret dune"})
    shown = repr(client) + str(client) + str(error) + repr(error) + caplog.text + repr(client.credits().raw)
    assert KEY not in shown
    assert "abcd" in repr(client)
    assert "secret dune" not in caplog.text


# A real socket


def whole(request):
    """A server that answers before it has read everything resets the connection: then the answer may be lost."""
    head, end, content = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end) and len(content) >= int(length[1] if length else 0)


class Server:
    """Answers every connection with `behave(connection)` after reading the request; counts the requests."""

    def __init__(self, behave):
        self.requests: list[bytes] = []
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._listener.accept()[0],), daemon=True).start()

    def _answer(self, connection):
        with connection, contextlib.suppress(OSError):
            request = connection.recv(65536)
            while request and not whole(request):
                request += connection.recv(65536)
            self.requests.append(request)
            self._behave(connection)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(behave):
        servers.append(Server(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def say(text):
    return lambda connection: connection.sendall(text if isinstance(text, bytes) else text.encode())


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def drip(start, piece):
    def behave(connection):
        connection.sendall(start)
        for _ in range(200):
            connection.sendall(piece)
            time.sleep(0.05)

    return behave


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n"


@pytest.mark.parametrize(
    "behave",
    [
        drip(OK, b" "),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n"),
        drip(b"", b"H"),
    ],
    ids=["sized body", "open body", "chunks", "headers", "status line"],
)
def test_a_slow_drip_ends_at_the_deadline(serve, behave):
    server = serve(behave)
    started = time.monotonic()
    error = failing(Veevid(server.url, KEY, deadline=0.6).generate, {})
    assert time.monotonic() - started < 1.5
    assert (type(error), error.reason, error.charged) == (NoClearAnswer, "deadline passed", "unknown")
    assert len(server.requests) == 1


def test_silence_ends_at_the_read_time_out(serve):
    server = serve(lambda connection: time.sleep(2))
    error = failing(Veevid(server.url, KEY, read_timeout=0.3).generate, {})
    assert (type(error), error.charged, len(server.requests)) == (NoClearAnswer, "unknown", 1)


@pytest.mark.parametrize(
    "behave",
    [reset, say(""), say("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}"), say("nonsense\r\n\r\n"),
     say("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")],
    ids=["reset", "closed", "cut short", "not HTTP", "broken gzip"],
)  # fmt: skip
def test_a_connection_lost_after_the_request_is_no_clear_answer(serve, behave):
    server = serve(behave)
    error = failing(Veevid(server.url, KEY).generate, {})
    assert (type(error), error.charged, len(server.requests)) == (NoClearAnswer, "unknown", 1)


def test_a_refused_port_means_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failing(Veevid(f"http://127.0.0.1:{port}/api", KEY).generate, {})
    assert (type(error), error.charged) == (NotSent, "no")


def test_an_unknown_host_means_not_sent():
    assert isinstance(failing(Veevid("http://veevid.invalid/api", KEY).generate, {}), NotSent)


def test_a_connect_time_out_means_not_sent():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as full:
        for _ in range(3):  # fill the queue of the listener: the next SYN is not answered
            waiting = full.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        client = Veevid(f"http://127.0.0.1:{listener.getsockname()[1]}/api", KEY, connect_timeout=0.3)
        assert isinstance(failing(client.generate, {}), NotSent)


def test_after_the_time_to_begin_no_byte_leaves_although_the_connection_stands(serve, monkeypatch):
    server = serve(say("HTTP/1.1 200 OK\r\n\r\n{}"))
    connect = veevid._WatchedHTTP.connect

    def frozen(self):
        connect(self)
        time.sleep(0.3)  # as when the process was stopped between connecting and writing

    monkeypatch.setattr(veevid._WatchedHTTP, "connect", frozen)
    with pytest.raises(NotSent) as caught:
        Veevid(server.url, KEY).generate({}, begin_by=time.monotonic() + 0.2)
    time.sleep(0.2)
    assert caught.value.charged == "no"
    assert b"".join(server.requests) == b""


def test_a_slow_name_server_past_the_deadline_means_nothing_is_sent(serve, monkeypatch):
    server = serve(say("HTTP/1.1 200 OK\r\n\r\n{}"))
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(0.3) or resolve(*args, **kwargs))
    error = failing(Veevid(server.url, KEY, deadline=0.2).generate, {})
    time.sleep(0.2)
    assert isinstance(error, NotSent)
    assert b"".join(server.requests) == b""


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve, code):
    target = serve(say("HTTP/1.1 200 OK\r\n\r\n{}"))
    server = serve(say(f"HTTP/1.1 {code} Moved\r\nLocation: {target.url}\r\nContent-Length: 0\r\n\r\n"))
    error = failing(Veevid(server.url, KEY).generate, {})
    assert (type(error), error.status, error.reason) == (NoClearAnswer, code, "redirect")
    assert (len(server.requests), len(target.requests)) == (1, 0)


def test_retry_after_on_an_unclear_answer_sends_nothing_again(serve):
    server = serve(say("HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"))
    assert isinstance(failing(Veevid(server.url, KEY).generate, {}), NoClearAnswer)
    time.sleep(0.1)
    assert len(server.requests) == 1


def test_neither_netrc_nor_proxy_variables_are_used(serve, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = serve(say('HTTP/1.1 200 OK\r\n\r\n{"balance": 7}'))
    assert Veevid(server.url, KEY).credits().balance == 7
    assert f"Authorization: Bearer {KEY}".encode() in server.requests[0]
    assert b"Connection: close" in server.requests[0]


def test_a_huge_body_is_given_up(serve):
    server = serve(say(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (3 * 1024 * 1024)))
    error = failing(Veevid(server.url, KEY).generate, {})
    assert (type(error), error.reason) == (NoClearAnswer, f"more than {veevid.BODY_LIMIT:,} bytes")


def test_every_call_opens_a_connection_of_its_own(serve):
    server = serve(say('HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: keep-alive\r\n\r\n{"balance": 7}'))
    client = Veevid(server.url, KEY)
    assert [client.credits().balance for _ in range(3)] == [7, 7, 7]
    assert len(server.requests) == 3


def test_a_lost_answer_carries_no_request_and_so_no_key(serve):
    server = serve(reset)
    error = failing(Veevid(server.url, KEY).generate, {})
    assert (error.__cause__, error.__context__) == (None, None)
    assert KEY not in "".join(traceback.format_exception(error))


def test_threads_may_share_a_client(serve):
    server = serve(say('HTTP/1.1 200 OK\r\n\r\n{"balance": 7}'))
    client, found = Veevid(server.url, KEY), []
    threads = [threading.Thread(target=lambda: found.append(client.credits().balance)) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found == [7] * 8
    assert threading.active_count() < 30
