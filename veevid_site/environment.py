"""Reads the environment, and stops the start-up with the variable's name when a value is wrong."""

import base64
import binascii
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()

HOST = re.compile(r"^(\*|[A-Za-z0-9*.-]+(:\d{1,5})?)$")


def wrong(name: str, why: str) -> ImproperlyConfigured:
    """The error for one variable. Its value is not repeated: it may be a secret."""
    return ImproperlyConfigured(f"{name}: {why}")


def text(name: str, default: str = "") -> str:
    return env.str(name, default=default).strip()


def switch(name: str, default: bool) -> bool:
    value = text(name).lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return default if value == "" else value in ("1", "true", "yes", "on")
    raise wrong(name, "must be true or false")


def port(name: str, default: int) -> int:
    value = text(name, str(default))
    if not value.isdigit() or not 1 <= int(value) <= 65535:
        raise wrong(name, "must be a port number from 1 to 65535")
    return int(value)


def words(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def hosts(name: str, default: str = "") -> list[str]:
    found = words(name, default)
    for host in found:
        if not HOST.match(host):
            raise wrong(name, "must be host names separated by commas, each with an optional :port")
    return found


def places(name: str) -> list[str]:
    """Hosts, each with its port."""
    found = words(name)
    for place in found:
        host, _, number = place.rpartition(":")
        if not (HOST.match(place) and host and number.isdigit() and "*" not in host):
            raise wrong(name, "must be host:port, separated by commas, such as chat.internal:8065")
    return [place.lower() for place in found]


def http_url(name: str, default: str = "") -> str:
    """An http(s) URL without a trailing slash; empty stays empty."""
    value = text(name, default).rstrip("/")
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise wrong(name, "must be a URL such as https://veevid.ai/api")
    return value


def matching(name: str, pattern: str, what: str) -> str:
    """A value that has this form all through; empty stays empty."""
    value = text(name)
    if value and not re.fullmatch(pattern, value):
        raise wrong(name, f"must be {what}")
    return value


def origins(name: str) -> list[str]:
    found = words(name)
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise wrong(name, "must be origins such as https://dailies.example.com, separated by commas")
    return [origin.rstrip("/") for origin in found]


def server_url(name: str, schemes: tuple[str, ...]) -> str:
    value = text(name)
    if value and urlsplit(value).scheme not in schemes:
        raise wrong(name, f"must be a URL that begins with {' or '.join(s + '://' for s in schemes)}")
    return value


def veevid_key(name: str) -> str:
    value = text(name)
    if value and not re.fullmatch(r"vv_sk_[!-~]{1,200}", value):
        raise wrong(name, "must be a Veevid key: it begins with vv_sk_ and has no spaces")
    return value


def email(name: str) -> dict[str, Any]:
    """Django's EMAIL_* settings from one URL. Empty: nothing is sent."""
    value = server_url(name, ("smtp", "smtp+tls", "smtp+ssl"))
    if not value:
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    try:
        read = env.email_url_config(value)
        host = urlsplit(value).hostname
    except ValueError:
        host = None
    if not host:
        raise wrong(name, "must be a URL such as smtp+tls://user:password@mail.example.com:587")
    return {key: read[key] for key in read if key.startswith("EMAIL_") and key != "EMAIL_FILE_PATH"}


GROUPS = "must be a claim and who it lets in, such as: groups; leads=Northlight:manager, editors=Northlight:member"
ROLES = ("viewer", "member", "manager")


def groups(name: str) -> tuple[str, list[tuple[str, str, str]]]:
    """`claim; group=team:role, …` as the claim and (group, team, role) for each."""
    claim, semicolon, rest = text(name).partition(";")
    found = []
    for part in filter(None, (part.strip() for part in rest.split(","))):
        group, _, place = part.rpartition("=")
        team, _, role = place.rpartition(":")
        if not (group.strip() and team.strip()) or role.strip() not in ROLES:
            raise wrong(name, GROUPS)
        found.append((group.strip(), team.strip(), role.strip()))
    if text(name) and not (claim.strip() and semicolon and found):
        raise wrong(name, GROUPS)
    return claim.strip(), found


def issuer(name: str) -> str:
    """Where an OpenID provider is. Who signs people in must be spoken to over TLS, except on this machine."""
    value = http_url(name)
    if value.startswith("http://") and urlsplit(value).hostname not in ("127.0.0.1", "localhost", "::1"):
        raise wrong(name, "must begin with https://")
    return value


def all_or_none(*names: str) -> bool:
    """Whether these are set. Half of them is an error that names what is missing."""
    missing = [name for name in names if not text(name)]
    if missing and len(missing) < len(names):
        given = next(name for name in names if text(name))
        raise wrong(missing[0], f"is needed, too, when {given} is set")
    return not missing


def socket_path(folder: Path, name: str) -> Path:
    """Where a Unix socket of `folder` goes. The system allows about 100 bytes; a longer path gets a short stand-in."""
    path = folder / name
    if len(os.fsencode(path)) <= 100:
        return path
    return Path("/tmp") / f"dailies-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}" / name  # noqa: S108


def kept_secret(folder: Path, name: str) -> str:
    """A secret made on first use and kept in `folder`, readable by its owner only."""
    path = folder / name
    if not path.exists():
        made = folder / f".{name}.{secrets.token_hex(4)}"
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(48))
        try:
            path.hardlink_to(made)  # the first of several processes wins; the others read its secret
        except FileExistsError:
            pass
        made.unlink()
    return path.read_text().strip()


def fernet_keys(name: str, folder: Path) -> list[str]:
    """The ring that encrypts upstream keys: newest first. From the environment, else one kept beside the data."""
    given = words(name)
    for key in given:
        try:
            good = len(base64.urlsafe_b64decode(key)) == 32
        except (binascii.Error, ValueError):
            good = False
        if not good:
            raise wrong(name, "must be Fernet keys separated by commas (make one with `manage.py make_key`)")
    if given:
        return given
    seed = kept_secret(folder, "secrets-key")
    return [base64.urlsafe_b64encode(seed.encode()[:32]).decode()]
