"""The one file that speaks HTTP to the receivers of webhooks.

People of a team choose these addresses, so each is treated as a stranger's: https to a public address only, which is
resolved once and then connected to; no redirect is followed, no proxy asked, and the whole exchange has a deadline. A
`host:port` named in WEBHOOK_HOSTS may be http and private.
"""

import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit

import certifi
from django.conf import settings

DEADLINE = 10.0  # seconds for all of it
LONGEST_URL = 2000
LONGEST_ANSWER = 16 * 1024  # bytes that are read of it
PORTS = {"https": 443, "http": 80}


class NotAllowed(Exception):
    """Nothing may be sent to this address. The message is for whoever typed it; nothing was sent."""


class NotTaken(Exception):
    """The receiver did not take the message, as far as is known. The message is for people."""


def check(url: str) -> SplitResult:
    """The parts of an address that may be told something, by its looks. Raises NotAllowed."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise NotAllowed("This is not a web address.") from None
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise NotAllowed("A web address has no spaces, plain letters only, and at most 2,000 characters.")
    if parts.scheme not in PORTS or not host:
        raise NotAllowed("The address has to begin with https://.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise NotAllowed("The address must not hold a name, a password or a #.")
    if _listed(parts):
        return parts
    if parts.scheme != "https" or port not in (None, 443):
        raise NotAllowed("The address has to begin with https://, without a port of its own.")
    with suppress(ValueError):
        if not _public(ipaddress.ip_address(host)):
            raise NotAllowed("The address lies in a private network.")
    return parts


def _listed(parts: SplitResult) -> bool:
    return f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}" in settings.WEBHOOK_HOSTS


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Addresses that wrap an IPv4 one are what they wrap."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _public(inner)
    return address.is_global and not address.is_multicast


def sign(secret: str, message: str, at: int, body: bytes) -> str:
    """The signature of one message, as standardwebhooks.com has it: HMAC-SHA256 over `message.at.body`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = b".".join((message.encode(), str(at).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Sends one JSON body, and returns the status that took it. Raises NotAllowed, or NotTaken for anything but 2xx."""
    parts = check(url)
    with _Line(parts) as line:
        status, said = line.ask(body, {"Content-Type": "application/json", "User-Agent": "Dailies", **headers})
    if 200 <= status < 300:
        return status
    if 300 <= status < 400:
        raise NotTaken(f"It answered {status}, a redirect. Redirects are not followed: use the final address.")
    raise NotTaken(f"It answered {status}{f': {said}' if said else ''}.")


class _Line:
    """One connection, cut when its time is up: a read time-out begins anew with every byte that drips in."""

    def __init__(self, parts: SplitResult) -> None:
        self.parts, self.ends = parts, time.monotonic() + DEADLINE
        self.host, self.port = str(parts.hostname), parts.port or PORTS[parts.scheme]
        self.connection = HTTPConnection(self.host, self.port)
        self.connection.default_port = PORTS[parts.scheme]  # else the Host header would name it
        self.raw: socket.socket | None = None
        self.timer = threading.Timer(DEADLINE, self._cut)
        self.timer.daemon = True

    def __enter__(self) -> "_Line":
        self.timer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.timer.cancel()
        self.connection.close()
        if self.raw:
            self.raw.close()

    def _cut(self) -> None:
        if self.raw:
            with suppress(OSError):
                self.raw.shutdown(socket.SHUT_RDWR)

    def _left(self) -> float:
        return max(self.ends - time.monotonic(), 0.1)

    def ask(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        path = (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")
        try:
            self.connection.sock = self._connected()
            self.connection.request("POST", path, body, dict(headers))
            answer = self.connection.getresponse()
            said = answer.read(LONGEST_ANSWER)
            return answer.status, _one_line(said) if answer.status >= 400 else ""
        except ssl.SSLCertVerificationError as error:
            raise NotTaken(f"Its certificate is not accepted: {error.verify_message}.") from None
        except (OSError, HTTPException) as error:
            late = time.monotonic() >= self.ends
            why = f"no answer within {DEADLINE:g} s" if late else type(error).__name__
            raise NotTaken(f"The connection failed ({why}).") from None

    def _connected(self) -> socket.socket:
        sock = self._reached(self._addresses())
        self.raw = sock.dup()  # TLS takes the original over
        sock.settimeout(self._left())
        if self.parts.scheme == "http":
            return sock
        return ssl.create_default_context(cafile=certifi.where()).wrap_socket(sock, server_hostname=self.host)

    def _reached(self, addresses: list[str]) -> socket.socket:
        """The first that lets us in."""
        for address in addresses[:-1]:
            with suppress(OSError):
                return socket.create_connection((address, self.port), timeout=self._left() / 2)
        return socket.create_connection((addresses[-1], self.port), timeout=self._left())

    def _addresses(self) -> list[str]:
        """Resolved once: what was checked is what is connected to."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise NotTaken(f"There is no {self.host}.") from None
        addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
        if not _listed(self.parts) and not all(_public(ipaddress.ip_address(a.partition("%")[0])) for a in addresses):
            raise NotAllowed(f"{self.host} lies in a private network.")
        return addresses


def _one_line(said: bytes) -> str:
    """What a receiver says about its no, short and printable."""
    text = said.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()[:120]
