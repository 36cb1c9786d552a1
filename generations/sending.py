"""The paid request: from a claimed row to a recorded answer. Exactly one function opens the paid socket, `_send`.

Before it, a transaction claims the row, the account's lane and a request, and commits the Submission; then the log
outside the database names it (safe_mode.py). After it, the upstream id is the first thing written: to the local disk,
then to the row. Only what certainly was not accepted may wait for another attempt; everything unclear is UNCONFIRMED,
with its hold, until a Decision. An answer moves the row only while its attempt is the newest.
"""

import logging
import math
import time
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from generations import catalogue, dispatch, forecast, journal, ledger, pacing, safe_mode, veevid
from generations.lifecycle import (
    NoPrice,
    ask_price,
    end_loans,
    end_unsent,
    newest_quote,
    stop_if_too_many_failed,
    stopped_words,
    too_many_failed,
)
from generations.models import (
    ApiAccount,
    ApiCall,
    Generation,
    Loan,
    Media,
    Quote,
    Status,
    Submission,
)

logger = logging.getLogger(__name__)

ASK_PRICE_AGAIN = timedelta(minutes=5)
WAIT_FOR_DISK = timedelta(seconds=30)
SETTLES_IN = timedelta(seconds=10)  # before the balance is read for an unclear submission
SEND_MARGIN = timedelta(seconds=5)
JOURNAL_MAY_LIE = 10.0  # seconds before an answer on the disk counts as left over
UPLOAD_ATTEMPTS = 5
LOAN_LASTS = timedelta(hours=24)  # Veevid's links may expire and nobody says when: a day of use costs one upload

Outcome = Submission.Outcome


def submit(pk: int, worker: str, account: int | None = None) -> bool:
    """Sends one queued generation, if an account is free and nobody else took it. False: there was nothing to do.

    `account` is the one that the tick found free for it; without, one is looked for.
    """
    if not _is_new(pk) or not _priced(pk):
        return False
    submission = _claim(pk, worker, account)
    if submission is None:
        return False
    body = _prepared(submission)
    if body is not None and _announced(submission):
        _carry_out(submission, body)
    return True


def _carry_out(submission: Submission, body: dict[str, Any]) -> None:
    if time.monotonic() > submission.begin_by:
        safe_mode.came_out(submission, safe_mode.NOT_ACCEPTED)
        _return_to_queue(submission, "", None, "The worker was late; nothing was sent.")
        return
    try:
        answer = _send(submission, body)
    except veevid.UpstreamError as error:
        _not_accepted(submission, error)
        return
    _accepted(submission, answer)


# -- before -----------------------------------------------------------------------------------------------------------


def _is_new(pk: int) -> bool:
    """Whether it was not sent before this database was restored, as far as the log of what was sent knows."""
    if safe_mode.check():
        return not safe_mode.recall(pk)
    Generation.objects.filter(pk=pk, status=Status.QUEUED).update(
        wait_why="disk", not_before=timezone.now() + WAIT_FOR_DISK
    )
    return False


def _priced(pk: int) -> bool:
    """Asks the price again when the confirmed one is older than a day; one that rose is not spent.

    Then the generation is ended with its hold given back, and the person confirms the new price or does not.
    """
    rows = Generation.objects.select_related("quote__account", "batch")
    generation = rows.filter(pk=pk, status=Status.QUEUED).first()
    if generation is None:
        return False
    if generation.batch and too_many_failed(generation):  # its worker may have died before it cancelled the rest
        end_unsent(generation, stopped_words(generation.batch))
        return False
    billing, demo, team = generation.quote.billing, generation.quote.account.demo, generation.team_id
    try:
        newest = newest_quote(billing, demo, team) or ask_price(billing, demo, team)
    except NoPrice as problem:
        if problem.refused:
            end_unsent(generation, f"not sent: {problem.upstream_words or problem}")
        else:
            later = timezone.now() + ASK_PRICE_AGAIN
            Generation.objects.filter(pk=pk, status=Status.QUEUED).update(not_before=later)
        return False
    if newest.credits <= generation.price:
        return True
    end_unsent(generation, f"not sent: the price rose from {generation.price} to {newest.credits} credits")
    return False


def _claim(pk: int, worker: str, account_pk: int | None = None) -> Submission | None:
    """Takes the row, an account's lane and the request in one transaction, and commits the intent."""
    generation = Generation.objects.select_related("quote__account").filter(pk=pk, status=Status.QUEUED).first()
    if generation is None or (generation.not_before and generation.not_before > timezone.now()):
        return None
    if account_pk is None:
        free = dispatch.carrier(generation, timezone.now())
        account_pk = free.pk if free else 0
    with transaction.atomic():
        account, before = _locked(generation, account_pk)
        if account is None:
            return None
        # The lease begins with the lock in hand: who had to wait for it long is not late for that.
        now, clock = timezone.now(), time.monotonic()
        call = dispatch.reserve(account, ApiCall.Kind.GENERATE, generation)
        attempt = generation.attempt + 1
        taken = {"account": account, "attempt": attempt, "sent_at": now, "wait_why": "", "not_before": None}
        if not generation.move(Status.SUBMITTING, only=generation.attempt, **taken):
            transaction.set_rollback(True)
            return None
        uploads = generation.media.filter(media__isnull=False).count()
        lending = veevid.DEADLINE * uploads
        submission = Submission.objects.create(
            generation=generation,
            attempt=attempt,
            account=account,
            key=call.key,
            call=call,
            worker=worker[:120],
            at=now,
            deadline=now + timedelta(seconds=lending + veevid.DEADLINE),
            balance_before=before[0] if before else None,
            balance_read_at=before[1] if before else None,
        )
        submission.begin_by = clock + lending + SEND_MARGIN.total_seconds()
        return submission


def _locked(generation: Generation, account_pk: int) -> tuple[ApiAccount | None, tuple[int, datetime] | None]:
    """The account, locked, if it may carry this generation, its lane is open and its balance suffices as far as known.

    With it, what it should have now and when that was last heard.

    Whoever chose it looked without a lock; here it counts. One that is short of credits makes the generation say so
    and wait until the balance may have changed.
    """
    may = dispatch.accounts_for(generation.quote.account.demo, generation.team_id)
    account = may.select_for_update().filter(pk=account_pk).first()
    if account is None or dispatch.lane(account):
        return None, None
    known = dispatch.expected_balance(account)
    until = dispatch.short_until(known, generation.price, timezone.now())
    if until:
        short = {"wait_why": "credits", "not_before": until}
        Generation.objects.filter(pk=generation.pk, status=Status.QUEUED).update(**short)
        return None, None
    return account, known


def _prepared(submission: Submission) -> dict[str, Any] | None:
    """The body of the paid request, with our uploads lent to upstream. None: it ended or waits; nothing was opened."""
    try:
        return _body(submission)
    except dispatch.NoRoom as no:
        _return_to_queue(submission, no.why, no.until, "No room for the upload of its media.")
    except veevid.UpstreamError as error:
        _media_not_lent(submission, error)
    except FileNotFoundError:
        _reject(submission, "An image or video of it is missing here. Nothing was charged.", "")
    except OSError as problem:
        logger.warning("media of generation %s cannot be read: %s", submission.generation.pk, problem)
        later = timezone.now() + timedelta(seconds=pacing.backoff(submission.attempt, 0.5))
        _return_to_queue(submission, "disk", later, "Its media cannot be read here now. Nothing was charged.")
    return None


def _body(submission: Submission) -> dict[str, Any]:
    generation = submission.generation
    media: dict[str, list[str]] = {}
    for item in generation.media.select_related("media"):
        media.setdefault(item.slot, []).append(_lend(item.media, submission) if item.media else item.url)
    return catalogue.body(generation.mode, generation.generation_type, generation.params, generation.prompt, media)


def _lend(media: Media, submission: Submission) -> str:
    """Where upstream finds one of our uploads: handed over once for each account, and anew when its link is old."""
    loan = Loan.objects.filter(media=media, account=submission.account).first()
    if loan and timezone.now() - loan.at < LOAN_LASTS:
        return loan.url
    with media.file.open("rb") as file:
        data = file.read()
    call = dispatch.reserve(submission.account, ApiCall.Kind.UPLOAD, submission.generation)
    answer = dispatch.ask(call, lambda upstream: upstream.upload(media.name, data, media.content_type))
    fresh = {"url": answer.url, "at": timezone.now()}
    return Loan.objects.update_or_create(media=media, account=submission.account, defaults=fresh)[0].url


def _media_not_lent(submission: Submission, error: veevid.UpstreamError) -> None:
    """The upload of a medium failed. The paid request was never opened."""
    words = "Its media could not be handed to Veevid. Nothing was charged."
    passing = isinstance(error, veevid.KeyRefused | veevid.AccountSuspended | veevid.NotEnoughCredits)
    refused = isinstance(error, veevid.Refused) and not passing
    if refused or error.status == 413 or submission.attempt >= UPLOAD_ATTEMPTS:
        _reject(submission, words, error.message)
        return
    why = "busy" if isinstance(error, veevid.Busy) else "" if passing else "unreachable"
    until = None if passing else timezone.now() + timedelta(seconds=pacing.backoff(submission.attempt + 2, 0.5))
    _return_to_queue(submission, why, until, words, error.message)


def _announced(submission: Submission) -> bool:
    """Names it in the log outside the database. What cannot be named there, or was frozen meanwhile, is not sent.

    The log is compared once more first: behind a new line, one that this database does not have would not be seen.
    """
    safe_mode.check()
    if not submission.account.demo and dispatch.frozen():
        _return_to_queue(submission, "frozen", None, "Nothing is sent after a restore. Nothing was charged.")
        return False
    try:
        safe_mode.announce(submission)
    except OSError as problem:
        logger.error("generation %s is not sent, the log cannot be written: %s", submission.generation.pk, problem)
        words = "The log of what is sent cannot be written here. Nothing was charged."
        _return_to_queue(submission, "disk", timezone.now() + WAIT_FOR_DISK, words)
        return False
    return True


# -- the request ------------------------------------------------------------------------------------------------------


def _send(submission: Submission, body: dict[str, Any]) -> veevid.GenerateAnswer:
    """The paid request. Called once for each Submission row, after that row was committed, and nowhere else."""
    if submission.call is None:
        raise RuntimeError("a submission without its request row is never sent")
    return dispatch.ask(
        submission.call,
        lambda upstream: upstream.generate(body, begin_by=submission.begin_by),
        keep=lambda answer: _keep(submission, answer),
    )


def _folder() -> Any:
    return settings.DATA_DIR / "journal"


def _keep(submission: Submission, answer: veevid.GenerateAnswer) -> None:
    """The very first thing after an acceptance: its id on the disk, then in the row."""
    said = {"generation_id": answer.generation_id, "video_url": answer.video_url}
    logger.info("generation %s accepted as %s", submission.generation.pk, answer.generation_id)
    try:
        journal.keep(_folder(), submission.pk, said)
    except OSError as problem:
        logger.warning("the answer is not in the journal: %s", problem)
    safe_mode.came_out(submission, safe_mode.ACCEPTED, answer.generation_id)
    _write_id(submission, said)


def _write_id(submission: Submission, said: dict[str, Any]) -> None:
    fields = {
        "upstream_id": said["generation_id"],
        "video_url": said["video_url"] or "",
        "next_look_at": timezone.now() + timedelta(seconds=pacing.EARLY[0]),
        "account": submission.account,
        "sent_at": submission.at,
        "wait_why": "",
        "not_before": None,
    }
    try:
        with transaction.atomic():
            settled = _settle_attempt(submission, Status.PROCESSING, **fields)
    except IntegrityError:
        logger.error("upstream gave an id that another generation has: %s", said["generation_id"])
        _unconfirmed(submission, f"Veevid answered with an id that another clip has: {said['generation_id']}.", "")
        return
    if not settled and submission.generation.upstream_id != said["generation_id"]:
        logger.error("generation %s: %s was accepted, too", submission.generation.pk, said["generation_id"])


def _settle_attempt(submission: Submission, to: str, **fields: Any) -> bool:
    """Moves by a clear answer to this attempt, if it is still the newest.

    One that comes after the lease ran out still counts: the row is UNCONFIRMED then, or released and not sent again.
    """
    generation = submission.generation
    if generation.status == Status.SUBMITTING and generation.move(to, only=submission.attempt, **fields):
        return True
    generation.refresh_from_db()
    late = generation.status == Status.UNCONFIRMED or (generation.status == Status.QUEUED and to == Status.PROCESSING)
    return late and generation.move(to, only=submission.attempt, **fields)


# -- after ------------------------------------------------------------------------------------------------------------


def _accepted(submission: Submission, answer: veevid.GenerateAnswer) -> None:
    """The id is written; now when to look, and the attempt closed."""
    generation = submission.generation
    pace = dispatch.Pace(submission.account)
    if generation.status == Status.PROCESSING and generation.upstream_id == answer.generation_id:
        first = pace.now if answer.status == "completed" else pace.next_look(generation, 0.0)
        Generation.objects.filter(pk=generation.pk, status=Status.PROCESSING, looks=0).update(next_look_at=first)
    _close_accepted(submission, answer.generation_id, answer.raw)
    journal.forget(_folder(), submission.pk)
    if generation.status == Status.PROCESSING:
        forecast.tell_sent(generation, pace)


def _close_accepted(submission: Submission, upstream_id: str, answer: Any = None) -> None:
    """Keeps the id with its attempt, also when the row had been given up or belongs to a newer attempt by now."""
    generation = submission.generation
    if generation.upstream_id == upstream_id:
        _close(submission, Outcome.ACCEPTED, f"Accepted as {upstream_id}", answer=answer)
    elif generation.status != Status.UNCONFIRMED:
        words = f"Accepted as {upstream_id}, but too late: this attempt had been given up. It was charged, too."
        _close(submission, Outcome.ACCEPTED, words, answer=answer)


def bring_in() -> None:
    """Answers that are on this machine's disk, but did not reach the database when they came."""
    for pk, said in journal.left_over(_folder(), JOURNAL_MAY_LIE):
        submission = Submission.objects.select_related("generation", "account").filter(pk=pk).first()
        if submission and submission.outcome in (Outcome.OPEN, Outcome.UNCLEAR):
            safe_mode.came_out(submission, safe_mode.ACCEPTED, said["generation_id"])
            _write_id(submission, said)
            _close_accepted(submission, said["generation_id"])
        journal.forget(_folder(), pk)


def _close(submission: Submission, outcome: str, words: str, said: str = "", answer: Any = None) -> None:
    Submission.objects.filter(pk=submission.pk).update(
        outcome=outcome, words=words, upstream_words=said[:2000], answer=_storable(answer), answered_at=timezone.now()
    )
    if outcome in (Outcome.RETURNED, Outcome.REFUSED):  # its request was reserved, but never left
        ApiCall.objects.filter(submission=submission, finished_at=None).update(
            outcome=ApiCall.Outcome.NOT_SENT, finished_at=timezone.now()
        )


def _storable(value: Any) -> Any:
    """JSON that every database takes: no NUL, no lone surrogate, no infinity."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value


def _return_to_queue(submission: Submission, why: str, until: datetime | None, words: str, said: str = "") -> None:
    """Certainly not accepted: back into the line, hold and place kept."""
    back = {"wait_why": why, "not_before": until, "sent_at": None, "account": None}
    with transaction.atomic():
        if submission.generation.move(Status.QUEUED, only=submission.attempt, **back):
            _close(submission, Outcome.RETURNED, words, said)


def _reject(submission: Submission, words: str, said: str) -> None:
    """A clear no: the end, and the hold given back."""
    with transaction.atomic():
        ended = {"finished_at": timezone.now(), "upstream_words": (said or words)[:2000]}
        rejected = _settle_attempt(submission, Status.REJECTED, **ended)
        if rejected:
            ledger.release(submission.generation, "not accepted by Veevid")
        _close(submission, Outcome.REFUSED, words, said)
    if rejected:
        stop_if_too_many_failed(submission.generation)


def _not_accepted(submission: Submission, error: veevid.UpstreamError) -> None:
    """Sorts what came instead of an acceptance. Only what certainly was not accepted may ever be sent again."""
    words = veevid.in_plain_words(error)
    if isinstance(error, veevid.Refused | veevid.Busy | veevid.NotSent):
        safe_mode.came_out(submission, safe_mode.NOT_ACCEPTED)
    if isinstance(error, veevid.NotEnoughCredits):
        _out_of_credits(submission, error, words)
    elif isinstance(error, veevid.KeyRefused):
        _return_to_queue(submission, "key", None, words, error.message)
    elif isinstance(error, veevid.AccountSuspended):
        _return_to_queue(submission, "account", None, words, error.message)
    elif isinstance(error, veevid.Busy):
        _return_to_queue(submission, "busy", None, words, error.message)
    elif isinstance(error, veevid.NotSent):
        _return_to_queue(submission, "unreachable", None, words, error.message)
    elif isinstance(error, veevid.Refused):
        if isinstance(error, veevid.BadParameters):
            end_loans(submission.generation)  # a dead link may be why; this generation ends, the next one lends anew
        _reject(submission, words, error.message)
    else:
        _unconfirmed(submission, words, error.message)


def _out_of_credits(submission: Submission, error: veevid.NotEnoughCredits, words: str) -> None:
    """Waits for a top-up; a price above the confirmed one is not waited for, but asked again."""
    price = submission.generation.price
    if error.required is not None and error.required > price:
        Quote.objects.filter(digest=submission.generation.quote.digest).update(stale=True)
        rose = f"The price rose from {price} to {error.required} credits, so it was not sent. Nothing was charged."
        _reject(submission, rose, "")
        return
    said = f"Needs {error.required}, has {error.balance}" if error.required is not None else error.message
    _return_to_queue(submission, "credits", timezone.now() + dispatch.WAIT_FOR_CREDITS, words, said)


def _unconfirmed(submission: Submission, words: str, said: str) -> None:
    """No clear answer: it may have been charged. The hold stays, and nothing is sent again by itself."""
    with transaction.atomic():
        if submission.generation.move(Status.UNCONFIRMED, only=submission.attempt, upstream_words=said[:2000]):
            Submission.objects.filter(pk=submission.pk).update(check_at=timezone.now() + SETTLES_IN)
            _close(submission, Outcome.UNCLEAR, words, said)


# -- workers that never came back -------------------------------------------------------------------------------------


def lost() -> list[int]:
    """Newest attempts whose lease ran out without an answer."""
    overdue = timezone.now() - dispatch.LEASE_GRACE
    rows = Submission.objects.filter(
        outcome=Outcome.OPEN,
        deadline__lt=overdue,
        generation__status=Status.SUBMITTING,
        generation__attempt=F("attempt"),
    )
    return list(rows.values_list("pk", flat=True)[: dispatch.AT_A_TIME])


def lose(pk: int) -> None:
    """A submission whose worker never came back: what it did is unknown."""
    submission = Submission.objects.select_related("generation").filter(pk=pk).first()
    if submission and pk in lost():
        _unconfirmed(submission, "The worker that sent it was cut off before it could write down an answer.", "")
