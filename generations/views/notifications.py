"""Notifications: what a person was told, newest first, and what of it they have read."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from generations import access
from generations.models import News, Notification
from generations.views.gate import TEAM_IN_SESSION, Request

PAGE = 30
#: The shape and tone before each kind, as everywhere for its state.
SHAPES = {
    News.PARKED: ("s-ask", "status-ask"),
    News.DECIDED: ("s-done", "status-done"),
    News.FAILED: ("s-bad", "status-bad"),
    News.UNKNOWN: ("s-unknown", "status-unknown"),
    News.READY: ("s-done", "status-done"),
    News.KEY: ("s-bad", "status-bad"),
}
WARNING = ("s-ask", "status-ask")


def _mine(request: Request) -> QuerySet[Notification]:
    return access.notifications_for(request.user).filter(in_app=True)


def _number(typed: str) -> int | None:
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 18 else None


@never_cache
@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    rows = _mine(request).select_related("team", "generation").order_by("-pk")
    only_unread = request.GET.get("show") == "unread"
    if only_unread:
        rows = rows.filter(read_at=None)
    after = _number(request.GET.get("after", ""))
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found: Sequence[Notification] = list(rows[: PAGE + 1])
    shown = found[:PAGE]
    query = "?show=unread&" if only_unread else "?"
    context: dict[str, Any] = {
        "rows": [(row, *SHAPES.get(News(row.kind), WARNING)) for row in shown],
        "more": f"{query}after={shown[-1].pk}" if len(found) > PAGE else "",
        "only_unread": only_unread,
        "newest": shown[0].pk if shown else 0,
        "after": after,
    }
    fragment = request.htmx and after is not None
    return render(request, "notifications/_rows.html" if fragment else "notifications.html", context)


@never_cache
@login_required
@require_safe
def follow(request: Request, pk: int) -> HttpResponse:
    """Leads to what it is about. Who went there has read it."""
    notification = get_object_or_404(_mine(request), pk=pk)
    _mark(_mine(request).filter(pk=pk))
    team = notification.team
    if notification.kind == News.BUDGET and team and access.teams_of(request.user).filter(pk=team.pk).exists():
        request.session[TEAM_IN_SESSION] = team.pk  # the team's page is that of the team one works in
    return redirect(notification.get_absolute_url())


def _mark(rows: QuerySet[Notification]) -> int:
    mine = rows.filter(read_at=None).values("pk")
    return Notification.objects.filter(pk__in=mine).update(read_at=timezone.now())


@login_required
@require_POST
def read(request: Request, pk: int) -> HttpResponse:
    notification = get_object_or_404(_mine(request).select_related("team", "generation"), pk=pk)
    _mark(_mine(request).filter(pk=pk))
    if not request.htmx:
        return redirect("notifications")
    notification.refresh_from_db(fields=["read_at"])
    shape, tone = SHAPES.get(News(notification.kind), WARNING)
    unread = _mine(request).filter(read_at=None)[:100].count()
    context = {"n": notification, "shape": shape, "tone": tone, "unread": unread, "alone": True}
    return render(request, "notifications/_row.html", context)


@login_required
@require_POST
def read_all(request: Request) -> HttpResponse:
    """Everything up to the newest that the page showed: what came meanwhile stays unread."""
    until = _number(request.POST.get("until", ""))
    _mark(_mine(request).filter(pk__lte=until or 0))
    return redirect(reverse("notifications"))
