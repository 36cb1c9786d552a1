"""From a prompt to a clip: what people asked for, what was sent, what came back."""

import math
import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.fields.files import FieldFile
from django.urls import reverse
from django.utils import timezone

from generations.models.accounts import ApiAccount, ApiCall, ApiKey
from generations.models.batches import Batch
from generations.models.people import Project, Team
from generations.models.prompts import PromptVersion


class Media(models.Model):
    """An uploaded image or source video: kept here, lent to upstream by URL."""

    class Kind(models.TextChoices):
        IMAGE = "image"
        VIDEO = "video"

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="media")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="media")
    key = models.UUIDField(default=uuid.uuid4, unique=True)
    kind = models.CharField(max_length=5, choices=Kind)
    name = models.CharField(max_length=200)
    file = models.FileField(upload_to="uploads/%Y/%m/")
    poster = models.FileField(upload_to="uploads/%Y/%m/", blank=True)
    content_type = models.CharField(max_length=40)
    size = models.PositiveBigIntegerField()
    extra_size = models.PositiveBigIntegerField(default=0, help_text="Bytes of its poster.")
    sha256 = models.CharField(max_length=64, blank=True, help_text="Empty until something of its size comes in.")
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)
    hidden_at = models.DateTimeField(null=True, help_text="Out of the library since then; clips still name it.")

    class Meta:
        indexes = [models.Index(fields=["team", "-id"], name="media_of_a_team")]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "sha256"], condition=~models.Q(sha256=""), name="a_content_once_in_a_team"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Loan(models.Model):
    """Where an account's storage holds a copy of our media: uploaded once for each account."""

    media = models.ForeignKey(Media, on_delete=models.CASCADE, related_name="loans")
    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT)
    url = models.URLField(max_length=2048)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["media", "account"], name="one_loan_per_account")]

    def __str__(self) -> str:
        return self.url


class Quote(models.Model):
    """A price that upstream named for one set of billing parameters."""

    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT, related_name="quotes")
    call = models.ForeignKey(ApiCall, on_delete=models.PROTECT, null=True, related_name="quotes")
    digest = models.CharField(max_length=64, help_text="Of the billing parameters.")
    billing = models.JSONField()
    credits = models.PositiveIntegerField()
    balance = models.BigIntegerField(null=True)
    sufficient = models.BooleanField(default=True)
    stale = models.BooleanField(default=False, help_text="A generation was charged more: ask again.")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["account", "digest", "-at"])]

    def __str__(self) -> str:
        return f"{self.credits} credits"


class Status(models.TextChoices):
    """The states of a generation, with the words people read. NEXT says which moves exist."""

    AWAITING_APPROVAL = "AWAITING_APPROVAL", "Needs approval"
    QUEUED = "QUEUED", "Waiting"
    SUBMITTING = "SUBMITTING", "Sending"
    PROCESSING = "PROCESSING", "Rendering"
    STALLED = "STALLED", "Taking long"
    COMPLETED = "COMPLETED", "Ready"
    FAILED = "FAILED", "Failed"
    REJECTED = "REJECTED", "Refused"
    UNCONFIRMED = "UNCONFIRMED", "Outcome unknown"
    CANCELLED = "CANCELLED", "Cancelled"


#   confirm -> [AWAITING_APPROVAL ->] QUEUED -> SUBMITTING -> PROCESSING -> COMPLETED | FAILED | STALLED (looked at)
#   QUEUED <- SUBMITTING when it was certainly not accepted; SUBMITTING -> UNCONFIRMED when nobody can tell.
NEXT: dict[str, set[str]] = {
    Status.AWAITING_APPROVAL: {Status.QUEUED, Status.CANCELLED},
    # PROCESSING: an acceptance that came late, after the attempt had been released and before it was sent again.
    Status.QUEUED: {Status.SUBMITTING, Status.CANCELLED, Status.PROCESSING},
    Status.SUBMITTING: {Status.QUEUED, Status.PROCESSING, Status.REJECTED, Status.UNCONFIRMED},
    Status.PROCESSING: {Status.COMPLETED, Status.FAILED, Status.STALLED},
    Status.STALLED: {Status.COMPLETED, Status.FAILED, Status.UNCONFIRMED},  # after a week, a person decides
    # Its own answer when that comes late after all, or a recorded Decision.
    Status.UNCONFIRMED: {Status.PROCESSING, Status.REJECTED, Status.QUEUED, Status.FAILED, Status.CANCELLED},
    Status.COMPLETED: set(),
    Status.FAILED: set(),
    Status.REJECTED: set(),
    Status.CANCELLED: set(),
}
UNFINISHED = (Status.AWAITING_APPROVAL, Status.QUEUED, Status.SUBMITTING, Status.PROCESSING, Status.STALLED)
RENDERING = (Status.SUBMITTING, Status.PROCESSING, Status.STALLED)


class NotAllowed(Exception):
    """A move that NEXT does not have."""


class Mark(models.TextChoices):
    """What the team made of a clip."""

    NONE = "", "Not decided"
    KEEP = "keep", "Kept"
    REJECT = "reject", "Rejected"


class Generation(models.Model):
    """One clip that a person confirmed, from the confirmation to the end."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="generations")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="generations")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, related_name="generations")
    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, null=True, related_name="generations")
    position = models.PositiveSmallIntegerField(null=True, help_text="In its batch.")
    day = models.DateField(default=timezone.localdate, help_text="Of the confirmation, in the team's time zone.")
    nonce = models.UUIDField(unique=True, help_text="Of the confirmation: the same one twice is one generation.")
    status = models.CharField(max_length=20, choices=Status, default=Status.QUEUED)
    mode = models.CharField(max_length=40)
    generation_type = models.CharField(max_length=30)
    params = models.JSONField()
    prompt = models.TextField(max_length=5000)
    from_version = models.ForeignKey(PromptVersion, on_delete=models.PROTECT, null=True, related_name="generations")
    quote = models.ForeignKey(Quote, on_delete=models.PROTECT, related_name="generations")
    price = models.PositiveIntegerField(help_text="Credits, as confirmed.")
    charged = models.PositiveIntegerField(null=True, help_text="Credits, as upstream charged them.")

    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT, null=True, related_name="generations")
    attempt = models.PositiveIntegerField(
        default=0, help_text="Of the newest submission: only its answer may move this row."
    )
    upstream_id = models.CharField(max_length=200, null=True)
    video_url = models.TextField(blank=True)
    upstream_words = models.TextField(blank=True, help_text="What upstream said, in its own words.")
    wait_why = models.CharField(max_length=20, blank=True)
    not_before = models.DateTimeField(null=True)
    next_look_at = models.DateTimeField(null=True)
    announced_at = models.DateTimeField(null=True, help_text="When a worker was last told of it.")
    looks = models.PositiveIntegerField(default=0)
    looks_unanswered = models.PositiveIntegerField(default=0, help_text="In a row.")

    created_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    took = models.FloatField(null=True, help_text="Seconds that rendering took.")

    mark = models.CharField(max_length=6, choices=Mark, default=Mark.NONE, blank=True)
    marked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    binned_at = models.DateTimeField(null=True, help_text="In the bin since then; its file goes after BIN_DAYS.")
    binned_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    cleared_at = models.DateTimeField(null=True, help_text="Deleted for good: the file is gone, row and books stay.")

    class Meta:
        indexes = [
            models.Index(
                fields=["team", "-binned_at"], condition=models.Q(binned_at__isnull=False), name="generations_in_bin"
            ),
            models.Index(fields=["team", "-id"]),
            models.Index(fields=["status", "next_look_at"]),
            models.Index(fields=["status", "-finished_at"]),
            models.Index(fields=["account", "finished_at"]),
            models.Index(fields=["owner", "-id"]),
            models.Index(
                fields=["owner", "queued_at", "id"], condition=models.Q(status="QUEUED"), name="generations_in_line"
            ),
            models.Index(fields=["project", "-id"]),
            models.Index(  # what decided clips cost, without their rows
                fields=["day", "team", "owner", "project", "mode", "quote", "mark", "charged"],
                condition=models.Q(status="COMPLETED") & ~models.Q(mark=""),
                name="generations_decided",
            ),
            models.Index(fields=["team", "owner", "-id"], name="generations_of_person"),
            models.Index(fields=["team", "mode", "-id"], name="generations_of_model"),
            models.Index(fields=["team", "day", "id"], name="generations_of_day"),
            models.Index(  # few, and sought among many
                fields=["team", "-id"],
                condition=models.Q(status__in=("FAILED", "REJECTED", "UNCONFIRMED", "CANCELLED")),
                name="generations_without_a_clip",
            ),
            models.Index(fields=["team", "mark", "-id"], condition=~models.Q(mark=""), name="generations_with_a_mark"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "upstream_id"], name="one_generation_per_upstream_id")
        ]

    def __str__(self) -> str:
        return f"generation {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("generation", args=[self.pk])

    def move(self, to: str, only: int | None = None, **fields: Any) -> bool:
        """One guarded UPDATE from the status this object was read with. False: somebody else was first.

        `only` names the attempt whose answer this is: it moves nothing that a newer attempt is working on.
        """
        if to not in NEXT[self.status]:
            raise NotAllowed(f"{self.status} does not lead to {to}")
        rows = Generation.objects.filter(pk=self.pk, status=self.status)
        if only is not None:
            rows = rows.filter(attempt=only)
        moved = rows.update(status=to, **fields)
        if moved:
            self.status = to
            for name, value in fields.items():
                setattr(self, name, value)
        return bool(moved)


class GenerationMedia(models.Model):
    """A start frame, an end frame, a reference or a source video of one generation: ours, or a URL."""

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="media")
    slot = models.CharField(max_length=20)
    position = models.PositiveSmallIntegerField(default=0)
    media = models.ForeignKey(Media, on_delete=models.PROTECT, null=True, related_name="uses")
    url = models.CharField(max_length=2048, blank=True)

    class Meta:
        ordering = ["generation", "slot", "position"]
        constraints = [models.UniqueConstraint(fields=["generation", "slot", "position"], name="one_medium_per_place")]

    def __str__(self) -> str:
        return self.url or str(self.media)

    @property
    def in_words(self) -> str:
        names = {"image": "Start frame", "end_image": "End frame", "video": "Source video"}
        return names.get(self.slot, f"Reference {self.position + 1}")


class Submission(models.Model):
    """One attempt to send a generation upstream. Written before the socket opens, closed by what came back."""

    class Outcome(models.TextChoices):
        OPEN = "", "no answer yet"
        ACCEPTED = "accepted"
        REFUSED = "refused"
        RETURNED = "returned", "certainly not accepted; waits for another attempt"
        UNCLEAR = "unclear"

    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, related_name="submissions")
    attempt = models.PositiveIntegerField()
    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT, related_name="submissions")
    key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="submissions")
    call = models.OneToOneField(ApiCall, on_delete=models.PROTECT, null=True, related_name="submission")
    worker = models.CharField(max_length=120)
    at = models.DateTimeField(default=timezone.now)
    deadline = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.OPEN, blank=True)
    words = models.TextField(blank=True, help_text="What happened, for people.")
    upstream_words = models.TextField(blank=True)
    answer = models.JSONField(null=True)
    balance_before = models.BigIntegerField(null=True, help_text="What the account should have had, just before.")
    balance_read_at = models.DateTimeField(null=True, help_text="When the reading behind it was taken.")
    check_at = models.DateTimeField(null=True, help_text="When the balance is to be read, after an unclear end.")

    #: No column. Until when its first byte may leave, by the monotonic clock of the process that claimed it; no other
    #: process may send it. Later it might not be done when its lease runs out.
    begin_by: float = -math.inf

    class Meta:
        constraints = [models.UniqueConstraint(fields=["generation", "attempt"], name="one_row_per_attempt")]
        indexes = [
            models.Index(fields=["deadline"], condition=models.Q(outcome=""), name="submissions_open"),
            models.Index(fields=["check_at"], condition=models.Q(check_at__isnull=False), name="submissions_to_check"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.generation}"


class Evidence(models.Model):
    """What the balance says about a submission that ended unclear. Added, never changed."""

    class Verdict(models.TextChoices):
        DROPPED = "dropped", "fell by exactly this price"
        UNCHANGED = "unchanged", "is unchanged"
        UNCLEAR = "unclear", "moved otherwise, or was not known before"

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="evidence")
    before = models.BigIntegerField(null=True)
    after = models.BigIntegerField()
    verdict = models.CharField(max_length=10, choices=Verdict)
    alone = models.BooleanField(help_text="Nothing else of ours was under way on the account in between.")
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.verdict}: {self.before} to {self.after}"


class Decision(models.Model):
    """What was decided about a submission that ended unclear, and by whom. Added, never changed.

    A submission has a second one when its clip was adopted, or came late, and then never ended.
    """

    class Kind(models.TextChoices):
        ADOPT = "adopt", "The clip was found upstream"
        CHARGED = "charged", "Charged, without a clip"
        AGAIN = "again", "Not accepted: send again"
        RELEASE = "release", "Not accepted: give the credits back"

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="decisions")
    kind = models.CharField(max_length=10, choices=Kind)
    who = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="decisions")
    note = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.kind} for {self.submission}"


class Forecast(models.Model):
    """Between which times people were told that a clip would be ready. Whether that held is known when it is."""

    class Stage(models.TextChoices):
        QUEUED = "queued", "when it was confirmed"
        SENT = "sent", "when it was sent"

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="forecasts")
    stage = models.CharField(max_length=10, choices=Stage)
    at = models.DateTimeField(default=timezone.now)
    low = models.DateTimeField()
    high = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["generation", "stage"], name="one_forecast_per_stage")]
        indexes = [models.Index(fields=["stage", "-id"])]

    def __str__(self) -> str:
        return f"{self.generation} ready between {self.low:%H:%M:%S} and {self.high:%H:%M:%S}"


class Clip(models.Model):
    """The stored video of a completed generation: a machine of its own, so that a full disk unfinishes nothing."""

    class State(models.TextChoices):
        PENDING = "PENDING", "Being fetched"
        STORED = "STORED", "Kept here"
        GONE = "GONE", "Lost upstream"
        DAMAGED = "DAMAGED", "Damaged here"  # what was kept is missing or is not what it was
        DELETED = "DELETED", "Deleted"  # by people, by way of the bin

    generation = models.OneToOneField(Generation, on_delete=models.PROTECT, related_name="clip")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    source_url = models.TextField()
    fetch_at = models.DateTimeField(null=True, default=timezone.now)
    announced_at = models.DateTimeField(null=True, help_text="When a worker was last told to fetch it.")
    tries = models.PositiveIntegerField(default=0)
    trouble = models.CharField(max_length=300, blank=True)
    dead_since = models.DateTimeField(null=True, help_text="Since when upstream serves no link to it any more.")
    expected_size = models.PositiveBigIntegerField(null=True, help_text="Bytes, as upstream's status named them.")
    file = models.FileField(upload_to="clips/%Y/%m/", blank=True)
    poster = models.FileField(upload_to="clips/%Y/%m/", blank=True, help_text="Of up to 1280 pixels.")
    poster_medium = models.FileField(upload_to="clips/%Y/%m/", blank=True)
    poster_small = models.FileField(upload_to="clips/%Y/%m/", blank=True)
    preview = models.FileField(upload_to="clips/%Y/%m/", blank=True)
    size = models.PositiveBigIntegerField(null=True)
    extra_size = models.PositiveBigIntegerField(default=0, help_text="Bytes of its poster and preview.")
    sha256 = models.CharField(max_length=64, blank=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    seconds = models.FloatField(null=True)
    fps = models.FloatField(null=True)
    sound = models.BooleanField(default=False)
    stored_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True, help_text="When `check_clips` last compared its file.")

    #: What of it lies in the storage: all of these go together.
    FILES = ("file", "poster", "poster_medium", "poster_small", "preview")

    class Meta:
        indexes = [
            models.Index(fields=["state", "fetch_at"]),
            models.Index(fields=["stored_at"]),
            models.Index(fields=["sha256"], name="clips_by_content"),
        ]

    def __str__(self) -> str:
        return f"clip of {self.generation}"

    @property
    def poster_width(self) -> int:
        return min(self.width or 1280, 1280)

    @property
    def narrower(self) -> dict[int, FieldFile]:
        """Its smaller posters, by their width in pixels."""
        widths = ((320, self.poster_small), (640, self.poster_medium))
        return {width: poster for width, poster in widths if poster}


class Imported(models.Model):
    """A generation that happened in another installation. What it cost stands here, and in no book of this one."""

    generation = models.OneToOneField(Generation, on_delete=models.PROTECT, related_name="imported")
    origin = models.CharField(max_length=200, help_text="Which team of which installation.")
    entries = models.JSONField(default=list, help_text="The rows of the ledger there.")
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.generation} from {self.origin}"
