"""Answers to paid requests, on the local disk before they are in the database.

An acceptance that cannot be written down is a clip that was paid for and lost. So each is first kept as one small file,
synced to the disk, and removed once the database has it. What is left when the database was away, later ticks bring in.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def keep(folder: Path, submission: int, answer: dict[str, Any]) -> None:
    """Writes the answer of one submission whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    file, draft = folder / f"{submission}.json", folder / f".{submission}.{os.getpid()}"
    with draft.open("w") as target:
        json.dump(answer, target)
        target.flush()
        os.fsync(target.fileno())
    draft.rename(file)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def forget(folder: Path, submission: int) -> None:
    """The database has it."""
    (folder / f"{submission}.json").unlink(missing_ok=True)


def left_over(folder: Path, older_than: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """Answers that lie here for more than so many seconds, as (submission, answer)."""
    if not folder.is_dir():
        return
    for file in sorted(folder.glob("[0-9]*.json")):
        try:
            if time.time() - file.stat().st_mtime > older_than:
                yield int(file.stem), json.loads(file.read_text())
        except FileNotFoundError:
            continue  # somebody else brought it in meanwhile
        except ValueError:
            logger.error("%s cannot be read; it stays for a person to look at", file)
