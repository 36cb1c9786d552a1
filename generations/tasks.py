"""The bells: each finds its row in the database and does one step, or finds nothing to do."""

import os
import socket

from celery import shared_task

from generations import (
    approvals,
    archive,
    books,
    dispatch,
    keeping,
    lifecycle,
    notify,
    outbox,
    reconcile,
    safe_mode,
    sending,
    wastebin,
)
from generations.models import ApiAccount

SOON = {"expires": dispatch.HEARD_FOR.seconds}  # a nudge that waited longer was repeated by a later tick


@shared_task
def tick() -> None:
    """Announces everything that is due."""
    sending.bring_in()
    safe_mode.check()
    for pk in sending.lost():
        sending.lose(pk)
    approvals.expire()
    _announce(dispatch.due())
    for pk in reconcile.due():
        check.apply_async((pk,), **SOON)


def _announce(due: dispatch.Due) -> None:
    for generation, account in due.send.items():
        submit.apply_async((generation, account), **SOON)
    for task, pks in ((look, due.look), (fetch, due.fetch)):
        for pk in pks:
            task.apply_async((pk,), **SOON)
    dispatch.announced(due)


def _announce_next(account: int | None) -> None:
    """A slot or the lane of this account may be free now: who is next on it need not wait for a tick."""
    free = ApiAccount.objects.filter(pk=account or 0).first()
    if free:
        _announce(dispatch.next_on(free))


@shared_task
def compare() -> None:
    """Every half minute: the balances that Veevid told, against the books."""
    for account in books.unread():
        books.read(account)
    books.compare()


@shared_task
def clear() -> None:
    """Every ten minutes: a piece of what the rules of the teams let go of, into the bin."""
    keeping.clear()


@shared_task
def tell() -> None:
    """Every ten seconds: what happened is written down for whom it concerns, and what waits in the outbox goes out."""
    notify.sweep()
    for pk in outbox.due():
        deliver.apply_async((pk,), **SOON)


@shared_task
def deliver(pk: int) -> None:
    following = outbox.deliver(pk)
    if following:
        deliver.apply_async((following,), **SOON)


@shared_task
def forget() -> None:
    notify.forget()


@shared_task
def submit(pk: int, account: int | None = None) -> None:
    sent = sending.submit(pk, f"{socket.gethostname()}:{os.getpid()}", account)
    dispatch.heard(pk, account or 0)  # not before: until the lane is taken it would be announced once more
    if sent:
        _announce_next(account)  # one that found nothing rings no more, or bells would multiply


@shared_task
def look(pk: int) -> None:
    clip = lifecycle.look(pk)
    if clip:
        fetch.apply_async((clip.pk,), **SOON)
        _announce_next(clip.generation.account_id)


@shared_task
def check(pk: int) -> None:
    reconcile.check(pk)


@shared_task
def fetch(pk: int) -> None:
    archive.fetch(pk)


@shared_task
def empty_bin() -> None:
    wastebin.empty()
