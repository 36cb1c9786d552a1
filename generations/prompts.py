"""Saved prompts: written, edited, put away; taken out as JSON and brought in again (docs/prompts.md).

A version is only ever added. Whoever edits names the version they saw; of two who saw the same one, the first wins and
the other is told, with nothing of theirs lost.
"""

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from generations import access, budgets, catalogue
from generations.models import Generation, Prompt, PromptStar, PromptTag, PromptVersion, Team, User

TITLE_LENGTH = 120
TAG_LENGTH = 40
MOST_TAGS = 10
FORMAT, FORMAT_VERSION = "dailies-prompts", 1
LARGEST_FILE = 5_000_000  # bytes
MOST_ROWS = 1000


class CannotSave(Exception):
    """What was written cannot be kept. One sentence for each field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class EditedMeanwhile(Exception):
    """Somebody else saved a newer version than the one that was edited."""


class CannotImport(Exception):
    """Nothing of the file is taken. A sentence for each thing that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Written:
    """A prompt as somebody wrote it: checked."""

    title: str
    text: str
    tags: tuple[str, ...] = ()
    shared: bool = False


# -- checking ---------------------------------------------------------------------------------------------------------


def read(title: str, text: str, tags: Iterable[str] = (), shared: bool = False) -> Written:
    """Checks what was written. Raises CannotSave with a sentence for each field."""
    errors: dict[str, str] = {}
    title = _one_line(title)
    if not title:
        errors["title"] = "Give it a title to find it by."
    elif len(title) > TITLE_LENGTH:
        errors["title"] = f"A title can have at most {TITLE_LENGTH} characters; this has {len(title):,}."
    try:
        text = catalogue.clean_prompt(text)
    except catalogue.Invalid as invalid:
        errors["text"] = invalid.errors["prompt"]
    named = _tags(tags)
    if len(named) > MOST_TAGS:
        errors["tags"] = f"At most {MOST_TAGS} tags; these are {len(named)}."
    elif long := next((tag for tag in named if len(tag) > TAG_LENGTH), ""):
        errors["tags"] = f"A tag can have at most {TAG_LENGTH} characters; “{long[:TAG_LENGTH]}…” has {len(long):,}."
    if errors:
        raise CannotSave(errors)
    return Written(title, text, named, shared)


def _one_line(text: str) -> str:
    """Without control characters and halves of characters, which no database stores; blanks once."""
    return " ".join("".join(c if unicodedata.category(c) not in ("Cc", "Cs") else " " for c in text).split())


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Small, each once, by name; a comma parts two tags."""
    words = [_one_line(word).lower().lstrip("#").strip() for tag in tags for word in tag.split(",")]
    return tuple(sorted({word for word in words if word}))


# -- writing ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def save(team: Team, author: User, written: Written) -> Prompt:
    """Keeps a new prompt with its first version."""
    prompt = Prompt.objects.create(
        team=team, author=author, title=written.title, text=written.text, shared=written.shared
    )
    _add_version(prompt, author, written)
    return prompt


@transaction.atomic
def edit(prompt: Prompt, who: User, written: Written, seen: int) -> bool:
    """Adds a version after the one that was seen. False: nothing differs from it, nothing was added.

    Raises EditedMeanwhile when it is no longer the newest.
    """
    now = timezone.now()
    newer = Prompt.objects.filter(pk=prompt.pk, version=seen)
    if _as_written(prompt, seen) == (written.title, written.text, list(written.tags)):
        if not newer.exists():
            raise EditedMeanwhile
        return False
    if not newer.update(title=written.title, text=written.text, version=seen + 1, edited_at=now):
        raise EditedMeanwhile
    prompt.refresh_from_db()
    _add_version(prompt, who, written)
    return True


def _as_written(prompt: Prompt, number: int) -> tuple[str, str, list[str]] | None:
    return prompt.versions.filter(number=number).values_list("title", "text", "tags").first()


def _add_version(prompt: Prompt, who: User, written: Written) -> None:
    _version(prompt, who, written).save()
    prompt.tags.exclude(name__in=written.tags).delete()
    tags = (PromptTag(prompt=prompt, name=tag) for tag in written.tags)
    PromptTag.objects.bulk_create(tags, ignore_conflicts=True)


def _version(prompt: Prompt, who: User, written: Written) -> PromptVersion:
    """The row of a prompt as it was written now."""
    said = {"title": written.title, "text": written.text, "tags": list(written.tags)}
    return PromptVersion(prompt=prompt, number=prompt.version, author=who, **said)


def share(prompt: Prompt, on: bool) -> None:
    Prompt.objects.filter(pk=prompt.pk).update(shared=on)


def archive(prompt: Prompt, on: bool) -> None:
    """Out of the list, or back into it."""
    Prompt.objects.filter(pk=prompt.pk).update(archived_at=timezone.now() if on else None)


@transaction.atomic
def remove(prompt: Prompt) -> bool:
    """Deletes a prompt that no clip was made from. False: one was, and the prompt is archived instead.

    Confirmations take the team's lock, too: none can name a version while it goes.
    """
    budgets.lock(prompt.team_id)
    if Generation.objects.filter(from_version__prompt=prompt).exists():
        archive(prompt, on=True)
        return False
    prompt.delete()
    return True


def star(prompt: Prompt, user: User, on: bool) -> None:
    if on:
        PromptStar.objects.get_or_create(user=user, prompt=prompt)
    else:
        PromptStar.objects.filter(user=user, prompt=prompt).delete()


# -- as JSON ----------------------------------------------------------------------------------------------------------


def exported(rows: QuerySet[Prompt]) -> dict[str, Any]:
    """The newest version of each prompt, as docs/prompts.md describes the file."""
    prompts = [
        {"title": row.title, "text": row.text, "tags": [tag.name for tag in row.tags.all()], "shared": row.shared}
        for row in rows.prefetch_related("tags")
    ]
    made = timezone.now().isoformat(timespec="seconds")
    return {"format": FORMAT, "version": FORMAT_VERSION, "exported_at": made, "prompts": prompts}


def read_file(data: bytes) -> list[Written]:
    """The prompts of a file. Raises CannotImport with what is wrong, and in which row."""
    if len(data) > LARGEST_FILE:
        raise CannotImport([f"The file can have at most {LARGEST_FILE // 10**6} MB."])
    try:
        said = json.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise CannotImport(["The file is no JSON."]) from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise CannotImport([f"The file has no prompts of Dailies in it: its “format” must be “{FORMAT}”."])
    if said.get("version") != FORMAT_VERSION or isinstance(said.get("version"), bool):
        raise CannotImport([f"This Dailies reads version {FORMAT_VERSION} of the format; the file has another one."])
    rows = said.get("prompts")
    if not isinstance(rows, list):
        raise CannotImport(["“prompts” must be a list."])
    if len(rows) > MOST_ROWS:
        raise CannotImport([f"A file can have at most {MOST_ROWS:,} prompts; this has {len(rows):,}."])
    written, problems = [], []
    for number, row in enumerate(rows, 1):
        try:
            written.append(_read_row(row))
        except CannotSave as wrong:
            problems.append(f"Prompt {number}: {wrong}")
    if problems:
        raise CannotImport(problems)
    return written


def _read_row(row: Any) -> Written:
    if not isinstance(row, dict):
        raise CannotSave({"row": "It must be an object with “title” and “text”."})
    kinds: dict[str, tuple[type, Any, str]] = {
        "title": (str, "", "a text"),
        "text": (str, "", "a text"),
        "tags": (list, [], "a list of texts"),
        "shared": (bool, False, "true or false"),
    }
    unknown = sorted(set(row) - set(kinds))
    if unknown:
        raise CannotSave({"row": f"“{unknown[0][:40]}” is not a field of a prompt."})
    given = {name: row.get(name, default) for name, (_, default, _) in kinds.items()}
    for name, (kind, _, words) in kinds.items():
        whole = isinstance(given[name], kind) and (kind is not list or all(isinstance(tag, str) for tag in given[name]))
        if not whole:
            raise CannotSave({name: f"“{name}” must be {words}."})
    return read(**given)


@transaction.atomic
def bring_in(team: Team, who: User, written: list[Written]) -> tuple[int, int]:
    """Adds all of them, but those that are here with the same title and text. How many were added, and skipped."""
    budgets.lock(team.pk)  # the same file twice at once
    here = set(access.prompts_for(who).filter(team=team).values_list("title", "text"))
    fresh = []
    for one in written:
        if (one.title, one.text) not in here:
            here.add((one.title, one.text))
            fresh.append(one)
    prompts = Prompt.objects.bulk_create(
        Prompt(team=team, author=who, title=one.title, text=one.text, shared=one.shared) for one in fresh
    )
    pairs = list(zip(prompts, fresh, strict=True))
    PromptVersion.objects.bulk_create(_version(prompt, who, one) for prompt, one in pairs)
    PromptTag.objects.bulk_create(PromptTag(prompt=prompt, name=tag) for prompt, one in pairs for tag in one.tags)
    return len(fresh), len(written) - len(fresh)
