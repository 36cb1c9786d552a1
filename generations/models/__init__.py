"""The rows, by subject. Import models from here."""

from generations.models.accounts import (
    ACTIVE_KEYS_PER_ACCOUNT,
    ApiAccount,
    ApiCall,
    ApiKey,
    BalanceReading,
    SwitchedOff,
)
from generations.models.audit import AuditEntry
from generations.models.fields import CannotDecrypt
from generations.models.money import AppendOnly, Approval, ApprovalRule, Budget, DaySum, LedgerEntry
from generations.models.people import Membership, Project, SetupCode, Team, User, check_time_zone
from generations.models.safe_mode import Freeze, Stray
from generations.models.work import (
    NEXT,
    RENDERING,
    UNFINISHED,
    Clip,
    Decision,
    Evidence,
    Forecast,
    Generation,
    GenerationMedia,
    Loan,
    Media,
    NotAllowed,
    Prompt,
    Quote,
    Status,
    Submission,
)

__all__ = [
    "ACTIVE_KEYS_PER_ACCOUNT",
    "NEXT",
    "RENDERING",
    "UNFINISHED",
    "ApiAccount",
    "ApiCall",
    "ApiKey",
    "AppendOnly",
    "Approval",
    "ApprovalRule",
    "AuditEntry",
    "BalanceReading",
    "Budget",
    "CannotDecrypt",
    "Clip",
    "DaySum",
    "Decision",
    "Evidence",
    "Forecast",
    "Freeze",
    "Generation",
    "GenerationMedia",
    "LedgerEntry",
    "Loan",
    "Media",
    "Membership",
    "NotAllowed",
    "Project",
    "Prompt",
    "Quote",
    "SetupCode",
    "Status",
    "Stray",
    "Submission",
    "SwitchedOff",
    "Team",
    "User",
    "check_time_zone",
]
