"""`manage.py setup_code`: a new one-time code for making the first admin."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from generations.models import SetupCode, User


class Command(BaseCommand):
    help = "Prints a new one-time code that makes the first admin. Codes printed before no longer work."

    def handle(self, *args: Any, **options: Any) -> None:
        if User.objects.filter(is_staff=True).exists():
            raise CommandError("There is an admin already. An admin can add people under Settings.")
        self.stdout.write(f"Code: {SetupCode.issue()}")
        self.stdout.write(f"Use it on the page /welcome/, for example http://127.0.0.1:{settings.PORT}/welcome/")
