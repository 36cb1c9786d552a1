"""The one file that speaks HTTP to Veevid.

Every call opens its own connection, sends exactly one request and ends within a deadline. What comes back is either an
answer or an `UpstreamError` whose class says what a caller may conclude:

    Refused         the vendor clearly said no; nothing was started
    Busy            the vendor said: later; nothing was started
    NotSent         certain: no byte of the request left this machine
    NoClearAnswer   anything else; after `generate` the clip may have been accepted and charged
"""

import json
import logging
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, Self
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

CONNECT_TIMEOUT = 5.0  # seconds, for one address
READ_TIMEOUT = 60.0  # seconds without a byte
DEADLINE = 75.0  # seconds for the whole call, connecting included
BODY_LIMIT = 1024 * 1024
MESSAGE_LIMIT = 500
RETRY_AFTER_LIMIT = 3600.0
CREDITS_LIMIT = 10**9  # more than this is not a number of credits but a broken answer

log = logging.getLogger("generations.veevid")


# What comes back


@dataclass(frozen=True)
class QuoteAnswer:
    required_credits: int
    current_balance: int | None
    sufficient: bool
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class GenerateAnswer:
    generation_id: str
    status: str  # "processing", "completed", "failed" or "unknown"
    word: str  # the vendor's own status word
    video_url: str | None
    credits_used: int | None
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class StatusAnswer:
    status: str  # "processing", "completed", "failed" or "unknown"
    word: str
    video_url: str | None
    error_message: str
    credits_used: int | None
    created_at: datetime | None
    completed_at: datetime | None
    metadata: dict[str, Any]
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class CreditsAnswer:
    balance: int
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class UploadAnswer:
    url: str
    key: str
    raw: dict[str, Any] = field(repr=False)


class UpstreamError(Exception):
    """`message`: the vendor's words or ''. `charged`: "no" or "unknown". `reason`: ours, short, for logs."""

    def __init__(self, message: str = "", *, status: int | None = None, charged: str = "no", reason: str = ""):
        super().__init__(message)
        self.message = message
        self.status = status
        self.charged = charged
        self.reason = reason

    def __str__(self) -> str:
        return " · ".join(part for part in (str(self.status or ""), self.reason, self.message) if part)


class Refused(UpstreamError):
    """A clear no. Sending the same again will not help."""


class BadParameters(Refused):
    """400"""


class KeyRefused(Refused):
    """401"""


class NotEnoughCredits(Refused):
    """402"""

    required: int | None = None
    balance: int | None = None


class AccountSuspended(Refused):
    """403"""


class NotFound(Refused):
    """404"""


class Busy(UpstreamError):
    """429"""

    retry_after: float | None = None  # seconds


class NotSent(UpstreamError):
    """Refused connection, unknown host name or connect time-out: nothing was sent."""


class NoClearAnswer(UpstreamError):
    """Time-out, reset, 5xx, redirect, HTML, broken JSON, a missing id, too much or too slow."""


_REFUSALS: dict[int, type[Refused]] = {
    400: BadParameters,
    401: KeyRefused,
    402: NotEnoughCredits,
    403: AccountSuspended,
    404: NotFound,
}
# 4xx codes with which a server or a proxy gives up on a request that it may nevertheless have passed on.
_GAVE_UP = (408, 425, 499)


class Veevid:
    """One account's key against one base URL. Threads may share it."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        deadline: float = DEADLINE,
    ):
        if not re.fullmatch(r"vv_sk_[!-~]{1,500}", key, re.ASCII):
            raise ValueError("A Veevid key begins with vv_sk_ and has no blanks or special characters.")
        if not _web_address(base_url):
            raise ValueError("The Veevid address must begin with http:// or https:// and name a host.")
        self.base_url = base_url.rstrip("/")
        self.connect_timeout = min(connect_timeout, deadline)
        self.read_timeout = min(read_timeout, deadline)
        self.deadline = deadline
        self._key = key
        self._masked = f"vv_sk_…{key[-4:]}" if len(key) >= 14 else "vv_sk_…"

    def __repr__(self) -> str:
        return f"<Veevid {self.base_url} {self._masked}>"

    def quote(self, body: dict[str, Any]) -> QuoteAnswer:
        answer = self._call("POST", "/quote", body=body)
        required = _credits(answer.get("required_credits"))
        balance = _credits(answer.get("current_balance"))
        if required is None or (balance is None and answer.get("current_balance") is not None):
            raise NoClearAnswer(status=200, reason="no usable price")
        sufficient = answer.get("sufficient")
        if not isinstance(sufficient, bool):
            sufficient = balance is None or balance >= required
        return QuoteAnswer(required, balance, sufficient, answer)

    def generate(self, body: dict[str, Any], *, begin_by: float = math.inf) -> GenerateAnswer:
        """The only call that costs credits. Never repeated by this class.

        After `begin_by` (of the monotonic clock) its first byte is not sent: somebody may have decided otherwise.
        """
        answer = self._call("POST", "/generate-video", body=body, paid=True, begin_by=begin_by)
        generation_id = _generation_id(answer.get("generation_id"))
        if generation_id is None:
            log.warning("generate-video answered without a usable generation_id: %.200r", answer.get("generation_id"))
            raise NoClearAnswer(status=200, charged="unknown", reason="no generation_id")
        status, word = _status(answer.get("status"))
        video_url = _video_url(answer.get("video_url"))
        return GenerateAnswer(generation_id, status, word, video_url, _used(answer), answer)

    def status(self, generation_id: str) -> StatusAnswer:
        safe_id = _generation_id(generation_id)
        if safe_id is None:
            raise ValueError("This is not a generation id that can be asked for.")
        answer = self._call("GET", f"/video-generation/{quote(safe_id, safe='')}/status")
        if not isinstance(answer.get("status"), str):
            raise NoClearAnswer(status=200, reason="no status word")
        status, word = _status(answer["status"])
        if answer.get("id") not in (None, generation_id):
            log.warning("the status of %s came back with another id: %.200r", safe_id, answer["id"])
        metadata = answer.get("video_metadata")
        return StatusAnswer(
            status=status,
            word=word,
            video_url=_video_url(answer.get("video_url")),
            error_message=_plain(answer.get("error_message")),
            credits_used=_used(answer),
            created_at=_moment(answer.get("created_at")),
            completed_at=_moment(answer.get("completed_at")),
            metadata=metadata if isinstance(metadata, dict) else {},
            raw=answer,
        )

    def credits(self) -> CreditsAnswer:
        answer = self._call("GET", "/credits")
        balance = _credits(answer.get("balance", answer.get("credits")))
        if balance is None or answer.get("success") is False:
            raise NoClearAnswer(status=200, reason="no usable balance")
        return CreditsAnswer(balance, answer)

    def upload(self, name: str, data: bytes, content_type: str) -> UploadAnswer:
        safe_name = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-100:] or "upload"
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", content_type, re.ASCII):
            content_type = "application/octet-stream"
        answer = self._call("POST", "/storage/upload", files={"file": (safe_name, data, content_type)})
        url = answer.get("url")
        if not _web_address(url):
            raise NoClearAnswer(status=200, reason="no usable address of the upload")
        return UploadAnswer(str(url), _plain(answer.get("key")), answer)

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        files: Any = None,
        paid: bool = False,
        begin_by: float = math.inf,
    ) -> dict[str, Any]:
        """One request, one JSON object back, or an `UpstreamError`."""
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        started = time.monotonic()
        reply = self._exchange(method, path, data, files, begin_by)
        milliseconds = (time.monotonic() - started) * 1000
        if isinstance(reply, _Lost):
            log.warning("%s %s: %s after %d ms", method, path, reply.reason, milliseconds)
            if reply.sent:
                raise NoClearAnswer(status=reply.status, charged="unknown" if paid else "no", reason=reply.reason)
            raise NotSent(reason=reply.reason)
        log.info("%s %s: %d in %d ms", method, path, reply.status, milliseconds)
        answer = _json_object(reply.body.replace(self._key.encode(), self._masked.encode()))
        if 200 <= reply.status < 300 and answer is not None:
            log.debug("%s %s: fields %.500s", method, path, sorted(answer))
            return answer
        raise _sorted_error(reply, answer, paid)

    def _exchange(self, method: str, path: str, data: bytes | None, files: Any, begin_by: float) -> "_Reply | _Lost":
        """Returns failures instead of raising them: what requests raises carries the request, and with it the key."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        clock = _Clock(self.deadline, begin_by)
        try:
            with clock, requests.Session() as session:
                session.trust_env = False  # a .netrc would replace the key, a proxy variable the way
                session.mount("http://", _adapter())
                session.mount("https://", _adapter())
                response = session.request(
                    method, self.base_url + path, data=data, files=files, headers=headers, auth=_Bearer(self._key),
                    timeout=(self.connect_timeout, self.read_timeout), allow_redirects=False, stream=True,
                )  # fmt: skip
                with response:
                    content = _read_body(response, clock)
        except _TooMuch:
            return _Lost(f"more than {BODY_LIMIT:,} bytes", sent=True, status=response.status_code)
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            if _certainly_not_sent(error):
                return _Lost(f"not sent, {type(_cause(error)).__name__}", sent=False)
            late = clock.is_over()
            return _Lost("deadline passed" if late else f"no answer, {type(_cause(error)).__name__}", sent=True)
        if clock.is_over():  # the cut connection can look like the regular end of a body
            return _Lost("deadline passed", sent=True, status=response.status_code)
        return _Reply(response.status_code, content, response.headers.get("Retry-After"))


# One exchange, in time


@dataclass(frozen=True)
class _Reply:
    status: int
    body: bytes = field(repr=False)
    retry_after: str | None


@dataclass(frozen=True)
class _Lost:
    reason: str
    sent: bool
    status: int | None = None


class _TooMuch(Exception):
    """The body is larger than any answer of the API."""


class _Bearer(AuthBase):
    def __init__(self, key: str):
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _Clock:
    """Cuts the connection when the time for the whole call is up.

    A read time-out starts again with every byte, so a slow drip of headers or body outlives it.
    """

    def __init__(self, seconds: float, begin_by: float = math.inf):
        self._ends = time.monotonic() + seconds
        self._begin_by = begin_by
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def watch(self, connection: HTTPConnection, sock: socket.socket) -> socket.socket:
        with self._lock:  # the cut comes wholly before or wholly after this
            if self.is_over():  # a slow name server, for instance: do not send what nobody waits for any more
                sock.close()
                raise NewConnectionError(connection, "deadline passed before sending")
            self._sockets.append(sock.dup())  # a copy: TLS takes the original over
        return sock

    def check_may_begin(self, connection: HTTPConnection) -> None:
        """Right before the first byte: this process may have been stopped for minutes since it meant to send."""
        if time.monotonic() > self._begin_by or self.is_over():
            raise NewConnectionError(connection, "too late to begin")

    def _cut(self) -> None:
        with self._lock:
            for sock in self._sockets:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._token = _clock.set(self)
        self._timer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._timer.cancel()
        _clock.reset(self._token)
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()


_clock: ContextVar[_Clock] = ContextVar("veevid_clock")


class _WatchedHTTP(HTTPConnection):
    begun = False

    def _new_conn(self) -> socket.socket:
        return _clock.get().watch(self, super()._new_conn())

    def send(self, data: Any) -> None:
        if not self.begun:
            if self.sock is None:
                self.connect()
            _clock.get().check_may_begin(self)
            self.begun = True
        super().send(data)


class _WatchedHTTPS(HTTPSConnection, _WatchedHTTP):
    def connect(self) -> None:
        """Nothing of a request is written before this returns: a handshake that fails has sent nothing."""
        try:
            super().connect()
        except (NewConnectionError, ConnectTimeoutError):
            raise
        except (ssl.SSLError, HTTPError, OSError) as error:
            raise NewConnectionError(self, f"the secure connection failed ({type(error).__name__})") from None


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


def _adapter() -> HTTPAdapter:
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return adapter


def _read_body(response: requests.Response, clock: _Clock) -> bytes:
    body = b""
    while not clock.is_over() and (piece := response.raw.read1(65536, decode_content=True)):
        body += piece
        if len(body) > BODY_LIMIT:
            raise _TooMuch
    return body


def _cause(error: BaseException) -> BaseException:
    """What urllib3 says beneath what requests says."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    return inner.reason if isinstance(inner, MaxRetryError) and inner.reason else inner


def _certainly_not_sent(error: BaseException) -> bool:
    return isinstance(_cause(error), (NewConnectionError, ConnectTimeoutError))  # name resolution is one of the former


# Reading answers


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _sorted_error(reply: _Reply, answer: dict[str, Any] | None, paid: bool) -> UpstreamError:
    """A refusal counts only when it is the API's own: a JSON object with "error".

    A page of HTML with 401 or 404 comes from something in between (a proxy, a firewall, a wrong address): it says
    nothing about the key or the generation, nor whether the request went through. Only a 429 for a call that costs
    nothing is believed in any form, because slowing down is never wrong.
    """
    message = _plain(_error_words(answer))
    clear = answer is not None and "error" in answer and 400 <= reply.status < 500 and reply.status not in _GAVE_UP
    if reply.status == 429 and (clear or not paid):
        busy = Busy(message, status=429)
        busy.retry_after = _retry_after(reply.retry_after)
        return busy
    if not clear or answer is None:
        reason = (
            "redirect" if 300 <= reply.status < 400 else "not an answer of the API" if answer is None else "unclear"
        )
        return NoClearAnswer(message, status=reply.status, charged="unknown" if paid else "no", reason=reason)
    error = _REFUSALS.get(reply.status, Refused)(message, status=reply.status)
    if isinstance(error, NotEnoughCredits):
        error.required = _credits(answer.get("required"))
        error.balance = _credits(answer.get("balance"))
    return error


def _error_words(answer: dict[str, Any] | None) -> Any:
    error = (answer or {}).get("error")
    return error.get("message") if isinstance(error, dict) else error


def _retry_after(header: str | None) -> float | None:
    """Seconds or an HTTP date, brought into a range one can wait for."""
    if not header:
        return None
    try:
        seconds = float(header) if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", header, re.ASCII) else _until(header)
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_LIMIT)


def _until(header: str) -> float:
    moment = parsedate_to_datetime(header)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def _credits(value: Any) -> int | None:
    """A whole, sane number of credits; strings of numbers are accepted."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(\.0{1,6})?", value.strip(), re.ASCII):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        return None
    return int(value) if 0 <= value <= CREDITS_LIMIT else None


def _used(answer: Mapping[str, Any]) -> int | None:
    value = answer.get("credits_used")
    used = _credits(value)
    if used is None and value is not None:
        log.warning("credits_used makes no sense and is left out: %.200r", value)
    return used


def _generation_id(value: Any) -> str | None:
    """An id that can stand in a path; a number becomes text."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**30:
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or value in (".", ".."):
        return None
    return value if re.fullmatch(r"[!-~]+", value, re.ASCII) else None


def _status(value: Any) -> tuple[str, str]:
    word = _plain(value)[:100]
    if word.lower() in ("processing", "completed", "failed"):
        return word.lower(), word
    log.warning("a status word we do not know: %r", word)
    return "unknown", word


def _video_url(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if _web_address(value):
        return str(value)
    log.warning("video_url is no web address and is left out: %.200r", value)
    return None


def _web_address(url: Any) -> bool:
    if not isinstance(url, str) or not 1 <= len(url) <= 2048 or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _plain(value: Any) -> str:
    """Text of the vendor for people: one line, not too long."""
    if not isinstance(value, str):
        return ""
    words = "".join(c if c.isprintable() else " " for c in value[: MESSAGE_LIMIT * 4])
    return " ".join(words.split())[:MESSAGE_LIMIT]


# For people


def in_plain_words(error: UpstreamError) -> str:
    """What happened, whether anything was charged, what now. The vendor's words are in `error.message`."""
    if isinstance(error, NoClearAnswer) and error.charged != "no":
        return (
            "Veevid gave no clear answer, so it is not known whether the clip was accepted. It may have been charged. "
            "It is not sent again until that is clear."
        )
    if isinstance(error, NotEnoughCredits):
        numbers = ""
        if error.required is not None and error.balance is not None:
            numbers = f": {error.required:,} credits are needed and {error.balance:,} credits are there"
        return f"The Veevid account has too few credits{numbers}. Nothing was charged. It needs a top-up."
    if isinstance(error, Busy):
        wait = f"in {math.ceil(error.retry_after):,} seconds" if error.retry_after else "in a little while"
        return (
            f"Veevid is busy or a limit of the account is reached. Nothing was charged. It can be tried again {wait}."
        )
    return next(words for kind, words in _WORDS if isinstance(error, kind))


_WORDS: tuple[tuple[type[UpstreamError], str], ...] = (
    (BadParameters, "Veevid did not accept these settings. Nothing was charged. Change the settings and try again."),
    (KeyRefused, "Veevid refused the API key. Nothing was charged. An admin needs to look at the key."),
    (
        AccountSuspended,
        "Veevid has suspended the account. Nothing was charged for this. An admin needs to ask Veevid why.",
    ),
    (NotFound, "Veevid does not know this generation on this account. Asking cost nothing. An admin needs to look."),
    (Refused, "Veevid refused the request. Nothing was charged. Sending the same again will not help."),
    (NotSent, "Veevid could not be reached and nothing was sent. Nothing was charged. It can safely be tried again."),
    (NoClearAnswer, "Veevid gave no clear answer. Asking cost nothing. It can safely be asked again."),
    (UpstreamError, "Something went wrong with Veevid. Nothing was charged. Try again later."),
)
