"""The field that keeps upstream keys unreadable in the database, its dumps and its backups."""

from functools import cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


@cache
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def ring() -> MultiFernet:
    """The key ring of SECRETS_KEYS: the first key encrypts, every key may decrypt."""
    return _ring(tuple(settings.SECRETS_KEYS))


class CannotDecrypt(Exception):
    """The row was encrypted with a key that is no longer in SECRETS_KEYS."""


class EncryptedTextField(models.TextField):
    """Text that is encrypted on its way into the database and readable only in the process that asks for it."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else ring().encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> "Secret | None":
        return None if value is None else Secret(value)


class Secret:
    """An encrypted value as read from a row. It shows nothing until `reveal` is called."""

    def __init__(self, sealed: str) -> None:
        self._sealed = sealed

    def reveal(self) -> str:
        """The plain text. Raises CannotDecrypt when its key has left the ring."""
        try:
            return ring().decrypt(self._sealed.encode()).decode()
        except InvalidToken:
            raise CannotDecrypt("SECRETS_KEYS no longer holds the key this secret was encrypted with") from None

    def __str__(self) -> str:
        return "(secret)"

    __repr__ = __str__
