"""Writes a team's clips and their history as an archive: a folder, or one tar file."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generations import exporting
from generations.models import Generation, Team
from generations.words import bytes_words


class Command(BaseCommand):
    help = "Writes everything of a team that has ended into an archive that import_team reads. Changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("team", help="its name")
        parser.add_argument("to", type=Path, help="a new folder, or a file whose name ends in .tar")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(name=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team of the name {options['team']!r}.")
        try:
            counts = exporting.write(team, options["to"], self.stdout.write)
        except exporting.CannotMove as no:
            raise CommandError(str(no)) from None
        except OSError as problem:
            raise CommandError(f"{options['to']}: {problem.strerror}. The archive is not complete.") from None
        running = Generation.objects.filter(team=team).exclude(status__in=exporting.ENDED).count()
        self.stdout.write(
            f"{counts['generations']:,} generations, {counts['media']:,} uploads, "
            f"{counts['collections']:,} collections, {counts['files']:,} files "
            f"with {bytes_words(counts['bytes'])} in {options['to']}. "
            f"Left out: {running:,} that have not ended, {counts['files missing']:,} files that are missing."
        )
