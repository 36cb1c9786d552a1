"""Brings an archive of export_team into this installation. Orders nothing, spends nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generations import importing


class Command(BaseCommand):
    help = (
        "Brings in a team's clips and their history. What is here already stays as it is: run it twice, or again after "
        "it was stopped. Budgets, balances and sums of this installation are not touched. People are matched by their "
        "email addresses; who is not here gets an account that nobody can sign in with until an admin opens it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("archive", type=Path, help="what export_team wrote: a folder or a .tar file")
        parser.add_argument("--into", default="", metavar="TEAM", help="a team of another name than it had there")
        parser.add_argument(
            "--with-members", action="store_true", help="also put its people into the team, with the roles they had"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            counts = importing.read(
                options["archive"], options["into"], options["with_members"], lambda line: self.stdout.write(line)
            )
        except importing.CannotMove as no:
            raise CommandError(str(no)) from None
        except OSError as problem:
            raise CommandError(f"{problem.strerror}. What came before is in; run it again to go on.") from None
        self.stdout.write(
            f"Brought in: {counts['generations']:,} generations with {counts['clips']:,} clips, {counts['uploads']:,} "
            f"uploads, {counts['collections']:,} collections, {counts['prompts']:,} prompts, "
            f"{counts['people']:,} people. There already: {counts['generations there already']:,} generations, "
            f"{counts['uploads there already']:,} uploads."
        )
