"""Who gets what answer at each address: one table, and every address of the urlconf has to be in it.

Seven people ask: nobody signed in, a guest with a share link of Northlight, a viewer, a member and a manager of
Northlight, a site's admin who is a plain member there, and a manager of Southlight. They ask for what is their own,
what is a colleague's, and what is the other team's. A refusal must not have written a row or sent a request. The guest
may what nobody may, and open links.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any

import pytest
import responses
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from django.utils import timezone

from generations import catalogue, comparisons, ledger, lifecycle, prompts, sharing
from generations.models import (
    ApiAccount,
    Approval,
    ApprovalRule,
    AuditEntry,
    BalanceReading,
    Batch,
    Budget,
    Clip,
    Collection,
    CollectionItem,
    Generation,
    Invitation,
    LedgerEntry,
    Media,
    Membership,
    Notification,
    Project,
    Prompt,
    Quote,
    ShareLink,
    Status,
    Submission,
    Team,
    User,
    Webhook,
)
from generations.views import media
from tests.makers import make_account, make_order, make_person, price_is

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture(autouse=True)
def places_for_all(monkeypatch) -> None:
    """Answers that nobody reads keep their places among the long downloads."""
    monkeypatch.setattr(media, "PLACES", BoundedSemaphore(1000))


PEOPLE = ("viewer", "member", "manager", "admin")
NOWHERE = "404 404 404 404"  # "An object of another team is a 404 everywhere."


@dataclass(frozen=True)
class Row:
    """What viewer, member, manager and admin of a team are answered: ok, 403, 404 or 405.

    `ok` means that the view did its work: 200, 206, or a redirect to anywhere but the sign-in.
    """

    method: str
    them: str  # about the team's: of a colleague, where things have an owner
    of: str = ""  # the kind of thing that the address names
    own: str = ""  # about one's own, where that differs
    elsewhere: str = NOWHERE  # about the other team's
    nobody: str = "login"  # who is not signed in
    also: str = ""  # a second method that is answered


def ask(them: str, of: str = "", **more: str) -> Row:
    return Row("GET", them, of, **more)


def do(them: str, of: str = "", **more: str) -> Row:
    return Row("POST", them, of, **more)


ALL = "ok ok ok ok"
CONFIRMATIONS = ("confirmation", "confirmation_of_several")  # bound to one person
MAKERS = "403 ok ok ok"
MANAGERS = "403 403 ok ok"
ADMINS = "403 403 403 ok"
MAKERS_NOWHERE = "403 404 404 404"
SITE = {"elsewhere": ADMINS}  # what belongs to no team
SHARED = {"elsewhere": "ok ok ok ok", "nobody": "ok"}

TABLE: dict[str, Row] = {
    # everybody's pages
    "gallery": ask(ALL),
    "gallery_live": ask(ALL),
    "healthz": Row("GET", ALL, nobody="ok", also="POST DELETE"),
    "theme": do(ALL),
    "welcome": ask(ALL, also="POST"),
    "queue": ask(ALL),
    "queue_live": ask(ALL),
    "spend": ask(ALL),
    "spend_csv": ask(ALL),
    "rise": ask(ADMINS, "rise", **SITE),
    "record_refund": do(ADMINS, "came_back", **SITE),
    "you": ask(ALL),
    "choose_notifications": do(ALL),
    "notifications": ask(ALL),
    "read_all_notifications": do(ALL),
    "follow_notification": ask(NOWHERE, "notification", own=ALL),
    "read_notification": do(NOWHERE, "notification", own=ALL),
    "switch_team": do(ALL, "team_chosen"),
    "leave_team": do(ALL, "team"),
    "join": ask("ok ok ok ok", "token", elsewhere=ALL, nobody="ok"),
    # making clips
    "compose": ask(MAKERS),
    "compose_form": do(MAKERS, also="GET"),
    "compose_price": do(MAKERS),
    "compose_media": do(MAKERS),
    "compose_review": do(MAKERS),
    "compose_confirm": do(MAKERS, "confirmation", elsewhere="403 403 403 403"),
    # several clips at once, and side by side
    "several": ask(MAKERS, also="POST"),
    "several_price": do(MAKERS),
    "several_review": do(MAKERS),
    "several_confirm": do(MAKERS, "confirmation_of_several", elsewhere="403 403 403 403"),
    "batch": ask(ALL, "batch"),
    "batch_live": ask(ALL, "batch"),
    "batch_cancel": do(MANAGERS, "batch", own=ALL),
    "compare": ask(ALL, "pair", also="POST"),
    "compare_winner": do(MAKERS, "pair"),
    "compare_open_vote": do(MAKERS, "pair"),
    "compare_vote": do(ALL, "voting"),
    "compare_close_vote": do(MANAGERS, "voting", own=ALL),
    "worth": ask(ALL),
    "compare_with": ask(ALL, "clip"),
    # clips, and every byte of them
    "generation": ask(ALL, "generation"),
    "generation_live": ask(ALL, "generation"),
    "video": ask(ALL, "clip"),
    "download": ask(ALL, "clip"),
    "poster": ask(ALL, "clip"),
    "narrower_poster": ask(ALL, "clip_and_width"),
    "preview": ask(ALL, "clip"),
    "upload": ask(ALL, "upload"),
    "upload_poster": ask(ALL, "upload"),
    "fetch_again": do(MANAGERS, "lost"),
    "decide": do(MANAGERS, "unclear"),
    "cancel": do(MANAGERS, "generation", own=ALL),
    # saved prompts: shared ones of the team; a colleague's own are not there (tests/test_prompts.py)
    "prompts": ask(ALL),
    "prompts_json": ask(ALL),
    "new_prompt": ask(MAKERS, also="POST"),
    "add_prompt": do(MAKERS),
    "import_prompts": ask(MAKERS),
    "bring_in_prompts": do("403 422 422 422"),  # no file
    "prompt": ask(ALL, "prompt"),
    "use_prompt": ask(MAKERS, "prompt", elsewhere=MAKERS_NOWHERE, also="POST"),
    "edit_prompt": ask(MAKERS, "prompt", elsewhere=MAKERS_NOWHERE, also="POST"),
    "star_prompt": do(ALL, "prompt"),
    "share_prompt": do(MANAGERS, "prompt", own=MAKERS),
    "archive_prompt": do(MANAGERS, "prompt", own=MAKERS),
    "remove_prompt": do(MANAGERS, "prompt", own=MAKERS),
    # in order: hearts are everybody's; the rest is for makers, the end of a clip for its owner and managers
    "favourite": do(ALL, "picked"),
    "mark": do(MAKERS, "picked"),
    "tag": do(MAKERS, "picked"),
    "untag": do(MAKERS, "picked"),
    "collect": do(MAKERS, "picked"),
    "uncollect": do(MAKERS, "picked_in"),
    "throw": do(MANAGERS, "picked", own="403 ok ok ok"),
    "restore": do("404 ok ok ok", "picked_binned"),
    "erase": do("404 403 ok ok", "picked_binned"),
    "zip": do(ALL, "picked"),
    "bin": ask(MAKERS),
    "bin_poster": ask("404 ok ok ok", "binned"),
    "collections": ask(ALL),
    "make_collection": do(MAKERS),
    "collection": ask(ALL, "collection"),
    "zip_collection": do(ALL, "collection"),
    "rename_collection": do(MANAGERS, "collection", own="403 ok ok ok"),
    "delete_collection": do(MANAGERS, "collection", own="403 ok ok ok"),
    "rename_tag": do(MAKERS, "tagged", elsewhere="403 422 422 422"),
    "delete_tag": do(MAKERS, "tagged", elsewhere="403 422 422 422"),
    # share links: whoever has one opens it
    "share": ask(ALL, "shared", **SHARED),
    "share_card": ask(ALL, "shared", **SHARED),
    "share_zip": ask(ALL, "shared", **SHARED),
    "share_embed": ask(ALL, "shared", **SHARED),
    "share_unlock": do(ALL, "shared", **SHARED),
    "share_clip": ask(ALL, "shared_clip", **SHARED),
    "share_poster": ask(ALL, "shared_clip", **SHARED),
    "share_preview": ask(ALL, "shared_clip", **SHARED),
    "share_video": ask(ALL, "shared_clip", **SHARED),
    "share_download": ask(ALL, "shared_clip", **SHARED),
    "robots": ask(ALL, nobody="ok", also="POST DELETE"),
    "share_new": ask(MAKERS, "to_share", also="POST", elsewhere="403 404 404 404"),
    "share_links": ask(ALL),
    "share_link": ask("404 404 ok ok", "link", own=ALL, also="POST"),
    "revoke_share": do("404 404 ok ok", "link", own=ALL),
    "revoke_shares": do(ALL, "maker", elsewhere=ALL),  # ends those links alone that the person sees
    # the library of uploads
    "library": ask(ALL),
    "add_to_library": do(MAKERS),
    "delete_from_library": do(MANAGERS, "upload_chosen", own=MAKERS),
    "frame": do(MAKERS, "clip", elsewhere=MAKERS_NOWHERE),
    # approvals: admins decide for every team, nobody for themselves
    "approvals": ask(MANAGERS),
    "approve": do(MANAGERS, "parked", own="403 403 422 422", elsewhere="403 403 404 ok"),
    "reject": do(MANAGERS, "parked", own="403 403 422 422", elsewhere="403 403 404 ok"),
    # the audit trail: all of it for admins, their teams' for managers
    "audit": ask(MANAGERS),
    "audit_csv": ask(MANAGERS),
    # the team's page
    "team": ask(MANAGERS),
    "invite": do(MANAGERS),
    "revoke_invitation": do(MANAGERS, "invitation", elsewhere="403 403 404 404"),
    "change_role": do(MANAGERS, "membership", elsewhere="403 403 404 404"),
    "remove_member": do(MANAGERS, "membership", elsewhere="403 403 404 404"),
    "add_project": do(MANAGERS),
    "rename_project": do(MANAGERS, "project", elsewhere="403 403 404 404"),
    "archive_project": do(MANAGERS, "project", elsewhere="403 403 404 404"),
    "add_budget": do(MANAGERS, "budgeted", elsewhere="403 403 404 404"),
    "change_budget": do(MANAGERS, "budget", elsewhere="403 403 404 404"),
    "reset_budget": do(MANAGERS, "budget", elsewhere="403 403 404 404"),
    "end_budget": do(MANAGERS, "budget", elsewhere="403 403 404 404"),
    "set_rule": do(MANAGERS),
    "remove_rule": do(MANAGERS, "rule", elsewhere="403 403 404 404"),
    "set_time_zone": do(MANAGERS),
    "storage": ask(MANAGERS),
    "set_storage_rule": do(MANAGERS),
    "add_webhook": do(MANAGERS),
    "test_webhook": do(MANAGERS, "webhook", elsewhere="403 403 404 404"),
    "remove_webhook": do(MANAGERS, "webhook", elsewhere="403 403 404 404"),
    # the site's people and teams
    "people": ask(ADMINS),
    "make_team": do(ADMINS),
    "step_in": do(ADMINS, "team", **SITE),
    "invite_anywhere": do(ADMINS, "team_chosen", **SITE),
    "second_factor_rule": do(ADMINS),
    "set_admin": do(ADMINS, "person", **SITE),
    "set_person_open": do(ADMINS, "person", **SITE),
    "forget_second_factor": do(ADMINS, "person", **SITE),
    # the site's settings
    "settings": ask(ADMINS),
    "add_key": do(ADMINS),
    "test_key": do(ADMINS, "key", **SITE),
    "pause_key": do(ADMINS, "key", **SITE),
    "resume_key": do(ADMINS, "key", **SITE),
    "replace_key": do(ADMINS, "key", **SITE),
    "pause_account": do(ADMINS, "account", **SITE),
    "resume_account": do(ADMINS, "account", **SITE),
    "share_account": do(ADMINS, "account", **SITE),
    "reserve_account": do(ADMINS, "account", **SITE),
    "safe_mode": ask(ADMINS),
    "safe_mode_balances": do(ADMINS),
    "safe_mode_take_in": do(ADMINS),
    "safe_mode_release": do("403 403 403 422"),  # nothing is frozen
    "switch_model": do(ADMINS),
    "set_low_balance": do(ADMINS),
    "add_site_webhook": do(ADMINS),
    "test_site_webhook": do(ADMINS, "site_webhook", **SITE),
    "remove_site_webhook": do(ADMINS, "site_webhook", **SITE),
}
HOOK = {"name": "A chat", "shape": "slack", "url": "https://hooks.example.com/a", "kinds": ["budget"]}

# What is done at these addresses leaves a row in the audit trail ...
DEEDS = ("settings/", "approvals/", "team/", "teams/", "people/", "spend/")
# ... but for a person's own choice, for a question, and for what changes nothing in this test's world.
NO_DEEDS = {"switch_team", "safe_mode_balances", "safe_mode_take_in", "safe_mode_release"}
NO_DEEDS |= {"resume_key", "forget_second_factor"}  # tests/test_audit_page.py, tests/test_second_factor.py

# What the views have to be given so that whoever may gets an ok.
BODIES: dict[str, dict[str, Any]] = {
    "decide": {"kind": "release"},
    "mark": {"mark": "keep"},
    "tag": {"tag": "Sea, sun"},
    "untag": {"tag": "sea"},
    "collect": {"collection": "new", "name": "Alpine"},
    "make_collection": {"name": "Alpine"},
    "rename_collection": {"seen": "First cut", "name": "Second cut"},
    "approve": {"shown": "140"},
    "reject": {"reason": "too dear"},
    "share_new": {"lasts": "30"},
    "share_link": {"lasts": "keep"},
    "invite": {"role": "member", "email": ""},
    "invite_anywhere": {"role": "member", "email": ""},
    "change_role": {"role": "viewer"},
    "add_project": {"name": "Alpine 2"},
    "rename_project": {"name": "Alpine 3"},
    "archive_project": {"archived": "1"},
    "add_budget": {"window": "week", "over": "warn", "credits": "500"},
    "change_budget": {"over": "warn", "credits": "900"},
    "set_rule": {"mode": "sora2", "above": "7"},
    "set_storage_rule": {"days": "90"},
    "set_time_zone": {"time_zone": "Europe/Berlin"},
    "make_team": {"name": "Eastlight", "time_zone": "UTC"},
    "add_prompt": {"title": "Dunes", "text": "A walker"},
    "edit_prompt": {"title": "Dunes", "text": "Another walker", "seen": "1"},
    "share_prompt": {"on": "1"},
    "set_admin": {"on": "1"},
    "set_person_open": {"on": "0"},
    "add_key": {"secret": "vv_sk_another_0123456789"},
    "replace_key": {"secret": "vv_sk_another_0123456789"},
    "reserve_account": {"team": ""},
    "set_low_balance": {"low_balance": "700"},
    "add_webhook": HOOK,
    "add_site_webhook": HOOK,
    "read_all_notifications": {"until": "1"},
    "share_account": {"exclusive": "1"},
    "switch_model": {"mode": "sora2", "on": "0"},
    "compose_form": {"mode": "veo3", "generation_type": "text-to-video"},
    "compose_price": {"mode": "veo3", "generation_type": "text-to-video"},
    "compose_media": {"mode": "kling-3", "generation_type": "image-to-video", "remove": "image:0"},
    "several_review": {
        "generation_type": "text-to-video",
        "prompt": "A walk",
        "shown": "text-to-video",
        "set": ["1"],
        "1-mode": "veo3",
    },
    "compose_review": {
        "mode": "veo3",
        "generation_type": "text-to-video",
        "prompt": "A walk",
        "shown": "veo3/text-to-video",
        **catalogue.clean("veo3", "text-to-video", {}),
    },
}
QUERY = {"compose_media": "?slot=image"}


# -- the world --------------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> "World":
    return World()


class World:
    """Two teams with the same things in them."""

    def __init__(self) -> None:
        self.account: ApiAccount = make_account()
        self.here, self.there = (Team.objects.create(name=name) for name in ("Northlight", "Southlight"))
        self.people = {
            "viewer": make_person("viewer@example.com", role="viewer"),
            "member": make_person("member@example.com"),
            "manager": make_person("manager@example.com", role="manager"),
            "admin": make_person("admin@example.com", is_staff=True, is_superuser=True),
        }
        make_person("second.admin@example.com", team="", is_staff=True, is_superuser=True)
        self.colleagues = {
            self.here.pk: make_person("colleague@example.com", role="manager"),
            self.there.pk: make_person("neighbour@example.com", team="Southlight", role="manager"),
        }
        self.stranger = make_person("stranger@example.com", team="Southlight", role="manager")
        make_person("another.manager@example.com", role="manager")
        self.guests_token = self.link_to_a_clip(self.here)[1]

    # each returns the arguments of the address, and what the form has to say about it

    def generation(self, team: Team, owner: User, status: str = Status.QUEUED, **fields: Any) -> Generation:
        order = make_order()
        digest = lifecycle.digest_of(order.billing)
        quote, _ = Quote.objects.get_or_create(
            account=self.account, digest=digest, defaults={"billing": order.billing, "credits": 140}
        )
        given = {"mode": order.mode, "generation_type": order.generation_type, "params": order.params, "prompt": "A"}
        row = Generation.objects.create(
            team=team, owner=owner, quote=quote, price=140, nonce=uuid.uuid4(), status=status, **given, **fields
        )
        ledger.hold(row)
        return row

    def clip(self, team: Team, owner: User, state: str = Clip.State.STORED) -> Generation:
        row = self.generation(team, owner, Status.COMPLETED)
        clip = Clip(generation=row, state=state, source_url="https://cdn.veevid.ai/a.mp4", sha256="abc", size=5)
        clip.stored_at = timezone.now()
        clip.file.save("a.mp4", ContentFile(b"video"), save=False)
        clip.poster.save("a.webp", ContentFile(b"poster"), save=False)
        clip.poster_small.save("s.webp", ContentFile(b"small"), save=False)
        clip.preview.save("p.mp4", ContentFile(b"preview"), save=False)
        clip.save()
        return row

    def binned(self, team: Team, owner: User) -> Generation:
        row = self.clip(team, owner)
        Generation.objects.filter(pk=row.pk).update(binned_at=timezone.now(), binned_by=owner)
        return row

    def collection(self, team: Team, owner: User) -> Collection:
        made = Collection.objects.create(team=team, owner=owner, name="First cut")
        CollectionItem.objects.create(collection=made, generation=self.clip(team, owner), added_by=owner)
        return made

    def batch(self, team: Team, owner: User) -> Batch:
        batch = Batch.objects.create(team=team, owner=owner, kind="models", template="A")
        self.generation(team, owner, batch=batch, position=0)
        return batch

    def pair(self, team: Team, owner: User, voting: bool = False) -> dict[str, Any]:
        clips = [self.clip(team, owner), self.clip(team, owner)]
        if voting:
            comparisons.open_vote(clips, owner)
        return {"ids": comparisons.key_of(clips), "winner": clips[0].pk, "clip": clips[0].pk, "was": ""}

    def lost(self, team: Team, owner: User) -> Generation:
        return self.clip(team, owner, Clip.State.GONE)

    def unclear(self, team: Team, owner: User) -> Generation:
        row = self.generation(team, owner, Status.UNCONFIRMED, attempt=1, account=self.account)
        more = {"account": self.account, "key": self.account.keys.get(), "deadline": timezone.now()}
        Submission.objects.create(generation=row, attempt=1, outcome="unclear", **more)
        return row

    def parked(self, team: Team, owner: User) -> Generation:
        row = self.generation(team, owner, Status.AWAITING_APPROVAL)
        Approval.objects.create(generation=row, why="A rule.", expires_at=timezone.now() + timedelta(days=7))
        return row

    def upload(self, team: Team, owner: User) -> Media:
        media = Media(team=team, owner=owner, kind="image", name="a.png", content_type="image/png", size=5)
        media.width = media.height = 1
        media.file.save("a.png", ContentFile(b"image"), save=False)
        media.save()
        return media

    def prompt(self, team: Team, owner: User) -> Prompt:
        return prompts.save(team, owner, prompts.Written("Dunes", "A walker crests the dune", (), shared=True))

    def project(self, team: Team, owner: User) -> Project:
        return Project.objects.create(team=team, name="Alpine")

    def budget(self, team: Team, owner: User) -> Budget:
        return Budget.objects.create(team=team, credits=1000)

    def rule(self, team: Team, owner: User) -> ApprovalRule:
        return ApprovalRule.objects.create(team=team, above=100)

    def invitation(self, team: Team, owner: User) -> Invitation:
        return Invitation.issue(team, "member", "", self.colleagues[team.pk])[0]

    def notification(self, team: Team, owner: User) -> Notification:
        told = {"user": owner, "team": team, "kind": "budget", "audience": "own"}
        return Notification.objects.create(**told, key="budget:1", title="Your budget is used up")

    def webhook(self, team: Team | None, owner: User) -> Webhook:
        more = {"url": HOOK["url"], "secret": Webhook.new_secret(), "kinds": ["budget"], "made_by": owner}
        return Webhook.objects.create(team=team, name="A chat", shape="signed", **more)

    def site_webhook(self, team: Team, owner: User) -> Webhook:
        return self.webhook(None, owner)

    def membership(self, team: Team, owner: User) -> Membership:
        return Membership.objects.get(team=team, user=self.colleagues[team.pk])

    def link_to_a_clip(self, team: Team) -> tuple[ShareLink, str]:
        maker = self.colleagues[team.pk]
        terms = sharing.Terms(may_download=True, embed_on="https://example.com")
        return sharing.share_clips(maker, [self.clip(team, maker)], terms, "", {})

    def link(self, team: Team, owner: User) -> ShareLink:
        fields = {"digest": uuid.uuid4().hex, "expires_at": timezone.now() + timedelta(days=1)}
        return ShareLink.objects.create(team=team, made_by=owner, **fields)

    def person(self, team: Team, owner: User) -> User:
        return self.colleagues[team.pk]

    def team(self, team: Team, owner: User) -> Team:
        return team

    def charged_in_vain(self, team: Team, owner: User) -> Generation:
        ended = {"charged": 140, "account": self.account, "finished_at": timezone.now()}
        row = self.generation(team, owner, Status.FAILED, **ended)
        ledger.capture(row, 140)
        return row

    def rise(self, team: Team, owner: User) -> LedgerEntry:
        at = timezone.now() + timedelta(minutes=1)
        after, until = (BalanceReading.objects.create(account=self.account, credits=one, at=at) for one in (0, 140))
        return LedgerEntry.objects.create(kind="topup", account=self.account, bought=140, after=after, until=until)

    def key(self, team: Team, owner: User) -> Any:
        return self.account.keys.get()

    def arguments(self, of: str, team: Team, owner: User) -> tuple[list[Any], dict[str, Any]]:
        """Of the address, and of the form."""
        if of == "token":
            return [Invitation.issue(team, "member", "", self.colleagues[team.pk])[1]], {}
        if of == "shared":
            return [self.link_to_a_clip(team)[1]], {}
        if of == "shared_clip":
            link, token = self.link_to_a_clip(team)
            return [token, link.items.get().pk], {}
        if of == "to_share":
            return [], {"g": self.clip(team, owner).pk}
        if of == "maker":
            return [], {"person": self.link(team, owner).made_by_id}
        if of == "team_chosen":
            return [], {"team": team.pk}
        if of == "budgeted":
            return [], {"whom": f"project:{self.project(team, owner).pk}"}
        if of == "picked":
            return [], {"pick": self.clip(team, owner).pk}
        if of == "picked_binned":
            return [], {"pick": self.binned(team, owner).pk}
        if of == "picked_in":
            made = self.collection(team, owner)
            return [], {"pick": made.generations.get().pk, "collection": made.pk}
        if of == "tagged":
            return [], {"seen": team.tags.create(name="sea").name, "name": "sea"}
        if of == "came_back":
            return [self.rise(team, owner).pk], {"generation": self.charged_in_vain(team, owner).pk}
        if of == "account":
            return [self.account.pk], {}
        if of == "confirmation":
            price_is(140)
            order = make_order()
            return [], {"sealed": lifecycle.seal(owner, team, order, lifecycle.quote(order.billing))}
        if of == "clip_and_width":
            return [self.clip(team, owner).pk, 320], {}
        if of == "confirmation_of_several":
            price_is(140)
            order = make_order()
            plan = lifecycle.Plan("models", "A", {}, 1)
            return [], {"sealed": lifecycle.seal_all(owner, team, [(order, lifecycle.quote(order.billing))], plan)}
        if of in ("pair", "voting"):
            return [], self.pair(team, owner, of == "voting")
        if of == "upload_chosen":
            return [], {"key": [str(self.upload(team, owner).key)], "sure": "1"}
        if of == "upload":
            return [self.upload(team, owner).key], {}
        return ([getattr(self, of)(team, owner).pk] if of else []), {}


# -- asking -----------------------------------------------------------------------------------------------------------


def addresses(resolver: URLResolver | None = None, before: str = "") -> Iterator[tuple[str, str]]:
    """(path, name) of every address of the site."""
    for pattern in (resolver or get_resolver()).url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield path, pattern.name or path
        else:
            yield from addresses(pattern, path)


PATHS = {name: path for path, name in addresses() if not path.startswith(("accounts/", "admin/"))}
OURS = list(PATHS)


def word(answer: HttpResponseBase) -> str:
    """The answer, as the table says it."""
    to = answer.headers.get("Location", "")
    if answer.status_code in (301, 302, 303):
        return "login" if to.startswith(("/accounts/login/", "/admin/login/")) else "ok"
    return "ok" if answer.status_code in (200, 204, 206) else str(answer.status_code)


def asked(
    person: User | str | None, method: str, name: str, args: list[Any], data: dict[str, Any], recorded: list[bool]
) -> str:
    """Asks, and takes everything back. A refusal has written and sent nothing. A guest is named by their token.

    `recorded`: whether each left a row in the audit trail.
    """
    with transaction.atomic():
        client = Client()
        if isinstance(person, str):
            assert client.get(reverse("share", args=[person])).status_code == 200
        elif person:
            client.force_login(person)
        wrote, sent = connection.connection.total_changes, len(responses.calls)
        answer = getattr(client, method.lower())(reverse(name, args=args) + QUERY.get(name, ""), data)
        said = word(answer)
        if said == "ok" and method == "POST":
            recorded.append(isinstance(person, User) and AuditEntry.objects.filter(who=person).exists())
        if said in ("login", "403", "404", "405"):
            assert (connection.connection.total_changes, len(responses.calls)) == (wrote, sent), f"{name} wrote"
        transaction.set_rollback(True)
    return said


def upstream_answers() -> None:
    price_is(140)
    responses.get("https://veevid.ai/api/credits", json={"success": True, "balance": 5000})


def cases(world: World, row: Row) -> Iterator[tuple[str, str, User | str | None, Team, User]]:
    """(who and whose, what is expected, person, team of the object, its owner)"""
    here, there = world.here, world.there
    colleague, neighbour = world.colleagues[here.pk], world.colleagues[there.pk]
    of_team, own, elsewhere = row.them.split(), (row.own or row.them).split(), row.elsewhere.split()
    yield "nobody", row.nobody, None, here, colleague
    yield "a guest", row.nobody, world.guests_token, here, colleague
    for place, name in enumerate(PEOPLE):
        person = world.people[name]
        yield f"{name}, own", own[place], person, here, person
        if row.of and row.of not in CONFIRMATIONS:
            yield f"{name}, a colleague's", of_team[place], person, here, colleague
        if row.of:
            yield (
                f"{name}, another team's",
                elsewhere[place],
                person,
                there,
                person if row.of in CONFIRMATIONS else neighbour,
            )
    if row.of:
        owner = world.stranger if row.of in CONFIRMATIONS else colleague
        yield "another team's manager", elsewhere[2], world.stranger, here, owner


@pytest.mark.parametrize("name", OURS)
def test_everybody_is_answered_as_the_table_says(name, world):
    assert name in TABLE, f"the address “{name}” is missing from the table"
    row = TABLE[name]
    upstream_answers()
    wrong: list[str] = []
    recorded: list[bool] = []

    def check(case: str, expected: str, method: str, person: User | str | None, team: Team, owner: User) -> None:
        with transaction.atomic():
            args, data = world.arguments(row.of, team, owner)
            said = asked(
                person, method, name, args, {} if method == "DELETE" else BODIES.get(name, {}) | data, recorded
            )
            transaction.set_rollback(True)
        if said != expected:
            wrong.append(f"{method} {name}: {case}: {said}, not {expected}")

    taken = [row.method, *row.also.split()]
    for case, expected, person, team, owner in cases(world, row):
        for method in taken:
            check(case, expected, method, person, team, owner)
    for method in {"GET", "POST", "DELETE"} - set(taken) - ({"POST"} if name == "join" else set()):
        owner = world.people["admin"] if row.of in CONFIRMATIONS else world.colleagues[world.here.pk]
        check("the wrong method", "405", method, world.people["admin"], world.here, owner)
    assert not wrong, "\n" + "\n".join(wrong)
    if row.method == "POST" and PATHS[name].startswith(DEEDS) and name not in NO_DEEDS:
        assert any(recorded), "it left no row in the audit trail"


def test_the_table_names_no_address_that_is_gone():
    assert set(TABLE) == set(OURS)


# -- what is not ours: signing in, and Django's admin -----------------------------------------------------------------

# Of allauth: what somebody who is not signed in is answered. Everything else asks to sign in first.
OPEN = {
    "account_login": "ok",
    "account_signup": "ok",  # says that it is closed
    "account_inactive": "ok",
    "account_reset_password": "ok",  # says whom to ask
    "account_reset_password_done": "ok",
    "account_reset_password_from_key": "ok",
    "account_reset_password_from_key_done": "ok",
    "account_email": "ok",  # says whom to ask
    "account_email_verification_sent": "ok",
    "account_confirm_email": "ok",
    "socialaccount_signup": "ok",
    "socialaccount_login_cancelled": "ok",
    "socialaccount_login_error": "401",
    "openid_connect_login": "404",  # none is set up
    "openid_connect_callback": "404",
}
EXAMPLES = {
    "pk": "1",
    "id": "1",
    "object_id": "1",
    "content_type_id": "1",
    "app_label": "generations",
    "key": "a-b",
    "uidb36": "1",
    "provider_id": "sso",
    "url": "nothing/",
}


def example(path: str) -> str:
    """An address that the pattern takes."""
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: EXAMPLES[found[1]], re.sub(r"\(\?P(<\w+>)[^)]*\)", r"\1", path))
    path = "/" + path.replace("^", "").replace("$", "")
    resolve(path)
    return path


def get(person: User | None, path: str) -> str:
    client = Client()
    if person:
        client.force_login(person)
    return word(client.get(path))


def test_what_is_open_of_signing_in_is_what_the_table_says(world):
    wrong = []
    for path, name in addresses():
        if path.startswith("accounts/") and get(None, example(path)) != OPEN.get(name, "login"):
            wrong.append(f"{name}: {get(None, example(path))}, not {OPEN.get(name, 'login')}")
    assert not wrong, wrong


def test_djangos_admin_is_for_admins_alone(world):
    paths = {example(path) for path, _ in addresses() if path.startswith("admin/")} - {"/admin/logout/"}
    wrong = []
    for person in (None, world.people["viewer"], world.people["manager"]):
        wrong += [(person, path, said) for path in paths if (said := get(person, path)) not in ("login", "403", "404")]
    assert get(world.people["admin"], "/admin/generations/user/") == "ok"
    assert not wrong, wrong
