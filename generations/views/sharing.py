"""Share links as a team's people make, see, change and revoke them. What guests see: guest.py."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from generations import access, sharing
from generations.models import Collection, Generation, ShareLink, Team, User
from generations.views.gate import Request, current_team, origin
from generations.views.selection import back

PAGE = 50
NEWEST_VIEWS = 50
LASTS = {"1": "a day", "7": "a week", "30": "30 days", "90": "90 days", "365": "a year"}
DEFAULT = "30"
NEVER, KEEP = "never", "keep"
STATES = {"open": "Open", "ended": "Ended", "all": "All"}


def _number(text: str) -> int:
    """A key out of an address. What is none belongs to nothing."""
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise Http404
    return int(text)


# -- what is shared ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """The clips or the collection that a link is about to be made of."""

    team: Team
    clips: list[Generation]
    collection: Collection | None = None
    left_out: int = 0

    @classmethod
    def read(cls, request: Request) -> "Subject":
        """What the address or the form names. Raises 404 for anything that this person may not see."""
        named = request.POST if request.method == "POST" else request.GET
        if chosen := named.get("collection"):
            collection = get_object_or_404(
                access.collections_for(request.user).select_related("team"), pk=_number(chosen)
            )
            return cls(collection.team, [], collection)
        chosen_clips = named.getlist("g") + named.getlist("pick")
        keys = list(dict.fromkeys(_number(key) for key in chosen_clips[: sharing.MOST_CLIPS + 1]))
        seen = access.generations_for(request.user).filter(pk__in=keys).select_related("team")
        if not keys or len(seen) != len(keys):
            raise Http404
        ready = access.shareable(request.user).filter(pk__in=keys).select_related("team", "clip")
        clips = sorted(ready, key=lambda clip: keys.index(clip.pk))
        return cls(seen[0].team, clips, None, len(keys) - len(clips))


# -- the form ---------------------------------------------------------------------------------------------------------


class ShareForm(forms.Form):
    """The terms of a link."""

    title = forms.CharField(max_length=120, required=False)
    lasts = forms.ChoiceField(error_messages=dict.fromkeys(("invalid_choice", "required"), "Choose for how long."))
    password = forms.CharField(max_length=128, required=False, strip=False)
    no_password = forms.BooleanField(required=False)
    max_views = forms.IntegerField(min_value=1, max_value=1_000_000, required=False)
    may_download = forms.BooleanField(required=False)
    shows_prompt = forms.BooleanField(required=False)
    shows_price = forms.BooleanField(required=False)
    shows_author = forms.BooleanField(required=False)
    embed_on = forms.CharField(max_length=300, required=False)

    def __init__(self, *args: Any, user: User, team: Team, link: ShareLink | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.link = link
        choices = list(LASTS.items())
        if access.may_share_for_ever(user, team):
            choices.append((NEVER, "for ever, until it is revoked"))
        if link:
            choices.insert(0, (KEEP, "as it is"))
            choices[1:] = [(value, f"{words} from now" if value in LASTS else words) for value, words in choices[1:]]
        self.fields["lasts"].choices = choices  # type: ignore[attr-defined]

    def clean_max_views(self) -> int | None:
        most = self.cleaned_data["max_views"]
        if most and self.link and most <= self.link.views:
            raise forms.ValidationError(f"It was opened {self.link.views} times already. Choose more, or revoke it.")
        return most

    def clean_embed_on(self) -> str:
        try:
            return sharing.embed_origins(self.cleaned_data["embed_on"])
        except sharing.CannotShare as no:
            raise forms.ValidationError(str(no)) from None

    def terms(self) -> sharing.Terms:
        said = self.cleaned_data
        plain = {name: said[name] for name in sharing.Terms.__dataclass_fields__ if name != "expires_at"}
        if said["lasts"] == KEEP and self.link:
            return sharing.Terms(expires_at=self.link.expires_at, **plain)
        if said["lasts"] == NEVER:
            return sharing.Terms(expires_at=None, **plain)
        return sharing.Terms(expires_at=timezone.now() + timedelta(days=int(said["lasts"])), **plain)

    def new_password(self) -> str | None:
        """None leaves it as it is."""
        if self.cleaned_data["no_password"]:
            return ""
        return self.cleaned_data["password"] or None


# -- making one -------------------------------------------------------------------------------------------------------


@never_cache
@sensitive_post_parameters("password")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request) -> HttpResponse:
    """The terms first, then the link, which is shown this once."""
    if not access.teams_of(request.user).exists():
        raise PermissionDenied("You are in no team yet. An admin can add you to one.")
    if not access.makes_anywhere(request.user):
        raise PermissionDenied("Members and managers share clips with guests; viewers watch. Nothing was changed.")
    selecting = "selected" in request.POST  # the first step, from the bar of the gallery
    if selecting and "pick" not in request.POST:
        messages.error(request, "Select a clip first. Nothing was shared.")
        return back(request)
    subject = Subject.read(request)
    if not access.may_share(request.user, subject.team):
        raise PermissionDenied(f"Members and managers of {subject.team} share its clips. Nothing was changed.")
    if request.method != "POST" or selecting:
        title = subject.collection.name if subject.collection else ""
        return _show_new(request, subject, _blank(request, subject.team, title))
    form = ShareForm(request.POST, user=request.user, team=subject.team)
    if not form.is_valid():
        return _show_new(request, subject, form)
    password = form.cleaned_data["password"]
    try:
        if subject.collection:
            link, token = sharing.share_collection(
                request.user, subject.collection, form.terms(), password, origin(request)
            )
        else:
            link, token = sharing.share_clips(request.user, subject.clips, form.terms(), password, origin(request))
    except sharing.CannotShare as no:
        return _show_new(request, subject, form, str(no))
    return render(request, "sharing/made.html", _made(request, subject, link, token))


def _blank(request: Request, team: Team, title: str) -> ShareForm:
    return ShareForm(user=request.user, team=team, initial={"title": title, "lasts": DEFAULT})


def _show_new(request: Request, subject: Subject, form: ShareForm, wrong: str = "") -> HttpResponse:
    context = {"subject": subject, "form": form, "wrong": wrong, "most": sharing.MOST_CLIPS}
    return render(request, "sharing/new.html", context, status=422 if wrong or form.is_bound else 200)


def _made(request: Request, subject: Subject, link: ShareLink, token: str) -> dict[str, Any]:
    address = request.build_absolute_uri(reverse("share", args=[token]))
    clip = subject.clips[0].clip if len(subject.clips) == 1 else None
    frame = f"{request.build_absolute_uri(reverse('share_embed', args=[token]))}"
    return {
        "subject": subject,
        "link": link,
        "address": address,
        "frame": f'<iframe src="{frame}" width="{clip.width or 1280}" height="{clip.height or 720}" '
        'allow="fullscreen" title="Video"></iframe>'
        if clip and link.embed_on
        else "",
    }


# -- the links there are ----------------------------------------------------------------------------------------------


def _state(link: ShareLink) -> tuple[str, str]:
    """(word, shape) of what has become of a link."""
    if link.revoked_at:
        return "Revoked", "s-off"
    if link.expired:
        return "Expired", "s-off"
    if link.used_up:
        return "Used up", "s-off"
    return ("Open", "s-done") if access.may_share_still(link) else ("Nothing to show", "s-off")


def _rows(links: QuerySet[ShareLink]) -> list[dict[str, Any]]:
    found = links.select_related("team", "made_by", "revoked_by", "collection__team").prefetch_related("items")
    return [{"link": link, "state": _state(link), "clips": len(link.items.all())} for link in found]


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    """One's own links; for managers and admins those of the whole team."""
    team = current_team(request)
    links = access.links_for(request.user, team)
    people = User.objects.filter(share_links__in=links).distinct().order_by("name", "email")
    state = request.GET.get("state") if request.GET.get("state") in STATES else "open"
    person = next((each for each in people if str(each.pk) == request.GET.get("person")), None)
    if person:
        links = links.filter(made_by=person)
    all_open = links.filter(revoked_at=None)
    if state == "open":
        links = links.filter(pk__in=ShareLink.open())
    elif state == "ended":
        links = links.exclude(pk__in=ShareLink.open())
    after = request.GET.get("after", "")
    if after.isascii() and after.isdigit() and len(after) < 18:
        links = links.filter(pk__lt=int(after))
    rows = _rows(links.order_by("-pk")[: PAGE + 1])
    query = {"state": state} | ({"person": person.pk} if person else {})
    context = {
        "rows": rows[:PAGE],
        "more": urlencode({**query, "after": rows[PAGE - 1]["link"].pk}) if len(rows) > PAGE else "",
        "states": [(key, words, urlencode({**query, "state": key}), key == state) for key, words in STATES.items()],
        "state": state,
        "people": people,
        "person": person,
        "revocable": all_open.count() if person else 0,
        "team": team,
        "whole_team": access.may_manage(request.user, team),
    }
    return render(request, "sharing.html", context)


def _link(request: Request, pk: int) -> ShareLink:
    links = access.links_for(request.user, current_team(request))
    return get_object_or_404(links.select_related("team", "made_by", "collection__team"), pk=pk)


@never_cache
@sensitive_post_parameters("password")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def one(request: Request, pk: int) -> HttpResponse:
    """A link, its terms to change, and who opened it."""
    link = _link(request, pk)
    if request.method != "POST":
        return _show_one(request, link, _filled(request, link))
    form = ShareForm(request.POST, user=request.user, team=link.team, link=link)
    if not form.is_valid():
        return _show_one(request, link, form)
    try:
        sharing.change(request.user, link, form.terms(), form.new_password(), origin(request))
    except sharing.CannotShare as no:
        return _show_one(request, link, form, str(no))
    messages.success(request, "Changed. The link stays the same.")
    return redirect("share_link", link.pk)


def _filled(request: Request, link: ShareLink) -> ShareForm:
    initial = {name: getattr(link, name) for name in sharing.Terms.__dataclass_fields__} | {"lasts": KEEP}
    return ShareForm(user=request.user, team=link.team, link=link, initial=initial)


def _show_one(request: Request, link: ShareLink, form: ShareForm, wrong: str = "") -> HttpResponse:
    context = {
        "link": link,
        "state": _state(link),
        "form": form,
        "wrong": wrong,
        "clips": access.shown_to_guests(link).select_related("clip")[:12],
        "opened": link.opened.order_by("-pk")[:NEWEST_VIEWS],
    }
    return render(request, "sharing/one.html", context, status=422 if wrong or form.is_bound else 200)


@login_required
@require_POST
def revoke(request: Request, pk: int) -> HttpResponse:
    link = _link(request, pk)
    if sharing.revoke(request.user, link, origin(request)):
        messages.success(request, "Revoked. The link opens nothing from now on.")
    else:
        messages.info(request, "It was revoked already.")
    return redirect("share_links")


@login_required
@require_POST
def revoke_all(request: Request) -> HttpResponse:
    """All links of one person in this team."""
    person = get_object_or_404(User, pk=_number(request.POST.get("person", "")))
    links = access.links_for(request.user, current_team(request)).filter(made_by=person, revoked_at=None)
    ended = sharing.revoke_all(request.user, links.select_related("team", "made_by", "collection"), origin(request))
    messages.success(request, f"{ended} link{'' if ended == 1 else 's'} of {person} revoked.")
    return redirect("share_links")
