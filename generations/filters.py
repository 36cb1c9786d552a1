"""Which clips of a team are asked for: it stands in the URL, in any combination, and so does the place reached."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Max, Min, Q, QuerySet

from generations import access, catalogue, search
from generations.models import RENDERING, CollectionItem, Favourite, Generation, Mark, Status, Tagging, Team, User

STATUSES = {
    "ready": ("Ready", [Status.COMPLETED]),
    "working": ("In progress", [Status.QUEUED, Status.AWAITING_APPROVAL, *RENDERING]),
    "trouble": ("Failed or refused", [Status.FAILED, Status.REJECTED]),
    "unknown": ("Outcome unknown", [Status.UNCONFIRMED]),
    "cancelled": ("Cancelled", [Status.CANCELLED]),
}
MARKS = {"keep": Mark.KEEP, "reject": Mark.REJECT, "none": Mark.NONE}
COUNTED = 1000  # more are not counted: that would take longer than the page

#: Names of the fields that are called otherwise in the URL.
IN_URL = {"first": "from", "last": "to"}


class WrongPlace(Exception):
    """A cursor that is damaged, or belongs to another choice."""


@dataclass(frozen=True)
class Filters:
    """What the URL asks for, as far as it means something."""

    mine: bool = False
    favourite: bool = False  # one's own hearts
    person: int | None = None
    model: str = ""
    type: str = ""
    status: str = ""
    project: int | None = None
    first: date | None = None  # days in the team's time zone, both included
    last: date | None = None
    collection: int | None = None
    tag: str = ""
    mark: str = ""
    q: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filters":
        def one_of(name: str, known: Mapping[str, Any]) -> str:
            return query[name] if query.get(name) in known else ""

        return cls(
            mine=query.get("show") == "mine",
            favourite=query.get("favourite") == "1",
            person=number(query.get("person", "")),
            model=one_of("model", catalogue.MODELS),
            type=one_of("type", catalogue.TYPES),
            status=one_of("status", STATUSES),
            project=number(query.get("project", "")),
            first=_day(query.get("from", "")),
            last=_day(query.get("to", "")),
            collection=number(query.get("collection", "")),
            tag=query.get("tag", "").replace("\x00", "").strip()[:40],
            mark=one_of("mark", MARKS),
            q=query.get("q", "").replace("\x00", " ").strip()[: search.LONGEST],
        )

    @property
    def values(self) -> dict[str, str]:
        """As they stand in the URL; what is not set is left out."""
        found = {IN_URL.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        found["favourite"] = int(self.favourite)
        found = {"show": "mine" if found.pop("mine") else "", **found}
        return {name: str(value) for name, value in found.items() if value}

    def url(self, **changed: Any) -> str:
        """The page's query with some values changed, named as in the URL; empty ones are left out."""
        return "?" + urlencode({name: value for name, value in {**self.values, **changed}.items() if value})

    @property
    def any(self) -> bool:
        """Something is chosen beyond whose clips are shown."""
        return self != Filters(mine=self.mine, favourite=self.favourite)

    @property
    def all(self) -> bool:
        """Nothing is chosen at all."""
        return self == Filters()

    def apply(self, user: User, team: Team) -> QuerySet[Generation]:
        """The clips of the team that fit, in no order. Nothing of the bin; cancelled ones only when asked for."""
        rows = access.generations_for(user).filter(team=team, binned_at=None)
        exact = {
            "owner": self.person,
            "mode": self.model,
            "generation_type": self.type,
            "project": self.project,
        }
        rows = rows.filter(**{name: value for name, value in exact.items() if value})
        if self.first or self.last:
            rows = rows.filter(self._days(team))
        if self.mine:
            rows = rows.filter(owner=user)
        if self.favourite:
            rows = rows.filter(pk__in=Favourite.objects.filter(user=user).values("generation"))
        if self.collection:
            seen = access.collections_for(user).filter(pk=self.collection)
            rows = rows.filter(pk__in=CollectionItem.objects.filter(collection__in=seen).values("generation"))
        if self.tag:
            rows = rows.filter(pk__in=Tagging.objects.filter(tag__team=team, tag__name=self.tag).values("generation"))
        if self.mark:
            rows = rows.filter(mark=MARKS[self.mark])
        if self.q:
            rows = search.matching(rows, team, self.q)
        if self.status:
            return rows.filter(status__in=STATUSES[self.status][1])
        return rows.exclude(status=Status.CANCELLED)

    def _days(self, team: Team) -> Q:
        """The days, and between which numbers their clips lie: else a database seeks old ones from the newest on.

        They are counted, too, so that they are read off the index of the days.
        """
        ends = {"day__gte": self.first, "day__lte": self.last}
        days = Q(**{name: day for name, day in ends.items() if day})
        found = team.generations.filter(days).aggregate(lowest=Min("pk"), highest=Max("pk"), number=Count("pk"))
        return days & Q(pk__gte=found["lowest"] or 0, pk__lte=found["highest"] or 0)

    # -- the place reached: the last clip shown, and what it was shown under ------------------------------------------
    def place(self, team: Team, last: int) -> str:
        return f"{last}-{self._mark_of(team)}"

    def after(self, team: Team, place: str) -> int:
        """The clip after which to go on. Raises WrongPlace."""
        last, _, mark = place.partition("-")
        found = number(last)
        if found is None or mark != self._mark_of(team):
            raise WrongPlace
        return found

    def _mark_of(self, team: Team) -> str:
        return sha256(f"{team.pk} {self.url()}".encode()).hexdigest()[:8]


def number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def misread(query: Mapping[str, str]) -> list[str]:
    """What of the URL could not be used as it stands: a sentence each."""
    read, found = Filters.read(query), []
    if len(query.get("q", "").strip()) > search.LONGEST:
        found.append(f"Only the first {search.LONGEST} characters are searched for.")
    for name, value in (("from", read.first), ("to", read.last)):
        if query.get(name) and value is None:
            found.append(f"“{query[name][:20]}” is no date, so it is left out. Dates look like 2026-11-24.")
    if read.first and read.last and read.first > read.last:
        found.append("The first day is after the last one, so nothing lies between them.")
    return found


def counted(rows: QuerySet[Generation]) -> tuple[int, bool]:
    """How many there are, and whether there are more than are counted."""
    found = rows.order_by()[: COUNTED + 1].count()
    return min(found, COUNTED), found > COUNTED
