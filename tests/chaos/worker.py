"""The Celery app that the chaos tests' workers and beats run: the shipped one, in which things go wrong.

A message may be sent not at all or five times, and the clock that Dailies reads may be off. Where processes die is in
`points.py`, which Celery imports once Django is ready. Nothing of this is in shipped code.
"""

import os
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from veevid_site.celery import app

FOLDER = Path(os.environ["CHAOS_FOLDER"])
NAME = os.environ["CHAOS_NAME"]
TIMES = (1, 1, 1, 1, 1, 1, 0, 5)  # how often a message is sent, one of these by lot


def stepped(true: Callable[[], datetime]) -> Callable[[], datetime]:
    """The clock, off by as many seconds as the file `clock-<name>` says."""
    file = FOLDER / f"clock-{NAME}"

    def now() -> datetime:
        try:
            return true() + timedelta(seconds=float(file.read_text()))
        except (FileNotFoundError, ValueError):
            return true()

    return now


def repeated(send: Callable[..., Any]) -> Callable[..., Any]:
    lot = random.Random()

    def send_task(name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        sent = None
        for _ in range(lot.choice(TIMES)):
            sent = send(name, args, kwargs, **options)
        return sent

    return send_task


timezone.now = stepped(timezone.now)  # before the models take it for their defaults
if "deliveries" in os.environ["CHAOS_WITH"].split(","):
    app.send_task = repeated(app.send_task)
app.conf.update(imports=("tests.chaos.points",))
