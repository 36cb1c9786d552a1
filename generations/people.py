"""People: how they come into a team, what they are in it, and how they leave. Clips and history stay."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from generations import access, audit, budgets, lifecycle, sharing
from generations.models import Generation, Invitation, Membership, SiteRules, Status, Team, User

Role = Membership.Role
Origin = Mapping[str, str]  # address and agent, for the audit trail

NOTHING = "Nothing was changed."
SECOND_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


class CannotDo(Exception):
    """It is not done. The message says why; nothing was changed."""


class Closed(CannotDo):
    """The invitation lets nobody in any more."""


# -- invitations ------------------------------------------------------------------------------------------------------


def invite(who: User, team: Team, role: str, email: str, origin: Origin) -> tuple[Invitation, str]:
    """Makes an invitation. Returns it and its token, which is kept nowhere."""
    if not access.may_invite(who, team):
        raise CannotDo(f"Only managers of {team} and admins invite. {NOTHING}")
    _check_role(role)
    with transaction.atomic():
        invitation, token = Invitation.issue(team, role, email, who)
        what = f"{email or 'whoever has the link'} to {team} as {role}"
        audit.record(who, "invitation.made", what, team=team, **origin, invitation=invitation.pk)
    return invitation, token


def revoke(who: User, invitation: Invitation, origin: Origin) -> None:
    with transaction.atomic():
        if not Invitation.open().filter(pk=invitation.pk).update(revoked_at=timezone.now()):
            raise CannotDo(f"This invitation was used, revoked or too old already. {NOTHING}")
        _say_revoked(who, invitation, origin)


def _say_revoked(who: User | None, invitation: Invitation, origin: Origin) -> None:
    what = f"{invitation.email or 'whoever has the link'} to {invitation.team} as {invitation.role}"
    audit.record(who, "invitation.revoked", what, team=invitation.team, **origin, invitation=invitation.pk)


def find_invitation(token: str) -> Invitation | None:
    """The one whose token this is, open or not."""
    found = Invitation.objects.select_related("team", "invited_by", "used_by")
    return found.filter(digest=Invitation.digest_of(token)).first()


def check_open(invitation: Invitation) -> None:
    """Raises Closed, saying why it lets nobody in."""
    ask = f"Ask {invitation.invited_by} or an admin for a new one. {NOTHING}"
    if invitation.used_at:
        raise Closed(f"An invitation works once, and this one was used. {ask}")
    if invitation.revoked_at:
        raise Closed(f"It was revoked. {ask}")
    if invitation.expires_at <= timezone.now():
        raise Closed(f"An invitation works for {Invitation.LASTS.days} days, and this one is older. {ask}")
    if not access.may_invite(invitation.invited_by, invitation.team):
        raise Closed(f"Whoever made it may not invite any more. Ask an admin for a new one. {NOTHING}")


def join(user: User, invitation: Invitation, origin: Origin) -> Membership:
    """Lets a person in. Of two with the same link at once, one gets in. Raises Closed, or CannotDo for a member."""
    with transaction.atomic():
        budgets.lock(invitation.team_id)
        _take(invitation)
        return _enter(user, invitation, origin)


def sign_up(invitation: Invitation, email: str, name: str, password: str, origin: Origin) -> User:
    """Makes an account and lets it in, both or neither."""
    try:
        with transaction.atomic():
            budgets.lock(invitation.team_id)
            _take(invitation)
            user = User.objects.create_user(email, password, name=name)
            _enter(user, invitation, origin)
    except IntegrityError:
        raise CannotDo(f"Somebody signed up with this address just now. Sign in with it. {NOTHING}") from None
    return user


def _take(invitation: Invitation) -> None:
    check_open(invitation)
    if not Invitation.open().filter(pk=invitation.pk).update(used_at=timezone.now()):
        raise Closed(f"An invitation works once, and this one was used just now. {NOTHING}")


def _enter(user: User, invitation: Invitation, origin: Origin) -> Membership:
    team = invitation.team
    if Membership.objects.filter(user=user, team=team).exists():
        raise CannotDo(f"You are in {team} already, so the link was not used. {NOTHING}")
    Invitation.objects.filter(pk=invitation.pk).update(used_by=user)
    audit.record(
        user, "invitation.used", f"joined {team} as {invitation.role}", team=team, **origin, invitation=invitation.pk
    )
    return Membership.objects.create(user=user, team=team, role=invitation.role)


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise CannotDo(f"Choose viewer, member or manager. {NOTHING}")


def _revoke_idle(who: User | None, person: User, origin: Origin) -> None:
    """Ends the invitations and share links of somebody who may not make them any more: they must not outlive them."""
    for invitation in Invitation.open().filter(invited_by=person).select_related("team"):
        if not access.may_invite(person, invitation.team):
            Invitation.objects.filter(pk=invitation.pk, used_at=None).update(revoked_at=timezone.now())
            _say_revoked(who, invitation, origin)
    sharing.revoke_idle(who, person, origin)


# -- members of a team ------------------------------------------------------------------------------------------------


def change_role(who: User, membership: Membership, role: str, origin: Origin) -> None:
    _check_role(role)
    with transaction.atomic():
        current = _lock_membership(membership)
        if not access.may_change_role(_now(who), current):
            raise CannotDo(f"Only managers of {current.team} and admins change roles. {NOTHING}")
        if current.role == role:
            return
        if role != Role.MANAGER:
            _keep_managed(current)
        Membership.objects.filter(pk=current.pk).update(role=role)
        what = f"{current.user} from {current.role} to {role}"
        audit.record(who, "member.role", what, team=current.team, **origin, person=current.user_id)
        _revoke_idle(who, current.user, origin)


def remove(who: User, membership: Membership, origin: Origin) -> int:
    """Takes somebody out of a team, or oneself. What they had parked there is cancelled; how much, is returned."""
    with transaction.atomic():
        admins = lock_admins()
        current = _lock_membership(membership)
        if not access.may_remove(_now(who), current):
            raise CannotDo(f"Only managers of {current.team} and admins remove people. {NOTHING}")
        if admins == [current.user] and current.user.memberships.count() == 1:
            raise CannotDo(f"{current.user} is the last admin, and this their only team. {NOTHING}")
        _keep_managed(current)
        _take_out(who, current, origin)
        return _cancel_parked(current.user, "no longer in the team", current.team)


def _take_out(who: User | None, membership: Membership, origin: Origin) -> None:
    Membership.objects.filter(pk=membership.pk).delete()
    action = "member.left" if who == membership.user else "member.removed"
    what = f"{membership.user}, {membership.role} of {membership.team}"
    audit.record(who, action, what, team=membership.team, **origin, person=membership.user_id)
    _revoke_idle(who, membership.user, origin)


def _lock_membership(membership: Membership) -> Membership:
    """As it is now, with nobody else changing who is in the team until the transaction ends."""
    budgets.lock(membership.team_id)
    found = Membership.objects.select_related("user", "team").filter(pk=membership.pk).first()
    if found is None:
        raise CannotDo(f"This person is not in the team any more. {NOTHING}")
    return found


def _keep_managed(membership: Membership) -> None:
    """Under the team's lock. Admins manage every team, so the last manager may go as long as there is one."""
    others = Membership.objects.filter(team=membership.team, role=Role.MANAGER, user__is_active=True)
    if membership.role != Role.MANAGER or others.exclude(pk=membership.pk).exists():
        return
    if not User.objects.filter(is_staff=True, is_active=True).exists():
        raise CannotDo(
            f"{membership.user} is the last manager of {membership.team}, and there is no admin to step in. "
            f"Make somebody else a manager first. {NOTHING}"
        )


def _cancel_parked(person: User, why: str, team: Team | None = None) -> int:
    """Nobody approves for somebody who has gone. What is in the line was confirmed in time, and goes on."""
    parked = Generation.objects.filter(owner=person, status=Status.AWAITING_APPROVAL)
    if team:
        parked = parked.filter(team=team)
    return sum(lifecycle.end_unsent(row, f"{person}: {why}") for row in parked.select_related("quote__account"))


def _now(user: User) -> User:
    """The person as the database has them: what they may do can have changed since the request began."""
    return User.objects.get(pk=user.pk)


# -- the site ---------------------------------------------------------------------------------------------------------


def lock_admins() -> list[User]:
    """Every admin who may sign in, with nobody else changing them until the transaction ends."""
    admins = User.objects.select_for_update(no_key=True).filter(is_staff=True, is_active=True)
    return list(admins.order_by("pk"))


def _only_admins(who: User, admins: list[User]) -> None:
    if who not in admins:
        raise CannotDo(f"You are not an admin any more. {NOTHING}")


def _not_the_last(person: User, admins: list[User]) -> None:
    if admins == [person]:
        raise CannotDo(f"{person} is the last admin. Make somebody else an admin first. {NOTHING}")


def set_admin(who: User, person: User, on: bool, origin: Origin) -> None:
    """Makes a person an admin, or no longer one."""
    with transaction.atomic():
        admins = lock_admins()
        _only_admins(who, admins)
        if on:
            if not _now(person).is_active:
                raise CannotDo(f"{person} may not sign in. Reopen the account first. {NOTHING}")
        else:
            _not_the_last(person, admins)
        if not User.objects.filter(pk=person.pk, is_staff=not on).update(is_staff=on, is_superuser=on):
            return
        audit.record(who, "admin.made" if on else "admin.unmade", str(person), team=None, **origin, person=person.pk)
        _revoke_idle(who, _now(person), origin)


def close(who: User, person: User, origin: Origin) -> int:
    """Off-boarding: ends every session at once and lets nobody in with this account. Returns what was cancelled.

    Clips, history and what is in the line stay; parked requests are cancelled and their credits given back.
    """
    with transaction.atomic():
        admins = lock_admins()
        _only_admins(who, admins)
        _not_the_last(person, admins)
        if not User.objects.filter(pk=person.pk, is_active=True).update(is_active=False):
            return 0
        audit.record(who, "person.closed", str(person), team=None, **origin, person=person.pk)
        _revoke_idle(who, _now(person), origin)
        cancelled = _cancel_parked(person, "account closed")
        _end_sessions(person)
    return cancelled


def reopen(who: User, person: User, origin: Origin) -> None:
    with transaction.atomic():
        _only_admins(who, lock_admins())
        if User.objects.filter(pk=person.pk, is_active=False).update(is_active=True):
            audit.record(who, "person.reopened", str(person), team=None, **origin, person=person.pk)


def _end_sessions(person: User) -> None:
    """A closed account opens no page anyway; this keeps its old sessions from coming back with it."""
    for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator():
        if session.get_decoded().get("_auth_user_id") == str(person.pk):
            session.delete()


def make_team(who: User, name: str, time_zone: str, origin: Origin) -> Team:
    """A new team, with the admin who made it as its manager."""
    if not access.may_govern(who):
        raise CannotDo(f"Only admins make teams. {NOTHING}")
    team = Team(name=name.strip(), time_zone=time_zone)
    try:
        team.full_clean()
    except ValidationError as wrong:
        taken = Team.objects.filter(name=team.name).exists()
        why = f"There is a team {team.name} already." if taken else " ".join(wrong.messages)
        raise CannotDo(f"{why} {NOTHING}") from None
    with transaction.atomic():
        team.save()
        Membership.objects.create(user=who, team=team, role=Role.MANAGER)
        audit.record(who, "team.made", f"{team}, {team.time_zone}", team=team, **origin)
    return team


def step_in(who: User, team: Team, origin: Origin) -> None:
    """An admin becomes manager of any team, in plain sight of the audit trail."""
    if not access.may_govern(who):
        raise CannotDo(f"Only admins step into a team. {NOTHING}")
    with transaction.atomic():
        budgets.lock(team.pk)
        _, made = Membership.objects.get_or_create(user=who, team=team, defaults={"role": Role.MANAGER})
        if made:
            audit.record(who, "member.stepped_in", f"{who} as manager of {team}", team=team, **origin)


# -- the second factor ------------------------------------------------------------------------------------------------


def has_second_factor(user: User) -> bool:
    return Authenticator.objects.filter(user=user, type__in=SECOND_FACTORS).exists()


def lacks_second_factor(user: User) -> bool:
    """Whether this admin has to set one up before anything else."""
    if not access.may_govern(user):
        return False
    asked = SiteRules.objects.filter(admins_need_second_factor=True).exists()
    return asked and not has_second_factor(user)


def require_second_factor(who: User, on: bool, origin: Origin) -> None:
    """Whether admins have to have one. Who asks it of others has one already, so that nobody is surprised."""
    if not access.may_govern(who):
        raise CannotDo(f"Only admins decide this. {NOTHING}")
    if on and not has_second_factor(who):
        raise CannotDo(f"Set up your own second factor first, under Your account. {NOTHING}")
    with transaction.atomic():
        SiteRules.objects.update_or_create(pk=1, defaults={"admins_need_second_factor": on})
        audit.record(who, "second_factor.rule", "admins need one" if on else "nobody needs one", team=None, **origin)


def forget_second_factor(who: User, person: User, origin: Origin) -> None:
    """For somebody who lost theirs: they sign in with the password alone, and set up a new one."""
    with transaction.atomic():
        _only_admins(who, lock_admins())
        drop_second_factor(who, person, origin)


@transaction.atomic
def drop_second_factor(who: User | None, person: User, origin: Origin) -> None:
    """The same, asked for on the server's console by nobody in particular."""
    if Authenticator.objects.filter(user=person).delete()[0]:
        _end_sessions(person)
        audit.record(who, "second_factor.removed", str(person), team=None, **origin, person=person.pk)


# -- sign-in by the company's own provider ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """What a group of the provider stands for."""

    group: str
    team: str
    role: str


def places_of(groups: Iterable[str], mapping: Iterable[Place]) -> dict[str, str]:
    """Team -> role, the highest that any of these groups gives."""
    given: dict[str, str] = {}
    held = set(groups)
    for place in mapping:
        if place.group in held:
            roles = [given.get(place.team, place.role), place.role]
            given[place.team] = max(roles, key=Role.values.index)
    return given


def follow_groups(user: User, groups: Iterable[str], mapping: Iterable[Place], origin: Origin) -> None:
    """Makes a person's teams what their groups say, for every team that the mapping names. Other teams stay."""
    mapping = list(mapping)
    given = places_of(groups, mapping)
    teams = Team.objects.filter(name__in={place.team for place in mapping})
    with transaction.atomic():
        for pk in sorted(teams.values_list("pk", flat=True)):
            team = budgets.lock(pk)
            role = given.get(team.name)
            current = Membership.objects.select_related("user", "team").filter(user=user, team=team).first()
            if current and role is None:
                _take_out(None, current, origin)
                _cancel_parked(user, "no longer in the team", team)
            elif role and (current is None or current.role != role):
                Membership.objects.update_or_create(user=user, team=team, defaults={"role": role})
                what = f"{user} as {role}, by a group of the sign-in provider"
                audit.record(None, "member.role", what, team=team, **origin, person=user.pk)
                _revoke_idle(None, user, origin)
