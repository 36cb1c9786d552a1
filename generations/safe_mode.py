"""Safe mode: a database that is older than what was sent starts frozen, until an admin has seen what it lacks.

Each paid request is named in a log outside the database (sentlog.py) before it is opened. When the newest line names a
submission that the database does not have, somebody restored a backup: nothing is sent with a real account any more,
what the log proves is brought into the rows it belongs to, and an admin sees the rest before releasing.
"""

import logging
import socket
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from generations import access, audit, catalogue, dispatch, ledger, lifecycle, sentlog, veevid
from generations.models import (
    NEXT,
    ApiAccount,
    ApiCall,
    Decision,
    Freeze,
    Generation,
    GenerationMedia,
    Media,
    Quote,
    Status,
    Stray,
    Submission,
    Team,
    User,
)

logger = logging.getLogger(__name__)

ACCEPTED, NOT_ACCEPTED = "accepted", "not accepted"
FROM_THE_LOG = "the log of "  # stands where other submissions name their worker
AT_A_TIME = 500  # lines of the log that one query asks about

Outcome = Submission.Outcome


class CannotRelease(Exception):
    """The message says why; nothing was changed."""


class CannotTakeIn(Exception):
    """The message says why; nothing was changed."""


# -- the log ----------------------------------------------------------------------------------------------------------


def _folder() -> Path:
    return settings.DATA_DIR / "sent"


def announce(submission: Submission) -> None:
    """Names a submission in the log, on the disk when this returns. Raises OSError: then it must not be sent."""
    if submission.account.demo:
        return
    generation = submission.generation
    line = _names(submission) | {
        "at": submission.at.isoformat(),
        "account": submission.account.pk,
        "account_name": submission.account.name,
        "price": generation.price,
        "mode": generation.mode,
        "type": generation.generation_type,
        "params": generation.params,
        "media": [[m.slot, m.position, f"media:{m.media.key}" if m.media else m.url] for m in _media(generation)],
        "prompt": generation.prompt,
        "owner": generation.owner.email,
        "team": generation.team.name,
        "project": generation.project.name if generation.project else "",
    }
    sentlog.append(_folder(), line, sync=True)


def came_out(submission: Submission, end: str, upstream_id: str = "") -> None:
    """Adds what came of it, so that a restored database need not ask people. Its absence only means: unknown."""
    if submission.account.demo:
        return
    try:
        said = {"end": end, "id": upstream_id, "ended_at": timezone.now().isoformat()}
        sentlog.append(_folder(), _names(submission) | said, sync=False, patience=1)
    except OSError as problem:
        logger.warning("the end of submission %s is not in the log: %s", submission.pk, problem)


def _names(submission: Submission) -> sentlog.Line:
    """The nonce tells a generation from one that gets its number in another database."""
    return {"sent": submission.generation.nonce.hex, "attempt": submission.attempt, "submission": submission.pk}


def _media(generation: Generation) -> QuerySet[GenerationMedia]:
    return generation.media.select_related("media").order_by("slot", "position")


def _key(line: sentlog.Line) -> str:
    return f"unreadable:{line['unreadable']}" if "unreadable" in line else f"{line['sent']}:{line['attempt']}"


# -- is the database older than the log? ------------------------------------------------------------------------------


def check() -> bool:
    """Freezes when the log on this host names a submission that the database lacks. False: the log cannot be read.

    Asked before each claim, before each line and at each tick: the end of a file and two or three small queries. Its
    answer is not kept, because a database can be replaced under a running worker.
    """
    try:
        newest = sentlog.newest(_folder())
        freeze = Freeze.objects.filter(released_at=None).first()
        if (newest and not _known(newest)) or (freeze and _host() not in freeze.logs):
            _compare()
    except OSError as problem:
        logger.error("the log of what was sent cannot be read: %s", problem)
        return False
    return True


def _host() -> str:
    return socket.gethostname()[:120]


def _known(line: sentlog.Line) -> bool:
    if "unreadable" not in line and _submissions([line["sent"]]).filter(attempt=line["attempt"]).exists():
        return True
    return Stray.objects.filter(key=_key(line)).exists()


def _submissions(nonces: Iterable[str]) -> QuerySet[Submission]:
    return Submission.objects.filter(generation__nonce__in=[uuid.UUID(nonce) for nonce in nonces])


def freeze_by_hand(why: str) -> Freeze:
    """For a restore that no log on this host can tell of."""
    with transaction.atomic():
        return _freeze(why)


def _freeze(why: str) -> Freeze:
    """Stops all hosts: a claim under way ends first, every later one sees it."""
    real = list(dispatch.accounts(demo=False).select_for_update())
    freeze = Freeze.objects.select_for_update().filter(released_at=None).first()
    if freeze:
        return freeze
    logger.error("frozen: %s", why)
    return Freeze.objects.create(
        why=why[:300],
        newest_at=Submission.objects.aggregate(newest=Max("at"))["newest"],
        balances=[_books(account) for account in real],
    )


def _books(account: ApiAccount) -> dict[str, Any]:
    """What the restored books expect of an account; readings that come later would hide the difference."""
    expected = dispatch.expected_balance(account)
    return {
        "account": account.pk,
        "name": account.name,
        "expected": expected[0] if expected else None,
        "read_at": expected[1].isoformat() if expected else None,
    }


def _compare() -> None:
    """Compares the whole log with the database, in one transaction: what is found, and what it proves, or nothing."""
    entries = _entries()
    with transaction.atomic():
        found = list(_unknown_here(entries))
        if found:
            many = f"{len(found)} submission{'' if len(found) == 1 else 's'}"
            _freeze(f"The log of {_host()} names {many} that this database does not have.")
        freeze = Freeze.objects.select_for_update().filter(released_at=None).first()
        if freeze is None:
            return
        strays = [_stray(freeze, key, said) for key, said in found]
        since = min((said["at"] for said in entries.values() if "at" in said), default=None)
        freeze.logs |= {_host(): {"at": timezone.now().isoformat(), "since": since, "found": len(strays)}}
        freeze.save(update_fields=["logs"])
        for stray in strays:
            _bring(stray)


def _entries() -> dict[str, sentlog.Line]:
    """Every submission in the log with what came of it, oldest first."""
    entries: dict[str, sentlog.Line] = {}
    for line in sentlog.lines(_folder()):
        key = _key(line)
        if "end" not in line:
            entries[key] = line
        elif key in entries and entries[key].get("end") != ACCEPTED:
            entries[key] |= {name: line.get(name) for name in ("end", "id", "ended_at")}
    return entries


def _unknown_here(entries: dict[str, sentlog.Line]) -> Iterator[tuple[str, sentlog.Line]]:
    """What the database lacks: whole submissions, and acceptances of those it has without an answer."""
    everything = list(entries.items())
    for start in range(0, len(everything), AT_A_TIME):
        some = everything[start : start + AT_A_TIME]
        nonces = {said["sent"] for _, said in some if "sent" in said}
        rows = _submissions(nonces).values_list("generation__nonce", "attempt", "outcome")
        here = {f"{nonce.hex}:{attempt}": outcome for nonce, attempt, outcome in rows}
        told = set(Stray.objects.filter(key__in=[key for key, _ in some]).values_list("key", flat=True))
        for key, said in some:
            answered_there = said.get("end") == ACCEPTED and here.get(key) in (Outcome.OPEN, Outcome.UNCLEAR)
            if key not in told and (key not in here or answered_there):
                yield key, said


def _stray(freeze: Freeze, key: str, said: sentlog.Line) -> Stray:
    said_of = {"freeze": freeze, "host": _host(), "said": said, "nonce": said.get("sent", "")}
    return Stray.objects.get_or_create(key=key, defaults=said_of)[0]


# -- what the log proves ----------------------------------------------------------------------------------------------


def _bring(stray: Stray) -> None:
    """Finds the generation of a stray and brings it to where the log says it came."""
    if not stray.nonce or stray.generation_id:
        return
    generation = Generation.objects.select_related("quote__account").filter(nonce=uuid.UUID(stray.nonce)).first()
    if generation is None:
        return
    Stray.objects.filter(pk=stray.pk).update(generation=generation)
    submission = generation.submissions.select_related("account").filter(attempt=stray.said["attempt"]).first()
    submission = submission or _as_sent(generation, stray)
    if submission:
        _as_ended(generation, submission, stray)


def _as_sent(generation: Generation, stray: Stray) -> Submission | None:
    """The moves and the row that its submission made then. None: it went on here otherwise, and is left alone."""
    if generation.status in (Status.AWAITING_APPROVAL, Status.SUBMITTING, Status.UNCONFIRMED):
        _decided_then(generation)
        generation.move(Status.QUEUED)
    attempt = stray.said["attempt"]
    if generation.status != Status.QUEUED or attempt <= generation.attempt:
        return None
    account = _account(stray.said) or generation.quote.account
    at = _at(stray.said)
    taken: dict[str, Any] = {"account": account, "attempt": attempt, "sent_at": at, "wait_why": "", "not_before": None}
    if not generation.move(Status.SUBMITTING, **taken):
        return None
    return Submission.objects.create(
        generation=generation,
        attempt=attempt,
        account=account,
        key=account.keys.order_by("pk")[0],
        worker=f"{FROM_THE_LOG}{stray.host}"[:120],
        at=at,
        deadline=at + timedelta(seconds=veevid.DEADLINE),
    )


def _decided_then(generation: Generation) -> None:
    """A later attempt in the log says that an unknown outcome was released; whoever did is not known any more."""
    last = generation.submissions.order_by("-attempt").first()
    if generation.status == Status.UNCONFIRMED and last:
        note = "The log says that it was sent again."
        if not last.decisions.filter(kind=Decision.Kind.AGAIN).exists():
            Decision.objects.create(submission=last, kind=Decision.Kind.AGAIN, note=note)


def _as_ended(generation: Generation, submission: Submission, stray: Stray) -> None:
    said, now = stray.said, timezone.now()
    upstream_id, theirs = said.get("id") or "", _account(said)
    if said.get("end") == NOT_ACCEPTED:
        moved = generation.move(Status.QUEUED, account=None, sent_at=None)
        ended: dict[str, Any] = {"outcome": Outcome.RETURNED, "words": "Not accepted, says the log of what was sent."}
    elif upstream_id and theirs and _is_free(upstream_id) and Status.PROCESSING in NEXT[generation.status]:
        under_way: dict[str, Any] = {
            "upstream_id": upstream_id,
            "account": theirs,
            "sent_at": submission.at,
            "next_look_at": now,
        }
        moved = generation.move(Status.PROCESSING, wait_why="", not_before=None, **under_way)
        ended = {"outcome": Outcome.ACCEPTED, "words": f"Accepted as {upstream_id}, says the log of what was sent"}
    elif generation.status == Status.SUBMITTING:
        moved = generation.move(Status.UNCONFIRMED)
        ended = {"outcome": Outcome.UNCLEAR, "words": _unclear_words(said, theirs), "check_at": now}
    else:
        return
    if moved:
        Submission.objects.filter(pk=submission.pk).update(answered_at=_at(said, "ended_at"), **ended)


def _unclear_words(said: sentlog.Line, account: ApiAccount | None) -> str:
    if not said.get("id"):
        return "The log says that it was sent, and this database is older: what Veevid answered is not known."
    if account is None:
        return f"Accepted as {said['id']}, says the log, with {said.get('account_name')}: that account is not here."
    return f"Accepted as {said['id']}, says the log, but another clip has this id here."


def _is_free(upstream_id: str) -> bool:
    return not Generation.objects.filter(upstream_id=upstream_id).exists()


def _account(said: sentlog.Line) -> ApiAccount | None:
    """The account it was sent with. Its name has to fit: in another database the number may be another account's."""
    names = {"pk": said.get("account"), "name": said.get("account_name")}
    account = ApiAccount.objects.filter(demo=False, **names).first()
    return account if account and account.keys.exists() else None


def _at(said: sentlog.Line, name: str = "at") -> datetime:
    try:
        return parse_datetime(str(said.get(name))) or timezone.now()
    except ValueError:
        return timezone.now()


def recall(pk: int) -> bool:
    """A confirmation that came in again, after the restore, of what was sent before it: brought along, not sent."""
    nonce = Generation.objects.filter(pk=pk, status=Status.QUEUED).values_list("nonce", flat=True).first()
    if nonce is None or not Stray.objects.filter(nonce=nonce.hex, generation=None).exists():
        return False
    with transaction.atomic():
        for stray in _strays_of(nonce.hex):
            _bring(stray)
    return True


def _strays_of(nonce: str) -> list[Stray]:
    return list(Stray.objects.select_for_update().filter(nonce=nonce, generation=None).order_by("pk"))


# -- what people do ---------------------------------------------------------------------------------------------------


def take_in(nonce: str, who: User, **origin: str) -> Generation:
    """Makes the rows of a clip that only the log knows: its hold, its submission, a look now. Sends nothing.

    Raises CannotTakeIn.
    """
    with transaction.atomic():
        strays = _strays_of(nonce)
        if not nonce or not strays:
            raise CannotTakeIn("It is here already. Nothing was changed.")
        said = strays[-1].said
        account = _account(said)
        if account is None:
            raise CannotTakeIn(f"{said.get('account_name')} is not an account here. Add it first, with its old name.")
        owner = User.objects.filter(email=said.get("owner")).first() or who
        team = Team.objects.filter(name=said.get("team")).first() or access.teams_of(who).first()
        if team is None:
            raise CannotTakeIn(f"There is no team {said.get('team')} here, and you are in none.")
        generation, made = Generation.objects.select_related("quote__account").get_or_create(
            nonce=uuid.UUID(nonce),
            defaults={
                "owner": owner,
                "team": team,
                "project": team.projects.filter(name=said.get("project", "")).first(),
                "day": team.day(_at(said)),
                "quote": _quote(account, said),
                **_as_confirmed(said),
            },
        )
        if made:
            _attach_media(generation, said)
            ledger.hold(generation)
        for stray in strays:
            _bring(stray)
        words = f"{generation} of {owner}, {generation.price} credits held"
        audit.record(who, "safe_mode.taken_in", words, team=team, generation=generation.pk, **origin)
        return generation


def to_take_in() -> list[str]:
    """The nonces of all that `take_in` is still to be asked for, oldest first."""
    now = overview()
    return [found.nonce for found in reversed(now.found) if found.generation is None] if now else []


def _as_confirmed(said: sentlog.Line) -> dict[str, Any]:
    return {
        "mode": said["mode"],
        "generation_type": said["type"],
        "params": said["params"],
        "prompt": said["prompt"],
        "price": said["price"],
        "created_at": _at(said),
        "queued_at": _at(said),
    }


def _quote(account: ApiAccount, said: sentlog.Line) -> Quote:
    """The price it was confirmed at; no longer one to confirm with."""
    known = said["mode"] in catalogue.MODELS
    billing = catalogue.billing(said["mode"], said["type"], said["params"]) if known else {"mode": said["mode"]}
    named = {"billing": billing, "digest": lifecycle.digest_of(billing), "credits": said["price"]}
    return Quote.objects.create(account=account, stale=True, at=_at(said), **named)


def _attach_media(generation: Generation, said: sentlog.Line) -> None:
    """Uploads that came after the backup are gone; links stay."""
    for slot, position, source in said["media"]:
        ours = Media.objects.filter(key=source.removeprefix("media:")).first() if source.startswith("media:") else None
        if ours or not source.startswith("media:"):
            place = {"generation": generation, "slot": slot, "position": position}
            GenerationMedia.objects.create(**place, media=ours, url="" if ours else source)


def read_balances() -> None:
    """Asks Veevid what each real account has, beside what the restored books expected. Spends no credits."""
    told: dict[int, dict[str, Any]] = {}
    for account in dispatch.accounts(demo=False):
        try:
            call = dispatch.reserve(account, ApiCall.Kind.CREDITS)
            answer = dispatch.ask(call, lambda upstream: upstream.credits())
        except dispatch.NoRoom as no:
            told[account.pk] = {"trouble": f"Not read: {no}."}
            continue
        except veevid.UpstreamError as error:
            told[account.pk] = {"trouble": veevid.in_plain_words(error)}
            continue
        told[account.pk] = {"observed": answer.balance, "observed_at": timezone.now().isoformat(), "trouble": ""}
        dispatch.note_balance(call, answer.balance)
    with transaction.atomic():
        for freeze in Freeze.objects.select_for_update().filter(released_at=None):
            freeze.balances = [books | told.get(books["account"], {}) for books in freeze.balances]
            freeze.save(update_fields=["balances"])


def release(who: User, seen: int, **origin: str) -> None:
    """Ends safe mode. `seen` is the newest stray that the admin was shown. Raises CannotRelease."""
    with transaction.atomic():
        frozen = list(Freeze.objects.select_for_update().filter(released_at=None))
        if not frozen:
            raise CannotRelease("It was released already. Nothing was changed.")
        if (Stray.objects.filter(freeze__in=frozen).aggregate(newest=Max("pk"))["newest"] or 0) > seen:
            raise CannotRelease("More was found in the meantime. Look at it, then release.")
        rows = Freeze.objects.filter(pk__in=[freeze.pk for freeze in frozen], released_at=None)
        rows.update(released_at=timezone.now(), released_by=who)
        audit.record(who, "safe_mode.released", "; ".join(freeze.why for freeze in frozen), team=None, **origin)
    logger.warning("released by %s", who)


# -- what people see --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """One clip that the log knows better than the restored database did."""

    nonce: str
    at: datetime
    person: str
    mode: str
    prompt: str
    price: int
    upstream_id: str
    generation: Generation | None


@dataclass(frozen=True)
class Balance:
    """One account: what the restored books expected, what the log adds, what Veevid says."""

    name: str
    expected: int | None
    logged: int
    observed: int | None
    observed_at: datetime | None
    trouble: str

    @property
    def missing(self) -> int | None:
        """Credits that neither explains; negative when the account has more."""
        return None if self.expected is None or self.observed is None else self.expected - self.logged - self.observed


@dataclass(frozen=True)
class Overview:
    freeze: Freeze
    newest: int  # the newest stray, for `release`
    found: Sequence[Found]
    unreadable: int
    logs: Sequence[tuple[str, datetime | None]]  # host, and how far its log reaches back
    silent: Sequence[str]  # hosts that sent in the week before the backup and compared no log yet
    balances: Sequence[Balance]
    waiting: int
    waiting_credits: int

    @property
    def gap(self) -> datetime | None:
        """When the log begins, if that is after what the database knows: what was sent between is in neither."""
        begins = [since for _, since in self.logs if since]
        known = self.freeze.newest_at
        return min(begins) if begins and known and min(begins) > known else None

    @property
    def credits(self) -> int:
        return sum(found.price for found in self.found)

    @property
    def to_take_in(self) -> int:
        return sum(found.generation is None for found in self.found)


def overview() -> Overview | None:
    """What an admin has to see before the release. None: nothing is frozen."""
    freezes = list(Freeze.objects.filter(released_at=None).order_by("pk"))
    if not freezes:
        return None
    strays = list(Stray.objects.filter(freeze__in=freezes).select_related("generation__owner").order_by("pk"))
    prices = Generation.objects.filter(status=Status.QUEUED, quote__account__demo=False).values_list("price", flat=True)
    logs = {host: log.get("since") for freeze in freezes for host, log in freeze.logs.items()}
    return Overview(
        freeze=freezes[0],
        newest=max((stray.pk for stray in strays), default=0),
        found=_found(strays),
        unreadable=sum(not stray.nonce for stray in strays),
        logs=[(host, parse_datetime(since) if since else None) for host, since in sorted(logs.items())],
        silent=sorted(_senders(freezes[0].newest_at) - set(logs)),
        balances=[_balance(books, strays) for books in freezes[0].balances],
        waiting=len(prices),
        waiting_credits=sum(prices),
    )


def _senders(newest_at: datetime | None) -> set[str]:
    """The hosts that sent in the week before the backup, as far as this database knows."""
    if newest_at is None:
        return set()
    week = Submission.objects.filter(at__range=(newest_at - timedelta(days=7), newest_at), account__demo=False)
    workers = week.exclude(worker__startswith=FROM_THE_LOG).values_list("worker", flat=True).distinct()
    return {worker.rpartition(":")[0] for worker in workers} - {""}


def _found(strays: Iterable[Stray]) -> list[Found]:
    """One for each clip that may have been paid, newest first: by the attempt that was accepted, else the first."""
    sent: dict[str, Stray] = {}
    for stray in strays:
        if stray.nonce and stray.said.get("end") != NOT_ACCEPTED and not (stray.nonce in sent and not _id(stray)):
            sent[stray.nonce] = stray
    return [_shown(stray) for stray in reversed(sent.values())]


def _id(stray: Stray) -> str:
    return str(stray.said.get("id") or "")


def _shown(stray: Stray) -> Found:
    said, generation = stray.said, stray.generation
    return Found(
        nonce=stray.nonce,
        at=_at(said),
        person=generation.owner.get_full_name() if generation else str(said.get("owner", "")),
        mode=str(said.get("mode", "")),
        prompt=str(said.get("prompt", "")),
        price=int(said.get("price", 0)),
        upstream_id=_id(stray),
        generation=generation,
    )


def _balance(books: dict[str, Any], strays: Iterable[Stray]) -> Balance:
    since = books.get("read_at") or ""
    mine = [stray.said for stray in strays if stray.said.get("account") == books["account"]]
    logged = [said for said in mine if said.get("end") != NOT_ACCEPTED and str(said.get("at")) > since]
    return Balance(
        name=books["name"],
        expected=books["expected"],
        logged=sum(said.get("price", 0) for said in logged),
        observed=books.get("observed"),
        observed_at=parse_datetime(books["observed_at"]) if books.get("observed_at") else None,
        trouble=books.get("trouble", ""),
    )
