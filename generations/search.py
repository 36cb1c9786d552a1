"""Full text search over the prompts: what people type, in the words of either database.

PostgreSQL compares with a tsvector, SQLite with an FTS5 index; generations/migrations/_prompt_words.py keeps both.
Nothing that is typed reaches them as syntax: it is taken apart here into words, and only words are put together again.
"""

import re
from dataclasses import dataclass

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from generations.models import Generation, Team

LONGEST = 200  # characters that are looked for
SHORTEST_START = 2  # letters from which on the last word may be only the start of one
_TERM = re.compile(r'(-?)"([^"]*)(?:"|$)|(\S+)')
_BETWEEN = re.compile(r"[\s!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~“”‘’„‚«»–—…·•、。，！？：；（）「」]+")
#: Scripts that write no spaces (Thai, kana, Han …): there are no words to find, so their letters are compared.
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

_POSTGRES = (
    "SELECT generation_id FROM generations_promptwords WHERE words @@ %s::tsquery AND words @@ to_tsquery('simple', %s)"
)
_SQLITE = "SELECT rowid FROM generations_promptwords WHERE generations_promptwords MATCH %s"


@dataclass(frozen=True)
class Term:
    """Words that stand next to each other."""

    words: tuple[str, ...]
    without: bool = False  # prompts that have it are left out
    started: bool = False  # the last word may go on

    def tsquery(self) -> str:
        words = [f"'{word}'" for word in self.words]
        phrase = " <-> ".join(words) + (":*" if self.started else "")
        return f"!({phrase})" if self.without else f"({phrase})"

    def fts5(self) -> str:
        return " + ".join(f'"{word}"' for word in self.words) + (" *" if self.started else "")


def terms(typed: str) -> list[Term]:
    """Words, "phrases in quotation marks", and -words that must not be there. The last word may be only begun."""
    found = []
    text = typed.replace("\x00", " ")[:LONGEST]
    for minus, phrase, word in _TERM.findall(text):
        quoted = not word
        without = bool(minus) or (word.startswith("-") and len(word) > 1)
        words = tuple(part for part in _BETWEEN.split(word or phrase) if any(map(str.isalnum, part)))
        if words:
            last = not quoted and not without and text.endswith(word) and len(words[-1]) >= SHORTEST_START
            found.append(Term(words, without, last))
    return [*(Term(term.words, term.without) for term in found[:-1]), *found[-1:]]


def matching(rows: QuerySet[Generation], team: Team, typed: str) -> QuerySet[Generation]:
    """Those whose prompt has all of it. What holds no word at all matches nothing."""
    asked = terms(typed)
    if not asked:
        return rows.none()
    letters = [term for term in asked if any(map(_NO_SPACES.search, term.words))]
    for term in letters:
        has = Q(prompt__icontains=" ".join(term.words))
        rows = rows.exclude(has) if term.without else rows.filter(has)
    asked = [term for term in asked if term not in letters]
    return _with_words(rows, team, asked) if asked else rows


def _with_words(rows: QuerySet[Generation], team: Team, asked: list[Term]) -> QuerySet[Generation]:
    if connection.vendor == "postgresql":
        query = " & ".join(term.tsquery() for term in asked)
        return rows.filter(pk__in=_found(_POSTGRES, f"'/{team.pk}'", query))
    wanted = [term.fts5() for term in asked if not term.without]
    if wanted:
        rows = rows.filter(pk__in=_found(_SQLITE, " AND ".join(wanted)))
    for term in asked:
        if term.without:
            rows = rows.exclude(pk__in=_found(_SQLITE, term.fts5()))
    return rows


def _found(statement: str, *words: str) -> RawSQL:
    return RawSQL(statement, words)  # noqa: S611 (one of the two above; what was typed travels beside it)
