"""Makes sure that the account of VEEVID_API_KEY, or the demo account, is there. Safe to run at every start."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from generations import accounts, lifecycle


class Command(BaseCommand):
    help = "Adds the key of VEEVID_API_KEY (or the demo account, when a simulator runs) if it is not here yet."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.VEEVID_API_KEY:
            accounts.ensure_environment_key(settings.VEEVID_API_KEY)
            if not settings.SIMULATOR_URL:
                lifecycle.end_demo()
        elif settings.SIMULATOR_URL:
            accounts.ensure_demo()
        accounts.ensure_team()
