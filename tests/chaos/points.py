"""Named points of the path from a confirmation to a stored clip, at which a process of the chaos tests may die.

An order is a file of the point's name; its text says how: `child` (this process), `worker` (the worker with all its
children), `stop` (SIGSTOP). One process takes it, writes down that it did, and is gone by kill -9.

Also what people do meanwhile, as tasks, so that it dies as well: confirm, decide, put keys right again.
"""

import functools
import json
import os
import signal
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, BinaryIO

from celery import shared_task
from django.core import signing

from generations import (
    accounts,
    archive,
    catalogue,
    dispatch,
    journal,
    ledger,
    lifecycle,
    reconcile,
    safe_mode,
    sending,
    sentlog,
    veevid,
)
from generations.models import ApiAccount, ApiKey, Generation, Status, User
from tests.chaos import scale
from tests.chaos.names import MOVES, POINTS
from tests.chaos.worker import FOLDER

ORDERS, TAKEN = FOLDER / "orders", FOLDER / "kills"


def at(point: str) -> None:
    """Here a process dies, if that was ordered."""
    assert point in POINTS, point
    order, mine = ORDERS / point, FOLDER / f"taken-{os.getpid()}"
    try:
        order.rename(mine)
    except FileNotFoundError:
        return
    how = mine.read_text()
    mine.unlink()
    with TAKEN.open("a") as kills:
        kills.write(f"{point}|{how}|{os.getpid()}\n")
    if how == "worker":
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)


def watch(owner: Any, name: str, before: str = "", after: str = "") -> None:
    """Makes points of a function's beginning and of its end. One that ends with None or False made no step."""
    shipped: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(shipped)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if before:
            at(before)
        answer = shipped(*args, **kwargs)
        if after and (answer or shipped.__annotations__.get("return") is None):
            at(after)
        return answer

    setattr(owner, name, watched)


# -- moves ------------------------------------------------------------------------------------------------------------


def watch_moves() -> None:
    rows: Any = Generation
    move = rows.move

    def watched(self: Generation, to: str, only: int | None = None, **fields: Any) -> bool:
        moved = move(self, to, only, **fields)
        if moved and to in MOVES:
            at(MOVES[Status(to).value])
        return moved

    rows.move = watched


# -- the wire ---------------------------------------------------------------------------------------------------------


def watch_the_paid_socket() -> None:
    """Between its two writes (headers, body), and after the last, before anything is read."""

    connection: Any = veevid._WatchedHTTP
    shipped_request, shipped_send = connection.request, connection.send

    def request(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        self.writes = 0 if url.endswith("/generate-video") else None
        shipped_request(self, method, url, *args, **kwargs)
        if self.writes is not None:
            at("the request is written")

    def send(self: Any, data: Any) -> None:
        if self.writes is not None:
            self.writes += 1
            at("before the first byte" if self.writes == 1 else "half of the request is written")
        shipped_send(self, data)

    connection.request, connection.send = request, send


class Halved:
    """A file that is written in halves."""

    def __init__(self, target: BinaryIO) -> None:
        self.target, self.flush = target, target.flush

    def write(self, piece: bytes) -> None:
        self.target.write(piece[: len(piece) // 2])
        self.target.flush()
        at("mid-download")
        self.target.write(piece[len(piece) // 2 :])


def watch_downloads() -> None:
    shelf: Any = archive
    download = shelf._download
    shelf._download = lambda clip, target, ends: download(clip, Halved(target), ends)


def watch_the_journal() -> None:
    def dump(said: Any, target: Any) -> None:
        json.dump(said, target)
        target.flush()
        at("amid the journal's file")

    files: Any = journal
    files.json = SimpleNamespace(dump=dump, loads=json.loads)


def watch_the_log() -> None:
    class Halves:
        """The module os, which writes a line in halves."""

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, target: int, data: bytes) -> int:
            done = os.write(target, data[: len(data) // 2])
            at("amid its line in the log")
            return done + os.write(target, data[len(data) // 2 :])

    log: Any = sentlog
    log.os = Halves()


# -- all of them ------------------------------------------------------------------------------------------------------

scale.shorten()
watch_moves()
watch_the_paid_socket()
watch_downloads()
watch_the_journal()
watch_the_log()
watch(safe_mode, "announce", before="before it is in the log of what is sent", after="in the log, not sent")
watch(ledger, "hold", after="amid a confirmation")
watch(dispatch, "due", after="amid a tick")
watch(sending, "_claim", before="before the claim", after="the intent is committed")
watch(veevid.Veevid, "generate", before="before the request")
watch(sending, "_keep", before="the answer came")
watch(journal, "keep", after="in the journal, not in the row")
watch(sending, "_write_id", after="the id is in the row")
watch(journal, "forget", before="recorded, still in the journal")
watch(veevid.Veevid, "status", before="before a look", after="after a look's answer")
watch(lifecycle, "_complete", after="completed, the clip not announced")
watch(archive, "develop", before="downloaded")
watch(archive, "_finish", before="kept, not in the row", after="stored")
watch(veevid.Veevid, "credits", before="before a balance", after="after a balance")
watch(reconcile, "_record", after="amid a decision")

# -- people -----------------------------------------------------------------------------------------------------------


@shared_task(name="chaos.confirm")
def confirm(prompt: str, duration: str) -> None:
    """Confirms one clip. Asked again it is the same confirmation, as from a browser that sends a form twice."""
    nonce = uuid.uuid5(uuid.NAMESPACE_URL, prompt)
    if Generation.objects.filter(nonce=nonce).exists():
        return
    user = User.objects.order_by("pk")[nonce.int % 3]
    order = lifecycle.Order(
        "grok-imagine",
        "text-to-video",
        catalogue.clean("grok-imagine", "text-to-video", {"duration": duration}),
        prompt,
        {},
    )
    try:
        said = lifecycle.unseal(lifecycle.seal(user, user.teams.get(), order, lifecycle.quote(order.billing)))
        lifecycle.confirm(user, signing.dumps({**said, "nonce": nonce.hex}, salt=lifecycle.CONFIRMATION_SALT))
    except lifecycle.Trouble as trouble:
        print(f"not confirmed: {trouble}")


@shared_task(name="chaos.decide")
def decide(pk: int, kind: str, upstream_id: str) -> None:
    """A manager decides about an unknown outcome."""
    generation, who = Generation.objects.get(pk=pk), User.objects.order_by("pk")[0]
    try:
        if kind == "adopt":
            reconcile.adopt(generation, who, upstream_id)
        else:
            reconcile.decide(generation, who, kind)
    except reconcile.CannotDecide as problem:
        print(f"not decided: {problem}")


@shared_task(name="chaos.put_right")
def put_right() -> None:
    """An admin takes up keys that were refused, and opens accounts that were closed."""
    for key in ApiKey.objects.filter(state=ApiKey.State.REFUSED):
        accounts.set_key_active(key, True)
    for account in ApiAccount.objects.filter(state=ApiAccount.State.SUSPENDED):
        accounts.set_account_open(account, True)
