"""What is committed under static/ and templates/ fits together. Needs neither npm nor Django."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
VENDORED = sorted((ROOT / "static" / "vendor").glob("*.js"))
STALE = "static/site.css is older than what it is made from: run `make css`"

# The same three expressions as in frontend/build.mjs.
IN_TEMPLATES = re.compile(r'class="((?:\{%.*?%\}|\{\{.*?\}\}|[^"])*)"')
IN_PYTHON = re.compile(r"""class["']?[ ]*[:=][ ]*"([^"]*)\"""")
BETWEEN = re.compile(r"""[ \t\r\n\f"']+|\{%|%\}|\{\{|\}\}""")

COMMENTS = re.compile(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}|<!--.*?-->", re.DOTALL)
TAG = re.compile(r"""<[a-zA-Z](?:\{%.*?%\}|\{\{.*?\}\}|"[^"]*"|'[^']*'|[^>"'])*>""", re.DOTALL)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def class_names() -> list[str]:
    attributes = [value for path in TEMPLATES for value in IN_TEMPLATES.findall(read(path))]
    attributes += [value for path in (ROOT / "generations").rglob("*.py") for value in IN_PYTHON.findall(read(path))]
    return sorted({name for value in attributes for name in BETWEEN.split(value)} - {""})


def html_tags() -> list[tuple[str, str]]:
    return [(path.name, tag) for path in TEMPLATES for tag in TAG.findall(COMMENTS.sub("", read(path)))]


def attribute_names(tag: str) -> set[str]:
    bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", tag, flags=re.DOTALL)
    bare = re.sub(r'"[^"]*"|\'[^\']*\'', '""', bare)
    return {name.lower() for name in re.findall(r"[\s\"]([^\s\"'<>/=]+)", bare)}


def test_every_class_used_was_there_when_the_stylesheet_was_compiled() -> None:
    compiled_with = read(ROOT / "frontend" / "classes.txt").split()
    assert class_names() == compiled_with, STALE


def test_the_stylesheet_was_compiled_from_the_committed_sources() -> None:
    first, _, css = read(ROOT / "static" / "site.css").partition("\n")
    said = re.fullmatch(r"/\* sources (\w{64}) compiled (\w{64}) \*/", first)
    assert said, STALE
    sources = [ROOT / "frontend" / "site.css", ROOT / "package-lock.json", ROOT / "frontend" / "classes.txt"]
    assert said[1] == hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest(), STALE
    assert said[2] == hashlib.sha256(css.encode()).hexdigest(), STALE


def test_every_file_the_stylesheet_names_exists() -> None:
    named = re.findall(r"url\((?!\"?data:)[\"']?([^)\"']+)", read(ROOT / "static" / "site.css"))
    assert named
    assert [name for name in named if not (ROOT / "static" / name).is_file()] == []


def test_no_template_carries_inline_style_or_behaviour() -> None:
    forbidden = re.compile(r"style|on[a-z]+|hx-on.*")
    found = [(name, tag) for name, tag in html_tags() if any(map(forbidden.fullmatch, attribute_names(tag)))]
    assert found == []


def is_file_or_data(script: str) -> bool:
    """JSON for a script that is a file is not run, and the CSP lets it be."""
    return "src" in attribute_names(script) or 'type="application/json"' in script


def test_every_script_and_stylesheet_is_a_file() -> None:
    inline = [
        (name, tag)
        for name, tag in html_tags()
        if tag.startswith("<style") or (tag.startswith("<script") and not is_file_or_data(tag))
    ]
    assert inline == []


def test_every_icon_asked_for_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([\w-]+)"', read(ROOT / "static" / "icons.svg")))
    asked = {
        (path.name, icon)
        for path in TEMPLATES
        for icon in re.findall(r'\{% icon "([\w-]+)"|icons\.svg[^#"]*#([\w-]+)"', read(path))
    }
    assert len(asked) > 100, "they are found"
    missing = [(name, first or second) for name, (first, second) in asked if (first or second) not in sprite]
    assert missing == []


@pytest.mark.parametrize("path", VENDORED, ids=lambda path: path.name)
def test_a_vendored_file_points_to_no_source_map(path: Path) -> None:
    assert "sourceMappingURL" not in read(path)


def test_the_lock_file_names_no_download_address() -> None:
    assert '"resolved"' not in read(ROOT / "package-lock.json")
