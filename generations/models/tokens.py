"""Secrets that links carry: 256 bits, shown once, of which only the hash is kept."""

import hashlib
import secrets

from django.db import models


class ByToken(models.Model):
    """A row that is found by a token which nobody can read again."""

    PURPOSE: bytes  # so that the token of one thing is never that of another

    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        abstract = True

    @classmethod
    def new_token(cls) -> tuple[str, str]:
        """A token, and the digest to keep."""
        token = secrets.token_urlsafe(32)  # 256 bits
        return token, cls.digest_of(token)

    @classmethod
    def digest_of(cls, token: str) -> str:
        return hashlib.sha256(cls.PURPOSE + token.encode()).hexdigest()
