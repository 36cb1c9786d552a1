"""The story of a generation, top to bottom: quote -> confirm -> submit -> look -> complete.

Every move is a guarded UPDATE and every money row is written with the move it belongs to. No request is made inside a
transaction, and exactly one function sends the paid one: `_send`.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db import transaction
from django.utils import timezone

from generations import catalogue, dispatch, ledger, pacing, veevid
from generations.models import (
    ApiAccount,
    ApiCall,
    Clip,
    Generation,
    GenerationMedia,
    Loan,
    Media,
    Quote,
    Status,
    Submission,
    SwitchedOff,
    Team,
    User,
)

logger = logging.getLogger(__name__)

QUOTE_LASTS = timedelta(days=1)
SHORT_QUOTE_LASTS = timedelta(seconds=30)  # one that said "not enough credits" is soon asked again
CONFIRMATION_LASTS = 30 * 60  # seconds
WAIT_FOR_CREDITS = timedelta(minutes=5)
LOOK_LEASE = timedelta(seconds=dispatch.QUESTION_DEADLINE + 10)
SETTLES_IN = timedelta(seconds=10)  # before the balance is read for an unclear submission
SEND_MARGIN = timedelta(seconds=5)
CONFIRMATION_SALT = "dailies.confirmation"


# -- the request of a person ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What a person asks for: checked parameters, prompt and media (slot -> list of `media:<key>` or URLs)."""

    mode: str
    generation_type: str
    params: dict[str, Any]
    prompt: str
    media: dict[str, list[str]]

    @property
    def billing(self) -> dict[str, Any]:
        return catalogue.billing(self.mode, self.generation_type, self.params)

    @property
    def in_words(self) -> str:
        return catalogue.in_words(self.mode, self.generation_type, self.params)


class Trouble(Exception):
    """Something a person can read: what is wrong and whether anything was charged."""


class NoPrice(Trouble):
    """No price can be had now."""

    def __init__(self, sentence: str, upstream_words: str = "") -> None:
        super().__init__(sentence)
        self.upstream_words = upstream_words


class ConfirmAgain(Trouble):
    """The confirmation is altered, too old, or its price is no longer the price."""


# -- quote ------------------------------------------------------------------------------------------------------------


def digest_of(billing: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(billing, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def newest_quote(billing: Mapping[str, Any], demo: bool) -> Quote | None:
    """The last price named within a day for these billing parameters."""
    since = timezone.now() - QUOTE_LASTS
    quotes = Quote.objects.filter(digest=digest_of(billing), account__demo=demo, at__gt=since)
    return quotes.select_related("account").order_by("-at", "-pk").first()


def known_quote(billing: Mapping[str, Any], demo: bool) -> Quote | None:
    """The price in the cache, if it still answers a person's question."""
    newest = newest_quote(billing, demo)
    if newest and not newest.sufficient and newest.at < timezone.now() - SHORT_QUOTE_LASTS:
        return None
    return newest


def quote(billing: dict[str, Any]) -> Quote:
    """The price of one set of billing parameters: from the cache, else asked for. Raises NoPrice."""
    demo = dispatch.demo_mode()
    return known_quote(billing, demo) or _ask_price(billing, demo)


def _ask_price(billing: dict[str, Any], demo: bool) -> Quote:
    problem: NoPrice | None = None
    for account in dispatch.accounts(demo).exclude(state=ApiAccount.State.SUSPENDED):
        try:
            call = dispatch.reserve(account, ApiCall.Kind.QUOTE)
            answer = dispatch.ask(call, lambda upstream: upstream.quote(billing))
        except dispatch.NoRoom as no:
            problem = NoPrice(_no_room_words(no))
            continue
        except veevid.UpstreamError as error:
            problem = NoPrice(veevid.in_plain_words(error), error.message)
            if isinstance(error, veevid.BadParameters):
                break
            continue
        if answer.current_balance is not None:
            dispatch.note_balance(call, answer.current_balance)
        return Quote.objects.create(
            account=account,
            call=call,
            digest=digest_of(billing),
            billing=billing,
            credits=answer.required_credits,
            balance=answer.current_balance,
            sufficient=answer.sufficient,
        )
    raise problem or NoPrice("No Veevid account is open for use. An admin can add or reopen one in Settings.")


def _no_room_words(no: dispatch.NoRoom) -> str:
    if no.why == "key":
        return "No working Veevid key is left. An admin can add one in Settings. Nothing was charged."
    if no.why in ("hour", "busy", "limit"):
        at = timezone.localtime(no.until)
        again = f"A price can be asked for again at {at:%H:%M:%S}."
        return f"The requests that Veevid allows are used up. {again} Nothing was charged."
    return "Veevid cannot be asked for a price now. Nothing was charged."


# -- confirm ----------------------------------------------------------------------------------------------------------


def seal(user: User, team: Team, order: Order, price: Quote) -> str:
    """A signed confirmation, bound to this person, exactly these parameters and this price."""
    return signing.dumps(
        {
            "nonce": uuid.uuid4().hex,
            "user": user.pk,
            "team": team.pk,
            "mode": order.mode,
            "type": order.generation_type,
            "params": order.params,
            "prompt": order.prompt,
            "media": order.media,
            "quote": price.pk,
            "credits": price.credits,
        },
        salt=CONFIRMATION_SALT,
        compress=True,
    )


def unseal(sealed: str) -> dict[str, Any]:
    """What a confirmation says. Raises ConfirmAgain when it was altered or is too old."""
    try:
        return signing.loads(sealed, salt=CONFIRMATION_SALT, max_age=CONFIRMATION_LASTS)
    except signing.SignatureExpired:
        raise ConfirmAgain(
            "This confirmation is older than half an hour. Here is the price again. Nothing was charged."
        ) from None
    except signing.BadSignature:
        raise ConfirmAgain(
            "This confirmation was altered on its way. Here is the price again. Nothing was charged."
        ) from None


def order_of(said: Mapping[str, Any]) -> Order:
    return Order(said["mode"], said["type"], said["params"], said["prompt"], said["media"])


def confirm(user: User, sealed: str) -> Generation:
    """Turns a confirmation into a queued generation with its hold. The same one twice returns the first.

    Raises ConfirmAgain when the confirmation no longer stands; then nothing is held and nothing sent.
    """
    said = unseal(sealed)
    if said["user"] != user.pk:
        raise ConfirmAgain("This confirmation was made for somebody else. Nothing was charged.")
    nonce = uuid.UUID(said["nonce"])
    already = Generation.objects.filter(nonce=nonce).first()
    if already:
        return already
    order = order_of(said)
    price = Quote.objects.select_related("account").get(pk=said["quote"])
    _check_still_stands(order, price, said["credits"])
    with transaction.atomic():
        generation, made = Generation.objects.get_or_create(
            nonce=nonce,
            defaults={
                "team_id": said["team"],
                "owner": user,
                "mode": order.mode,
                "generation_type": order.generation_type,
                "params": order.params,
                "prompt": order.prompt,
                "quote": price,
                "price": price.credits,
            },
        )
        if made:
            _attach_media(generation, order.media)
            ledger.hold(generation)
    return generation


def _check_still_stands(order: Order, price: Quote, credits: int) -> None:
    if SwitchedOff.objects.filter(mode=order.mode).exists():
        raise ConfirmAgain("This model was switched off meanwhile. Nothing was charged.")
    if price.account.demo != dispatch.demo_mode():
        raise ConfirmAgain("Dailies left demo mode meanwhile. Here is the real price. Nothing was charged.")
    newest = newest_quote(order.billing, price.account.demo)
    if newest is None or newest.credits != credits or price.digest != newest.digest:
        raise ConfirmAgain("The price is no longer the one you saw. Here it is again. Nothing was charged.")


def _attach_media(generation: Generation, media: Mapping[str, list[str]]) -> None:
    for slot, sources in media.items():
        for position, source in enumerate(sources):
            ours = Media.objects.get(key=source.removeprefix("media:")) if source.startswith("media:") else None
            GenerationMedia.objects.create(
                generation=generation, slot=slot, position=position, media=ours, url="" if ours else source
            )


def cancel(generation: Generation, who: User) -> bool:
    """Takes a waiting generation out of the line and gives its hold back. False: it was already sent."""
    if generation.status not in (Status.QUEUED, Status.AWAITING_APPROVAL):
        return False
    return _end_unsent(generation, Status.CANCELLED, f"cancelled by {who.get_full_name()}")


def _end_unsent(generation: Generation, to: str, why: str, words: str = "") -> bool:
    with transaction.atomic():
        ended = generation.move(to, finished_at=timezone.now(), upstream_words=words)
        if ended:
            ledger.release(generation, why)
    return ended


# -- submit -----------------------------------------------------------------------------------------------------------


def submit(pk: int, worker: str) -> None:
    """Sends one queued generation, if an account is free and nobody else took it."""
    submission = _claim(pk, worker) if _priced(pk) else None
    if submission is None:
        return
    generation = submission.generation
    try:
        body = _body(generation, submission)
    except dispatch.NoRoom as no:
        _return_to_queue(submission, no.why, no.until, "No room for the upload of its media.")
        return
    except veevid.UpstreamError as error:
        _media_not_lent(submission, error)
        return
    if timezone.now() > submission.deadline - timedelta(seconds=veevid.DEADLINE) + SEND_MARGIN:
        _return_to_queue(submission, "", None, "The worker was late; nothing was sent.")
        return
    try:
        answer = _send(submission, body)
    except veevid.UpstreamError as error:
        _not_accepted(submission, error)
        return
    _accepted(submission, answer)


def _claim(pk: int, worker: str) -> Submission | None:
    """Takes the row, an account's lane and the request in one transaction, and commits the intent."""
    with transaction.atomic():
        generation = Generation.objects.select_related("quote__account").filter(pk=pk, status=Status.QUEUED).first()
        now = timezone.now()
        if generation is None or (generation.not_before and generation.not_before > now):
            return None
        for account in dispatch.accounts(generation.quote.account.demo).select_for_update():
            if dispatch.lane(account, now) != "":
                continue
            call = dispatch.reserve(account, ApiCall.Kind.GENERATE, generation)
            uploads = generation.media.filter(media__isnull=False).count()
            before = dispatch.expected_balance(account)
            if not generation.move(Status.SUBMITTING, account=account, sent_at=now, wait_why="", not_before=None):
                transaction.set_rollback(True)
                return None
            return Submission.objects.create(
                generation=generation,
                attempt=generation.submissions.count() + 1,
                account=account,
                key=call.key,
                call=call,
                worker=worker[:120],
                at=now,
                deadline=now + timedelta(seconds=veevid.DEADLINE * (1 + uploads)),
                balance_before=before[0] if before else None,
                balance_read_at=before[1] if before else None,
            )
    return None


def _priced(pk: int) -> bool:
    """Asks the price again when the confirmed one is older than a day; one that rose is not spent.

    Then the generation is ended with its hold given back, and the person confirms the new price or does not.
    """
    generation = Generation.objects.select_related("quote__account").filter(pk=pk, status=Status.QUEUED).first()
    if generation is None:
        return False
    demo = generation.quote.account.demo
    try:
        newest = newest_quote(generation.quote.billing, demo) or _ask_price(generation.quote.billing, demo)
    except NoPrice:
        later = timezone.now() + timedelta(minutes=1)
        Generation.objects.filter(pk=pk, status=Status.QUEUED).update(not_before=later)
        return False
    if newest.credits <= generation.price:
        return True
    why = f"the price rose from {generation.price} to {newest.credits} credits"
    _end_unsent(generation, Status.CANCELLED, f"not sent: {why}")
    return False


def _body(generation: Generation, submission: Submission) -> dict[str, Any]:
    """The body of the paid request. Uploads of ours are lent to upstream first. Raises NoRoom, UpstreamError."""
    media: dict[str, list[str]] = {}
    for item in generation.media.select_related("media"):
        media.setdefault(item.slot, []).append(_lend(item.media, submission) if item.media else item.url)
    return catalogue.body(generation.mode, generation.generation_type, generation.params, generation.prompt, media)


def _lend(media: Media, submission: Submission) -> str:
    loan = Loan.objects.filter(media=media, account=submission.account).first()
    if loan:
        return loan.url
    with media.file.open("rb") as file:
        data = file.read()
    call = dispatch.reserve(submission.account, ApiCall.Kind.UPLOAD, submission.generation)
    answer = dispatch.ask(call, lambda upstream: upstream.upload(media.name, data, media.content_type))
    return Loan.objects.get_or_create(media=media, account=submission.account, defaults={"url": answer.url})[0].url


def _send(submission: Submission, body: dict[str, Any]) -> veevid.GenerateAnswer:
    """The paid request. Called once for each Submission row, after that row was committed, and nowhere else."""
    if submission.call is None:
        raise RuntimeError("a submission without its request row is never sent")
    return dispatch.ask(submission.call, lambda upstream: upstream.generate(body))


def _accepted(submission: Submission, answer: veevid.GenerateAnswer) -> None:
    now = timezone.now()
    generation = submission.generation
    done = answer.status == "completed"
    fields = {
        "upstream_id": answer.generation_id,
        "video_url": answer.video_url or "",
        "next_look_at": now if done else _first_look(generation, submission.account, now),
    }
    if not _settle_attempt(generation, Status.PROCESSING, **fields):
        logger.error("generation %s was settled before its answer came: %s", generation.pk, answer.generation_id)
    _close(submission, Submission.Outcome.ACCEPTED, f"Accepted as {answer.generation_id}", answer=answer.raw)


def _settle_attempt(generation: Generation, to: str, **fields: Any) -> bool:
    """Moves by a clear answer. One that comes after the lease ran out still counts: the row is then UNCONFIRMED."""
    if generation.move(to, **fields):
        return True
    generation.refresh_from_db()
    return generation.status == Status.UNCONFIRMED and generation.move(to, **fields)


def _first_look(generation: Generation, account: ApiAccount, now: datetime) -> datetime:
    seen = dispatch.seen_durations(generation.mode, account.demo)
    return now + timedelta(seconds=pacing.next_look(0.0, seen, dispatch.allowance(account, now)))


def _close(submission: Submission, outcome: str, words: str, upstream_words: str = "", answer: Any = None) -> None:
    Submission.objects.filter(pk=submission.pk).update(
        outcome=outcome, words=words, upstream_words=upstream_words[:2000], answer=answer, answered_at=timezone.now()
    )


def _return_to_queue(submission: Submission, why: str, until: datetime | None, words: str, said: str = "") -> None:
    """Certainly not accepted: back into the line, hold and place kept."""
    if submission.generation.move(Status.QUEUED, wait_why=why, not_before=until, sent_at=None, account=None):
        _close(submission, Submission.Outcome.RETURNED, words, said)
        if submission.call and submission.call.outcome == ApiCall.Outcome.OPEN:
            ApiCall.objects.filter(pk=submission.call.pk, finished_at=None).update(
                outcome=ApiCall.Outcome.NOT_SENT, finished_at=timezone.now()
            )


def _media_not_lent(submission: Submission, error: veevid.UpstreamError) -> None:
    """The upload of a medium failed. The paid request was never opened."""
    words = "Its media could not be handed to Veevid. Nothing was charged."
    if isinstance(error, veevid.Refused) and not isinstance(
        error, veevid.KeyRefused | veevid.AccountSuspended | veevid.NotEnoughCredits
    ):
        _reject(submission, words, error.message)
        return
    until = timezone.now() + timedelta(seconds=pacing.backoff(submission.attempt, 0.5))
    _return_to_queue(submission, "unreachable", until, words, error.message)


def _reject(submission: Submission, words: str, said: str) -> None:
    generation = submission.generation
    with transaction.atomic():
        if _settle_attempt(generation, Status.REJECTED, finished_at=timezone.now(), upstream_words=said[:2000]):
            ledger.release(generation, "Veevid refused it")
    _close(submission, Submission.Outcome.REFUSED, words, said)


def _not_accepted(submission: Submission, error: veevid.UpstreamError) -> None:
    """Sorts what came instead of an acceptance. Only what certainly was not accepted may ever be sent again."""
    now = timezone.now()
    words = veevid.in_plain_words(error)
    if isinstance(error, veevid.NotEnoughCredits):
        until = now + WAIT_FOR_CREDITS
        said = f"Needs {error.required}, has {error.balance}" if error.required is not None else error.message
        _return_to_queue(submission, "credits", until, words, said)
    elif isinstance(error, veevid.KeyRefused):
        _return_to_queue(submission, "key", None, words, error.message)
    elif isinstance(error, veevid.AccountSuspended):
        _return_to_queue(submission, "account", None, words, error.message)
    elif isinstance(error, veevid.Busy):
        _return_to_queue(submission, "busy", None, words, error.message)
    elif isinstance(error, veevid.NotSent):
        _return_to_queue(submission, "unreachable", None, words, error.message)
    elif isinstance(error, veevid.Refused):
        _reject(submission, words, error.message)
    else:
        _unconfirmed(submission, words, error.message)


def _unconfirmed(submission: Submission, words: str, said: str) -> None:
    """No clear answer: it may have been charged. The hold stays, and nothing is sent again by itself."""
    if submission.generation.move(Status.UNCONFIRMED, upstream_words=said[:2000]):
        Submission.objects.filter(pk=submission.pk).update(check_at=timezone.now() + SETTLES_IN)
    _close(submission, Submission.Outcome.UNCLEAR, words, said)


def lose(submission_pk: int) -> None:
    """A submission whose worker never came back: what it did is unknown."""
    submission = Submission.objects.select_related("generation").filter(pk=submission_pk).first()
    if submission is None or submission.outcome != Submission.Outcome.OPEN or timezone.now() < submission.deadline:
        return
    if submission.generation.status == Status.SUBMITTING:
        _unconfirmed(submission, "The worker that sent it was cut off before it could write down an answer.", "")


# -- look -------------------------------------------------------------------------------------------------------------


def look(pk: int) -> Clip | None:
    """Asks upstream how a generation is doing, if a look is due and nobody else took it. Returns the clip to fetch."""
    now = timezone.now()
    taken = Generation.objects.filter(
        pk=pk, status__in=(Status.PROCESSING, Status.STALLED), next_look_at__lte=now
    ).update(next_look_at=now + LOOK_LEASE)
    if not taken:
        return None
    generation = Generation.objects.select_related("account", "quote__account").get(pk=pk)
    account = generation.account
    if account is None or generation.upstream_id is None:
        raise RuntimeError(f"generation {pk} is under way without an account or an id")
    try:
        call = dispatch.reserve(account, ApiCall.Kind.STATUS, generation)
        answer = dispatch.ask(call, lambda upstream: upstream.status(str(generation.upstream_id)))
    except dispatch.NoRoom as no:
        _look_again(generation, at=no.until)
        return None
    except veevid.UpstreamError as error:
        return _look_unanswered(generation, account, error)
    return _answered(generation, account, answer)


def _answered(generation: Generation, account: ApiAccount, answer: veevid.StatusAnswer) -> Clip | None:
    if answer.status == "failed":
        _fail(generation, answer)
        return None
    if answer.status == "completed" and (answer.video_url or generation.video_url):
        return _complete(generation, answer.video_url or generation.video_url, answer)
    elapsed = (timezone.now() - (generation.sent_at or generation.created_at)).total_seconds()
    if elapsed > pacing.STALLED_AFTER and generation.status == Status.PROCESSING:
        generation.move(Status.STALLED)
    seen = dispatch.seen_durations(generation.mode, account.demo)
    wait = pacing.next_look(elapsed, seen, dispatch.allowance(account))
    _look_again(generation, at=timezone.now() + timedelta(seconds=wait))
    return None


def _look_again(generation: Generation, at: datetime, unanswered: int = 0) -> None:
    Generation.objects.filter(pk=generation.pk, status=generation.status).update(
        next_look_at=at, looks=generation.looks + 1, looks_unanswered=unanswered
    )


def _look_unanswered(generation: Generation, account: ApiAccount, error: veevid.UpstreamError) -> Clip | None:
    """No status this time. A look costs no credits, so it is simply repeated, less and less often."""
    unanswered = generation.looks_unanswered + 1
    if isinstance(error, veevid.NotFound):
        if generation.video_url:  # it said "completed" at once and keeps no status: the price asked is the charge
            return _complete(generation, generation.video_url, None)
        Generation.objects.filter(pk=generation.pk).update(upstream_words=error.message[:2000])
    wait = pacing.backoff(unanswered, 0.5)
    if isinstance(error, veevid.Busy) and error.retry_after:
        wait = max(wait, error.retry_after)
    _look_again(generation, at=timezone.now() + timedelta(seconds=wait), unanswered=unanswered)
    return None


# -- the end ----------------------------------------------------------------------------------------------------------


def _took(generation: Generation, answer: veevid.StatusAnswer | None) -> float:
    if answer and answer.created_at and answer.completed_at and answer.completed_at > answer.created_at:
        return (answer.completed_at - answer.created_at).total_seconds()
    return (timezone.now() - (generation.sent_at or generation.created_at)).total_seconds()


def _complete(generation: Generation, url: str, answer: veevid.StatusAnswer | None) -> Clip | None:
    charged = generation.price if answer is None or answer.credits_used is None else answer.credits_used
    with transaction.atomic():
        moved = generation.move(
            Status.COMPLETED,
            charged=charged,
            video_url=url,
            finished_at=timezone.now(),
            took=_took(generation, answer),
            next_look_at=None,
            upstream_words="",
        )
        if not moved:
            return None
        ledger.capture(generation, charged)
        return Clip.objects.create(generation=generation, source_url=url)


def _fail(generation: Generation, answer: veevid.StatusAnswer) -> None:
    """Upstream gave up. Its own figure is the truth: normally 0, and the whole hold is given back."""
    charged = answer.credits_used or 0
    with transaction.atomic():
        moved = generation.move(
            Status.FAILED,
            charged=charged,
            finished_at=timezone.now(),
            took=_took(generation, answer),
            next_look_at=None,
            upstream_words=(answer.error_message or "")[:2000],
        )
        if moved and charged:
            ledger.capture(generation, charged, "failed, but charged by Veevid")
        elif moved:
            ledger.release(generation, "failed: nothing charged")
