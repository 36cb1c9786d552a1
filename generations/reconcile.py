"""Submissions whose outcome is unknown: what the balance says about them, and what people decide.

The balance is read once the account had time to settle, while nothing else is sent with it. It is evidence, not proof:
a refund of an earlier failure can hide a charge, and others may spend on the account. So a person decides. Only for an
account that an admin marked as used by nobody else, with nothing else of ours under way in between and two equal
readings, is a submission released by itself; that, too, is a recorded Decision.
"""

import re
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from generations import audit, dispatch, ledger, veevid
from generations.models import (
    RENDERING,
    ApiAccount,
    ApiCall,
    Decision,
    Evidence,
    Generation,
    Status,
    Submission,
    User,
)
from generations.words import credits

READ_AGAIN_AFTER = timedelta(seconds=30)  # the second reading, on an exclusive account
TRY_AGAIN_AFTER = timedelta(seconds=20)  # when the balance could not be read
CHECK_LEASE = timedelta(seconds=dispatch.QUESTION_DEADLINE + 10)
STOP_TRYING_AFTER = timedelta(hours=1)
UPSTREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")

Verdict, Kind = Evidence.Verdict, Decision.Kind


class CannotDecide(Exception):
    """The decision does not fit. The message says why; nothing was changed."""


# -- evidence ---------------------------------------------------------------------------------------------------------


def due() -> list[int]:
    """Submissions whose balance is to be read now."""
    return list(
        Submission.objects.filter(check_at__lte=timezone.now()).values_list("pk", flat=True)[: dispatch.AT_A_TIME]
    )


def check(pk: int) -> None:
    """Reads the balance for one unclear submission, if it is due and nobody else took it, and keeps what it says."""
    now = timezone.now()
    if not Submission.objects.filter(pk=pk, check_at__lte=now).update(check_at=now + CHECK_LEASE):
        return
    submission = Submission.objects.select_related("generation", "account").get(pk=pk)
    if submission.generation.status != Status.UNCONFIRMED:
        Submission.objects.filter(pk=pk).update(check_at=None)
        return
    try:
        call = dispatch.reserve(submission.account, ApiCall.Kind.CREDITS)
        answer = dispatch.ask(call, lambda upstream: upstream.credits())
    except (dispatch.NoRoom, veevid.UpstreamError):
        too_late = now > (submission.answered_at or submission.deadline) + STOP_TRYING_AFTER
        Submission.objects.filter(pk=pk).update(check_at=None if too_late else now + TRY_AGAIN_AFTER)
        return
    evidence = _weigh(submission, answer.balance)
    dispatch.note_balance(call, answer.balance)
    _go_on(submission, evidence)


def _weigh(submission: Submission, after: int) -> Evidence:
    """Compares the balance with what the books expected just before the submission."""
    before, price = _expected_now(submission), submission.generation.price
    verdict = Verdict.UNCLEAR
    if before is not None and before - after == price:
        verdict = Verdict.DROPPED
    elif before is not None and before == after:
        verdict = Verdict.UNCHANGED
    return Evidence.objects.create(
        submission=submission, before=before, after=after, verdict=verdict, alone=_alone(submission)
    )


def _expected_now(submission: Submission) -> int | None:
    """What the account should have if this submission was not accepted: the books, as of the last reading before it."""
    if submission.balance_before is None:
        return None
    reading = submission.account.readings.filter(at__lte=submission.at).order_by("-pk").first()
    return dispatch.since(reading) if reading else None


def _alone(submission: Submission) -> bool:
    """Was nothing else of ours under way on the account from the last reading before it until now?"""
    since = submission.balance_read_at or submission.at
    others = submission.account.generations.exclude(pk=submission.generation_id)
    under_way = Q(status__in=(*RENDERING, Status.UNCONFIRMED)) | Q(finished_at__gte=since, sent_at__isnull=False)
    return not others.filter(under_way).exists()


def _go_on(submission: Submission, evidence: Evidence) -> None:
    """One reading is enough for people. An exclusive account is read twice, and may then release by itself."""
    account = ApiAccount.objects.get(pk=submission.account_id)
    clean = evidence.alone and evidence.verdict == Verdict.UNCHANGED
    earlier = submission.evidence.exclude(pk=evidence.pk).order_by("-pk").first()
    next_check = None
    if account.exclusive and clean and earlier is None:
        next_check = timezone.now() + READ_AGAIN_AFTER
    Submission.objects.filter(pk=submission.pk).update(check_at=next_check)
    if (
        account.exclusive
        and clean
        and earlier
        and (earlier.verdict, earlier.after) == (evidence.verdict, evidence.after)
    ):
        decide(submission.generation, None, Kind.AGAIN, note="two equal readings on an exclusive account")


def in_words(submission: Submission) -> str:
    """The evidence for people: one sentence, or what is still missing."""
    evidence = submission.evidence.order_by("-pk").first()
    if evidence is None:
        return "The balance is being read." if submission.check_at else "The balance could not be read."
    if evidence.before is None:
        return f"The balance is {credits(evidence.after)} now; before, it was not known."
    company = "and nothing else of ours was under way." if evidence.alone else "but other clips were under way, too."
    if evidence.verdict == Verdict.DROPPED:
        return f"The balance fell from {evidence.before:,} to {evidence.after:,}, exactly this price, {company}"
    if evidence.verdict == Verdict.UNCHANGED:
        hidden = "" if evidence.alone else " A refund can hide a charge."
        return f"The balance is unchanged at {credits(evidence.after)}, {company}{hidden}"
    return f"The balance should be {evidence.before:,} and is {credits(evidence.after)}: something else moved it."


# -- decisions --------------------------------------------------------------------------------------------------------


def unclear_submission(generation: Generation) -> Submission | None:
    """The submission that somebody has to decide about; None when there is nothing to decide."""
    if generation.status != Status.UNCONFIRMED:
        return None
    return generation.submissions.select_related("account").order_by("-attempt").first()


def decide(generation: Generation, who: User | None, kind: str, note: str = "", **origin: str) -> None:
    """Records a decision and moves the generation in one transaction. Raises CannotDecide; then nothing changed.

    Adopting is `adopt`: it needs the id. `who` is None for Dailies itself.
    """
    submission = unclear_submission(generation)
    if submission is None or kind not in (Kind.CHARGED, Kind.AGAIN, Kind.RELEASE):
        raise CannotDecide("This was decided already. Nothing was changed.")
    by = who.get_full_name() if who else "Dailies"
    with transaction.atomic():
        if kind == Kind.CHARGED:
            moved = generation.move(Status.FAILED, charged=generation.price, finished_at=timezone.now())
        elif kind == Kind.AGAIN:
            moved = generation.move(Status.QUEUED, account=None, sent_at=None, wait_why="", not_before=None)
        else:
            moved = generation.move(Status.CANCELLED, finished_at=timezone.now())
        if not moved:
            raise CannotDecide("Something changed in the meantime. Nothing was decided.")
        _record(submission, kind, who, note, origin)
        if kind == Kind.CHARGED:
            ledger.capture(generation, generation.price, f"marked as charged by {by}")
        elif kind == Kind.RELEASE:
            ledger.release(generation, f"not accepted, says {by}")


def adopt(generation: Generation, who: User, upstream_id: str, **origin: str) -> None:
    """Takes over a clip that was found on Veevid's site: asks for its status, which must exist on this account.

    Raises CannotDecide with what is wrong; then nothing changed. Spends one request and no credits.
    """
    submission = unclear_submission(generation)
    upstream_id = upstream_id.strip()
    if submission is None:
        raise CannotDecide("This was decided already. Nothing was changed.")
    if upstream_id and not UPSTREAM_ID.fullmatch(upstream_id):
        raise CannotDecide("This does not look like a generation id. Nothing was changed.")
    if not upstream_id:
        raise CannotDecide("Enter the generation id as Veevid's site shows it, such as vg_7fk20q.")
    if Generation.objects.filter(upstream_id=upstream_id).exists():
        raise CannotDecide("This id belongs to another clip of Dailies already. Nothing was changed.")
    try:
        call = dispatch.reserve(submission.account, ApiCall.Kind.STATUS, generation)
        dispatch.ask(call, lambda upstream: upstream.status(upstream_id))
    except veevid.NotFound:
        raise CannotDecide("Veevid knows no generation with this id on this account. Nothing was changed.") from None
    except (dispatch.NoRoom, veevid.UpstreamError):
        raise CannotDecide("Veevid could not be asked about this id now. Try again in a minute.") from None
    with transaction.atomic():
        if not generation.move(Status.PROCESSING, upstream_id=upstream_id, next_look_at=timezone.now()):
            raise CannotDecide("Something changed in the meantime. Nothing was decided.")
        _record(submission, Kind.ADOPT, who, upstream_id, origin)


def _record(submission: Submission, kind: str, who: User | None, note: str, origin: dict[str, str]) -> None:
    Submission.objects.filter(pk=submission.pk).update(check_at=None)
    decision = Decision.objects.create(submission=submission, kind=kind, who=who, note=note[:300])
    generation = submission.generation
    words = f"{generation}, {credits(generation.price)}, outcome unknown: {decision.get_kind_display()}. {note}".strip()
    audit.record(who, f"outcome.{kind}", words, team=generation.team, generation=generation.pk, **origin)
