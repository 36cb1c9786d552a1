"""The audit trail: one row for everything done in Settings, to approvals, budgets, share links and keys."""

from typing import Any

from generations.models import AuditEntry, Team, User


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
