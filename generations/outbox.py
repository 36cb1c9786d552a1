"""Sends what waits in the outbox: mails and webhooks. The table is the queue; a bell only says that something is due.

A delivery is claimed by a guarded UPDATE that moves its next try into the future, so that a worker that is killed
delays it and loses nothing. Of each way out (the mail server, one webhook) one delivery goes after the other, oldest
first; while a way fails all of its deliveries wait, longer each time. A mail or a message can come twice, when a worker
dies between sending it and writing that down; the receiver of a signed one tells by its id.
"""

import json
import logging
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.template.loader import render_to_string
from django.utils import timezone

from generations import access, receiver
from generations.models import CannotDecrypt, Delivery, Webhook
from generations.notify import TEST

logger = logging.getLogger(__name__)

State = Delivery.State

LEASE = timedelta(minutes=2)  # a mail server and a receiver both answer, or not, within seconds
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
TRIES = 8
GIVE_UP_AFTER = timedelta(hours=6)


class NotSent(Exception):
    """This try did not work. The message is for people."""


class NotThisOne(NotSent):
    """The way works, but does not take this one."""


class Unwanted(Exception):
    """It is not to be sent any more."""


def due(now: datetime | None = None) -> list[int]:
    """The next of each way out that is due: one of the mails, one for each webhook. One query."""
    place = Window(RowNumber(), partition_by=[F("webhook")], order_by=[F("next_try_at").asc(), F("pk").asc()])
    rows = _waiting().filter(next_try_at__lte=now or timezone.now()).annotate(place=place)
    return list(rows.filter(place=1).order_by("pk").values_list("pk", flat=True))


def _waiting() -> QuerySet[Delivery]:
    return Delivery.objects.filter(state=State.WAITING)


def deliver(pk: int, now: datetime | None = None) -> int | None:
    """Sends one delivery that is due, if nobody else took it. Returns the next one that its way has, when it worked."""
    now = now or timezone.now()
    taken = _waiting().filter(pk=pk, next_try_at__lte=now).update(next_try_at=now + LEASE, tries=F("tries") + 1)
    if not taken:
        return None
    delivery = Delivery.objects.select_related(
        "webhook__team", "notification__user", "notification__team", "notification__generation"
    ).get(pk=pk)
    if not _try(delivery, now):
        return None
    following = _same_way(delivery).filter(next_try_at__lte=timezone.now()).order_by("next_try_at", "pk")
    return following.values_list("pk", flat=True).first()


def _same_way(delivery: Delivery) -> QuerySet[Delivery]:
    return _waiting().filter(webhook=delivery.webhook_id)


def _try(delivery: Delivery, now: datetime) -> bool:
    """Sends it, and writes down what became of it. False: this way does not work now."""
    try:
        _post(delivery) if delivery.webhook else _mail(delivery)
    except Unwanted:
        _end(delivery, State.DROPPED)
    except receiver.NotAllowed as no:  # it would not be allowed the next time either
        _end(delivery, State.GIVEN_UP, str(no))
    except NotSent as no:
        alone = delivery.kind == TEST or isinstance(no, NotThisOne)
        _again(delivery, str(no), now, alone)
        return alone
    else:
        _end(delivery, State.SENT)
    return True


def _end(delivery: Delivery, state: str, error: str = "") -> None:
    mine = _waiting().filter(pk=delivery.pk, tries=delivery.tries)
    mine.update(state=state, error=error[:300], ended_at=timezone.now())


def _again(delivery: Delivery, error: str, now: datetime, alone: bool) -> None:
    """Later, and what else goes this way, too; or never, when it has been tried enough."""
    logger.warning("delivery %s to %s failed: %s", delivery.pk, delivery.webhook or "a mailbox", error)
    if delivery.kind == TEST or delivery.tries >= TRIES or delivery.made_at < now - GIVE_UP_AFTER:
        _end(delivery, State.GIVEN_UP, error)
    mine = _waiting().filter(pk=delivery.pk, tries=delivery.tries)
    later = now + min(FIRST_WAIT * 2 ** (delivery.tries - 1), LONGEST_WAIT)
    mine.update(next_try_at=later, error=error[:300])
    if not alone:
        _same_way(delivery).filter(next_try_at__lt=later).update(next_try_at=later)


# -- by mail -----------------------------------------------------------------------------------------------------------


def _mail(delivery: Delivery) -> None:
    """Raises NotSent, or Unwanted when the person may not see it any more."""
    notification = delivery.notification
    if notification is None or not settings.MAIL:
        raise Unwanted
    if not access.notifications_for(notification.user).filter(pk=notification.pk).exists():
        raise Unwanted
    text = render_to_string("notifications/mail.txt", {"n": notification, "site": settings.SITE_URL})
    to = notification.user.email
    subject = " ".join(f"Dailies: {notification.title}".split())
    message = EmailMessage(subject, text, None, [to], headers={"Auto-Submitted": "auto-generated"})
    try:
        message.send()
    except SMTPRecipientsRefused:
        raise NotThisOne("The mail server does not take mail for this address.") from None
    except OSError as error:  # smtplib's errors are among them
        raise NotSent(f"The mail server did not take it ({type(error).__name__}).") from None


# -- by webhook --------------------------------------------------------------------------------------------------------


def _post(delivery: Delivery) -> None:
    """Raises NotSent, receiver.NotAllowed, or Unwanted when the webhook was removed."""
    hook = delivery.webhook
    if hook is None or hook.removed_at:
        raise Unwanted
    message = delivery.message
    link = f"{settings.SITE_URL}{message['path']}" if settings.SITE_URL else ""
    said = _for_slack(message, link) if hook.shape == Webhook.Shape.SLACK else _signed(delivery, message, link)
    body = json.dumps(said, separators=(",", ":")).encode()
    try:
        receiver.post(hook.plain_url(), body, _headers(hook, delivery, body))
    except receiver.NotTaken as no:
        raise NotSent(str(no)) from None
    except CannotDecrypt:
        raise NotSent("SECRETS_KEYS has changed: its address cannot be read. Remove it and add it again.") from None


def _for_slack(message: Mapping[str, Any], link: str) -> dict[str, str]:
    """Slack's own marks are taken out of what people wrote."""
    where = f"{message['team']}: " if message["team"] else ""
    text = f"{where}{message['title']}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": f"{text} <{link}|Open in Dailies>" if link else text}


def _signed(delivery: Delivery, message: Mapping[str, Any], link: str) -> dict[str, Any]:
    data = {name: message[name] for name in ("title", "team", "generation")}
    return {"type": message["kind"], "timestamp": message["at"], "data": {**data, "url": link}}


def _headers(hook: Webhook, delivery: Delivery, body: bytes) -> dict[str, str]:
    """The three of standardwebhooks.com. The id stays the same when a message is sent again."""
    if hook.shape == Webhook.Shape.SLACK:
        return {}
    at, message = int(time.time()), f"dailies_{delivery.pk}"
    signature = receiver.sign(hook.plain_secret(), message, at, body)
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": signature}


def send_test(hook: Webhook) -> str:
    """Sends a message now, once. What became of it, in a sentence."""
    message: dict[str, Any] = {
        "kind": TEST,
        "at": timezone.now().isoformat(timespec="seconds"),
        "path": "/notifications",
    }
    message |= {"title": "This is a test of Dailies. All is well.", "team": str(hook.team or ""), "generation": None}
    test = Delivery.objects.create(webhook=hook, kind=TEST, key=f"test:{uuid.uuid4()}", message=message)
    deliver(test.pk)
    test.refresh_from_db()
    return "It took the test message." if test.state == State.SENT else f"The test message was not taken. {test.error}"


def log_of(hook: Webhook, most: int = 10) -> list[Delivery]:
    """The last deliveries, newest first."""
    return list(hook.deliveries.order_by("-pk")[:most])
