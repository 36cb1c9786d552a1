"""Files in a bucket that speaks S3, by Django's storage API: everything else knows no other.

A bucket's troubles are OSErrors here, as those of a disk are. A file is read in pieces from where the reader stands: a
player that seeks in a clip of 200 MB costs one small request, and a slow viewer holds no connection to the bucket.
"""

import errno
import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)
from django.core.exceptions import ImproperlyConfigured
from django.core.files import File
from django.core.files.base import ContentFile
from storages.backends.s3 import S3Storage

BLOCK = 1024 * 1024  # bytes of one request to the bucket, and what one reader holds in memory
LINK_LASTS = 60  # seconds; of links straight to the bucket, where they are allowed at all
KEYS = ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


@contextmanager
def _as_a_disk(name: str) -> Iterator[None]:
    """Turns what boto raises into what a disk raises."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("404", "NoSuchKey", "NotFound"):
            raise FileNotFoundError(errno.ENOENT, "there is no such file in the bucket", name) from None
        raise OSError(errno.EIO, f"the bucket refused it: {code}", name) from error
    except (BotoCoreError, Boto3Error) as error:
        raise OSError(errno.EIO, f"the bucket did not answer: {type(error).__name__}", name) from error


class _Blocks(io.RawIOBase):
    """A file of the bucket by byte ranges. Nothing is asked before something is read."""

    def __init__(self, bucket: "Bucket", name: str) -> None:
        self.bucket, self.named, self.at = bucket, name, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: 0}[whence]
        if whence == io.SEEK_END:
            start = self.bucket.size(self.named)
        self.at = max(start + offset, 0)
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, into: Any) -> int:
        data = self.bucket.read_range(self.named, self.at, len(into))
        into[: len(data)] = data
        self.at += len(data)
        return len(data)


class BucketFile(File):
    """A file of the bucket, open for reading."""

    def __init__(self, bucket: "Bucket", name: str) -> None:
        self.bucket = bucket
        super().__init__(self._reader(name), name)

    def _reader(self, name: str | None) -> Any:
        return io.BufferedReader(_Blocks(self.bucket, str(name)), BLOCK)

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> "BucketFile":
        if self.closed:
            self.file = self._reader(self.name)
        else:
            self.seek(0)
        return self

    @cached_property
    def size(self) -> int:
        return self.bucket.size(str(self.name))


class Bucket(S3Storage):
    """Where files are when S3_BUCKET is set. Private: links to it are signed and end after a minute."""

    def __init__(self, **options: Any) -> None:
        shape = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if options.get("endpoint_url") else "auto"},
            connect_timeout=5,
            read_timeout=30,
            retries={"max_attempts": 3, "mode": "standard"},
            # many servers that speak S3 do not know the newer checksums
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        fixed = {"client_config": shape, "file_overwrite": False, "default_acl": None, "querystring_expire": LINK_LASTS}
        super().__init__(**options, **fixed)

    def _key(self, name: str) -> str:
        return self._normalize_name(name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """So many bytes from there on; fewer at the end of the file, none beyond it."""
        if length <= 0:
            return b""
        try:
            with _as_a_disk(name):
                answer = self.bucket.Object(self._key(name)).get(Range=f"bytes={start}-{start + length - 1}")
                return answer["Body"].read()
        except OSError as problem:
            if isinstance(problem.__cause__, ClientError) and "InvalidRange" in str(problem):
                return b""
            raise

    def _open(self, name: str, mode: str = "rb") -> File:
        if mode == "rb":
            return BucketFile(self, name)
        with _as_a_disk(name):
            return super()._open(name, mode)

    def _save(self, name: str, content: File) -> str:
        with _as_a_disk(name):
            return super()._save(name, content)

    def delete(self, name: str) -> None:
        with _as_a_disk(name):
            super().delete(name)

    def exists(self, name: str) -> bool:
        with _as_a_disk(name):
            return super().exists(name)

    def size(self, name: str) -> int:
        with _as_a_disk(name):
            return self.bucket.Object(self._key(name)).content_length

    def try_out(self) -> None:
        """Writes, reads and removes a file of no meaning. Raises ImproperlyConfigured, which names what to look at."""
        name = f"dailies-check-{uuid.uuid4().hex}"
        try:
            self._save(name, ContentFile(b"checked"))
            whole = self.read_range(name, 2, 3) == b"eck"
            self.delete(name)
            forgotten = not self.exists(name)
        except OSError as problem:
            raise ImproperlyConfigured(_what_is_wrong(problem)) from None
        if not (whole and forgotten):
            raise ImproperlyConfigured("S3_BUCKET: the bucket does not give back what was put into it")


def _what_is_wrong(problem: OSError) -> str:
    cause: BaseException | None = problem.__cause__
    words = f"{problem.strerror} {cause}"
    if isinstance(cause, NoCredentialsError | PartialCredentialsError) or "credentials" in words:
        return "AWS_ACCESS_KEY_ID: no credentials were found for the bucket"
    if isinstance(cause, EndpointConnectionError | ConnectTimeoutError):
        return "S3_ENDPOINT_URL: nothing answers there"
    if "NoSuchBucket" in words:
        return "S3_BUCKET: there is no bucket of this name"
    if any(code in words for code in KEYS):
        return "AWS_ACCESS_KEY_ID: the bucket refuses these credentials (it needs to get, put, delete and list)"
    return f"S3_BUCKET: {problem.strerror}"
