"""What happened to a generation and where it stands now, read from its rows and put into words. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from generations import catalogue, dispatch, forecast, outlook, pacing, reconcile
from generations.models import (
    UNFINISHED,
    Approval,
    Clip,
    Decision,
    Evidence,
    Generation,
    LedgerEntry,
    Status,
    Submission,
)
from generations.words import bytes_words, credits, duration_words, ordinal_words, range_words

#: status -> shape of icons.svg, and the CSS class that colours it
SHAPES = {
    Status.AWAITING_APPROVAL: ("s-ask", "ask"),
    Status.QUEUED: ("s-wait", "wait"),
    Status.SUBMITTING: ("s-run", "run"),
    Status.PROCESSING: ("s-run", "run"),
    Status.STALLED: ("s-run", "ask"),
    Status.COMPLETED: ("s-done", "done"),
    Status.FAILED: ("s-bad", "bad"),
    Status.REJECTED: ("s-bad", "bad"),
    Status.UNCONFIRMED: ("s-unknown", "unknown"),
    Status.CANCELLED: ("s-off", "off"),
}
VERSION = "Version"  # label of the parameter that chooses among a model's versions
OVER_TIME = 95  # percent: the bar stops here when it takes longer than usual


@dataclass(frozen=True)
class Place:
    """Where a generation stands now. Times in seconds."""

    status: str
    word: str
    shape: str
    tone: str
    elapsed: float | None = None
    percent: int | None = None
    notes: Sequence[str] = ()


@dataclass
class Desk:
    """What several generations on one page have in common, asked for once."""

    now: datetime = field(default_factory=timezone.now)
    _outlooks: dict[bool, forecast.Outlook] = field(default_factory=dict)
    _line: dict[bool, list[int]] = field(default_factory=dict)
    _lanes: dict[tuple[bool, int], str] = field(default_factory=dict)

    def outlook(self, demo: bool) -> forecast.Outlook:
        if demo not in self._outlooks:
            self._outlooks[demo] = forecast.Outlook(demo, self.now)
        return self._outlooks[demo]

    def position(self, generation: Generation) -> int | None:
        """1 for the next to be sent; None for one that cannot be sent yet."""
        demo = generation.quote.account.demo
        if demo not in self._line:
            self._line[demo] = dispatch.line(demo, self.now)
        line = self._line[demo]
        return line.index(generation.pk) + 1 if generation.pk in line else None

    def lane(self, demo: bool, team: int) -> str:
        """A word of dispatch.WAITING: why no account that this team may use takes a submission now."""
        if (demo, team) not in self._lanes:
            words = [dispatch.lane(account, self.now) for account in dispatch.accounts_for(demo, team)]
            none = "reserved" if dispatch.accounts(demo).exists() else "key"
            self._lanes[demo, team] = "" if "" in words or "turn" in words else (words[0] if words else none)
        return self._lanes[demo, team]

    def why(self, generation: Generation) -> str:
        """A word of dispatch.WAITING: why it is not being sent now."""
        if generation.not_before and generation.not_before > self.now and generation.wait_why:
            return generation.wait_why
        return self.lane(generation.quote.account.demo, generation.team_id)

    def place(self, generation: Generation) -> Place:
        status = Status(generation.status)
        shape, tone = SHAPES[status]
        if status == Status.QUEUED:
            return self._waiting(generation, shape, tone)
        if status in (Status.SUBMITTING, Status.PROCESSING, Status.STALLED):
            return self._rendering(generation, status, shape, tone)
        return Place(status, status.label, shape, tone, notes=_notes(generation))

    def _waiting(self, generation: Generation, shape: str, tone: str) -> Place:
        why = self.why(generation)
        notes = []
        position = self.position(generation)
        if position:
            notes.append(ordinal_words(position))
        if why and why != "turn":
            notes.append(dispatch.WAITING[why])
        if why == "credits":
            shape, tone = SHAPES[Status.AWAITING_APPROVAL]
            return Place(generation.status, "Out of credits", shape, tone, notes=notes or ["waits for a top-up"])
        return Place(generation.status, Status.QUEUED.label, shape, tone, notes=notes)

    def _rendering(self, generation: Generation, status: Status, shape: str, tone: str) -> Place:
        elapsed = max((self.now - (generation.sent_at or generation.created_at)).total_seconds(), 0.0)
        ahead = self.outlook(generation.quote.account.demo)
        rest = ahead.rest(generation)
        if not rest:
            return Place(status, "Taking long", shape, "ask", elapsed, OVER_TIME, ["longer than usual"])
        percent = min(int(100 * elapsed / pacing.quantile(ahead.takes(generation), 0.75)), OVER_TIME)
        ready = range_words(outlook.between(rest))
        return Place(status, status.label, shape, tone, elapsed, percent, [f"ready in {ready}"])


def _notes(generation: Generation) -> list[str]:
    if generation.status == Status.AWAITING_APPROVAL:
        return [f"{credits(generation.price)} held", "until a manager decides"]
    if generation.status == Status.UNCONFIRMED:
        return [f"{credits(generation.price)} held", "until it is checked"]
    if generation.status in (Status.FAILED, Status.REJECTED) and not generation.charged:
        return ["Nothing charged,", f"{credits(generation.price)} given back"]
    if generation.status == Status.CANCELLED:
        return ["Nothing charged"]
    return [f"{credits(generation.charged)} charged"] if generation.charged is not None else []


#: One desk for all who look on within a few seconds: what waits, and how fast it goes, is the same for everybody.
_SHARED_FOR = timedelta(seconds=3)
_shared: list[Desk] = []


def shared_desk() -> Desk:
    """For open pages that ask again and again."""
    if not _shared or not timedelta() <= timezone.now() - _shared[0].now < _SHARED_FOR:
        _shared[:] = [Desk()]
    return _shared[0]


# -- the timeline -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One pin of the timeline: `kind` is its shape ("" hollow, "full", "bad", "ask")."""

    at: datetime
    what: str
    more: str = ""
    kind: str = ""


def steps(generation: Generation) -> list[Step]:
    """Everything that happened to a generation, in order, from the rows that were written when it happened."""
    found = [Step(generation.quote.at, "Quoted", credits(generation.quote.credits))]
    attempts = list(generation.submissions.order_by("attempt"))
    for submission in attempts:
        found += _attempt(submission, len(attempts)) + _checked(submission)
    if generation.finished_at and generation.status in (Status.COMPLETED, Status.FAILED):
        done = generation.status == Status.COMPLETED
        found.append(
            Step(
                generation.finished_at,
                "Rendered" if done else "Failed",
                f"after {duration_words(generation.took)}" if done else _quoted(generation.upstream_words),
                "" if done else "bad",
            )
        )
    for entry in generation.entries.select_related("user").order_by("at", "pk"):
        found.append(_money(entry, generation))
    found += _approval(generation)
    elsewhere = getattr(generation, "imported", None)
    if elsewhere:
        found.append(Step(elsewhere.at, "Brought in", "What it cost counts in the books it came from, in none here"))
    clip = getattr(generation, "clip", None)
    if clip:
        found += _kept(clip)
    order = {step: place for place, step in enumerate(found)}
    return sorted(found, key=lambda step: (step.at, order[step]))


def _quoted(words: str) -> str:
    return f"In Veevid’s words: “{words}”" if words else ""


def _attempt(submission: Submission, attempts: int) -> list[Step]:
    Outcome = Submission.Outcome
    if submission.outcome == Outcome.RETURNED:
        return [Step(submission.at, "Not accepted, waiting again", submission.words)]
    sent = "Sent to Veevid, once" if attempts == 1 else "Sent to Veevid"
    if submission.outcome == Outcome.ACCEPTED and submission.answered_at:
        took = (submission.answered_at - submission.at).total_seconds()
        return [Step(submission.at, sent, f"{submission.words}, in {duration_words(took)}")]
    if submission.outcome == Outcome.REFUSED:
        return [Step(submission.at, "Refused by Veevid", _quoted(submission.upstream_words) or submission.words, "bad")]
    if submission.outcome == Outcome.UNCLEAR:
        return [Step(submission.at, "Sent once, no clear answer", submission.words, "ask")]
    return [Step(submission.at, "Being sent", "")]


def _checked(submission: Submission) -> list[Step]:
    """What the balance said about an unclear submission, and what was decided."""
    found = []
    for evidence in submission.evidence.order_by("pk"):
        found.append(Step(evidence.at, "Balance read", f"It {evidence.get_verdict_display()}", "ask"))
    for decision in Decision.objects.filter(submission=submission).select_related("who").order_by("pk"):
        who = decision.who.get_short_name() if decision.who else "Dailies"
        found.append(Step(decision.at, f"Decided by {who}", f"{decision.get_kind_display()}. {decision.note}".strip()))
    return found


def _approval(generation: Generation) -> list[Step]:
    """That it was parked, why, and who decided what."""
    approval = getattr(generation, "approval", None)
    if approval is None:
        return []
    Verdict = Approval.Verdict
    found = [Step(approval.asked_at, "Asked for approval", " ".join(approval.why.splitlines()), "ask")]
    who = approval.who.get_short_name() if approval.who else "Dailies"
    decided = {
        Verdict.APPROVED: Step(approval.decided_at, f"Approved by {who}"),
        Verdict.REJECTED: Step(approval.decided_at, f"Rejected by {who}", f"“{approval.reason}”", "bad"),
        Verdict.EXPIRED: Step(approval.decided_at, "Expired", "Nobody decided in time", "bad"),
    }
    return [*found, *([decided[approval.verdict]] if approval.verdict in decided else [])]


def _money(entry: LedgerEntry, generation: Generation) -> Step:
    if entry.kind == LedgerEntry.Kind.HOLD:
        return Step(entry.at, f"Confirmed by {generation.owner.get_short_name()}", f"{credits(entry.held)} held")
    if entry.kind == LedgerEntry.Kind.ADJUST:
        more = "more" if entry.held > 0 else "less"
        return Step(entry.at, f"{credits(abs(entry.held))} {more} held", entry.why[:1].upper() + entry.why[1:])
    if entry.kind == LedgerEntry.Kind.RELEASE:
        return Step(entry.at, f"{credits(-entry.held)} given back", entry.why[:1].upper() + entry.why[1:], "full")
    if entry.kind == LedgerEntry.Kind.REFUND:
        return Step(entry.at, f"Refunded {credits(-entry.spent)}", entry.why[:1].upper() + entry.why[1:], "full")
    difference = entry.spent - generation.price
    settled = "The hold is settled, as quoted"
    if difference:
        settled = f"{credits(abs(difference))} {'more' if difference > 0 else 'less'} than quoted"
    return Step(entry.at, f"Charged {credits(entry.spent)}", settled, "full")


def _stored(clip: Clip) -> Step:
    return Step(clip.stored_at or timezone.now(), "Kept", f"{bytes_words(clip.size)}, checked and stored", "full")


def _kept(clip: Clip) -> list[Step]:
    if clip.state == Clip.State.STORED and clip.stored_at:
        return [_stored(clip)]
    if clip.state == Clip.State.DAMAGED:
        found = Step(clip.checked_at or timezone.now(), "Found damaged", clip.trouble, "bad")
        return [_stored(clip), found] if clip.stored_at else [found]
    if clip.state == Clip.State.GONE:
        return [Step(clip.generation.finished_at or timezone.now(), "Lost upstream", clip.trouble, "bad")]
    return [Step(timezone.now(), "Being fetched", clip.trouble)]


# -- trouble: three answers -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """What happened, whether it was charged, what now: a headline and a sentence each."""

    title: str
    happened: tuple[str, str]
    charged: tuple[str, str]
    now: tuple[str, str]


def answers(generation: Generation) -> Answers | None:
    """For a generation that brought no clip; None for one that did or still may."""
    status = generation.status
    if status in UNFINISHED or status == Status.COMPLETED:
        return None
    last = generation.submissions.order_by("-attempt").first()
    said = _quoted(generation.upstream_words or (last.upstream_words if last else ""))
    back = f"The {credits(generation.price)} held for it were given back."
    nothing = ("No. 0 credits.", back)
    again = ("It can be tried again", "Same prompt, same settings. You see the price again first.")
    if status == Status.FAILED:
        charged = nothing
        if generation.charged:
            charged = _charged_in_vain(generation, generation.charged)
        happened = (f"Veevid gave up after {duration_words(generation.took)}", said or "It did not say why.")
        return Answers("This clip failed", happened, charged, again)
    if status == Status.REJECTED:
        happened = ("Veevid refused it", said or (last.words if last else ""))
        return Answers("Veevid refused this clip", happened, nothing, ("Change it, then try again", again[1]))
    no = _not_approved(generation)
    if status == Status.CANCELLED and no:
        return Answers("Not approved", no, nothing, again)
    if status == Status.CANCELLED:
        release = generation.entries.filter(kind=LedgerEntry.Kind.RELEASE).first()
        why = release.why if release else "cancelled"
        happened = ("It was never sent", why[:1].upper() + why[1:] + ".")
        return Answers("Cancelled", happened, nothing, again)
    return _unknown(generation, last, said)


def _charged_in_vain(generation: Generation, charge: int) -> tuple[str, str]:
    """Paid without a clip: by Veevid's word or a person's, and whether it came back."""
    refund = generation.entries.filter(kind=LedgerEntry.Kind.REFUND).first()
    if refund:
        return f"It was, and came back. {credits(charge)} charged, {credits(-refund.spent)} refunded.", ""
    said = Decision.objects.filter(submission__generation=generation, kind=Decision.Kind.CHARGED).exists()
    why = "Marked as charged without a clip." if said else "Veevid reports this charge although the clip failed."
    return f"Yes. {credits(charge)}.", why


def _not_approved(generation: Generation) -> tuple[str, str] | None:
    """Who said no and why; None when that was not what ended it."""
    approval = getattr(generation, "approval", None)
    if approval and approval.verdict == Approval.Verdict.REJECTED and approval.who:
        return f"{approval.who.get_full_name()} rejected it", f"“{approval.reason}” It was never sent."
    if approval and approval.verdict == Approval.Verdict.EXPIRED:
        return "It expired", "No manager decided about it in time. It was never sent."
    return None


def _unknown(generation: Generation, last: Submission | None, said: str) -> Answers:
    happened = ("Sent once, no clear answer", f"{last.words if last else ''} {said}".strip())
    evidence = last.evidence.order_by("-pk").first() if last else None
    dropped = evidence is not None and evidence.verdict == Evidence.Verdict.DROPPED
    unchanged = evidence is not None and evidence.verdict == Evidence.Verdict.UNCHANGED
    guess = f"Probably: {credits(generation.price)}" if dropped else "Probably not" if unchanged else "Possibly"
    return Answers(
        "Outcome unknown",
        happened,
        (guess, reconcile.in_words(last) if last else ""),
        (
            "A person decides",
            f"{credits(generation.price)} stay held. Nothing is sent again by itself, so nothing is paid twice.",
        ),
    )


def facts(generation: Generation) -> list[tuple[str, str]]:
    """Price, model and parameters for the clip's page, as label and value. A version stands with its model's name."""
    found = [("Price quoted", credits(generation.price))]
    if generation.charged is not None:
        found.append(("Charged", credits(generation.charged)))
    refund = generation.entries.filter(kind=LedgerEntry.Kind.REFUND).first() if generation.charged else None
    if refund:
        found.append(("Refunded", credits(-refund.spent)))
    model = catalogue.MODELS.get(generation.mode)
    parameters = catalogue.facts(generation.mode, generation.generation_type, generation.params)
    name = [model.name if model else generation.mode, *(words for label, words in parameters if label == VERSION)]
    found.append(("Model", " ".join(name)))
    if generation.project:
        found.append(("Charged to", generation.project.name))
    elsewhere = getattr(generation, "imported", None)
    if elsewhere:
        found.append(("Came with", elsewhere.origin))
    return found + [(label, words) for label, words in parameters if label != VERSION]
