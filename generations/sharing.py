"""Share links as people make, change and revoke them, and what a guest's visit leaves behind."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from generations import access, audit
from generations.models import Collection, Generation, SharedClip, ShareLink, ShareView, Team, User
from generations.words import client_words

Origin = Mapping[str, str]  # address and agent, for the audit trail

NOTHING = "Nothing was changed."
MOST_CLIPS = 200  # in one link; a collection has no such limit
TRIES = 50  # of a link's password in a window, from everywhere together
TRIES_WINDOW = timedelta(hours=1)
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", re.IGNORECASE)


class CannotShare(Exception):
    """It is not done. The message says why; nothing was changed."""


class TooManyTries(Exception):
    """The password is not even looked at."""


@dataclass(frozen=True)
class Terms:
    """What a link lets guests do and see, and for how long."""

    title: str = ""
    expires_at: datetime | None = None
    max_views: int | None = None
    may_download: bool = False
    shows_prompt: bool = False
    shows_price: bool = False
    shows_author: bool = False
    embed_on: str = ""


# -- making -----------------------------------------------------------------------------------------------------------


def share_clips(
    who: User, clips: Sequence[Generation], terms: Terms, password: str, origin: Origin
) -> tuple[ShareLink, str]:
    """A link to these clips of one team. Returns it and its token, which is kept nowhere."""
    if not clips:
        raise CannotShare("Choose a clip that is ready: there is nothing to share yet. No link was made.")
    if len(clips) > MOST_CLIPS:
        raise CannotShare(f"One link shows up to {MOST_CLIPS} clips. Share a collection for more. No link was made.")
    team = clips[0].team
    if any(clip.team_id != team.pk for clip in clips):
        raise CannotShare("These clips are of different teams. No link was made.")
    if not access.may_share(who, team):
        raise CannotShare(f"Members and managers of {team} share its clips. No link was made.")
    with transaction.atomic():
        link, token = _make(who, team, terms, password, len(clips) == 1)
        SharedClip.objects.bulk_create(SharedClip(link=link, generation=clip) for clip in clips)
        _record(who, "share.made", link, origin, clips=[clip.pk for clip in clips], **_terms_of(link))
    return link, token


def share_collection(
    who: User, collection: Collection, terms: Terms, password: str, origin: Origin
) -> tuple[ShareLink, str]:
    """A link to a collection as it is whenever somebody looks."""
    if not access.may_share_collection(who, collection):
        raise CannotShare("A private collection is shared by its owner alone. No link was made.")
    with transaction.atomic():
        link, token = _make(who, collection.team, terms, password, False, of_collection=True, collection=collection)
        _record(who, "share.made", link, origin, collection=collection.pk, **_terms_of(link))
    return link, token


def _make(who: User, team: Team, terms: Terms, password: str, one: bool, **fields: Any) -> tuple[ShareLink, str]:
    _check(who, team, terms, bool(password), one)
    token, digest = ShareLink.new_token()
    hashed = make_password(password) if password else ""
    made = ShareLink(team=team, made_by=who, digest=digest, password=hashed, **asdict(terms), **fields)
    made.save(force_insert=True)
    return made, token


def _check(who: User, team: Team, terms: Terms, locked: bool, one: bool, endless: bool = False) -> None:
    if terms.expires_at is None and not endless and not access.may_share_for_ever(who, team):
        raise CannotShare(f"Only managers make links without an end. Choose for how long it works. {NOTHING}")
    if not terms.embed_on:
        return
    if locked or terms.max_views:
        why = "inside another site browsers keep nothing, so neither a password nor a number of views would hold"
        raise CannotShare(f"A link with a password or a number of views cannot be embedded: {why}. {NOTHING}")
    if not one:
        raise CannotShare(f"The player for other sites shows one clip. Make a link to one clip for it. {NOTHING}")


def embed_origins(typed: str) -> str:
    """The sites that may frame the player, one way of writing each. Raises CannotShare."""
    origins = typed.replace(",", " ").lower().split()
    for origin in origins:
        if not ORIGIN.fullmatch(origin.rstrip("/")):
            raise CannotShare(f"“{origin[:60]}” is not the address of a site. Write it as https://example.com.")
    return " ".join(dict.fromkeys(origin.rstrip("/") for origin in origins))


def _terms_of(link: ShareLink) -> dict[str, Any]:
    """For the audit trail: nothing secret in it."""
    end = link.expires_at.isoformat() if link.expires_at else None
    return {"expires_at": end, "password": bool(link.password)} | {
        name: getattr(link, name) for name in Terms.__dataclass_fields__ if name not in ("title", "expires_at")
    }


def _record(who: User | None, action: str, link: ShareLink, origin: Origin, **details: Any) -> None:
    audit.record(who, action, f"{link}, made by {link.made_by}", team=link.team, **origin, link=link.pk, **details)


# -- changing and ending ----------------------------------------------------------------------------------------------


def change(who: User, link: ShareLink, terms: Terms, password: str | None, origin: Origin) -> None:
    """New terms for a link that still works. A password of None stays as it is; an empty one is taken away."""
    with transaction.atomic():
        current = ShareLink.objects.select_for_update(of=("self",)).select_related("team", "made_by").get(pk=link.pk)
        if current.revoked_at:
            raise CannotShare(f"This link was revoked in the meantime. {NOTHING}")
        hashed = current.password if password is None else make_password(password) if password else ""
        one = not current.of_collection and current.items.count() == 1
        _check(who, current.team, terms, bool(hashed), one, endless=current.expires_at is None)
        before = _terms_of(current)
        ShareLink.objects.filter(pk=link.pk, revoked_at=None).update(password=hashed, **asdict(terms))
        link.refresh_from_db()
        after = _terms_of(link)
        changed = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
        _record(who, "share.changed", link, origin, changed=changed)


def revoke(who: User | None, link: ShareLink, origin: Origin) -> bool:
    """Ends a link at once. False when somebody else did before."""
    with transaction.atomic():
        ended = ShareLink.objects.filter(pk=link.pk, revoked_at=None)
        if not ended.update(revoked_at=timezone.now(), revoked_by=who):
            return False
        _record(who, "share.revoked", link, origin)
    return True


def revoke_all(who: User | None, links: Iterable[ShareLink], origin: Origin) -> int:
    """How many of them were ended by this."""
    with transaction.atomic():
        return sum(revoke(who, link, origin) for link in links)


def revoke_idle(who: User | None, person: User, origin: Origin) -> None:
    """Ends the links of somebody who may not share any more: they know the links, which must not outlive them."""
    links = ShareLink.objects.filter(made_by=person, revoked_at=None).select_related("team", "made_by", "collection")
    revoke_all(who, [link for link in links if not access.may_share_still(link)], origin)


# -- guests -----------------------------------------------------------------------------------------------------------


def find(token: str) -> ShareLink | None:
    """The link whose token this is, open or not."""
    rows = ShareLink.objects.select_related("team", "made_by", "collection__team")
    found = rows.filter(digest=ShareLink.digest_of(token)).first()
    if found:
        found.token = token
    return found


def unlocks(link: ShareLink, typed: str) -> bool:
    """Whether this is the password. Raises TooManyTries, also for the right one."""
    if not link.take_try(TRIES, TRIES_WINDOW):
        raise TooManyTries
    if not check_password(typed, link.password):
        return False
    ShareLink.objects.filter(pk=link.pk, tries__gt=0).update(tries=F("tries") - 1)
    return True


def begin_view(link: ShareLink, agent: str, embedded: bool = False) -> bool:
    """Counts a view and notes it. False when the link has none left."""
    with transaction.atomic():
        if not link.count_view():
            return False
        ShareView.objects.create(link=link, client=client_words(agent), embedded=embedded)
    return True
