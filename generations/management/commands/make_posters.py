"""Makes the posters of clips that were kept before there were several widths of them."""

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generations import archive
from generations.models import Clip


class Command(BaseCommand):
    help = (
        "Makes posters in every width, and the preview, of kept clips that have only one poster, newest first. Goes on "
        "where another run was stopped. Asks Veevid nothing. Ends with 1 when a clip could not be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="of clips that have them already, too")
        parser.add_argument("--limit", type=int, help="stop after so many clips")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Clip.objects.filter(state=Clip.State.STORED).order_by("-pk")
        if not options["all"]:
            rows = rows.filter(poster_small="", width__gt=320)
        counts = Counter[str]()
        for pk in list(rows.values_list("pk", flat=True)[: options["limit"]]):
            counts[self._make(Clip.objects.get(pk=pk))] += 1
        self.stdout.write(f"{counts['made']:,} made, {counts['changed']:,} changed meanwhile, {counts['not']:,} not")
        if counts["not"]:
            raise CommandError(f"{counts['not']} could not be read: see check_clips.")

    def _make(self, clip: Clip) -> str:
        try:
            return "made" if archive.make_posters(clip) else "changed"
        except (archive.CannotFetch, OSError) as problem:
            self.stderr.write(f"generation {clip.generation_id}: {problem}")
            return "not"
