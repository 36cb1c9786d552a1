"""Webhooks as managers and admins handle them: add, test, remove. Each change has its row in the audit trail."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from generations import access, audit, outbox, receiver
from generations.models import Delivery, News, SiteRules, Team, User, Webhook
from generations.words import credits

NAME_LENGTH = 80
MOST = 10  # of one team, or of the site
#: What a team's webhook may be told; the site's may be told everything.
OF_A_TEAM = (News.PARKED, News.DECIDED, News.FAILED, News.UNKNOWN, News.READY, News.BUDGET, News.CREDITS)
#: What is ticked at first.
USUALLY = (News.PARKED, News.UNKNOWN, News.BUDGET, News.CREDITS, News.BALANCE, News.KEY, News.BOOKS)
NOTHING = "Nothing was changed."
LABELS = {
    News.PARKED: "A request waits for approval",
    News.DECIDED: "A request was decided, or expired",
    News.FAILED: "A clip failed",
    News.READY: "A clip is ready",
}


class CannotSet(Exception):
    """It cannot be so. The message says why; nothing was changed."""


def kinds_for(team: Team | None) -> list[tuple[str, str]]:
    """(kind, label) of what a webhook can be told."""
    return [(kind, LABELS.get(kind, kind.label)) for kind in (OF_A_TEAM if team else News)]


def add(
    team: Team | None, who: User, name: str, shape: str, url: str, kinds: Collection[str], **origin: str
) -> tuple[Webhook, str]:
    """Makes one, and returns it with its secret, which nobody can read again. Nothing is sent. Raises CannotSet."""
    name, url = " ".join(name.split()), url.strip()
    if not name or len(name) > NAME_LENGTH:
        raise CannotSet(f"Give it a name of at most {NAME_LENGTH} characters. {NOTHING}")
    if shape not in Webhook.Shape:
        raise CannotSet(f"Choose Slack or JSON. {NOTHING}")
    chosen = [kind for kind, _ in kinds_for(team) if kind in kinds]
    if not chosen:
        raise CannotSet(f"Choose at least one thing to be told. {NOTHING}")
    try:
        receiver.check(url)
    except receiver.NotAllowed as no:
        raise CannotSet(f"{no} {NOTHING}") from None
    secret = Webhook.new_secret()
    with transaction.atomic():
        if access.webhooks_of(team).count() >= MOST:
            raise CannotSet(f"There are {MOST} webhooks already. Remove one first. {NOTHING}")
        hook = Webhook.objects.create(
            team=team,
            name=name,
            shape=shape,
            url=url,
            masked=Webhook.mask(url),
            secret=secret,
            kinds=chosen,
            made_by=who,
        )
        audit.record(who, "webhook.added", _words(hook), team=team, webhook=hook.pk, kinds=chosen, **origin)
    hook.refresh_from_db()  # from here on its address is sealed
    return hook, secret


def remove(hook: Webhook, who: User, **origin: str) -> None:
    """It is told nothing from now on. What was sent stays on record."""
    with transaction.atomic():
        if not Webhook.objects.filter(pk=hook.pk, removed_at=None).update(removed_at=timezone.now(), url="", secret=""):
            return
        waiting = hook.deliveries.filter(state=Delivery.State.WAITING)
        waiting.update(state=Delivery.State.DROPPED, ended_at=timezone.now())
        audit.record(who, "webhook.removed", _words(hook), team=hook.team, webhook=hook.pk, **origin)


def test(hook: Webhook, who: User, **origin: str) -> str:
    """Sends a test message, and says in a sentence what became of it."""
    audit.record(who, "webhook.tested", _words(hook), team=hook.team, webhook=hook.pk, **origin)
    return outbox.send_test(hook)


def _words(hook: Webhook) -> str:
    return f"{hook.name}, {hook.masked}"


def set_low_balance(who: User, line: int, **origin: str) -> None:
    """Below how many credits of an account admins are told. 0: never."""
    with transaction.atomic():
        before = SiteRules.objects.first() or SiteRules()
        SiteRules.objects.update_or_create(pk=1, defaults={"low_balance": line})
        what = f"Low balance: told below {credits(line)}, before below {credits(before.low_balance)}"
        audit.record(who, "balance.line", what, team=None, **origin)


@dataclass(frozen=True)
class Shown:
    """One webhook, as its line shows it."""

    hook: Webhook
    log: list[Delivery]  # newest first

    @property
    def last(self) -> Delivery | None:
        return self.log[0] if self.log else None

    @property
    def kinds_in_words(self) -> str:
        labels = dict(kinds_for(self.hook.team))
        return ", ".join(labels[kind].lower() for kind in self.hook.kinds if kind in labels)


def shown(team: Team | None) -> list[Shown]:
    return [Shown(hook, outbox.log_of(hook)) for hook in access.webhooks_of(team).select_related("team")]
