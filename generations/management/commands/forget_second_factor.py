"""Removes the second factor of somebody who lost it: for the admin whom no other admin can help."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from generations import people
from generations.models import User


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        person = User.objects.filter(email=options["email"].lower()).first()
        if person is None:
            raise CommandError("Nobody has this email address.")
        people.drop_second_factor(None, person, {"agent": "manage.py"})
        self.stdout.write(f"{person} signs in with the password alone until they set up a new one.")
