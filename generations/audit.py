"""The audit trail: one row for everything done in Settings, to approvals, budgets, share links and keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from generations.models import AuditEntry, Team, User

# What one can ask for: its words, and how the actions in it begin. What begins otherwise is OTHER.
GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "money": ("Budgets, rules, projects", ("budget", "rule", "project", "team", "refund")),
    "approvals": ("Approvals", ("approval", "generation")),
    "outcomes": ("Unknown outcomes", ("outcome", "safe_mode")),
    "people": ("People and roles", ("member", "invitation", "person", "admin", "admin_site")),
    "signin": ("Signing in", ("signin", "second_factor")),
    "accounts": ("Accounts, keys, models", ("account", "key", "model", "balance", "storage")),
    "sharing": ("Sharing and tokens", ("share", "collection", "token", "webhook")),
}
OTHER = "other"
AT_A_TIME = 1000  # rows that are read at once


def record(
    who: User | None,
    action: str,
    what: str,
    *,
    team: Team | None = None,
    address: str = "",
    agent: str = "",
    **details: Any,
) -> AuditEntry:
    """Adds one row, in the transaction of the deed itself. `what` is for people; `details` must be JSON, no secrets."""
    return AuditEntry.objects.create(
        who=who,
        action=action,
        what=what[:300],
        team=team,
        address=address or None,
        agent=agent[:200],
        details=details,
    )


# -- reading it -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Which part of the trail: everything that is given has to fit."""

    group: str = ""  # of GROUPS, or OTHER
    team: int | None = None
    who: int | None = None
    by_itself: bool = False  # what nobody did: Dailies itself
    since: datetime | None = None
    before: datetime | None = None
    text: str = ""

    def of(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Newest first."""
        if self.group == OTHER:
            rows = rows.exclude(_begins(*(begin for _, begins in GROUPS.values() for begin in begins)))
        elif self.group:
            rows = rows.filter(_begins(*GROUPS[self.group][1]))
        rows = rows.filter(team=self.team) if self.team else rows
        rows = rows.filter(who=None) if self.by_itself else rows.filter(who=self.who) if self.who else rows
        rows = rows.filter(at__gte=self.since) if self.since else rows
        rows = rows.filter(at__lt=self.before) if self.before else rows
        if self.text:
            said = Q(what__icontains=self.text) | Q(who__name__icontains=self.text) | Q(who__email__icontains=self.text)
            rows = rows.filter(said | Q(address__startswith=self.text))
        return rows.select_related("who", "team").order_by("-at", "-pk")


def _begins(*begins: str) -> Q:
    where = Q()
    for begin in begins:
        where |= Q(action__startswith=f"{begin}.")
    return where


def older(rows: QuerySet[AuditEntry], than: AuditEntry) -> QuerySet[AuditEntry]:
    """What comes after one row, by the index: no page is slower than the first."""
    return rows.filter(at__lte=than.at).filter(Q(at__lt=than.at) | Q(pk__lt=than.pk))


def every(rows: QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """All of them, read piece by piece: nothing is kept open or locked while somebody downloads slowly."""
    piece = list(rows[:AT_A_TIME])
    while piece:
        yield from piece
        piece = list(older(rows, piece[-1])[:AT_A_TIME]) if len(piece) == AT_A_TIME else []
