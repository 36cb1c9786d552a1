"""The bells: each finds its row in the database and does one step, or finds nothing to do."""

import os
import socket

from celery import shared_task

from generations import approvals, archive, books, dispatch, lifecycle, reconcile, safe_mode, sending

SOON = {"expires": 10}  # seconds; a nudge that waited longer was repeated by a later tick


@shared_task
def tick() -> None:
    """Announces everything that is due."""
    sending.bring_in()
    safe_mode.check()
    for pk in sending.lost():
        sending.lose(pk)
    approvals.expire()
    due = dispatch.due()
    for task, pks in ((submit, due.submit), (look, due.look), (fetch, due.fetch), (check, reconcile.due())):
        for pk in pks:
            task.apply_async((pk,), **SOON)


@shared_task
def compare() -> None:
    """Every half minute: the balances that Veevid told, against the books."""
    for account in books.unread():
        books.read(account)
    books.compare()


@shared_task
def submit(pk: int) -> None:
    sending.submit(pk, worker=f"{socket.gethostname()}:{os.getpid()}")
    tick.apply_async(**SOON)


@shared_task
def look(pk: int) -> None:
    clip = lifecycle.look(pk)
    if clip:
        fetch.apply_async((clip.pk,), **SOON)


@shared_task
def check(pk: int) -> None:
    reconcile.check(pk)


@shared_task
def fetch(pk: int) -> None:
    archive.fetch(pk)
