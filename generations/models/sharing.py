"""Share links: what guests, who have no account, may watch."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from generations.models.people import Team
from generations.models.shelf import Collection
from generations.models.tokens import ByToken
from generations.models.work import Generation


class ShareLink(ByToken):
    """One link to some clips of a team, or to a collection as it is at the time. Everything is hidden unless shown."""

    PURPOSE = b"dailies share link"

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="share_links")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="share_links")
    of_collection = models.BooleanField(default=False)
    collection = models.ForeignKey(Collection, on_delete=models.SET_NULL, null=True, related_name="share_links")
    generations = models.ManyToManyField(Generation, through="SharedClip", related_name="share_links")

    title = models.CharField(max_length=120, blank=True, help_text="What guests read.")
    password = models.CharField(max_length=128, blank=True, help_text="Hashed.")
    expires_at = models.DateTimeField(null=True)
    max_views = models.PositiveIntegerField(null=True)
    may_download = models.BooleanField(default=False)
    shows_prompt = models.BooleanField(default=False)
    shows_price = models.BooleanField(default=False)
    shows_author = models.BooleanField(default=False)
    embed_on = models.CharField(max_length=300, blank=True, help_text="Origins whose pages may frame the player.")

    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    views = models.PositiveIntegerField(default=0)
    last_view_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0, help_text="Of its password, since tries_since.")
    tries_since = models.DateTimeField(null=True)

    #: No column. What the visitor came with.
    token: str = ""

    class Meta:
        indexes = [models.Index(fields=["team", "-id"]), models.Index(fields=["made_by", "-id"])]

    def __str__(self) -> str:
        return self.title or (f"link to {self.collection}" if self.collection else f"share link {self.pk}")

    @classmethod
    def open(cls, now: datetime | None = None) -> "models.QuerySet[ShareLink]":
        """Those that are neither revoked, nor too old, nor used up."""
        fresh = Q(expires_at=None) | Q(expires_at__gt=now or timezone.now())
        unused = Q(max_views=None) | Q(views__lt=F("max_views"))
        return cls.objects.filter(fresh, unused, revoked_at=None)

    @property
    def used_up(self) -> bool:
        return self.max_views is not None and self.views >= self.max_views

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def count_view(self) -> bool:
        """One guarded UPDATE: of many visitors at once no more than the limit get in."""
        now = timezone.now()
        return bool(ShareLink.open(now).filter(pk=self.pk).update(views=F("views") + 1, last_view_at=now))

    def take_try(self, most: int, window: timedelta) -> bool:
        """One try of the password. False when all of this window are used: the password is not even looked at."""
        now = timezone.now()
        row = ShareLink.objects.filter(pk=self.pk)
        over = Q(tries_since=None) | Q(tries_since__lte=now - window)
        return bool(
            row.filter(over).update(tries=1, tries_since=now) or row.filter(tries__lt=most).update(tries=F("tries") + 1)
        )


class SharedClip(models.Model):
    """A clip of a link to single clips. Guests name it by this row's key, never by the generation's."""

    link = models.ForeignKey(ShareLink, on_delete=models.CASCADE, related_name="items")
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="shared")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["link", "generation"], name="once_in_a_link")]

    def __str__(self) -> str:
        return f"{self.generation} in {self.link}"


class ShareView(models.Model):
    """Somebody opened a link: when, and with what, roughly. No address is kept."""

    link = models.ForeignKey(ShareLink, on_delete=models.CASCADE, related_name="opened")
    at = models.DateTimeField(default=timezone.now)
    client = models.CharField(max_length=60, help_text="Such as Chrome on Android.")
    embedded = models.BooleanField(default=False)

    class Meta:
        indexes = [models.Index(fields=["link", "-id"])]

    def __str__(self) -> str:
        return f"{self.link} in {self.client}"
