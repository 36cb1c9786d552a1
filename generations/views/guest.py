"""What guests see: everything under /s/<token>. Each page and each byte asks again whether its link is open.

A view is one visit: it is counted when a page is opened, once for a session until an hour has passed without a request.
Where views are limited, bytes are for visits under way alone, so that the last view is watched to its end and nobody
else gets in by the address of a file.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial, wraps
from typing import Any

from csp.decorators import csp_replace
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.text import slugify
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from generations import access, catalogue, parcel, sharing
from generations.models import ShareLink
from generations.views.gallery import ratio
from generations.views.gate import too_many
from generations.views.media import BUSY, Long, send, send_clip
from generations.words import makes_previews

View = Callable[..., HttpResponseBase]
Gate = Callable[[HttpRequest, ShareLink], HttpResponseBase | None]

PAGE = 60
VISIT = 3600  # seconds without a request after which a view is over
NOTED = 60  # seconds between two notes of a visit that goes on
WRONG_LINKS = 20  # in five minutes, from one address
WRONG_PASSWORDS = 10  # in an hour, from one address at one link
HEADERS = {
    "Cache-Control": "private, no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
}
CLOSED = {
    "revoked": "It was ended by the people who shared it.",
    "expired": "It worked until a day that has passed.",
    "used up": "It was made to be opened a number of times, and they are used up.",
    "gone": "What it showed was taken away.",
}
ROBOTS = """User-agent: *
Disallow: /

# These fetch a page when somebody pastes its link into a chat; they index nothing.
User-agent: Twitterbot
User-agent: facebookexternalhit
User-agent: LinkedInBot
User-agent: Slackbot
User-agent: Discordbot
User-agent: TelegramBot
User-agent: WhatsApp
Allow: /s/
Disallow: /
"""


# -- the door ---------------------------------------------------------------------------------------------------------


def _say(request: HttpRequest, title: str, words: str, status: int) -> HttpResponse:
    return render(request, "guest/says.html", {"title": title, "words": words}, status=status)


def _closed(request: HttpRequest, why: str) -> HttpResponse:
    words = f"{CLOSED[why]} Ask whoever sent it to you for a new one."
    return _say(request, "This link opens nothing any more", words, 410)


def _unknown(request: HttpRequest) -> HttpResponse:
    if too_many(request, "wrong-share-links", WRONG_LINKS):
        words = "Too many links that do not exist were tried from your network. Links that do exist go on working."
        return _say(request, "Wait a few minutes", words, 429)
    words = "No link has this address. Copy the whole link, or ask whoever sent it to you."
    return _say(request, "Nothing is here", words, 404)


def for_guests(gate: Gate) -> Callable[[View], View]:
    """Hands an open link on to the view, once the gate lets this visitor through."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, token: str, **named: Any) -> HttpResponseBase:
            answer = _answer(request, token, gate, view, named)
            for name, value in HEADERS.items():
                answer.headers[name] = value
            return answer

        return guarded

    return decorate


def _answer(request: HttpRequest, token: str, gate: Gate, view: View, named: dict[str, Any]) -> HttpResponseBase:
    link = sharing.find(token)
    if link is None:
        return _unknown(request)
    if why := access.closed_to_guests(link):
        return _closed(request, why)
    try:
        return gate(request, link) or view(request, link, **named)
    except Http404:
        return _say(request, "Not here any more", "This clip was taken out of what the link shows.", 404)


def _mark(link: ShareLink) -> str:
    """What a session keeps of a password that was right: worthless once the password changes."""
    return salted_hmac("share link", link.password).hexdigest()


def _locked(request: HttpRequest, link: ShareLink) -> bool:
    if not link.password:
        return False
    return not constant_time_compare(request.session.get(f"unlocked {link.pk}", ""), _mark(link))


def _under_way(request: HttpRequest, link: ShareLink) -> bool:
    """Whether this session is on a visit of this link; it goes on by this request."""
    now = time.time()
    last = request.session.get(f"visit {link.pk}", 0)
    if now - last > VISIT:
        return False
    if now - last > NOTED:
        request.session[f"visit {link.pk}"] = now
    return True


def knocking(request: HttpRequest, link: ShareLink) -> None:
    """Whoever has the link."""


def visiting(request: HttpRequest, link: ShareLink) -> HttpResponseBase | None:
    """Pages: behind the password, and each a view unless one is under way. Chat tools get a card and count nothing."""
    agent = request.headers.get("User-Agent", "")
    if makes_previews(agent):
        return _closed(request, "used up") if link.used_up else _show_card(request, link)
    if _locked(request, link):
        return _show_door(request, link)
    if _under_way(request, link):
        return None
    if request.method == "HEAD":
        return _closed(request, "used up") if link.used_up else None
    if not sharing.begin_view(link, agent):
        return _closed(request, "used up")
    request.session[f"visit {link.pk}"] = time.time()
    return None


def watching(request: HttpRequest, link: ShareLink) -> HttpResponseBase | None:
    """Bytes: behind the password, and where views are limited for visits under way alone."""
    if _locked(request, link):
        return _say(request, "This link has a password", "Open the link itself first.", 403)
    if not link.max_views or _under_way(request, link):
        return None
    if link.used_up:
        return _closed(request, "used up")
    return _say(request, "Open the link first", "How often it may be opened is limited, so it begins on its page.", 403)


def glancing(request: HttpRequest, link: ShareLink) -> HttpResponseBase | None:
    """The one picture that chat tools show beside the link: they go on no visit."""
    return watching(request, link) if link.password or link.used_up else None


def _show_card(request: HttpRequest, link: ShareLink) -> HttpResponse:
    return render(request, "guest/card.html", _said(request, link))


def _show_door(request: HttpRequest, link: ShareLink, wrong: str = "", status: int = 200) -> HttpResponse:
    return render(request, "guest/locked.html", _said(request, link) | {"wrong": wrong}, status=status)


def _said(request: HttpRequest, link: ShareLink) -> dict[str, Any]:
    """What every page of a link may say about it."""
    locked = _locked(request, link)
    count = 0 if locked else access.shown_to_guests(link).count()
    from_team = f"A link from {link.team}" if locked else f"{_clips(count)} from {link.team}"
    return {
        "link": link,
        "count": count,
        "title": from_team if locked or not link.title else link.title,
        "until": _day(link.expires_at) if link.expires_at else "",
        "here": request.build_absolute_uri(reverse("share", args=[link.token])),
        "card": request.build_absolute_uri(reverse("share_card", args=[link.token])) if count else "",
        "embed": request.build_absolute_uri(reverse("share_embed", args=[link.token]))
        if count and link.embed_on
        else "",
    }


def _day(at: datetime) -> str:
    return f"{at:%-d %B}" if at.year == timezone.now().year else f"{at:%-d %B %Y}"


def _clips(count: int) -> str:
    return "A clip" if count == 1 else f"{count:,} clips"


# Forms of a page with no-referrer come without an origin, which the check against forged forms would refuse. A forged
# one could only open the door for somebody with the right password in it.
@csrf_exempt
@sensitive_post_parameters("password")
@require_POST
@for_guests(knocking)
def unlock(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    if _locked(request, link):
        try:
            if too_many(request, f"wrong-share-passwords:{link.pk}", WRONG_PASSWORDS, 3600):
                raise sharing.TooManyTries
            if not sharing.unlocks(link, request.POST.get("password", "")[:200]):
                return _show_door(request, link, "This is not the password.", 422)
        except sharing.TooManyTries:
            return _show_door(request, link, "Too many wrong passwords were tried. Try again in an hour.", 429)
        request.session.cycle_key()
        request.session[f"unlocked {link.pk}"] = _mark(link)
    return redirect("share", link.token)


# -- pages ------------------------------------------------------------------------------------------------------------


def _shown(link: ShareLink, place: int) -> Any:
    found = access.shown_to_guests(link).select_related("clip", "owner").filter(place=place).first()
    if found is None:
        raise Http404
    return found


def _dressed(link: ShareLink, generation: Any) -> dict[str, Any]:
    """What a guest is told about a clip: of what is hidden, nothing gets as far as the template."""
    clip = generation.clip
    return {
        "place": generation.place,
        "ratio": ratio(generation),
        "seconds": clip.seconds or catalogue.length(generation.mode, generation.params),
        "width": clip.width,
        "height": clip.height,
        "prompt": generation.prompt if link.shows_prompt else "",
        "price": generation.charged if link.shows_price else None,
        "author": generation.owner.get_full_name() if link.shows_author else "",
    }


@require_safe
@for_guests(visiting)
def page(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    rows = access.shown_to_guests(link).select_related("clip", "owner")
    said = _said(request, link)
    if not link.of_collection:
        if not said["count"]:
            return _closed(request, "gone")
        if said["count"] == 1:
            return render(request, "guest/clip.html", said | {"c": _dressed(link, rows[0])})
    after = request.GET.get("after", "")
    if after.isascii() and after.isdigit() and len(after) < 18:
        rows = rows.filter(place__gt=int(after))
    clips = [_dressed(link, generation) for generation in rows[: PAGE + 1]]
    more = clips[PAGE - 1]["place"] if len(clips) > PAGE else None
    return render(request, "guest/clips.html", said | {"clips": clips[:PAGE], "more": more})


@require_safe
@for_guests(visiting)
def clip(request: HttpRequest, link: ShareLink, place: int) -> HttpResponseBase:
    """One of several."""
    shown = _shown(link, place)
    rows = access.shown_to_guests(link)
    beside = {
        "before": rows.filter(place__lt=place).order_by("-place").values_list("place", flat=True).first(),
        "next": rows.filter(place__gt=place).values_list("place", flat=True).first(),
        "number": rows.filter(place__lte=place).count(),
    }
    return render(request, "guest/clip.html", _said(request, link) | beside | {"c": _dressed(link, shown)})


@xframe_options_exempt  # of browsers that know no frame-ancestors; the others are told below who may frame it
@require_safe
@for_guests(knocking)
def embed(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    """The player alone, for pages of the sites that the link names. Without a session: every time counts."""
    shown = access.shown_to_guests(link).select_related("clip", "owner").first()
    if not link.embed_on or link.password or link.max_views or shown is None:
        raise Http404
    if request.method == "GET":
        sharing.begin_view(link, request.headers.get("User-Agent", ""), embedded=True)
    framed = csp_replace({"frame-ancestors": link.embed_on.split()})
    said = _said(request, link) | {"c": _dressed(link, shown)}
    return framed(partial(render, template_name="guest/embed.html", context=said))(request)


def robots(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ROBOTS, content_type="text/plain")


# -- bytes ------------------------------------------------------------------------------------------------------------


@require_safe
@for_guests(glancing)
def card(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    """The poster of the first clip."""
    first = access.shown_to_guests(link).select_related("clip").first()
    if first is None:
        raise Http404
    return send(request, first.clip.poster, "image/webp", f"p{first.clip.sha256}")


@require_safe
@for_guests(watching)
def poster(request: HttpRequest, link: ShareLink, place: int) -> HttpResponseBase:
    shown = _shown(link, place).clip
    return send(request, shown.poster, "image/webp", f"p{shown.sha256}")


@require_safe
@for_guests(watching)
def preview(request: HttpRequest, link: ShareLink, place: int) -> HttpResponseBase:
    shown = _shown(link, place).clip
    return send(request, shown.preview, "video/mp4", f"v{shown.sha256}")


@require_safe
@for_guests(watching)
def video(request: HttpRequest, link: ShareLink, place: int) -> HttpResponseBase:
    return send_clip(request, _shown(link, place).clip)


@require_safe
@for_guests(watching)
def download(request: HttpRequest, link: ShareLink, place: int) -> HttpResponseBase:
    """The clip as a file, where the link allows it. Its name says no more than the page does."""
    if not link.may_download:
        raise Http404
    number = access.shown_to_guests(link).filter(place__lte=place).count()
    answer = send_clip(request, _shown(link, place).clip)
    answer.headers["Content-Disposition"] = f'attachment; filename="{parcel.name_of(link, number)}"'
    return answer


@require_safe
@for_guests(watching)
def whole(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    """All clips as one zip, where the link allows it."""
    if not link.may_download or not access.shown_to_guests(link).exists():
        raise Http404
    named = {"Content-Disposition": f'attachment; filename="{slugify(link.title)[:60].strip("-") or "clips"}.zip"'}
    if request.method == "HEAD":
        return HttpResponse(content_type="application/zip", headers=named)
    try:
        zipped = parcel.Parcel(link)
    except parcel.CannotPack as no:
        return _say(request, "Not now", str(no), 429)
    pieces = Long.take(zipped)
    if pieces is None:
        zipped.close()
        return _say(request, "Not now", BUSY, 429)
    return StreamingHttpResponse(pieces, content_type="application/zip", headers=named)
