"""People: invitations and joining, members of a team, the teams and accounts of the site, one's own account."""

from collections.abc import Callable
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from generations import access, notify, people
from generations.models import Invitation, Membership, SiteRules, Team, User
from generations.views import team as team_page
from generations.views.gate import TEAM_IN_SESSION, Request, origin, too_many
from generations.views.settings import admins_only
from generations.views.team import managers_only, section
from generations.views.welcome import BACKEND, Newcomer

Role = Membership.Role
WRONG_LINKS = 20  # in five minutes, from one address
STAYS = ("gallery", "queue", "spend", "compose", "team", "approvals")  # pages that show the new team after a switch
ROLES = "Choose viewer, member or manager."
MAIL_TROUBLE = (OSError,)  # smtplib's errors are among them


# -- what the team's page shows ---------------------------------------------------------------------------------------


@section("members")
def members(request: Request, team: Team) -> dict[str, Any]:
    found = team.memberships.select_related("user").order_by("user__name", "user__email")
    return {"members": found, "roles": Role.choices, "me": request.user}


@section("invitations")
def invitations(request: Request, team: Team) -> dict[str, Any]:
    found = Invitation.open().filter(team=team).select_related("invited_by").order_by("expires_at")
    return {"invitations": found, "roles": Role.choices, "mail": settings.MAIL, "days": Invitation.LASTS.days}


# -- inviting ---------------------------------------------------------------------------------------------------------


class InvitationForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices, error_messages=dict.fromkeys(("invalid_choice", "required"), ROLES))
    email = forms.EmailField(required=False)


def _invite(request: Request, team: Team) -> dict[str, Any]:
    """Makes an invitation and says so: its link and what became of the mail, or what is wrong."""
    form = InvitationForm(request.POST)
    typed = {"invite_email": request.POST.get("email", "")[:254], "invite_role": request.POST.get("role", "")}
    if not form.is_valid():
        wrong = " ".join(str(error) for errors in form.errors.values() for error in errors)
        return {"invite_wrong": f"{wrong} {people.NOTHING}", **typed}
    email = form.cleaned_data["email"].lower()
    try:
        invitation, token = people.invite(request.user, team, form.cleaned_data["role"], email, origin(request))
    except people.CannotDo as no:
        return {"invite_wrong": str(no), **typed}
    link = request.build_absolute_uri(reverse("join", args=[token]))
    return {"link": link, "link_for": invitation, "mailed": _mail(request, invitation, link)}


def _mail(request: Request, invitation: Invitation, link: str) -> str:
    """Sends the link, when there is an address and a server to send with. What became of it, in a sentence."""
    if not invitation.email or not settings.MAIL:
        return ""
    context = {"invitation": invitation, "link": link, "who": request.user}
    try:
        send_mail(
            f"{request.user} invites you to {invitation.team} on Dailies",
            render_to_string("people/invitation.txt", context),
            None,
            [invitation.email],
        )
    except MAIL_TROUBLE:
        return f"The mail to {invitation.email} could not be sent. Copy the link and send it yourself."
    return f"Mailed to {invitation.email}."


@managers_only
@require_POST
def invite(request: Request, team: Team) -> HttpResponse:
    said = _invite(request, team)
    if "invite_wrong" in said:
        return team_page.refused(request, team, "invitations", **said)
    if not request.htmx:
        return team_page.show(request, team, **said)
    context = invitations(request, team) | {"team": team, "alone": True} | said
    return render(request, "team/_invitations.html", context)


@managers_only
@require_POST
def revoke_invitation(request: Request, team: Team, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation.objects.select_related("team"), pk=pk, team=team)
    try:
        people.revoke(request.user, invitation, origin(request))
    except people.CannotDo as no:
        return team_page.refused(request, team, "invitations", invite_wrong=str(no))
    return team_page.done(request, team, "invitations")


# -- joining ----------------------------------------------------------------------------------------------------------


class NewPerson(Newcomer):
    def clean_email(self) -> str:
        email = self.cleaned_data["email"].lower()
        if User.objects.filter(email=email).exists():
            raise ValidationError("There is an account with this address already. Sign in with it, then join.")
        return email


def _closed(request: HttpRequest, words: str, status: int) -> HttpResponse:
    return render(request, "people/link_closed.html", {"words": words}, status=status)


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Where an invitation leads: one button for who is signed in, an account to make for who is not."""
    invitation = people.find_invitation(token)
    if invitation is None:
        if too_many(request, "wrong-links", WRONG_LINKS):
            return render(request, "429.html", status=429)
        ask = "Copy the whole link, or ask for a new one."
        return _closed(request, f"No invitation has this link. {ask} {people.NOTHING}", 404)
    if request.user.is_authenticated and invitation.used_by_id == request.user.pk:
        return redirect("gallery")  # the second of two clicks
    try:
        people.check_open(invitation)
        if request.method != "POST":
            return _show_join(request, invitation, NewPerson(initial={"email": invitation.email}))
        if request.user.is_authenticated:
            return _join(request, invitation, request.user)
        return _sign_up(request, invitation)
    except people.Closed as closed:
        return _closed(request, str(closed), 410)


def _show_join(request: HttpRequest, invitation: Invitation, form: NewPerson, wrong: str = "") -> HttpResponse:
    context = {"invitation": invitation, "form": form, "wrong": wrong}
    return render(request, "people/join.html", context, status=422 if wrong or form.is_bound else 200)


def _join(request: HttpRequest, invitation: Invitation, user: User) -> HttpResponse:
    try:
        people.join(user, invitation, origin(request))
    except people.Closed:
        raise
    except people.CannotDo as no:
        return _show_join(request, invitation, NewPerson(), str(no))
    return _in(request, invitation)


def _sign_up(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    form = NewPerson(request.POST)
    if not form.is_valid():
        return _show_join(request, invitation, form)
    said = form.cleaned_data
    try:
        user = people.sign_up(invitation, said["email"], said["name"], said["password"], origin(request))
    except people.Closed:
        raise
    except people.CannotDo as no:
        return _show_join(request, invitation, form, str(no))
    login(request, user, backend=BACKEND)
    return _in(request, invitation)


def _in(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    request.session[TEAM_IN_SESSION] = invitation.team_id
    messages.success(request, f"Welcome to {invitation.team}. You are in as {invitation.get_role_display().lower()}.")
    return redirect("gallery")


# -- members ----------------------------------------------------------------------------------------------------------


def _to(request: Request, name: str) -> HttpResponse:
    return HttpResponseClientRedirect(reverse(name)) if request.htmx else redirect(name)


def _membership(team: Team, pk: int) -> Membership:
    return get_object_or_404(Membership.objects.select_related("user", "team"), pk=pk, team=team)


@managers_only
@require_POST
def change_role(request: Request, team: Team, pk: int) -> HttpResponse:
    membership = _membership(team, pk)
    try:
        people.change_role(request.user, membership, request.POST.get("role", ""), origin(request))
    except people.CannotDo as no:
        return team_page.refused(request, team, "members", members_wrong=str(no))
    if not access.may_manage(request.user, team):
        messages.success(request, f"You are no manager of {team} any more.")
        return _to(request, "gallery")
    return team_page.done(request, team, "members")


@managers_only
@require_POST
def remove_member(request: Request, team: Team, pk: int) -> HttpResponse:
    membership = _membership(team, pk)
    try:
        cancelled = people.remove(request.user, membership, origin(request))
    except people.CannotDo as no:
        return team_page.refused(request, team, "members", members_wrong=str(no))
    messages.success(request, f"{membership.user} is out of {team}. {_about_cancelled(cancelled)}")
    return _to(request, "gallery" if membership.user == request.user else "team")


def _about_cancelled(number: int) -> str:
    if not number:
        return "Clips, and what is in the queue, stay."
    what = "One parked request was" if number == 1 else f"{number} parked requests were"
    return f"{what} cancelled, the credits are given back. Clips, and what is in the queue, stay."


# -- one's own account ------------------------------------------------------------------------------------------------


@login_required
@require_safe
def you(request: Request) -> HttpResponse:
    return _show_you(request)


def _show_you(request: Request, status: int = 200, **more: Any) -> HttpResponse:
    context = {
        "places": request.user.memberships.select_related("team").order_by("team__name"),
        "second_factor": people.has_second_factor(request.user),
        "oidc": settings.OIDC_NAME if settings.OIDC else "",
        "connected": settings.OIDC and SocialAccount.objects.filter(user=request.user).exists(),
        "choices": notify.choices_of(request.user),
        "mail": settings.MAIL,
    }
    return render(request, "people/you.html", context | more, status=status)


@login_required
@require_POST
def choose_notifications(request: Request) -> HttpResponse:
    """By which ways one hears of what."""
    notify.choose(request.user, request.POST.getlist("in_app"), request.POST.getlist("mail"))
    messages.success(request, "Saved. It holds from the next notification on.")
    return redirect(reverse("you") + "#notifications")


@login_required
@require_POST
def leave(request: Request, pk: int) -> HttpResponse:
    membership = get_object_or_404(request.user.memberships.select_related("team", "user"), team=pk)
    try:
        cancelled = people.remove(request.user, membership, origin(request))
    except people.CannotDo as no:
        return _show_you(request, 422, wrong=str(no))
    messages.success(request, f"You left {membership.team}. {_about_cancelled(cancelled)}")
    return redirect("you")


@login_required
@require_POST
def switch_team(request: Request) -> HttpResponse:
    """Works in another of one's teams from now on."""
    chosen = request.POST.get("team", "")
    team = get_object_or_404(access.teams_of(request.user), pk=int(chosen) if _is_number(chosen) else 0)
    request.session[TEAM_IN_SESSION] = team.pk
    return redirect(_page_that_stays(request))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 18


def _page_that_stays(request: Request) -> str:
    """The same page for the new team; the gallery, when what is shown belongs to the old one."""
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        return "gallery"
    try:
        name = resolve(back).url_name
    except Resolver404:
        return "gallery"
    return back if name in STAYS else "gallery"


# -- the site's people, for admins ------------------------------------------------------------------------------------


def _show_people(request: Request, status: int = 200, **more: Any) -> HttpResponse:
    places = Membership.objects.select_related("team").order_by("team__name")
    teams = Team.objects.prefetch_related("memberships").order_by("name")
    context = {
        "everybody": User.objects.prefetch_related(Prefetch("memberships", places), "authenticator_set").order_by(
            "-is_active", "name", "email"
        ),
        "all_teams": [(team, any(m.user_id == request.user.pk for m in team.memberships.all())) for team in teams],
        "factor_needed": SiteRules.objects.filter(admins_need_second_factor=True).exists(),
        "roles": Role.choices,
        "mail": settings.MAIL,
        "days": Invitation.LASTS.days,
        "me": request.user,
    }
    return render(request, "people.html", context | more, status=status)


@admins_only
@require_safe
def page(request: Request) -> HttpResponse:
    return _show_people(request)


def _deed(request: Request, do: Callable[[], str]) -> HttpResponse:
    """Does it and says so, or says why not."""
    try:
        messages.success(request, do())
    except people.CannotDo as no:
        return _show_people(request, 422, wrong=str(no))
    return redirect("people")


@admins_only
@require_POST
def set_admin(request: Request, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    on = request.POST.get("on") == "1"

    def do() -> str:
        people.set_admin(request.user, person, on, origin(request))
        return f"{person} is an admin now." if on else f"{person} is no admin any more."

    answer = _deed(request, do)
    return redirect("gallery") if person == request.user and not on and answer.status_code == 302 else answer


@admins_only
@require_POST
def set_open(request: Request, pk: int) -> HttpResponse:
    """Closes a person's account, or opens it again."""
    person = get_object_or_404(User, pk=pk)

    def do() -> str:
        if request.POST.get("on") == "1":
            people.reopen(request.user, person, origin(request))
            return f"{person} may sign in again."
        cancelled = people.close(request.user, person, origin(request))
        return f"{person} is signed out everywhere and cannot sign in. {_about_cancelled(cancelled)}"

    return _deed(request, do)


@admins_only
@require_POST
def forget_second_factor(request: Request, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)

    def do() -> str:
        people.forget_second_factor(request.user, person, origin(request))
        return f"{person} signs in with the password alone until they set up a new second factor."

    return _deed(request, do)


@admins_only
@require_POST
def second_factor_rule(request: Request) -> HttpResponse:
    on = request.POST.get("on") == "1"

    def do() -> str:
        people.require_second_factor(request.user, on, origin(request))
        return "Admins need a second factor from now on." if on else "A second factor is up to each person now."

    return _deed(request, do)


@admins_only
@require_POST
def make_team(request: Request) -> HttpResponse:
    name, time_zone = request.POST.get("name", "")[:200], request.POST.get("time_zone", "")[:60]
    try:
        team = people.make_team(request.user, name, time_zone or "UTC", origin(request))
    except people.CannotDo as no:
        return _show_people(request, 422, team_wrong=str(no), team_name=name, team_zone=time_zone)
    request.session[TEAM_IN_SESSION] = team.pk
    messages.success(request, f"{team} is there, and you are its manager. Invite people into it.")
    return redirect("team")


@admins_only
@require_POST
def step_in(request: Request, pk: int) -> HttpResponse:
    """An admin who wants to work in a team, or to manage it, becomes its manager."""
    team = get_object_or_404(Team, pk=pk)
    people.step_in(request.user, team, origin(request))
    request.session[TEAM_IN_SESSION] = team.pk
    messages.success(request, f"You are a manager of {team} now.")
    return redirect("team")


@admins_only
@require_POST
def invite_anywhere(request: Request) -> HttpResponse:
    """An admin's invitation into any team."""
    chosen = request.POST.get("team", "")
    team = get_object_or_404(Team, pk=int(chosen) if _is_number(chosen) else 0)
    said = _invite(request, team) | {"invite_team": team}
    return _show_people(request, 422 if "invite_wrong" in said else 200, **said)
