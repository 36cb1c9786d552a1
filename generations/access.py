"""Who may see and do what: the only place that decides."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import F, Q, QuerySet

from generations.models import (
    AuditEntry,
    Batch,
    Clip,
    Collection,
    Comparison,
    Generation,
    Media,
    Membership,
    Notification,
    Prompt,
    ShareLink,
    Team,
    User,
    Webhook,
)

Role = Membership.Role


def teams_of(user: User | AnonymousUser) -> QuerySet[Team]:
    """The teams a person is in, by name."""
    if not user.is_authenticated:
        return Team.objects.none()
    return Team.objects.filter(memberships__user=user).order_by("name")


def _has_role(user: User, team: Team, *roles: str) -> bool:
    return Membership.objects.filter(user=user, team=team, role__in=roles).exists()


def may_generate(user: User, team: Team) -> bool:
    """Members and managers spend; viewers watch."""
    return user.is_active and _has_role(user, team, Role.MEMBER, Role.MANAGER)


def makes_anywhere(user: User) -> bool:
    """Whether a person is more than a viewer in any team."""
    return Membership.objects.filter(user=user, role__in=(Role.MEMBER, Role.MANAGER)).exists()


def makers_of(team: Team) -> QuerySet[User]:
    """Whoever may generate in a team, by name."""
    makes = Membership.objects.filter(team=team, role__in=(Role.MEMBER, Role.MANAGER))
    return User.objects.filter(is_active=True, memberships__in=makes).order_by("name", "pk")


def may_see_team_spend(user: User, team: Team) -> bool:
    return user.is_staff or _has_role(user, team, Role.MANAGER)


def spend_teams(user: User) -> QuerySet[Team]:
    """The teams all of whose spend this person may see, by name."""
    managed = Membership.objects.filter(user=user, role=Role.MANAGER)
    teams = Team.objects.order_by("name")
    return teams if user.is_staff else teams.filter(pk__in=managed.values("team"))


def may_manage(user: User, team: Team) -> bool:
    """People, projects, budgets and rules of a team: its managers, and the site's admins."""
    return user.is_active and may_see_team_spend(user, team)


def may_invite(user: User, team: Team) -> bool:
    """Into a team, as whatever it has roles for."""
    return may_manage(user, team)


def may_change_role(user: User, membership: Membership) -> bool:
    return may_manage(user, membership.team)


def may_remove(user: User, membership: Membership) -> bool:
    """Managers and admins remove people from a team; everybody may leave one."""
    return membership.user_id == user.pk or may_manage(user, membership.team)


def manages_any(user: User) -> bool:
    """Managers of any team, and admins."""
    return user.is_staff or Membership.objects.filter(user=user, role=Role.MANAGER).exists()


def deeds_for(user: User) -> QuerySet[AuditEntry]:
    """The audit trail: all of it for admins, what was done in their teams for managers."""
    return AuditEntry.objects.all() if user.is_staff else AuditEntry.objects.filter(team__in=spend_teams(user))


def managed_generations(user: User) -> QuerySet[Generation]:
    """What this person looks after: everything for admins, their teams' for managers."""
    if user.is_staff:
        return Generation.objects.all()
    managed = Membership.objects.filter(user=user, role=Role.MANAGER)
    return Generation.objects.filter(team__in=managed.values("team"))


def may_approve(user: User, generation: Generation) -> bool:
    """Managers of its team and admins, but never the person who asked."""
    return generation.owner_id != user.pk and may_manage(user, generation.team)


def may_configure(user: User | AnonymousUser) -> bool:
    """Accounts, keys and models: the site's admins."""
    return user.is_authenticated and user.is_active and user.is_staff


def may_govern(user: User | AnonymousUser) -> bool:
    """Who is an admin, who may sign in, which teams there are: the site's admins."""
    return may_configure(user)


def records_for(user: User) -> QuerySet[Generation]:
    """Every generation of a person's teams, whatever became of its clip: what it cost and what happened stay."""
    return Generation.objects.filter(team__memberships__user=user)


def generations_for(user: User) -> QuerySet[Generation]:
    """Every generation this person works with: those of their teams, without the bin."""
    return records_for(user).filter(binned_at=None)


def clips_for(user: User) -> QuerySet[Clip]:
    """Without the bin: not a byte of what is in it is served."""
    return Clip.objects.filter(generation__team__memberships__user=user, generation__binned_at=None)


def bin_for(user: User) -> QuerySet[Generation]:
    """What is in the bins of the teams that a person makes clips in, until it is deleted for good."""
    makes = Membership.objects.filter(user=user, role__in=(Role.MEMBER, Role.MANAGER))
    rows = records_for(user).filter(binned_at__isnull=False, cleared_at=None)
    return rows.filter(team__in=makes.values("team"))


def collections_for(user: User) -> QuerySet[Collection]:
    """The shared ones of one's teams, and one's own."""
    shared = Q(private=False) | Q(owner=user)
    return Collection.objects.filter(shared, team__memberships__user=user)


def media_for(user: User) -> QuerySet[Media]:
    return Media.objects.filter(team__memberships__user=user)


def may_decide(user: User, generation: Generation) -> bool:
    """What becomes of a submission with an unknown outcome is for managers of its team and for admins."""
    return may_see_team_spend(user, generation.team)


def may_cancel(user: User, generation: Generation) -> bool:
    """One's own, or any of the team for a manager and an admin."""
    return generation.owner_id == user.pk or may_see_team_spend(user, generation.team)


def prompts_for(user: User) -> QuerySet[Prompt]:
    """Saved prompts this person sees: their own, and those shared with a team of theirs."""
    rows = Prompt.objects.filter(team__memberships__user=user)
    return rows.filter(Q(shared=True) | Q(author=user))


def may_edit_prompt(user: User, prompt: Prompt) -> bool:
    """A prompt that somebody sees they may use and edit, if they may generate in its team."""
    return may_generate(user, prompt.team)


def may_put_away_prompt(user: User, prompt: Prompt) -> bool:
    """Share, archive and delete: its author, and managers when it is shared."""
    own = prompt.author_id == user.pk and may_generate(user, prompt.team)
    return own or (prompt.shared and may_manage(user, prompt.team))


def library_for(user: User) -> QuerySet[Media]:
    """The uploads that are shown to pick from."""
    return media_for(user).filter(hidden_at=None)


def may_delete_media(user: User, media: Media) -> bool:
    """Out of the library: who uploaded it, and managers."""
    return (media.owner_id == user.pk and may_generate(user, media.team)) or may_manage(user, media.team)


def deletable_media(user: User, team: Team) -> QuerySet[Media]:
    """All uploads of a team's library that `may_delete_media` would say yes to, in one query."""
    rows = Media.objects.filter(team=team, hidden_at=None)
    if may_manage(user, team):
        return rows
    return rows.filter(owner=user) if may_generate(user, team) else rows.none()


# -- what people are told ---------------------------------------------------------------------------------------------


def admins() -> QuerySet[User]:
    return User.objects.filter(is_active=True, is_staff=True)


def roles_in(teams: Iterable[int]) -> dict[int, dict[int, str]]:
    """Who is in these teams and as what: team -> person -> role. Closed accounts are nobody. One query."""
    found: dict[int, dict[int, str]] = defaultdict(dict)
    rows = Membership.objects.filter(team__in=set(teams), user__is_active=True)
    for team, person, role in rows.values_list("team", "user", "role"):
        found[team][person] = role
    return found


def notifications_for(user: User) -> QuerySet[Notification]:
    """What this person was told, as far as they may still see what it is about."""
    audience = Notification.Audience
    places = Membership.objects.filter(user=user)
    seen = Q(audience=audience.OWN, team__in=places.values("team"))
    if user.is_staff:
        seen |= Q(audience__in=(audience.MANAGERS, audience.ADMINS))
    else:
        seen |= Q(audience=audience.MANAGERS, team__in=places.filter(role=Role.MANAGER).values("team"))
    return Notification.objects.filter(seen, user=user, user__is_active=True)


def webhooks_of(team: Team | None) -> QuerySet[Webhook]:
    """A team's webhooks; without a team the site's. Whose they are to set: `may_manage` and `may_configure`."""
    return Webhook.objects.filter(team=team, removed_at=None).order_by("pk")


# -- in order, and in the bin ------------------------------------------------------------------------------------------


def may_organise(user: User, team: Team) -> bool:
    """Tags, marks, collections and the bin are for those who make clips; viewers have their hearts."""
    return may_generate(user, team)


def may_change_collection(user: User, collection: Collection) -> bool:
    """Its name and its end: whoever made it, and for a shared one the managers. All who organise put clips in."""
    if not may_organise(user, collection.team):
        return False
    return collection.owner_id == user.pk or (not collection.private and may_manage(user, collection.team))


def may_bin_any(user: User, team: Team) -> bool:
    """Everybody's clips: managers and admins. Others that organise: their own."""
    return may_manage(user, team)


def may_bin(user: User, generation: Generation) -> bool:
    if may_bin_any(user, generation.team):
        return True
    return generation.owner_id == user.pk and may_organise(user, generation.team)


def may_erase(user: User, team: Team) -> bool:
    """Out of the bin for good, before its time."""
    return may_manage(user, team)


# -- guests -----------------------------------------------------------------------------------------------------------


def may_share(user: User, team: Team) -> bool:
    """Members and managers show clips to people outside; viewers watch."""
    return may_generate(user, team)


def may_share_collection(user: User, collection: Collection) -> bool:
    """A private collection only by its owner."""
    return may_share(user, collection.team) and (not collection.private or collection.owner_id == user.pk)


def may_share_for_ever(user: User, team: Team) -> bool:
    return may_manage(user, team)


def shareable(user: User) -> QuerySet[Generation]:
    """Clips that are there, of this person's teams."""
    return generations_for(user).filter(binned_at=None, clip__state=Clip.State.STORED)


def links_for(user: User, team: Team) -> QuerySet[ShareLink]:
    """The share links that a person sees and revokes: managers and admins all of the team, others their own."""
    links = ShareLink.objects.filter(team=team)
    return links if may_manage(user, team) else links.filter(made_by=user, team__memberships__user=user)


def may_share_still(link: ShareLink) -> bool:
    """A link lasts no longer than its maker's right to share what it shows."""
    if link.of_collection:
        return link.collection is not None and may_share_collection(link.made_by, link.collection)
    return may_share(link.made_by, link.team)


def closed_to_guests(link: ShareLink) -> str:
    """Why a link opens nothing, for anybody: revoked, expired, or gone. Empty while it is open."""
    if link.revoked_at:
        return "revoked"
    if link.expired:
        return "expired"
    return "" if may_share_still(link) else "gone"


def shown_to_guests(link: ShareLink) -> QuerySet[Any]:
    """The generations of a link, each with its `place`: the name guests know it by. What is in the bin is gone."""
    if closed_to_guests(link):
        return Generation.objects.none()
    if link.of_collection:
        found = Generation.objects.filter(places__collection=link.collection).annotate(place=F("places__pk"))
    else:
        found = Generation.objects.filter(shared__link=link).annotate(place=F("shared__pk"))
    return found.filter(team=link.team, binned_at=None, clip__state=Clip.State.STORED).order_by("place")


# -- batches and comparisons ------------------------------------------------------------------------------------------


def batches_for(user: User) -> QuerySet[Batch]:
    """Every batch this person may open: those of their teams."""
    return Batch.objects.filter(team__memberships__user=user)


def may_cancel_batch(user: User, batch: Batch) -> bool:
    """One's own, or any of the team for a manager and an admin."""
    return batch.owner_id == user.pk or may_see_team_spend(user, batch.team)


def may_pick(user: User, comparison: Comparison) -> bool:
    """Whoever makes clips in the team, while there is no winner; then who picked it, managers and admins."""
    if may_manage(user, comparison.team):
        return True
    return may_generate(user, comparison.team) and comparison.decided_by_id in (None, user.pk)


def may_close_vote(user: User, comparison: Comparison) -> bool:
    """Who began it; managers of the team and admins."""
    return comparison.opened_by_id == user.pk or may_manage(user, comparison.team)
