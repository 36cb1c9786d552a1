"""`manage.py freeze`: safe mode by hand, for a restore that no log on this host can tell of."""

from typing import Any

from django.core.management.base import BaseCommand

from generations import safe_mode


class Command(BaseCommand):
    help = "After a restore: sends nothing with real accounts until an admin has looked and released it in Settings."

    def handle(self, *args: Any, **options: Any) -> None:
        safe_mode.freeze_by_hand("Frozen by hand, on the console.")
        self.stdout.write("Frozen: nothing is sent until an admin releases it under Settings.")
