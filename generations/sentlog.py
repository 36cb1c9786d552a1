"""What was sent and paid for, on the local disk: a line before each paid request, and one with what came of it.

A database restored from a backup knows nothing of what was sent since; this file does. It is only ever appended to. A
line counts once its newline is there: one that a kill cut short was not synced, so its request was never opened.
"""

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAME, OLDER, LOCK = "sent.log", "sent.log.1", ".lock"
# Two files of this size at the most. A submission takes about 1.2 kB, so they reach back 7,000 of them or more: ninety
# hours of one account that never rests, and months of a usual team.
FULL = 8 * 1024**2
TAIL = 256 * 1024  # bytes that hold the newest submission, nearly always
NONCE = re.compile(r"[0-9a-f]{32}")

Line = dict[str, Any]


def append(folder: Path, line: Line, sync: bool, patience: float = 5.0) -> None:
    """Adds one line, whole; with `sync` it is on the disk when this returns. Raises OSError."""
    data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    with _alone(folder, patience):
        file = folder / NAME
        if file.exists() and file.stat().st_size >= FULL:
            file.replace(folder / OLDER)
        is_new = not file.exists()
        target = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _drop_torn_end(target)
            if os.write(target, data) != len(data):
                raise OSError("the line did not fit on the disk")
            if sync:
                os.fsync(target)
        finally:
            os.close(target)
        if is_new:
            _sync_folder(folder)


@contextmanager
def _alone(folder: Path, patience: float) -> Iterator[None]:
    """One process at a time adds a line. One that is stopped amid its own must not stop the others for ever."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_folder(folder.parent)
    with (folder / LOCK).open("a") as lock:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        yield


def _sync_folder(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _drop_torn_end(target: int) -> None:
    """Takes away what a kill left without its newline, so that the next line begins on its own."""
    size = os.fstat(target).st_size
    if size == 0 or os.pread(target, 1, size - 1) == b"\n":
        return
    position = size
    while position > 0:
        step = min(position, 65536)
        found = os.pread(target, step, position - step).rfind(b"\n")
        if found >= 0:
            os.ftruncate(target, position - step + found + 1)
            return
        position -= step
    os.ftruncate(target, 0)


def newest(folder: Path) -> Line | None:
    """The newest submission, or the newest line that cannot be read. None: nothing was ever sent from here."""
    for name in (NAME, OLDER):
        for limit in (TAIL, None):
            for raw in reversed(_read(folder / name, limit)):
                line = _line(raw)
                if "end" not in line:
                    return line
    return None


def lines(folder: Path) -> Iterator[Line]:
    """Everything that is kept, oldest first. A line that cannot be read has `unreadable`, its fingerprint."""
    for name in (OLDER, NAME):
        for raw in _read(folder / name):
            yield _line(raw)


def _read(file: Path, limit: int | None = None) -> list[bytes]:
    """The whole lines of a file, or of its last `limit` bytes. Behind the last newline is nothing, or a torn line."""
    try:
        with file.open("rb") as source:
            begin = max(source.seek(0, os.SEEK_END) - limit, 0) if limit else 0
            source.seek(begin)
            whole = source.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return whole[1:] if begin else whole


def _line(raw: bytes) -> Line:
    try:
        line = json.loads(raw)
        if isinstance(line, dict) and NONCE.fullmatch(line["sent"]) and isinstance(line["attempt"], int):
            return line
    except (ValueError, KeyError, TypeError):
        pass
    return {"unreadable": hashlib.sha256(raw).hexdigest()[:32]}
