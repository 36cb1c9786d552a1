"""How people put a team's clips in order: favourites, collections, tags."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from generations.models.people import Team
from generations.models.work import Generation


class Favourite(models.Model):
    """A heart: one person's own."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="favourites")
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="favourites")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "generation"], name="one_heart_each")]

    def __str__(self) -> str:
        return f"{self.user} likes {self.generation}"


class Collection(models.Model):
    """Clips that belong together, in an order of their own: of the whole team, or private to the person who made it."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="collections")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="collections")
    name = models.CharField(max_length=80)
    private = models.BooleanField(default=False, help_text="Only its owner sees it.")
    created_at = models.DateTimeField(default=timezone.now)
    generations = models.ManyToManyField(Generation, through="CollectionItem", related_name="collections")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "team", Lower("name"), condition=Q(private=False), name="one_team_collection_of_a_name"
            ),
            models.UniqueConstraint(
                "team", "owner", Lower("name"), condition=Q(private=True), name="one_private_collection_of_a_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CollectionItem(models.Model):
    """A clip's place in a collection."""

    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="items")
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="places")
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["collection", "generation"], name="once_in_a_collection")]

    def __str__(self) -> str:
        return f"{self.generation} in {self.collection}"


class Tag(models.Model):
    """A word of a team for its clips. Written small; one of a kind."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=40)
    generations = models.ManyToManyField(Generation, through="Tagging", related_name="tags")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="one_tag_of_a_name")]

    def __str__(self) -> str:
        return self.name


class Tagging(models.Model):
    """A tag on a clip, and who put it there."""

    tag = models.ForeignKey(Tag, on_delete=models.CASCADE, related_name="taggings")
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="taggings")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tag", "generation"], name="a_tag_once_on_a_clip")]

    def __str__(self) -> str:
        return f"{self.tag} on {self.generation}"
