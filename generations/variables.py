"""Variables in a prompt: `{animal}`, `{art style}`. Pure functions.

A name begins with a letter and has letters, digits, single spaces, hyphens and underscores, at most 40 characters.
`{{` and `}}` stand for literal braces; a brace that belongs to neither is left as it is.
"""

import re
from collections.abc import Mapping

_NAME = r"(?=[^{}]{1,40}\})([^\W\d_](?:[ -]?\w)*)"
_PIECE = re.compile(r"\{\{|\}\}|\{" + _NAME + r"\}")


def names_in(text: str) -> list[str]:
    """The variables of a text, each once, in the order of their first appearance."""
    return list(dict.fromkeys(found[1] for found in _PIECE.finditer(text) if found[1]))


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced and its doubled braces single. A variable without a value stays.

    Values are taken as they are: braces in them are only braces.
    """
    return _PIECE.sub(lambda found: values.get(found[1], found[0]) if found[1] else found[0][0], text)


def literal(text: str) -> str:
    """A text in which nothing is a variable: what `fill` gives back as it was."""
    return text.replace("{", "{{").replace("}", "}}")
