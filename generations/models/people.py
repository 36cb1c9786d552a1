"""People, the teams they work in, and the projects that teams work for."""

import hashlib
import secrets
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from generations.models.tokens import ByToken


class UserManager(BaseUserManager["User"]):
    """Makes people by e-mail address: there are no user names."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})


class User(AbstractUser):
    """A person. `is_staff` marks the site's admins."""

    class Theme(models.TextChoices):
        SYSTEM = "", "System"
        LIGHT = "dailies-light", "Light"
        DARK = "dailies-dark", "Dark"

    username = None  # type: ignore[assignment]
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    theme = models.CharField(max_length=20, choices=Theme, default=Theme.SYSTEM, blank=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []
    objects = UserManager()  # type: ignore[misc,assignment]

    def __str__(self) -> str:
        return self.get_full_name()

    def get_full_name(self) -> str:
        return self.name or self.email.split("@")[0]

    def get_short_name(self) -> str:
        return self.get_full_name().split(" ")[0]

    @property
    def initials(self) -> str:
        parts = self.get_full_name().replace(".", " ").split()
        return (parts[0][0] + (parts[-1][0] if len(parts) > 1 else "")).upper() if parts else "?"


def check_time_zone(name: str) -> None:
    """Raises ValidationError for what is no IANA time zone."""
    if name not in available_timezones():
        raise ValidationError("This is not a time zone. Choose one such as Europe/Berlin.")


class Team(models.Model):
    """People who share a gallery and a balance."""

    name = models.CharField(max_length=80, unique=True)
    time_zone = models.CharField(
        max_length=60, default="UTC", validators=[check_time_zone], help_text="In which its days and months begin."
    )
    clear_after = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days after which clips that nobody holds on to go into the bin. Empty: never."
    )
    created_at = models.DateTimeField(default=timezone.now)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")

    def __str__(self) -> str:
        return self.name

    def day(self, at: datetime | None = None) -> date:
        """The date at the team's place, now or at another time."""
        return timezone.localdate(at, ZoneInfo(self.time_zone))


class Membership(models.Model):
    """One person's place in one team."""

    class Role(models.TextChoices):
        VIEWER = "viewer", "Viewer"
        MEMBER = "member", "Member"
        MANAGER = "manager", "Manager"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    joined_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_membership_per_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class Project(models.Model):
    """A client or a campaign that a team charges generations to. Archived, never deleted."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=80)
    archived_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="one_project_of_a_name")]

    def __str__(self) -> str:
        return self.name


class Invitation(ByToken):
    """A link that lets one person into one team, once. Only the hash of its token is kept; it is shown once."""

    LASTS = timedelta(days=7)
    PURPOSE = b"dailies invitation"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Membership.Role, default=Membership.Role.MEMBER)
    email = models.EmailField(blank=True, help_text="Whom it was meant for. Whoever has the link may use it.")
    invited_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="invitations")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    used_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="joined_with")
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["team", "expires_at"])]

    def __str__(self) -> str:
        return f"invitation to {self.team} as {self.role}"

    @classmethod
    def issue(cls, team: Team, role: str, email: str, invited_by: User) -> tuple["Invitation", str]:
        """Makes one, and returns it with its token, which nobody can read again."""
        token, digest = cls.new_token()
        row = cls.objects.create(
            team=team,
            role=role,
            email=email,
            digest=digest,
            invited_by=invited_by,
            expires_at=timezone.now() + cls.LASTS,
        )
        return row, token

    @classmethod
    def open(cls) -> "models.QuerySet[Invitation]":
        """Those that still let somebody in."""
        return cls.objects.filter(used_at=None, revoked_at=None, expires_at__gt=timezone.now())


class SiteRules(models.Model):
    """What admins decided for the whole site. One row at most; without it everything is as at first."""

    admins_need_second_factor = models.BooleanField(default=False)
    low_balance = models.PositiveBigIntegerField(
        default=500, help_text="Credits: an account with less is told of. 0: never."
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_row_of_site_rules")]

    def __str__(self) -> str:
        return "rules of the site"


class SetupCode(models.Model):
    """The one-time code that makes the first admin. Only its hash is kept; it is shown once, on the console."""

    ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that is read two ways
    LENGTH = 12

    digest = models.CharField(max_length=64)
    made_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return f"set-up code of {self.made_at:%Y-%m-%d %H:%M}"

    @classmethod
    def issue(cls) -> str:
        """Makes a new code, ends the older ones, and returns the code for the console."""
        code = "".join(secrets.choice(cls.ALPHABET) for _ in range(cls.LENGTH))
        cls.objects.filter(used_at=None).delete()
        cls.objects.create(digest=cls.digest_of(code))
        return "-".join(code[i : i + 4] for i in range(0, cls.LENGTH, 4))

    @classmethod
    def digest_of(cls, typed: str) -> str:
        plain = "".join(c for c in typed.upper() if c.isalnum())
        return hashlib.sha256(b"dailies set-up code" + plain.encode()).hexdigest()
