"""Prints a new key for SECRETS_KEYS."""

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Makes a key for SECRETS_KEYS. Put it first in the list and keep the older ones, so that they still decrypt."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(Fernet.generate_key().decode())
