"""The story of a generation: quote -> confirm -> (sending.py) -> look -> complete.

Every move is a guarded UPDATE and every money row is written with the move it belongs to. No request is made inside a
transaction. The paid request between confirming and looking has a file of its own.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core import signing
from django.db import transaction
from django.utils import timezone

from generations import audit, budgets, catalogue, dispatch, forecast, ledger, pacing, veevid
from generations.models import (
    ApiAccount,
    ApiCall,
    Approval,
    Batch,
    Clip,
    Decision,
    Generation,
    GenerationMedia,
    Loan,
    Media,
    Project,
    PromptVersion,
    Quote,
    Status,
    SwitchedOff,
    Team,
    User,
)
from generations.words import credits

QUOTE_LASTS = timedelta(days=1)
SHORT_QUOTE_LASTS = timedelta(seconds=30)  # one that said "not enough credits" is soon asked again
CONFIRMATION_LASTS = 30 * 60  # seconds
PARKED_FOR = timedelta(days=7)  # then an approval that nobody gave expires
LINK_MAY_TAKE = 3600.0  # seconds that "completed" may come without a link before it is taken at its word
LOOK_LEASE = timedelta(seconds=dispatch.QUESTION_DEADLINE + 10)
ABOUT_MEDIA = re.compile(r"\b(urls?|links?|images?|videos?|media|files?|fetch|download|expired?)\b", re.IGNORECASE)
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
    project: int | None = None  # what it is charged to
    version: int | None = None  # of the saved prompt that it started from

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

    def __init__(self, sentence: str, upstream_words: str = "", refused: bool = False) -> None:
        super().__init__(sentence)
        self.upstream_words = upstream_words
        self.refused = refused  # upstream does not take these parameters: asking again does not help


class ConfirmAgain(Trouble):
    """The confirmation is altered, too old, or its price is no longer the price."""


# -- quote ------------------------------------------------------------------------------------------------------------


def digest_of(billing: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(billing, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def newest_quote(billing: Mapping[str, Any], demo: bool, team: Team | int | None = None) -> Quote | None:
    """The last price named within a day for these billing parameters, on an account the team may use."""
    since = timezone.now() - QUOTE_LASTS
    usable = dispatch.accounts_for(demo, team)
    quotes = Quote.objects.filter(digest=digest_of(billing), account__in=usable, at__gt=since, stale=False)
    return quotes.select_related("account").order_by("-at", "-pk").first()


def known_quote(billing: Mapping[str, Any], demo: bool, team: Team | None = None) -> Quote | None:
    """The price in the cache, if it still answers a person's question."""
    newest = newest_quote(billing, demo, team)
    if newest and not newest.sufficient and newest.at < timezone.now() - SHORT_QUOTE_LASTS:
        return None
    return newest


def quote(billing: dict[str, Any], team: Team | None = None) -> Quote:
    """The price of one set of billing parameters: from the cache, else asked for. Raises NoPrice.

    Without a team: on the accounts that are there for all.
    """
    demo = dispatch.demo_mode()
    return known_quote(billing, demo, team) or ask_price(billing, demo, team)


def ask_price(billing: dict[str, Any], demo: bool, team: Team | int | None) -> Quote:
    """Asks upstream, whatever the cache says. Raises NoPrice."""
    problem: NoPrice | None = None
    for account in dispatch.accounts_for(demo, team).exclude(state=ApiAccount.State.SUSPENDED):
        try:
            call = dispatch.reserve(account, ApiCall.Kind.QUOTE)
            answer = dispatch.ask(call, lambda upstream: upstream.quote(billing))
        except dispatch.NoRoom as no:
            problem = NoPrice(_no_room_words(no))
            continue
        except veevid.UpstreamError as error:
            refused = isinstance(error, veevid.BadParameters)
            problem = NoPrice(veevid.in_plain_words(error), error.message, refused)
            if refused:
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
    if problem is None and dispatch.accounts(demo).exclude(state=ApiAccount.State.SUSPENDED).exists():
        problem = NoPrice(
            "Every Veevid account is reserved for other teams. An admin can open one to yours in Settings."
        )
    raise problem or NoPrice("No Veevid account is open for use. An admin can add or reopen one in Settings.")


@dataclass(frozen=True)
class Priced:
    """Prices of several orders, by the digest of their billing parameters; and in words what has none."""

    quotes: dict[str, Quote]
    missing: dict[str, NoPrice]  # in the order in which they were wanted

    def of(self, order: Order) -> Quote | None:
        return self.quotes.get(digest_of(order.billing))


def quote_all(billings: Sequence[dict[str, Any]], team: Team | None = None, ask: bool = True) -> Priced:
    """Known prices, and those still missing asked for, once each, for as long as upstream answers and limits allow.

    When one cannot be had for a reason that holds for all, the others are not asked for either.
    """
    demo = dispatch.demo_mode()
    wanted = {digest_of(billing): billing for billing in billings}
    quotes = {digest: known for digest, billing in wanted.items() if (known := known_quote(billing, demo, team))}
    missing: dict[str, NoPrice] = {}
    stop: NoPrice | None = None if ask else NoPrice("Not asked for yet.")
    for digest, billing in wanted.items():
        if digest in quotes:
            continue
        try:
            if stop:
                raise stop
            quotes[digest] = ask_price(billing, demo, team)
        except NoPrice as no:
            missing[digest] = no
            stop = stop or (None if no.refused else no)
    return Priced(quotes, missing)


def _no_room_words(no: dispatch.NoRoom) -> str:
    if no.why == "key":
        return "No working Veevid key is left. An admin can add one in Settings. Nothing was charged."
    if no.why in ("hour", "busy", "limit"):
        at = timezone.localtime(no.until)
        again = f"A price can be asked for again at {at:%H:%M:%S}."
        return f"The requests that Veevid allows are used up. {again} Nothing was charged."
    return "Veevid cannot be asked for a price now. Nothing was charged."


# -- confirm ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What makes orders a batch: how they came about, and after how many failures the rest is not sent."""

    kind: str
    template: str
    values: dict[str, list[str]]  # variable -> what stands in its place
    sets: int  # of models with their parameters: so many orders follow each other for every filled prompt
    stop_after: int | None = None


def seal(user: User, team: Team, order: Order, price: Quote) -> str:
    """A signed confirmation, bound to this person, exactly these parameters and this price."""
    return seal_all(user, team, [(order, price)])


def seal_all(user: User, team: Team, priced: Sequence[tuple[Order, Quote]], plan: Plan | None = None) -> str:
    """The same of several orders, each at its price: one confirmation, all of them or none."""
    return signing.dumps(
        {
            "nonce": uuid.uuid4().hex,
            "user": user.pk,
            "team": team.pk,
            "orders": [
                {
                    "mode": order.mode,
                    "type": order.generation_type,
                    "params": order.params,
                    "prompt": order.prompt,
                    "media": order.media,
                    "project": order.project,
                    "version": order.version,
                    "quote": price.pk,
                    "credits": price.credits,
                }
                for order, price in priced
            ],
            "plan": asdict(plan) if plan else None,
        },
        salt=CONFIRMATION_SALT,
        compress=True,
    )


def unseal(sealed: str, lasts: int | None = CONFIRMATION_LASTS) -> dict[str, Any]:
    """What a confirmation says. Raises ConfirmAgain when it was altered or is too old."""
    try:
        said = signing.loads(sealed, salt=CONFIRMATION_SALT, max_age=lasts)
    except signing.SignatureExpired:
        raise ConfirmAgain(
            "This confirmation is older than half an hour. Here is the price again. Nothing was charged."
        ) from None
    except signing.BadSignature:
        raise ConfirmAgain(
            "This confirmation was altered on its way. Here is the price again. Nothing was charged."
        ) from None
    if "orders" not in said:
        raise ConfirmAgain("This confirmation was made before an update. Here is the price again. Nothing was charged.")
    return said


def orders_of(said: Mapping[str, Any]) -> list[Order]:
    """The orders of a confirmation."""
    return [
        Order(one["mode"], one["type"], one["params"], one["prompt"], one["media"], one["project"], one["version"])
        for one in said["orders"]
    ]


def plan_of(said: Mapping[str, Any]) -> Plan | None:
    return Plan(**said["plan"]) if said["plan"] else None


def made_of(said: Mapping[str, Any]) -> list[Generation]:
    """What a confirmation was turned into already, in its order."""
    nonces = _nonces(said)
    made = Generation.objects.filter(nonce__in=nonces).select_related("batch")
    return sorted(made, key=lambda generation: nonces.index(generation.nonce))


def _nonces(said: Mapping[str, Any]) -> list[uuid.UUID]:
    """One for each generation: the confirmation's own, or, of a batch, names made from it."""
    nonce = uuid.UUID(said["nonce"])
    if not said["plan"]:
        return [nonce]
    return [uuid.uuid5(nonce, str(position)) for position in range(len(said["orders"]))]


def confirm(user: User, sealed: str) -> Generation:
    """Turns a confirmation into a queued generation with its hold, or a parked one. The same one twice is the first."""
    return confirm_all(user, sealed)[0]


def confirm_all(user: User, sealed: str) -> list[Generation]:
    """Turns a confirmation into generations, queued or parked, each with its hold: all of them or none.

    The same one twice gives the first ones. Raises ConfirmAgain when the confirmation no longer stands, OverBudget when
    a budget refuses them together; then nothing is held and nothing sent.
    """
    said = unseal(sealed)
    if said["user"] != user.pk:
        raise ConfirmAgain("This confirmation was made for somebody else. Nothing was charged.")
    already = made_of(said)
    if already:
        return already
    orders, prices = orders_of(said), _prices(said)
    _check_still_stand(orders, prices, said)
    with transaction.atomic():
        team = budgets.lock(said["team"])
        already = made_of(said)
        if already:
            return already
        project = _project(team, orders[0].project)
        wanted = [(order.mode, price.credits) for order, price in zip(orders, prices, strict=True)]
        verdict = budgets.weigh_all(team, user, project, wanted, prices[0].account.demo)
        if verdict.refusing:
            raise budgets.OverBudget(sum(price.credits for price in prices), verdict.refusing)
        plan = plan_of(said)
        batch = _batch(plan, team, user, said["nonce"]) if plan else None
        versions = {pk: _version(team, pk) for pk in {order.version for order in orders}}
        generations = []
        rows = zip(orders, prices, _nonces(said), verdict.asking_each, strict=True)
        for position, (order, price, nonce, asking) in enumerate(rows):
            generation = Generation.objects.create(
                nonce=nonce,
                team=team,
                owner=user,
                project=project,
                batch=batch,
                position=position if batch else None,
                day=team.day(),
                mode=order.mode,
                generation_type=order.generation_type,
                params=order.params,
                prompt=order.prompt,
                from_version=versions[order.version],
                quote=price,
                price=price.credits,
                status=Status.AWAITING_APPROVAL if asking else Status.QUEUED,
            )
            _attach_media(generation, order.media)
            ledger.hold(generation)
            if asking:
                until = timezone.now() + PARKED_FOR
                Approval.objects.create(generation=generation, why="\n".join(asking), expires_at=until)
            generations.append(generation)
    forecast.tell_queued([generation for generation in generations if generation.status == Status.QUEUED])
    return generations


def _prices(said: Mapping[str, Any]) -> list[Quote]:
    found = Quote.objects.select_related("account").in_bulk({one["quote"] for one in said["orders"]})
    return [found[one["quote"]] for one in said["orders"]]


def _batch(plan: Plan, team: Team, user: User, nonce: str) -> Batch:
    return Batch.objects.create(
        team=team,
        owner=user,
        kind=plan.kind,
        nonce=uuid.UUID(nonce),
        template=plan.template,
        values=plan.values,
        stop_after=plan.stop_after,
    )


def _project(team: Team, pk: int | None) -> Project | None:
    """A project of the team that is not archived. Another team's is as good as gone."""
    if pk is None:
        return None
    project = team.projects.filter(pk=pk, archived_at=None).first()
    if project is None:
        raise ConfirmAgain("This project is not there any more. Choose another one. Nothing was charged.")
    return project


def _version(team: Team, pk: int | None) -> PromptVersion | None:
    """The version of a saved prompt that an order started from, if it is still there. A clip needs none."""
    return PromptVersion.objects.filter(pk=pk, prompt__team=team).first() if pk else None


def _check_still_stand(orders: Sequence[Order], prices: Sequence[Quote], said: Mapping[str, Any]) -> None:
    """Models are on, demo mode is as it was, and every price is still the one that was shown."""
    if len({order.project for order in orders}) > 1:
        raise ConfirmAgain("One confirmation is charged to one project. Nothing was charged.")
    if SwitchedOff.objects.filter(mode__in={order.mode for order in orders}).exists():
        one = "This model" if len(orders) == 1 else "A model of these"
        raise ConfirmAgain(f"{one} was switched off meanwhile. Nothing was charged.")
    demo = dispatch.demo_mode()
    if any(price.account.demo != demo for price in prices):
        raise ConfirmAgain("Dailies left demo mode meanwhile. Here is the real price. Nothing was charged.")
    newest: dict[str, Quote | None] = {}
    for order, price, one in zip(orders, prices, said["orders"], strict=True):
        digest = digest_of(order.billing)
        if digest not in newest:
            newest[digest] = newest_quote(order.billing, demo, said["team"])
        known = newest[digest]
        if known is None or known.credits != one["credits"] or price.digest != digest:
            which = "The price" if len(orders) == 1 else f"The price of {order.in_words}"
            raise ConfirmAgain(f"{which} is no longer the one you saw. Here it is again. Nothing was charged.")


def _attach_media(generation: Generation, media: Mapping[str, list[str]]) -> None:
    for slot, sources in media.items():
        for position, source in enumerate(sources):
            ours = _upload(source, generation.team_id) if source.startswith("media:") else None
            GenerationMedia.objects.create(
                generation=generation, slot=slot, position=position, media=ours, url="" if ours else source
            )


def _upload(source: str, team_id: int) -> Media:
    """One of the team's own uploads. Another team's is as good as gone."""
    media = Media.objects.filter(key=source.removeprefix("media:"), team_id=team_id).first()
    if media is None:
        raise ConfirmAgain("An image or video of this clip is not there any more. Nothing was charged.")
    return media


def cancel(generation: Generation, who: User, **origin: str) -> bool:
    """Takes a waiting generation out of the line and gives its hold back. False: it was already sent."""
    if generation.status not in (Status.QUEUED, Status.AWAITING_APPROVAL):
        return False
    with transaction.atomic():
        ended = end_unsent(generation, f"cancelled by {who.get_full_name()}")
        if ended and generation.owner_id != who.pk:
            words = f"{generation} of {generation.owner}, {credits(generation.price)} given back"
            audit.record(who, "generation.cancelled", words, team=generation.team, generation=generation.pk, **origin)
    return ended


def end_unsent(generation: Generation, why: str) -> bool:
    """Cancels what waits and gives its hold back. False: somebody else was first."""
    with transaction.atomic():
        ended = generation.move(Status.CANCELLED, finished_at=timezone.now())
        if ended:
            ledger.release(generation, why)
            _no_longer_asked(generation, why)
    return ended


def cancel_rest(batch: Batch, who: User) -> list[Generation]:
    """Cancels what waits of a batch. What was sent goes on. Returns what it cancelled."""
    return _end_rest(batch, f"cancelled by {who.get_full_name()}")


def too_many_failed(generation: Generation) -> bool:
    """Whether so many of its batch failed that the rest is not to be sent any more."""
    batch = generation.batch
    if batch is None or batch.stop_after is None:
        return False
    failed = batch.generations.filter(status__in=(Status.FAILED, Status.REJECTED)).count()
    return failed >= batch.stop_after


def stop_if_too_many_failed(generation: Generation) -> None:
    """After a failure: cancels what waits of its batch, if it was one too many. Sending looks again by itself."""
    batch = generation.batch
    if batch is None or not too_many_failed(generation):
        return
    Batch.objects.filter(pk=batch.pk, stopped_at=None).update(stopped_at=timezone.now())
    _end_rest(batch, stopped_words(batch))


def stopped_words(batch: Batch) -> str:
    """`the batch stops after 2 failures`."""
    return f"the batch stops after {batch.stop_after} failure{'' if batch.stop_after == 1 else 's'}"


def _end_rest(batch: Batch, why: str) -> list[Generation]:
    """One transaction each: a clip that is being sent or approved meanwhile holds up no other."""
    waiting = batch.generations.filter(status__in=(Status.QUEUED, Status.AWAITING_APPROVAL)).order_by("pk")
    rows = waiting.select_related("quote__account")
    return [generation for generation in rows if end_unsent(generation, why)]


def _no_longer_asked(generation: Generation, why: str) -> None:
    """Closes the approval of a request that ended otherwise."""
    asked = Approval.objects.filter(generation=generation, verdict=Approval.Verdict.OPEN)
    asked.update(verdict=Approval.Verdict.CANCELLED, decided_at=timezone.now(), reason=why[:500])


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
    url = answer.video_url or generation.video_url
    elapsed = _elapsed(generation)
    if answer.status == "completed" and (url or elapsed > LINK_MAY_TAKE):
        return _complete(generation, url, answer)
    pace = dispatch.Pace(account)
    if _too_long(generation, pace, elapsed):
        return None
    _look_again(generation, at=pace.next_look(generation, elapsed))
    return None


def _elapsed(generation: Generation) -> float:
    return (timezone.now() - (generation.sent_at or generation.created_at)).total_seconds()


def _too_long(generation: Generation, pace: dispatch.Pace, elapsed: float) -> bool:
    """Says so when it takes long; after a week a person decides what became of it. True: it is looked at no more."""
    long = generation.status == Status.PROCESSING and elapsed > pacing.STALLED_SOONEST  # else nothing is asked
    if long and elapsed > pace.stalled_after(generation):
        generation.move(Status.STALLED)
    if elapsed > pacing.GIVE_UP_AFTER and generation.status == Status.STALLED and not _decided_lately(generation):
        return generation.move(Status.UNCONFIRMED, next_look_at=None)
    return False


def _decided_lately(generation: Generation) -> bool:
    """What a person adopted gets its own week."""
    since = timezone.now() - timedelta(seconds=pacing.GIVE_UP_AFTER)
    return Decision.objects.filter(submission__generation=generation, at__gt=since).exists()


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
    if _too_long(generation, dispatch.Pace(account), _elapsed(generation)):
        return None
    wait = pacing.STALLED_EVERY if generation.status == Status.STALLED else pacing.backoff(unanswered, 0.5)
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
        if charged > generation.price:  # what the cache says is no longer true
            Quote.objects.filter(digest=generation.quote.digest).update(stale=True)
        if not url:
            gone = {"state": Clip.State.GONE, "fetch_at": None, "trouble": "Veevid named no link to the clip"}
            Clip.objects.create(generation=generation, source_url="", **gone)
            return None
        size = answer.metadata.get("file_size") if answer else None
        known = size if isinstance(size, int) and size > 0 else None
        return Clip.objects.create(generation=generation, source_url=url, expected_size=known)


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
    if moved and ABOUT_MEDIA.search(answer.error_message or ""):
        end_loans(generation)
    if moved:
        stop_if_too_many_failed(generation)


def end_loans(generation: Generation) -> None:
    """Upstream could not use what it was given: what it was lent is handed over anew before the next submission."""
    Loan.objects.filter(media__uses__generation=generation, account=generation.account_id).delete()


def end_demo() -> None:
    """Ends what demo mode left unfinished, when the simulator does not run any more: nobody would ever answer."""
    ends = {
        Status.AWAITING_APPROVAL: Status.CANCELLED,
        Status.QUEUED: Status.CANCELLED,
        Status.PROCESSING: Status.FAILED,
        Status.STALLED: Status.FAILED,
        Status.UNCONFIRMED: Status.CANCELLED,
    }
    rows = Generation.objects.select_related("quote__account").filter(quote__account__demo=True, status__in=ends)
    for generation in rows:
        with transaction.atomic():
            if generation.move(ends[Status(generation.status)], finished_at=timezone.now(), next_look_at=None):
                ledger.release(generation, "demo mode ended")
                _no_longer_asked(generation, "demo mode ended")
    Clip.objects.filter(state=Clip.State.PENDING, generation__quote__account__demo=True).update(
        state=Clip.State.GONE, fetch_at=None, trouble="demo mode ended before it was fetched"
    )
